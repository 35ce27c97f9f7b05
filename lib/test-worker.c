/* SPDX-License-Identifier: Apache-2.0 */

/* Workers as they are: this program re-executes itself with --worker. What the workers do is told them by Do(s). */

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus-error.h"
#include "peer-server.h"
#include "sandbox.h"
#include "worker.h"

#define WORKER_TEST_INTERFACE "org.postern.Test1.Worker"
#define MANAGER_TEST_INTERFACE "org.postern.Test1.Manager"
#define PEER_TEST_INTERFACE "org.postern.Test1.Peer"
#define PEER_TEST_PATH "/org/postern/Test1"

/* LeakSanitizer, where it is built in, would start a thread and trace this process at its end, which no sandbox allows. */
static int sandboxed;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return sandboxed;
}

static int enter_sandbox(uint32_t flags)
{
    sandboxed = 1;
    return sandbox_enter(flags);
}

/* ---- the worker ---- */

typedef struct TestWorker {
    sd_event *event;
    WorkerLink *link;
    PeerClient *peer;
    char configuration[64];
    bool stubborn;
} TestWorker;

/* Tells the manager what the test compares. */
static void worker_say(TestWorker *w, const char *text)
{
    (void) sd_bus_call_method_async(worker_link_bus(w->link), NULL, NULL, WORKER_PATH, MANAGER_TEST_INTERFACE, "Say", NULL, NULL, "s", text);
}

static int worker_configure(int fd, void *userdata)
{
    TestWorker *w = userdata;
    ssize_t n = pread(fd, w->configuration, sizeof(w->configuration) - 1, 0);

    if (n < 0)
        return negative_errno();
    w->configuration[n] = 0;
    return streq(w->configuration, "wrong") ? -EBADMSG : 0;
}

static void worker_stop(void *userdata)
{
    TestWorker *w = userdata;

    if (!w->stubborn)
        (void) sd_event_exit(w->event, 0);
}

static int build_hello(sd_bus_message *m, void *userdata)
{
    return sd_bus_message_append(m, "s", "hello");
}

static void on_echo(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    const char *s = "?";

    if (error)
        s = error->name;
    else
        (void) sd_bus_message_read(reply, "s", &s);
    worker_say(userdata, s);
}

static void worker_ask_peer(TestWorker *w, const char *name)
{
    static const PeerMethod echo = {PEER_TEST_PATH, PEER_TEST_INTERFACE, "Echo", 500 * USEC_PER_MSEC};

    w->peer = peer_client_free(w->peer);
    (void) worker_link_peer(w->link, name, &w->peer);
    (void) peer_client_call(w->peer, NULL, &echo, build_hello, on_echo, w);
}

/* Descriptors, environment, signal mask, name: what was inherited. */
static void worker_say_inheritance(TestWorker *w)
{
    _cleanup_free_ char *text = NULL;
    char name[17] = "";
    sigset_t mask;

    (void) sigprocmask(SIG_BLOCK, NULL, &mask);
    (void) prctl(PR_GET_NAME, name);
    assert_true(asprintf(&text, "notify=%s child_blocked=%d name=%s", getenv("NOTIFY_SOCKET") ?: "", sigismember(&mask, SIGCHLD), name) > 0);
    worker_say(w, text);
}

static int worker_do(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    static const char garbage[] = "no message of any bus, much longer than the header of one";
    TestWorker *w = userdata;
    const char *what;
    int r;

    r = sd_bus_message_read(m, "s", &what);
    if (r < 0)
        return r;
    if (streq(what, "exit"))
        exit(7);
    else if (streq(what, "garbage"))
        (void) send(WORKER_LINK_FD, garbage, sizeof(garbage), MSG_NOSIGNAL);
    else if (streq(what, "leave"))
        (void) shutdown(WORKER_LINK_FD, SHUT_RDWR);
    else if (streq(what, "stubborn"))
        w->stubborn = true;
    else if (streq(what, "configuration"))
        worker_say(w, w->configuration);
    else if (streq(what, "inheritance"))
        worker_say_inheritance(w);
    else if (streq(what, "count")) {
        worker_link_count(w->link, "sessions", 2);
        worker_link_count(w->link, "sessions", 1);
        worker_link_count(w->link, "messages", 5);
    } else
        worker_ask_peer(w, what);
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable worker_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Do", "s", NULL, worker_do, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

/* Of all but the directory that lists them. */
static unsigned count_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    (void) closedir(d);
    return n - 3;
}

