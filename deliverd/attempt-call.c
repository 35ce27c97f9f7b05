/* SPDX-License-Identifier: Apache-2.0 */

/* From the decision to a worker and back. This is the only place of the manager that makes connections; it never reads from or
 * writes to them. */

#include "attempt-call.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "attempt-codec.h"

/* The worker itself ends an attempt after DeliveryTimeout=, but waits for the reply to a final dot that is out (10 min, RFC 5321,
 * section 4.5.3.2.6). Giving up before it does would mean that it delivers behind our back, and that the next attempt delivers
 * again. */
#define WORKER_GRACE_USEC (15 * 60 * USEC_PER_SEC)

struct AttemptCall {
    Manager *manager;
    AttemptCall *previous, *next; /* manager->calls */
    Worker *worker;
    sd_bus_slot *slot;
    sd_event_source *timeout;
    size_t n_recipients;
    RunAttemptDone done;
    void *userdata;
};

AttemptCall *attempt_call_cancel(AttemptCall *c)
{
    if (!c)
        return NULL;
    *(c->previous ? &c->previous->next : &c->manager->calls) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    sd_bus_slot_unref(c->slot);
    sd_event_source_disable_unref(c->timeout);
    free(c);
    return NULL;
}

static const char *explain(int error)
{
    switch (error) {
    case -ENOKEY:
        return "certd did not sign the handshake";
    case -ENODATA:
        return "the server has to be verified, and certd does not give the enabled authorities";
    default:
        return "the delivery process failed";
    }
}

/* Ends c and tells. */
static void complete(AttemptCall *c, const SmtpResult *result, const char *reason)
{
    RunAttemptDone done = c->done;
    void *userdata = c->userdata;

    attempt_call_cancel(c);
    done(result, reason, userdata);
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    _cleanup_(attempt_result_freep) AttemptResult *result = NULL;
    AttemptCall *c = userdata;
    int r;

    r = attempt_result_read(reply, c->n_recipients, &result);
    if (r < 0)
        complete(c, NULL, explain(r));
    else
        complete(c, &result->result, NULL);
    return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    /* As if the connection was lost after the message: nobody knows how far it came. */
    const SmtpResult result = {
        .stage = SMTP_STAGE_FINAL,
        .reply = {.code = 0, .text = "the delivery took longer than DeliveryTimeout="},
        .tls_reason = "",
    };

    complete(userdata, &result, NULL);
    return 0;
}

static int start_connecting(const struct sockaddr_storage *address)
{
    const socklen_t size = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    _cleanup_close_ int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return negative_errno();
    if (connect(fd, (const struct sockaddr *) address, size) < 0 && errno != EINPROGRESS)
        return negative_errno();
    return TAKE_FD(fd);
}

int attempt_call_new(AttemptCall **ret, Manager *m, const struct sockaddr_storage *address, const SmtpRequest *request,
        int message_fd, RunAttemptDone done, void *userdata)
{
    Worker *w = manager_next_worker(m);
    _cleanup_close_ int fd = -EBADF;
    SmtpRequest bounded = *request;
    AttemptCall *c;
    int r;

    if (!w)
        return -EAGAIN;
    fd = start_connecting(address);
    if (fd < 0)
        /* What this host lacks must not count against the destination. */
        return fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM ? -EAGAIN : fd;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -EAGAIN;
    *c = (AttemptCall) {.manager = m, .next = m->calls, .worker = w, .n_recipients = request->n_recipients, .done = done, .userdata = userdata};
    if (m->calls)
        m->calls->previous = c;
    m->calls = c;
    bounded.timeout_usec = m->conf->delivery_timeout;
    if (request->timeout_usec > 0)
        bounded.timeout_usec = MIN(request->timeout_usec, bounded.timeout_usec);
    r = attempt_call(worker_bus(w), &c->slot, &bounded, fd, message_fd, on_reply, c);
    if (r >= 0)
        r = sd_event_add_time_relative(m->event, &c->timeout, CLOCK_MONOTONIC, m->conf->delivery_timeout + WORKER_GRACE_USEC,
                USEC_PER_SEC, on_timeout, c);
    if (r < 0) {
        attempt_call_cancel(c);
        return -EAGAIN;
    }
    *ret = c;
    return 0;
}

static AttemptCall *find_call(Manager *m, Worker *w)
{
    AttemptCall *c = m->calls;

    while (c && c->worker != w)
        c = c->next;
    return c;
}

void attempt_calls_worker_gone(Manager *m, Worker *w)
{
    AttemptCall *c;

    /* From the start each time: what a completed call leads to may change the list. */
    while ((c = find_call(m, w)))
        complete(c, NULL, "the delivery process died");
}
