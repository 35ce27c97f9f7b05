/* SPDX-License-Identifier: Apache-2.0 */

/* Two streams, or a stream and a plain socket, on one loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <openssl/async.h>
#include <signal.h>
#include <sys/socket.h>

#include "provider/remote-key.h"
#include "stream.h"
#include "test-certificate.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* What a test sees of one end. */
typedef struct End {
    Stream *stream;
    unsigned readable, drained, connected, secured, closed;
    int error;
    size_t received, sum;
    bool keep_input;      /* do not consume */
    bool free_on;         /* free the stream in the handler, at free_event */
    StreamEvent free_event;
    void (*on)(struct End *e, StreamEvent event);
    char last[4096]; /* newest input as a string */
} End;

static void handler(Stream *s, StreamEvent event, int error, void *userdata)
{
    End *e = userdata;
    const char *data;
    size_t n;

    switch (event) {
    case STREAM_READABLE:
        e->readable++;
        break;
    case STREAM_DRAINED:
        e->drained++;
        break;
    case STREAM_CONNECTED:
        e->connected++;
        break;
    case STREAM_SECURED:
        e->secured++;
        break;
    case STREAM_CLOSED:
        assert_int_equal(e->closed, 0);
        e->closed++;
        e->error = error;
        break;
    }
    if (e->free_on && event == e->free_event) {
        e->stream = stream_free(e->stream);
        return;
    }
    if (event == STREAM_READABLE && !e->keep_input) {
        n = stream_peek(s, &data);
        assert_true(n > 0);
        (void) snprintf(e->last, sizeof(e->last), "%.*s", (int) MIN(n, sizeof(e->last) - 1), data);
        e->received += n;
        for (size_t i = 0; i < n; i++)
            e->sum += (unsigned char) data[i];
        stream_consume(s, n);
    }
    if (e->on)
        e->on(e, event);
}

typedef struct Fixture {
    sd_event *event;
    End a, b; /* a: the server's side */
    int fds[2];
    TestCertificate *certificate;
    SSL_CTX *server, *client;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    (void) signal(SIGPIPE, SIG_IGN);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f->fds), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    stream_free(f->a.stream);
    stream_free(f->b.stream);
    close_fdp(&f->fds[0]);
    close_fdp(&f->fds[1]);
    test_certificate_free(f->certificate);
    SSL_CTX_free(f->server);
    SSL_CTX_free(f->client);
    assert_int_equal(sd_event_unref(f->event), NULL);
    free(f);
    return 0;
}

static void open_a(Fixture *f)
{
    assert_int_equal(stream_new(&f->a.stream, f->event, TAKE_FD(f->fds[0]), handler, &f->a), 0);
}

static void open_both(Fixture *f)
{
    open_a(f);
    assert_int_equal(stream_new(&f->b.stream, f->event, TAKE_FD(f->fds[1]), handler, &f->b), 0);
}

static void contexts(Fixture *f)
{
    f->certificate = test_certificate_new(&(TestCertificateSpec){.cn = "mx.example.com"}, NULL);
    f->server = SSL_CTX_new(TLS_server_method());
    f->client = SSL_CTX_new(TLS_client_method());
    assert_non_null(f->server);
    assert_non_null(f->client);
    SSL_CTX_set_mode(f->server, SSL_MODE_ASYNC);
    test_certificate_use(f->server, f->certificate, NULL);
}

static void start_tls_server(Fixture *f)
{
    SSL *ssl = SSL_new(f->server);

    assert_int_equal(stream_start_tls(f->a.stream, ssl, true), 0);
}

static void start_tls_client(Fixture *f)
{
    SSL *ssl = SSL_new(f->client);

    assert_int_equal(stream_start_tls(f->b.stream, ssl, false), 0);
}

#define run_until(f, condition)                                                  \
    do {                                                                         \
        while (!(condition))                                                     \
            assert_int_not_equal(sd_event_run((f)->event, PATIENCE_USEC), 0);    \
    } while (0)

/* Lets the loop do what it has to do now. */
static void settle(Fixture *f)
{
    while (sd_event_run(f->event, 0) > 0)
        ;
}

