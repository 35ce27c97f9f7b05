/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The SSL_CTXs of a worker, by the source of their certificate (certificate-client.h): its name, or a use that it is assigned to.
 * Certificates and assignments change in certd; then the next session gets a new context, running ones keep theirs. */

#include <openssl/ssl.h>

#include "certificate-client.h"
#include "cleanup.h"
#include "peer-client.h"
#include "provider/remote-key.h"

#define TLS_CONTEXTS_MAX 64

typedef struct TlsContexts TlsContexts;

typedef struct TlsContextsOps {
    /* tls_server_context_new() or tls_client_context_new(). */
    int (*make)(SSL_CTX **ret, OSSL_LIB_CTX *libctx);
    /* What becomes of a context when certd does not give its certificate any more. A server goes on with it: an old certificate
     * is better than none. A client does not: it can do without, and with one that certd does not sign for it fails wherever a
     * server asks for it. */
    bool keep;
    /* The context of this source is new, or was not renewed (negative errno as of CertificateChanged; reason for the log).
     * tls_contexts_get() says what there is now. From the event loop, or from inside the end of a signature: it must not free t. */
    void (*changed)(TlsContexts *t, const char *source, int error, const char *reason, void *userdata);
} TlsContextsOps; /* copied */

/* certd and keys must outlive it, and it every session that has a context of it. */
int tls_contexts_new(TlsContexts **ret, PeerClient *certd, RemoteKeys *keys, const TlsContextsOps *ops, void *userdata);
TlsContexts *tls_contexts_free(TlsContexts *t);
DEFINE_CLEANUP(TlsContexts, tls_contexts_free);

/* Fetches a certificate and follows its changes. fallback as of certificate_client_follow(). 1: changed() is going to say what
 * came of it; 0: it was followed before. -E2BIG beyond TLS_CONTEXTS_MAX. */
int tls_contexts_follow(TlsContexts *t, const char *source, const char *fallback);

/* NULL while the certificate is not there. Borrowed: SSL_new() takes the reference that a session needs. */
SSL_CTX *tls_contexts_get(TlsContexts *t, const char *source);
/* Of the last changed(); 0 before. -ENOENT: it is not followed. */
int tls_contexts_error(TlsContexts *t, const char *source);
/* certificate_client_name() */
const char *tls_contexts_name(TlsContexts *t, const char *source);
/* certificate_client_unsigned() */
CertificateUnsigned tls_contexts_unsigned(const TlsContexts *t);
