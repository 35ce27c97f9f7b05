/* SPDX-License-Identifier: Apache-2.0 */

/* Makes self-signed certificates. What a subject may hold is checked here, so that nothing that an authority or a peer would
 * stumble over is ever signed. */

#include "self-signed.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "openssl-cleanup.h"
#include "text.h"

#define FIELD_MAX 64
#define HOST_MAX 253
#define LABEL_MAX 63

static const struct {
    int nid;
    size_t offset;
    size_t max;
} fields[] = {
    {NID_countryName, offsetof(Subject, country), 2},
    {NID_stateOrProvinceName, offsetof(Subject, state), 128},
    {NID_localityName, offsetof(Subject, city), 128},
    {NID_organizationName, offsetof(Subject, organization), FIELD_MAX},
    {NID_organizationalUnitName, offsetof(Subject, unit), FIELD_MAX},
    {NID_commonName, offsetof(Subject, common_name), FIELD_MAX},
};

static const char *field_get(const Subject *s, size_t i)
{
    const char *value = *(const char *const *) ((const char *) s + fields[i].offset);

    return value && *value ? value : NULL;
}

bool subject_dns_name_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *p = strncmp(name, "*.", 2) == 0 ? name + 2 : name;

    if (!*p || strlen(name) > HOST_MAX)
        return false;
    for (;;) {
        size_t n = strspn(p, allowed);

        if (n == 0 || n > LABEL_MAX || p[0] == '-' || p[n - 1] == '-')
            return false;
        if (!p[n])
            return true;
        if (p[n] != '.')
            return false;
        p += n + 1;
    }
}

static int ip_address(const char *name, uint8_t address[16])
{
    if (inet_pton(AF_INET, name, address) == 1)
        return 4;
    return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

static bool is_printable(const char *s)
{
    size_t k;

    for (; *s; s += k) {
        k = text_utf8_char(s, strlen(s));
        if (k == 0 || (k == 1 && iscntrl((unsigned char) *s)))
            return false;
    }
    return true;
}

static int subject_check(const Subject *s, const char **reterr_reason)
{
    const char *country = field_get(s, 0);
    uint8_t address[16];
    size_t n = 0;

    for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
        const char *value = field_get(s, i);

        if (value && (strlen(value) > fields[i].max || !is_printable(value))) {
            *reterr_reason = i == 0 ? "the country is a code of two letters" : "a field of the subject is too long, or no text";
            return -EINVAL;
        }
    }
    if (country && (strlen(country) != 2 || !isalpha((unsigned char) country[0]) || !isalpha((unsigned char) country[1]))) {
        *reterr_reason = "the country is a code of two letters";
        return -EINVAL;
    }
    for (char **name = s->names; name && *name; name++, n++)
        if (ip_address(*name, address) == 0 && !subject_dns_name_valid(*name)) {
            *reterr_reason = "a name is neither a host name nor an IP address";
            return -EINVAL;
        }
    if (n > SUBJECT_NAMES_MAX) {
        *reterr_reason = "there are too many names";
        return -EINVAL;
    }
    return 0;
}

/* ---- names ---- */

static void general_names_freep(GENERAL_NAMES **n)
{
    GENERAL_NAMES_free(*n);
}

static void general_name_freep(GENERAL_NAME **n)
{
    GENERAL_NAME_free(*n);
}

static void asn1_string_freep(ASN1_STRING **s)
{
    ASN1_STRING_free(*s);
}

static int names_add(GENERAL_NAMES *names, const char *name)
{
    _cleanup_(general_name_freep) GENERAL_NAME *general = GENERAL_NAME_new();
    _cleanup_(asn1_string_freep) ASN1_STRING *value = NULL;
    uint8_t address[16];
    int n = ip_address(name, address);

    value = n > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!general || !value || ASN1_STRING_set(value, n > 0 ? (const void *) address : name, n > 0 ? n : -1) != 1)
        return -ENOMEM;
    GENERAL_NAME_set0_value(general, n > 0 ? GEN_IPADD : GEN_DNS, TAKE_PTR(value));
    if (sk_GENERAL_NAME_push(names, general) <= 0)
        return -ENOMEM;
    (void) TAKE_PTR(general);
    return 0;
}

/* The names given, and the common name if it is one and not among them: clients have not looked at common names for years. */
static int add_names(X509 *x, const Subject *s, const char **reterr_reason)
{
    _cleanup_(general_names_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();
    const char *common = s->common_name && *s->common_name && subject_dns_name_valid(s->common_name) ? s->common_name : NULL;
    int r;

    if (!names)
        return -ENOMEM;
    for (char **name = s->names; name && *name; name++) {
        if (common && strcasecmp(common, *name) == 0)
            common = NULL;
        r = names_add(names, *name);
        if (r < 0)
            return r;
    }
    if (common) {
        r = names_add(names, common);
        if (r < 0)
            return r;
    }
    if (sk_GENERAL_NAME_num(names) == 0) {
        *reterr_reason = "there is no host name for the certificate: neither the common name is one, nor are names given";
        return -EINVAL;
    }
    return X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 ? 0 : -EIO;
}

static bool add_subject(X509 *x, const Subject *s)
{
    X509_NAME *name = X509_get_subject_name(x);

    for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
        const char *value = field_get(s, i);

        if (value
                && X509_NAME_add_entry_by_NID(name, fields[i].nid, MBSTRING_UTF8, (const unsigned char *) value, -1, -1, 0) != 1)
            return false;
    }
    return X509_set_issuer_name(x, name) == 1;
}

/* ---- the rest ---- */

static bool set_serial(X509 *x)
{
    BIGNUM *n = BN_new();
    bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

    BN_free(n);
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

const EVP_MD *signing_digest(EVP_PKEY *key)
{
    char name[32];

    if (EVP_PKEY_get_default_digest_name(key, name, sizeof(name)) == 2 && (streq(name, "UNDEF") || !*name))
        return NULL;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) > 256 ? EVP_sha384() : EVP_sha256();
}

int self_signed_make(const Subject *subject, EVP_PKEY *key, unsigned days, X509 **ret, const char **reterr_reason)
{
    _cleanup_(x509_freep) X509 *x = NULL;
    int r;

    r = subject_check(subject, reterr_reason);
    if (r < 0)
        return r;
    if (days < 1 || days > SELF_SIGNED_DAYS_MAX) {
        *reterr_reason = "a certificate is valid for 1 to 3650 days";
        return -EINVAL;
    }
    *reterr_reason = "OpenSSL failed to make the certificate";
    x = X509_new();
    /* A day back: clocks differ. */
    if (!x || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, NULL)
            || !X509_time_adj_ex(X509_getm_notAfter(x), (int) days, 0, NULL) || X509_set_pubkey(x, key) != 1
            || !add_subject(x, subject))
        return -EIO;
    r = add_names(x, subject, reterr_reason);
    if (r < 0)
        return r;
    if (!add_extensions(x) || X509_sign(x, key, signing_digest(key)) <= 0)
        return -EIO;
    *ret = TAKE_PTR(x);
    return 0;
}
