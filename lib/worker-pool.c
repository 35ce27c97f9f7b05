/* SPDX-License-Identifier: Apache-2.0 */

/* The manager's side of workers: starts them, hands them what they need, starts them again. A worker is taken to be hostile at
 * any time: it must never be able to harm the manager or the other workers, nor to get more than the allow-list gives. Between
 * fork() and execve() only async-signal-safe functions are called, because the manager may have threads. */

#include "worker.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bus-direct.h"
#include "bus-error.h"
#include "worker-spawn.h"

#define RESTART_MIN_USEC (100 * USEC_PER_MSEC)
#define RESTART_MAX_USEC (30 * USEC_PER_SEC)
/* A worker that lived this long was a good one: the next one does not wait for the failures before it. */
#define LIFE_GOOD_USEC (60 * USEC_PER_SEC)
/* Between the end of its link and the end of the process. */
#define EXIT_GRACE_USEC USEC_PER_SEC
/* Answers that wait because the worker does not read. */
#define WORKER_QUEUED_MAX 1024

typedef struct WorkerSlot {
    WorkerPool *pool;
    Worker *worker;
    sd_event_source *restart_source;
    uint64_t delay;
} WorkerSlot;

struct Worker {
    WorkerPool *pool;
    WorkerSlot *slot;
    pid_t pid;
    sd_event_source *child_source;
    sd_event_source *kill_source; /* when it passes, the worker is killed for the reason in verdict */
    const char *verdict;
    const char *fault;
    sd_bus *bus;
    int watch_fd;   /* of the link, see bus_direct_peer_left() */
    int *peer_fds;  /* parallel to ops.peers: the connection it has, so that it can be ended */
    uint64_t started;
    bool ready, configured, stopping;
    void *data;
};

typedef struct Counter {
    char *name;
    uint64_t value;
} Counter;

struct WorkerPool {
    sd_event *event;
    WorkerPoolOps ops;
    void *userdata;
    WorkerSlot *slots;
    unsigned n_slots;
    size_t n_peers;
    int snapshot_fd;
    Counter counters[WORKER_COUNTERS_MAX];
    size_t n_counters;
    bool stopping;
    sd_event_source *stop_source;
    sd_event_source *done_source;
    void (*done)(void *userdata);
    void *done_userdata;
};

static uint64_t pool_now(const WorkerPool *p)
{
    uint64_t now = 0;

    (void) sd_event_now(p->event, CLOCK_MONOTONIC, &now);
    return now;
}

static int timer_arm(sd_event_source *source, uint64_t usec)
{
    int r = sd_event_source_set_time_relative(source, usec);

    return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int timer_new(sd_event *event, sd_event_source **ret, sd_event_time_handler_t handler, void *userdata)
{
    int r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, 0, 1, handler, userdata);

    return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

/* ---- the life of a worker ---- */

static Worker *worker_free(Worker *w)
{
    if (!w)
        return NULL;
    sd_event_source_disable_unref(w->child_source);
    sd_event_source_disable_unref(w->kill_source);
    sd_bus_close_unref(w->bus);
    (void) close_fd(w->watch_fd);
    for (size_t i = 0; w->peer_fds && i < w->pool->n_peers; i++)
        (void) close_fd(w->peer_fds[i]);
    free(w->peer_fds);
    free(w);
    return NULL;
}

/* For one that was never seen by the daemon, or at the end of all. SIGKILL is not refused, so the wait is short. */
static Worker *worker_destroy(Worker *w)
{
    if (w && w->pid > 0) {
        (void) kill(w->pid, SIGKILL);
        (void) waitid(P_PID, (id_t) w->pid, NULL, WEXITED);
    }
    return worker_free(w);
}
DEFINE_CLEANUP(Worker, worker_destroy);

/* The process is reaped, and gone() called, when its end is reported. Safe inside the worker's own handlers. */
static void worker_kill(Worker *w, const char *fault)
{
    if (!w->fault)
        w->fault = fault;
    sd_bus_close(w->bus);
    (void) kill(w->pid, SIGKILL);
}

static int on_kill(sd_event_source *source, uint64_t usec, void *userdata)
{
    Worker *w = userdata;

    worker_kill(w, w->verdict);
    return 0;
}

static void worker_kill_after(Worker *w, uint64_t usec, const char *verdict)
{
    w->verdict = verdict;
    if (timer_arm(w->kill_source, usec) < 0)
        worker_kill(w, verdict);
}

static int on_link_lost(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;

    w->ready = false;
    if (!bus_direct_peer_left(w->watch_fd))
        worker_kill(w, "broke the bus protocol");
    else if (!w->stopping)
        worker_kill_after(w, EXIT_GRACE_USEC, "left its link and did not exit");
    return 1;
}

static int slot_start(WorkerSlot *slot);

static void slot_restart_later(WorkerSlot *slot)
{
    slot->delay = slot->delay == 0 ? RESTART_MIN_USEC : MIN(2 * slot->delay, RESTART_MAX_USEC);
    (void) timer_arm(slot->restart_source, slot->delay);
}

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata)
{
    WorkerSlot *slot = userdata;

    if (slot_start(slot) < 0)
        slot_restart_later(slot);
    return 0;
}