static int worker_main(void)
{
    static const WorkerLinkOps ops = {
        .configure = worker_configure,
        .stop = worker_stop,
        .interface = WORKER_TEST_INTERFACE,
        .vtable = worker_vtable,
    };
    TestWorker w = {};
    int r;

    if (getenv("TEST_WORKER_FAILS"))
        return 9;
    if (count_descriptors() != 4)
        return 8;
    if (sd_event_new(&w.event) < 0 || worker_link_new(&w.link, w.event, &ops, &w) < 0)
        return 10;
    /* All that follows must work with the least that a worker has. */
    if (enter_sandbox(SANDBOX_BASE) < 0 || worker_link_ready(w.link) < 0)
        return 11;
    r = sd_event_loop(w.event);
    peer_client_free(w.peer);
    worker_link_free(w.link);
    sd_event_unref(w.event);
    return r;
}

/* ---- the manager ---- */

typedef struct Host {
    char directory[64];
    char path[96];
    sd_event *event;
    PeerServer *server;
    WorkerPool *pool;
    unsigned n_ready, n_gone, n_stopped, n_said, n_refused;
    int code, status;
    bool expected;
    char fault[64];
    char said[128];
} Host;

static int method_say(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = worker_data(userdata);
    const char *s;
    int r;

    r = sd_bus_message_read(m, "s", &s);
    if (r < 0)
        return r;
    (void) snprintf(h->said, sizeof(h->said), "%s", s);
    h->n_said++;
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Say", "s", NULL, method_say, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static void on_ready(Worker *w, void *userdata)
{
    Host *h = userdata;

    h->n_ready++;
    worker_set_data(w, h);
}

static void on_gone(Worker *w, int code, int status, bool expected, void *userdata)
{
    Host *h = userdata;

    h->n_gone++;
    h->code = code;
    h->status = status;
    h->expected = expected;
    (void) snprintf(h->fault, sizeof(h->fault), "%s", worker_fault(w) ?: "");
}

static void on_refused(Worker *w, const sd_bus_error *error, void *userdata)
{
    ((Host *) userdata)->n_refused++;
}

static void on_stopped(void *userdata)
{
    ((Host *) userdata)->n_stopped++;
}

static const char *const peers[] = {"test", "test:other", NULL};
static const WorkerPoolOps pool_ops = {
    .ready = on_ready,
    .gone = on_gone,
    .refused = on_refused,
    .interface = MANAGER_TEST_INTERFACE,
    .vtable = manager_vtable,
    .peers = peers,
};

static int peer_echo(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    const char *s;
    int r = sd_bus_message_read(m, "s", &s);

    return r < 0 ? r : sd_bus_reply_method_return(m, "s", s);
}

static const sd_bus_vtable peer_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Echo", "s", "s", peer_echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static const PeerAccess peer_access[] = {{PEER_TEST_INTERFACE, NULL, ROLE_SELF}, {}};
static const PeerObject peer_objects[] = {{PEER_TEST_PATH, PEER_TEST_INTERFACE, peer_vtable, NULL}, {}};

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));

    strcpy(h->directory, "/tmp/test-worker.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    (void) snprintf(h->path, sizeof(h->path), "%s/test", h->directory);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", h->directory, 1), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/run/not-for-workers", 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    worker_pool_free(h->pool);
    peer_server_free(h->server);
    sd_event_unref(h->event);
    (void) unsetenv("TEST_WORKER_FAILS");
    (void) unlink(h->path);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static void host_run(Host *h)
{
    assert_true(sd_event_run(h->event, 8 * USEC_PER_SEC) > 0);
}

static void host_wait(Host *h, const unsigned *counter, unsigned n)
{
    while (*counter < n)
        host_run(h);
    assert_int_equal(*counter, n);
}

