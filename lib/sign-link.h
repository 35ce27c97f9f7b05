/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection to certd for signatures alone, which handshakes wait for. In a worker's loop a call of sd-bus costs about as much
 * as the P-256 signature that it asks for; so the one call that each handshake makes is written and read by provider/call.h, many
 * are under way at once, and what is ready is read together. It is beside the peer client's connection, made in the same way, and
 * kept.
 *
 * As with peer-client.h, a restarted certd is an event, not an error: calls wait for the next connection, and what was under way
 * is sent again, until their deadline. At most PEER_CALLS_MAX are pending; more are refused with -ENOBUFS. */

#include "peer-client.h"

typedef struct SignLink SignLink;
typedef struct SignCall SignCall;

/* Workers have it on their list of peers beside "certd". */
#define SIGN_LINK_PURPOSE "sign"

/* Of key name, whose public part has this SHA-256 of its SubjectPublicKeyInfo, over message; scheme: the TLS SignatureScheme. */
typedef struct SignLinkRequest {
    const char *name;
    const uint8_t *spki_sha256; /* 32 bytes */
    uint16_t scheme;
    const uint8_t *message;
    size_t size;
} SignLinkRequest;

/* The end of a call, from the event loop: the signature, or error (a named error of certd, or Unavailable). They die with the
 * callback, which may free the link. */
typedef void (*SignDone)(const uint8_t *signature, size_t size, const sd_bus_error *error, void *userdata);

/* certd: must outlive the link. timeout_usec: of each call, from sign_link_call() on; 0: PEER_CALL_TIMEOUT_USEC. */
int sign_link_new(SignLink **ret, PeerClient *certd, uint64_t timeout_usec);
SignLink *sign_link_free(SignLink *l); /* pending calls are dropped without their done */
DEFINE_CLEANUP(SignLink, sign_link_free);

/* What request points to lives as long as the call. *ret allows to cancel; it dies when done is called. May run on the stack of
 * an async job. -EMSGSIZE, -ENOBUFS, -ENOMEM. */
int sign_link_call(SignLink *l, SignCall **ret, const SignLinkRequest *request, SignDone done, void *userdata);
/* done will not be called any more. Accepts NULL. */
SignCall *sign_call_cancel(SignCall *call);
