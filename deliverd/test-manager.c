/* SPDX-License-Identifier: Apache-2.0 */

/* The manager with real workers, a real queue on disk and a mail server in a child process: what is committed arrives byte for
 * byte, once; what is refused comes back as a bounce; what cannot be delivered waits, over a restart, and goes when it can.
 * Routes spare DNS here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "deliverd-manager.h"
#include "deliverd-worker.h"
#include "fetcher.h"
#include "log.h"

/* ---- the mail server ---- */

/* "later@" is told 450, "never@" 550; what was taken goes to a file of its own, with its envelope in front. */
static void serve_connection(FILE *in, FILE *out, const char *directory)
{
    static unsigned n;
    _cleanup_fclose_ FILE *message = NULL;
    char line[2048], path[256], sender[sizeof(line)] = "";
    bool data = false;

    fputs("220 test\r\n", out);
    while (fflush(out) == 0 && fgets(line, sizeof(line), in)) {
        if (data) {
            if (!streq(line, ".\r\n")) {
                fputs(line + (*line == '.'), message);
                continue;
            }
            data = false;
            fclosep(&message);
            message = NULL;
            fputs("250 2.0.0 taken\r\n", out);
        } else if (strncmp(line, "EHLO", 4) == 0)
            fputs("250-test\r\n250 8BITMIME\r\n", out);
        else if (strncmp(line, "MAIL", 4) == 0) {
            (void) snprintf(sender, sizeof(sender), "%s", line);
            fputs("250 ok\r\n", out);
        } else if (strstr(line, "<later@"))
            fputs("450 4.2.1 not now\r\n", out);
        else if (strstr(line, "<never@"))
            fputs("550 5.1.1 nobody here\r\n", out);
        else if (strncmp(line, "DATA", 4) == 0) {
            (void) snprintf(path, sizeof(path), "%s/%d-%u", directory, (int) getpid(), n++);
            message = fopen(path, "w");
            fputs(sender, message);
            data = true;
            fputs("354 go\r\n", out);
        } else if (strncmp(line, "QUIT", 4) == 0) {
            fputs("221 bye\r\n", out);
            return;
        } else
            fputs("250 ok\r\n", out);
    }
}

static pid_t start_server(uint16_t *port, const char *directory)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t size = sizeof(address);
    pid_t pid;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) {1}, sizeof(int)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    *port = ntohs(address.sin_port);
    pid = fork();
    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
            FILE *in = fdopen(peer, "r"), *out = fdopen(dup(peer), "w");

            serve_connection(in, out, directory);
            fclose(in);
            fclose(out);
        }
    }
    close(fd);
    return pid;
}

/* ---- the world ---- */
typedef struct Fixture {
    char path[64];
    uint16_t port;
    pid_t server;
    Manager *m;
} Fixture;

static void start_manager(Fixture *f)
{
    assert_int_equal(manager_new(&f->m), 0);
    f->m->root = f->path;
    assert_int_equal(manager_load_conf(f->m), 0);
    assert_int_equal(manager_open_queue(f->m, f->path), 0);
    assert_int_equal(manager_open_sts(f->m, f->path), 0);
    assert_int_equal(manager_start_workers(f->m), 0);
}

static void stop_manager(Fixture *f)
{
    f->m = manager_free(f->m);
}

static void configure(Fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void configure(Fixture *f, const char *format, ...)
{
    char path[128];
    va_list ap;
    FILE *file;

    (void) snprintf(path, sizeof(path), "%s/etc/postern/deliverd.conf", f->path);
    file = fopen(path, "w");
    assert_non_null(file);
    va_start(ap, format);
    (void) vfprintf(file, format, ap);
    va_end(ap);
    (void) fclose(file);
}

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));
    char path[128];

    assert_non_null(f);
    strcpy(f->path, "/tmp/postern-manager-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    for (const char *const *d = (const char *const[]) {"etc", "etc/postern", "inbox", NULL}; *d; d++) {
        (void) snprintf(path, sizeof(path), "%s/%s", f->path, *d);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", f->path, 1), 0);
    (void) snprintf(path, sizeof(path), "%s/inbox", f->path);
    f->server = start_server(&f->port, path);
    configure(f, "[Deliverd]\nWorkers=1\nRetryInterval=1s\nHostName=gw.example.org\n[Destination default]\nRoute=127.0.0.1:%u\nTLS=No\n", f->port);
    start_manager(f);
    *state = f;
    return 0;
}