/* ---- in the clear ---- */

static void test_clear_both_ways(void **state)
{
    Fixture *f = *state;

    open_both(f);
    assert_int_equal(stream_write(f->a.stream, "220 ready\r\n", 11), 0);
    assert_int_equal(stream_printf(f->b.stream, "EHLO %s\r\n", "client"), 0);
    assert_int_equal(stream_output_pending(f->a.stream), 11);
    run_until(f, f->a.readable && f->b.readable);
    assert_string_equal(f->a.last, "EHLO client\r\n");
    assert_string_equal(f->b.last, "220 ready\r\n");
    assert_int_equal(stream_output_pending(f->a.stream), 0);
    assert_int_equal(f->a.drained, 1);
    assert_null(stream_ssl(f->a.stream));
}

static void test_connecting(void **state)
{
    Fixture *f = *state;

    assert_int_equal(stream_new_connecting(&f->a.stream, f->event, TAKE_FD(f->fds[0]), handler, &f->a), 0);
    run_until(f, f->a.connected);
    assert_int_equal(write(f->fds[1], "x", 1), 1);
    run_until(f, f->a.readable);
}

static void test_connect_refused(void **state)
{
    Fixture *f = *state;
    union {
        struct sockaddr_in in;
        struct sockaddr sa;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    _cleanup_close_ int fd = -EBADF, bound = -EBADF;

    /* Bound but not listening: refused for certain. */
    bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bound, &address.sa, sizeof(address.in)), 0);
    assert_int_equal(getsockname(bound, &address.sa, &size), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, &address.sa, sizeof(address.in)) == 0 || errno != EINPROGRESS)
        skip();
    assert_int_equal(stream_new_connecting(&f->a.stream, f->event, TAKE_FD(fd), handler, &f->a), 0);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -ECONNREFUSED);
    assert_int_equal(f->a.connected, 0);
}

static void test_find_line(void **state)
{
    Fixture *f = *state;

    open_a(f);
    f->a.keep_input = true;
    assert_int_equal(stream_find_line(f->a.stream, 512), 0);
    assert_int_equal(write(f->fds[1], "NOOP\r\nQU", 8), 8);
    run_until(f, f->a.readable);
    assert_int_equal(stream_find_line(f->a.stream, 512), 6);
    assert_int_equal(stream_find_line(f->a.stream, 6), 6);
    assert_int_equal(stream_find_line(f->a.stream, 5), -EMSGSIZE);
    stream_consume(f->a.stream, 6);
    assert_int_equal(stream_find_line(f->a.stream, 512), 0);
    assert_int_equal(stream_find_line(f->a.stream, 2), -EMSGSIZE);
}

static void test_peer_closes_after_input(void **state)
{
    Fixture *f = *state;

    open_a(f);
    assert_int_equal(write(f->fds[1], "QUIT\r\n", 6), 6);
    close_fdp(&f->fds[1]);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.readable, 1);
    assert_int_equal(f->a.error, 0);
    settle(f);
    assert_int_equal(f->a.closed, 1);
}

/* A full buffer stops reading: the peer is held by the socket, nothing grows; consuming goes on where it stopped. */
static void test_backpressure(void **state)
{
    static const char block[65536];
    Fixture *f = *state;
    const char *data;
    size_t sent = 0, got = 0;
    ssize_t n;

    open_a(f);
    f->a.keep_input = true;
    while ((n = write(f->fds[1], block, sizeof(block))) > 0)
        sent += (size_t) n;
    assert_true(sent > STREAM_INPUT_MAX);
    settle(f);
    assert_int_equal(stream_peek(f->a.stream, &data), STREAM_INPUT_MAX);
    while (got < sent) {
        got += stream_peek(f->a.stream, &data);
        stream_consume(f->a.stream, STREAM_INPUT_MAX);
        settle(f);
    }
    assert_int_equal(got, sent);
}

