/* SPDX-License-Identifier: Apache-2.0 */

/* Signatures with remote keys. Only the one-shot form over the whole message exists: the signer must see what it signs, so there
 * is nothing here that takes a digest. OpenSSL calls digest_sign_init() as a mere probe, too: nothing is asked of the signer
 * before digest_sign(). */

#include "provider.h"

#include <limits.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <strings.h>

typedef struct SignContext {
    RemoteKey *key;
    char digest[32];
    bool pss;
} SignContext;

static void *signature_new(void *context, const char *properties)
{
    return calloc(1, sizeof(SignContext));
}

static void signature_free(void *context)
{
    SignContext *c = context;

    if (!c)
        return;
    remote_key_unref(c->key);
    free(c);
}

/* OpenSSL gives the padding as a number or as a name. */
static int param_padding(const OSSL_PARAM *p, bool *ret_pss)
{
    static const struct {
        int number;
        const char *name;
        bool pss;
    } paddings[] = {
        {RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15, false},
        {RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS, true},
    };
    const char *name = NULL;
    int number = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING ? !OSSL_PARAM_get_utf8_string_ptr(p, &name) : !OSSL_PARAM_get_int(p, &number))
        return 0;
    for (size_t i = 0; i < ELEMENTSOF(paddings); i++)
        if (name ? strcasecmp(name, paddings[i].name) == 0 : number == paddings[i].number) {
            *ret_pss = paddings[i].pss;
            return 1;
        }
    return 0;
}

/* TLS has one salt length, that of the digest, which OpenSSL says with a number or a name, too. */
static bool param_salt_is_digest(const OSSL_PARAM *p)
{
    const char *name = NULL;
    int number = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_utf8_string_ptr(p, &name)
                && (streq(name, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) || strtol(name, NULL, 10) == RSA_PSS_SALTLEN_DIGEST);
    return OSSL_PARAM_get_int(p, &number) && number == RSA_PSS_SALTLEN_DIGEST;
}

static int signature_set_params(void *context, const OSSL_PARAM params[])
{
    SignContext *c = context;
    const OSSL_PARAM *p;
    bool pss = c->pss;

    if (!params)
        return 1;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) && !param_padding(p, &pss))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) && !param_salt_is_digest(p))
        return 0;
    /* The mask's digest is the message's digest; OpenSSL does not send another one for TLS. */
    if (OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST))
        return 0;
    if (c->key && !signature_scheme_find(c->key->type, c->digest, pss))
        return 0;
    c->pss = pss;
    return 1;
}

static const OSSL_PARAM *signature_settable_params(void *context, void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_END,
    };

    return params;
}

static int signature_digest_sign_init(void *context, const char *digest, void *key_data, const OSSL_PARAM params[])
{
    SignContext *c = context;
    RemoteKey *key = key_data ? *(RemoteKey **) key_data : c->key;

    if (!digest)
        digest = "";
    if (!key || strlen(digest) >= sizeof(c->digest) || !signature_scheme_find(key->type, digest, false))
        return 0;
    remote_key_ref(key);
    remote_key_unref(c->key);
    c->key = key;
    strcpy(c->digest, digest);
    c->pss = false;
    return signature_set_params(c, params);
}

static int signature_digest_sign(void *context, unsigned char *signature, size_t *signature_size, size_t size,
        const unsigned char *message, size_t message_size)
{
    SignContext *c = context;
    const SignatureScheme *scheme;

    if (!c->key || !(scheme = signature_scheme_find(c->key->type, c->digest, c->pss)))
        return 0;
    if (!signature) {
        *signature_size = (size_t) EVP_PKEY_get_size(c->key->public_key);
        return 1;
    }
    return c->key->sign(c->key, scheme->id, message, message_size, signature, size, signature_size) >= 0;
}

static const OSSL_DISPATCH signature_functions[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void)) signature_new},
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void)) signature_free},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void)) signature_set_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void)) signature_settable_params},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void)) signature_digest_sign_init},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void)) signature_digest_sign},
    {0, NULL},
};

#define PROPERTIES "provider=" REMOTE_KEY_PROVIDER

const OSSL_ALGORITHM remote_signature[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, signature_functions, "RSA signature made elsewhere"},
    {"ECDSA", PROPERTIES, signature_functions, "ECDSA signature made elsewhere"},
    {"ED25519:1.3.101.112", PROPERTIES, signature_functions, "Ed25519 signature made elsewhere"},
    {"ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44", PROPERTIES, signature_functions, "ML-DSA signature made elsewhere"},
    {"ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65", PROPERTIES, signature_functions, "ML-DSA signature made elsewhere"},
    {"ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87", PROPERTIES, signature_functions, "ML-DSA signature made elsewhere"},
    {NULL, NULL, NULL, NULL},
};
