/* SPDX-License-Identifier: Apache-2.0 */

/* Remote keys in whole TLS handshakes over a BIO pair: every key type, version and side, with a signer that answers later, as
 * certd does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "provider/remote-key.h"
#include "signature-scheme.h"

#define PENDING_MAX 8

/* Plays certd: keeps what is asked, answers when it is told to. */
typedef struct TestSigner {
    RemoteSigner signer;
    EVP_PKEY *key;
    RemoteSignature *pending[PENDING_MAX];
    size_t n_pending;
    bool at_once;      /* answer inside of start() */
    int start_error;   /* start() fails */
    int answer_error;  /* the answer is an error */
    bool wrong;        /* the answer is no signature of the message */
    unsigned n_started, n_cancelled;
    uint16_t scheme;
    uint8_t message[REMOTE_KEY_MESSAGE_MAX];
    size_t message_size;
} TestSigner;

static RemoteKeys *keys;

static void key_sign(EVP_PKEY *key, uint16_t id, const uint8_t *message, size_t size, uint8_t *signature, size_t *ret_size)
{
    const SignatureScheme *scheme = signature_scheme_from_id(id);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *context;

    assert_non_null(scheme);
    assert_int_equal(EVP_DigestSignInit_ex(md, &context, scheme->digest, NULL, NULL, key, NULL), 1);
    if (scheme->pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(md, signature, ret_size, message, size), 1);
    EVP_MD_CTX_free(md);
}

static void signer_answer(TestSigner *t, RemoteSignature *s)
{
    uint8_t signature[SIGNATURE_SIZE_MAX];
    size_t size = sizeof(signature);

    key_sign(t->key, t->scheme, t->message, t->message_size, signature, &size);
    signature[size - 1] ^= t->wrong;
    remote_signature_done(s, t->answer_error, signature, size);
}

static int signer_start(RemoteSignature *s, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message,
        size_t size, void *userdata)
{
    TestSigner *t = userdata;

    assert_string_equal(name, "demonstration");
    t->n_started++;
    t->scheme = scheme;
    t->message_size = size;
    memcpy(t->message, message, size);
    if (t->start_error < 0)
        return t->start_error;
    remote_signature_set_data(s, t);
    if (t->at_once)
        signer_answer(t, s);
    else
        t->pending[t->n_pending++] = s;
    return 0;
}

static void signer_cancel(RemoteSignature *s, void *userdata)
{
    TestSigner *t = userdata;

    assert_ptr_equal(remote_signature_data(s), t);
    for (size_t i = 0; i < t->n_pending; i++)
        if (t->pending[i] == s) {
            t->pending[i] = t->pending[--t->n_pending];
            t->n_cancelled++;
            return;
        }
    fail_msg("a signature was cancelled that nobody waits for");
}

static void signer_run(TestSigner *t)
{
    while (t->n_pending > 0)
        signer_answer(t, t->pending[--t->n_pending]);
}

static X509 *certificate_new(EVP_PKEY *key)
{
    X509 *x = X509_new();

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *) "mx.example", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") ? EVP_sha256() : NULL) > 0);
    return x;
}

/* One side of a connection. */
typedef struct Side {
    SSL *ssl;
    unsigned n_paused, n_woken;
    bool done, failed;
} Side;

static int side_woken(SSL *ssl, void *userdata)
{
    ((Side *) userdata)->n_woken++;
    return 1;
}

static void side_step(Side *s)
{
    int r;

    if (s->done || s->failed)
        return;
    ERR_clear_error();
    r = SSL_do_handshake(s->ssl);
    s->done = r == 1;
    if (s->done)
        return;
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_ASYNC:
        s->n_paused++;
        break;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        break;
    default:
        s->failed = true;
    }
}

typedef struct Pair {
    TestSigner signer;
    EVP_PKEY *key, *remote, *other_key;
    X509 *certificate, *other_certificate;
    SSL_CTX *server_context, *client_context;
    Side server, client;
} Pair;

typedef struct Case {
    const char *algorithm; /* of the remote key: "EC:P-256" */
    int version;
    bool at_client;      /* the remote key is the client's */
    const char *sigalgs; /* what the verifying side accepts */
    uint16_t scheme;     /* expected */
} Case;