static void test_partial_consumption_moves_on(void **state)
{
    static const char block[STREAM_INPUT_MAX];
    Fixture *f = *state;
    const char *data;

    open_a(f);
    f->a.keep_input = true;
    assert_int_equal(write(f->fds[1], block, sizeof(block)), sizeof(block));
    assert_int_equal(write(f->fds[1], "tail", 4), 4);
    settle(f);
    assert_int_equal(stream_peek(f->a.stream, &data), STREAM_INPUT_MAX);
    stream_consume(f->a.stream, STREAM_INPUT_MAX - 10);
    settle(f);
    assert_int_equal(stream_peek(f->a.stream, &data), 14);
    assert_memory_equal(data + 10, "tail", 4);
    assert_int_equal(f->a.readable, 2);
}

static void test_pause(void **state)
{
    Fixture *f = *state;

    open_a(f);
    f->a.keep_input = true;
    stream_pause(f->a.stream, true);
    assert_int_equal(write(f->fds[1], "DATA\r\n", 6), 6);
    close_fdp(&f->fds[1]);
    settle(f);
    assert_int_equal(f->a.readable + f->a.closed, 0);
    stream_pause(f->a.stream, false);
    settle(f);
    assert_int_equal(f->a.readable, 1);
    assert_int_equal(f->a.closed, 1);
}

static void pause_at_once(End *e, StreamEvent event)
{
    if (event == STREAM_READABLE)
        stream_pause(e->stream, true);
}

/* Input put off by pausing is announced again, and the end of the connection waits for it. */
static void test_pause_holds_end(void **state)
{
    Fixture *f = *state;

    open_a(f);
    f->a.keep_input = true;
    f->a.on = pause_at_once;
    assert_int_equal(write(f->fds[1], "a\r\nb\r\n", 6), 6);
    close_fdp(&f->fds[1]);
    settle(f);
    assert_int_equal(f->a.readable, 1);
    assert_int_equal(f->a.closed, 0);
    f->a.on = NULL;
    stream_pause(f->a.stream, false);
    settle(f);
    assert_int_equal(f->a.readable, 2);
    assert_int_equal(f->a.closed, 1);
}

static void test_output_limit(void **state)
{
    static const char block[STREAM_OUTPUT_MAX];
    Fixture *f = *state;

    open_both(f);
    assert_int_equal(stream_write(f->a.stream, block, sizeof(block)), 0);
    assert_int_equal(stream_write(f->a.stream, "x", 1), -ENOBUFS);
    assert_int_equal(stream_printf(f->a.stream, "x"), -ENOBUFS);
    run_until(f, f->a.drained);
    run_until(f, f->b.received == sizeof(block));
    assert_int_equal(stream_write(f->a.stream, "x", 1), 0);
}

static void test_timeout(void **state)
{
    Fixture *f = *state;

    open_both(f);
    stream_set_timeout(f->b.stream, 1);
    stream_set_timeout(f->b.stream, 0);
    stream_set_timeout(f->a.stream, PATIENCE_USEC);
    stream_set_timeout(f->a.stream, 1000);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -ETIMEDOUT);
    assert_int_equal(f->b.closed, 0);
}

/* A deadline that was moved away does not fire at its old time. */
static void test_timeout_moves(void **state)
{
    Fixture *f = *state;

    open_both(f);
    stream_set_timeout(f->a.stream, 1000);
    stream_set_timeout(f->a.stream, PATIENCE_USEC);
    stream_set_timeout(f->b.stream, 300 * USEC_PER_MSEC);
    run_until(f, f->b.closed);
    assert_int_equal(f->a.closed, 0);
    stream_set_timeout(f->a.stream, 1000);
    run_until(f, f->a.closed);
}

static void test_write_to_gone_peer(void **state)
{
    Fixture *f = *state;

    open_a(f);
    assert_int_equal(write(f->fds[1], "421 go away\r\n", 13), 13);
    close_fdp(&f->fds[1]);
    assert_int_equal(stream_write(f->a.stream, "EHLO x\r\n", 8), 0);
    run_until(f, f->a.closed);
    assert_string_equal(f->a.last, "421 go away\r\n");
    assert_true(f->a.error <= 0);
    if (f->a.error < 0)
        assert_int_equal(stream_write(f->a.stream, "x", 1), -EPIPE);
}

