/* SPDX-License-Identifier: Apache-2.0 */

/* Calls a peer over its socket and keeps the link to it. Everything happens from the event loop: the first connection
 * too, so that a callback never runs inside the function that asked for it. It must never block, and never lose track
 * of a call: each ends in exactly one done(), a cancellation, or with the client.
 *
 * A call is in one of three queues: waiting (for a link), sent (sd-bus keeps its deadline), failed (its done() is due). */

#include "peer-client.h"

#include <sys/queue.h>

#include "bus-direct.h"
#include "bus-error.h"

typedef TAILQ_HEAD(CallQueue, PeerCall) CallQueue;

struct PeerCall {
    PeerClient *client;
    TAILQ_ENTRY(PeerCall) entry;
    CallQueue *queue;
    PeerMethod method;
    PeerCallBuild build;
    PeerCallDone done;
    void *userdata;
    uint64_t deadline;
    sd_bus_slot *slot; /* while sent */
    int error;         /* while failed */
};

typedef struct ClientMatch {
    TAILQ_ENTRY(ClientMatch) entry;
    char *interface;
    char *member;
    sd_bus_message_handler_t handler;
    void *userdata;
    sd_bus_slot *slot; /* while there is a link */
} ClientMatch;

/* Who wants to know of a link. */
typedef struct Listener {
    TAILQ_ENTRY(Listener) entry;
    PeerClientConnected connected;
    void *userdata;
    bool due; /* the link is up and it was not told yet */
} Listener;

struct PeerClient {
    sd_event *event;
    PeerConnector *connector;
    sd_event_source *deadline_source; /* the earliest deadline of the calls that wait */
    sd_event_source *defer_source;    /* failed calls, and the news of a link */
    sd_bus *bus;
    bool up; /* authenticated */
    bool keep;
    TAILQ_HEAD(, Listener) listeners;
    CallQueue waiting, sent, failed;
    unsigned n_calls;
    TAILQ_HEAD(, ClientMatch) matches;
    void *data;
    void (*destroy)(void *data);
};

static uint64_t client_now(const PeerClient *c)
{
    uint64_t now = 0;

    (void) sd_event_now(c->event, CLOCK_MONOTONIC, &now);
    return now;
}