static void stop_server(Fixture *f)
{
    if (f->server > 0) {
        (void) kill(f->server, SIGKILL);
        (void) waitpid(f->server, NULL, 0);
    }
    f->server = 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    char command[128];

    stop_manager(f);
    stop_server(f);
    (void) snprintf(command, sizeof(command), "rm -r %s", f->path);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void on_inserted(int error, void *userdata)
{
    *(int *) userdata = error;
}

/* As if smtpd had committed it. */
static void submit_tls(Fixture *f, const char *text, const char *sender, const char *const *recipients, MessageTls tls)
{
    Envelope *e = calloc(1, sizeof(*e));
    int result = 1;

    e->tls = tls;

    e->arrival_usec = manager_now();
    e->sender = strdup(sender);
    for (; *recipients; recipients++)
        assert_int_equal(envelope_add_recipient(e, *recipients), 0);
    assert_int_equal(queue_insert(f->m->queue, strdup(text), strlen(text), e, on_inserted, &result), 0);
    while (result == 1)
        assert_true(sd_event_run(f->m->event, UINT64_MAX) >= 0);
    assert_int_equal(result, 0);
}

static void submit(Fixture *f, const char *text, const char *sender, const char *const *recipients)
{
    submit_tls(f, text, sender, recipients, MESSAGE_TLS_DEFAULT);
}

static int wait_until(Fixture *f, bool (*condition)(Fixture *f))
{
    const uint64_t end = manager_now() + 20 * USEC_PER_SEC;

    while (!condition(f)) {
        if (manager_now() > end)
            return -ETIMEDOUT;
        assert_true(sd_event_run(f->m->event, USEC_PER_SEC / 10) >= 0);
    }
    return 0;
}

static bool queue_empty(Fixture *f)
{
    return queue_count(f->m->queue, QUEUE_COMMITTED) + queue_count(f->m->queue, QUEUE_COMMITTING) + queue_count(f->m->queue, QUEUE_REMOVING) == 0;
}

static bool deferred(Fixture *f)
{
    return f->m->n_deferred > 0;
}

static bool deferred_again(Fixture *f)
{
    return f->m->n_deferred > 1;
}

static bool worker_ready(Fixture *f)
{
    return worker_pool_next(f->m->workers, NULL);
}

static bool worker_gone(Fixture *f)
{
    return !worker_ready(f);
}

static bool scanned_one(Fixture *f)
{
    return queue_count(f->m->queue, QUEUE_COMMITTED) == 1;
}

/* How many files of the inbox, and of what the queue keeps, hold this text. */
static unsigned count_files(Fixture *f, const char *text)
{
    char command[256], answer[16] = "";
    FILE *p;

    (void) snprintf(command, sizeof(command), "grep -lrF -- '%s' %s/inbox | wc -l", text, f->path);
    p = popen(command, "r");
    assert_non_null(fgets(answer, sizeof(answer), p));
    (void) pclose(p);
    return (unsigned) atoi(answer);
}

#define LIST(...) ((const char *const[]) {__VA_ARGS__, NULL})

/* ---- the tests ---- */

static void test_delivered(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 20; i++)
        submit(f, "Subject: one\r\n\r\n..dots\r\n.\r\n.end\r\n", "alice@example.org", LIST("bob@example.com", "carol@example.com", "dave@example.net"));
    assert_int_equal(wait_until(f, queue_empty), 0);
    /* Two destinations each. */
    assert_int_equal(count_files(f, "..dots"), 40);
    assert_int_equal(count_files(f, "MAIL FROM:<alice@example.org>"), 40);
    assert_int_equal(f->m->n_delivered, 60);
    assert_int_equal(f->m->n_deferred, 0);
}

static void test_bounced(void **state)
{
    Fixture *f = *state;

    submit(f, "Subject: two\r\n\r\nbody\r\n", "alice@example.org", LIST("bob@example.com", "never@example.com"));
    assert_int_equal(wait_until(f, queue_empty), 0);
    assert_int_equal(count_files(f, "Final-Recipient: rfc822; never@example.com"), 1);
    assert_int_equal(count_files(f, "MAIL FROM:<>"), 1);
    assert_int_equal(count_files(f, "Subject: two"), 2); /* the message, and its headers in the bounce */
    assert_int_equal(f->m->n_bounced, 1);

    /* Nobody is told about a bounce that bounces. */
    submit(f, "Subject: three\r\n\r\nbody\r\n", "", LIST("never@example.com"));
    assert_int_equal(wait_until(f, queue_empty), 0);
    assert_int_equal(f->m->n_bounced, 2);
    assert_int_equal(count_files(f, "Subject: three"), 0);
}