static void test_finish_flushes(void **state)
{
    static const char block[200000];
    Fixture *f = *state;

    open_both(f);
    assert_int_equal(stream_write(f->a.stream, block, sizeof(block)), 0);
    assert_int_equal(stream_write(f->b.stream, "unread", 6), 0);
    stream_finish(TAKE_PTR(f->a.stream));
    run_until(f, f->b.closed);
    assert_int_equal(f->b.received, sizeof(block));
    assert_int_equal(f->b.error, 0);
    assert_int_equal(f->a.readable + f->a.closed + f->a.drained, 0);
    f->b.stream = stream_free(f->b.stream);
    settle(f);
}

static void finish_on_close(End *e, StreamEvent event)
{
    if (event != STREAM_CLOSED)
        return;
    assert_int_equal(stream_write(e->stream, "221 bye\r\n", 9), 0);
    stream_finish(TAKE_PTR(e->stream));
}

/* A client that half-closes after QUIT still gets its replies. */
static void test_finish_after_half_close(void **state)
{
    Fixture *f = *state;
    char buffer[16];

    open_a(f);
    f->a.on = finish_on_close;
    assert_int_equal(write(f->fds[1], "QUIT\r\n", 6), 6);
    assert_int_equal(shutdown(f->fds[1], SHUT_WR), 0);
    run_until(f, !f->a.stream);
    settle(f);
    assert_int_equal(read(f->fds[1], buffer, sizeof(buffer)), 9);
    assert_memory_equal(buffer, "221 bye\r\n", 9);
    assert_int_equal(read(f->fds[1], buffer, sizeof(buffer)), 0);
}

/* The loop ends while a stream is still finishing: nothing leaks (seen by the sanitizer and by teardown). */
static void test_finish_at_exit(void **state)
{
    Fixture *f = *state;

    open_a(f);
    stream_finish(TAKE_PTR(f->a.stream));
    settle(f);
    assert_int_equal(sd_event_exit(f->event, 0), 0);
    assert_true(sd_event_loop(f->event) >= 0);
}

/* ---- TLS ---- */

static void test_tls_both_sides(void **state)
{
    static const char block[100000] = {[0 ... 99999] = 'x'};
    Fixture *f = *state;

    contexts(f);
    open_both(f);
    assert_int_equal(stream_write(f->a.stream, "220 go ahead\r\n", 14), 0);
    start_tls_server(f);
    /* Queued behind the start: must not be seen in the clear. */
    assert_int_equal(stream_write(f->a.stream, "secret\r\n", 8), 0);
    run_until(f, f->b.readable);
    assert_string_equal(f->b.last, "220 go ahead\r\n");
    start_tls_client(f);
    run_until(f, f->a.secured && f->b.secured);
    run_until(f, f->b.readable == 2);
    assert_string_equal(f->b.last, "secret\r\n");
    assert_string_equal(SSL_get_version(stream_ssl(f->b.stream)), "TLSv1.3");
    f->b.received = 0;
    assert_int_equal(stream_write(f->a.stream, block, sizeof(block)), 0);
    assert_int_equal(stream_write(f->b.stream, block, sizeof(block)), 0);
    run_until(f, f->a.received == sizeof(block) && f->b.received == sizeof(block));
    assert_string_equal(stream_tls_error(f->a.stream), "");
    stream_finish(TAKE_PTR(f->a.stream));
    run_until(f, f->b.closed);
    assert_int_equal(f->b.error, 0);
    f->b.stream = stream_free(f->b.stream);
    settle(f);
}

static void test_tls_nothing_leaks_in_clear(void **state)
{
    Fixture *f = *state;
    char buffer[256];

    contexts(f);
    open_a(f);
    assert_int_equal(stream_write(f->a.stream, "220 go\r\n", 8), 0);
    start_tls_server(f);
    assert_int_equal(stream_write(f->a.stream, "secret", 6), 0);
    settle(f);
    assert_int_equal(read(f->fds[1], buffer, sizeof(buffer)), 8);
}

