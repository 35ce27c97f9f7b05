/* SPDX-License-Identifier: Apache-2.0 */

/* The peer server against real clients over a real socket: who may call what, what busctl needs, what gets a peer dropped. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus-direct.h"
#include "bus-error.h"
#include "peer-server.h"

#define TEST_PATH "/org/postern/Test1"
#define TEST_INTERFACE "org.postern.Test1.Peer"
#define NOBODY 65534

typedef struct Host {
    char directory[64];
    char path[96];
    sd_event *event;
    PeerServer *server;
    unsigned n_dropped;
    const char *dropped_reason;
    unsigned n_destroyed;
    unsigned n_secrets;
    PeerPending *pending[PEER_PENDING_MAX / PEER_PENDING_COST];
    size_t n_pending;
} Host;

static int method_echo(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = userdata;
    PeerCaller *c = peer_server_caller(h->server, m);
    const char *s;
    int r;

    assert_non_null(c);
    assert_int_equal(peer_caller_uid(c), geteuid());
    assert_true(peer_caller_roles(c) & ROLE_SELF);
    r = sd_bus_message_read(m, "s", &s);
    if (r < 0)
        return r;
    return sd_bus_reply_method_return(m, "s", s);
}

static void count_destroyed(void *data)
{
    (*(unsigned *) data)++;
}

static int method_attach(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = userdata;
    PeerCaller *c = peer_server_caller(h->server, m);

    assert_null(peer_caller_data(c));
    peer_caller_attach(c, &h->n_destroyed, count_destroyed);
    assert_ptr_equal(peer_caller_data(c), &h->n_destroyed);
    return sd_bus_reply_method_return(m, NULL);
}

static int method_secret(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    ((Host *) userdata)->n_secrets++;
    return sd_bus_reply_method_return(m, NULL);
}

static int method_descriptor(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    return sd_bus_reply_method_return(m, "h", fd);
}

/* Answered by the test; text counts with its length. */
static int method_later(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = userdata;
    const char *s;
    int r;

    r = sd_bus_message_read(m, "s", &s);
    if (r < 0)
        return r;
    r = peer_pending_new(&h->pending[h->n_pending], h->server, m, strlen(s), reterr_error);
    if (r < 0)
        return r;
    h->n_pending++;
    return 1;
}

static int property_answer(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_message_append(reply, "u", 42);
}

static const sd_bus_vtable test_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Echo", SD_BUS_ARGS("s", text), SD_BUS_RESULT("s", text), method_echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Attach", NULL, NULL, method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Descriptor", NULL, "h", method_descriptor, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Later", "s", NULL, method_later, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Secret", NULL, NULL, method_secret, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Unlisted", NULL, NULL, method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Answer", "u", property_answer, 0, 0),
    SD_BUS_SIGNAL("Happened", "s", 0),
    SD_BUS_VTABLE_END,
};

static const PeerAccess test_access[] = {
    {TEST_INTERFACE, "Echo", ROLE_SELF},
    {TEST_INTERFACE, "Attach", ROLE_SELF},
    {TEST_INTERFACE, "Descriptor", ROLE_SELF},
    {TEST_INTERFACE, "Later", ROLE_SELF},
    {TEST_INTERFACE, "Secret", ROLE_SMTPD},
    {},
};

