/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is at the other end of a TLS session: the one list of what verification can come to, and verification against the enabled
 * authorities (PKIX, RFC 5280; names by RFC 9525). DANE is in tls.h. Verification never fails a handshake: its result is asked
 * for afterwards, and whoever asks decides. */

#include <openssl/ssl.h>

#include "cleanup.h"

/* POSTERN_TLS_VERIFY in logs. Numbers go over the links between managers and workers of one program only. */
typedef enum TlsVerify {
    TLS_VERIFY_NONE, /* there was nothing to verify: no TLS, or a client that was not asked for a certificate */

    TLS_VERIFY_DANE,
    TLS_VERIFY_DANE_MX_INSECURE, /* … but the way to the host was not secure: somebody may have named another host */
    TLS_VERIFY_PKIX,
    TLS_VERIFY_PKIX_MX_INSECURE, /* the same; only the host's name matched, and an insecure answer gave it */
    TLS_VERIFY_PINNED,           /* it is the very certificate or key that was configured */

    TLS_VERIFY_NO_AUTHORITIES,   /* the lists of authorities could not be fetched; not the peer's fault */
    TLS_VERIFY_NO_CERTIFICATE,
    TLS_VERIFY_SELF_SIGNED,
    TLS_VERIFY_CHAIN_INCOMPLETE, /* a certificate alone, and who issued it is not known here */
    TLS_VERIFY_UNTRUSTED,        /* the chain ends where no enabled authority is */
    TLS_VERIFY_EXPIRED,          /* the certificate or one above it */
    TLS_VERIFY_NOT_YET_VALID,
    TLS_VERIFY_WRONG_PURPOSE,    /* a client's certificate for a server, or the other way round */
    TLS_VERIFY_TOO_WEAK,         /* key or signature algorithm */
    TLS_VERIFY_INVALID,          /* another rule of RFC 5280 */
    TLS_VERIFY_NAME_MISMATCH,
    TLS_VERIFY_TLSA_MISMATCH,
    TLS_VERIFY_PIN_MISMATCH,
    TLS_VERIFY_OTHER_AUTHORITY,  /* the chain ends at an enabled authority, but goes through none of those configured */
    TLS_VERIFY_UNQUALIFIED_NAME, /* a name in it is no fully qualified domain name, and such are not wanted */
    _TLS_VERIFY_MAX,
} TlsVerify;

/* "pkix", "name-mismatch"; static. */
const char *tls_verify_to_string(TlsVerify v);
/* In words, to follow "certificate not verified: "; "" for what is no failure; static. */
const char *tls_verify_explain(TlsVerify v);
/* The peer is who it should be, as far as its host's name is what it should be. */
bool tls_verify_succeeded(TlsVerify v);
/* What an error of OpenSSL's verification (X509_V_…) means; X509_V_OK is TLS_VERIFY_PKIX. sent: how many certificates the peer
 * sent. Pure. */
TlsVerify tls_verify_from_error(long error, size_t sent);

/* Which names of a certificate count, spec "TLS levels on delivery". A wildcard is one whole left-most label in each. */
typedef enum TlsNameRule {
    TLS_NAMES_ANY,    /* dNSNames and the common name: Verify */
    TLS_NAMES_HOSTED, /* dNSNames; the common name only if there are none: Verify-Hosted, RFC 6125 */
    TLS_NAMES_DNS,    /* dNSNames only: MTA-STS (RFC 8461, section 4.1), RFC 9525 */
} TlsNameRule;

/* name: a domain in its normal form (A-labels, no dot at the end). Pure. */
bool tls_name_matches(X509 *certificate, const char *name, TlsNameRule rule);

/* Who the peer may be. */
typedef struct TlsReference {
    const char *const *names;  /* NULL-ended; NULL: none */
    const char *insecure_name; /* good, too, but known from an insecure answer only; NULL: none */
    TlsNameRule rule;
    /* Lists in the normal form of tls-pin.h, NULL-ended; NULL: none. */
    const char *const *pins; /* one of them has to match; then that is enough … */
    bool pins_and_chain;     /* … or, with this, all the rest has to hold as well */
    const char *const *authorities; /* the chain has to go through one of them */
    bool qualified;          /* every name in the certificate is a fully qualified one */
} TlsReference;

/* Before the handshake: the peer's chain has to end at a certificate of store, which is referenced. One that is not self-signed
 * will do, as its list is what people enabled. NULL: every chain is TLS_VERIFY_NO_AUTHORITIES. Not together with
 * tls_dane_arm(). */
int tls_verify_arm(SSL *ssl, X509_STORE *store);
/* After it. reference NULL: names do not matter, as with clients. */
TlsVerify tls_verify_result(SSL *ssl, const TlsReference *reference);

/* A server's context that may ask clients for certificates: handshakes go on whatever they show, tls_verify_result() says what
 * it was. */
void tls_verify_prepare_server(SSL_CTX *ctx);
/* Has a server's session ask for one. Such sessions are never resumed, as a ticket would carry an old result. */
int tls_verify_ask_client(SSL *ssl, X509_STORE *store);