static int timer_arm(sd_event_source *source, uint64_t usec)
{
    int r = sd_event_source_set_time(source, usec);

    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- calls ---- */

static void call_move(PeerCall *call, CallQueue *queue)
{
    if (call->queue)
        TAILQ_REMOVE(call->queue, call, entry);
    call->queue = queue;
    if (queue)
        TAILQ_INSERT_TAIL(queue, call, entry);
}

static PeerCall *call_free(PeerCall *call)
{
    if (!call)
        return NULL;
    if (call->queue)
        call->client->n_calls--;
    call_move(call, NULL);
    sd_bus_slot_unref(call->slot);
    free(call);
    return NULL;
}
DEFINE_CLEANUP(PeerCall, call_free);

/* The call and, after done(), its client must not be touched any more. */
static void call_finish(PeerCall *call, sd_bus_message *reply, const sd_bus_error *error)
{
    PeerCallDone done = call->done;
    void *userdata = call->userdata;

    call_free(call);
    if (done)
        done(reply, error, userdata);
}

static void call_wait(PeerCall *call)
{
    PeerClient *c = call->client;
    uint64_t armed = UINT64_MAX;
    int enabled = SD_EVENT_OFF;

    call->slot = sd_bus_slot_unref(call->slot);
    call_move(call, &c->waiting);
    (void) sd_event_source_get_enabled(c->deadline_source, &enabled);
    (void) sd_event_source_get_time(c->deadline_source, &armed);
    if (enabled == SD_EVENT_OFF || call->deadline < armed)
        (void) timer_arm(c->deadline_source, call->deadline);
}

static void call_fail_later(PeerCall *call, int error)
{
    call->error = error;
    call_move(call, &call->client->failed);
    (void) sd_event_source_set_enabled(call->client->defer_source, SD_EVENT_ON);
}

static void error_unavailable(sd_bus_error *ret, const PeerCall *call, const char *what)
{
    (void) sd_bus_error_setf(ret, BUS_ERROR_UNAVAILABLE, "%s %s (%s.%s).",
            peer_connector_name(call->client->connector), what, call->method.interface, call->method.member);
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error unavailable = SD_BUS_ERROR_NULL;
    PeerCall *call = userdata;

    if (!sd_bus_message_is_method_error(m, NULL))
        call_finish(call, m, NULL);
    else if (!sd_bus_message_is_method_error(m, SD_BUS_ERROR_NO_REPLY))
        call_finish(call, NULL, sd_bus_message_get_error(m));
    /* sd-bus' own error: the deadline has passed, or the link is gone. */
    else if (sd_bus_is_open(call->client->bus) > 0) {
        error_unavailable(&unavailable, call, "did not answer in time");
        call_finish(call, NULL, &unavailable);
    } else if (call->method.repeatable && client_now(call->client) < call->deadline)
        call_wait(call);
    else {
        error_unavailable(&unavailable, call, "went away before it answered");
        call_finish(call, NULL, &unavailable);
    }
    return 1;
}

/* -ENOTCONN: the link has just been lost. */
static int call_send(PeerCall *call)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    PeerClient *c = call->client;
    uint64_t now = client_now(c);
    int r;

    if (now >= call->deadline)
        return -ETIMEDOUT;
    if (sd_bus_is_ready(c->bus) <= 0)
        return -ENOTCONN;
    r = sd_bus_message_new_method_call(c->bus, &m, NULL, call->method.path, call->method.interface, call->method.member);
    if (r < 0)
        return r;
    if (call->build) {
        r = call->build(m, call->userdata);
        if (r < 0)
            return r;
    }
    r = sd_bus_call_async(c->bus, &call->slot, m, on_reply, call, call->deadline - now);
    if (r < 0)
        return r == -ECONNRESET ? -ENOTCONN : r;
    call_move(call, &c->sent);
    return 0;
}

/* ---- link ---- */

static bool client_wants_link(void *userdata)
{
    const PeerClient *c = userdata;

    return c->keep || !TAILQ_EMPTY(&c->waiting);
}

static void client_drop_bus(PeerClient *c)
{
    ClientMatch *match;

    TAILQ_FOREACH(match, &c->matches, entry)
        match->slot = sd_bus_slot_unref(match->slot);
    c->bus = sd_bus_close_unref(c->bus);
}

static void listener_tell_later(PeerClient *c, Listener *l)
{
    l->due = l->connected;
    (void) sd_event_source_set_enabled(c->defer_source, SD_EVENT_ON);
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    PeerClient *c = userdata;
    PeerCall *call, *next;
    Listener *l;

    c->up = true;
    peer_connector_up(c->connector);
    for (call = TAILQ_FIRST(&c->waiting); call; call = next) {
        int r;

        next = TAILQ_NEXT(call, entry);
        r = call_send(call);
        if (r == -ENOTCONN)
            break;
        if (r < 0)
            call_fail_later(call, r);
    }
    TAILQ_FOREACH(l, &c->listeners, entry)
        listener_tell_later(c, l);
    return 1;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    PeerClient *c = userdata;
    Listener *l;

    c->up = false;
    TAILQ_FOREACH(l, &c->listeners, entry)
        l->due = false;
    client_drop_bus(c);
    peer_connector_lost(c->connector, -ECONNRESET);
    return 1;
}

static int match_install(sd_bus *bus, ClientMatch *match)
{
    return sd_bus_match_signal(bus, &match->slot, NULL, NULL, match->interface, match->member, match->handler, match->userdata);
}

