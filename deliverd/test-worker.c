/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts through a real worker: this program re-executes itself with --worker, which enters its sandbox. The mail server is a
 * stream on the manager's loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "attempt-codec.h"
#include "bus-direct.h"
#include "bus-error.h"
#include "certificate-report.h"
#include "deliverd-worker.h"
#include "log.h"
#include "stream.h"
#include "test-certd.h"
#include "test-certificate.h"
#include "worker-spawn.h"
#include "worker.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)
#define MESSAGE "Subject: hello\r\n\r\n.\r\n"
#define HOST "mx.example.com"

/* LeakSanitizer, where it is built in, would start a thread and trace this process at its end, which no sandbox allows. */
static int is_worker;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_worker;
}

typedef struct Fixture {
    sd_event *event;
    WorkerPool *pool;
    Worker *worker;
    bool stopped;

    SSL_CTX *ctx;
    TestCertificate *certificate;
    Stream *server;
    bool in_data;
    bool server_silent, saw_ehlo; /* no reply to EHLO */
    unsigned n_messages;
    X509 *shown; /* by the client in the last session, NULL: nothing */

    int message_fd;
    sd_bus_slot *slot;
    bool replied;
    int error;
    AttemptResult *result;

    /* What the worker says of its certificate. */
    TestCertificate *client_certificate;
    TestCertd *certd;
    const char *source; /* of deliverd.conf or the assignment */
    unsigned n_missing, n_usable;
    char reason[128];
} Fixture;

/* ---- a mail server that takes everything ---- */

static void server_take_line(Fixture *f, const char *line)
{
    const char *reply = "250 OK\r\n";

    if (f->in_data) {
        if (!streq(line, ".\r\n"))
            return;
        f->in_data = false;
        f->n_messages++;
    } else if (strncmp(line, "EHLO ", 5) == 0) {
        f->saw_ehlo = true;
        if (stream_ssl(f->server)) {
            X509_free(f->shown);
            f->shown = SSL_get1_peer_certificate(stream_ssl(f->server));
        }
        if (f->server_silent)
            return;
        reply = stream_ssl(f->server) ? "250 hello\r\n" : "250-hello\r\n250 STARTTLS\r\n";
    } else if (streq(line, "STARTTLS\r\n"))
        reply = "220 go\r\n";
    else if (streq(line, "RCPT TO:<nobody@example.com>\r\n"))
        reply = "550 5.1.1 nobody\r\n";
    else if (streq(line, "DATA\r\n")) {
        reply = "354 go\r\n";
        f->in_data = true;
    } else if (streq(line, "QUIT\r\n")) {
        stream_finish(TAKE_PTR(f->server));
        return;
    }
    assert_int_equal(stream_write(f->server, reply, strlen(reply)), 0);
    if (streq(line, "STARTTLS\r\n"))
        assert_int_equal(stream_start_tls(f->server, SSL_new(f->ctx), true), 0);
}

static void on_server(Stream *s, StreamEvent event, int error, void *userdata)
{
    Fixture *f = userdata;
    const char *data;
    ssize_t n;

    if (event == STREAM_CLOSED) {
        f->server = stream_free(f->server);
        return;
    }
    if (event != STREAM_READABLE)
        return;
    while (f->server && (n = stream_find_line(s, STREAM_INPUT_MAX)) > 0) {
        _cleanup_free_ char *line = NULL;

        (void) stream_peek(s, &data);
        line = strndup(data, (size_t) n);
        assert_non_null(line);
        stream_consume(s, (size_t) n);
        server_take_line(f, line);
    }
}

/* ---- the manager ---- */

static void on_ready(Worker *w, void *userdata)
{
    ((Fixture *) userdata)->worker = w;
}

static void on_gone(Worker *w, int code, int status, bool expected, void *userdata)
{
    ((Fixture *) userdata)->worker = NULL;
}

static void on_stopped(void *userdata)
{
    ((Fixture *) userdata)->stopped = true;
}

static Fixture *the_fixture; /* handlers of the link get the worker */

