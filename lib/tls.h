/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS as mail uses it: contexts with the suite's settings, the facts about a session for logs, and DANE verification by OpenSSL's
 * functions (RFC 7672). Verification by authorities is in tls-verify.h. */

#include <openssl/ssl.h>
#include <stdint.h>

#include "cleanup.h"
#include "resolve.h"
#include "tls-verify.h"

/* How a destination is delivered to. Names are the INI values. */
typedef enum TlsLevel {
    TLS_LEVEL_NO,
    TLS_LEVEL_PREFERRED,
    TLS_LEVEL_REQUIRED,
    TLS_LEVEL_PREFERRED_VERIFY,
    TLS_LEVEL_REQUIRED_VERIFY,
    TLS_LEVEL_REQUIRED_VERIFY_HOSTED,
} TlsLevel;
const char *tls_level_to_string(TlsLevel l);

typedef enum DaneLevel {
    DANE_NONE,
    DANE_OPPORTUNISTIC,
    DANE_MANDATORY,
} DaneLevel;
const char *dane_level_to_string(DaneLevel l);

/* TLS 1.2 and 1.3, ECDHE only, no compression, no renegotiation, modern groups (X25519MLKEM768 first where OpenSSL has it),
 * partial writes, SSL_MODE_ASYNC, released buffers. libctx NULL: default. The server's tickets are stateless. */
int tls_server_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx);
int tls_client_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx);

/* Facts for the journal and the Received field; strings are static or live as long as ssl. */
typedef struct TlsFacts {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    const char *group;   /* "x25519", as OpenSSL calls it */
    bool resumed;
} TlsFacts;
void tls_facts(SSL *ssl, TlsFacts *ret);

/* Usable for SMTP (RFC 7672 section 3.1; dane-sts rows 28): usage 2 or 3, selector 0 or 1, mtype 0–2, right digest length,
 * parseable full data. Pure. */
bool tlsa_usable(const TlsaRecord *r);

/* Arms ssl (a client's, before the handshake) with DANE: base domain is SNI and reference name, DANE-EE ignores names and expiry,
 * names are additional references for DANE-TA. The records are the usable ones. */
int tls_dane_arm(SSL *ssl, const char *base_domain, const char *const *names, const TlsaRecord *records, size_t n);

/* After the handshake: TLS_VERIFY_DANE if the peer is authenticated by a record, else what failed. */
TlsVerify tls_dane_result(SSL *ssl);