/* RFC 3207, section 4.2: what came with STARTTLS in one segment was sent by nobody who is authenticated. */
static void test_tls_injection_refused(void **state)
{
    Fixture *f = *state;
    SSL *ssl;

    contexts(f);
    open_a(f);
    f->a.keep_input = true;
    assert_int_equal(write(f->fds[1], "STARTTLS\r\nRSET\r\n", 16), 16);
    run_until(f, f->a.readable);
    stream_consume(f->a.stream, 10);
    ssl = SSL_new(f->server);
    assert_int_equal(stream_start_tls(f->a.stream, ssl, true), -EPROTO);
    assert_null(stream_ssl(f->a.stream));
    SSL_free(ssl);
}

static void test_tls_garbage(void **state)
{
    Fixture *f = *state;

    contexts(f);
    open_a(f);
    start_tls_server(f);
    assert_int_equal(write(f->fds[1], "EHLO in the clear\r\n", 19), 19);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -EPROTO);
    assert_int_equal(f->a.secured, 0);
    assert_string_not_equal(stream_tls_error(f->a.stream), "");
}

static void test_tls_peer_vanishes(void **state)
{
    Fixture *f = *state;

    contexts(f);
    open_a(f);
    start_tls_server(f);
    close_fdp(&f->fds[1]);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -EPROTO);
    assert_string_equal(stream_tls_error(f->a.stream), "connection closed by the peer");
}

static void test_tls_stalls(void **state)
{
    Fixture *f = *state;

    contexts(f);
    open_a(f);
    start_tls_server(f);
    stream_set_timeout(f->a.stream, 1000);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -ETIMEDOUT);
}

/* ---- a handshake that pauses, as with a key in certd ---- */

static struct {
    ASYNC_WAIT_CTX *wait;
    bool pausing, answered, aborted;
} remote;

static int sign_remotely(SSL *ssl, void *userdata)
{
    ASYNC_JOB *job = ASYNC_get_current_job();

    assert_non_null(job);
    remote.wait = ASYNC_get_wait_ctx(job);
    remote.pausing = true;
    while (!remote.answered && !remote.aborted)
        assert_int_equal(ASYNC_pause_job(), 1);
    remote.pausing = false;
    return remote.aborted ? 0 : 1;
}

/* In place of the provider's: ends the pause of sign_remotely(). */
void remote_signature_abort(SSL *ssl)
{
    remote.aborted = true;
}

static int answer(sd_event_source *source, uint64_t usec, void *userdata)
{
    ASYNC_callback_fn callback = NULL;
    void *arg = NULL;

    remote.answered = true;
    assert_int_equal(ASYNC_WAIT_CTX_get_callback(remote.wait, &callback, &arg), 1);
    assert_non_null(callback);
    (void) callback(arg);
    return 0;
}

static void prepare_remote(Fixture *f)
{
    memset(&remote, 0, sizeof(remote));
    contexts(f);
    SSL_CTX_set_cert_cb(f->server, sign_remotely, NULL);
    open_both(f);
    start_tls_server(f);
    start_tls_client(f);
    run_until(f, remote.pausing);
    settle(f);
    assert_int_equal(f->a.secured, 0);
}

static void test_async_resumes(void **state)
{
    Fixture *f = *state;

    prepare_remote(f);
    /* Woken for another reason it does not go on without the signature. */
    assert_int_equal(stream_write(f->a.stream, "250 hello\r\n", 11), 0);
    settle(f);
    assert_true(remote.pausing);
    assert_true(sd_event_add_time_relative(f->event, NULL, CLOCK_MONOTONIC, 1000, 1, answer, NULL) >= 0);
    run_until(f, f->b.readable);
    assert_string_equal(f->b.last, "250 hello\r\n");
    assert_int_equal(f->a.secured, 1);
    assert_false(remote.aborted);
}

static void test_async_freed_while_paused(void **state)
{
    Fixture *f = *state;

    prepare_remote(f);
    f->a.stream = stream_free(f->a.stream);
    assert_true(remote.aborted);
    assert_false(remote.pausing);
    run_until(f, f->b.closed);
    assert_int_equal(f->b.error, -EPROTO);
}

