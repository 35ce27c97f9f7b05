/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* In a worker: the certificate that it shows to servers which ask for one, signed by certd as TLS client. While there is none to
 * be had, delivery goes on without; the manager hears of it and tells people. */

#include <openssl/ssl.h>

#include "cleanup.h"
#include "peer-client.h"
#include "worker.h"

typedef struct ClientCertificate ClientCertificate;

/* Something of what the functions below answer is different now. From the event loop, or from inside the end of a signature. */
typedef void (*ClientCertificateChanged)(void *userdata);

/* Loads nothing and asks nobody before client_certificate_set(). link and certd must outlive it, and it every session with its context. */
int client_certificate_new(ClientCertificate **ret, WorkerLink *link, PeerClient *certd, ClientCertificateChanged changed,
        void *userdata);
ClientCertificate *client_certificate_free(ClientCertificate *c);
DEFINE_CLEANUP(ClientCertificate, client_certificate_free);

/* name: of Certificate=; NULL: whatever is assigned to delivery, which may be none. What is set already changes nothing. On failure
 * what was set before stays. */
int client_certificate_set(ClientCertificate *c, const char *name);

/* The first answer of certd is not there yet: who waits for it does not miss the certificate only for having started early. It is
 * there, or given up, within the deadline of a peer call. */
bool client_certificate_pending(const ClientCertificate *c);

/* The context to begin sessions with; NULL: without certificate, in a context of one's own. Borrowed until the next change. */
SSL_CTX *client_certificate_context(const ClientCertificate *c);

/* How many signatures certd has not made so far (certificate_client_unsigned()). */
unsigned client_certificate_unsigned(const ClientCertificate *c);
/* A session with the context failed for want of a signature. If that is so again and again, there is no context for a while: delivery
 * goes on without, as if certd did not give the certificate. */
void client_certificate_failed(ClientCertificate *c);
