/* SPDX-License-Identifier: Apache-2.0 */

/* Takes the names out of certificates, which strangers made: what is no name is passed over, never shown. */

#include "certificate-names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/x509v3.h>

#define NAME_MAX_LENGTH 253
#define LABEL_MAX_LENGTH 63

static void general_names_freep(GENERAL_NAMES **n)
{
    GENERAL_NAMES_free(*n);
}

char **certificate_names_free(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
    return NULL;
}

/* ---- qualification ---- */

static bool label_is_valid(const char *label, size_t n)
{
    if (n == 0 || n > LABEL_MAX_LENGTH || label[0] == '-' || label[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char) label[i]) && label[i] != '-' && label[i] != '_')
            return false;
    return true;
}

static bool is_number(const char *label)
{
    return label[strspn(label, "0123456789")] == '\0';
}

bool certificate_names_is_qualified(const char *name)
{
    unsigned labels = 0;
    const char *last = name;

    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    if (strlen(name) > NAME_MAX_LENGTH)
        return false;
    for (const char *label = name;; label++) {
        const size_t n = strcspn(label, ".");

        if (!label_is_valid(label, n))
            return false;
        labels++;
        last = label;
        label += n;
        if (*label == '\0')
            break;
    }
    return labels >= 2 && !is_number(last);
}

/* ---- what is in the certificate ---- */

/* malloc'ed; NULL for what is no DNS name or address in plain ASCII. */
static char *general_name_to_string(const GENERAL_NAME *name)
{
    const ASN1_STRING *value;
    const unsigned char *data;
    char text[INET6_ADDRSTRLEN];
    int type, n;

    value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD)
        return NULL;
    data = ASN1_STRING_get0_data(value);
    n = ASN1_STRING_length(value);
    if (type == GEN_IPADD)
        return (n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, data, text, sizeof(text)) ? strdup(text) : NULL;
    for (int i = 0; i < n; i++)
        if (data[i] <= ' ' || data[i] >= 0x7f)
            return NULL;
    return strndup((const char *) data, (size_t) n);
}

int certificate_names_alternative(X509 *x, char ***ret)
{
    _cleanup_(general_names_freep) GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    const int n = MIN(sk_GENERAL_NAME_num(list), CERTIFICATE_NAMES_MAX);
    char **all = calloc((size_t) MAX(n, 0) + 1, sizeof(char *));
    size_t k = 0;

    if (!all)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        all[k] = general_name_to_string(sk_GENERAL_NAME_value(list, i));
        k += all[k] != NULL;
    }
    *ret = all;
    return 0;
}

int certificate_names_common(X509 *x, char **ret)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    unsigned char *utf8 = NULL;
    int last = -1, n;
    char *text;

    for (int i; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0;)
        last = i;
    if (last < 0)
        return -ENOENT;
    n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    if (n < 0)
        return -ENOENT;
    /* A NUL in it would show another name than there is. */
    text = memchr(utf8, 0, (size_t) n) ? NULL : strndup((const char *) utf8, (size_t) n);
    OPENSSL_free(utf8);
    if (!text)
        return -ENOENT;
    *ret = text;
    return 0;
}

/* One that cannot be shown is not qualified either: so not certificate_names_alternative(). */
bool certificate_names_all_qualified(X509 *x)
{
    _cleanup_(general_names_freep) GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    _cleanup_free_ char *common = NULL;
    unsigned n_dns = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        _cleanup_free_ char *text = NULL;

        if (name->type != GEN_DNS)
            continue;
        text = general_name_to_string(name);
        if (!text || !certificate_names_is_qualified(text))
            return false;
        n_dns++;
    }
    if (n_dns > 0)
        return true;
    return certificate_names_common(x, &common) >= 0 && certificate_names_is_qualified(common);
}
