/* SPDX-License-Identifier: Apache-2.0 */

/* The peer client against the real server in the same loop: deadlines, a peer that comes late, goes away or never answers,
 * and callbacks that free what they stand on. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus-error.h"
#include "peer-client.h"
#include "peer-server.h"

#define TEST_PATH "/org/postern/Test1"
#define TEST_INTERFACE "org.postern.Test1.Peer"

typedef struct Host {
    char directory[64];
    char path[96];
    sd_event *event;
    PeerServer *server;
    PeerClient *client;
    sd_bus_message *held; /* a call that is not answered */
    unsigned n_held;
    unsigned n_done;
    unsigned n_built;
    bool inside_call;
    char error[128];
    char text[128];
} Host;

static int method_echo(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    const char *s;
    int r = sd_bus_message_read(m, "s", &s);

    return r < 0 ? r : sd_bus_reply_method_return(m, "s", s);
}

static int method_fail(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_reply_method_errorf(m, BUS_ERROR_NO_SUCH_CERTIFICATE, "No such certificate.");
}

static int method_hold(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = userdata;

    h->n_held++;
    sd_bus_message_unref(h->held);
    h->held = sd_bus_message_ref(m);
    return 1;
}

static const sd_bus_vtable test_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Echo", "s", "s", method_echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Fail", NULL, NULL, method_fail, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Hold", NULL, NULL, method_hold, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("Happened", "s", 0),
    SD_BUS_VTABLE_END,
};
static const PeerAccess test_access[] = {{TEST_INTERFACE, NULL, ROLE_SELF}, {}};
static PeerObject test_objects[] = {{TEST_PATH, TEST_INTERFACE, test_vtable, NULL}, {}};

static const PeerMethod echo = {TEST_PATH, TEST_INTERFACE, "Echo", 5 * USEC_PER_SEC, false};
static const PeerMethod fail_method = {TEST_PATH, TEST_INTERFACE, "Fail", 5 * USEC_PER_SEC, false};
static const PeerMethod hold = {TEST_PATH, TEST_INTERFACE, "Hold", 5 * USEC_PER_SEC, false};
static const PeerMethod hold_short = {TEST_PATH, TEST_INTERFACE, "Hold", 100 * USEC_PER_MSEC, false};
static const PeerMethod hold_repeatable = {TEST_PATH, TEST_INTERFACE, "Hold", 5 * USEC_PER_SEC, true};

static void host_start_server(Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 128), 0);
    test_objects[0].userdata = h;
    assert_int_equal(peer_server_new(&h->server, h->event, fd, "test", test_access, test_objects), 0);
}

static void host_stop_server(Host *h)
{
    h->held = sd_bus_message_unref(h->held);
    h->server = peer_server_free(h->server);
    (void) unlink(h->path);
}

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));

    strcpy(h->directory, "/tmp/test-peer-client.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    (void) snprintf(h->path, sizeof(h->path), "%s/test", h->directory);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", h->directory, 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    assert_int_equal(peer_client_new(&h->client, h->event, "test"), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    peer_client_free(h->client);
    host_stop_server(h);
    sd_event_unref(h->event);
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

static int build_text(sd_bus_message *m, void *userdata)
{
    ((Host *) userdata)->n_built++;
    return sd_bus_message_append(m, "s", "hello");
}

static int build_refuses(sd_bus_message *m, void *userdata)
{
    return -EUCLEAN;
}

static void on_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Host *h = userdata;
    const char *s;

    assert_false(h->inside_call);
    assert_true(!reply != !error);
    h->n_done++;
    h->error[0] = h->text[0] = 0;
    if (error)
        (void) snprintf(h->error, sizeof(h->error), "%s", error->name);
    else if (sd_bus_message_read(reply, "s", &s) > 0)
        (void) snprintf(h->text, sizeof(h->text), "%s", s);
}

static void host_call_full(Host *h, PeerCall **ret, const PeerMethod *method, PeerCallBuild build, PeerCallDone done)
{
    h->inside_call = true;
    assert_int_equal(peer_client_call(h->client, ret, method, build, done, h), 0);
    h->inside_call = false;
}

static void host_call(Host *h, const PeerMethod *method)
{
    host_call_full(h, NULL, method, method == &echo ? build_text : NULL, on_done);
}

static void host_echo(Host *h)
{
    unsigned n = h->n_done;

    host_call(h, &echo);
    host_wait(h, &h->n_done, n + 1);
    assert_string_equal(h->error, "");
    assert_string_equal(h->text, "hello");
}

static void test_call(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_echo(h);
    host_echo(h);
    assert_int_equal(h->n_built, 2);
    assert_int_equal(peer_server_connections(h->server), 1);
}

static void test_error_of_peer(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call(h, &fail_method);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, BUS_ERROR_NO_SUCH_CERTIFICATE);
}

