/* SPDX-License-Identifier: Apache-2.0 */

/* A connection on the event loop. Everything happens in stream_run(), called by the io, defer and timer sources: connect,
 * handshake, read, write, close, in this order. The functions of the interface only change the state and wake it, so the handler
 * is never called from inside of them.
 *
 * It must never block, never hold more than its two buffers, and never send in the clear what was queued after
 * stream_start_tls(). */

#include "stream.h"

#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "stream-tls.h"

#define OUTPUT_ALLOCATE_MIN 512
#define FINISH_TIMEOUT_USEC (10 * USEC_PER_SEC)
/* While finishing, the peer's last words are read and dropped, so that closing does not reset the connection under our own last
 * words; a peer that has more to say than this does not want to hear them. */
#define FINISH_DISCARD_MAX (256 * 1024)

typedef enum Phase {
    PHASE_CONNECTING,
    PHASE_CLEAR,
    PHASE_HANDSHAKE, /* what was queued before goes out in the clear first */
    PHASE_SECURE,
} Phase;

struct Stream {
    sd_event *event;
    int fd;
    Phase phase;
    StreamHandler handler;
    void *userdata;

    sd_event_source *io, *defer, *timer, *at_exit;
    uint64_t deadline; /* CLOCK_MONOTONIC, 0: none; the timer may be set to an earlier time */

    char *input; /* STREAM_INPUT_MAX bytes, or NULL while there is nothing to hold */
    size_t in_start, in_end;
    char *output;
    size_t out_start, out_end, out_allocated;
    size_t clear_left; /* first bytes of the output that go out before the handshake */
    size_t discarded;

    TlsLink *tls;
    uint32_t handshake_wants, read_wants, write_wants; /* epoll events that each waits for */

    bool paused;
    bool may_have_input; /* the socket or OpenSSL may have something that epoll will not announce again */
    bool announce;       /* unread input is to be announced (again) */
    bool signature_ready; /* the signature that the handshake waits for is there */
    bool ended;          /* STREAM_CLOSED is due, with error */
    bool closed;         /* STREAM_CLOSED was given */
    bool running, again; /* in stream_run(); which must be run again */
    bool finishing;      /* stream_finish(): no handler any more */
    bool dead;           /* freed by the handler, memory goes when stream_run() returns */
    int error;
};

static size_t unread(const Stream *s)
{
    return s->in_end - s->in_start;
}

static size_t unsent(const Stream *s)
{
    return s->out_end - s->out_start;
}

/* Nothing can be sent any more. A peer that was too slow can be told so. */
static bool is_broken(const Stream *s)
{
    return s->ended && s->error < 0 && s->error != -ETIMEDOUT;
}

static void wake(Stream *s)
{
    if (s->running)
        s->again = true;
    else if (s->defer)
        (void) sd_event_source_set_enabled(s->defer, SD_EVENT_ONESHOT);
}

static void drop_input(Stream *s)
{
    free(s->input);
    s->input = NULL;
    s->in_start = s->in_end = 0;
}

static void drop_output(Stream *s)
{
    free(s->output);
    s->output = NULL;
    s->out_start = s->out_end = s->out_allocated = s->clear_left = 0;
}

static void end(Stream *s, int error)
{
    if (s->ended)
        return;
    s->ended = true;
    s->error = error;
}

/* False: the handler has freed or finished the stream, do nothing more with it. */
static bool emit(Stream *s, StreamEvent event, int error)
{
    if (s->handler)
        s->handler(s, event, error, s->userdata);
    return !s->dead && !s->finishing;
}

static bool may_read(const Stream *s)
{
    return !s->paused && !s->ended && unread(s) < STREAM_INPUT_MAX;
}

static ssize_t transport_read(Stream *s, void *buffer, size_t size)
{
    ssize_t n;

    if (s->phase == PHASE_SECURE) {
        s->read_wants = EPOLLIN;
        n = tls_link_read(s->tls, buffer, size, &s->read_wants);
        if (n > 0 && !tls_link_has_pending(s->tls))
            s->may_have_input = false;
        return n;
    }
    do
        n = recv(s->fd, buffer, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0 && (size_t) n < size)
        s->may_have_input = false;
    return n < 0 ? negative_errno() : n;
}

static ssize_t transport_write(Stream *s, const void *data, size_t size)
{
    ssize_t n;

    s->write_wants = EPOLLOUT;
    if (s->phase == PHASE_SECURE)
        return tls_link_write(s->tls, data, size, &s->write_wants);
    do
        n = send(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? negative_errno() : n;
}

static bool step_connect(Stream *s)
{
    socklen_t size = sizeof(int);
    int error = 0;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error != 0) {
        end(s, -error);
        return true;
    }
    s->phase = PHASE_CLEAR;
    return emit(s, STREAM_CONNECTED, 0);
}