static int method_certificate_state(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const char *source, *name, *reason;
    int usable;

    assert_true(sd_bus_message_read(m, "ssbs", &source, &name, &usable, &reason) > 0);
    assert_string_equal(source, the_fixture->source);
    assert_string_equal(name, "client");
    *(usable ? &the_fixture->n_usable : &the_fixture->n_missing) += 1;
    (void) snprintf(the_fixture->reason, sizeof(the_fixture->reason), "%s", reason);
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable link_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("CertificateState", "ssbs", NULL, method_certificate_state, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const char *const peers[] = {"certd", "certd:sign", NULL};

static const WorkerPoolOps pool_ops = {.ready = on_ready, .gone = on_gone, .interface = CERTIFICATE_REPORT_INTERFACE,
        .vtable = link_vtable, .peers = peers};

#define run_until(f, condition)                                               \
    do {                                                                      \
        while (!(condition))                                                  \
            assert_int_not_equal(sd_event_run((f)->event, PATIENCE_USEC), 0); \
    } while (0)

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    sigset_t mask;

    assert_non_null(f);
    the_fixture = f;
    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(tls_server_context_new(&f->ctx, NULL), 0);
    f->certificate = test_certificate_new(&(TestCertificateSpec){.cn = HOST}, NULL);
    test_certificate_use(f->ctx, f->certificate, NULL);
    f->client_certificate = test_certificate_new(&(TestCertificateSpec){.cn = "gw.example.org"}, NULL);
    f->certd = test_certd_new(f->event, "client", f->client_certificate);
    f->source = "client";
    f->message_fd = memfd_create("message", MFD_CLOEXEC);
    assert_int_equal(write(f->message_fd, MESSAGE, strlen(MESSAGE)), strlen(MESSAGE));
    assert_int_equal(worker_pool_new(&f->pool, f->event, 1, &pool_ops, f), 0);
    run_until(f, f->worker);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    sd_bus_slot_unref(f->slot);
    worker_pool_free(f->pool);
    stream_free(f->server);
    attempt_result_free(f->result);
    test_certd_free(f->certd);
    X509_free(f->shown);
    assert_int_equal(sd_event_exit(f->event, 0), 0);
    assert_true(sd_event_loop(f->event) >= 0);
    assert_null(sd_event_unref(f->event));
    close_fdp(&f->message_fd);
    test_certificate_free(f->certificate);
    test_certificate_free(f->client_certificate);
    SSL_CTX_free(f->ctx);
    free(f);
    return 0;
}

static const char *const recipients[] = {"somebody@example.com", "nobody@example.com"};

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    Fixture *f = userdata;

    f->replied = true;
    f->result = attempt_result_free(f->result);
    f->error = attempt_result_read(reply, ELEMENTSOF(recipients), &f->result);
    return 1;
}

static SmtpRequest request(void)
{
    return (SmtpRequest){
        .helo = "gw.example.org",
        .server_name = HOST,
        .want = SMTP_TLS_IF_OFFERED,
        .sender = "alice@example.org",
        .recipients = recipients,
        .n_recipients = ELEMENTSOF(recipients),
        .message_size = strlen(MESSAGE),
    };
}

static void call(Fixture *f, sd_bus *bus, const SmtpRequest *q)
{
    int fds[2];

    f->replied = false;
    f->slot = sd_bus_slot_unref(f->slot);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_new(&f->server, f->event, fds[0], on_server, f), 0);
    assert_int_equal(stream_write(f->server, "220 hi\r\n", 8), 0);
    assert_true(attempt_call(bus, &f->slot, q, fds[1], f->message_fd, on_reply, f) >= 0);
    close_fdp(&fds[1]);
}

