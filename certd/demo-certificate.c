/* SPDX-License-Identifier: Apache-2.0 */

/* Makes the demonstration certificate. It is good for a test and for DANE ("3 1 1"); nobody else can verify it. */

#include "demo-certificate.h"

#include <netdb.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "openssl-cleanup.h"

#define HOST_MAX 253
#define COMMON_NAME_MAX 64

static bool host_valid(const char *host)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t n = strlen(host);

    return n > 0 && n <= HOST_MAX && strspn(host, allowed) == n && host[0] != '.' && host[0] != '-';
}

int demo_certificate_host(char **ret)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    char name[HOST_MAX + 1] = "";
    char *host;

    if (gethostname(name, sizeof(name) - 1) < 0 || !host_valid(name))
        (void) strcpy(name, "localhost");
    if (!strchr(name, '.') && getaddrinfo(name, NULL, &hints, &list) == 0) {
        if (list && list->ai_canonname && strchr(list->ai_canonname, '.') && host_valid(list->ai_canonname))
            (void) strcpy(name, list->ai_canonname);
        freeaddrinfo(list);
    }
    host = strdup(name);
    if (!host)
        return -ENOMEM;
    *ret = host;
    return 0;
}

static bool set_serial(X509 *x)
{
    BIGNUM *n = BN_new();
    bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

    BN_free(n);
    return ok;
}

static bool set_names(X509 *x, const char *host)
{
    X509_NAME *name = X509_get_subject_name(x);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *dns = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    const unsigned char *common = (const unsigned char *) (strlen(host) <= COMMON_NAME_MAX ? host : "postern demonstration");
    bool ok = names && dns && text && ASN1_STRING_set(text, host, -1) == 1 && sk_GENERAL_NAME_push(names, dns) > 0;

    if (ok)
        GENERAL_NAME_set0_value(dns, GEN_DNS, text);
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1
            && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, common, -1, -1, 0) == 1
            && X509_set_issuer_name(x, name) == 1;
    if (!names || sk_GENERAL_NAME_num(names) == 0) {
        GENERAL_NAME_free(dns);
        ASN1_IA5STRING_free(text);
    }
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_extensions(X509 *x)
{
    static const struct {
        int nid;
        const char *value;
    } extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
    };
    X509V3_CTX context;

    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    for (size_t i = 0; i < ELEMENTSOF(extensions); i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, extensions[i].nid, extensions[i].value);
        bool ok = e && X509_add_ext(x, e, -1) == 1;

        X509_EXTENSION_free(e);
        if (!ok)
            return false;
    }
    return true;
}

int demo_certificate_make(const char *host, EVP_PKEY **ret_key, X509 **ret_certificate)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;

    if (!host_valid(host))
        return -EINVAL;
    key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    x = X509_new();
    if (!key || !x)
        return -ENOMEM;
    /* A day back: clocks differ. */
    if (X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, NULL)
            || !X509_time_adj_ex(X509_getm_notAfter(x), DEMO_CERTIFICATE_DAYS, 0, NULL) || X509_set_pubkey(x, key) != 1
            || !set_names(x, host)
            || !add_extensions(x) || X509_sign(x, key, EVP_sha256()) <= 0)
        return -EIO;
    *ret_key = TAKE_PTR(key);
    *ret_certificate = TAKE_PTR(x);
    return 0;
}

int demo_certificate_create(Store *s, const char *host)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    int r;

    r = demo_certificate_make(host, &key, &x);
    if (r < 0)
        return r;
    return store_write(s, DEMONSTRATION_NAME, key, x);
}
