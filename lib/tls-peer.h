/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a peer's certificate says and by what it was verified, in words for people who look for a fault. Deliveries need none of
 * it. All text is printable, cut to its measure and valid UTF-8, so that it may go over a bus. */

#include <openssl/ssl.h>
#include <stdint.h>

#include "resolve.h"

#define TLS_PEER_TEXT_MAX 256
/* Of a certificate that has more, the rest is counted. */
#define TLS_PEER_NAMES_MAX 32

typedef struct TlsPeer {
    char subject[TLS_PEER_TEXT_MAX], issuer[TLS_PEER_TEXT_MAX]; /* as in RFC 4514 */
    char common_name[TLS_PEER_TEXT_MAX];                        /* "": none */
    char names[TLS_PEER_NAMES_MAX][TLS_PEER_TEXT_MAX];          /* subjectAltName: DNS names and addresses */
    uint32_t n_names, n_names_left_out;
    uint64_t not_before_usec, not_after_usec; /* since 1970 */
    char fingerprint[65], key_fingerprint[65]; /* SHA-256 of the certificate and of its key (TLSA 3 1 1), lower-case hex */
    uint32_t n_sent;                           /* certificates that the peer sent */
    /* Once it is verified: */
    char authority[TLS_PEER_TEXT_MAX]; /* subject of the authority that vouches for it; "": it does itself, or a key alone */
    int32_t tlsa;                      /* index of the record that matched, in the order in which they were given; -1: none */
} TlsPeer;

/* After the handshake. records: what tls_dane_arm() was given; n 0: there was no DANE. -ENOENT: the peer has no certificate;
 * -ENOMEM. */
int tls_peer_read(SSL *ssl, const TlsaRecord *records, size_t n, TlsPeer *ret);
