/* SPDX-License-Identifier: Apache-2.0 */

/* PKCS#12 files, taken apart here and not by PKCS12_parse(): so that what each part costs is known before it is decrypted, and
 * attributes, which are of no use and have been the cause of trouble, are never looked at. Deriving keys from passphrases takes
 * long: this is for a thread. */

#include "pkcs12.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "certificate.h"
#include "openssl-cleanup.h"
#include "pkcs12-cost.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

#define ITERATIONS 10000

struct Pkcs12Reader {
    uint64_t iterations_max;
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *standard, *legacy;
};

DEFINE_OPENSSL_CLEANUP(PKCS12, pkcs12_freep, PKCS12_free);
DEFINE_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO, pkcs8_freep, PKCS8_PRIV_KEY_INFO_free);

static void parts_freep(STACK_OF(PKCS7) **parts)
{
    sk_PKCS7_pop_free(*parts, PKCS7_free);
}

Pkcs12Reader *pkcs12_reader_free(Pkcs12Reader *r)
{
    if (!r)
        return NULL;
    if (r->legacy)
        (void) OSSL_PROVIDER_unload(r->legacy);
    if (r->standard)
        (void) OSSL_PROVIDER_unload(r->standard);
    OSSL_LIB_CTX_free(r->context);
    free(r);
    return NULL;
}

int pkcs12_reader_new(Pkcs12Reader **ret, uint64_t iterations_max)
{
    _cleanup_(pkcs12_reader_freep) Pkcs12Reader *r = calloc(1, sizeof(Pkcs12Reader));

    if (!r || !(r->context = OSSL_LIB_CTX_new()) || !(r->standard = OSSL_PROVIDER_load(r->context, "default")))
        return -ENOMEM;
    r->iterations_max = iterations_max;
    /* Not everywhere: Debian 13 has it in a package of its own. */
    r->legacy = OSSL_PROVIDER_load(r->context, "legacy");
    ERR_clear_error();
    *ret = TAKE_PTR(r);
    return 0;
}

/* ---- what is in it ---- */

/* Bags can hold bags. Nobody makes such files, so a little is enough. */
#define BAGS_DEPTH_MAX 4

/* A file being read with one passphrase. */
typedef struct Content {
    Pkcs12Reader *reader;
    const char *passphrase;
    uint64_t *iterations; /* that are left */
    EVP_PKEY *key;
    STACK_OF(X509) *chain;
    const char **reterr_reason;
} Content;

static void content_done(Content *c)
{
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
}

static int fail(Content *c, int error, const char *reason)
{
    *c->reterr_reason = reason;
    return error;
}

static int is_affordable(Content *c, const Pkcs12Cost *cost)
{
    if (cost->error < 0)
        return fail(c, cost->error, cost->reason);
    if (cost->needs_legacy && !c->reader->legacy)
        return fail(c, -EOPNOTSUPP, "the PKCS#12 file is encrypted with RC2 or RC4, and OpenSSL's legacy provider, which reads that, "
                                    "is not installed");
    if (cost->iterations > *c->iterations)
        return fail(c, -E2BIG, "the PKCS#12 file asks for too many iterations of its key derivation (more than "
                               STRINGIFY(PKCS12_ITERATIONS_MAX) " altogether)");
    *c->iterations -= cost->iterations;
    return 0;
}

/* The cipher finds out by the padding and what is inside; with a MAC the passphrase is known to be right. */
static int fail_decryption(Content *c, PKCS12 *p)
{
    return PKCS12_mac_present(p) ? fail(c, -EBADMSG, "the PKCS#12 file is damaged: a part of it cannot be decrypted")
                                 : fail(c, -ENOKEY, "the passphrase is wrong, or the file is damaged");
}

static int take_key(Content *c, const PKCS8_PRIV_KEY_INFO *p8)
{
    if (c->key)
        return fail(c, -ENOTUNIQ, "there are several private keys in the PKCS#12 file; it has to be one");
    c->key = EVP_PKCS82PKEY(p8);
    return c->key ? 0 : fail(c, -EOPNOTSUPP, "the private key in the PKCS#12 file is damaged or of an unknown kind");
}

