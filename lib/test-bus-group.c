/* SPDX-License-Identifier: Apache-2.0 */

/* What the tests of the peer server do not see: the turns. Each end is a real connection over a socket pair; the clients are
 * attached to the loop, the servers are driven by the group. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>

#include "bus-direct.h"
#include "bus-group.h"

#define ENDS 3

typedef struct End {
    struct Fixture *f;
    sd_bus *client, *server;
    BusMember *member;
    int fd;
    int raw; /* a client that is no sd-bus, or negative */
    unsigned n_calls, n_replies, n_failed;
} End;

typedef struct Fixture {
    sd_event *event;
    BusGroup *group;
    End ends[ENDS];
    End *victim; /* freed by the next call of another */
} Fixture;

static void end_server_free(End *e)
{
    e->member = bus_member_free(e->member);
    e->server = sd_bus_close_unref(e->server);
    e->fd = close_fd(e->fd);
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    End *e = userdata;
    End *victim = e->f->victim;

    if (!sd_bus_message_is_method_call(m, "org.example", "Call"))
        return 0;
    e->n_calls++;
    if (victim && victim != e) {
        e->f->victim = NULL;
        end_server_free(victim);
    }
    return sd_bus_reply_method_return(m, NULL);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    End *e = userdata;

    e->n_replies++;
    return 0;
}

static void on_failed(void *userdata)
{
    End *e = userdata;

    e->n_failed++;
}

static void end_open(Fixture *f, size_t i, bool raw)
{
    End *e = &f->ends[i];
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    *e = (End) {.f = f, .raw = -EBADF};
    e->fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
    assert_int_equal(bus_direct_new(&e->server, NULL, fds[1], true, "server"), 0);
    assert_true(sd_bus_add_filter(e->server, NULL, on_call, e) >= 0);
    assert_int_equal(bus_group_add(f->group, &e->member, e->server, e->fd, on_failed, e), 0);
    if (raw)
        e->raw = fds[0];
    else
        assert_int_equal(bus_direct_new(&e->client, f->event, fds[0], false, "client"), 0);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(Fixture));

    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(bus_group_new(&f->group, f->event), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    for (size_t i = 0; i < ENDS; i++) {
        if (!f->ends[i].f)
            continue;
        end_server_free(&f->ends[i]);
        sd_bus_close_unref(f->ends[i].client);
        (void) close_fd(f->ends[i].raw);
    }
    bus_group_free(f->group);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

static void call(End *e)
{
    assert_true(sd_bus_call_method_async(e->client, NULL, NULL, "/", "org.example", "Call", on_reply, e, NULL) >= 0);
}

/* Until the clients have seen that their servers are there. */
static void run_until_ready(Fixture *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        while (sd_bus_is_ready(f->ends[i].client) == 0)
            assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
}

static void run_while_there_is_something(Fixture *f)
{
    while (sd_event_run(f->event, 50 * USEC_PER_MSEC) > 0)
        ;
}

/* A turn takes one message of each: a client with many calls delays another's one by no more than the turn. */
static void test_turns(void **state)
{
    Fixture *f = *state;

    end_open(f, 0, false);
    end_open(f, 1, false);
    run_until_ready(f, 2);
    for (unsigned i = 0; i < 100; i++)
        call(&f->ends[0]);
    call(&f->ends[1]);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sd_bus_flush(f->ends[i].client), 0);
    while (f->ends[1].n_calls == 0)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
    assert_in_range(f->ends[0].n_calls, 1, 2);
    run_while_there_is_something(f);
    assert_int_equal(f->ends[0].n_replies, 100);
    assert_int_equal(f->ends[1].n_replies, 1);
}

static int on_turn(sd_event_source *source, void *userdata)
{
    unsigned *n = userdata;

    return --*n == 0 ? sd_event_source_set_enabled(source, SD_EVENT_OFF) : 0;
}

/* A group that others come before waits until they have nothing to do. */
static void test_priority(void **state)
{
    Fixture *f = *state;
    sd_event_source *busy;
    unsigned n = 20;

    assert_int_equal(bus_group_set_priority(f->group, SD_EVENT_PRIORITY_NORMAL + 10), 0);
    end_open(f, 0, false);
    run_until_ready(f, 1);
    call(&f->ends[0]);
    assert_int_equal(sd_bus_flush(f->ends[0].client), 0);
    assert_true(sd_event_add_defer(f->event, &busy, on_turn, &n) >= 0);
    assert_true(sd_event_source_set_enabled(busy, SD_EVENT_ON) >= 0);
    while (n > 0) {
        assert_int_equal(f->ends[0].n_calls, 0);
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
    }
    sd_event_source_unref(busy);
    run_while_there_is_something(f);
    assert_int_equal(f->ends[0].n_replies, 1);
}

/* A handler frees a connection that is to come in the same turn. */
static void test_freed_in_a_turn(void **state)
{
    Fixture *f = *state;

    for (size_t i = 0; i < ENDS; i++)
        end_open(f, i, false);
    run_until_ready(f, ENDS);
    for (size_t i = 0; i < ENDS; i++) {
        call(&f->ends[i]);
        assert_int_equal(sd_bus_flush(f->ends[i].client), 0);
    }
    f->victim = &f->ends[1];
    run_while_there_is_something(f);
    assert_int_equal(f->ends[0].n_replies, 1);
    assert_int_equal(f->ends[2].n_replies, 1);
}

/* More answers than the socket takes are sent when it does. */
static void test_full_socket(void **state)
{
    enum { MANY = 20000 };
    Fixture *f = *state;

    end_open(f, 0, false);
    run_until_ready(f, 1);
    for (unsigned i = 0; i < MANY; i++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert_int_equal(sd_bus_message_new_signal(f->ends[0].server, &m, "/", "org.example", "Signal"), 0);
        assert_true(sd_bus_send(f->ends[0].server, m, NULL) >= 0);
    }
    call(&f->ends[0]);
    while (f->ends[0].n_replies == 0)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
}

/* Told once, though the socket goes on to have something to read. */
static void test_failed(void **state)
{
    static const char garbage[100000] = "\0AUTH";
    Fixture *f = *state;

    end_open(f, 0, true);
    assert_true(write(f->ends[0].raw, garbage, sizeof(garbage)) > 0);
    run_while_there_is_something(f);
    assert_int_equal(f->ends[0].n_failed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_in_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