static void test_peer_comes_late(void **state)
{
    Host *h = *state;

    host_call(h, &echo);
    host_run(h); /* the first attempt, in vain */
    assert_int_equal(h->n_done, 0);
    host_start_server(h);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->text, "hello");
}

static void test_peer_never_comes(void **state)
{
    Host *h = *state;

    host_call(h, &hold_short);
    host_call(h, &hold_short);
    host_wait(h, &h->n_done, 2);
    assert_string_equal(h->error, BUS_ERROR_UNAVAILABLE);
}

static void test_peer_never_answers(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call(h, &hold_short);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, BUS_ERROR_UNAVAILABLE);
    assert_int_equal(h->n_held, 1);
    host_echo(h); /* the link is still good */
}

static void test_build_refuses(void **state)
{
    Host *h = *state;

    host_call_full(h, NULL, &echo, build_refuses, on_done);
    host_start_server(h);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, "System.Error.EUCLEAN");
    /* With a link it is known at once, and there is no done(). */
    assert_int_equal(peer_client_call(h->client, NULL, &echo, build_refuses, on_done, h), -EUCLEAN);
    host_echo(h);
    assert_int_equal(h->n_done, 2);
}

static void test_link_lost(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call(h, &hold);
    host_wait(h, &h->n_held, 1);
    host_stop_server(h);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, BUS_ERROR_UNAVAILABLE);
    host_start_server(h);
    host_echo(h);
}

static void test_repeatable_is_sent_again(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call(h, &hold_repeatable);
    host_wait(h, &h->n_held, 1);
    host_stop_server(h);
    host_start_server(h);
    host_wait(h, &h->n_held, 2);
    assert_int_equal(h->n_done, 0);
    assert_true(sd_bus_reply_method_return(h->held, NULL) >= 0);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, "");
}

static void test_cancel(void **state)
{
    Host *h = *state;
    PeerCall *waiting, *sent;

    host_call_full(h, &waiting, &echo, build_text, on_done);
    peer_call_cancel(waiting);
    assert_null(peer_call_cancel(NULL));
    host_start_server(h);
    host_call_full(h, &sent, &hold, NULL, on_done);
    host_wait(h, &h->n_held, 1);
    peer_call_cancel(sent);
    assert_true(sd_bus_reply_method_return(h->held, NULL) >= 0);
    host_echo(h);
    assert_int_equal(h->n_done, 1);
}

static void done_frees_client(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Host *h = userdata;

    h->n_done++;
    h->client = peer_client_free(h->client);
}

static void test_free_inside_done(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call_full(h, NULL, &fail_method, NULL, done_frees_client);
    host_call(h, &echo);
    host_call(h, &hold);
    host_wait(h, &h->n_done, 1);
    while (peer_server_connections(h->server) > 0)
        host_run(h);
    assert_int_equal(h->n_done, 1);
}

static void test_free_inside_done_of_expired(void **state)
{
    Host *h = *state;

    host_call_full(h, NULL, &hold_short, NULL, done_frees_client);
    host_call(h, &hold_short);
    host_wait(h, &h->n_done, 1);
}

static void test_free_inside_done_of_lost(void **state)
{
    Host *h = *state;

    host_start_server(h);
    host_call_full(h, NULL, &hold, NULL, done_frees_client);
    host_call(h, &hold);
    host_wait(h, &h->n_held, 2);
    host_stop_server(h);
    host_wait(h, &h->n_done, 1);
}

