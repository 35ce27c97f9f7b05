/* SPDX-License-Identifier: Apache-2.0 */

/* What TLS really signs is accepted, taken from handshakes by OpenSSL; everything else is refused, among it the same messages
 * with any byte missing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/async.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "provider/remote-key.h"
#include "tls-signable.h"

typedef struct Message {
    uint8_t data[REMOTE_KEY_MESSAGE_MAX];
    size_t size;
} Message;

static EVP_PKEY *key;
static X509 *certificate;

/* A signer that records and answers at once. */
static int record(RemoteSignature *s, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message, size_t size,
        void *userdata)
{
    Message *m = userdata;
    uint8_t signature[256];
    size_t signature_size = sizeof(signature);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    memcpy(m->data, message, size);
    m->size = size;
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, "SHA2-256", NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestSign(md, signature, &signature_size, message, size), 1);
    EVP_MD_CTX_free(md);
    remote_signature_done(s, 0, signature, signature_size);
    return 0;
}

static void cancel(RemoteSignature *s, void *userdata)
{
}

static int wake(SSL *ssl, void *userdata)
{
    return 1;
}

static SSL *end_new(RemoteKeys *keys, const SSL_METHOD *method, int version, EVP_PKEY *pkey)
{
    SSL_CTX *context = SSL_CTX_new_ex(remote_keys_libctx(keys), NULL, method);
    SSL *ssl;

    SSL_CTX_set_mode(context, SSL_MODE_ASYNC);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, pkey), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
    ssl = SSL_new(context);
    SSL_set_async_callback(ssl, wake);
    SSL_CTX_free(context);
    return ssl;
}

/* What side signs in a handshake of version, the client's certificate being asked for. */
static void record_handshake(int version, TlsSide side, Message *ret)
{
    RemoteSigner signer = {record, cancel, ret};
    EVP_PKEY *remote;
    RemoteKeys *keys;
    SSL *server, *client;
    BIO *a, *b;

    assert_int_equal(remote_keys_new(&keys), 0);
    assert_int_equal(remote_key_new(keys, &remote, certificate, "x", &signer), 0);
    server = end_new(keys, TLS_server_method(), version, side == TLS_SIDE_SERVER ? remote : key);
    client = end_new(keys, TLS_client_method(), version, side == TLS_SIDE_CLIENT ? remote : key);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    ret->size = 0;
    for (unsigned i = 0; i < 20; i++) {
        (void) SSL_do_handshake(client);
        (void) SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server) && ret->size > 0);
    SSL_free(server);
    SSL_free(client);
    EVP_PKEY_free(remote);
    remote_keys_free(keys);
}

static bool signable(TlsSide side, const uint8_t *message, size_t size, TlsSignable *ret)
{
    const char *reason = NULL;
    int r = tls_signable(side, message, size, ret, &reason);

    assert_true(r == 0 || (r == -EBADMSG && reason && *reason));
    return r == 0;
}

static const struct {
    int version;
    TlsSide side;
    TlsSignedVersion expected;
} handshakes[] = {
    {TLS1_3_VERSION, TLS_SIDE_SERVER, TLS_SIGNED_1_3},
    {TLS1_3_VERSION, TLS_SIDE_CLIENT, TLS_SIGNED_1_3},
    {TLS1_2_VERSION, TLS_SIDE_SERVER, TLS_SIGNED_1_2},
    {TLS1_2_VERSION, TLS_SIDE_CLIENT, TLS_SIGNED_1_2},
};