static PeerObject test_objects[] = {
    {TEST_PATH, TEST_INTERFACE, test_vtable, NULL},
    {},
};

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    Host *h = userdata;

    h->n_dropped++;
    h->dropped_reason = reason;
}

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    strcpy(h->directory, "/tmp/test-peer-server.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    assert_int_equal(chmod(h->directory, 0755), 0);
    (void) snprintf(h->path, sizeof(h->path), "%s/test", h->directory);
    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(chmod(h->path, 0777), 0);
    assert_int_equal(listen(fd, PEER_CONNECTIONS_PER_UID_MAX + 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    test_objects[0].userdata = h;
    assert_int_equal(peer_server_new(&h->server, h->event, fd, "test", test_access, test_objects), 0);
    peer_server_set_dropped(h->server, on_dropped, h);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    peer_server_free(h->server);
    sd_event_unref(h->event);
    (void) unlink(h->path);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static int host_connect(Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    return fd;
}

static sd_bus *host_client(Host *h)
{
    sd_bus *bus;

    assert_int_equal(bus_direct_new(&bus, h->event, host_connect(h), false, "client"), 0);
    return bus;
}

static void host_run(Host *h)
{
    assert_true(sd_event_run(h->event, 5 * USEC_PER_SEC) > 0);
}

/* Runs the loop until the server has seen all that happened. */
static void host_wait_connections(Host *h, unsigned n)
{
    while (peer_server_connections(h->server) != n)
        host_run(h);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    *(sd_bus_message **) userdata = sd_bus_message_ref(m);
    return 1;
}

/* A call without arguments, or with one string. */
static sd_bus_message *host_call(Host *h, sd_bus *bus, const char *path, const char *interface, const char *member, const char *argument)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    sd_bus_message *answer = NULL;

    assert_true(sd_bus_message_new_method_call(bus, &m, NULL, path, interface, member) >= 0);
    if (argument)
        assert_true(sd_bus_message_append(m, "s", argument) >= 0);
    assert_true(sd_bus_call_async(bus, NULL, m, on_answer, &answer, 5 * USEC_PER_SEC) >= 0);
    while (!answer)
        host_run(h);
    return answer;
}

static void assert_error(sd_bus_message *m, const char *name)
{
    assert_true(sd_bus_message_is_method_error(m, name) > 0);
}

static void test_call(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "hello");
    const char *s;

    assert_true(sd_bus_message_read(m, "s", &s) > 0);
    assert_string_equal(s, "hello");
    assert_int_equal(peer_server_connections(h->server), 1);
}

static void test_refused(void **state)
{
    static const struct {
        const char *interface, *member, *argument, *error;
    } cases[] = {
        {TEST_INTERFACE, "Secret", NULL, BUS_ERROR_ACCESS_DENIED},
        {TEST_INTERFACE, "Unlisted", NULL, BUS_ERROR_ACCESS_DENIED},
        {TEST_INTERFACE, "NoSuch", NULL, BUS_ERROR_ACCESS_DENIED},
        {"org.example.Other", "Echo", "x", BUS_ERROR_ACCESS_DENIED},
        {NULL, "Echo", "x", BUS_ERROR_ACCESS_DENIED},
        {"org.freedesktop.DBus.Properties", "Set", NULL, BUS_ERROR_ACCESS_DENIED},
        {TEST_INTERFACE, "Echo", NULL, SD_BUS_ERROR_INVALID_ARGS},
    };
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, bus, TEST_PATH, cases[i].interface, cases[i].member, cases[i].argument);

        assert_error(m, cases[i].error);
    }
    /* Being refused is no reason to be dropped. */
    assert_int_equal(h->n_dropped, 0);
    assert_int_equal(peer_server_connections(h->server), 1);
}

static void test_refusal_names_caller_and_method(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Secret", NULL);
    char uid[32];

    (void) snprintf(uid, sizeof(uid), "uid %u", (unsigned) geteuid());
    assert_non_null(strstr(sd_bus_message_get_error(m)->message, uid));
    assert_non_null(strstr(sd_bus_message_get_error(m)->message, TEST_INTERFACE ".Secret"));
}

/* A message that wants no answer goes through the same table. */
static void test_refused_without_reply(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *answer = NULL;

    sd_bus_message_unref(host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "up"));
    assert_true(sd_bus_message_new_method_call(bus, &m, NULL, TEST_PATH, TEST_INTERFACE, "Secret") >= 0);
    assert_true(sd_bus_message_set_expect_reply(m, false) >= 0);
    assert_true(sd_bus_send(bus, m, NULL) >= 0);
    answer = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "after it");
    assert_false(sd_bus_message_is_method_error(answer, NULL));
    assert_int_equal(h->n_secrets, 0);
}

static void test_open_to_known(void **state)
{
    static const struct {
        const char *path, *interface, *member, *argument;
    } cases[] = {
        {"/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", NULL},
        {TEST_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL},
        {TEST_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", NULL},
        {TEST_PATH, "org.freedesktop.DBus.Properties", "GetAll", TEST_INTERFACE},
    };
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m =
                host_call(h, bus, cases[i].path, cases[i].interface, cases[i].member, cases[i].argument);

        assert_false(sd_bus_message_is_method_error(m, NULL));
    }
}

