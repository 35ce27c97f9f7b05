/* SPDX-License-Identifier: Apache-2.0 */

/* Chains: taken apart, ordered, checked. What comes in was made by others; every loop is bounded by CERTIFICATE_CHAIN_MAX. */

#include "chain.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certificate.h"
#include "openssl-cleanup.h"

static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
    return -1;
}

static int push(STACK_OF(X509) *chain, X509 *x)
{
    if (sk_X509_push(chain, x) <= 0) {
        X509_free(x);
        return -ENOMEM;
    }
    return 0;
}

/* ---- reading ---- */

static int parse_pem(BIO *bio, STACK_OF(X509) *chain, const char **reterr_reason)
{
    int r;

    for (X509 *x; (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL));) {
        r = push(chain, x);
        if (r < 0)
            return r;
        if (sk_X509_num(chain) > CERTIFICATE_CHAIN_MAX) {
            *reterr_reason = "there are too many certificates in the file";
            return -E2BIG;
        }
    }
    /* Nothing but the end of the file may have ended the loop. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || sk_X509_num(chain) == 0) {
        *reterr_reason = sk_X509_num(chain) == 0 ? "there is no certificate in the file, neither PEM nor DER"
                                                 : "one of the certificates in the file is damaged";
        return -EBADMSG;
    }
    return 0;
}

/* DER is one certificate and nothing behind it. */
static X509 *parse_der(const char *data, size_t size)
{
    const unsigned char *p = (const unsigned char *) data;
    X509 *x = d2i_X509(NULL, &p, (long) size);

    if (x && p != (const unsigned char *) data + size) {
        X509_free(x);
        return NULL;
    }
    return x;
}

int chain_parse(const char *data, size_t size, STACK_OF(X509) **ret, const char **reterr_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
    _cleanup_(bio_freep) BIO *bio = NULL;
    X509 *x;
    int r;

    if (!chain)
        return -ENOMEM;
    if (size > CERTIFICATE_PEM_MAX) {
        *reterr_reason = "the file is too large for a chain of certificates";
        return -EFBIG;
    }
    ERR_clear_error();
    x = parse_der(data, size);
    ERR_clear_error();
    if (x)
        r = push(chain, x);
    else {
        bio = BIO_new_mem_buf(data, (int) size);
        r = bio ? parse_pem(bio, chain, reterr_reason) : -ENOMEM;
        ERR_clear_error();
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(chain);
    return 0;
}

/* ---- order ---- */

static bool signed_by(X509 *x, X509 *issuer)
{
    bool ok = X509_check_issued(issuer, x) == X509_V_OK && X509_verify(x, X509_get0_pubkey(issuer)) == 1;

    ERR_clear_error();
    return ok;
}

static bool self_signed(X509 *x)
{
    bool ok = X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0 && X509_verify(x, X509_get0_pubkey(x)) == 1;

    ERR_clear_error();
    return ok;
}

static bool contains(STACK_OF(X509) *chain, X509 *x)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_cmp(sk_X509_value(chain, i), x) == 0)
            return true;
    return false;
}

/* A file may hold an old certificate for the same key: the newer one is meant. */
static X509 *find_leaf(STACK_OF(X509) *given, EVP_PKEY *key)
{
    X509 *leaf = NULL;

    for (int i = 0; i < sk_X509_num(given); i++) {
        X509 *x = sk_X509_value(given, i);

        if (EVP_PKEY_eq(X509_get0_pubkey(x), key) == 1
                && (!leaf || ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(leaf)) > 0))
            leaf = x;
    }
    ERR_clear_error();
    return leaf;
}

/* One that is not in the chain yet: two authorities may have signed each other. */
static X509 *find_issuer(STACK_OF(X509) *given, STACK_OF(X509) *chain, X509 *x)
{
    for (int i = 0; i < sk_X509_num(given); i++)
        if (!contains(chain, sk_X509_value(given, i)) && signed_by(x, sk_X509_value(given, i)))
            return sk_X509_value(given, i);
    return NULL;
}

int chain_order(STACK_OF(X509) *given, EVP_PKEY *key, STACK_OF(X509) **ret, const char **reterr_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *x = find_leaf(given, key);

    if (!chain)
        return -ENOMEM;
    if (!x) {
        *reterr_reason = "no certificate in the file is for the private key that is here";
        return -EKEYREJECTED;
    }
    for (; x; x = self_signed(x) ? NULL : find_issuer(given, chain, x)) {
        (void) X509_up_ref(x);
        if (push(chain, x) < 0)
            return -ENOMEM;
    }
    for (int i = 0; i < sk_X509_num(given); i++)
        if (!contains(chain, sk_X509_value(given, i))) {
            *reterr_reason = "a certificate in the file does not belong to the chain: it signed none of the others";
            return -EUNATCH;
        }
    *ret = TAKE_PTR(chain);
    return 0;
}

/* ---- judgement ---- */

static bool is_valid_at(X509 *x, time_t now)
{
    return X509_cmp_time(X509_get0_notBefore(x), &now) < 0 && X509_cmp_time(X509_get0_notAfter(x), &now) > 0;
}

static void store_ctx_freep(X509_STORE_CTX **c)
{
    X509_STORE_CTX_free(*c);
}

static bool is_trusted(X509_STORE *trusted, X509 *last)
{
    _cleanup_(store_ctx_freep) X509_STORE_CTX *context = trusted ? X509_STORE_CTX_new() : NULL;
    X509 *issuer = NULL;
    bool ok;

    ok = context && X509_STORE_CTX_init(context, trusted, last, NULL) == 1
            && X509_STORE_CTX_get1_issuer(&issuer, context, last) == 1 && X509_verify(last, X509_get0_pubkey(issuer)) == 1;
    X509_free(issuer);
    ERR_clear_error();
    return ok;
}

int chain_check(STACK_OF(X509) *chain, X509_STORE *trusted, time_t now, bool incomplete, const char **reterr_reason)
{
    X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);

        if (!is_valid_at(x, now)) {
            *reterr_reason = i == 0 ? "the certificate has expired, or is not valid yet"
                                    : "a certificate of the chain has expired, or is not valid yet";
            return -EKEYEXPIRED;
        }
        if (i > 0 && X509_check_ca(x) == 0) {
            *reterr_reason = "a certificate of the chain is signed by one that is no authority's";
            return -EBADMSG;
        }
    }
    if (incomplete || self_signed(last) || is_trusted(trusted, last))
        return 0;
    *reterr_reason = "the chain does not end: the certificate of the authority that signed its last one is neither in the file nor "
                     "in the host's list of authorities";
    return -ENOLINK;
}
