/* SPDX-License-Identifier: Apache-2.0 */

/* Asks certd for signatures. It must never block, never lose track of a call, and never believe a length that certd sends.
 *
 * Calls are in one queue, in the order in which they were made, which is that of their deadlines. Those that were sent over this
 * connection are in front, those that were not behind them. One timer is enough for all, and it is not touched for each: it
 * passes at the deadline of some call, made earlier than all that are waiting now, and is then set to the first that still waits. */

#include "sign-link.h"

#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "bus-error.h"
#include "provider/call.h"

struct SignCall {
    TAILQ_ENTRY(SignCall) entry;
    SignLink *link;
    uint32_t serial; /* 0: not sent over this connection */
    uint64_t deadline;
    SignLinkRequest request;
    SignDone done;
    void *userdata;
};

struct SignLink {
    sd_event *event;
    PeerConnector *connector;
    sd_event_source *io; /* NULL: there is no connection */
    sd_event_source *timer;
    bool timed;  /* the timer is on */
    bool agreed; /* the greeting is over */
    bool waits_for_room; /* in the socket */
    int fd;
    TAILQ_HEAD(, SignCall) calls;
    SignCall *unsent; /* the first that was not */
    unsigned n_calls;
    uint64_t timeout_usec;
    uint32_t serial;
    /* A call that the socket did not take whole. Those behind it wait unwritten. */
    uint8_t *output;
    size_t output_size, output_done;
    bool *freed; /* set when the link is freed inside of a done */
    size_t n_input;
    uint8_t input[CALL_REPLY_MAX];
};

static uint64_t link_now(const SignLink *l)
{
    uint64_t now = 0;

    (void) sd_event_now(l->event, CLOCK_MONOTONIC, &now);
    return now;
}

/* ---- calls ---- */

static SignCall *call_free(SignCall *call)
{
    SignLink *l = call->link;

    if (l->unsent == call)
        l->unsent = TAILQ_NEXT(call, entry);
    TAILQ_REMOVE(&l->calls, call, entry);
    l->n_calls--;
    free(call);
    return NULL;
}

/* Returns false if the link was freed. */
static bool call_finish(SignCall *call, const uint8_t *signature, size_t size, const sd_bus_error *error)
{
    SignLink *l = call->link;
    SignDone done = call->done;
    void *userdata = call->userdata;
    bool freed = false;

    call_free(call);
    l->freed = &freed;
    done(signature, size, error, userdata);
    if (!freed)
        l->freed = NULL;
    return !freed;
}

static bool call_finish_unavailable(SignCall *call, const char *what)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    (void) sd_bus_error_setf(&error, BUS_ERROR_UNAVAILABLE, "certd %s (Sign).", what);
    return call_finish(call, NULL, 0, &error);
}

/* ---- sending ---- */

static void link_want_output(SignLink *l, bool wanted)
{
    if (wanted == l->waits_for_room)
        return;
    l->waits_for_room = wanted;
    (void) sd_event_source_set_io_events(l->io, EPOLLIN | (wanted ? EPOLLOUT : 0));
}

/* Returns 0 when all of output is gone, -EAGAIN when the socket is full. Otherwise the loop learns of the connection's end. */
static int link_write(SignLink *l)
{
    while (l->output_done < l->output_size) {
        ssize_t n = send(l->fd, l->output + l->output_done, l->output_size - l->output_done, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0)
            l->output_done += (size_t) n;
        else if (errno != EINTR && errno != EAGAIN) {
            (void) shutdown(l->fd, SHUT_RDWR);
            return -ECONNRESET;
        } else if (errno == EAGAIN)
            return -EAGAIN;
    }
    free(l->output);
    l->output = NULL;
    l->output_size = l->output_done = 0;
    return 0;
}