/* NULL for what this OpenSSL does not have. */
static EVP_PKEY *ml_dsa_key_new(const char *algorithm)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    EVP_PKEY *key = NULL;

    if (context && EVP_PKEY_keygen_init(context) == 1)
        assert_int_equal(EVP_PKEY_generate(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static EVP_PKEY *key_new(const char *algorithm)
{
    EVP_PKEY *key = strncmp(algorithm, "ML-DSA", 6) == 0 ? ml_dsa_key_new(algorithm)
            : strncmp(algorithm, "EC:", 3) == 0        ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", algorithm + 3)
            : streq(algorithm, "RSA")                        ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048)
                                                             : EVP_PKEY_Q_keygen(NULL, NULL, algorithm);

    assert_non_null(key);
    return key;
}

static void side_new(Side *s, SSL_CTX *context)
{
    s->ssl = SSL_new(context);
    assert_int_equal(SSL_set_async_callback(s->ssl, side_woken), 1);
    assert_int_equal(SSL_set_async_callback_arg(s->ssl, s), 1);
}

static Pair *pair_new(const Case *c)
{
    Pair *p = calloc(1, sizeof(Pair));
    SSL_CTX *mine, *other;
    BIO *a, *b;

    p->key = key_new(c->algorithm);
    p->certificate = certificate_new(p->key);
    p->other_key = key_new("EC:P-256");
    p->other_certificate = certificate_new(p->other_key);
    p->signer = (TestSigner) {.signer = {signer_start, signer_cancel, &p->signer}, .key = p->key};
    assert_int_equal(remote_key_new(keys, &p->remote, p->certificate, "demonstration", &p->signer.signer), 0);

    p->server_context = SSL_CTX_new_ex(remote_keys_libctx(keys), NULL, TLS_server_method());
    p->client_context = SSL_CTX_new_ex(remote_keys_libctx(keys), NULL, TLS_client_method());
    mine = c->at_client ? p->client_context : p->server_context;
    other = c->at_client ? p->server_context : p->client_context;
    SSL_CTX_set_mode(mine, SSL_MODE_ASYNC);
    SSL_CTX_set_min_proto_version(mine, c->version);
    SSL_CTX_set_max_proto_version(mine, c->version);
    assert_int_equal(SSL_CTX_use_certificate(mine, p->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(mine, p->remote), 1);
    assert_int_equal(SSL_CTX_check_private_key(mine), 1);
    if (c->at_client) {
        assert_int_equal(SSL_CTX_use_certificate(other, p->other_certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(other, p->other_key), 1);
        SSL_CTX_set_verify(other, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(other), p->certificate);
        /* With the key of the other side's certificate in its own list, too: the list is for both. */
        if (c->sigalgs)
            assert_int_equal(SSL_CTX_set1_client_sigalgs_list(other, c->sigalgs), 1);
    } else if (c->sigalgs)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(other, c->sigalgs), 1);

    side_new(&p->server, p->server_context);
    side_new(&p->client, p->client_context);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p->server.ssl, a, a);
    SSL_set_bio(p->client.ssl, b, b);
    SSL_set_accept_state(p->server.ssl);
    SSL_set_connect_state(p->client.ssl);
    return p;
}

static void pair_free(Pair *p)
{
    SSL_free(p->server.ssl);
    SSL_free(p->client.ssl);
    SSL_CTX_free(p->server_context);
    SSL_CTX_free(p->client_context);
    EVP_PKEY_free(p->key);
    EVP_PKEY_free(p->remote);
    EVP_PKEY_free(p->other_key);
    X509_free(p->certificate);
    X509_free(p->other_certificate);
    free(p);
}

/* Drives both sides until nothing moves any more, the signer apart. */
static void pair_settle(Pair *p)
{
    for (unsigned i = 0; i < 20; i++) {
        side_step(&p->client);
        side_step(&p->server);
    }
}

static void handshake(const Case *c)
{
    Pair *p = pair_new(c);
    Side *mine = c->at_client ? &p->client : &p->server;
    char buffer[8] = "";

    print_message("%s, TLS %s, %s, %s\n", c->algorithm, c->version == TLS1_3_VERSION ? "1.3" : "1.2", c->at_client ? "client" : "server",
            c->sigalgs ? c->sigalgs : "any scheme");
    pair_settle(p);
    /* It waits for the signer, however often it is driven, and asked only once. */
    assert_false(mine->done || mine->failed);
    assert_true(mine->n_paused > 1);
    assert_int_equal(mine->n_woken, 0);
    assert_int_equal(p->signer.n_started, 1);
    assert_int_equal(p->signer.scheme, c->scheme);

    signer_run(&p->signer);
    assert_int_equal(mine->n_woken, 1);
    pair_settle(p);
    assert_true(p->server.done && p->client.done);
    assert_int_equal(p->signer.n_started, 1);
    assert_int_equal(p->signer.n_cancelled, 0);

    assert_int_equal(SSL_write(p->client.ssl, "secret", 6), 6);
    assert_int_equal(SSL_read(p->server.ssl, buffer, sizeof(buffer)), 6);
    assert_memory_equal(buffer, "secret", 6);
    pair_free(p);
}

static const Case cases[] = {
    {"EC:P-256", TLS1_3_VERSION, false, NULL, 0x0403},
    {"EC:P-256", TLS1_2_VERSION, false, NULL, 0x0403},
    {"EC:P-256", TLS1_2_VERSION, false, "ECDSA+SHA384", 0x0503},
    {"EC:P-256", TLS1_2_VERSION, false, "ECDSA+SHA512", 0x0603},
    {"EC:P-256", TLS1_3_VERSION, true, NULL, 0x0403},
    {"EC:P-256", TLS1_2_VERSION, true, NULL, 0x0403},
    {"EC:P-384", TLS1_3_VERSION, false, NULL, 0x0503},
    {"EC:P-384", TLS1_2_VERSION, false, "ECDSA+SHA384", 0x0503},
    {"EC:P-384", TLS1_3_VERSION, true, NULL, 0x0503},
    {"EC:P-384", TLS1_2_VERSION, true, "ECDSA+SHA384", 0x0503},
    {"ED25519", TLS1_3_VERSION, false, NULL, 0x0807},
    {"ED25519", TLS1_2_VERSION, false, NULL, 0x0807},
    {"ED25519", TLS1_3_VERSION, true, NULL, 0x0807},
    {"ED25519", TLS1_2_VERSION, true, NULL, 0x0807},
    {"RSA", TLS1_3_VERSION, false, NULL, 0x0804},
    {"RSA", TLS1_3_VERSION, false, "RSA-PSS+SHA384:RSA+SHA256", 0x0805},
    {"RSA", TLS1_3_VERSION, false, "RSA-PSS+SHA512:RSA+SHA256", 0x0806},
    {"RSA", TLS1_2_VERSION, false, NULL, 0x0804},
    {"RSA", TLS1_2_VERSION, false, "RSA+SHA256", 0x0401},
    {"RSA", TLS1_2_VERSION, false, "RSA+SHA384", 0x0501},
    {"RSA", TLS1_2_VERSION, false, "RSA+SHA512", 0x0601},
    {"RSA", TLS1_3_VERSION, true, NULL, 0x0804},
    {"RSA", TLS1_2_VERSION, true, NULL, 0x0804},
    {"RSA", TLS1_2_VERSION, true, "RSA+SHA512", 0x0601},
};

static void test_handshakes(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        handshake(&cases[i]);
}

/* FIPS 204: TLS 1.3 only. */
static const Case ml_dsa_cases[] = {
    {"ML-DSA-44", TLS1_3_VERSION, false, NULL, 0x0904},
    {"ML-DSA-65", TLS1_3_VERSION, false, NULL, 0x0905},
    {"ML-DSA-65", TLS1_3_VERSION, true, NULL, 0x0905},
    {"ML-DSA-87", TLS1_3_VERSION, false, NULL, 0x0906},
    {"ML-DSA-87", TLS1_3_VERSION, true, NULL, 0x0906},
};

static void test_ml_dsa_handshakes(void **state)
{
    EVP_PKEY *key = ml_dsa_key_new("ML-DSA-65");

    if (!key) {
        print_message("this OpenSSL has no ML-DSA\n");
        skip();
    }
    EVP_PKEY_free(key);
    for (size_t i = 0; i < ELEMENTSOF(ml_dsa_cases); i++)
        handshake(&ml_dsa_cases[i]);
}

static void test_answer_at_once(void **state)
{
    Pair *p = pair_new(&cases[0]);

    p->signer.at_once = true;
    pair_settle(p);
    assert_true(p->server.done && p->client.done);
    assert_int_equal(p->server.n_paused, 0);
    assert_int_equal(p->server.n_woken, 0);
    pair_free(p);
}

/* Each way to get no signature ends the one handshake and nothing else. */
static void test_failures(void **state)
{
    static const struct {
        int start_error, answer_error;
        bool wrong;
    } failures[] = {{-ENOBUFS, 0, false}, {0, -EACCES, false}, {0, 0, true}};

    for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
        Pair *p = pair_new(&cases[0]);

        p->signer.start_error = failures[i].start_error;
        p->signer.answer_error = failures[i].answer_error;
        p->signer.wrong = failures[i].wrong;
        pair_settle(p);
        signer_run(&p->signer);
        pair_settle(p);
        assert_true(p->client.failed);
        assert_int_equal(p->signer.n_started, 1);
        assert_int_equal(p->signer.n_cancelled, 0);
        pair_free(p);
    }
}