static bool pool_is_empty(const WorkerPool *p)
{
    for (unsigned i = 0; i < p->n_slots; i++)
        if (p->slots[i].worker)
            return false;
    return true;
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    Worker *w = userdata;
    WorkerPool *p = w->pool;
    WorkerSlot *slot = w->slot;

    w->ready = false;
    slot->worker = NULL;
    if (p->ops.gone)
        p->ops.gone(w, si->si_code, si->si_status, w->stopping && !w->fault, p->userdata);
    if (pool_now(p) - w->started >= LIFE_GOOD_USEC)
        slot->delay = 0;
    worker_free(w);
    if (!p->stopping)
        slot_restart_later(slot);
    else if (pool_is_empty(p))
        (void) sd_event_source_set_enabled(p->done_source, SD_EVENT_ONESHOT);
    return 0;
}

/* ---- what a worker may ask for ---- */

static int on_configured(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;

    if (!sd_bus_message_is_method_error(m, NULL))
        w->configured = true;
    else if (!w->configured)
        worker_kill(w, "refused its configuration");
    else if (w->pool->ops.refused)
        w->pool->ops.refused(w, sd_bus_message_get_error(m), w->pool->userdata);
    return 1;
}

static int worker_configure(Worker *w)
{
    return sd_bus_call_method_async(w->bus, NULL, NULL, WORKER_PATH, WORKER_INTERFACE, "Configure", on_configured, w,
            "h", w->pool->snapshot_fd);
}

