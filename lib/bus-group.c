/* SPDX-License-Identifier: Apache-2.0 */

/* Drives the connections of a server. All their sockets are in an epoll of their own, which is one source of the event loop. It
 * must never let one connection have the loop for itself: a turn takes one message of each, then the loop's other sources have
 * theirs. */

#include "bus-group.h"

#include <sys/epoll.h>
#include <sys/queue.h>

#define TURN_MAX 64

struct BusMember {
    BusGroup *group;
    LIST_ENTRY(BusMember) entry;
    sd_bus *bus;
    int fd;
    BusMemberFailed failed;
    void *userdata;
    uint32_t events; /* as in the epoll */
    uint64_t due_usec;
    bool has_failed;
};

struct BusGroup {
    sd_event_source *io;
    sd_event_source *timer;
    int epoll_fd;
    LIST_HEAD(, BusMember) members;
    uint64_t due_usec;         /* the timer's */
    BusMember *turn[TURN_MAX]; /* what is to be processed in this turn; NULL: freed meanwhile */
    size_t n_turn;
};

static uint32_t wanted_events(const BusMember *m)
{
    int events = m->has_failed ? 0 : sd_bus_get_events(m->bus);

    return events < 0 ? 0 : (uint32_t) events; /* poll's and epoll's are the same */
}

static uint64_t wanted_due(const BusMember *m)
{
    uint64_t usec = UINT64_MAX;

    return m->has_failed || sd_bus_get_timeout(m->bus, &usec) <= 0 ? UINT64_MAX : usec;
}

/* Before the loop waits: what the connections wait for has changed with what was sent and received. */
static int on_prepare(sd_event_source *source, void *userdata)
{
    BusGroup *g = userdata;
    uint64_t due = UINT64_MAX;
    BusMember *m;

    LIST_FOREACH(m, &g->members, entry) {
        struct epoll_event event = {.events = wanted_events(m), .data.ptr = m};

        if (event.events != m->events && epoll_ctl(g->epoll_fd, EPOLL_CTL_MOD, m->fd, &event) >= 0)
            m->events = event.events;
        m->due_usec = wanted_due(m);
        due = MIN(due, m->due_usec);
    }
    if (due == g->due_usec)
        return 0;
    g->due_usec = due;
    (void) sd_event_source_set_time(g->timer, due);
    (void) sd_event_source_set_enabled(g->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ON);
    return 0;
}

/* Handlers run in here, and may free any member. */
static void run_turn(BusGroup *g)
{
    for (size_t i = 0; i < g->n_turn; i++) {
        BusMember *m = g->turn[i];

        if (!m || m->has_failed || sd_bus_process(m->bus, NULL) >= 0 || !g->turn[i])
            continue;
        m->has_failed = true;
        m->failed(m->userdata);
    }
    g->n_turn = 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct epoll_event events[TURN_MAX];
    BusGroup *g = userdata;
    int n;

    n = epoll_wait(g->epoll_fd, events, TURN_MAX, 0);
    for (int i = 0; i < n; i++)
        g->turn[g->n_turn++] = events[i].data.ptr;
    run_turn(g);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    BusGroup *g = userdata;
    BusMember *m;

    g->due_usec = UINT64_MAX; /* to be set anew */
    (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
    LIST_FOREACH(m, &g->members, entry)
        if (m->due_usec <= usec && g->n_turn < TURN_MAX)
            g->turn[g->n_turn++] = m;
    run_turn(g);
    return 0;
}

int bus_group_new(BusGroup **ret, sd_event *event)
{
    _cleanup_(bus_group_freep) BusGroup *g = NULL;
    int r;

    g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    LIST_INIT(&g->members);
    g->due_usec = UINT64_MAX;
    g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (g->epoll_fd < 0)
        return negative_errno();
    r = sd_event_add_time(event, &g->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_timer, g);
    if (r < 0)
        return r;
    r = sd_event_add_io(event, &g->io, g->epoll_fd, EPOLLIN, on_io, g);
    if (r < 0)
        return r;
    r = sd_event_source_set_prepare(g->io, on_prepare);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(g);
    return 0;
}

int bus_group_set_priority(BusGroup *g, int64_t priority)
{
    int r;

    r = sd_event_source_set_priority(g->io, priority);
    return r < 0 ? r : sd_event_source_set_priority(g->timer, priority);
}

BusGroup *bus_group_free(BusGroup *g)
{
    if (!g)
        return NULL;
    sd_event_source_disable_unref(g->io);
    sd_event_source_disable_unref(g->timer);
    (void) close_fd(g->epoll_fd);
    free(g);
    return NULL;
}

int bus_group_add(BusGroup *g, BusMember **ret, sd_bus *bus, int fd, BusMemberFailed failed, void *userdata)
{
    _cleanup_free_ BusMember *m = NULL;
    struct epoll_event event;

    m = malloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    *m = (BusMember) {.group = g, .bus = bus, .fd = fd, .failed = failed, .userdata = userdata, .due_usec = UINT64_MAX};
    m->events = wanted_events(m);
    event = (struct epoll_event) {.events = m->events, .data.ptr = m};
    if (epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return negative_errno();
    LIST_INSERT_HEAD(&g->members, m, entry);
    *ret = TAKE_PTR(m);
    return 0;
}

BusMember *bus_member_free(BusMember *m)
{
    BusGroup *g;

    if (!m)
        return NULL;
    g = m->group;
    for (size_t i = 0; i < g->n_turn; i++)
        if (g->turn[i] == m)
            g->turn[i] = NULL;
    (void) epoll_ctl(g->epoll_fd, EPOLL_CTL_DEL, m->fd, NULL);
    LIST_REMOVE(m, entry);
    free(m);
    return NULL;
}