static int read_encrypted_key(Content *c, PKCS12 *p, const PKCS12_SAFEBAG *bag)
{
    _cleanup_(pkcs8_freep) PKCS8_PRIV_KEY_INFO *p8 = NULL;
    const X509_ALGOR *algorithm;
    Pkcs12Cost cost;
    int r;

    X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, NULL);
    cost = pkcs12_cost_of_encryption(algorithm);
    r = is_affordable(c, &cost);
    if (r < 0)
        return r;
    p8 = PKCS12_decrypt_skey_ex(bag, c->passphrase, -1, c->reader->context, NULL);
    return p8 ? take_key(c, p8) : fail_decryption(c, p);
}

static int read_certificate(Content *c, const PKCS12_SAFEBAG *bag)
{
    _cleanup_(x509_freep) X509 *x = NULL;

    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return 0;
    if (sk_X509_num(c->chain) >= CERTIFICATE_CHAIN_MAX)
        return fail(c, -E2BIG, "there are too many certificates in the PKCS#12 file");
    x = PKCS12_SAFEBAG_get1_cert(bag);
    if (!x)
        return fail(c, -EBADMSG, "a certificate in the PKCS#12 file is damaged");
    if (sk_X509_push(c->chain, x) <= 0)
        return -ENOMEM;
    (void) TAKE_PTR(x);
    return 0;
}

/* What is neither key nor certificate is passed over. */
static int read_bags(Content *c, PKCS12 *p, const STACK_OF(PKCS12_SAFEBAG) *bags, unsigned depth)
{
    int r = 0;

    if (depth > BAGS_DEPTH_MAX)
        return fail(c, -EBADMSG, "the PKCS#12 file is nested too deeply");
    for (int i = 0; r >= 0 && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);

        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_keyBag:
            r = take_key(c, PKCS12_SAFEBAG_get0_p8inf(bag));
            break;
        case NID_pkcs8ShroudedKeyBag:
            r = read_encrypted_key(c, p, bag);
            break;
        case NID_certBag:
            r = read_certificate(c, bag);
            break;
        case NID_safeContentsBag:
            r = read_bags(c, p, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
            break;
        }
    }
    return r;
}

static void bags_freep(STACK_OF(PKCS12_SAFEBAG) **bags)
{
    sk_PKCS12_SAFEBAG_pop_free(*bags, PKCS12_SAFEBAG_free);
}

static int read_encrypted_bags(Content *c, PKCS12 *p, PKCS7 *part, STACK_OF(PKCS12_SAFEBAG) **ret)
{
    Pkcs12Cost cost;
    int r;

    /* OpenSSL does not look whether there is anything. */
    if (!part->d.encrypted || !part->d.encrypted->enc_data->enc_data)
        return fail(c, -EBADMSG, "the PKCS#12 file is damaged: an encrypted part is empty");
    cost = pkcs12_cost_of_encryption(part->d.encrypted->enc_data->algorithm);
    r = is_affordable(c, &cost);
    if (r < 0)
        return r;
    *ret = PKCS12_unpack_p7encdata(part, c->passphrase, -1);
    return *ret ? 0 : fail_decryption(c, p);
}

static int read_part(Content *c, PKCS12 *p, PKCS7 *part)
{
    _cleanup_(bags_freep) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    int r;

    if (PKCS7_type_is_data(part)) {
        bags = part->d.data ? PKCS12_unpack_p7data(part) : NULL;
        r = bags ? 0 : fail(c, -EBADMSG, "the PKCS#12 file is damaged");
    } else if (PKCS7_type_is_encrypted(part))
        r = read_encrypted_bags(c, p, part, &bags);
    else
        r = fail(c, -EOPNOTSUPP, "a part of the PKCS#12 file is not encrypted with a passphrase");
    return r < 0 ? r : read_bags(c, p, bags, 0);
}

