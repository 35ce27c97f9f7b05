/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The TLS signature schemes (RFC 8446 section 4.2.3, RFC 5246 section 7.4.1.4.1, draft-ietf-tls-mldsa) the suite signs with, as data: what the remote
 * keys may ask for and what certd answers. What is not in the table is not signed. */

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* Of ML-DSA-87; all others are shorter. */
#define SIGNATURE_SIZE_MAX 4627

typedef enum KeyType {
    KEY_EC_P256,
    KEY_EC_P384,
    KEY_ED25519,
    KEY_RSA,
    KEY_ML_DSA_44, /* FIPS 204; OpenSSL has them from 3.5 on */
    KEY_ML_DSA_65,
    KEY_ML_DSA_87,
    _KEY_TYPE_MAX,
} KeyType;

typedef struct SignatureScheme {
    uint16_t id;
    const char *name;   /* as in RFC 8446: "ecdsa_secp256r1_sha256" */
    unsigned key_types; /* bits (1 << KeyType) that may use it in TLS 1.2 */
    unsigned tls13;     /* the same in TLS 1.3, where an ECDSA scheme names its curve and PKCS#1 v1.5 is gone */
    const char *digest; /* OpenSSL's name; NULL: the scheme has its own (Ed25519, ML-DSA) */
    bool pss;
} SignatureScheme;

/* All there are, one after the other; NULL past the last. */
const SignatureScheme *signature_scheme_get(size_t i);

/* NULL for what is unknown. */
const SignatureScheme *signature_scheme_from_id(uint16_t id);

/* The scheme that signs so. digest: any of OpenSSL's names, NULL or "" for none. NULL if there is none. */
const SignatureScheme *signature_scheme_find(KeyType type, const char *digest, bool pss);

/* The type of a key of either half. -EOPNOTSUPP for those the suite does not use (other curves, DSA, RSA below 2048 bits). */
int key_type_from_pkey(EVP_PKEY *key, KeyType *ret);
/* "ECDSA P-256" */
const char *key_type_to_string(KeyType t);