static void test_descriptor(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Descriptor", NULL);
    struct stat st;
    int fd;

    assert_true(sd_bus_message_read(m, "h", &fd) > 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void test_attached_data_dies_with_connection(void **state)
{
    Host *h = *state;
    sd_bus *bus = host_client(h);
    sd_bus_message *m = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Attach", NULL);

    assert_false(sd_bus_message_is_method_error(m, NULL));
    sd_bus_message_unref(m);
    assert_int_equal(h->n_destroyed, 0);
    sd_bus_close_unref(bus);
    host_wait_connections(h, 0);
    assert_int_equal(h->n_destroyed, 1);
    assert_int_equal(h->n_dropped, 0);
}

static int on_counted(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    unsigned *n = userdata;

    n[sd_bus_message_is_method_error(m, BUS_ERROR_LIMIT_EXCEEDED) > 0]++;
    return 1;
}

static void call_later(sd_bus *bus, const char *text, unsigned answers[static 2])
{
    assert_true(sd_bus_call_method_async(bus, NULL, NULL, TEST_PATH, TEST_INTERFACE, "Later", on_counted, answers, "s", text) >= 0);
}

/* A connection may have only so much that waits for an answer, and what was answered does not count any more. */
static void test_pending(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h), *other = host_client(h);
    _cleanup_free_ char *large = calloc(1, PEER_PENDING_MAX + 1);
    unsigned answers[2] = {}, others[2] = {};

    memset(large, 'x', PEER_PENDING_MAX);
    for (size_t i = 0; i < ELEMENTSOF(h->pending); i++)
        call_later(bus, "", answers);
    while (h->n_pending < ELEMENTSOF(h->pending))
        host_run(h);
    call_later(bus, "", answers);
    while (answers[1] == 0)
        host_run(h);
    assert_int_equal(answers[0], 0);
    /* It is no matter of the other connections. */
    h->pending[0] = peer_pending_free(h->pending[0]);
    h->n_pending = 0;
    call_later(other, "", others);
    while (h->n_pending == 0)
        host_run(h);
    call_later(other, large, others);
    while (others[1] == 0)
        host_run(h);
    /* There is room again, for one. */
    h->n_pending = 1;
    assert_true(sd_bus_reply_method_return(peer_pending_call(h->pending[1]), NULL) >= 0);
    h->pending[1] = peer_pending_free(h->pending[1]);
    call_later(bus, "", answers);
    while (h->n_pending == 1 || answers[0] == 0)
        host_run(h);
    call_later(bus, large, answers);
    while (answers[1] < 2)
        host_run(h);
    /* The connection may end before its calls do. */
    bus = sd_bus_close_unref(bus);
    host_wait_connections(h, 1);
    for (size_t i = 0; i < ELEMENTSOF(h->pending); i++)
        peer_pending_free(h->pending[i]);
}

static void test_garbage_is_dropped(void **state)
{
    static const char garbage[] = "\0HELP ME\r\nAUTH NONSENSE\r\n\xff\xff\xff\xff this is not the bus protocol\r\n";
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *good = host_client(h);
    _cleanup_close_ int fd = host_connect(h);
    _cleanup_free_ char *much = malloc(200000);
    char buffer[256];

    host_wait_connections(h, 2);
    memset(much, 'x', 200000);
    assert_int_equal(send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL), sizeof(garbage));
    (void) send(fd, much, 200000, MSG_NOSIGNAL);
    while (h->n_dropped == 0)
        host_run(h);
    assert_string_equal(h->dropped_reason, "broke the bus protocol");
    while (recv(fd, buffer, sizeof(buffer), 0) > 0)
        ;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, good, TEST_PATH, TEST_INTERFACE, "Echo", "still here");
    assert_false(sd_bus_message_is_method_error(m, NULL));
    assert_int_equal(peer_server_connections(h->server), 1);
}

#ifndef __SANITIZE_ADDRESS__ /* which does not survive that memory runs out */
/* sd-bus takes messages of up to 128 MB and makes room for one as soon as it has read the header. The units' LimitDATA= has that
 * fail. */
