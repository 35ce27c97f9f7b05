/* SPDX-License-Identifier: Apache-2.0 */

/* The form of keys on disk. It must never ask anybody for a passphrase, nor write a plain key when there is one. */

#include "private-key.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "key-credential.h"
#include "openssl-cleanup.h"
#include "pkcs12-cost.h"

/* The passphrase is no word of a person but has 256 random bits, to which iterations add nothing; this is OpenSSL's default. */
#define ITERATIONS 2048

#define BEGIN_ANY "-----BEGIN "
#define END_OF_LABEL "PRIVATE KEY-----"
#define BEGIN_ENCRYPTED "-----BEGIN ENCRYPTED PRIVATE KEY-----"

DEFINE_OPENSSL_CLEANUP(X509_SIG, x509_sig_freep, X509_SIG_free);
DEFINE_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO, pkcs8_freep, PKCS8_PRIV_KEY_INFO_free);

/* OpenSSL must not ask a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
    return -1;
}

bool private_key_is_encrypted(const char *pem)
{
    for (const char *p = pem; (p = strstr(p, BEGIN_ANY)); p++) {
        const char *label = p + strlen(BEGIN_ANY), *end = strpbrk(label, "\r\n");
        size_t n = end ? (size_t) (end - label) : strlen(label);

        if (n >= strlen(END_OF_LABEL) && memmem(label, n, END_OF_LABEL, strlen(END_OF_LABEL)))
            return strncmp(p, BEGIN_ENCRYPTED, strlen(BEGIN_ENCRYPTED)) == 0;
    }
    return false;
}

/* PBES2 with PBKDF2, and no more iterations than can be waited for. */
static bool encryption_is_ours(const X509_SIG *sig)
{
    const X509_ALGOR *algorithm;
    Pkcs12Cost cost;

    X509_SIG_get0(sig, &algorithm, NULL);
    cost = pkcs12_cost_of_encryption(algorithm);
    return OBJ_obj2nid(algorithm->algorithm) == NID_pbes2 && cost.error == 0 && cost.iterations <= PRIVATE_KEY_ITERATIONS_MAX;
}

static int decrypt(BIO *bio, const char *passphrase, EVP_PKEY **ret, const char **reterr_reason)
{
    _cleanup_(x509_sig_freep) X509_SIG *sig = NULL;
    _cleanup_(pkcs8_freep) PKCS8_PRIV_KEY_INFO *info = NULL;
    EVP_PKEY *key;

    if (!passphrase) {
        *reterr_reason = "has an encrypted private key, and certd was given no credential '" KEY_CREDENTIAL_NAME "' that decrypts it: "
                         "put " KEY_CREDENTIAL_FILE " back, or the key in without encryption (see postern-certd(8), KEYS AT REST)";
        return -EBADMSG;
    }
    *reterr_reason = "has an encrypted private key that is damaged, or is encrypted in another way than by PBES2 with PBKDF2";
    sig = PEM_read_bio_PKCS8(bio, NULL, no_passphrase, NULL);
    if (!sig || !encryption_is_ours(sig))
        return -EBADMSG;
    *reterr_reason = "has an encrypted private key that the credential '" KEY_CREDENTIAL_NAME "' does not decrypt: it was encrypted with "
                     "another one, which belongs into " KEY_CREDENTIAL_FILE ", or is damaged (see postern-certd(8), KEYS AT REST)";
    info = PKCS8_decrypt(sig, passphrase, (int) strlen(passphrase));
    key = info ? EVP_PKCS82PKEY(info) : NULL;
    if (!key)
        return -EBADMSG;
    *ret = key;
    return 0;
}

int private_key_read(const char *pem, size_t size, const char *passphrase, EVP_PKEY **ret, const char **reterr_reason)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    EVP_PKEY *key;
    int r = 0;

    *reterr_reason = "does not fit into memory";
    if (!bio)
        return -ENOMEM;
    if (private_key_is_encrypted(pem))
        r = decrypt(bio, passphrase, ret, reterr_reason);
    else {
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        if (key)
            *ret = key;
        else {
            *reterr_reason = "has no unencrypted private key in PEM";
            r = -EBADMSG;
        }
    }
    ERR_clear_error();
    return r;
}

static bool write_encrypted(BIO *bio, EVP_PKEY *key, const char *passphrase)
{
    _cleanup_(pkcs8_freep) PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    _cleanup_(x509_sig_freep) X509_SIG *sig = NULL;

    if (!info)
        return false;
    sig = PKCS8_encrypt(-1, EVP_aes_256_cbc(), passphrase, (int) strlen(passphrase), NULL, 0, ITERATIONS, info);
    return sig && PEM_write_bio_PKCS8(bio, sig) == 1;
}

int private_key_write(BIO *bio, EVP_PKEY *key, const char *passphrase)
{
    bool written = passphrase ? write_encrypted(bio, key, passphrase)
                              : PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;

    ERR_clear_error();
    return written ? 0 : -EIO;
}