static void host_start(Host *h, unsigned n)
{
    assert_int_equal(worker_pool_new(&h->pool, h->event, n, &pool_ops, h), 0);
    host_wait(h, &h->n_ready, n);
}

static void worker_tell(Worker *w, const char *what)
{
    assert_non_null(w);
    assert_true(sd_bus_call_method_async(worker_bus(w), NULL, NULL, WORKER_PATH, WORKER_TEST_INTERFACE, "Do", NULL, NULL, "s", what) >= 0);
}

static void host_ask(Host *h, Worker *w, const char *what, const char *expected)
{
    unsigned n = h->n_said;

    worker_tell(w, what);
    host_wait(h, &h->n_said, n + 1);
    assert_string_equal(h->said, expected);
}

static int snapshot(const char *text)
{
    int fd = memfd_create("configuration", MFD_CLOEXEC);

    assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    return fd;
}

static void test_start(void **state)
{
    Host *h = *state;
    Worker *a, *b;

    host_start(h, 2);
    a = worker_pool_next(h->pool, NULL);
    b = worker_pool_next(h->pool, a);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(worker_pool_next(h->pool, b));
    assert_int_not_equal(worker_pid(a), worker_pid(b));
}

static void test_inherits_nothing(void **state)
{
    Host *h = *state;

    host_start(h, 1);
    host_ask(h, worker_pool_next(h->pool, NULL), "inheritance", "notify= child_blocked=0 name=test-wor-worker");
}

static void test_restarts_the_dead(void **state)
{
    Host *h = *state;
    Worker *a, *b;
    pid_t pid_b;

    host_start(h, 2);
    a = worker_pool_next(h->pool, NULL);
    b = worker_pool_next(h->pool, a);
    pid_b = worker_pid(b);
    assert_int_equal(kill(worker_pid(a), SIGKILL), 0);
    host_wait(h, &h->n_gone, 1);
    assert_int_equal(h->code, CLD_KILLED);
    assert_int_equal(h->status, SIGKILL);
    assert_false(h->expected);
    assert_string_equal(h->fault, "");
    host_wait(h, &h->n_ready, 3);
    assert_int_equal(h->n_gone, 1);
    assert_int_equal(worker_pid(worker_pool_next(h->pool, worker_pool_next(h->pool, NULL))), pid_b);
}

static void test_backs_off(void **state)
{
    Host *h = *state;
    uint64_t start, end;

    assert_int_equal(setenv("TEST_WORKER_FAILS", "1", 1), 0);
    assert_int_equal(worker_pool_new(&h->pool, h->event, 1, &pool_ops, h), 0);
    assert_true(sd_event_now(h->event, CLOCK_MONOTONIC, &start) >= 0);
    host_wait(h, &h->n_gone, 4);
    assert_true(sd_event_now(h->event, CLOCK_MONOTONIC, &end) >= 0);
    assert_int_equal(h->code, CLD_EXITED);
    assert_int_equal(h->status, 9);
    assert_true(end - start >= (100 + 200 + 400) * USEC_PER_MSEC);
    assert_int_equal(h->n_ready, 0);
}

static void test_exit_status(void **state)
{
    Host *h = *state;

    host_start(h, 1);
    worker_tell(worker_pool_next(h->pool, NULL), "exit");
    host_wait(h, &h->n_gone, 1);
    assert_int_equal(h->code, CLD_EXITED);
    assert_int_equal(h->status, 7);
    assert_string_equal(h->fault, "");
}

static void test_configure(void **state)
{
    _cleanup_close_ int first = snapshot("first"), second = snapshot("second"), wrong = snapshot("wrong");
    Host *h = *state;
    Worker *w;

    host_start(h, 1);
    assert_int_equal(worker_pool_configure(h->pool, first), 0);
    w = worker_pool_next(h->pool, NULL);
    host_ask(h, w, "configuration", "first");
    assert_int_equal(worker_pool_configure(h->pool, second), 0);
    host_ask(h, w, "configuration", "second");
    /* A new one gets what is valid now, before anything else. */
    assert_int_equal(kill(worker_pid(w), SIGKILL), 0);
    host_wait(h, &h->n_ready, 2);
    host_ask(h, worker_pool_next(h->pool, NULL), "configuration", "second");
    assert_int_equal(worker_pool_configure(h->pool, wrong), 0);
    host_wait(h, &h->n_refused, 1);
    assert_int_equal(h->n_gone, 1);
}