static void test_large_message_is_dropped(void **state)
{
    static const uint8_t header[16] = {'l', 1, 0, 1, 0, 0, 0, 7, 1, 0, 0, 0, 16, 0, 0, 0}; /* of 112 MB */
    struct rlimit before, limit;
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *good = host_client(h);
    _cleanup_close_ int fd = host_connect(h);
    char text[128];
    int n;

    host_wait_connections(h, 2);
    n = snprintf(text, sizeof(text), "%cAUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", 0);
    assert_int_equal(send(fd, text, (size_t) n, MSG_NOSIGNAL), n);
    while (recv(fd, text, sizeof(text), 0) < 0) /* authenticated */
        host_run(h);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    limit = (struct rlimit) {MIN(before.rlim_cur, (rlim_t) 96 * 1024 * 1024), before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
    assert_int_equal(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
    while (h->n_dropped == 0)
        host_run(h);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = host_call(h, good, TEST_PATH, TEST_INTERFACE, "Echo", "still here");
    assert_false(sd_bus_message_is_method_error(m, NULL));
    assert_int_equal(peer_server_connections(h->server), 1);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
}
#endif

static void test_connection_limit_per_uid(void **state)
{
    Host *h = *state;
    int fds[PEER_CONNECTIONS_PER_UID_MAX + 1];

    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        fds[i] = host_connect(h);
    while (h->n_dropped == 0)
        host_run(h);
    assert_string_equal(h->dropped_reason, "too many connections of its uid");
    assert_int_equal(peer_server_connections(h->server), PEER_CONNECTIONS_PER_UID_MAX);
    for (size_t i = 0; i < ELEMENTSOF(fds); i++)
        (void) close_fd(fds[i]);
    host_wait_connections(h, 0);
    assert_int_equal(h->n_dropped, 1);
}

/* A peer that sends calls and never reads its answers is dropped before its answers fill the memory. */
static void test_unread_answers(void **state)
{
    Host *h = *state;
    _cleanup_free_ char *text = malloc(4001);
    _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
    unsigned sent = 0;
    uint64_t cookie;

    memset(text, 'x', 4000);
    text[4000] = 0;
    /* Without the loop: nothing reads. */
    assert_true(sd_bus_new(&bus) >= 0);
    int fd = host_connect(h);
    assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
    assert_true(sd_bus_start(bus) >= 0);
    while (sd_bus_is_ready(bus) <= 0) {
        (void) sd_event_run(h->event, 0);
        assert_true(sd_bus_process(bus, NULL) >= 0);
    }
    while (h->n_dropped == 0 && sent < 100000) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert_true(sd_bus_message_new_method_call(bus, &m, NULL, TEST_PATH, TEST_INTERFACE, "Echo") >= 0);
        assert_true(sd_bus_message_append(m, "s", text) >= 0);
        /* A cookie that is asked for means that an answer is expected. */
        if (sd_bus_send(bus, m, &cookie) < 0)
            break;
        sent++;
        (void) sd_event_run(h->event, 0);
    }
    while (h->n_dropped == 0)
        host_run(h);
    assert_string_equal(h->dropped_reason, "does not read its answers");
    assert_int_equal(peer_server_connections(h->server), 0);
    sd_bus_close(bus);
}

static int on_happened(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    const char *s;

    assert_true(sd_bus_message_read(m, "s", &s) > 0);
    assert_string_equal(s, "it did");
    (*(unsigned *) userdata)++;
    return 1;
}

static void test_signal(void **state)
{
    Host *h = *state;
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = host_client(h);
    unsigned n = 0;

    sd_bus_message_unref(host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "up"));
    assert_true(sd_bus_match_signal(bus, NULL, NULL, NULL, TEST_INTERFACE, "Happened", on_happened, &n) >= 0);
    assert_int_equal(peer_server_emit(h->server, ROLE_CERTD, TEST_PATH, TEST_INTERFACE, "Happened", "s", "not for you"), 0);
    assert_int_equal(peer_server_emit(h->server, ROLE_SELF | ROLE_CERTD, TEST_PATH, TEST_INTERFACE, "Happened", "s", "it did"), 0);
    while (n == 0)
        host_run(h);
    assert_int_equal(n, 1);
}