static int method_ready(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;
    WorkerPool *p = w->pool;
    int r;

    r = sd_event_source_set_enabled(w->kill_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = sd_bus_reply_method_return(m, NULL);
    if (r < 0 || w->ready || w->stopping)
        return r;
    if (p->snapshot_fd >= 0) {
        r = worker_configure(w);
        if (r < 0) {
            worker_kill(w, "could not be given its configuration");
            return 1;
        }
    }
    w->ready = true;
    if (p->ops.ready)
        p->ops.ready(w, p->userdata);
    return 1;
}

static ssize_t pool_find_peer(const WorkerPool *p, const char *name)
{
    for (size_t i = 0; i < p->n_peers; i++)
        if (streq(p->ops.peers[i], name))
            return (ssize_t) i;
    return -ENOENT;
}

/* A worker has one connection of each name: the former one is ended, so that it cannot use up what its uid may have there. */
static int method_connect_peer(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;
    _cleanup_close_ int fd = -EBADF;
    const char *name;
    ssize_t i;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    i = pool_find_peer(w->pool, name);
    if (i < 0)
        return sd_bus_reply_method_errorf(m, BUS_ERROR_ACCESS_DENIED, "Workers of this daemon do not talk to %s.", name);
    fd = peer_socket_connect(name);
    if (fd < 0)
        return sd_bus_reply_method_errnof(m, fd, "Cannot connect to %s: %m", name);
    if (w->peer_fds[i] >= 0)
        (void) shutdown(w->peer_fds[i], SHUT_RDWR);
    (void) close_fd(w->peer_fds[i]);
    w->peer_fds[i] = TAKE_FD(fd);
    return sd_bus_reply_method_return(m, "h", w->peer_fds[i]);
}

static Counter *pool_counter(WorkerPool *p, const char *name)
{
    Counter *c;

    for (size_t i = 0; i < p->n_counters; i++)
        if (streq(p->counters[i].name, name))
            return &p->counters[i];
    if (p->n_counters >= ELEMENTSOF(p->counters) || strlen(name) > WORKER_COUNTER_NAME_MAX)
        return NULL;
    c = &p->counters[p->n_counters];
    c->name = strdup(name);
    if (!c->name)
        return NULL;
    p->n_counters++;
    return c;
}

static int method_counters(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{st}");
    if (r < 0)
        return r;
    for (;;) {
        const char *name;
        uint64_t delta;
        Counter *c;

        r = sd_bus_message_read(m, "{st}", &name, &delta);
        if (r < 0)
            return r;
        if (r == 0)
            break;
        c = pool_counter(w->pool, name);
        if (c)
            c->value += delta;
    }
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Ready", NULL, NULL, method_ready, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ConnectPeer", SD_BUS_ARGS("s", name), SD_BUS_RESULT("h", connection), method_connect_peer,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Counters", SD_BUS_ARGS("a{st}", deltas), SD_BUS_NO_RESULT, method_counters,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Worker *w = userdata;
    uint64_t queued;

    if (sd_bus_get_n_queued_write(w->bus, &queued) < 0 || queued <= WORKER_QUEUED_MAX)
        return 0;
    worker_kill(w, "does not read its answers");
    return 1;
}

/* ---- starting ---- */

static int worker_attach(Worker *w, int fd)
{
    WorkerPool *p = w->pool;
    int r;

    w->watch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (w->watch_fd < 0) {
        r = negative_errno();
        (void) close_fd(fd);
        return r;
    }
    r = bus_direct_new(&w->bus, p->event, fd, true, "worker");
    if (r < 0)
        return r;
    r = sd_bus_add_filter(w->bus, NULL, on_message, w);
    if (r < 0)
        return r;
    r = bus_direct_match_disconnected(w->bus, on_link_lost, w);
    if (r < 0)
        return r;
    r = sd_bus_add_object_vtable(w->bus, NULL, WORKER_PATH, WORKER_MANAGER_INTERFACE, manager_vtable, w);
    if (r < 0)
        return r;
    if (p->ops.vtable) {
        r = sd_bus_add_object_vtable(w->bus, NULL, WORKER_PATH, p->ops.interface, p->ops.vtable, w);
        if (r < 0)
            return r;
    }
    r = timer_new(p->event, &w->kill_source, on_kill, w);
    if (r < 0)
        return r;
    worker_kill_after(w, WORKER_START_USEC, "was not ready in time");
    r = sd_event_add_child(p->event, &w->child_source, w->pid, WEXITED, on_child, w);
    if (r < 0)
        return r;
    /* What it said last is read before it is seen as dead. */
    return sd_event_source_set_priority(w->child_source, SD_EVENT_PRIORITY_NORMAL + 10);
}

static int slot_start(WorkerSlot *slot)
{
    WorkerPool *p = slot->pool;
    _cleanup_(worker_destroyp) Worker *w = NULL;
    int fd, r;

    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->pool = p;
    w->slot = slot;
    w->watch_fd = -EBADF;
    w->started = pool_now(p);
    if (p->n_peers > 0) {
        w->peer_fds = calloc(p->n_peers, sizeof(*w->peer_fds));
        if (!w->peer_fds)
            return -ENOMEM;
        for (size_t i = 0; i < p->n_peers; i++)
            w->peer_fds[i] = -EBADF;
    }
    fd = worker_spawn(p->ops.option ?: "--worker", &w->pid);
    if (fd < 0)
        return fd;
    r = worker_attach(w, fd);
    if (r < 0)
        return r;
    slot->worker = TAKE_PTR(w);
    return 0;
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    WorkerPool *p = userdata;

    for (unsigned i = 0; i < p->n_slots; i++)
        if (p->slots[i].worker)
            worker_kill(p->slots[i].worker, "did not stop in time");
    return 0;
}

static int on_all_gone(sd_event_source *source, void *userdata)
{
    WorkerPool *p = userdata;

    if (p->done)
        p->done(p->done_userdata);
    return 0;
}

/* ---- the pool ---- */

int worker_pool_new(WorkerPool **ret, sd_event *event, unsigned n, const WorkerPoolOps *ops, void *userdata)
{
    _cleanup_(worker_pool_freep) WorkerPool *p = NULL;
    sigset_t mask;
    int r;

    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->snapshot_fd = -EBADF;
    p->event = sd_event_ref(event);
    p->ops = *ops;
    p->userdata = userdata;
    while (ops->peers && ops->peers[p->n_peers])
        p->n_peers++;
    p->slots = calloc(n, sizeof(*p->slots));
    if (!p->slots)
        return -ENOMEM;
    p->n_slots = n;
    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    r = pthread_sigmask(SIG_BLOCK, &mask, NULL);
    if (r != 0)
        return -r;
    r = timer_new(event, &p->stop_source, on_stop_timeout, p);
    if (r < 0)
        return r;
    r = sd_event_add_defer(event, &p->done_source, on_all_gone, p);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(p->done_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < n; i++) {
        p->slots[i].pool = p;
        r = timer_new(event, &p->slots[i].restart_source, on_restart, &p->slots[i]);
        if (r < 0)
            return r;
        r = slot_start(&p->slots[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(p);
    return 0;
}

WorkerPool *worker_pool_free(WorkerPool *p)
{
    if (!p)
        return NULL;
    for (unsigned i = 0; i < p->n_slots; i++) {
        worker_destroy(p->slots[i].worker);
        sd_event_source_disable_unref(p->slots[i].restart_source);
    }
    sd_event_source_disable_unref(p->stop_source);
    sd_event_source_disable_unref(p->done_source);
    for (size_t i = 0; i < p->n_counters; i++)
        free(p->counters[i].name);
    (void) close_fd(p->snapshot_fd);
    sd_event_unref(p->event);
    free(p->slots);
    free(p);
    return NULL;
}

unsigned worker_count_default(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return MIN(MAX((unsigned) CPU_COUNT(&set), 1u), 64u);
}

Worker *worker_pool_next(WorkerPool *p, Worker *after)
{
    size_t i = after ? (size_t) (after->slot - p->slots) + 1 : 0;

    for (; i < p->n_slots; i++) {
        Worker *w = p->slots[i].worker;

        if (w && w->ready && !w->stopping && !w->fault)
            return w;
    }
    return NULL;
}

int worker_pool_configure(WorkerPool *p, int snapshot_fd)
{
    int fd, r = 0;

    fd = fcntl(snapshot_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return negative_errno();
    (void) close_fd(p->snapshot_fd);
    p->snapshot_fd = fd;
    for (Worker *w = worker_pool_next(p, NULL); w; w = worker_pool_next(p, w)) {
        int k = worker_configure(w);

        if (k < 0)
            r = k;
    }
    return r;
}

int worker_pool_stop(WorkerPool *p, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata)
{
    int r;

    p->done = done;
    p->done_userdata = userdata;
    p->stopping = true;
    for (unsigned i = 0; i < p->n_slots; i++) {
        Worker *w = p->slots[i].worker;

        (void) sd_event_source_set_enabled(p->slots[i].restart_source, SD_EVENT_OFF);
        if (!w || w->stopping)
            continue;
        w->stopping = true;
        r = sd_bus_call_method_async(w->bus, NULL, NULL, WORKER_PATH, WORKER_INTERFACE, "Stop", NULL, NULL, NULL);
        if (r < 0)
            worker_kill(w, "could not be told to stop");
    }
    r = timer_arm(p->stop_source, timeout_usec);
    if (r < 0)
        return r;
    return pool_is_empty(p) ? sd_event_source_set_enabled(p->done_source, SD_EVENT_ONESHOT) : 0;
}

uint64_t worker_pool_counter(const WorkerPool *p, const char *name)
{
    for (size_t i = 0; i < p->n_counters; i++)
        if (streq(p->counters[i].name, name))
            return p->counters[i].value;
    return 0;
}

void worker_pool_counters(const WorkerPool *p, void (*each)(const char *name, uint64_t value, void *userdata), void *userdata)
{
    for (size_t i = 0; i < p->n_counters; i++)
        each(p->counters[i].name, p->counters[i].value, userdata);
}

sd_bus *worker_bus(Worker *w)
{
    return w->bus;
}

pid_t worker_pid(const Worker *w)
{
    return w->pid;
}

const char *worker_fault(const Worker *w)
{
    return w->fault;
}

void *worker_data(const Worker *w)
{
    return w->data;
}

void worker_set_data(Worker *w, void *data)
{
    w->data = data;
}