/* A connection that is lost in mid-job: the signer is told, the job ends, all is freed. */
static void test_abort(void **state)
{
    for (unsigned at_client = 0; at_client < 2; at_client++) {
        const Case c = {"EC:P-256", TLS1_2_VERSION, at_client, NULL, 0x0403};
        Pair *p = pair_new(&c);
        Side *mine = at_client ? &p->client : &p->server;

        pair_settle(p);
        assert_true(SSL_waiting_for_async(mine->ssl));
        remote_signature_abort(mine->ssl);
        assert_false(SSL_waiting_for_async(mine->ssl));
        assert_int_equal(p->signer.n_cancelled, 1);
        assert_int_equal(p->signer.n_pending, 0);
        remote_signature_abort(mine->ssl);
        side_step(mine);
        assert_true(mine->failed);
        assert_int_equal(p->signer.n_started, 1);
        pair_free(p);
    }
}

/* The answer is there, the connection is aborted before it was driven again. */
static void test_abort_after_answer(void **state)
{
    Pair *p = pair_new(&cases[0]);

    pair_settle(p);
    signer_run(&p->signer);
    remote_signature_abort(p->server.ssl);
    assert_false(SSL_waiting_for_async(p->server.ssl));
    assert_int_equal(p->signer.n_cancelled, 0);
    pair_free(p);
}

