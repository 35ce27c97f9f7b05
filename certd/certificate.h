/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A certificate with its chain and its private key: what the store holds under a name. Immutable and counted, so that a
 * signature under way keeps the one it began with while the store has got a new one. The key never comes out; there is only
 * certificate_sign(). */

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "certificate-name.h"
#include "cleanup.h"
#include "signature-scheme.h"

#define CERTIFICATE_PEM_MAX (256 * 1024)
#define CERTIFICATE_CHAIN_MAX 16
#define CERTIFICATE_SIGNATURE_MAX SIGNATURE_SIZE_MAX

/* The one that is made at the first start. */
#define DEMONSTRATION_NAME "demonstration"

typedef enum CertificateState {
    CERTIFICATE_SIGNED,
    CERTIFICATE_SELF_SIGNED,
    CERTIFICATE_REQUEST_PENDING, /* self-signed, and a request was made for an authority */
    CERTIFICATE_DEMONSTRATION,
    CERTIFICATE_NOT_YET_VALID,
    CERTIFICATE_EXPIRED,
    _CERTIFICATE_STATE_MAX,
} CertificateState;

/* A context that is copied for each signature: a copy is much cheaper than making one, which looks algorithms up by name. */
typedef struct PreparedSignature {
    const SignatureScheme *scheme;
    EVP_MD_CTX *context;
} PreparedSignature;

#define CERTIFICATE_SCHEMES_MAX 8

typedef struct Certificate {
    unsigned n_ref;
    char *name;
    EVP_PKEY *key;
    KeyType key_type;
    PreparedSignature prepared[CERTIFICATE_SCHEMES_MAX]; /* what the key signs with */
    char *pem; /* leaf first, as served */
    size_t pem_size;
    uint8_t *leaf; /* DER */
    size_t leaf_size;
    uint8_t spki_sha256[32]; /* of the leaf's SubjectPublicKeyInfo: TLSA 3 1 1 */
    char *subject;           /* RFC 2253 */
    uint64_t not_before_usec, not_after_usec; /* since the epoch */
    bool self_signed;
    bool export_forbidden;
    bool key_encrypted; /* in its file, or in a token */
    char *key_uri;      /* in a token; NULL: in its file */
    char *request; /* PEM; NULL: none was made */
} Certificate;

/* The chain is PEM; what is of another kind in it is passed over. The key is counted, and tried: what it signs the leaf must verify.
 * -EBADMSG, -EKEYREJECTED (another key's), -EOPNOTSUPP with *reterr_reason (static); -ENOMEM. */
int certificate_new(Certificate **ret, const char *name, EVP_PKEY *key, const char *chain_pem, size_t chain_size,
        const char **reterr_reason);
Certificate *certificate_ref(Certificate *c);
Certificate *certificate_unref(Certificate *c);
DEFINE_CLEANUP(Certificate, certificate_unref);

CertificateState certificate_state(const Certificate *c, uint64_t now_usec);
/* "self-signed" */
const char *certificate_state_to_string(CertificateState s);
bool certificate_is_demonstration(const Certificate *c);

/* Same key, same chain, same request. */
bool certificate_equal(const Certificate *a, const Certificate *b);

/* The data of a TLSA record, "3 1 1 …"; malloc'ed. */
int certificate_tlsa(const Certificate *c, char **ret);

/* Signs message; the caller has made sure that scheme suits the key and message is a handshake's. signature has room for
 * CERTIFICATE_SIGNATURE_MAX. May be called from any thread. -EIO if OpenSSL fails. */
int certificate_sign(const Certificate *c, const SignatureScheme *scheme, const uint8_t *message, size_t size, uint8_t *signature,
        size_t *ret_size);
