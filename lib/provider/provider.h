/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the provider share; remote-key.h is what the rest of the suite sees. */

#include <openssl/core.h>
#include <openssl/evp.h>
#include <stdint.h>

#include "remote-key.h"
#include "signature-scheme.h"

/* A key that is elsewhere: immutable once made, shared by reference between the EVP_PKEY and signatures under way. */
typedef struct RemoteKey {
    unsigned n_ref;
    KeyType type;
    EVP_PKEY *public_key; /* of the default provider; answers all questions about the public part */
    uint8_t spki_sha256[32];
    char *name;
    const RemoteSigner *signer;
} RemoteKey;

RemoteKey *remote_key_ref(RemoteKey *k);
RemoteKey *remote_key_unref(RemoteKey *k);
DEFINE_CLEANUP(RemoteKey, remote_key_unref);

/* The import parameter that makes a key of ours: an octet pointer to a RemoteKey, which is referenced. It has no meaning outside
 * of the process. */
#define REMOTE_KEY_PARAM "postern-remote-key"

/* Has the signer sign; pauses the current async job until it did. Returns 0, -EWOULDBLOCK outside of a job, -ECANCELED after
 * remote_signature_abort(), -EMSGSIZE, or the signer's error. *ret_size is at most size. */
int remote_key_sign(RemoteKey *k, uint16_t scheme, const uint8_t *message, size_t message_size, uint8_t *signature, size_t size,
        size_t *ret_size);

extern const OSSL_ALGORITHM remote_keymgmt[];
extern const OSSL_ALGORITHM remote_signature[];
int remote_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ret_context);
