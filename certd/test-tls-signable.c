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

#include "openssl-cleanup.h"
#include "provider/remote-key.h"
#include "tls-signable.h"

DEFINE_OPENSSL_CLEANUP(X509_CRL, crl_freep, X509_CRL_free);
DEFINE_OPENSSL_CLEANUP(X509_REQ, request_freep, X509_REQ_free);

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

/* Whole messages of it gone, twice or elsewhere, or what comes later in a handshake. */
static void test_reordered_transcript(void **state)
{
    _cleanup_free_ Message *m = calloc(1, sizeof(Message)), *changed = calloc(1, sizeof(Message));
    size_t begin[10] = {}, n = 0;
    TlsSignable s;

    record_handshake(TLS1_2_VERSION, TLS_SIDE_CLIENT, m);
    for (size_t i = 0; i < m->size; n++) {
        begin[n] = i;
        i += 4 + ((size_t) m->data[i + 1] << 16 | (size_t) m->data[i + 2] << 8 | m->data[i + 3]);
    }
    begin[n] = m->size;
    for (size_t i = 0; i < n; i++) {
        size_t size = begin[i + 1] - begin[i], rest = m->size - begin[i + 1];

        memcpy(changed->data, m->data, begin[i]);
        memcpy(changed->data + begin[i], m->data + begin[i + 1], rest); /* without it */
        assert_false(signable(TLS_SIDE_CLIENT, changed->data, m->size - size, &s));
        memcpy(changed->data + begin[i] + rest, m->data + begin[i], size); /* at the end */
        assert_int_equal(signable(TLS_SIDE_CLIENT, changed->data, m->size, &s), i == n - 1);
        memcpy(changed->data, m->data, begin[i + 1]);
        memcpy(changed->data + begin[i + 1], m->data + begin[i], size + rest); /* twice */
        assert_false(signable(TLS_SIDE_CLIENT, changed->data, m->size + size, &s));
    }
    memcpy(m->data + m->size, "\x0f\0\0\x08\x04\x03\0\x04sign", 12); /* CertificateVerify */
    assert_false(signable(TLS_SIDE_CLIENT, m->data, m->size + 12, &s));
    memcpy(m->data + m->size, "\x14\0\0\x0c" "verify_data!", 16); /* Finished */
    assert_false(signable(TLS_SIDE_CLIENT, m->data, m->size + 16, &s));
}

/* What OpenSSL signs elsewhere, in full. */
static void test_pki(void **state)
{
    _cleanup_(request_freep) X509_REQ *request = X509_REQ_new();
    _cleanup_(crl_freep) X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    unsigned char *tbs[3] = {};
    int size[3];
    TlsSignable s;

    assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
    assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, X509_get0_notBefore(certificate)), 1);
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(certificate)), 1);
    assert_int_equal(X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate)), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(revoked, (ASN1_TIME *) X509_get0_notBefore(certificate)), 1);
    assert_int_equal(X509_CRL_add0_revoked(crl, revoked), 1);
    assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    size[0] = i2d_re_X509_tbs(certificate, &tbs[0]);
    size[1] = i2d_re_X509_REQ_tbs(request, &tbs[1]);
    size[2] = i2d_re_X509_CRL_tbs(crl, &tbs[2]);
    for (size_t i = 0; i < ELEMENTSOF(tbs); i++) {
        assert_true(size[i] > 0);
        assert_false(signable(TLS_SIDE_SERVER, tbs[i], (size_t) size[i], &s));
        assert_false(signable(TLS_SIDE_CLIENT, tbs[i], (size_t) size[i], &s));
        OPENSSL_free(tbs[i]);
    }
}

#define SPACES "                                                                "
#define TABS "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"
#define SERVER13 "TLS 1.3, server CertificateVerify\0"
#define CLIENT13 "TLS 1.3, client CertificateVerify\0"
#define HASH20 "0123456789abcdef0123"
#define HASH32 "0123456789abcdef0123456789abcdef"
#define HASH48 HASH32 "0123456789abcdef"
#define HASH64 HASH32 HASH32
#define RANDOM HASH32
#define RANDOMS RANDOM RANDOM
#define POINT32 HASH32
#define POINT56 HASH32 "0123456789abcdef01234567"
#define POINT65 "\x04" HASH64
#define POINT97 "\x04" HASH48 HASH48
#define POINT133 "\x04" HASH64 HASH64 "0123"
#define LITERAL(s) (s), sizeof(s) - 1

enum {
    NOBODY = 0,
    SERVER = 1 << TLS_SIDE_SERVER,
    CLIENT = 1 << TLS_SIDE_CLIENT,
};

