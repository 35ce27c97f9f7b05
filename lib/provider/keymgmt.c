/* SPDX-License-Identifier: Apache-2.0 */

/* Key management of remote keys: the EVP_PKEY's side. Questions about the public part are answered by the default provider's key;
 * a request for the private part is refused, always: there is none. That refusal is also what makes OpenSSL come to our signature
 * code rather than export the key to the default provider. */

#include "provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

/* What OpenSSL calls the key data. Empty from new() to import(). */
typedef struct KeyData {
    RemoteKey *key;
} KeyData;

static void *keymgmt_new(void *context)
{
    return calloc(1, sizeof(KeyData));
}

static void keymgmt_free(void *data)
{
    KeyData *d = data;

    if (!d)
        return;
    remote_key_unref(d->key);
    free(d);
}

static int keymgmt_has(const void *data, int selection)
{
    const KeyData *d = data;

    /* It says yes to the private part: it can sign. */
    return d && d->key;
}

static int keymgmt_match(const void *data1, const void *data2, int selection)
{
    const KeyData *a = data1, *b = data2;

    return a && b && a->key && b->key && EVP_PKEY_eq(a->key->public_key, b->key->public_key) == 1;
}

static int keymgmt_import(void *data, int selection, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, REMOTE_KEY_PARAM);
    const void *key = NULL;
    KeyData *d = data;
    size_t size;

    if (!p || d->key || !OSSL_PARAM_get_octet_ptr(p, &key, &size) || size != sizeof(RemoteKey))
        return 0;
    d->key = remote_key_ref((RemoteKey *) key);
    return 1;
}

/* From one of our decoders: a pointer to a RemoteKey, which is referenced. */
static void *keymgmt_load(const void *reference, size_t size)
{
    KeyData *d;

    if (!reference || size != sizeof(RemoteKey *))
        return NULL;
    d = calloc(1, sizeof(KeyData));
    if (d)
        d->key = remote_key_ref(*(RemoteKey *const *) reference);
    return d;
}

static const OSSL_PARAM *keymgmt_import_types(int selection)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(REMOTE_KEY_PARAM, NULL, 0), OSSL_PARAM_END};

    return params;
}

static int keymgmt_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument)
{
    const KeyData *d = data;

    if (!d->key || selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
        return 0;
    return EVP_PKEY_export(d->key->public_key, selection, callback, argument);
}

static const OSSL_PARAM *keymgmt_public_params(int selection)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };

    return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? NULL : params;
}

static int keymgmt_get_params(void *data, OSSL_PARAM params[])
{
    const KeyData *d = data;

    return d->key && EVP_PKEY_get_params(d->key->public_key, params) == 1;
}

static const OSSL_PARAM *keymgmt_gettable_params(void *context)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };

    return params;
}

static const char *keymgmt_ec_operation(int operation)
{
    /* An EC key signs with what OpenSSL calls ECDSA; the other types have one name. */
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define KEYMGMT_FUNCTIONS                                                              \
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void)) keymgmt_new},                             \
    {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void)) keymgmt_free},                           \
    {OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void)) keymgmt_load},                           \
    {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void)) keymgmt_has},                             \
    {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void)) keymgmt_match},                         \
    {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void)) keymgmt_import},                       \
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void)) keymgmt_import_types},           \
    {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void)) keymgmt_export},                       \
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void)) keymgmt_public_params},          \
    {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void)) keymgmt_get_params},               \
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void)) keymgmt_gettable_params}

static const OSSL_DISPATCH keymgmt_functions[] = {
    KEYMGMT_FUNCTIONS,
    {0, NULL},
};

static const OSSL_DISPATCH keymgmt_ec_functions[] = {
    KEYMGMT_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void)) keymgmt_ec_operation},
    {0, NULL},
};

#define PROPERTIES "provider=" REMOTE_KEY_PROVIDER

/* The names must be those of the default provider, all of them: libssl looks keys up by name. */
const OSSL_ALGORITHM remote_keymgmt[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, keymgmt_functions, "RSA key that is elsewhere"},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, keymgmt_ec_functions, "EC key that is elsewhere"},
    {"ED25519:1.3.101.112", PROPERTIES, keymgmt_functions, "Ed25519 key that is elsewhere"},
    {"ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44", PROPERTIES, keymgmt_functions, "ML-DSA key that is elsewhere"},
    {"ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65", PROPERTIES, keymgmt_functions, "ML-DSA key that is elsewhere"},
    {"ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87", PROPERTIES, keymgmt_functions, "ML-DSA key that is elsewhere"},
    {NULL, NULL, NULL, NULL},
};