/* Writes the first call that was not sent. */
static int link_write_call(SignLink *l)
{
    SignCall *call = l->unsent;
    const SignLinkRequest *q = &call->request;
    uint32_t serial = l->serial == UINT32_MAX ? 1 : l->serial + 1;
    int r;

    r = call_sign(serial, q->name, q->spki_sha256, q->scheme, q->message, q->size, &l->output, &l->output_size);
    if (r < 0)
        return r;
    l->output_done = 0;
    l->serial = call->serial = serial;
    l->unsent = TAILQ_NEXT(call, entry);
    return link_write(l);
}

/* As much as the socket takes. What could not be written for want of memory stays unsent until there is more to send, or its
 * deadline. */
static void link_flush(SignLink *l)
{
    int r = link_write(l);

    while (r >= 0 && l->unsent)
        r = link_write_call(l);
    link_want_output(l, r == -EAGAIN);
}

/* ---- receiving ---- */

static SignCall *link_find(const SignLink *l, uint32_t serial)
{
    SignCall *call;

    TAILQ_FOREACH(call, &l->calls, entry) {
        if (call->serial == serial)
            return call;
        if (call->serial == 0)
            break;
    }
    return NULL;
}

/* Returns false if the link was freed. A call that was cancelled is not there any more; signals come, too. */
static bool link_answer(SignLink *l, const CallReply *reply)
{
    SignCall *call = reply->serial > 0 ? link_find(l, reply->serial) : NULL;
    const sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(reply->error_name, reply->error_text);

    return !call || call_finish(call, reply->signature, reply->signature_size, reply->error_name ? &error : NULL);
}

static void link_consume(SignLink *l, size_t size)
{
    l->n_input -= size;
    memmove(l->input, l->input + size, l->n_input);
}

/* Takes every message that is there whole. Returns 1, 0 if the link was freed, -EBADMSG. */
static int link_read_messages(SignLink *l)
{
    size_t at = 0;

    while (l->n_input - at >= CALL_HEADER_SIZE) {
        ssize_t size = call_frame_size(l->input + at);
        CallReply reply;

        if (size < 0)
            return -EBADMSG;
        if (l->n_input - at < (size_t) size)
            break;
        if (call_reply_parse(l->input + at, (size_t) size, &reply) < 0)
            return -EBADMSG;
        if (!link_answer(l, &reply))
            return 0;
        at += (size_t) size;
    }
    link_consume(l, at);
    return 1;
}

static int link_read_greeting(SignLink *l)
{
    ssize_t n = call_greeting_end(l->input, l->n_input);

    if (n <= 0)
        return (int) n;
    link_consume(l, (size_t) n);
    l->agreed = true;
    peer_connector_up(l->connector);
    link_flush(l);
    return 0;
}

/* Returns 1, 0 if the link was freed, or negative errno if the connection is of no use any more. A message that is not there
 * whole leaves room for the rest of it. */
static int link_read(SignLink *l)
{
    ssize_t n = recv(l->fd, l->input + l->n_input, sizeof(l->input) - l->n_input, MSG_DONTWAIT);
    int r = 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : negative_errno();
    if (n == 0)
        return -ECONNRESET;
    l->n_input += (size_t) n;
    if (!l->agreed)
        r = link_read_greeting(l);
    return r < 0 ? r : l->agreed ? link_read_messages(l) : 1;
}

/* ---- the connection ---- */

static void link_close(SignLink *l)
{
    SignCall *call;

    l->io = sd_event_source_disable_unref(l->io);
    l->fd = close_fd(l->fd);
    l->agreed = l->waits_for_room = false;
    l->n_input = 0;
    free(l->output);
    l->output = NULL;
    l->output_size = l->output_done = 0;
    TAILQ_FOREACH(call, &l->calls, entry)
        call->serial = 0;
    l->unsent = TAILQ_FIRST(&l->calls);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    SignLink *l = userdata;
    int r = 1;

    if (revents & EPOLLOUT)
        link_flush(l);
    if (revents & ~(uint32_t) EPOLLOUT)
        r = link_read(l);
    if (r < 0) {
        link_close(l);
        peer_connector_lost(l->connector, r);
    }
    return 0;
}