static void test_real(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(handshakes); i++) {
        _cleanup_free_ Message *m = calloc(1, sizeof(Message));
        TlsSide other = handshakes[i].side == TLS_SIDE_SERVER ? TLS_SIDE_CLIENT : TLS_SIDE_SERVER;
        TlsSignable s = {};

        record_handshake(handshakes[i].version, handshakes[i].side, m);
        assert_true(signable(handshakes[i].side, m->data, m->size, &s));
        assert_int_equal(s.version, handshakes[i].expected);
        assert_false(signable(other, m->data, m->size, &s));

        /* Cut at any place, but for the one that makes a SHA-384 hash one of the length of SHA-256. */
        for (size_t n = 0; n < m->size; n++)
            if (s.version == TLS_SIGNED_1_2 || n != m->size - 16)
                assert_false(signable(handshakes[i].side, m->data, n, &s));
        m->data[m->size] = 0;
        assert_false(signable(handshakes[i].side, m->data, m->size + 1, &s));
    }
}

/* A client's transcript names the certificate it signs for. */
static void test_leaf(void **state)
{
    _cleanup_free_ Message *m = calloc(1, sizeof(Message));
    unsigned char *der = NULL;
    TlsSignable s = {};
    int n;

    record_handshake(TLS1_2_VERSION, TLS_SIDE_CLIENT, m);
    assert_true(signable(TLS_SIDE_CLIENT, m->data, m->size, &s));
    n = i2d_X509(certificate, &der);
    assert_int_equal(s.leaf_size, n);
    assert_memory_equal(s.leaf, der, s.leaf_size);
    OPENSSL_free(der);
}

/* Every byte that gives the transcript its structure matters: none may be another one, except in what is content. */
static void test_changed_transcript(void **state)
{
    _cleanup_free_ Message *m = calloc(1, sizeof(Message));
    size_t headers = 0;
    TlsSignable s;

    record_handshake(TLS1_2_VERSION, TLS_SIDE_CLIENT, m);
    for (size_t i = 0; i + 4 <= m->size;) {
        for (size_t k = 0; k < 4; k++) {
            m->data[i + k] ^= 0x40;
            assert_false(signable(TLS_SIDE_CLIENT, m->data, m->size, &s));
            m->data[i + k] ^= 0x40;
        }
        i += 4 + ((size_t) m->data[i + 1] << 16 | (size_t) m->data[i + 2] << 8 | m->data[i + 3]);
        headers++;
    }
    assert_int_equal(headers, 8);
    m->data[5] = 0x04; /* ClientHello 3.4 */
    assert_false(signable(TLS_SIDE_CLIENT, m->data, m->size, &s));
}

#define SPACES "                                                                "
#define HASH32 "0123456789abcdef0123456789abcdef"
#define HASH48 HASH32 "0123456789abcdef"
#define RANDOMS HASH32 HASH32
#define POINT32 HASH32
#define POINT65 "\x04" HASH32 HASH32
#define LITERAL(s) (s), sizeof(s) - 1