static void test_first_configuration_refused(void **state)
{
    _cleanup_close_ int wrong = snapshot("wrong");
    Host *h = *state;

    assert_int_equal(worker_pool_new(&h->pool, h->event, 1, &pool_ops, h), 0);
    assert_int_equal(worker_pool_configure(h->pool, wrong), 0);
    host_wait(h, &h->n_gone, 1);
    assert_string_equal(h->fault, "refused its configuration");
    assert_int_equal(h->n_refused, 0);
}

static void host_start_peer(Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(peer_server_new(&h->server, h->event, fd, "test", peer_access, peer_objects), 0);
}

static void test_peer(void **state)
{
    Host *h = *state;
    Worker *w;

    host_start(h, 1);
    host_start_peer(h);
    w = worker_pool_next(h->pool, NULL);
    host_ask(h, w, "test", "hello");
    host_ask(h, w, "secret", BUS_ERROR_UNAVAILABLE); /* not in the list: as if it were never there */
    host_ask(h, w, "test", "hello");
    while (peer_server_connections(h->server) != 1)
        host_run(h);
    /* One with a purpose of its own is beside the other. */
    host_ask(h, w, "test:other", "hello");
    assert_int_equal(peer_server_connections(h->server), 2);
    host_ask(h, w, "test:secret", BUS_ERROR_UNAVAILABLE);
    host_ask(h, w, "test:other", "hello");
    while (peer_server_connections(h->server) != 2)
        host_run(h);
}

static void test_counters(void **state)
{
    Host *h = *state;
    Worker *a, *b;

    host_start(h, 2);
    a = worker_pool_next(h->pool, NULL);
    b = worker_pool_next(h->pool, a);
    worker_tell(a, "count");
    worker_tell(b, "count");
    worker_tell(b, "count");
    while (worker_pool_counter(h->pool, "messages") < 15)
        host_run(h);
    assert_int_equal(worker_pool_counter(h->pool, "sessions"), 9);
    assert_int_equal(worker_pool_counter(h->pool, "nonsense"), 0);
    assert_int_equal(kill(worker_pid(a), SIGKILL), 0);
    host_wait(h, &h->n_gone, 1);
    assert_int_equal(worker_pool_counter(h->pool, "messages"), 15);
    /* Those of the last second come with the end. */
    worker_tell(b, "count");
    assert_int_equal(worker_pool_stop(h->pool, 5 * USEC_PER_SEC, on_stopped, h), 0);
    host_wait(h, &h->n_stopped, 1);
    assert_int_equal(worker_pool_counter(h->pool, "messages"), 20);
}

static void test_stop(void **state)
{
    Host *h = *state;

    host_start(h, 2);
    assert_int_equal(worker_pool_stop(h->pool, 5 * USEC_PER_SEC, on_stopped, h), 0);
    assert_null(worker_pool_next(h->pool, NULL));
    assert_int_equal(h->n_stopped, 0);
    host_wait(h, &h->n_stopped, 1);
    assert_int_equal(h->n_gone, 2);
    assert_true(h->expected);
    assert_int_equal(h->code, CLD_EXITED);
    assert_int_equal(h->status, 0);
}

static void test_stop_at_once(void **state)
{
    Host *h = *state;

    assert_int_equal(worker_pool_new(&h->pool, h->event, 2, &pool_ops, h), 0);
    assert_int_equal(worker_pool_stop(h->pool, 5 * USEC_PER_SEC, on_stopped, h), 0);
    host_wait(h, &h->n_stopped, 1);
    assert_int_equal(h->n_ready, 0);
}

static void test_stop_stubborn(void **state)
{
    Host *h = *state;

    host_start(h, 2);
    worker_tell(worker_pool_next(h->pool, NULL), "stubborn");
    assert_int_equal(worker_pool_stop(h->pool, 300 * USEC_PER_MSEC, on_stopped, h), 0);
    host_wait(h, &h->n_stopped, 1);
    assert_int_equal(h->n_gone, 2);
    assert_false(h->expected);
    assert_string_equal(h->fault, "did not stop in time");
}

