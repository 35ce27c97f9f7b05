/* SPDX-License-Identifier: Apache-2.0 */

/* Sets an sd-bus connection up on a socket that is already connected. It must never flush on exit: a peer that does not
 * read would hold the whole process then. */

#include "bus-direct.h"

#include <poll.h>
#include <systemd/sd-id128.h>

#include "cleanup.h"

int bus_direct_new(sd_bus **ret, sd_event *event, int fd, bool server, const char *description)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    _cleanup_close_ int owned = fd;
    sd_id128_t id;
    int r;

    r = sd_bus_new(&bus);
    if (r < 0)
        return r;
    r = sd_bus_set_description(bus, description);
    if (r < 0)
        return r;
    r = sd_bus_set_fd(bus, owned, owned);
    if (r < 0)
        return r;
    (void) TAKE_FD(owned);
    if (server) {
        r = sd_id128_randomize(&id);
        if (r < 0)
            return r;
        r = sd_bus_set_server(bus, true, id);
        if (r < 0)
            return r;
    }
    r = sd_bus_negotiate_fds(bus, true);
    if (r < 0)
        return r;
    r = sd_bus_set_connected_signal(bus, true);
    if (r < 0)
        return r;
    r = sd_bus_set_close_on_exit(bus, false);
    if (r < 0)
        return r;
    r = sd_bus_start(bus);
    if (r < 0)
        return r;
    if (event)
        r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(bus);
    return 0;
}

int bus_direct_match_connected(sd_bus *bus, sd_bus_message_handler_t handler, void *userdata)
{
    return sd_bus_match_signal(bus, NULL, BUS_LOCAL_SENDER, BUS_LOCAL_PATH, BUS_LOCAL_INTERFACE, "Connected",
            handler, userdata);
}

int bus_direct_match_disconnected(sd_bus *bus, sd_bus_message_handler_t handler, void *userdata)
{
    return sd_bus_match_signal(bus, NULL, BUS_LOCAL_SENDER, BUS_LOCAL_PATH, BUS_LOCAL_INTERFACE, "Disconnected",
            handler, userdata);
}

bool bus_direct_peer_left(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