static int client_adopt(PeerClient *c, int fd)
{
    ClientMatch *match;
    int r;

    r = bus_direct_new(&c->bus, c->event, fd, false, peer_connector_name(c->connector));
    if (r < 0)
        return r;
    r = bus_direct_match_connected(c->bus, on_connected, c);
    if (r < 0)
        return r;
    r = bus_direct_match_disconnected(c->bus, on_disconnected, c);
    if (r < 0)
        return r;
    TAILQ_FOREACH(match, &c->matches, entry) {
        r = match_install(c->bus, match);
        if (r < 0)
            return r;
    }
    return 0;
}

static int client_connected(int fd, void *userdata)
{
    PeerClient *c = userdata;
    int r = client_adopt(c, fd);

    if (r < 0)
        client_drop_bus(c);
    return r;
}

static const PeerConnectorOps connector_ops = {.wanted = client_wants_link, .connected = client_connected};

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    PeerClient *c = userdata;
    uint64_t now = client_now(c), earliest = UINT64_MAX;
    PeerCall *call, *next;

    for (call = TAILQ_FIRST(&c->waiting); call; call = next) {
        next = TAILQ_NEXT(call, entry);
        if (call->deadline <= now)
            call_fail_later(call, -ETIMEDOUT);
        else
            earliest = MIN(earliest, call->deadline);
    }
    return earliest == UINT64_MAX ? 0 : timer_arm(source, earliest);
}