static void test_delivers(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();

    for (unsigned i = 1; i <= 3; i++) {
        call(f, worker_bus(f->worker), &q);
        run_until(f, f->replied && !f->server);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->result->result.stage, SMTP_STAGE_DONE);
        assert_int_equal(f->result->recipients[0].code, 250);
        assert_int_equal(f->result->recipients[1].code, 550);
        assert_string_equal(f->result->recipients[1].text, "5.1.1 nobody");
        assert_true(f->result->result.tls_used && f->result->result.tls_offered && !tls_verify_succeeded(f->result->result.verify));
        assert_string_equal(f->result->result.tls.version, "TLSv1.3");
        assert_string_not_equal(f->result->result.tls.cipher, "");
        assert_string_not_equal(f->result->result.tls.group, "");
        assert_int_equal(f->n_messages, i);
    }
    run_until(f, worker_pool_counter(f->pool, "TakenMessages") == 3);
    assert_int_equal(worker_pool_counter(f->pool, "TlsSessions"), 3);
    assert_int_equal(worker_pool_counter(f->pool, "VerifiedSessions"), 0);
}

/* Within the sandbox, with records on the way there and a verdict on the way back. */
static void test_dane(void **state)
{
    Fixture *f = *state;
    uint8_t digest[SHA256_DIGEST_LENGTH], wrong[SHA512_DIGEST_LENGTH] = {1};
    TlsaRecord tlsa[] = {{2, 0, 2, wrong, sizeof(wrong)}, {3, 1, 1, digest, sizeof(digest)}};
    const char *const names[] = {"example.com", "www.example.com", NULL};
    SmtpRequest q = request();
    unsigned char *der = NULL;
    int size;

    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(f->certificate->x509), &der);
    assert_true(size > 0);
    (void) SHA256(der, (size_t) size, digest);
    OPENSSL_free(der);
    q.want = SMTP_TLS_DANE;
    q.dane_base = HOST;
    q.reference.names = names;
    q.tlsa = tlsa;
    q.n_tlsa = ELEMENTSOF(tlsa);
    q.timeout_usec = PATIENCE_USEC;
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->replied);
    assert_int_equal(f->error, 0);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_DONE);
    assert_true(tls_verify_succeeded(f->result->result.verify));

    digest[0] ^= 1;
    run_until(f, !f->server);
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->replied);
    assert_int_equal(f->error, 0);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_VERIFY);
    assert_true(f->result->result.tls_used && !tls_verify_succeeded(f->result->result.verify));
    assert_string_equal(f->result->result.tls_reason, "certificate does not match any TLSA record");
    assert_int_equal(f->n_messages, 1);
}

static void test_refuses_nonsense(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();

    q.want = SMTP_TLS_DANE; /* without records */
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->replied);
    assert_int_equal(f->error, -EBADMSG);
    assert_non_null(f->worker);
    q = request();
    q.sender = "a\r\nb";
    f->server = stream_free(f->server);
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->replied);
    assert_int_equal(f->error, -EINVAL);
}

static void test_stop_waits_for_attempts(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();

    f->server_silent = true;
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->saw_ehlo);
    assert_true(worker_pool_stop(f->pool, PATIENCE_USEC, on_stopped, f) >= 0);
    for (unsigned i = 0; i < 20; i++)
        assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
    assert_false(f->stopped);
    f->server_silent = false;
    assert_int_equal(stream_write(f->server, "250 hello\r\n", 11), 0);
    run_until(f, f->replied && f->stopped);
    assert_int_equal(f->error, 0);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_DONE);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    if (sd_bus_message_is_method_call(m, WORKER_MANAGER_INTERFACE, "Ready"))
        *(bool *) userdata = true;
    return 0;
}