static const struct {
    const char *what;
    TlsSide side;
    const char *message;
    size_t size;
    bool accepted;
} messages[] = {
    {"TLS 1.3 server, SHA-256", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0" HASH32), true},
    {"TLS 1.3 server, SHA-384", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0" HASH48), true},
    {"TLS 1.3 client", TLS_SIDE_CLIENT, LITERAL(SPACES "TLS 1.3, client CertificateVerify\0" HASH32), true},
    {"TLS 1.2 x25519", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32), true},
    {"TLS 1.2 P-256", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x17\x41" POINT65), true},

    {"nothing", TLS_SIDE_SERVER, LITERAL(""), false},
    {"nothing, client", TLS_SIDE_CLIENT, LITERAL(""), false},
    {"one byte", TLS_SIDE_SERVER, LITERAL("x"), false},
    {"SHA-1 digest", TLS_SIDE_SERVER, LITERAL("0123456789abcdef0123"), false},
    {"SHA-256 digest", TLS_SIDE_SERVER, LITERAL(HASH32), false},
    {"SHA-384 digest", TLS_SIDE_SERVER, LITERAL(HASH48), false},
    {"SHA-512 digest", TLS_SIDE_SERVER, LITERAL(HASH32 HASH32), false},
    {"64 spaces", TLS_SIDE_SERVER, LITERAL(SPACES), false},
    {"DigestInfo", TLS_SIDE_SERVER, LITERAL("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" HASH32), false},
    {"63 spaces", TLS_SIDE_SERVER, SPACES "TLS 1.3, server CertificateVerify\0" HASH32 + 1, 64 + 34 + 32 - 1, false},
    {"65 spaces", TLS_SIDE_SERVER, LITERAL(SPACES " TLS 1.3, server CertificateVerify\0" HASH32), false},
    {"TLS 1.3 of the other side", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, client CertificateVerify\0" HASH32), false},
    {"TLS 1.3 of the other side, client", TLS_SIDE_CLIENT, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0" HASH32), false},
    {"TLS 1.4", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.4, server CertificateVerify\0" HASH32), false},
    {"lower-case context", TLS_SIDE_SERVER, LITERAL(SPACES "tls 1.3, server CertificateVerify\0" HASH32), false},
    {"delegated credential", TLS_SIDE_SERVER, LITERAL(SPACES "TLS, server delegated credentials\0" HASH32), false},
    {"exported authenticator", TLS_SIDE_SERVER, LITERAL(SPACES "Exported Authenticator\0" HASH32), false},
    {"no separator", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify" HASH32), false},
    {"SHA-1 transcript hash", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0" "0123456789abcdef0123"), false},
    {"SHA-512 transcript hash", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0" RANDOMS), false},
    {"no transcript hash", TLS_SIDE_SERVER, LITERAL(SPACES "TLS 1.3, server CertificateVerify\0"), false},
    {"explicit curve", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x01\x00\x1d\x20" POINT32), false},
    {"unknown group", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x7f\x1d\x20" POINT32), false},
    {"point of another group", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x17\x20" POINT32), false},
    {"compressed point", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x17\x41\x02" RANDOMS), false},
    {"point cut", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x1d\x20" "0123456789abcdef"), false},
    {"something after the point", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32 "x"), false},
    {"no point", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x03\x00\x1d\x00"), false},
    {"DHE parameters", TLS_SIDE_SERVER, LITERAL(RANDOMS "\x00\x20" POINT32 "\x00\x01\x02\x00\x20" POINT32), false},
    {"TLS 1.2 server parameters by a client", TLS_SIDE_CLIENT, LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32), false},
    {"SSH session", TLS_SIDE_SERVER, LITERAL("\0\0\0\x20" HASH32 "\x32\0\0\0\x04root\0\0\0\x0essh-connection\0\0\0\x09publickey\x01"), false},
    {"SSHSIG", TLS_SIDE_SERVER, LITERAL("SSHSIG\0\0\0\x04" "file\0\0\0\0\0\0\0\x06sha512\0\0\0\x40" RANDOMS), false},
    {"JWT", TLS_SIDE_SERVER, LITERAL("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0.x"), false},
    {"DKIM header", TLS_SIDE_SERVER, LITERAL("from:a@example.org\r\ndkim-signature:v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=; b="), false},
    {"to-be-signed certificate", TLS_SIDE_SERVER, LITERAL("\x30\x82\x01\x0a\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" RANDOMS), false},
    {"ClientHello alone", TLS_SIDE_CLIENT, LITERAL("\x01\0\0\x29\x03\x03" HASH32 "\0\0\x02\x13\x01\x01\0"), false},
};

static void test_table(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
        TlsSignable s;

        if (signable(messages[i].side, (const uint8_t *) messages[i].message, messages[i].size, &s) != messages[i].accepted)
            fail_msg("%s was %s", messages[i].what, messages[i].accepted ? "refused" : "accepted");
    }
}

static int setup(void **state)
{
    key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    return X509_sign(certificate, key, EVP_sha256()) > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    X509_free(certificate);
    EVP_PKEY_free(key);
    ASYNC_cleanup_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_leaf),
        cmocka_unit_test(test_changed_transcript),
        cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
