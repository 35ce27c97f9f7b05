/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The SSL_CTXs of a worker, by the name of their certificate. Certificates come from certd and change there; then the next
 * session gets a new context, running ones keep theirs. */

#include <openssl/ssl.h>

#include "cleanup.h"
#include "peer-client.h"
#include "provider/remote-key.h"
#include "smtpd-conf.h"

typedef struct TlsContexts TlsContexts;

/* certd and keys must outlive it. */
int tls_contexts_new(TlsContexts **ret, PeerClient *certd, RemoteKeys *keys);
TlsContexts *tls_contexts_free(TlsContexts *t);
DEFINE_CLEANUP(TlsContexts, tls_contexts_free);

/* Fetches the certificates of all listeners that offer TLS, and follows their changes. */
int tls_contexts_follow(TlsContexts *t, const SmtpdConf *conf);

/* NULL while the certificate was not fetched. Borrowed: SSL_new() takes the reference that a session needs. */
SSL_CTX *tls_contexts_get(TlsContexts *t, const char *certificate);