/* Sorted by what they pretend to be. */
static const struct {
    const char *what;
    const char *message;
    size_t size;
    int signed_for;
} messages[] = {
    {"TLS 1.3 server, SHA-256", LITERAL(SPACES SERVER13 HASH32), SERVER},
    {"TLS 1.3 server, SHA-384", LITERAL(SPACES SERVER13 HASH48), SERVER},
    {"TLS 1.3 client, SHA-256", LITERAL(SPACES CLIENT13 HASH32), CLIENT},
    {"TLS 1.3 client, SHA-384", LITERAL(SPACES CLIENT13 HASH48), CLIENT},
    {"TLS 1.2 P-256", LITERAL(RANDOMS "\x03\x00\x17\x41" POINT65), SERVER},
    {"TLS 1.2 P-384", LITERAL(RANDOMS "\x03\x00\x18\x61" POINT97), SERVER},
    {"TLS 1.2 P-521", LITERAL(RANDOMS "\x03\x00\x19\x85" POINT133), SERVER},
    {"TLS 1.2 X25519", LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32), SERVER},
    {"TLS 1.2 X448", LITERAL(RANDOMS "\x03\x00\x1e\x38" POINT56), SERVER},

    {"nothing", LITERAL(""), NOBODY},
    {"one byte", LITERAL("x"), NOBODY},
    {"MD5 digest", LITERAL("0123456789abcdef"), NOBODY},
    {"SHA-1 digest", LITERAL(HASH20), NOBODY},
    {"TLS 1.0's MD5 and SHA-1 digests", LITERAL("0123456789abcdef" HASH20), NOBODY},
    {"SHA-224 digest", LITERAL("0123456789abcdef0123456789ab"), NOBODY},
    {"SHA-256 digest", LITERAL(HASH32), NOBODY},
    {"SHA-384 digest", LITERAL(HASH48), NOBODY},
    {"SHA-512 digest", LITERAL(HASH64), NOBODY},
    {"DigestInfo", LITERAL("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" HASH32), NOBODY},

    {"64 spaces", LITERAL(SPACES), NOBODY},
    {"63 spaces", SPACES SERVER13 HASH32 + 1, 64 + 34 + 32 - 1, NOBODY},
    {"63 spaces, client", SPACES CLIENT13 HASH32 + 1, 64 + 34 + 32 - 1, NOBODY},
    {"65 spaces", LITERAL(SPACES " " SERVER13 HASH32), NOBODY},
    {"no spaces", LITERAL(SERVER13 HASH32), NOBODY},
    {"tabs",
            LITERAL(TABS TABS TABS TABS SERVER13 HASH32), NOBODY},
    {"TLS 1.4", LITERAL(SPACES "TLS 1.4, server CertificateVerify\0" HASH32), NOBODY},
    {"TLS 1.2 in TLS 1.3's form", LITERAL(SPACES "TLS 1.2, server CertificateVerify\0" HASH32), NOBODY},
    {"DTLS 1.3", LITERAL(SPACES "DTLS1.3, server CertificateVerify\0" HASH32), NOBODY},
    {"another side", LITERAL(SPACES "TLS 1.3, sender CertificateVerify\0" HASH32), NOBODY},
    {"lower-case context", LITERAL(SPACES "tls 1.3, server CertificateVerify\0" HASH32), NOBODY},
    {"cut context", LITERAL(SPACES "TLS 1.3, server Certificate\0" HASH32), NOBODY},
    {"longer context", LITERAL(SPACES "TLS 1.3, server CertificateVerify2\0" HASH32), NOBODY},
    {"no separator", LITERAL(SPACES "TLS 1.3, server CertificateVerify" HASH32), NOBODY},
    {"two separators", LITERAL(SPACES SERVER13 "\0" HASH32), NOBODY},
    {"delegated credential", LITERAL(SPACES "TLS, server delegated credentials\0" HASH32), NOBODY},
    {"delegated credential, client", LITERAL(SPACES "TLS, client delegated credentials\0" HASH32), NOBODY},
    {"exported authenticator", LITERAL(SPACES "Exported Authenticator\0" HASH32), NOBODY},
    {"SHA-1 transcript hash", LITERAL(SPACES SERVER13 HASH20), NOBODY},
    {"SHA-512 transcript hash", LITERAL(SPACES SERVER13 HASH64), NOBODY},
    {"transcript hash of 31 bytes", SPACES SERVER13 HASH32, 64 + 34 + 31, NOBODY},
    {"transcript hash of 33 bytes", LITERAL(SPACES SERVER13 HASH32 "x"), NOBODY},
    {"no transcript hash", LITERAL(SPACES SERVER13), NOBODY},
    {"no transcript hash, client", LITERAL(SPACES CLIENT13), NOBODY},

    {"two randoms alone, and a byte", LITERAL(RANDOMS "\x03"), NOBODY},
    {"one random", LITERAL(RANDOM "\x03\x00\x1d\x20" POINT32), NOBODY},
    {"three randoms", LITERAL(RANDOMS RANDOM "\x03\x00\x1d\x20" POINT32), NOBODY},
    {"parameters without randoms", LITERAL("\x03\x00\x1d\x20" POINT32), NOBODY},
    {"explicit prime curve", LITERAL(RANDOMS "\x01\x00\x1d\x20" POINT32), NOBODY},
    {"explicit binary curve", LITERAL(RANDOMS "\x02\x00\x1d\x20" POINT32), NOBODY},
    {"unknown group", LITERAL(RANDOMS "\x03\x7f\x1d\x20" POINT32), NOBODY},
    {"group of 163 bits", LITERAL(RANDOMS "\x03\x00\x01\x2b\x04" "0123456789abcdef01234" "0123456789abcdef01234"), NOBODY},
    {"secp256k1", LITERAL(RANDOMS "\x03\x00\x16\x41" POINT65), NOBODY},
    {"X25519MLKEM768", LITERAL(RANDOMS "\x03\x11\xec\x20" POINT32), NOBODY},
    {"point of another group", LITERAL(RANDOMS "\x03\x00\x17\x20" POINT32), NOBODY},
    {"compressed point", LITERAL(RANDOMS "\x03\x00\x17\x41\x02" HASH64), NOBODY},
    {"compressed point, short", LITERAL(RANDOMS "\x03\x00\x17\x21\x02" HASH32), NOBODY},
    {"point at infinity", LITERAL(RANDOMS "\x03\x00\x17\x01\x00"), NOBODY},
    {"point cut", LITERAL(RANDOMS "\x03\x00\x1d\x20" "0123456789abcdef"), NOBODY},
    {"length too small", LITERAL(RANDOMS "\x03\x00\x1d\x1f" POINT32), NOBODY},
    {"length too large", LITERAL(RANDOMS "\x03\x00\x1d\x21" POINT32), NOBODY},
    {"length of two bytes", LITERAL(RANDOMS "\x03\x00\x1d\x00\x20" POINT32), NOBODY},
    {"something after the point", LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32 "x"), NOBODY},
    {"no point", LITERAL(RANDOMS "\x03\x00\x1d\x00"), NOBODY},
    {"DHE parameters", LITERAL(RANDOMS "\x00\x20" POINT32 "\x00\x01\x02\x00\x20" POINT32), NOBODY},
    {"DHE parameters that begin like ECDHE's",
            LITERAL(RANDOMS "\x03\x00\x1d\x20" POINT32 "\x00\x01\x02\x00\x20" POINT32), NOBODY},
    {"RSA_EXPORT parameters", LITERAL(RANDOMS "\x00\x40" HASH64 "\x00\x03\x01\x00\x01"), NOBODY},
    {"ServerKeyExchange as a message", LITERAL("\x0c\0\0\x24\x03\x00\x1d\x20" POINT32), NOBODY},
    {"ClientHello alone", LITERAL("\x01\0\0\x29\x03\x03" RANDOM "\0\0\x02\x13\x01\x01\0"), NOBODY},
    {"ClientHello of TLS 1.1", LITERAL("\x01\0\0\x29\x03\x02" RANDOM "\0\0\x02\x00\x2f\x01\0"), NOBODY},
    {"ServerHello alone", LITERAL("\x02\0\0\x26\x03\x03" RANDOM "\0\xc0\x2b\0"), NOBODY},
    {"TLS 1.2 verify data", LITERAL("client finished" HASH32), NOBODY},
    {"TLS 1.3 key derivation", LITERAL("\0\x20\x12tls13 derived\0\x20" HASH32), NOBODY},

    {"to-be-signed certificate",
            LITERAL("\x30\x82\x01\x0a\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
                    HASH64), NOBODY},
    {"OCSP response",
            LITERAL("\x30\x81\x80\xa2\x16\x04\x14" HASH20 "\x18\x0f" "20261124120000Z\x30\x53\x30\x51\x30\x3c" HASH32), NOBODY},
    {"certificate transparency",
            LITERAL("\0\0\0\0\x01\x93\x5c\xd0\x00\x00\0\x01" HASH32 "\0\0\x05" "\x30\x03\x02\x01\x01\0\0"), NOBODY},
    {"time stamp",
            LITERAL("\x30\x46\x02\x01\x01\x06\x04\x2a\x03\x04\x01\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01"
                    "\x65\x03\x04\x02\x01\x05\x00\x04\x20" HASH32), NOBODY},
    {"CMS signed attributes",
            LITERAL("\x31\x4b\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03\x31\x0b\x06\x09"
                    "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
                    "\x30\x2f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04\x31\x22\x04\x20" HASH32), NOBODY},
    {"OpenPGP signature", LITERAL("a message\r\n\x04\x01\x16\x08\0\x06\x05\x02\x67\x43\x1e\x80\x04\xff\0\0\0\x0c"), NOBODY},
    {"Debian Release file",
            LITERAL("Origin: Debian\nLabel: Debian\nSuite: stable\nSHA256:\n " HASH64 " 0 main/binary-amd64/Packages\n"), NOBODY},
    {"git commit", LITERAL("tree " HASH20 HASH20 "\nauthor a <a@example.org> 1764000000 +0000\n\nx\n"), NOBODY},
    {"SSH user authentication",
            LITERAL("\0\0\0\x20" HASH32 "\x32\0\0\0\x04root\0\0\0\x0essh-connection\0\0\0\x09publickey\x01"), NOBODY},
    {"SSH exchange hash",
            LITERAL("\0\0\0\x14SSH-2.0-OpenSSH_9.2p\0\0\0\x14SSH-2.0-OpenSSH_10.0\0\0\x04\0\x14" HASH32 HASH32), NOBODY},
    {"SSH certificate", LITERAL("\0\0\0\x20ssh-ed25519-cert-v01@openssh.com\0\0\0\x20" HASH32 "\0\0\0\x20" HASH32), NOBODY},
    {"SSHSIG", LITERAL("SSHSIG\0\0\0\x04" "file\0\0\0\0\0\0\0\x06sha512\0\0\0\x40" HASH64), NOBODY},
    {"JWT", LITERAL("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0"), NOBODY},
    {"ACME request",
            LITERAL("eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoiMTIzIiwidXJsIjoiaHR0cHM6Ly9jYS9uZXctb3JkZXIifQ"
                    ".eyJpZGVudGlmaWVycyI6W119"), NOBODY},
    {"WebAuthn assertion", LITERAL(HASH32 "\x05\0\0\0\x01" HASH32), NOBODY},
    {"DKIM header",
            LITERAL("from:a@example.org\r\ndkim-signature:v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=; b="), NOBODY},
    {"DNSSEC record set",
            LITERAL("\0\x01\x0d\x02\0\0\x0e\x10\x69\x24\x20\x80\x69\x10\x10\x80\x30\x39\x07" "example\x03org\0\x07"
                    "example\x03org\0" "\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01"), NOBODY},
    {"TPM quote", LITERAL("\xffTCG\x80\x18\0\x22\0\x0b" HASH32 "\0\x04" "1234" HASH32), NOBODY},
    {"XML signature",
            LITERAL("<SignedInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\">"
                    "<CanonicalizationMethod Algorithm=\"x\"/></SignedInfo>"), NOBODY},
};

