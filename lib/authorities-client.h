/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The certificate authorities that certd has enabled, as an X509_STORE for the sessions of a worker: fetched over its
 * connection to certd, again on every change and reconnection. For a sandboxed process: opens nothing, and the store looks
 * nowhere else. */

#include <openssl/x509.h>

#include "cleanup.h"
#include "peer-client.h"

/* Of each of certd's two lists. */
#define AUTHORITIES_LIST_MAX 1000
#define AUTHORITIES_LIST_SIZE_MAX (2 * 1024 * 1024)
/* Of what certd hands out. */
#define AUTHORITIES_MAX (2 * AUTHORITIES_LIST_MAX)
#define AUTHORITIES_SIZE_MAX (2 * AUTHORITIES_LIST_SIZE_MAX)

typedef struct AuthoritiesClient AuthoritiesClient;

/* There is a new store: authorities_client_store() gives it. error: negative errno when certd did not give the authorities, or
 * something that is none; then what was there stays in force, and certd is asked again when they change and on reconnection.
 * reason: for the log. From the event loop; it must not free the client. While certd is away nothing is said. */
typedef void (*AuthoritiesChanged)(AuthoritiesClient *c, int error, const char *reason, void *userdata);

/* certd must outlive the client. libctx: of the sessions that verify (NULL: the default). */
int authorities_client_new(AuthoritiesClient **ret, PeerClient *certd, OSSL_LIB_CTX *libctx, AuthoritiesChanged changed,
        void *userdata);
AuthoritiesClient *authorities_client_free(AuthoritiesClient *c);
DEFINE_CLEANUP(AuthoritiesClient, authorities_client_free);

/* NULL until certd has given them once: nobody can be verified. If nothing is enabled it is a store without certificates. It has
 * no flags, purpose or name: those are for the session's own X509_VERIFY_PARAM. Borrowed, until changed(): what uses it longer
 * takes a reference, as SSL_set1_verify_cert_store() does. It is never changed, only replaced. */
X509_STORE *authorities_client_store(const AuthoritiesClient *c);
/* How many are in it. */
unsigned authorities_client_count(const AuthoritiesClient *c);
