/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates by name from certd, for SSL_CTX: fetches the public part, makes the remote key, signs through certd, and says when
 * a certificate has changed so that new sessions get a new SSL_CTX (running ones keep theirs). */

#include <openssl/ssl.h>

#include "certificate-name.h"
#include "cleanup.h"
#include "peer-client.h"
#include "provider/remote-key.h"

typedef struct CertificateClient CertificateClient;

/* name's certificate is there or is new: make an SSL_CTX with certificate_client_use(). Called again after each change. error:
 * negative errno while certd does not give it (it is asked again on Changed and on reconnection), or did not answer when it
 * was to sign (-EHOSTDOWN; called before that handshake goes on, and again when certd is back); reason for the log. */
typedef void (*CertificateChanged)(CertificateClient *c, const char *name, int error, const char *reason, void *userdata);

/* certd and keys must outlive the client, and the client every SSL_CTX that has a certificate of it. */
int certificate_client_new(CertificateClient **ret, PeerClient *certd, RemoteKeys *keys, CertificateChanged changed,
        void *userdata);
CertificateClient *certificate_client_free(CertificateClient *c);
DEFINE_CLEANUP(CertificateClient, certificate_client_free);

/* Starts to follow a name; at most 64. Following it twice is fine. */
int certificate_client_follow(CertificateClient *c, const char *name);
/* Puts chain and remote key into ctx, which is of remote_keys_libctx(). -ENOENT while it was not fetched. */
int certificate_client_use(CertificateClient *c, const char *name, SSL_CTX *ctx);