#define NOT_SIGNED_MIN 80

static void test_table(void **state)
{
    size_t not_signed = 0;

    for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
        for (TlsSide side = TLS_SIDE_SERVER; side <= TLS_SIDE_CLIENT; side++) {
            bool accepted = messages[i].signed_for & 1 << side;
            TlsSignable s;

            if (signable(side, (const uint8_t *) messages[i].message, messages[i].size, &s) != accepted)
                fail_msg("%s was %s", messages[i].what, accepted ? "refused" : "accepted");
        }
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(messages[i].what, messages[k].what);
        not_signed += messages[i].signed_for == NOBODY;
    }
    assert_true(not_signed >= NOT_SIGNED_MIN);
}

/* What is signed, cut anywhere, is not, but where a SHA-384 hash becomes one of the length of SHA-256. */
static void test_table_cut(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(messages) && messages[i].signed_for != NOBODY; i++)
        for (TlsSide side = TLS_SIDE_SERVER; side <= TLS_SIDE_CLIENT; side++)
            for (size_t n = 0; n < messages[i].size; n++) {
                bool other_hash = messages[i].size == 64 + 34 + 48 && n == 64 + 34 + 32;
                TlsSignable s;

                if (!other_hash)
                    assert_false(signable(side, (const uint8_t *) messages[i].message, n, &s));
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
        cmocka_unit_test(test_reordered_transcript),
        cmocka_unit_test(test_pki),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_cut),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
