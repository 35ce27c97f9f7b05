/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* GET of one small text over HTTPS, on a socket that somebody else has connected: libcurl on the event loop, held to what MTA-STS
 * allows (RFC 8461, section 3.3). For a sandboxed process: after https_client_new() nothing opens a file, makes a socket,
 * connects or resolves. Nothing is shared between two gets: no connection, no TLS session, no cookie, no cache. */

#include <openssl/x509.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct HttpsClient HttpsClient;
typedef struct HttpsGet HttpsGet;

/* The end, from the event loop. reason NULL: body has size bytes, and was sent with status 200 as text/plain by a server whose
 * certificate is by one of the authorities and for the host (dNSNames only). Otherwise body is NULL and reason says what was
 * wrong; it may quote the server. Both die with the call. */
typedef void (*HttpsDone)(const char *body, size_t size, const char *reason, void *userdata);

/* Before the sandbox; once in a process. */
int https_client_new(HttpsClient **ret, sd_event *event);
HttpsClient *https_client_free(HttpsClient *c); /* all gets have to be free */
DEFINE_CLEANUP(HttpsClient, https_client_free);

typedef struct HttpsRequest {
    const char *host; /* normalized */
    const char *path; /* with the leading slash */
    X509_STORE *authorities;
    size_t size_max;       /* of the body */
    uint64_t timeout_usec; /* for all of it */
} HttpsRequest; /* copied as far as needed */

/* fd: connected, non-blocking; the get's on success. */
int https_get_new(HttpsGet **ret, HttpsClient *c, const HttpsRequest *request, int fd, HttpsDone done, void *userdata);
/* Ends it without done. */
HttpsGet *https_get_free(HttpsGet *g);
DEFINE_CLEANUP(HttpsGet, https_get_free);