/* Without a manager nobody would hear what came of the attempt: it must not go on. */
static void test_ends_with_its_manager(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();
    bool ready = false;
    sd_bus *bus = NULL;
    siginfo_t info;
    pid_t pid;
    int fd;

    fd = worker_spawn("--worker", &pid);
    assert_true(fd >= 0);
    assert_true(bus_direct_new(&bus, f->event, fd, true, "worker") >= 0);
    assert_true(sd_bus_add_filter(bus, NULL, on_message, &ready) >= 0);
    run_until(f, ready);
    f->server_silent = true;
    call(f, bus, &q);
    run_until(f, f->saw_ehlo);
    f->slot = sd_bus_slot_unref(f->slot);
    sd_bus_close_unref(bus);
    run_until(f, !f->server);
    assert_int_equal(f->n_messages, 0);
    assert_int_equal(waitid(P_PID, (id_t) pid, &info, WEXITED), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
}

/* ---- with a client certificate ---- */

static int accept_any(int ok, X509_STORE_CTX *context)
{
    return 1;
}

static void require_certificate(Fixture *f, int version, bool required)
{
    assert_int_equal(SSL_CTX_set_min_proto_version(f->ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(f->ctx, version), 1);
    SSL_CTX_set_verify(f->ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), accept_any);
}

static void configure(Fixture *f, const char *certificate)
{
    _cleanup_close_ int fd = memfd_create("configuration", MFD_CLOEXEC);

    assert_true(dprintf(fd, "[Deliverd]\nHostName=gw.example.org\nCertificate=%s\n", certificate) > 0);
    assert_int_equal(worker_pool_configure(f->pool, fd), 0);
}

static void deliver(Fixture *f, const SmtpRequest *q)
{
    call(f, worker_bus(f->worker), q);
    run_until(f, f->replied && !f->server);
}

static void assert_delivered(Fixture *f, bool with_certificate)
{
    assert_int_equal(f->error, 0);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_DONE);
    assert_true(f->result->result.tls_used);
    assert_int_equal(f->shown != NULL, with_certificate);
    if (with_certificate)
        assert_int_equal(X509_cmp(f->shown, f->certd->certificate->x509), 0);
}

static void test_shows_certificate(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    Fixture *f = *state;
    SmtpRequest q = request();

    configure(f, "client");
    for (unsigned i = 0; i < ELEMENTSOF(versions); i++) {
        require_certificate(f, versions[i], true);
        deliver(f, &q);
        assert_delivered(f, true);
        assert_int_equal(f->certd->n_signed, i + 1);
    }
    assert_int_equal(f->n_usable, 1);
    assert_int_equal(f->n_missing, 0);

    /* Who does not ask does not get it. */
    SSL_CTX_set_verify(f->ctx, SSL_VERIFY_NONE, NULL);
    deliver(f, &q);
    assert_delivered(f, false);
    assert_int_equal(f->certd->n_signed, ELEMENTSOF(versions));
}

static void test_certificate_and_dane(void **state)
{
    Fixture *f = *state;
    unsigned char *der = NULL;
    int size = i2d_X509(f->certificate->x509, &der);
    TlsaRecord tlsa = {3, 0, 0, der, (size_t) size};
    SmtpRequest q = request();

    q.want = SMTP_TLS_DANE;
    q.dane_base = HOST;
    q.tlsa = &tlsa;
    q.n_tlsa = 1;
    configure(f, "client");
    require_certificate(f, TLS1_3_VERSION, true);
    deliver(f, &q);
    assert_delivered(f, true);
    assert_true(tls_verify_succeeded(f->result->result.verify));
    der[size - 1] ^= 1;
    deliver(f, &q);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_VERIFY);
    OPENSSL_free(der);
}

/* A new certificate is for the next session, and none in the configuration means none. */
static void test_certificate_changes(void **state)
{
    _cleanup_(test_certificate_freep) TestCertificate *next = test_certificate_new(&(TestCertificateSpec){.cn = "next"}, NULL);
    Fixture *f = *state;
    SmtpRequest q = request();

    configure(f, "client");
    require_certificate(f, TLS1_3_VERSION, false);
    deliver(f, &q);
    assert_delivered(f, true);

    f->certd->certificate = next;
    test_certd_changed(f->certd);
    run_until(f, f->n_usable == 2);
    deliver(f, &q);
    assert_delivered(f, true);

    configure(f, "");
    deliver(f, &q);
    assert_delivered(f, false);
    configure(f, "client");
    deliver(f, &q);
    assert_delivered(f, true);
    assert_int_equal(f->n_missing, 0);
}

