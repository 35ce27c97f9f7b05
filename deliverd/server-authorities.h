/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* In a worker: the authorities that servers are verified by, as certd has them enabled. */

#include <openssl/x509.h>

#include "cleanup.h"
#include "peer-client.h"

/* Who starts at once after the worker waits for the first answer, at most so long. */
#define SERVER_AUTHORITIES_WAIT_USEC (2 * USEC_PER_SEC)

typedef struct ServerAuthorities ServerAuthorities;

/* What the functions below answer is different now. From the event loop. error: negative errno when what certd gave cannot be
 * used; then what was there before stays in force, and reason says more. */
typedef void (*ServerAuthoritiesChanged)(int error, const char *reason, void *userdata);

/* certd must outlive it. */
int server_authorities_new(ServerAuthorities **ret, PeerClient *certd, ServerAuthoritiesChanged changed, void *userdata);
ServerAuthorities *server_authorities_free(ServerAuthorities *a);
DEFINE_CLEANUP(ServerAuthorities, server_authorities_free);

/* The first answer is not there yet, and worth waiting for: changed() is going to be called. */
bool server_authorities_pending(const ServerAuthorities *a);
/* NULL: nobody knows. Borrowed until the next change. */
X509_STORE *server_authorities_store(const ServerAuthorities *a);