static void test_too_many(void **state)
{
    Host *h = *state;

    for (unsigned i = 0; i < PEER_CALLS_MAX; i++)
        assert_int_equal(peer_client_call(h->client, NULL, &echo, build_text, on_done, h), 0);
    assert_int_equal(peer_client_call(h->client, NULL, &echo, build_text, on_done, h), -ENOBUFS);
    host_start_server(h);
    host_wait(h, &h->n_done, PEER_CALLS_MAX);
    host_echo(h);
}

static void count_connected(PeerClient *c, void *userdata)
{
    (*(unsigned *) userdata)++;
}

static int count_happened(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    (*(unsigned *) userdata)++;
    return 1;
}

static void test_keeps_connected_and_hears_signals(void **state)
{
    Host *h = *state;
    unsigned n_connected = 0, n_happened = 0;

    assert_int_equal(peer_client_match(h->client, TEST_INTERFACE, "Happened", count_happened, &n_happened), 0);
    assert_int_equal(peer_client_keep_connected(h->client, count_connected, &n_connected), 0);
    for (unsigned i = 1; i <= 2; i++) {
        host_start_server(h);
        host_wait(h, &n_connected, i);
        host_echo(h);
        assert_int_equal(peer_server_emit(h->server, ROLE_SELF, TEST_PATH, TEST_INTERFACE, "Happened", "s", "it did"), 0);
        host_wait(h, &n_happened, i);
        host_stop_server(h);
    }
}

static void test_keep_connected_on_a_link_that_is_up(void **state)
{
    Host *h = *state;
    unsigned n_connected = 0;

    host_start_server(h);
    host_echo(h);
    assert_int_equal(peer_client_keep_connected(h->client, count_connected, &n_connected), 0);
    assert_int_equal(n_connected, 0);
    host_wait(h, &n_connected, 1);
}

static void test_forget(void **state)
{
    unsigned n_connected[2] = {}, n_happened[2] = {};
    Host *h = *state;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(peer_client_match(h->client, TEST_INTERFACE, "Happened", count_happened, &n_happened[i]), 0);
        assert_int_equal(peer_client_keep_connected(h->client, count_connected, &n_connected[i]), 0);
    }
    host_start_server(h);
    host_wait(h, &n_connected[1], 1);
    assert_int_equal(n_connected[0], 1);
    peer_client_forget(h->client, &n_connected[0]);
    peer_client_forget(h->client, &n_happened[0]);
    assert_int_equal(peer_server_emit(h->server, ROLE_SELF, TEST_PATH, TEST_INTERFACE, "Happened", "s", "it did"), 0);
    host_wait(h, &n_happened[1], 1);
    host_stop_server(h);
    host_start_server(h);
    host_wait(h, &n_connected[1], 2);
    assert_int_equal(n_connected[0], 1);
    assert_int_equal(n_happened[0], 0);
}

typedef struct Fetched {
    unsigned n;
    PeerConnector *last;
} Fetched;

static int fetch_fails_first(PeerConnector *c, const char *name, void *userdata)
{
    Fetched *f = userdata;

    assert_string_equal(name, "test");
    f->last = c;
    switch (f->n++) {
    case 0:
        return -ENOENT;
    case 1:
        peer_connector_take_fd(c, -ECONNREFUSED);
        return 0;
    default:
        return 0; /* the test answers later */
    }
}

static void test_fetched(void **state)
{
    Host *h = *state;
    Fetched fetched = {};

    host_start_server(h);
    h->client = peer_client_free(h->client);
    assert_int_equal(peer_client_new_fetched(&h->client, h->event, "test", fetch_fails_first, &fetched), 0);
    host_call(h, &echo);
    host_wait(h, &fetched.n, 3);
    assert_int_equal(h->n_done, 0);
    peer_connector_take_fd(fetched.last, peer_socket_connect("test"));
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->text, "hello");
    /* One that nobody asked for is closed. */
    peer_connector_take_fd(fetched.last, peer_socket_connect("test"));
    host_echo(h);
    while (peer_server_connections(h->server) != 1)
        host_run(h);
}

static void test_socket_name(void **state)
{
    assert_int_equal(peer_socket_connect("../test"), -EINVAL);
    assert_int_equal(peer_socket_connect("missing"), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_of_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_never_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_never_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_build_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_repeatable_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_inside_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_inside_done_of_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_inside_done_of_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keeps_connected_and_hears_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_connected_on_a_link_that_is_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_name, setup, teardown),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
