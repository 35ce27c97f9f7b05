/* SPDX-License-Identifier: Apache-2.0 */

/* Certificates for tests. Never linked into a daemon. */

#include "test-certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;

    if (!value)
        return;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

TestCertificate *test_certificate_new(const TestCertificateSpec *spec, const TestCertificate *issuer)
{
    bool valid_now = spec->from_days == 0 && spec->to_days == 0;
    static long serial = 1;
    TestCertificate *c;
    X509_NAME *name;
    X509 *x;

    c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->key = EVP_EC_gen("P-256");
    assert_non_null(c->key);
    x = c->x509 = X509_new();
    assert_non_null(x);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), serial++), 1);
    assert_non_null(X509_time_adj_ex(X509_getm_notBefore(x), valid_now ? -1 : spec->from_days, 0, NULL));
    assert_non_null(X509_time_adj_ex(X509_getm_notAfter(x), valid_now ? 1 : spec->to_days, 0, NULL));
    name = X509_get_subject_name(x);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) spec->cn, -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x509) : name), 1);
    assert_int_equal(X509_set_pubkey(x, c->key), 1);
    add_extension(x, issuer ? issuer->x509 : x, NID_basic_constraints, spec->constraints);
    add_extension(x, issuer ? issuer->x509 : x, NID_subject_key_identifier, "hash");
    add_extension(x, issuer ? issuer->x509 : x, NID_subject_alt_name, spec->san);
    add_extension(x, issuer ? issuer->x509 : x, NID_ext_key_usage, spec->eku);
    assert_true(X509_sign(x, issuer ? issuer->key : c->key, EVP_sha256()) > 0);
    return c;
}

TestCertificate *test_certificate_free(TestCertificate *c)
{
    if (!c)
        return NULL;
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    free(c);
    return NULL;
}

void test_certificate_use(SSL_CTX *ctx, const TestCertificate *leaf, const TestCertificate *const *chain)
{
    assert_int_equal(SSL_CTX_use_certificate(ctx, leaf->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, leaf->key), 1);
    for (; chain && *chain; chain++)
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, (*chain)->x509), 1);
}

void test_certificate_handshake(SSL *client, SSL *server)
{
    BIO *a = NULL, *b = NULL;

    assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (unsigned i = 0; i < 10; i++) {
        (void) SSL_do_handshake(client);
        (void) SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client));
    assert_true(SSL_is_init_finished(server));
}