/* Mail goes on without it, the manager hears why, and it is used as soon as it is there. */
static void test_certificate_not_there(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();

    f->certd->not_assigned = true;
    configure(f, "client");
    require_certificate(f, TLS1_3_VERSION, false);
    deliver(f, &q);
    assert_delivered(f, false);
    assert_int_equal(f->n_missing, 1);
    assert_string_equal(f->reason, "It is not assigned");

    f->certd->not_assigned = false;
    test_certd_changed(f->certd);
    run_until(f, f->n_usable == 1);
    deliver(f, &q);
    assert_delivered(f, true);

    f->certd->not_assigned = true;
    test_certd_changed(f->certd);
    run_until(f, f->n_missing == 2);
    deliver(f, &q);
    assert_delivered(f, false);
}

/* What starts at once after the worker does not miss the certificate for that; what needs no TLS does not wait. */
static void test_waits_for_first_answer(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request(), clear = request();

    f->certd->hold = true;
    configure(f, "client");
    clear.want = SMTP_TLS_NO;
    deliver(f, &clear);
    assert_int_equal(f->result->result.stage, SMTP_STAGE_DONE);

    require_certificate(f, TLS1_3_VERSION, true);
    f->saw_ehlo = false;
    call(f, worker_bus(f->worker), &q);
    run_until(f, f->certd->held);
    for (unsigned i = 0; i < 10; i++)
        assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
    assert_false(f->saw_ehlo || f->replied);
    test_certd_answer(f->certd);
    run_until(f, f->replied && !f->server);
    assert_delivered(f, true);
}

/* A signature that certd does not make is no fault of the server: no verdict about its TLS. */
static void assert_unsigned(Fixture *f, const SmtpRequest *q, int version, const char *error)
{
    require_certificate(f, version, true);
    f->certd->fail_signs = 1;
    f->certd->fail_error = error;
    deliver(f, q);
    assert_int_equal(f->certd->fail_signs, 0);
    assert_int_equal(f->error, -ENOKEY);
}

static void test_certd_lost_in_handshake(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    Fixture *f = *state;
    SmtpRequest q = request();

    configure(f, "client");
    for (unsigned i = 0; i < ELEMENTSOF(versions); i++) {
        assert_unsigned(f, &q, versions[i], BUS_ERROR_UNAVAILABLE);
        assert_int_equal(f->n_messages, i);
        run_until(f, f->n_missing == i + 1 && f->n_usable == i + 2);
        deliver(f, &q);
        assert_delivered(f, true);
    }
}

static void test_certd_refuses_to_sign(void **state)
{
    static const char *const errors[] = {BUS_ERROR_KEY_NOT_ASSIGNED, BUS_ERROR_LIMIT_EXCEEDED, BUS_ERROR_NOT_A_HANDSHAKE};
    Fixture *f = *state;
    SmtpRequest q = request();

    configure(f, "client");
    for (unsigned i = 0; i < ELEMENTSOF(errors); i++) {
        assert_unsigned(f, &q, TLS1_3_VERSION, errors[i]);
        assert_int_equal(f->n_messages, i);
        deliver(f, &q);
        assert_delivered(f, true);
    }
}

/* If certd goes on like that, mail goes on without, and the manager hears why; until there is another certificate, say. */
static void test_certd_does_not_sign_at_all(void **state)
{
    _cleanup_(test_certificate_freep) TestCertificate *next = test_certificate_new(&(TestCertificateSpec){.cn = "next"}, NULL);
    Fixture *f = *state;
    SmtpRequest q = request();

    configure(f, "client");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(f->n_missing, 0);
        assert_unsigned(f, &q, TLS1_3_VERSION, BUS_ERROR_NOT_A_HANDSHAKE);
    }
    run_until(f, f->n_missing == 1);
    assert_string_equal(f->reason, "certd does not sign with it");
    require_certificate(f, TLS1_3_VERSION, false);
    deliver(f, &q);
    assert_delivered(f, false);

    f->certd->certificate = next;
    test_certd_changed(f->certd);
    run_until(f, f->n_usable == 2);
    deliver(f, &q);
    assert_delivered(f, true);
    f->certd->certificate = f->client_certificate;
}

