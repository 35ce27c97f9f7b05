/* SPDX-License-Identifier: Apache-2.0 */

/* PKCS#12 files. Deriving keys from passphrases takes as long as the file says: this is for a thread. */

#include "pkcs12.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "openssl-cleanup.h"

#define ITERATIONS 10000
/* What a file may ask for: more takes minutes. */
#define ITERATIONS_MAX 5000000

struct Pkcs12Reader {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *standard, *legacy;
};

static void pkcs12_freep(PKCS12 **p)
{
    PKCS12_free(*p);
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

int pkcs12_reader_new(Pkcs12Reader **ret)
{
    _cleanup_(pkcs12_reader_freep) Pkcs12Reader *r = calloc(1, sizeof(Pkcs12Reader));

    if (!r || !(r->context = OSSL_LIB_CTX_new()) || !(r->standard = OSSL_PROVIDER_load(r->context, "default")))
        return -ENOMEM;
    /* Not everywhere: Debian 13 has it in a package of its own. */
    r->legacy = OSSL_PROVIDER_load(r->context, "legacy");
    ERR_clear_error();
    *ret = TAKE_PTR(r);
    return 0;
}

/* ---- reading ---- */

static bool iterations_are_bounded(PKCS12 *p)
{
    const ASN1_INTEGER *iterations = NULL;

    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, p);
    return !iterations || (ASN1_INTEGER_get(iterations) > 0 && ASN1_INTEGER_get(iterations) <= ITERATIONS_MAX);
}

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

/* A file without a passphrase may be encrypted with an empty one or with none at all. */
static bool passphrase_fits(PKCS12 *p, const char *passphrase)
{
    return PKCS12_verify_mac(p, passphrase, -1) == 1 || (!*passphrase && PKCS12_verify_mac(p, NULL, 0) == 1);
}

/* Into the default library context, by way of secure memory. */
static EVP_PKEY *key_move(EVP_PKEY *key)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());

    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        return NULL;
    return PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
}

static int chain_add(STACK_OF(X509) *chain, const X509 *x)
{
    _cleanup_(x509_freep) X509 *copy = NULL;
    unsigned char *der = NULL;
    const unsigned char *p;
    int n;

    n = i2d_X509(x, &der);
    p = der;
    copy = n > 0 ? d2i_X509(NULL, &p, n) : NULL;
    OPENSSL_free(der);
    if (!copy || sk_X509_push(chain, copy) <= 0)
        return -ENOMEM;
    (void) TAKE_PTR(copy);
    return 0;
}

static int move(EVP_PKEY *key, const X509 *leaf, STACK_OF(X509) *others, EVP_PKEY **ret_key, STACK_OF(X509) **ret_chain)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
    _cleanup_(evp_pkey_freep) EVP_PKEY *moved = key_move(key);

    if (!chain || !moved || (leaf && chain_add(chain, leaf) < 0))
        return -ENOMEM;
    for (int i = 0; i < sk_X509_num(others); i++)
        if (chain_add(chain, sk_X509_value(others, i)) < 0)
            return -ENOMEM;
    *ret_key = TAKE_PTR(moved);
    *ret_chain = TAKE_PTR(chain);
    return 0;
}

static bool is_unsupported(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    return reason == ERR_R_UNSUPPORTED || reason == EVP_R_UNSUPPORTED_ALGORITHM || reason == EVP_R_UNKNOWN_PBE_ALGORITHM
            || reason == EVP_R_UNSUPPORTED_CIPHER;
}

int pkcs12_read(Pkcs12Reader *reader, const char *data, size_t size, const char *passphrase, EVP_PKEY **ret_key,
        STACK_OF(X509) **ret_chain, const char **reterr_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *others = NULL;
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(pkcs12_freep) PKCS12 *p = NULL;
    _cleanup_(x509_freep) X509 *leaf = NULL;
    int r;

    ERR_clear_error();
    *reterr_reason = "the file is no PKCS#12, or is damaged";
    r = open_file(reader, data, size, &p);
    if (r < 0)
        return r;
    if (!iterations_are_bounded(p))
        return -EBADMSG;
    if (PKCS12_mac_present(p) && !passphrase_fits(p, passphrase)) {
        bool unsupported = is_unsupported(ERR_peek_error());

        *reterr_reason = unsupported ? "the PKCS#12 file is authenticated in a way that OpenSSL does not support here"
                                     : "the passphrase is wrong";
        return unsupported ? -EOPNOTSUPP : -ENOKEY;
    }
    ERR_clear_error();
    if (PKCS12_parse(p, passphrase, &key, &leaf, &others) != 1) {
        /* Without a MAC a wrong passphrase is found out here only. */
        if (!reader->legacy) {
            *reterr_reason = "the PKCS#12 file cannot be decrypted; if that is with RC2 or RC4, OpenSSL's legacy provider is needed";
            return -EOPNOTSUPP;
        }
        *reterr_reason = PKCS12_mac_present(p) ? "the PKCS#12 file cannot be decrypted"
                                               : "the passphrase is wrong, or the file is damaged";
        return PKCS12_mac_present(p) ? -EOPNOTSUPP : -ENOKEY;
    }
    if (!key) {
        *reterr_reason = "there is no private key in the PKCS#12 file";
        return -ENODATA;
    }
    *reterr_reason = "the content of the PKCS#12 file cannot be used";
    return move(key, leaf, others, ret_key, ret_chain);
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