static void test_async_timeout_while_paused(void **state)
{
    Fixture *f = *state;

    prepare_remote(f);
    f->a.free_on = true;
    f->a.free_event = STREAM_CLOSED;
    stream_set_timeout(f->a.stream, 1000);
    run_until(f, f->a.closed);
    assert_int_equal(f->a.error, -ETIMEDOUT);
    assert_true(remote.aborted);
}

/* ---- freed at every point ---- */

static void free_at(Fixture *f, StreamEvent event)
{
    static const char block[100000];

    memset(&remote, 0, sizeof(remote));
    remote.answered = true;
    contexts(f);
    open_both(f);
    f->a.free_on = true;
    f->a.free_event = event;
    assert_int_equal(stream_write(f->b.stream, "EHLO x\r\n", 8), 0);
    if (event == STREAM_READABLE) {
        run_until(f, !f->a.stream);
        return;
    }
    run_until(f, f->a.readable);
    assert_int_equal(stream_write(f->a.stream, block, sizeof(block)), 0);
    if (event == STREAM_DRAINED) {
        run_until(f, !f->a.stream);
        return;
    }
    run_until(f, f->b.received == sizeof(block));
    start_tls_server(f);
    start_tls_client(f);
    if (event == STREAM_SECURED) {
        run_until(f, !f->a.stream);
        return;
    }
    run_until(f, f->b.secured);
    f->b.stream = stream_free(f->b.stream);
    run_until(f, !f->a.stream);
}

static void test_freed_by_handler(void **state)
{
    static const StreamEvent events[] = {STREAM_READABLE, STREAM_DRAINED, STREAM_SECURED, STREAM_CLOSED};

    for (size_t i = 0; i < ELEMENTSOF(events); i++) {
        void *f;

        assert_int_equal(setup(&f), 0);
        free_at(f, events[i]);
        assert_null(((Fixture *) f)->a.stream);
        assert_int_equal(teardown(&f), 0);
    }
}

/* After every number of loop iterations of a whole session. */
static void test_freed_from_outside(void **state)
{
    bool complete = false;

    for (unsigned steps = 0; !complete; steps++) {
        Fixture *f;
        void *p;

        assert_int_equal(setup(&p), 0);
        f = p;
        contexts(f);
        open_both(f);
        start_tls_server(f);
        start_tls_client(f);
        assert_int_equal(stream_write(f->b.stream, "EHLO x\r\n", 8), 0);
        for (unsigned i = 0; i < steps; i++)
            (void) sd_event_run(f->event, 0);
        complete = f->a.received > 0;
        f->a.stream = stream_free(f->a.stream);
        settle(f);
        assert_int_equal(f->b.closed, 1);
        assert_int_equal(teardown(&p), 0);
    }
}

#define stream_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        stream_test(test_clear_both_ways),
        stream_test(test_connecting),
        stream_test(test_connect_refused),
        stream_test(test_find_line),
        stream_test(test_peer_closes_after_input),
        stream_test(test_backpressure),
        stream_test(test_partial_consumption_moves_on),
        stream_test(test_pause),
        stream_test(test_pause_holds_end),
        stream_test(test_output_limit),
        stream_test(test_timeout),
        stream_test(test_timeout_moves),
        stream_test(test_write_to_gone_peer),
        stream_test(test_finish_flushes),
        stream_test(test_finish_after_half_close),
        stream_test(test_finish_at_exit),
        stream_test(test_tls_both_sides),
        stream_test(test_tls_nothing_leaks_in_clear),
        stream_test(test_tls_injection_refused),
        stream_test(test_tls_garbage),
        stream_test(test_tls_peer_vanishes),
        stream_test(test_tls_stalls),
        stream_test(test_async_resumes),
        stream_test(test_async_freed_while_paused),
        stream_test(test_async_timeout_while_paused),
        cmocka_unit_test(test_freed_by_handler),
        cmocka_unit_test(test_freed_from_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
