/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens through OpenSSL's pkcs11 provider, in a library context of their own, so that nothing else in certd is ever done by the
 * module. It must never ask anybody for a PIN. */

#include "tokens.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/x509.h>

#include "openssl-cleanup.h"

struct Tokens {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *standard, *pkcs11;
};

#if OPENSSL_VERSION_PREREQ(3, 2)

static OSSL_PROVIDER *load_pkcs11(OSSL_LIB_CTX *libctx, const char *module, const char *pin)
{
    OSSL_PARAM params[6], *p = params;

    *p++ = OSSL_PARAM_construct_utf8_string("pkcs11-module-path", (char *) module, 0);
    /* Now, and not when the first key is asked for: then nothing can be loaded any more. */
    *p++ = OSSL_PARAM_construct_utf8_string("pkcs11-module-load-behavior", (char *) "early", 0);
    /* A module may be torn down after the OpenSSL that it uses itself; the process ends anyway. */
    *p++ = OSSL_PARAM_construct_utf8_string("pkcs11-module-quirks", (char *) "no-deinit", 0);
    if (pin)
        *p++ = OSSL_PARAM_construct_utf8_string("pkcs11-module-token-pin", (char *) pin, 0);
    *p = OSSL_PARAM_construct_end();
    return OSSL_PROVIDER_load_ex(libctx, "pkcs11", params);
}

#else

static OSSL_PROVIDER *load_pkcs11(OSSL_LIB_CTX *libctx, const char *module, const char *pin)
{
    return NULL;
}

#endif

int tokens_new(Tokens **ret, const char *module, const char *pin, const char **reterr_reason)
{
    _cleanup_(tokens_freep) Tokens *t = NULL;

    *reterr_reason = "keys in tokens need OpenSSL 3.2 or later";
    if (!OPENSSL_VERSION_PREREQ(3, 2))
        return -EOPNOTSUPP;
    *reterr_reason = "it does not fit into memory";
    t = calloc(1, sizeof(Tokens));
    if (!t)
        return -ENOMEM;
    t->libctx = OSSL_LIB_CTX_new();
    t->standard = t->libctx ? OSSL_PROVIDER_load(t->libctx, "default") : NULL;
    if (!t->standard)
        return -ENOMEM;
    if (access(module, R_OK) < 0) {
        *reterr_reason = "the file cannot be read";
        return -ENODEV;
    }
    t->pkcs11 = load_pkcs11(t->libctx, module, pin);
    ERR_clear_error();
    if (!t->pkcs11) {
        *reterr_reason = "OpenSSL's provider \"pkcs11\" (package pkcs11-provider) is missing, or does not accept it as a PKCS#11 module";
        return -ENODEV;
    }
    *ret = TAKE_PTR(t);
    return 0;
}

Tokens *tokens_free(Tokens *t)
{
    if (!t)
        return NULL;
    if (t->pkcs11)
        (void) OSSL_PROVIDER_unload(t->pkcs11);
    if (t->standard)
        (void) OSSL_PROVIDER_unload(t->standard);
    OSSL_LIB_CTX_free(t->libctx);
    free(t);
    return NULL;
}

static bool has_attribute(const char *uri, const char *name)
{
    const size_t n = strlen(name);

    for (const char *p = strpbrk(uri, ":"); p; p = strpbrk(p + 1, ";?&"))
        if (strncmp(p + 1, name, n) == 0 && p[1 + n] == '=')
            return true;
    return false;
}

int token_uri_check(const char *uri, const char **reterr_reason)
{
    static const struct {
        const char *attribute, *reason;
    } refused[] = {
        {"pin-value", "has a PIN in the URI of its key, which is shown to everybody: it belongs into the credential postern-certd-pin"},
        {"pin-source", "has the place of a PIN in the URI of its key: it belongs into the credential postern-certd-pin"},
        {"module-path", "has a module in the URI of its key: it is set in certd.conf"},
        {"module-name", "has a module in the URI of its key: it is set in certd.conf"},
    };

    if (strncmp(uri, "pkcs11:", strlen("pkcs11:")) != 0 || strlen(uri) > TOKEN_URI_MAX) {
        *reterr_reason = "does not name its key in a token by a URI such as pkcs11:token=…;object=…";
        return -EINVAL;
    }
    for (const char *p = uri; *p; p++)
        if (*p <= ' ' || *p > '~') {
            *reterr_reason = "has other characters than printable ASCII in the URI of its key: they are %-encoded";
            return -EINVAL;
        }
    for (size_t i = 0; i < ELEMENTSOF(refused); i++)
        if (has_attribute(uri, refused[i].attribute)) {
            *reterr_reason = refused[i].reason;
            return -EINVAL;
        }
    return 0;
}

DEFINE_OPENSSL_CLEANUP(OSSL_STORE_INFO, store_info_freep, OSSL_STORE_INFO_free);

/* By their public parts, since EVP_PKEY_eq() does not know EC keys of the provider for the same. */
static bool same_key(EVP_PKEY *a, EVP_PKEY *b)
{
    unsigned char *x = NULL, *y = NULL;
    int n = i2d_PUBKEY(a, &x), m = i2d_PUBKEY(b, &y);
    bool same = n > 0 && n == m && memcmp(x, y, (size_t) n) == 0;

    OPENSSL_free(x);
    OPENSSL_free(y);
    return same;
}

/* The only private key that there is, or NULL. The provider may list one twice, when it is in use already. */
static EVP_PKEY *load_only(OSSL_STORE_CTX *store, const char **reterr_reason)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;

    *reterr_reason = "names a private key that no token has, or the PIN is wrong";
    while (!OSSL_STORE_eof(store)) {
        _cleanup_(store_info_freep) OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (!info)
            break;
        if (OSSL_STORE_INFO_get_type(info) != OSSL_STORE_INFO_PKEY)
            continue;
        if (!key)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        else if (!same_key(key, OSSL_STORE_INFO_get0_PKEY(info))) {
            *reterr_reason = "names more than one key by its URI";
            return NULL;
        }
    }
    return TAKE_PTR(key);
}

int tokens_get_key(Tokens *t, const char *uri, EVP_PKEY **ret, const char **reterr_reason)
{
    _cleanup_free_ char *private_uri = NULL;
    OSSL_STORE_CTX *store;
    EVP_PKEY *key = NULL;
    int r;

    r = token_uri_check(uri, reterr_reason);
    if (r < 0)
        return r;
    if (asprintf(&private_uri, "%s%s", uri, has_attribute(uri, "type") ? "" : ";type=private") < 0) {
        private_uri = NULL;
        *reterr_reason = "does not fit into memory";
        return -ENOMEM;
    }
    *reterr_reason = "names a key by a URI that cannot be understood";
    store = OSSL_STORE_open_ex(private_uri, t->libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    if (store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) == 1)
        key = load_only(store, reterr_reason);
    (void) OSSL_STORE_close(store);
    /* A token's private key does not know its public part, but for RSA. */
    if (key && i2d_PUBKEY(key, NULL) <= 0) {
        *reterr_reason = "names a private key whose public key is not in the token with the same CKA_ID";
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    if (!key)
        return -ENODEV;
    *ret = key;
    return 0;
}
