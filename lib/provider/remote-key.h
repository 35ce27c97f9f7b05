/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private keys that are elsewhere: an OpenSSL provider whose keys have a public part and a name only; signing is asked of a
 * signer (certd).
 *
 * In an OpenSSL async job (SSL_MODE_ASYNC) the handshake pauses until the signer answers and SSL_ERROR_WANT_ASYNC is seen
 * meanwhile; the callback set by SSL_set_async_callback() is called when it can go on. Outside of a job signing fails: nothing
 * here blocks. (Programs that are not of the suite load module.h, which does.) Nothing of this reads, holds or could hold a private key. */

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "cleanup.h"

#define REMOTE_KEY_PROVIDER "postern"
#define REMOTE_KEY_MESSAGE_MAX (64 * 1024)
#define REMOTE_KEY_SIGNATURE_MAX 8192

/* One signature under way. The signer answers it exactly once with remote_signature_done(), from the event loop, unless it was
 * cancelled. */
typedef struct RemoteSignature RemoteSignature;

typedef struct RemoteSigner {
    /* Starts signing message with key name (whose public part has this SHA-256 of its SubjectPublicKeyInfo); scheme is the TLS
     * SignatureScheme. Returns negative errno if it cannot be started. name, hash and message stay until s is answered or
     * cancelled. Runs on the stack of an async job, which has 32 kB and no guard page: no large locals, no logging (the same
     * holds for every callback of OpenSSL under SSL_MODE_ASYNC). */
    int (*start)(RemoteSignature *s, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message,
            size_t size, void *userdata);
    /* s is going away and must not be answered any more. */
    void (*cancel)(RemoteSignature *s, void *userdata);
    void *userdata;
} RemoteSigner;

/* For the signer's own state of one signature. */
void remote_signature_set_data(RemoteSignature *s, void *data);
void *remote_signature_data(const RemoteSignature *s);
/* error: 0 or negative errno; the signature is copied. */
void remote_signature_done(RemoteSignature *s, int error, const uint8_t *signature, size_t size);

/* Gives up the signature that ssl's paused handshake waits for and ends its job: drives the handshake once, which fails. Call it
 * before SSL_free(), which would leak the job otherwise. Does nothing when no job is paused. Not from inside of a job. */
void remote_signature_abort(SSL *ssl);

/* A library context with the default provider and ours; one per process is enough. */
typedef struct RemoteKeys RemoteKeys;
int remote_keys_new(RemoteKeys **ret);
RemoteKeys *remote_keys_free(RemoteKeys *k);
DEFINE_CLEANUP(RemoteKeys, remote_keys_free);
OSSL_LIB_CTX *remote_keys_libctx(RemoteKeys *k);

/* A key for SSL_CTX_use_PrivateKey() from the certificate's public key. signer must outlive every use. EC P-256/P-384, Ed25519,
 * RSA, ML-DSA. */
int remote_key_new(RemoteKeys *k, EVP_PKEY **ret, X509 *certificate, const char *name, const RemoteSigner *signer);
