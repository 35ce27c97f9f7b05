/* SPDX-License-Identifier: Apache-2.0 */

/* Streams and the provider together: a server whose key is elsewhere, answered later or never. test-stream.c has the pauses
 * alone. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/socket.h>

#include "provider/remote-key.h"
#include "stream.h"
#include "test-certificate.h"
#include "tls.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
    sd_event *event;
    RemoteKeys *keys;
    RemoteSigner signer;
    TestCertificate *certificate;
    SSL_CTX *server_ctx, *client_ctx;
    Stream *server, *client;
    bool server_secured, client_secured, server_closed, client_closed;

    /* What the signer was asked. */
    RemoteSignature *signature;
    bool cancelled;
    uint16_t scheme;
    uint8_t message[REMOTE_KEY_MESSAGE_MAX];
    size_t size;
} Fixture;

static int start_signing(RemoteSignature *s, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message,
        size_t size, void *userdata)
{
    Fixture *f = userdata;

    assert_null(f->signature);
    assert_true(size <= sizeof(f->message));
    f->signature = s;
    f->scheme = scheme;
    memcpy(f->message, message, size);
    f->size = size;
    return 0;
}

static void cancel_signing(RemoteSignature *s, void *userdata)
{
    Fixture *f = userdata;

    assert_ptr_equal(f->signature, s);
    f->signature = NULL;
    f->cancelled = true;
}

/* In place of certd: ECDSA with SHA-256. */
static void answer(Fixture *f, int error)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    uint8_t signature[256];
    size_t size = sizeof(signature);

    assert_int_equal(f->scheme, 0x0403);
    assert_int_equal(EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, f->certificate->key), 1);
    assert_int_equal(EVP_DigestSign(digest, signature, &size, f->message, f->size), 1);
    EVP_MD_CTX_free(digest);
    remote_signature_done(TAKE_PTR(f->signature), error, signature, size);
}

static void on_server(Stream *s, StreamEvent event, int error, void *userdata)
{
    Fixture *f = userdata;

    f->server_secured |= event == STREAM_SECURED;
    f->server_closed |= event == STREAM_CLOSED;
}

static void on_client(Stream *s, StreamEvent event, int error, void *userdata)
{
    Fixture *f = userdata;

    f->client_secured |= event == STREAM_SECURED;
    f->client_closed |= event == STREAM_CLOSED;
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    EVP_PKEY *key = NULL;
    int fds[2];

    assert_non_null(f);
    (void) signal(SIGPIPE, SIG_IGN);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(remote_keys_new(&f->keys), 0);
    f->signer = (RemoteSigner){start_signing, cancel_signing, f};
    f->certificate = test_certificate_new(&(TestCertificateSpec){.cn = "mx.example.com"}, NULL);
    assert_int_equal(tls_server_context_new(&f->server_ctx, remote_keys_libctx(f->keys)), 0);
    assert_int_equal(tls_client_context_new(&f->client_ctx, NULL), 0);
    assert_int_equal(remote_key_new(f->keys, &key, f->certificate->x509, "mx", &f->signer), 0);
    assert_int_equal(SSL_CTX_use_certificate(f->server_ctx, f->certificate->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(f->server_ctx, key), 1);
    EVP_PKEY_free(key);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_new(&f->server, f->event, fds[0], on_server, f), 0);
    assert_int_equal(stream_new(&f->client, f->event, fds[1], on_client, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    stream_free(f->server);
    stream_free(f->client);
    assert_null(f->signature);
    SSL_CTX_free(f->server_ctx);
    SSL_CTX_free(f->client_ctx);
    test_certificate_free(f->certificate);
    remote_keys_free(f->keys);
    assert_null(sd_event_unref(f->event));
    free(f);
    return 0;
}

#define run_until(f, condition)                                               \
    do {                                                                      \
        while (!(condition))                                                  \
            assert_int_not_equal(sd_event_run((f)->event, PATIENCE_USEC), 0); \
    } while (0)

/* Up to the moment when certd would be asked. */
static void start(Fixture *f)
{
    assert_int_equal(stream_start_tls(f->server, SSL_new(f->server_ctx), true), 0);
    assert_int_equal(stream_start_tls(f->client, SSL_new(f->client_ctx), false), 0);
    run_until(f, f->signature);
    while (sd_event_run(f->event, 0) > 0)
        ;
    assert_false(f->server_secured || f->client_secured);
}

static void test_answered_later(void **state)
{
    Fixture *f = *state;

    start(f);
    answer(f, 0);
    run_until(f, f->server_secured && f->client_secured);
}

static void test_answered_later_in_tls12(void **state)
{
    Fixture *f = *state;

    assert_int_equal(SSL_CTX_set_max_proto_version(f->client_ctx, TLS1_2_VERSION), 1);
    start(f);
    answer(f, 0);
    run_until(f, f->server_secured && f->client_secured);
    assert_string_equal(SSL_get_version(stream_ssl(f->server)), "TLSv1.2");
}

static void test_refused(void **state)
{
    Fixture *f = *state;

    start(f);
    answer(f, -EACCES);
    run_until(f, f->server_closed && f->client_closed);
    assert_string_not_equal(stream_tls_error(f->server), "");
}

static void test_freed_while_it_waits(void **state)
{
    Fixture *f = *state;

    start(f);
    f->server = stream_free(f->server);
    assert_true(f->cancelled);
    run_until(f, f->client_closed);
}

static void test_times_out(void **state)
{
    Fixture *f = *state;

    start(f);
    stream_set_timeout(f->server, 1000);
    run_until(f, f->server_closed);
    f->server = stream_free(f->server);
    assert_true(f->cancelled);
}

/* The answer is there, and the stream goes before the loop gets to it. */
static void test_freed_when_answered(void **state)
{
    Fixture *f = *state;

    start(f);
    answer(f, 0);
    f->server = stream_free(f->server);
    assert_false(f->cancelled);
    run_until(f, f->client_closed);
}

#define remote_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        remote_test(test_answered_later),
        remote_test(test_answered_later_in_tls12),
        remote_test(test_refused),
        remote_test(test_freed_while_it_waits),
        remote_test(test_times_out),
        remote_test(test_freed_when_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
