/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Is a message what TLS signs in a handshake? This is what keeps certd from being a machine that signs anything: whoever takes a
 * service over can have TLS handshakes signed while he is there, and nothing else, no certificate, no code, no mail, no token.
 * Pure. */

#include <stddef.h>
#include <stdint.h>

typedef enum TlsSide {
    TLS_SIDE_SERVER,
    TLS_SIDE_CLIENT,
} TlsSide;

typedef enum TlsSignedVersion {
    TLS_SIGNED_1_2,
    TLS_SIGNED_1_3,
} TlsSignedVersion;

typedef struct TlsSignable {
    TlsSignedVersion version;
    /* TLS 1.2 clients sign their own Certificate message, too: the leaf (DER) in it, inside of the message that was given; else
     * NULL. */
    const uint8_t *leaf;
    size_t leaf_size;
} TlsSignable;

/* Accepts, for the side that signs:
 *  - TLS 1.3, both: 64 spaces, "TLS 1.3, server CertificateVerify" or client, a zero byte, a transcript hash of 32 or 48 bytes
 *    (RFC 8446 section 4.4.3);
 *  - TLS 1.2 server: both randoms and the ECDHE parameters of a ServerKeyExchange (RFC 8422 section 5.4);
 *  - TLS 1.2 client: the whole handshake up to ClientKeyExchange (RFC 5246 section 7.4.8), every message of it well-formed and in
 *    order.
 * Returns 0, or -EBADMSG with *reterr_reason (static) which says what is wrong with it. */
int tls_signable(TlsSide side, const uint8_t *message, size_t size, TlsSignable *ret, const char **reterr_reason);
