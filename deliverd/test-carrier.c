/* SPDX-License-Identifier: Apache-2.0 */

/* A connection, which messages need to exist; to nobody, unless a test asks for the other end. */

#include "test-carrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "bus-direct.h"
#include "cleanup.h"
#include "worker.h"

static sd_event *event;
static sd_bus *bus;
static int other = -EBADF;

int carrier_setup(void **state)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    other = fds[1];
    assert_true(sd_event_new(&event) >= 0);
    assert_true(bus_direct_new(&bus, event, fds[0], true, "test") >= 0);
    return 0;
}

int carrier_teardown(void **state)
{
    sd_bus_close_unref(bus);
    sd_event_unref(event);
    close_fdp(&other);
    return 0;
}

sd_bus_message *carrier_new(const char *interface)
{
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(bus, &m, NULL, WORKER_PATH, interface, "Test") >= 0);
    return m;
}

sd_bus *carrier_bus(void)
{
    return bus;
}

sd_bus *carrier_connect(void)
{
    sd_bus *peer = NULL;

    assert_true(bus_direct_new(&peer, event, other, false, "worker") >= 0);
    other = -EBADF;
    while (sd_bus_is_ready(bus) <= 0 || sd_bus_is_ready(peer) <= 0)
        assert_true(sd_event_run(event, UINT64_MAX) >= 0);
    return peer;
}