static void test_garbage(void **state)
{
    Host *h = *state;

    host_start(h, 2);
    worker_tell(worker_pool_next(h->pool, NULL), "garbage");
    host_wait(h, &h->n_gone, 1);
    assert_string_equal(h->fault, "broke the bus protocol");
    host_wait(h, &h->n_ready, 3);
    assert_int_equal(h->n_gone, 1);
}

static void test_leaves_link(void **state)
{
    Host *h = *state;

    host_start(h, 1);
    worker_tell(worker_pool_next(h->pool, NULL), "leave");
    host_wait(h, &h->n_gone, 1); /* it sees its link end, too, and stops */
    assert_int_equal(h->code, CLD_EXITED);
    assert_false(h->expected);
}

/* A manager of its own that is killed; its worker's pid comes through a pipe that it holds no end of. */
static void test_dies_with_manager(void **state)
{
    Host *h = *state;
    int out[2];
    pid_t manager, worker = 0;

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    manager = fork();
    if (manager == 0) {
        Host own = {};

        if (sd_event_new(&own.event) < 0 || worker_pool_new(&own.pool, own.event, 1, &pool_ops, &own) < 0)
            _exit(1);
        while (own.n_ready == 0)
            (void) sd_event_run(own.event, UINT64_MAX);
        worker = worker_pid(worker_pool_next(own.pool, NULL));
        (void) !write(out[1], &worker, sizeof(worker));
        for (;;)
            (void) sd_event_run(own.event, UINT64_MAX);
    }
    assert_int_equal(read(out[0], &worker, sizeof(worker)), sizeof(worker));
    assert_int_equal(kill(worker, 0), 0);
    assert_int_equal(kill(manager, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t) manager, NULL, WEXITED), 0);
    /* Waits for it, which would last for ever if it lived on. */
    assert_int_equal(waitid(P_PID, (id_t) worker, NULL, WEXITED), 0);
    (void) close_fd(out[0]);
    (void) close_fd(out[1]);
    (void) h;
}

/* A sandboxed manager starts, restarts and stops workers, and connects them. Exit status 0 if all went well. */
static int sandboxed_manager(Host *h)
{
    Worker *w;

    if (sd_event_new(&h->event) < 0 || enter_sandbox(SANDBOX_SPAWN | SANDBOX_CONNECT_UNIX) < 0)
        return 1;
    if (worker_pool_new(&h->pool, h->event, 1, &pool_ops, h) < 0)
        return 2;
    host_wait(h, &h->n_ready, 1);
    w = worker_pool_next(h->pool, NULL);
    if (kill(worker_pid(w), SIGKILL) < 0)
        return 3;
    host_wait(h, &h->n_ready, 2);
    host_ask(h, worker_pool_next(h->pool, NULL), "test", "hello");
    if (worker_pool_stop(h->pool, 5 * USEC_PER_SEC, on_stopped, h) < 0)
        return 4;
    host_wait(h, &h->n_stopped, 1);
    return h->expected && h->n_gone == 2 ? 0 : 5;
}

static int on_manager_exit(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    *(int *) userdata = si->si_code == CLD_EXITED ? si->si_status : 255;
    return 0;
}

static void test_in_sandbox(void **state)
{
    _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
    Host *h = *state;
    int status = -1;
    pid_t pid;

    host_start_peer(h);
    pid = fork();
    if (pid == 0) {
        Host own = {};

        _exit(sandboxed_manager(&own));
    }
    assert_true(sd_event_add_child(h->event, &source, pid, WEXITED, on_manager_exit, &status) >= 0);
    while (status < 0)
        host_run(h);
    assert_int_equal(status, 0);
}

static void test_count_default(void **state)
{
    assert_in_range(worker_count_default(), 1, 64);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inherits_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restarts_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backs_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_configuration_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_stubborn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaves_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dies_with_manager, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_sandbox, setup, teardown),
        cmocka_unit_test(test_count_default),
    };

    sigset_t mask;

    (void) signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && streq(argv[1], "--worker"))
        return worker_main();
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
