/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates for tests, made in memory: ECDSA P-256, whatever chain and whatever fault a test needs. Everything fails by
 * assertion. */

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "cleanup.h"

typedef struct TestCertificate {
    X509 *x509;
    EVP_PKEY *key;
} TestCertificate;

typedef struct TestCertificateSpec {
    const char *cn;
    const char *san;         /* "DNS:mx.example.com,DNS:*.example.org", or NULL */
    const char *constraints; /* basicConstraints: "critical,CA:TRUE,pathlen:0", or NULL */
    const char *eku;         /* "serverAuth", or NULL */
    int from_days, to_days;  /* validity from now; both 0: yesterday to tomorrow */
} TestCertificateSpec;

/* issuer NULL: self-signed. */
TestCertificate *test_certificate_new(const TestCertificateSpec *spec, const TestCertificate *issuer);
TestCertificate *test_certificate_free(TestCertificate *c);
DEFINE_CLEANUP(TestCertificate, test_certificate_free);

/* A handshake of both over memory, to its end on both sides. */
void test_certificate_handshake(SSL *client, SSL *server);

/* Puts certificate, key and the NULL-ended rest of the chain into a server's context. */
void test_certificate_use(SSL_CTX *ctx, const TestCertificate *leaf, const TestCertificate *const *chain);
