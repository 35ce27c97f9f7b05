/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates from certd, for SSL_CTX: fetches the public part, makes the remote key, signs through certd, and says when a
 * certificate has changed so that new sessions get a new SSL_CTX (running ones keep theirs).
 *
 * What is followed is called its source: the name of a certificate ("mx"), or CERTIFICATE_OF_USE and a use ("@listener:public"):
 * whatever certificate is assigned to that in certd. */

#include <openssl/ssl.h>

#include "certificate-name.h"
#include "cleanup.h"
#include "peer-client.h"
#include "provider/remote-key.h"

/* Bytes, without the NUL. */
#define CERTIFICATE_SOURCE_MAX 320

/* Not in names. */
#define CERTIFICATE_OF_USE "@"

typedef struct CertificateClient CertificateClient;

/* source's certificate is there or is new: make an SSL_CTX with certificate_client_use(). Called again after each change. error:
 * negative errno while certd does not give it (it is asked again on Changed and on reconnection), or did not answer when it
 * was to sign (-EHOSTDOWN; called before that handshake goes on, and again when certd is back); reason for the log. -ENODATA:
 * nothing is assigned to the use, which is no fault. */
typedef void (*CertificateChanged)(CertificateClient *c, const char *source, int error, const char *reason, void *userdata);

/* certd and keys must outlive the client, and the client every SSL_CTX that has a certificate of it. */
int certificate_client_new(CertificateClient **ret, PeerClient *certd, RemoteKeys *keys, CertificateChanged changed,
        void *userdata);
CertificateClient *certificate_client_free(CertificateClient *c);
DEFINE_CLEANUP(CertificateClient, certificate_client_free);

/* Starts to follow a source; at most 64. Following it twice is fine. fallback: the certificate while nothing is assigned to a use;
 * NULL: then there is none. */
int certificate_client_follow(CertificateClient *c, const char *source, const char *fallback);
/* Puts chain and remote key into ctx, which is of remote_keys_libctx(). -ENOENT while it was not fetched. */
int certificate_client_use(CertificateClient *c, const char *source, SSL_CTX *ctx);
/* The name of the certificate that source is, as far as it is known: NULL. Until the next change. */
const char *certificate_client_name(const CertificateClient *c, const char *source);

/* Signatures that certd did not make, for whatever reason: it was away, or refused. Counted before their handshakes end: if
 * there were none between the beginning and the end of one, its failure was not ours. */
typedef struct CertificateUnsigned {
    unsigned n;        /* so far */
    unsigned n_in_row; /* since it has made one */
} CertificateUnsigned;
CertificateUnsigned certificate_client_unsigned(const CertificateClient *c);
