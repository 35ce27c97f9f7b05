/* SPDX-License-Identifier: Apache-2.0 */

/* Messages of deliverd's queue as smtpd sees them: a name, a writable descriptor, a Commit. It must never report success for a
 * commit that deliverd did not answer, and never repeat one: after a lost link it may have been done. */

#include "message-sink.h"

#include <fcntl.h>

#include "bus-error.h"

#define DELIVERD_PATH "/org/postern/Delivery1"
#define DELIVERD_INTERFACE "org.postern.Delivery1.Peer"

/* A client waits ten minutes for the reply to its final dot (RFC 5321 section 4.5.3.2.6), and less patient ones exist. */
static const PeerMethod commit_method = {DELIVERD_PATH, DELIVERD_INTERFACE, "Commit", 120 * USEC_PER_SEC, false};
static const PeerMethod open_method = {DELIVERD_PATH, DELIVERD_INTERFACE, "OpenMessage", 20 * USEC_PER_SEC, true};
static const PeerMethod discard_method = {DELIVERD_PATH, DELIVERD_INTERFACE, "Discard", 20 * USEC_PER_SEC, true};

struct MessageRequest {
    MessagePool *pool;
    MessageRequest *next;
    MessageRequestDone done;
    void *userdata;
};

struct MessageSink {
    MessagePool *pool;
    MessageSink *next; /* in the pool */
    char *id;
    int fd;
    uint64_t size;
    PeerCall *commit;
    bool committed;
    const MessageEnvelope *envelope;
    MessageCommitDone done;
    void *userdata;
};

/* An OpenMessage or a Discard under way. */
typedef struct PoolCall {
    MessagePool *pool;
    struct PoolCall *next, **link;
    PeerCall *call;
    char *id; /* Discard */
} PoolCall;

struct MessagePool {
    PeerClient *deliverd;
    unsigned target, n_ready, n_opening, n_waiting;
    MessageSink *ready, **ready_end; /* the oldest first */
    MessageRequest *waiting, **waiting_end; /* in order of arrival */
    PoolCall *calls;
};

/* -ENOSPC for what the client should be told as "no space". */
static int error_from_bus(const sd_bus_error *error)
{
    if (sd_bus_error_has_name(error, BUS_ERROR_NO_SPACE) || sd_bus_error_has_name(error, BUS_ERROR_QUEUE_FULL))
        return -ENOSPC;
    return -EREMOTEIO;
}

static const char *reason_from_bus(const sd_bus_error *error)
{
    return error && error->message ? error->message : "no answer";
}

static PoolCall *pool_call_free(PoolCall *c)
{
    if (!c)
        return NULL;
    if (c->link) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
    }
    free(c->id);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(PoolCall, pool_call_free);

static int pool_call(MessagePool *p, const PeerMethod *method, const char *id, PeerCallBuild build, PeerCallDone done)
{
    _cleanup_(pool_call_freep) PoolCall *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->pool = p;
    if (id && !(c->id = strdup(id)))
        return -ENOMEM;
    r = peer_client_call(p->deliverd, &c->call, method, build, done, c);
    if (r < 0)
        return r;

    c->next = p->calls;
    c->link = &p->calls;
    if (c->next)
        c->next->link = &c->next;
    p->calls = TAKE_PTR(c);
    return 0;
}

static int build_discard(sd_bus_message *m, void *userdata)
{
    const PoolCall *c = userdata;

    return sd_bus_message_append(m, "s", c->id);
}

static void on_discarded(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    (void) pool_call_free(userdata); /* an empty file left behind at worst: deliverd sweeps */
}

static MessageSink *sink_done(MessageSink *s)
{
    s->fd = close_fd(s->fd);
    (void) peer_call_cancel(s->commit);
    free(s->id);
    free(s);
    return NULL;
}

static MessageSink *pop_ready(MessagePool *p)
{
    MessageSink *s = p->ready;

    if (s) {
        p->ready = s->next;
        if (!p->ready)
            p->ready_end = &p->ready;
        s->next = NULL;
        p->n_ready--;
    }
    return s;
}

static MessageRequest *pop_request(MessagePool *p)
{
    MessageRequest *r = p->waiting;

    if (r) {
        p->waiting = r->next;
        if (!p->waiting)
            p->waiting_end = &p->waiting;
        p->n_waiting--;
    }
    return r;
}

static int sink_from_reply(MessagePool *p, sd_bus_message *reply, MessageSink **ret)
{
    _cleanup_free_ MessageSink *s = NULL;
    _cleanup_close_ int copy = -EBADF;
    const char *id;
    int fd, r;

    r = sd_bus_message_read(reply, "sh", &id, &fd);
    if (r < 0)
        return r;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the message owns the other one */
    if (copy < 0)
        return negative_errno();
    s = calloc(1, sizeof(*s));
    if (!s || !(s->id = strdup(id)))
        return -ENOMEM;
    s->pool = p;
    s->fd = TAKE_FD(copy);
    *ret = TAKE_PTR(s);
    return 0;
}

/* After a failure everybody who waits is told, not just one: the next would fail as well, only later. */
static void fail_waiting(MessagePool *p, int error, const char *reason)
{
    for (unsigned n = p->n_waiting; n > 0; n--) {
        MessageRequest *request = pop_request(p);

        if (!request)
            break;
        request->done(NULL, error, reason, request->userdata);
        free(request);
    }
}

static void refill(MessagePool *p);

