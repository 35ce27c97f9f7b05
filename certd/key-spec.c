/* SPDX-License-Identifier: Apache-2.0 */

/* Keys are made here and nowhere else, so this is where weak ones are refused. */

#include "key-spec.h"

#include <openssl/err.h>

#include "openssl-cleanup.h"

/* bits 0: the algorithm has a group, or nothing to choose. refused: why such a key is not made. */
static const struct {
    const char *name, *algorithm, *group;
    size_t bits;
    const char *refused;
} specs[] = {
    {"ecdsa-p256", "EC", "P-256", 0, NULL},
    {"ecdsa-p384", "EC", "P-384", 0, NULL},
    {"ed25519", "ED25519", NULL, 0, NULL},
    {"ml-dsa-44", "ML-DSA-44", NULL, 0, NULL},
    {"ml-dsa-65", "ML-DSA-65", NULL, 0, NULL},
    {"ml-dsa-87", "ML-DSA-87", NULL, 0, NULL},
    {"rsa-1024", NULL, NULL, 0, "RSA keys of 1024 bits can be broken; the smallest that certd makes has 2048"},
    {"rsa-2048", "RSA", NULL, 2048, NULL},
    {"rsa-3072", "RSA", NULL, 3072, NULL},
    {"rsa-4096", "RSA", NULL, 4096, NULL},
};

static bool available(const char *algorithm)
{
    EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(NULL, algorithm, NULL);
    bool found = keymgmt != NULL;

    EVP_KEYMGMT_free(keymgmt);
    ERR_clear_error();
    return found;
}

static EVP_PKEY *generate(const char *algorithm, const char *group, size_t bits)
{
    EVP_PKEY_CTX *context;
    EVP_PKEY *key = NULL;

    if (group)
        return EVP_PKEY_Q_keygen(NULL, NULL, algorithm, group);
    if (bits > 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, algorithm, bits);
    context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    if (context && EVP_PKEY_keygen_init(context) == 1)
        (void) EVP_PKEY_generate(context, &key);
    EVP_PKEY_CTX_free(context);
    return key;
}

int key_spec_generate(const char *spec, EVP_PKEY **ret, const char **reterr_reason)
{
    EVP_PKEY *key;

    for (size_t i = 0; i < ELEMENTSOF(specs); i++) {
        if (!streq(specs[i].name, spec))
            continue;
        if (specs[i].refused) {
            *reterr_reason = specs[i].refused;
            return -EOPNOTSUPP;
        }
        if (!available(specs[i].algorithm)) {
            *reterr_reason = "the OpenSSL of this host does not have this type of key";
            return -EOPNOTSUPP;
        }
        key = generate(specs[i].algorithm, specs[i].group, specs[i].bits);
        if (!key) {
            ERR_clear_error();
            *reterr_reason = "OpenSSL failed to make the key";
            return -EIO;
        }
        *ret = key;
        return 0;
    }
    *reterr_reason = "there is no such type of key (ecdsa-p256, ecdsa-p384, ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87, rsa-2048, rsa-3072 and rsa-4096 are)";
    return -EOPNOTSUPP;
}
