/* SPDX-License-Identifier: Apache-2.0 */

/* The table of signature schemes. No SHA-1, no SHA-224, no DSA: TLS 1.2 peers that can nothing else get no handshake. */

#include "signature-scheme.h"

#include <strings.h>

#define EC_P256 (1u << KEY_EC_P256)
#define EC_P384 (1u << KEY_EC_P384)
#define EC_ANY (EC_P256 | EC_P384)
#define ED25519 (1u << KEY_ED25519)
#define RSA (1u << KEY_RSA)
#define ML_DSA(n) (1u << KEY_ML_DSA_##n)
#define RSA_BITS_MIN 2048

/* In TLS 1.2 the ECDSA schemes name the hash only: a P-256 key may sign with SHA-384 if the peer prefers that. */
static const SignatureScheme schemes[] = {
    {0x0401, "rsa_pkcs1_sha256", RSA, 0, "SHA2-256", false},
    {0x0501, "rsa_pkcs1_sha384", RSA, 0, "SHA2-384", false},
    {0x0601, "rsa_pkcs1_sha512", RSA, 0, "SHA2-512", false},
    {0x0403, "ecdsa_secp256r1_sha256", EC_ANY, EC_P256, "SHA2-256", false},
    {0x0503, "ecdsa_secp384r1_sha384", EC_ANY, EC_P384, "SHA2-384", false},
    {0x0603, "ecdsa_secp521r1_sha512", EC_ANY, 0, "SHA2-512", false},
    {0x0804, "rsa_pss_rsae_sha256", RSA, RSA, "SHA2-256", true},
    {0x0805, "rsa_pss_rsae_sha384", RSA, RSA, "SHA2-384", true},
    {0x0806, "rsa_pss_rsae_sha512", RSA, RSA, "SHA2-512", true},
    {0x0807, "ed25519", ED25519, ED25519, NULL, false},
    {0x0904, "mldsa44", 0, ML_DSA(44), NULL, false},
    {0x0905, "mldsa65", 0, ML_DSA(65), NULL, false},
    {0x0906, "mldsa87", 0, ML_DSA(87), NULL, false},
};

static const struct {
    const char *alias, *name;
} digest_aliases[] = {
    {"SHA256", "SHA2-256"}, {"SHA-256", "SHA2-256"}, {"SHA384", "SHA2-384"},
    {"SHA-384", "SHA2-384"}, {"SHA512", "SHA2-512"}, {"SHA-512", "SHA2-512"},
};

const SignatureScheme *signature_scheme_get(size_t i)
{
    return i < ELEMENTSOF(schemes) ? &schemes[i] : NULL;
}

const SignatureScheme *signature_scheme_from_id(uint16_t id)
{
    for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
        if (schemes[i].id == id)
            return &schemes[i];
    return NULL;
}

static bool digest_equal(const char *wanted, const char *given)
{
    if (!given || !*given)
        return wanted == NULL;
    if (!wanted)
        return false;
    for (size_t i = 0; i < ELEMENTSOF(digest_aliases); i++)
        if (strcasecmp(given, digest_aliases[i].alias) == 0)
            return strcasecmp(wanted, digest_aliases[i].name) == 0;
    return strcasecmp(wanted, given) == 0;
}

const SignatureScheme *signature_scheme_find(KeyType type, const char *digest, bool pss)
{
    for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
        if ((schemes[i].key_types | schemes[i].tls13) & (1u << type) && schemes[i].pss == pss && digest_equal(schemes[i].digest, digest))
            return &schemes[i];
    return NULL;
}

/* Of these there is one size or group only. */
static const struct {
    const char *algorithm;
    KeyType type;
} single_types[] = {
    {"ED25519", KEY_ED25519},
    {"ML-DSA-44", KEY_ML_DSA_44},
    {"ML-DSA-65", KEY_ML_DSA_65},
    {"ML-DSA-87", KEY_ML_DSA_87},
};

int key_type_from_pkey(EVP_PKEY *key, KeyType *ret)
{
    char group[32];

    for (size_t i = 0; i < ELEMENTSOF(single_types); i++)
        if (EVP_PKEY_is_a(key, single_types[i].algorithm)) {
            *ret = single_types[i].type;
            return 0;
        }
    if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN) {
        *ret = KEY_RSA;
        return 0;
    }
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
        return -EOPNOTSUPP;
    if (streq(group, "prime256v1") || streq(group, "P-256"))
        *ret = KEY_EC_P256;
    else if (streq(group, "secp384r1") || streq(group, "P-384"))
        *ret = KEY_EC_P384;
    else
        return -EOPNOTSUPP;
    return 0;
}

const char *key_type_to_string(KeyType t)
{
    static const char *const names[_KEY_TYPE_MAX] = {
        [KEY_EC_P256] = "ECDSA P-256", [KEY_EC_P384] = "ECDSA P-384", [KEY_ED25519] = "Ed25519", [KEY_RSA] = "RSA",
        [KEY_ML_DSA_44] = "ML-DSA-44", [KEY_ML_DSA_65] = "ML-DSA-65", [KEY_ML_DSA_87] = "ML-DSA-87",
    };

    return t < _KEY_TYPE_MAX ? names[t] : "unknown";
}
