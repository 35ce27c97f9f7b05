/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the provider share; remote-key.h is what the rest of the suite sees. */

#include <openssl/core.h>
#include <openssl/evp.h>
#include <stdint.h>

#include "remote-key.h"
#include "signature-scheme.h"

typedef struct RemoteKey RemoteKey;

/* How a key is signed with. scheme is the TLS SignatureScheme; returns 0 or negative errno; *ret_size is at most size. */
typedef int (*RemoteKeySign)(RemoteKey *k, uint16_t scheme, const uint8_t *message, size_t message_size, uint8_t *signature,
        size_t size, size_t *ret_size);

/* A key that is elsewhere: immutable once made, shared by reference between the EVP_PKEY and signatures under way. */
struct RemoteKey {
    unsigned n_ref;
    KeyType type;
    EVP_PKEY *public_key; /* of the default provider; answers all questions about the public part */
    uint8_t spki_sha256[32];
    char *name;
    RemoteKeySign sign;
    void *userdata; /* of sign */
};

RemoteKey *remote_key_ref(RemoteKey *k);
RemoteKey *remote_key_unref(RemoteKey *k);
DEFINE_CLEANUP(RemoteKey, remote_key_unref);
/* spki: the DER of a SubjectPublicKeyInfo. userdata must outlive the key. -EBADMSG, -EOPNOTSUPP for a type of key that is not in
 * signature-scheme.h, -ENOMEM. */
int remote_key_from_spki(RemoteKey **ret, OSSL_LIB_CTX *libctx, const char *name, const uint8_t *spki, size_t size,
        RemoteKeySign sign, void *userdata);
/* What OpenSSL calls keys of a type. */
extern const char *const remote_key_algorithms[_KEY_TYPE_MAX];

/* The import parameter that makes a key of ours: an octet pointer to a RemoteKey, which is referenced. It has no meaning outside
 * of the process. */
#define REMOTE_KEY_PARAM "postern-remote-key"

extern const OSSL_ALGORITHM remote_keymgmt[];
extern const OSSL_ALGORITHM remote_signature[];

/* The provider that is built in, and what the module's has like it. */
const OSSL_PARAM *remote_provider_gettable(void *context);
int remote_provider_get_params(void *context, OSSL_PARAM params[]);
const OSSL_ALGORITHM *remote_provider_query(void *context, int operation, int *ret_no_cache);
int remote_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ret_context);