/* It is kept: the first handshake after an idle hour is not to wait for it. */
static bool link_wanted(void *userdata)
{
    return true;
}

static int link_connected(int fd, void *userdata)
{
    SignLink *l = userdata;
    int r;

    l->fd = fd;
    r = sd_event_add_io(l->event, &l->io, fd, EPOLLIN, on_io, l);
    /* It is the first that is written: the socket has room for it. */
    if (r >= 0 && send(fd, CALL_GREETING, CALL_GREETING_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT) != CALL_GREETING_SIZE)
        r = -ECONNRESET;
    if (r < 0)
        link_close(l);
    return r < 0 ? r : 0;
}

static const PeerConnectorOps connector_ops = {.wanted = link_wanted, .connected = link_connected};

/* ---- deadlines ---- */

static int link_arm(SignLink *l, uint64_t usec)
{
    int r = sd_event_source_set_time(l->timer, usec);

    if (r >= 0)
        r = sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
    l->timed = r >= 0;
    return r;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    SignLink *l = userdata;
    uint64_t now = link_now(l);
    SignCall *call;

    l->timed = false;
    while ((call = TAILQ_FIRST(&l->calls)) && call->deadline <= now)
        if (!call_finish_unavailable(call, call->serial > 0 ? "did not answer in time" : "could not be reached in time"))
            return 0;
    return call ? link_arm(l, call->deadline) : 0;
}

/* ---- the link ---- */

int sign_link_new(SignLink **ret, PeerClient *certd, uint64_t timeout_usec)
{
    _cleanup_(sign_link_freep) SignLink *l = NULL;
    int r;

    l = calloc(1, sizeof(SignLink));
    if (!l)
        return -ENOMEM;
    TAILQ_INIT(&l->calls);
    l->fd = -EBADF;
    l->timeout_usec = timeout_usec ?: PEER_CALL_TIMEOUT_USEC;
    l->event = sd_event_ref(peer_client_event(certd));
    r = sd_event_add_time(l->event, &l->timer, CLOCK_MONOTONIC, 0, 0, on_deadline, l);
    if (r >= 0)
        r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = peer_client_connect_beside(certd, &l->connector, SIGN_LINK_PURPOSE, &connector_ops, l);
    if (r < 0)
        return r;
    peer_connector_need(l->connector);
    *ret = TAKE_PTR(l);
    return 0;
}

SignLink *sign_link_free(SignLink *l)
{
    if (!l)
        return NULL;
    if (l->freed)
        *l->freed = true;
    while (!TAILQ_EMPTY(&l->calls))
        call_free(TAILQ_FIRST(&l->calls));
    link_close(l);
    peer_connector_free(l->connector);
    sd_event_source_disable_unref(l->timer);
    sd_event_unref(l->event);
    free(l);
    return NULL;
}

int sign_link_call(SignLink *l, SignCall **ret, const SignLinkRequest *request, SignDone done, void *userdata)
{
    SignCall *call;
    int r;

    if (!call_sign_fits(request->name, request->size))
        return -EMSGSIZE;
    if (l->n_calls >= PEER_CALLS_MAX)
        return -ENOBUFS;
    call = malloc(sizeof(SignCall));
    if (!call)
        return -ENOMEM;
    *call = (SignCall) {
        .link = l,
        .deadline = link_now(l) + l->timeout_usec,
        .request = *request,
        .done = done,
        .userdata = userdata,
    };
    if (!l->timed) {
        r = link_arm(l, call->deadline);
        if (r < 0) {
            free(call);
            return r;
        }
    }
    TAILQ_INSERT_TAIL(&l->calls, call, entry);
    l->n_calls++;
    if (!l->unsent)
        l->unsent = call;
    /* Otherwise it waits for the connection, or behind others for room in the socket. */
    if (l->agreed && !l->output)
        link_flush(l);
    *ret = call;
    return 0;
}

SignCall *sign_call_cancel(SignCall *call)
{
    return call ? call_free(call) : NULL;
}
