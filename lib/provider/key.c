/* SPDX-License-Identifier: Apache-2.0 */

/* The key itself: a public part and a name, counted. The same in the suite's own processes and in the module. */

#include <openssl/sha.h>
#include <openssl/x509.h>

#include "openssl-cleanup.h"
#include "provider.h"

const char *const remote_key_algorithms[_KEY_TYPE_MAX] = {
    [KEY_EC_P256] = "EC", [KEY_EC_P384] = "EC", [KEY_ED25519] = "ED25519", [KEY_RSA] = "RSA",
    [KEY_ML_DSA_44] = "ML-DSA-44", [KEY_ML_DSA_65] = "ML-DSA-65", [KEY_ML_DSA_87] = "ML-DSA-87",
};

RemoteKey *remote_key_ref(RemoteKey *k)
{
    __atomic_add_fetch(&k->n_ref, 1, __ATOMIC_RELAXED);
    return k;
}

RemoteKey *remote_key_unref(RemoteKey *k)
{
    if (!k || __atomic_sub_fetch(&k->n_ref, 1, __ATOMIC_ACQ_REL) > 0)
        return NULL;
    EVP_PKEY_free(k->public_key);
    free(k->name);
    free(k);
    return NULL;
}

int remote_key_from_spki(RemoteKey **ret, OSSL_LIB_CTX *libctx, const char *name, const uint8_t *spki, size_t size,
        RemoteKeySign sign, void *userdata)
{
    _cleanup_(remote_key_unrefp) RemoteKey *key = NULL;
    const unsigned char *end = spki;
    int r;

    key = calloc(1, sizeof(RemoteKey));
    if (!key)
        return -ENOMEM;
    key->n_ref = 1;
    key->sign = sign;
    key->userdata = userdata;
    key->name = strdup(name);
    if (!key->name)
        return -ENOMEM;
    (void) SHA256(spki, size, key->spki_sha256);
    key->public_key = d2i_PUBKEY_ex(NULL, &end, (long) size, libctx, NULL);
    if (!key->public_key || end != spki + size)
        return -EBADMSG;
    r = key_type_from_pkey(key->public_key, &key->type);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(key);
    return 0;
}