/* Writes up to limit bytes. Returns 0 when they are out, -EAGAIN, or what went wrong. */
static int flush(Stream *s, size_t limit)
{
    while (limit > 0) {
        ssize_t n = transport_write(s, s->output + s->out_start, limit);

        if (n < 0)
            return (int) n;
        s->out_start += (size_t) n;
        limit -= (size_t) n;
        if (s->clear_left > 0)
            s->clear_left -= (size_t) n;
    }
    if (unsent(s) == 0)
        drop_output(s);
    return 0;
}

static bool step_handshake(Stream *s)
{
    int r;

    if (s->clear_left > 0) {
        r = flush(s, s->clear_left);
        if (r == -EAGAIN)
            return true;
        if (r < 0) {
            end(s, r);
            return true;
        }
    }
    if (s->handshake_wants == 0 && !s->signature_ready)
        return true;
    s->signature_ready = false;
    r = tls_link_handshake(s->tls, &s->handshake_wants);
    if (r == -EAGAIN)
        return true;
    if (r < 0) {
        end(s, r);
        return true;
    }
    s->phase = PHASE_SECURE;
    s->may_have_input = true;
    s->read_wants = EPOLLIN;
    return emit(s, STREAM_SECURED, 0);
}

static bool step_read(Stream *s)
{
    bool fresh = false;

    while (s->may_have_input && may_read(s)) {
        ssize_t n;

        if (!s->input) {
            s->input = malloc(STREAM_INPUT_MAX);
            if (!s->input) {
                end(s, -ENOMEM);
                break;
            }
        }
        if (s->in_end == STREAM_INPUT_MAX) {
            memmove(s->input, s->input + s->in_start, unread(s));
            s->in_end = unread(s);
            s->in_start = 0;
        }
        n = transport_read(s, s->input + s->in_end, STREAM_INPUT_MAX - s->in_end);
        if (n == -EAGAIN)
            s->may_have_input = false;
        else if (n <= 0)
            end(s, (int) n);
        else {
            s->in_end += (size_t) n;
            fresh = true;
        }
    }
    if (unread(s) == 0) {
        drop_input(s);
        return true;
    }
    if (!fresh && (!s->announce || s->paused))
        return true;
    s->announce = false;
    return emit(s, STREAM_READABLE, 0);
}

static bool step_write(Stream *s)
{
    int r;

    if (unsent(s) == 0)
        return true;
    r = flush(s, unsent(s));
    if (r == -EAGAIN)
        return true;
    if (r < 0) {
        /* The peer may have said why before it went ("421 …"): read what is there. */
        drop_output(s);
        s->may_have_input = true;
        if (!step_read(s))
            return false;
        end(s, r);
        return true;
    }
    return emit(s, STREAM_DRAINED, 0);
}

static bool is_open(const Stream *s)
{
    return s->phase == PHASE_CLEAR || s->phase == PHASE_SECURE;
}

static void advance(Stream *s)
{
    if (s->phase == PHASE_CONNECTING && !s->ended && !step_connect(s))
        return;
    if (s->phase == PHASE_HANDSHAKE && !s->ended && !step_handshake(s))
        return;
    if (is_open(s) && !step_read(s))
        return;
    if (is_open(s) && !s->ended && !step_write(s))
        return;
    /* An orderly end waits behind input that the handler has put off. */
    if (s->ended && (!s->paused || s->error < 0)) {
        s->closed = true;
        (void) emit(s, STREAM_CLOSED, s->error);
    }
}

