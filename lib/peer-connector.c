/* SPDX-License-Identifier: Apache-2.0 */

/* Connects to a peer, again and again. Everything happens from the event loop, the first attempt too, so that its owner is never
 * called inside the function that asked for it. */

#include "peer-connector.h"

#include <sys/socket.h>
#include <sys/un.h>

#define RECONNECT_MIN_USEC (50 * USEC_PER_MSEC)
#define RECONNECT_MAX_USEC (5 * USEC_PER_SEC)

/* A link that lived this long was a good one. */
#define LINK_GOOD_USEC USEC_PER_SEC

typedef enum ConnectorState {
    CONNECTOR_DOWN,
    CONNECTOR_FETCHING, /* asked for a descriptor */
    CONNECTOR_GIVEN,    /* the owner has it */
} ConnectorState;

struct PeerConnector {
    char *name;
    sd_event *event;
    sd_event_source *source; /* the next attempt */
    PeerFetch fetch;
    void *fetch_userdata;
    sd_bus_slot *fetch_slot;
    const PeerConnectorOps *ops;
    void *userdata;
    ConnectorState state;
    uint64_t up_since; /* 0: it is not up */
    uint64_t delay;
    uint64_t next_attempt;
};

static uint64_t connector_now(const PeerConnector *c)
{
    uint64_t now = 0;

    (void) sd_event_now(c->event, CLOCK_MONOTONIC, &now);
    return now;
}

void peer_connector_need(PeerConnector *c)
{
    if (c->state != CONNECTOR_DOWN)
        return;
    (void) sd_event_source_set_time(c->source, c->next_attempt);
    (void) sd_event_source_set_enabled(c->source, SD_EVENT_ONESHOT);
}

void peer_connector_up(PeerConnector *c)
{
    c->up_since = connector_now(c);
}

void peer_connector_lost(PeerConnector *c, int error)
{
    uint64_t now = connector_now(c);

    if (c->up_since > 0 && now - c->up_since >= LINK_GOOD_USEC)
        c->delay = 0;
    c->up_since = 0;
    c->state = CONNECTOR_DOWN;
    /* A full backlog is a peer that is starting or busy: ask again soon. */
    if (error != -EAGAIN || c->delay == 0)
        c->delay = c->delay == 0 ? RECONNECT_MIN_USEC : MIN(2 * c->delay, RECONNECT_MAX_USEC);
    c->next_attempt = now + (error == -EAGAIN ? RECONNECT_MIN_USEC : c->delay);
    if (c->ops->wanted(c->userdata))
        peer_connector_need(c);
}

void peer_connector_take_fd(PeerConnector *c, int fd)
{
    int r = fd;

    c->fetch_slot = sd_bus_slot_unref(c->fetch_slot);
    if (c->state != CONNECTOR_FETCHING) {
        (void) close_fd(fd);
        return;
    }
    c->state = CONNECTOR_GIVEN;
    if (fd >= 0)
        r = c->ops->connected(fd, c->userdata);
    if (r < 0)
        peer_connector_lost(c, r);
}

void peer_connector_set_fetch_slot(PeerConnector *c, sd_bus_slot *slot)
{
    sd_bus_slot_unref(c->fetch_slot);
    c->fetch_slot = slot;
}

static int fetch_from_path(PeerConnector *c, const char *name, void *userdata)
{
    peer_connector_take_fd(c, peer_socket_connect(name));
    return 0;
}

static int on_attempt(sd_event_source *source, uint64_t usec, void *userdata)
{
    PeerConnector *c = userdata;
    int r;

    if (c->state != CONNECTOR_DOWN || !c->ops->wanted(c->userdata))
        return 0;
    c->state = CONNECTOR_FETCHING;
    r = c->fetch(c, c->name, c->fetch_userdata);
    if (r < 0 && c->state == CONNECTOR_FETCHING)
        peer_connector_lost(c, r);
    return 0;
}

int peer_connector_new(PeerConnector **ret, sd_event *event, const char *name, PeerFetch fetch, void *fetch_userdata,
        const PeerConnectorOps *ops, void *userdata)
{
    _cleanup_(peer_connector_freep) PeerConnector *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c || !(c->name = strdup(name)))
        return -ENOMEM;
    c->event = sd_event_ref(event);
    c->fetch = fetch ?: fetch_from_path;
    c->fetch_userdata = fetch_userdata;
    c->ops = ops;
    c->userdata = userdata;
    r = sd_event_add_time(event, &c->source, CLOCK_MONOTONIC, 0, 1, on_attempt, c);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

int peer_connector_new_beside(PeerConnector **ret, const PeerConnector *other, const char *purpose, const PeerConnectorOps *ops,
        void *userdata)
{
    _cleanup_free_ char *name = NULL;

    if (asprintf(&name, "%s:%s", other->name, purpose) < 0)
        return -ENOMEM;
    return peer_connector_new(ret, other->event, name, other->fetch, other->fetch_userdata, ops, userdata);
}

PeerConnector *peer_connector_free(PeerConnector *c)
{
    if (!c)
        return NULL;
    sd_bus_slot_unref(c->fetch_slot);
    sd_event_source_disable_unref(c->source);
    sd_event_unref(c->event);
    free(c->name);
    free(c);
    return NULL;
}

const char *peer_connector_name(const PeerConnector *c)
{
    return c->name;
}

int peer_socket_connect(const char *name)
{
    const char *directory = secure_getenv("POSTERN_RUNTIME_DIR") ?: "/run/postern";
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -EBADF;
    int n;

    if (strchr(name, '/'))
        return -EINVAL;
    n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%.*s", directory, (int) strcspn(name, ":"), name);
    if (n < 0 || (size_t) n >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return negative_errno();
    if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
        return negative_errno();
    return TAKE_FD(fd);
}