static void test_outside_of_a_job(void **state)
{
    Pair *p = pair_new(&cases[0]);

    SSL_clear_mode(p->server.ssl, SSL_MODE_ASYNC);
    pair_settle(p);
    assert_true(p->server.failed);
    assert_int_equal(p->signer.n_started, 0);
    pair_free(p);
}

/* Nothing private comes out, and nothing but TLS signatures is offered. */
static void test_key(void **state)
{
    EVP_PKEY *key = key_new("EC:P-256"), *remote = NULL, *small;
    X509 *certificate = certificate_new(key);
    TestSigner t = {.signer = {signer_start, signer_cancel, &t}, .key = key};
    uint8_t digest[32] = {}, signature[256];
    size_t size = sizeof(signature);
    EVP_PKEY_CTX *context;
    OSSL_PARAM *params = NULL;
    BIGNUM *private_part = NULL;
    EVP_MD_CTX *md;

    assert_int_equal(remote_key_new(keys, &remote, certificate, "demonstration", &t.signer), 0);
    assert_int_equal(EVP_PKEY_eq(remote, key), 1);
    assert_int_equal(EVP_PKEY_get_bits(remote), 256);
    assert_int_equal(EVP_PKEY_get_bn_param(remote, "priv", &private_part), 0);
    assert_int_equal(EVP_PKEY_todata(remote, EVP_PKEY_KEYPAIR, &params), 0);
    assert_int_equal(EVP_PKEY_todata(remote, EVP_PKEY_PUBLIC_KEY, &params), 1);
    OSSL_PARAM_free(params);

    context = EVP_PKEY_CTX_new_from_pkey(remote_keys_libctx(keys), remote, NULL);
    assert_true(EVP_PKEY_sign_init(context) <= 0 || EVP_PKEY_sign(context, signature, &size, digest, sizeof(digest)) <= 0);
    EVP_PKEY_CTX_free(context);
    md = EVP_MD_CTX_new();
    assert_true(EVP_DigestSignInit_ex(md, NULL, "SHA1", remote_keys_libctx(keys), NULL, remote, NULL) <= 0);
    EVP_MD_CTX_free(md);
    assert_int_equal(t.n_started, 0);
    EVP_PKEY_free(remote);
    X509_free(certificate);
    EVP_PKEY_free(key);

    small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 1024);
    certificate = certificate_new(small);
    assert_int_equal(remote_key_new(keys, &remote, certificate, "demonstration", &t.signer), -EOPNOTSUPP);
    X509_free(certificate);
    EVP_PKEY_free(small);
}

static int setup(void **state)
{
    return remote_keys_new(&keys);
}

static int teardown(void **state)
{
    keys = remote_keys_free(keys);
    ASYNC_cleanup_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_ml_dsa_handshakes),
        cmocka_unit_test(test_answer_at_once),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_abort_after_answer),
        cmocka_unit_test(test_outside_of_a_job),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