/* Returns true when nothing is left to do for a finishing stream. */
static bool finish(Stream *s)
{
    char scratch[4096];

    if (unsent(s) > 0) {
        int r = flush(s, unsent(s));

        if (r < 0)
            return r != -EAGAIN || !s->at_exit;
    }
    if (!s->at_exit)
        return true;
    if (s->discarded == 0) {
        if (s->tls)
            tls_link_close_notify(s->tls);
        if (shutdown(s->fd, SHUT_WR) < 0)
            return true;
        s->discarded = 1;
    }
    while (s->discarded < FINISH_DISCARD_MAX) {
        ssize_t n = recv(s->fd, scratch, sizeof(scratch), MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 || errno != EAGAIN;
        s->discarded += (size_t) n;
    }
    return true;
}

static uint32_t interest(const Stream *s)
{
    uint32_t events = 0;

    if (s->finishing)
        return unsent(s) > 0 ? s->write_wants : EPOLLIN;
    if (s->ended)
        return 0;
    switch (s->phase) {
    case PHASE_CONNECTING:
        return EPOLLOUT;
    case PHASE_HANDSHAKE:
        return s->clear_left > 0 ? EPOLLOUT : s->handshake_wants;
    case PHASE_CLEAR:
    case PHASE_SECURE:
        if (may_read(s))
            events |= s->read_wants;
        if (unsent(s) > 0)
            events |= s->write_wants;
        return events;
    }
    return 0;
}

/* Without interest the source is off altogether: epoll announces EPOLLHUP even to those who asked for nothing, for ever. */
static void watch(Stream *s)
{
    uint32_t events = interest(s);
    int r = 0;

    if (events != 0)
        r = sd_event_source_set_io_events(s->io, events);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->io, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
    if (r < 0 && !s->closed) {
        end(s, r);
        s->again = true;
    }
}

static void release(Stream *s)
{
    s->io = sd_event_source_disable_unref(s->io);
    s->defer = sd_event_source_disable_unref(s->defer);
    s->timer = sd_event_source_disable_unref(s->timer);
    s->at_exit = sd_event_source_disable_unref(s->at_exit);
    s->tls = tls_link_free(s->tls);
    s->fd = close_fd(s->fd);
    drop_input(s);
    drop_output(s);
    s->event = sd_event_unref(s->event);
}

static int stream_run(Stream *s)
{
    if (s->running)
        return 0;
    s->running = true;
    s->again = false;
    if (!s->finishing && !s->closed)
        advance(s);
    if (s->finishing && !s->dead)
        s->dead = is_broken(s) || finish(s);
    s->running = false;
    if (s->dead) {
        release(s);
        free(s);
        return 0;
    }
    watch(s);
    if (s->again)
        wake(s);
    return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Stream *s = userdata;

    /* Any event may be the one that reading or OpenSSL waits for. */
    if (s->phase == PHASE_CLEAR || s->phase == PHASE_SECURE)
        s->may_have_input = s->may_have_input || (revents & (s->read_wants | EPOLLHUP | EPOLLERR));
    return stream_run(s);
}

static int on_defer(sd_event_source *source, void *userdata)
{
    return stream_run(userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Stream *s = userdata;
    uint64_t now = 0;

    (void) sd_event_now(s->event, CLOCK_MONOTONIC, &now);
    if (s->deadline == 0)
        return 0;
    if (now < s->deadline) {
        (void) sd_event_source_set_time(source, s->deadline);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    }
    if (s->finishing) {
        (void) stream_free(s);
        return 0;
    }
    /* Also when an orderly end was withheld from a handler that paused. */
    s->ended = true;
    s->error = -ETIMEDOUT;
    return stream_run(s);
}

static int on_exit_loop(sd_event_source *source, void *userdata)
{
    (void) stream_free(userdata);
    return 0;
}

static void on_signature(void *userdata)
{
    Stream *s = userdata;

    s->signature_ready = true;
    wake(s);
}

static int stream_new_full(Stream **ret, sd_event *event, int fd, Phase phase, StreamHandler handler, void *userdata)
{
    _cleanup_(stream_freep) Stream *s = NULL;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->fd = -EBADF;
    s->event = sd_event_ref(event);
    s->phase = phase;
    s->handler = handler;
    s->userdata = userdata;
    s->read_wants = EPOLLIN;
    s->write_wants = EPOLLOUT;
    r = sd_event_add_io(event, &s->io, fd, interest(s), on_io, s);
    if (r < 0)
        return r;
    r = sd_event_add_defer(event, &s->defer, on_defer, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(s->defer, SD_EVENT_OFF);
    if (r < 0)
        return r;
    s->fd = fd;
    *ret = TAKE_PTR(s);
    return 0;
}

int stream_new(Stream **ret, sd_event *event, int fd, StreamHandler handler, void *userdata)
{
    return stream_new_full(ret, event, fd, PHASE_CLEAR, handler, userdata);
}

int stream_new_connecting(Stream **ret, sd_event *event, int fd, StreamHandler handler, void *userdata)
{
    return stream_new_full(ret, event, fd, PHASE_CONNECTING, handler, userdata);
}

Stream *stream_free(Stream *s)
{
    if (!s)
        return NULL;
    s->handler = NULL;
    if (s->running)
        s->dead = true;
    else {
        release(s);
        free(s);
    }
    return NULL;
}

size_t stream_peek(Stream *s, const char **ret)
{
    *ret = s->input ? s->input + s->in_start : "";
    return unread(s);
}

void stream_consume(Stream *s, size_t n)
{
    s->in_start += MIN(n, unread(s));
    if (unread(s) == 0) {
        s->in_start = s->in_end = 0;
        if (!s->running)
            drop_input(s);
    }
    wake(s);
}

ssize_t stream_find_line(Stream *s, size_t max)
{
    const char *start, *newline;
    size_t n = MIN(stream_peek(s, &start), max);

    newline = memchr(start, '\n', n);
    if (newline)
        return newline - start + 1;
    return n == max ? -EMSGSIZE : 0;
}

void stream_pause(Stream *s, bool paused)
{
    if (s->paused == paused)
        return;
    s->paused = paused;
    if (!paused && unread(s) > 0)
        s->announce = true;
    wake(s);
}

static int reserve_output(Stream *s, size_t n)
{
    size_t want = unsent(s) + n;
    char *grown;

    if (s->out_start > 0 && s->out_end + n > s->out_allocated) {
        memmove(s->output, s->output + s->out_start, unsent(s));
        s->out_end -= s->out_start;
        s->out_start = 0;
    }
    if (want <= s->out_allocated)
        return 0;
    want = MIN(MAX(MAX(want, s->out_allocated * 2), OUTPUT_ALLOCATE_MIN), STREAM_OUTPUT_MAX);
    grown = realloc(s->output, want);
    if (!grown)
        return -ENOMEM;
    s->output = grown;
    s->out_allocated = want;
    return 0;
}

int stream_write(Stream *s, const void *data, size_t n)
{
    int r;

    if (s->finishing || is_broken(s))
        return -EPIPE;
    if (n > STREAM_OUTPUT_MAX - unsent(s))
        return -ENOBUFS;
    if (n == 0)
        return 0;
    r = reserve_output(s, n);
    if (r < 0)
        return r;
    memcpy(s->output + s->out_end, data, n);
    s->out_end += n;
    wake(s);
    return 0;
}

int stream_printf(Stream *s, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return stream_write(s, text, (size_t) n);
}

size_t stream_output_pending(const Stream *s)
{
    return unsent(s);
}

int stream_start_tls(Stream *s, SSL *ssl, bool accept)
{
    int r;

    if (s->phase != PHASE_CLEAR || s->finishing)
        return -EBUSY;
    if (s->ended)
        return -EPIPE;
    if (unread(s) > 0)
        return -EPROTO;
    r = tls_link_new(&s->tls, ssl, s->fd, accept, on_signature, s);
    if (r < 0)
        return r;
    s->clear_left = unsent(s);
    s->handshake_wants = accept ? EPOLLIN : EPOLLOUT;
    s->phase = PHASE_HANDSHAKE;
    wake(s);
    return 0;
}

SSL *stream_ssl(const Stream *s)
{
    return s->tls ? tls_link_ssl(s->tls) : NULL;
}

const char *stream_tls_error(const Stream *s)
{
    return s->tls ? tls_link_error(s->tls) : "";
}

/* A deadline mostly moves away again before it passes: the timer is left where it is and looks again when it fires. */
void stream_set_timeout(Stream *s, uint64_t usec)
{
    uint64_t now = 0, set;

    if (usec == 0) {
        s->deadline = 0;
        return;
    }
    if (sd_event_now(s->event, CLOCK_MONOTONIC, &now) < 0)
        return;
    s->deadline = usec < UINT64_MAX - now ? now + usec : UINT64_MAX;
    if (!s->timer) {
        if (sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, s->deadline, 0, on_timer, s) < 0) {
            /* A connection without its deadline could stay for ever. */
            end(s, -ENOMEM);
            wake(s);
        }
        return;
    }
    if (sd_event_source_get_enabled(s->timer, NULL) > 0 && sd_event_source_get_time(s->timer, &set) >= 0 && set <= s->deadline)
        return;
    (void) sd_event_source_set_time(s->timer, s->deadline);
    (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

void stream_finish(Stream *s)
{
    s->handler = NULL;
    s->finishing = true;
    s->deadline = 0;
    if (!is_open(s) || is_broken(s)) {
        (void) stream_free(s);
        return;
    }
    /* Without an exit source finish() does not wait: the loop could end before the peer does. */
    if (sd_event_add_exit(s->event, &s->at_exit, on_exit_loop, s) >= 0)
        stream_set_timeout(s, FINISH_TIMEOUT_USEC);
    wake(s);
}
