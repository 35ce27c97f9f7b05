/* SPDX-License-Identifier: Apache-2.0 */

/* From a pointer file to a key, in the two steps that OpenSSL has for PEM files: PEM to DER, by the label; DER to a key, by the
 * type of its public part. OpenSSL asks every decoder about everything that it reads: what is not ours is passed by without an
 * error, or the program's other keys would not load. */

#include "module.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "key-pointer.h"
#include "openssl-cleanup.h"

/* Ties the second step to the first. */
#define STRUCTURE "postern-pointer"

/* A decoder has no state: its context is the module. */
static void *decoder_new(void *context)
{
    return context;
}

static void decoder_free(void *context)
{
}

static int decode_pem(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback, void *argument,
        OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const Module *m = context;
    _cleanup_(bio_freep) BIO *bio = BIO_new_from_core_bio(m->libctx, in);
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    long size = 0;
    int r = 1;

    if (!bio)
        return 0;
    (void) ERR_set_mark();
    (void) PEM_read_bio(bio, &label, &header, &der, &size);
    (void) ERR_pop_to_mark();
    if (label && streq(label, KEY_POINTER_LABEL)) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, (size_t) size),
            OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *) STRUCTURE, 0),
            OSSL_PARAM_construct_end(),
        };

        r = callback(params, argument);
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return r;
}

/* All of it; -EBADMSG if it is more than a pointer has. */
static int read_der(const Module *m, OSSL_CORE_BIO *in, uint8_t buffer[static KEY_POINTER_SIZE_MAX + 1], size_t *ret_size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_from_core_bio(m->libctx, in);
    size_t size = 0, n;

    if (!bio)
        return -ENOMEM;
    (void) ERR_set_mark();
    while (size <= KEY_POINTER_SIZE_MAX && BIO_read_ex(bio, buffer + size, KEY_POINTER_SIZE_MAX + 1 - size, &n) == 1)
        size += n;
    (void) ERR_pop_to_mark();
    if (size > KEY_POINTER_SIZE_MAX)
        return -EBADMSG;
    *ret_size = size;
    return 0;
}

/* The key, if it is one with this algorithm. -EBADMSG, also for other algorithms, which have their own decoder. */
static int load_key(Module *m, OSSL_CORE_BIO *in, const char *algorithm, RemoteKey **ret)
{
    _cleanup_(remote_key_unrefp) RemoteKey *key = NULL;
    _cleanup_free_ uint8_t *der = NULL;
    KeyPointer pointer;
    size_t size;
    int r;

    der = malloc(KEY_POINTER_SIZE_MAX + 1);
    if (!der)
        return -ENOMEM;
    r = read_der(m, in, der, &size);
    if (r >= 0)
        r = key_pointer_parse(der, size, &pointer);
    if (r < 0)
        return r;
    (void) ERR_set_mark();
    r = remote_key_from_spki(&key, m->libctx, pointer.name, pointer.spki, pointer.spki_size, module_sign, m);
    (void) ERR_pop_to_mark();
    if (r < 0)
        return r;
    if (!streq(remote_key_algorithms[key->type], algorithm))
        return -EBADMSG;
    *ret = TAKE_PTR(key);
    return 0;
}

static int decode_der(Module *m, OSSL_CORE_BIO *in, const char *algorithm, OSSL_CALLBACK *callback, void *argument)
{
    _cleanup_(remote_key_unrefp) RemoteKey *key = NULL;
    int type = OSSL_OBJECT_PKEY, r;

    r = load_key(m, in, algorithm, &key);
    if (r == -EPROTONOSUPPORT)
        module_raise(m, MODULE_POINTER_LATER, "it is to be made again by the posternctl of this host");
    else if (r == -EOPNOTSUPP)
        module_raise(m, MODULE_POINTER_KEY, "ECDSA P-256 and P-384, Ed25519, RSA from 2048 bits and ML-DSA are");
    if (r < 0)
        return 1;

    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *) algorithm, 0),
        /* The key management takes a reference of its own. */
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, argument);
}

#define DEFINE_DECODER(name, algorithm)                                                                                          \
    static int decode_##name(void *context, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *callback, void *argument,          \
            OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)                                                    \
    {                                                                                                                            \
        return decode_der(context, in, algorithm, callback, argument);                                                          \
    }                                                                                                                            \
    static const OSSL_DISPATCH functions_##name[] = {                                                                            \
        {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void)) decoder_new},                                                                \
        {OSSL_FUNC_DECODER_FREECTX, (void (*)(void)) decoder_free},                                                              \
        {OSSL_FUNC_DECODER_DECODE, (void (*)(void)) decode_##name},                                                              \
        {0, NULL},                                                                                                               \
    }

DEFINE_DECODER(rsa, "RSA");
DEFINE_DECODER(ec, "EC");
DEFINE_DECODER(ed25519, "ED25519");
DEFINE_DECODER(ml_dsa_44, "ML-DSA-44");
DEFINE_DECODER(ml_dsa_65, "ML-DSA-65");
DEFINE_DECODER(ml_dsa_87, "ML-DSA-87");

static const OSSL_DISPATCH functions_pem[] = {
    {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void)) decoder_new},
    {OSSL_FUNC_DECODER_FREECTX, (void (*)(void)) decoder_free},
    {OSSL_FUNC_DECODER_DECODE, (void (*)(void)) decode_pem},
    {0, NULL},
};

#define PROPERTIES_PEM "provider=" REMOTE_KEY_PROVIDER ",input=pem"
#define PROPERTIES_DER "provider=" REMOTE_KEY_PROVIDER ",input=der,structure=" STRUCTURE

/* The names are those of the key managements. */
const OSSL_ALGORITHM module_decoders[] = {
    {"DER", PROPERTIES_PEM, functions_pem, "pointer file of postern"},
    {"RSA", PROPERTIES_DER, functions_rsa, "pointer to an RSA key"},
    {"EC", PROPERTIES_DER, functions_ec, "pointer to an EC key"},
    {"ED25519", PROPERTIES_DER, functions_ed25519, "pointer to an Ed25519 key"},
    {"ML-DSA-44", PROPERTIES_DER, functions_ml_dsa_44, "pointer to an ML-DSA key"},
    {"ML-DSA-65", PROPERTIES_DER, functions_ml_dsa_65, "pointer to an ML-DSA key"},
    {"ML-DSA-87", PROPERTIES_DER, functions_ml_dsa_87, "pointer to an ML-DSA key"},
    {NULL, NULL, NULL, NULL},
};