static void on_opened(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    MessagePool *p = ((PoolCall *) userdata)->pool;
    MessageSink *s = NULL;
    MessageRequest *request;
    int r;

    (void) pool_call_free(userdata);
    p->n_opening--;
    r = reply ? sink_from_reply(p, reply, &s) : error_from_bus(error);
    if (r < 0) {
        fail_waiting(p, r, reply ? "malformed answer" : reason_from_bus(error));
        return; /* asked again when the next message is wanted: no loop of failures */
    }

    request = pop_request(p);
    if (request) {
        request->done(s, 0, NULL, request->userdata);
        free(request);
    } else {
        *p->ready_end = s;
        p->ready_end = &s->next;
        p->n_ready++;
    }
    refill(p);
}

static void refill(MessagePool *p)
{
    while (p->n_ready + p->n_opening < p->target + p->n_waiting) {
        if (pool_call(p, &open_method, NULL, NULL, on_opened) < 0)
            return;
        p->n_opening++;
    }
}

int message_pool_new(MessagePool **ret, PeerClient *deliverd, unsigned target)
{
    MessagePool *p;

    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->deliverd = deliverd;
    p->target = target;
    p->ready_end = &p->ready;
    p->waiting_end = &p->waiting;
    refill(p);
    *ret = p;
    return 0;
}

MessagePool *message_pool_free(MessagePool *p)
{
    if (!p)
        return NULL;
    while (p->ready)
        (void) sink_done(pop_ready(p)); /* no Discard: nobody would send it any more */
    while (p->calls) {
        (void) peer_call_cancel(p->calls->call);
        (void) pool_call_free(p->calls);
    }
    while (p->waiting)
        free(pop_request(p));
    free(p);
    return NULL;
}

void message_pool_set_target(MessagePool *p, unsigned target)
{
    p->target = target;
    refill(p);
}

int message_pool_take(MessagePool *p, MessageSink **ret)
{
    MessageSink *s = pop_ready(p);

    if (!s)
        return -EAGAIN;
    refill(p);
    *ret = s;
    return 0;
}

int message_pool_request(MessagePool *p, MessageRequest **ret, MessageRequestDone done, void *userdata)
{
    MessageRequest *request;

    request = calloc(1, sizeof(*request));
    if (!request)
        return -ENOMEM;
    *request = (MessageRequest) {.pool = p, .done = done, .userdata = userdata};
    *p->waiting_end = request;
    p->waiting_end = &request->next;
    p->n_waiting++;
    refill(p);
    if (p->n_opening == 0) { /* no call could be started, so nothing would ever answer */
        (void) message_request_cancel(request);
        return -ENOBUFS;
    }
    *ret = request;
    return 0;
}

MessageRequest *message_request_cancel(MessageRequest *r)
{
    MessageRequest **link;

    if (!r)
        return NULL;
    for (link = &r->pool->waiting; *link && *link != r; link = &(*link)->next)
        ;
    if (*link) {
        *link = r->next;
        if (!*link)
            r->pool->waiting_end = link;
        r->pool->n_waiting--;
    }
    free(r);
    return NULL;
}

MessageSink *message_sink_free(MessageSink *s)
{
    if (!s)
        return NULL;
    s->fd = close_fd(s->fd);
    /* Also when a commit was refused, or nobody knows: deliverd discards nothing that it has committed. */
    if (!s->committed && !s->commit)
        (void) pool_call(s->pool, &discard_method, s->id, build_discard, on_discarded);
    return sink_done(s);
}

const char *message_sink_id(const MessageSink *s)
{
    return s->id;
}

uint64_t message_sink_size(const MessageSink *s)
{
    return s->size;
}

int message_sink_write(MessageSink *s, struct iovec *pieces, size_t n)
{
    while (n > 0) {
        ssize_t written = writev(s->fd, pieces, (int) MIN(n, 1024U));

        if (written < 0) {
            if (errno == EINTR)
                continue;
            return negative_errno();
        }
        s->size += (uint64_t) written;
        while (n > 0 && (size_t) written >= pieces->iov_len) {
            written -= (ssize_t) pieces->iov_len;
            pieces++;
            n--;
        }
        if (n > 0) {
            pieces->iov_base = (char *) pieces->iov_base + written;
            pieces->iov_len -= (size_t) written;
        }
    }
    return 0;
}

static int append_option(sd_bus_message *m, const char *name, const char *value)
{
    return value ? sd_bus_message_append(m, "{sv}", name, "s", value) : 0;
}

static int build_commit(sd_bus_message *m, void *userdata)
{
    const MessageSink *s = userdata;
    const MessageEnvelope *e = s->envelope;
    int r;

    r = sd_bus_message_append(m, "ss", s->id, e->sender);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "s");
    for (size_t i = 0; r >= 0 && i < e->n_recipients; i++)
        r = sd_bus_message_append(m, "s", e->recipients[i]);
    if (r >= 0)
        r = sd_bus_message_close_container(m);

    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sv}");
    if (r >= 0)
        r = append_option(m, "body", e->body == SMTP_BODY_8BITMIME ? "8BITMIME" : "7BIT");
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "smtputf8", "b", e->smtputf8);
    if (r >= 0)
        r = append_option(m, "tls", e->tls);
    if (r >= 0)
        r = append_option(m, "peer", e->peer);
    if (r >= 0)
        r = append_option(m, "helo", e->helo);
    if (r >= 0)
        r = append_option(m, "session", e->session);
    if (r >= 0)
        r = append_option(m, "protocol", e->protocol);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r;
}

static void on_committed(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    MessageSink *s = userdata;

    s->commit = NULL;
    s->committed = reply != NULL;
    s->done(reply ? 0 : error_from_bus(error), reply ? NULL : reason_from_bus(error), s->userdata);
}

int message_sink_commit(MessageSink *s, const MessageEnvelope *envelope, MessageCommitDone done, void *userdata)
{
    s->fd = close_fd(s->fd);
    s->envelope = envelope;
    s->done = done;
    s->userdata = userdata;
    return peer_client_call(s->pool->deliverd, &s->commit, &commit_method, build_commit, on_committed, s);
}