static bool keep_committed(QueueMessage *m, void *userdata)
{
    if (m->status == QUEUE_COMMITTED)
        *(const QueueMessage **) userdata = m;
    return true;
}

static const Envelope *only_envelope(Fixture *f)
{
    const QueueMessage *m = NULL;

    queue_foreach(f->m->queue, keep_committed, &m);
    assert_non_null(m);
    return m->envelope;
}

/* The destination is without TLS, so the message goes back at once; what goes back is protected alike, and waits. */
static void test_combined_2_require_tls(void **state)
{
    Fixture *f = *state;

    submit_tls(f, "Subject: required\r\n\r\nsecret\r\n", "alice@example.org", LIST("bob@example.com"), MESSAGE_TLS_REQUIRED);
    assert_int_equal(wait_until(f, deferred), 0);
    assert_int_equal(f->m->n_bounced, 1);
    assert_int_equal(count_files(f, "Subject: required"), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(queue_count(f->m->queue, QUEUE_COMMITTED), 1);
        assert_string_equal(only_envelope(f)->sender, "");
        assert_string_equal(only_envelope(f)->recipients[0], "alice@example.org");
        assert_int_equal(only_envelope(f)->tls, MESSAGE_TLS_REQUIRED);
        stop_manager(f);
        start_manager(f);
        assert_int_equal(wait_until(f, scanned_one), 0);
    }

    submit_tls(f, "Subject: optional\r\n\r\n", "alice@example.org", LIST("bob@example.com"), MESSAGE_TLS_OPTIONAL);
    while (count_files(f, "Subject: optional") == 0)
        assert_true(sd_event_run(f->m->event, USEC_PER_SEC / 10) >= 0);
}

static void test_deferred(void **state)
{
    Fixture *f = *state;

    submit(f, "Subject: four\r\n\r\nbody\r\n", "alice@example.org", LIST("bob@example.com", "later@example.com"));
    assert_int_equal(wait_until(f, deferred_again), 0);
    assert_int_equal(count_files(f, "Subject: four"), 1); /* bob has it, once */
    assert_int_equal(queue_count(f->m->queue, QUEUE_COMMITTED), 1);

    /* Over a restart only what is pending is tried. */
    stop_manager(f);
    start_manager(f);
    assert_int_equal(wait_until(f, scanned_one), 0);
    assert_int_equal(wait_until(f, deferred), 0);
    assert_int_equal(count_files(f, "Subject: four"), 1);
}

static void test_server_returns(void **state)
{
    Fixture *f = *state;
    char inbox[128];

    stop_server(f);
    submit(f, "Subject: five\r\n\r\nbody\r\n", "alice@example.org", LIST("bob@example.com"));
    assert_int_equal(wait_until(f, deferred), 0);
    (void) snprintf(inbox, sizeof(inbox), "%s/inbox", f->path);
    f->server = start_server(&f->port, inbox);
    assert_int_equal(wait_until(f, queue_empty), 0);
    assert_int_equal(count_files(f, "Subject: five"), 1);
}

static void test_lifetime(void **state)
{
    Fixture *f = *state;

    stop_server(f);
    f->m->conf->queue_lifetime = 1;
    submit(f, "Subject: six\r\n\r\nbody\r\n", "", LIST("bob@example.com"));
    assert_int_equal(wait_until(f, queue_empty), 0);
    assert_int_equal(f->m->n_bounced, 1);
}

static void test_worker_dies(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(wait_until(f, worker_ready), 0);
        submit(f, "Subject: seven\r\n\r\nbody\r\n", "alice@example.org", LIST("bob@example.com"));
        /* Into the first attempt, or shortly after it. */
        (void) sd_event_run(f->m->event, USEC_PER_SEC / 100);
        assert_int_equal(kill(worker_pid(worker_pool_next(f->m->workers, NULL)), SIGKILL), 0);
        assert_int_equal(wait_until(f, worker_gone), 0);
    }
    assert_int_equal(wait_until(f, queue_empty), 0);
    /* At least once, and the more often the worse, but never lost. */
    assert_true(count_files(f, "Subject: seven") >= 5);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delivered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_combined_2_require_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deferred, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_server_returns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lifetime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worker_dies, set_up, tear_down),
    };

    if (argc > 1 && streq(argv[1], FETCHER_OPTION))
        return fetcher_run();
    if (argc > 1 && streq(argv[1], "--worker"))
        return deliverd_worker_run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    (void) log_open("test-manager");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