/* One thing a turn, and nothing after it: the callback may free the client. */
static int on_defer(sd_event_source *source, void *userdata)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    PeerClient *c = userdata;
    PeerCall *call = TAILQ_FIRST(&c->failed);
    Listener *l;

    if (call) {
        if (call->error == -ETIMEDOUT)
            error_unavailable(&error, call, "could not be reached in time");
        else
            (void) sd_bus_error_set_errno(&error, call->error);
        call_finish(call, NULL, &error);
        return 0;
    }
    TAILQ_FOREACH(l, &c->listeners, entry)
        if (l->due) {
            l->due = false;
            l->connected(c, l->userdata);
            return 0;
        }
    (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

/* ---- the client ---- */

int peer_client_new_fetched(PeerClient **ret, sd_event *event, const char *name, PeerFetch fetch, void *userdata)
{
    _cleanup_(peer_client_freep) PeerClient *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->sent);
    TAILQ_INIT(&c->failed);
    TAILQ_INIT(&c->matches);
    TAILQ_INIT(&c->listeners);
    c->event = sd_event_ref(event);
    r = peer_connector_new(&c->connector, event, name, fetch, userdata, &connector_ops, c);
    if (r < 0)
        return r;
    r = sd_event_add_time(event, &c->deadline_source, CLOCK_MONOTONIC, 0, 0, on_deadline, c);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(c->deadline_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = sd_event_add_defer(event, &c->defer_source, on_defer, c);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(c->defer_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

int peer_client_new(PeerClient **ret, sd_event *event, const char *name)
{
    return peer_client_new_fetched(ret, event, name, NULL, NULL);
}

static ClientMatch *match_free(ClientMatch *match)
{
    if (!match)
        return NULL;
    sd_bus_slot_unref(match->slot);
    free(match->interface);
    free(match->member);
    free(match);
    return NULL;
}
DEFINE_CLEANUP(ClientMatch, match_free);

static void queue_clear(CallQueue *queue)
{
    PeerCall *call;

    while ((call = TAILQ_FIRST(queue)))
        call_free(call);
}

PeerClient *peer_client_free(PeerClient *c)
{
    ClientMatch *match;
    Listener *l;

    if (!c)
        return NULL;
    if (c->destroy)
        c->destroy(c->data);
    queue_clear(&c->waiting);
    queue_clear(&c->sent);
    queue_clear(&c->failed);
    client_drop_bus(c);
    while ((l = TAILQ_FIRST(&c->listeners))) {
        TAILQ_REMOVE(&c->listeners, l, entry);
        free(l);
    }
    while ((match = TAILQ_FIRST(&c->matches))) {
        TAILQ_REMOVE(&c->matches, match, entry);
        match_free(match);
    }
    peer_connector_free(c->connector);
    sd_event_source_disable_unref(c->deadline_source);
    sd_event_source_disable_unref(c->defer_source);
    sd_event_unref(c->event);
    free(c);
    return NULL;
}

int peer_client_call(PeerClient *c, PeerCall **ret, const PeerMethod *method, PeerCallBuild build, PeerCallDone done,
        void *userdata)
{
    _cleanup_(call_freep) PeerCall *call = NULL;
    int r = -ENOTCONN;

    if (c->n_calls >= PEER_CALLS_MAX)
        return -ENOBUFS;
    call = calloc(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    call->client = c;
    call->method = *method;
    call->build = build;
    call->done = done;
    call->userdata = userdata;
    call->deadline = client_now(c) + (method->timeout_usec ?: PEER_CALL_TIMEOUT_USEC);
    if (c->up)
        r = call_send(call);
    if (r < 0 && r != -ENOTCONN)
        return r;
    c->n_calls++;
    if (r == -ENOTCONN) {
        call_wait(call);
        peer_connector_need(c->connector);
    }
    if (ret)
        *ret = call;
    (void) TAKE_PTR(call);
    return 0;
}

PeerCall *peer_call_cancel(PeerCall *call)
{
    return call_free(call);
}

int peer_client_keep_connected(PeerClient *c, PeerClientConnected connected, void *userdata)
{
    Listener *l = calloc(1, sizeof(Listener));

    if (!l)
        return -ENOMEM;
    l->connected = connected;
    l->userdata = userdata;
    TAILQ_INSERT_TAIL(&c->listeners, l, entry);
    c->keep = true;
    if (c->up)
        listener_tell_later(c, l);
    peer_connector_need(c->connector);
    return 0;
}

int peer_client_match(PeerClient *c, const char *interface, const char *member, sd_bus_message_handler_t handler, void *userdata)
{
    _cleanup_(match_freep) ClientMatch *match = NULL;
    int r;

    match = calloc(1, sizeof(*match));
    if (!match)
        return -ENOMEM;
    match->interface = strdup(interface);
    match->member = strdup(member);
    if (!match->interface || !match->member)
        return -ENOMEM;
    match->handler = handler;
    match->userdata = userdata;
    if (c->bus) {
        r = match_install(c->bus, match);
        if (r < 0)
            return r;
    }
    TAILQ_INSERT_TAIL(&c->matches, match, entry);
    (void) TAKE_PTR(match);
    return 0;
}

void peer_client_forget(PeerClient *c, const void *userdata)
{
    ClientMatch *match, *next_match;
    Listener *l, *next;

    for (match = TAILQ_FIRST(&c->matches); match; match = next_match) {
        next_match = TAILQ_NEXT(match, entry);
        if (match->userdata == userdata) {
            TAILQ_REMOVE(&c->matches, match, entry);
            match_free(match);
        }
    }
    for (l = TAILQ_FIRST(&c->listeners); l; l = next) {
        next = TAILQ_NEXT(l, entry);
        if (l->userdata == userdata) {
            TAILQ_REMOVE(&c->listeners, l, entry);
            free(l);
        }
    }
}

void peer_client_attach(PeerClient *c, void *data, void (*destroy)(void *data))
{
    c->data = data;
    c->destroy = destroy;
}

void *peer_client_data(const PeerClient *c)
{
    return c->data;
}

sd_event *peer_client_event(const PeerClient *c)
{
    return c->event;
}

int peer_client_connect_beside(PeerClient *c, PeerConnector **ret, const char *purpose, const PeerConnectorOps *ops,
        void *userdata)
{
    return peer_connector_new_beside(ret, c->connector, purpose, ops, userdata);
}