/* Without Certificate=: what is assigned to delivery; and that nothing is, is no news. */
static void test_assigned(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request();

    f->source = CERTIFICATE_OF_DELIVERY;
    configure(f, "");
    require_certificate(f, TLS1_3_VERSION, false);
    deliver(f, &q);
    assert_delivered(f, false);
    assert_int_equal(f->n_missing + f->n_usable, 0);

    f->certd->assigned = "client";
    test_certd_changed(f->certd);
    run_until(f, f->n_usable == 1);
    deliver(f, &q);
    assert_delivered(f, true);

    f->certd->assigned = NULL;
    test_certd_changed(f->certd);
    do
        deliver(f, &q);
    while (f->shown);
    assert_delivered(f, false);
    assert_int_equal(f->n_missing, 0);
}

/* ---- authorities ---- */

static SmtpRequest request_verified(void)
{
    static const char *const names[] = {HOST, NULL};
    SmtpRequest q = request();

    q.want = SMTP_TLS_VERIFY;
    q.reference = (TlsReference) {.names = names, .rule = TLS_NAMES_HOSTED};
    return q;
}

/* The list counts that is enabled when the handshake begins; also with a client certificate, whose context is another. */
static void test_verifies(void **state)
{
    Fixture *f = *state;
    SmtpRequest q = request_verified();

    for (unsigned i = 0; i < 2; i++) {
        configure(f, i == 0 ? "" : "client");
        require_certificate(f, TLS1_3_VERSION, i > 0);
        f->certd->authority = NULL;
        test_certd_authorities_changed(f->certd, f->event);
        deliver(f, &q);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->result->result.stage, SMTP_STAGE_VERIFY);
        assert_int_equal(f->result->result.verify, TLS_VERIFY_SELF_SIGNED);
        assert_string_equal(f->result->result.tls_reason, "certificate is self-signed");
        assert_int_equal(f->n_messages, i);

        f->certd->authority = f->certificate;
        test_certd_authorities_changed(f->certd, f->event);
        deliver(f, &q);
        assert_delivered(f, i > 0);
        assert_int_equal(f->result->result.verify, TLS_VERIFY_PKIX);
    }
    run_until(f, worker_pool_counter(f->pool, "VerifiedSessions") == 2);
}

/* That nobody knows which authorities are enabled is no fault of the server, and of no concern where it need not be
 * verified. */
static void test_authorities_not_there(void **state)
{
    Fixture *f = *state;
    SmtpRequest verified = request_verified(), q = request();

    worker_pool_free(f->pool);
    f->certd->no_authorities = true;
    f->worker = NULL;
    assert_int_equal(worker_pool_new(&f->pool, f->event, 1, &pool_ops, f), 0);
    run_until(f, f->worker);
    deliver(f, &verified);
    assert_int_equal(f->error, -ENODATA);
    assert_int_equal(f->n_messages, 0);
    deliver(f, &q);
    assert_delivered(f, false);
    assert_int_equal(f->result->result.verify, TLS_VERIFY_NO_AUTHORITIES);
}

#define worker_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        worker_test(test_delivers),
        worker_test(test_dane),
        worker_test(test_refuses_nonsense),
        worker_test(test_stop_waits_for_attempts),
        worker_test(test_ends_with_its_manager),
        worker_test(test_shows_certificate),
        worker_test(test_certificate_and_dane),
        worker_test(test_certificate_changes),
        worker_test(test_certificate_not_there),
        worker_test(test_waits_for_first_answer),
        worker_test(test_certd_lost_in_handshake),
        worker_test(test_certd_refuses_to_sign),
        worker_test(test_certd_does_not_sign_at_all),
        worker_test(test_assigned),
        worker_test(test_verifies),
        worker_test(test_authorities_not_there),
    };

    if (argc > 1 && streq(argv[1], "--worker")) {
        is_worker = 1;
        (void) log_open("postern-deliverd");
        return deliverd_worker_run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
