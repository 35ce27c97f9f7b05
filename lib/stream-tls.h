/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS on a non-blocking socket, without an event loop: what stream.c asks when a connection is secured. Every call says what it
 * waits for. */

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"

typedef struct TlsLink TlsLink;

/* A signature from certd is there: call tls_link_handshake() again, but not from inside of wake. */
typedef void (*TlsLinkWake)(void *userdata);

/* ssl is taken over on success, fd stays the caller's. */
int tls_link_new(TlsLink **ret, SSL *ssl, int fd, bool accept, TlsLinkWake wake, void *userdata);
/* A handshake that waits for a signature is ended first: an SSL with a paused job must not be freed. fd must still be open. */
TlsLink *tls_link_free(TlsLink *l);
DEFINE_CLEANUP(TlsLink, tls_link_free);

SSL *tls_link_ssl(const TlsLink *l);

/* All three: -EAGAIN with *ret_wants what to wait for (EPOLLIN, EPOLLOUT, or 0: wake), -EPROTO with the reason in
 * tls_link_error(), or another errno of the socket. The handshake returns 0 when it is done; reading returns 0 when the peer has
 * closed. */
int tls_link_handshake(TlsLink *l, uint32_t *ret_wants);
ssize_t tls_link_read(TlsLink *l, void *buffer, size_t size, uint32_t *ret_wants);
ssize_t tls_link_write(TlsLink *l, const void *data, size_t size, uint32_t *ret_wants);

/* Something may be there to read that the socket will not announce. */
bool tls_link_has_pending(const TlsLink *l);

/* Sends close_notify if the socket takes it at once. */
void tls_link_close_notify(TlsLink *l);

const char *tls_link_error(const TlsLink *l);