static int check_mac(Content *c, PKCS12 *p)
{
    Pkcs12Cost cost;
    int r;

    if (!PKCS12_mac_present(p))
        return 0;
    cost = pkcs12_cost_of_mac(p);
    r = is_affordable(c, &cost);
    if (r < 0)
        return r;
    if (PKCS12_verify_mac(p, c->passphrase, -1) == 1)
        return 0;
    /* What is not a wrong passphrase leaves an error behind. */
    return ERR_peek_error() == 0 ? fail(c, -ENOKEY, "the passphrase is wrong")
                                 : fail(c, -EOPNOTSUPP, "the PKCS#12 file is authenticated in a way that OpenSSL does not support here");
}

static int read_content(Content *c, PKCS12 *p)
{
    _cleanup_(parts_freep) STACK_OF(PKCS7) *parts = NULL;
    int r;

    ERR_clear_error();
    c->chain = sk_X509_new_null();
    if (!c->chain)
        return -ENOMEM;
    r = check_mac(c, p);
    if (r < 0)
        return r;
    parts = PKCS12_unpack_authsafes(p);
    if (!parts)
        return fail(c, -EBADMSG, "the PKCS#12 file is damaged, or signed with a key instead of a passphrase");
    for (int i = 0; i < sk_PKCS7_num(parts); i++) {
        r = read_part(c, p, sk_PKCS7_value(parts, i));
        if (r < 0)
            return r;
    }
    return c->key ? 0 : fail(c, -ENODATA, "there is no private key in the PKCS#12 file");
}

/* ---- reading ---- */

static int open_file(Pkcs12Reader *reader, const char *data, size_t size, PKCS12 **ret)
{
    _cleanup_(pkcs12_freep) PKCS12 *p = PKCS12_init_ex(NID_pkcs7_data, reader->context, NULL);
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(data, (int) size);

    if (!p || !bio)
        return -ENOMEM;
    /* On failure p is NULL or still ours: how far it came decides. */
    if (!d2i_PKCS12_bio(bio, &p))
        return -EBADMSG;
    *ret = TAKE_PTR(p);
    return 0;
}

int pkcs12_read(Pkcs12Reader *reader, const char *data, size_t size, const char *passphrase, EVP_PKEY **ret_key,
        STACK_OF(X509) **ret_chain, const char **reterr_reason)
{
    /* A file without a passphrase may be encrypted with an empty one or with none at all. */
    const char *const candidates[] = {passphrase, NULL};
    uint64_t iterations = reader->iterations_max;
    _cleanup_(pkcs12_freep) PKCS12 *p = NULL;
    int r;

    ERR_clear_error();
    *reterr_reason = "the file is no PKCS#12, or is damaged";
    r = open_file(reader, data, size, &p);
    for (size_t i = 0; r >= 0 && i < (*passphrase ? 1 : ELEMENTSOF(candidates)); i++) {
        _cleanup_(content_done) Content c = {
            .reader = reader,
            .passphrase = candidates[i],
            .iterations = &iterations,
            .reterr_reason = reterr_reason,
        };

        r = read_content(&c, p);
        if (r >= 0) {
            *ret_key = TAKE_PTR(c.key);
            *ret_chain = TAKE_PTR(c.chain);
            break;
        }
        if (r == -ENOKEY && i + 1 < ELEMENTSOF(candidates) && !*passphrase)
            r = 0;
    }
    ERR_clear_error();
    return r;
}

/* ---- writing ---- */

int pkcs12_write(EVP_PKEY *key, STACK_OF(X509) *chain, const char *name, const char *passphrase, BIO **ret,
        const char **reterr_reason)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    STACK_OF(X509) *others = sk_X509_dup(chain); /* the certificates are chain's */
    _cleanup_(pkcs12_freep) PKCS12 *p = NULL;

    *reterr_reason = "OpenSSL failed to make the PKCS#12 file";
    if (!others || !bio) {
        sk_X509_free(others);
        return -ENOMEM;
    }
    (void) sk_X509_shift(others);
    p = PKCS12_create_ex(passphrase, name, key, sk_X509_value(chain, 0), others, NID_aes_256_cbc, NID_aes_256_cbc, ITERATIONS,
            ITERATIONS, 0, NULL, NULL);
    sk_X509_free(others);
    if (!p || i2d_PKCS12_bio(bio, p) != 1)
        return -EIO;
    *ret = TAKE_PTR(bio);
    return 0;
}