/* In a child with a uid that nobody has: exits 0 if a call was refused as it should be. */
static int stranger(const char *path)
{
    _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    char address[128];

    if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return 2;
    (void) snprintf(address, sizeof(address), "unix:path=%s", path);
    if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
        return 3;
    if (sd_bus_call_method(bus, NULL, TEST_PATH, TEST_INTERFACE, "Echo", &error, NULL, "s", "x") >= 0)
        return 4;
    if (!sd_bus_error_has_name(&error, BUS_ERROR_UNKNOWN_CALLER) || !strstr(error.message, "65534"))
        return 5;
    sd_bus_error_free(&error);
    if (sd_bus_call_method(bus, NULL, TEST_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", &error, NULL, NULL) >= 0)
        return 6;
    if (!sd_bus_error_has_name(&error, BUS_ERROR_UNKNOWN_CALLER))
        return 7;
    return sd_bus_call_method(bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", NULL, NULL, NULL) >= 0 ? 0 : 8;
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    *(int *) userdata = si->si_code == CLD_EXITED ? si->si_status : 255;
    return 0;
}

/* Runs the loop until the child has ended; its exit status. */
static int host_wait_child(Host *h, pid_t pid)
{
    _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
    int status = -1;

    assert_true(sd_event_add_child(h->event, &source, pid, WEXITED, on_child, &status) >= 0);
    while (status < 0)
        host_run(h);
    return status;
}

static void test_stranger(void **state)
{
    Host *h = *state;
    pid_t pid;

    if (geteuid() != 0)
        skip(); /* only root can become a stranger */
    pid = fork();
    if (pid == 0)
        _exit(stranger(h->path));
    assert_int_equal(host_wait_child(h, pid), 0);
}

static RoleMask admit(uid_t uid, void *userdata)
{
    const RoleMask *roles = userdata;

    return uid == geteuid() ? *roles : 0;
}

/* A socket for everybody: who is let in is asked when he comes, and again when that has changed. */
static void test_admission(void **state)
{
    Host *h = *state;
    RoleMask roles = ROLE_SELF;
    const PeerAdmission admission = {
        .roles = admit,
        .userdata = &roles,
        .connections_max = 2,
        .connections_per_uid_max = 2,
        .priority = SD_EVENT_PRIORITY_NORMAL + 1,
    };
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *echo = NULL, *refused = NULL;
    _cleanup_close_ int second = -EBADF, third = -EBADF;

    assert_int_equal(peer_server_set_admission(h->server, &admission), 0);
    bus = host_client(h);
    echo = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "hello");
    assert_false(sd_bus_message_is_method_error(echo, NULL) > 0);
    second = host_connect(h);
    third = host_connect(h);
    while (h->n_dropped == 0)
        host_run(h);
    assert_string_equal(h->dropped_reason, "too many connections of its uid");
    assert_int_equal(peer_server_connections(h->server), 2);

    roles = ROLE_PROGRAM;
    peer_server_readmit(h->server);
    refused = host_call(h, bus, TEST_PATH, TEST_INTERFACE, "Echo", "hello");
    assert_error(refused, BUS_ERROR_ACCESS_DENIED);

    roles = 0;
    peer_server_readmit(h->server);
    host_wait_connections(h, 0);
    assert_int_equal(h->n_dropped, 3);
    assert_string_equal(h->dropped_reason, "nothing here is for it any more");

    third = close_fd(third);
    third = host_connect(h);
    while (h->n_dropped == 3)
        host_run(h);
    assert_string_equal(h->dropped_reason, "nothing here is for it");
    assert_int_equal(peer_server_connections(h->server), 0);
}

static int busctl(Host *h, const char *verb, const char *a, const char *b, const char *c, const char *d)
{
    char address[128];
    pid_t pid;

    (void) snprintf(address, sizeof(address), "--address=unix:path=%s", h->path);
    pid = fork();
    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

        (void) dup2(fd, STDOUT_FILENO);
        execlp("busctl", "busctl", "--no-pager", address, verb, "org.postern.Test1", TEST_PATH, a, b, c, d, NULL);
        _exit(127);
    }
    return host_wait_child(h, pid);
}

static void test_busctl(void **state)
{
    Host *h = *state;
    int r = busctl(h, "call", TEST_INTERFACE, "Echo", "s", "hello");

    if (r == 127)
        skip(); /* busctl is not installed */
    assert_int_equal(r, 0);
    assert_int_equal(busctl(h, "introspect", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(busctl(h, "get-property", TEST_INTERFACE, "Answer", NULL, NULL), 0);
    assert_int_not_equal(busctl(h, "call", TEST_INTERFACE, "Secret", NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_without_reply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusal_names_caller_and_method, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_to_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_attached_data_dies_with_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_is_dropped, setup, teardown),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test_setup_teardown(test_large_message_is_dropped, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(test_connection_limit_per_uid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admission, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busctl, setup, teardown),
    };
    sigset_t mask;

    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
