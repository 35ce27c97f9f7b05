/* SPDX-License-Identifier: Apache-2.0 */

/* Takes a certificate apart for people. What stands in it came from outside: names that are no plain text are left out. */

#include "certificate-details.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "openssl-cleanup.h"

#define NAMES_MAX 256

void certificate_details_done(CertificateDetails *d)
{
    free(d->issuer);
    free(d->serial);
    free(d->sha256);
    free(d->sha1);
    free(d->tlsa);
    for (char **name = d->names; name && *name; name++)
        free(*name);
    free(d->names);
    *d = (CertificateDetails) {};
}

static int to_hex(const uint8_t *data, size_t n, char **ret)
{
    char *text = calloc(1, 3 * n + 1), *p = text;

    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s%02X", i > 0 ? ":" : "", data[i]);
    *ret = text;
    return 0;
}

static int fingerprint(X509 *x, const EVP_MD *md, char **ret)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;

    return X509_digest(x, md, digest, &n) == 1 ? to_hex(digest, n, ret) : -EBADMSG;
}

static int serial_number(X509 *x, char **ret)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);

    return to_hex(ASN1_STRING_get0_data(serial), (size_t) ASN1_STRING_length(serial), ret);
}

static int issuer(X509 *x, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long n;

    if (!bio || X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0,
                        (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return -ENOMEM;
    n = BIO_get_mem_data(bio, &data);
    *ret = strndup(n > 0 ? data : "", (size_t) n);
    return *ret ? 0 : -ENOMEM;
}

/* malloc'ed; NULL for what is no DNS name or address in plain ASCII. */
static char *name_to_string(const GENERAL_NAME *name)
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

static void general_names_freep(GENERAL_NAMES **n)
{
    GENERAL_NAMES_free(*n);
}

static int names(X509 *x, char ***ret)
{
    _cleanup_(general_names_freep) GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int n = MIN(sk_GENERAL_NAME_num(list), NAMES_MAX);
    char **all = calloc((size_t) MAX(n, 0) + 1, sizeof(char *));
    size_t k = 0;

    if (!all)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        all[k] = name_to_string(sk_GENERAL_NAME_value(list, i));
        k += all[k] != NULL;
    }
    *ret = all;
    return 0;
}

static uint32_t count_chain(const Certificate *c)
{
    uint32_t n = 0;

    for (const char *p = c->pem; (p = strstr(p, "-----BEGIN CERTIFICATE-----")); p++)
        n++;
    return n;
}

int certificate_details(const Certificate *c, CertificateDetails *ret)
{
    _cleanup_(certificate_details_done) CertificateDetails d = {.chain_length = count_chain(c)};
    _cleanup_(x509_freep) X509 *x = NULL;
    const unsigned char *der = c->leaf;

    x = d2i_X509(NULL, &der, (long) c->leaf_size);
    if (!x)
        return -EBADMSG;
    d.key_bits = (uint32_t) EVP_PKEY_get_bits(c->key);
    if (issuer(x, &d.issuer) < 0 || serial_number(x, &d.serial) < 0 || fingerprint(x, EVP_sha256(), &d.sha256) < 0
            || fingerprint(x, EVP_sha1(), &d.sha1) < 0 || certificate_tlsa(c, &d.tlsa) < 0 || names(x, &d.names) < 0)
        return -ENOMEM;
    *ret = d;
    d = (CertificateDetails) {};
    return 0;
}
