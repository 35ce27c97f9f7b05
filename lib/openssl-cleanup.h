/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* lib/cleanup.h for OpenSSL's objects. */

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "cleanup.h"

#define DEFINE_OPENSSL_CLEANUP(type, name, func) \
    static inline void name(type **p)            \
    {                                            \
        func(*p);                                \
    }                                            \
    struct name##_semicolon_

DEFINE_OPENSSL_CLEANUP(BIO, bio_freep, BIO_free_all);
DEFINE_OPENSSL_CLEANUP(EVP_MD_CTX, evp_md_ctx_freep, EVP_MD_CTX_free);
DEFINE_OPENSSL_CLEANUP(EVP_PKEY, evp_pkey_freep, EVP_PKEY_free);
DEFINE_OPENSSL_CLEANUP(EVP_PKEY_CTX, evp_pkey_ctx_freep, EVP_PKEY_CTX_free);
DEFINE_OPENSSL_CLEANUP(SSL_CTX, ssl_ctx_freep, SSL_CTX_free);
DEFINE_OPENSSL_CLEANUP(X509, x509_freep, X509_free);

static inline void x509_chain_freep(STACK_OF(X509) **p)
{
    sk_X509_pop_free(*p, X509_free);
}
