/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Workers: the processes that touch what comes from the network. A manager re-executes itself (`--worker`, or what a pool has
 * instead) for each, with a socket pair as the only inherited link; a worker asks for everything else over it and gets
 * descriptors.
 *
 * Manager's side: a pool keeps n workers alive, restarts the dead with back-off (100 ms doubling to 30 s, reset after a minute of
 * life), serves their ConnectPeer() from an allow-list, and collects their counters. Worker's side: a link. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "peer-client.h"

#define WORKER_LINK_FD 3
#define WORKER_COUNTERS_MAX 64
#define WORKER_COUNTER_NAME_MAX 64
#define WORKER_PATH "/org/postern/Worker"
#define WORKER_INTERFACE "org.postern.Worker"   /* manager → worker: Configure(h), Stop(), and the daemon's own */
#define WORKER_MANAGER_INTERFACE "org.postern.WorkerManager" /* worker → manager: Ready(), ConnectPeer(s) → h, Counters(a{st}) */

/* ---- manager ---- */
typedef struct WorkerPool WorkerPool;
typedef struct Worker Worker;

typedef struct WorkerPoolOps {
    /* The worker is up and said Ready(): hand it what it needs. */
    void (*ready)(Worker *w, void *userdata);
    /* The worker is gone, for whatever reason; w is freed after this returns. status as of waitid(). expected: it was told to
     * stop. */
    void (*gone)(Worker *w, int code, int status, bool expected, void *userdata);
    /* Methods that the daemon's workers may call beyond the common ones, or NULL; served at WORKER_PATH, handlers get the Worker*
     * as userdata. */
    const char *interface;
    const sd_bus_vtable *vtable;
    /* NULL-ended allow-list for ConnectPeer, of names for peer_socket_connect(); a new connection of a name ends the worker's
     * former one of that name. */
    const char *const *peers;
    /* Optional: a worker that runs already did not take a new configuration (it keeps the old one). One that does not take its
     * first is killed. */
    void (*refused)(Worker *w, const sd_bus_error *error, void *userdata);
    const char *option; /* NULL: "--worker" */
} WorkerPoolOps; /* copied; what it points to is static */

/* Starts n (≥ 1) workers of this program. Blocks SIGCHLD in the calling thread. A worker has WORKER_START_USEC to say Ready(). It
 * gets the environment without what systemd meant for the manager (NOTIFY_SOCKET, LISTEN_FDS, WATCHDOG_USEC …), no descriptors
 * but 0–2 and the link, an empty signal mask, and dies with the manager. */
#define WORKER_START_USEC (30 * USEC_PER_SEC)
int worker_pool_new(WorkerPool **ret, sd_event *event, unsigned n, const WorkerPoolOps *ops, void *userdata);
WorkerPool *worker_pool_free(WorkerPool *p); /* kills what still runs, without gone() */
DEFINE_CLEANUP(WorkerPool, worker_pool_free);

/* Number of workers that suits the machine: its usable processors, between 1 and 64. */
unsigned worker_count_default(void);

/* Iterates over workers that are Ready and not stopping: pass NULL to start. */
Worker *worker_pool_next(WorkerPool *p, Worker *after);

/* Sends the configuration snapshot to every ready worker (and remembers it for new ones: it is sent before ops->ready). fd stays
 * the caller's. */
int worker_pool_configure(WorkerPool *p, int snapshot_fd);

/* Tells every worker to drain and exit; done is called from the loop when the last is gone, at the latest after timeout_usec (the
 * rest are killed). No worker is started any more. */
int worker_pool_stop(WorkerPool *p, uint64_t timeout_usec, void (*done)(void *userdata), void *userdata);

/* The sum of a counter over all workers, living and dead. 0 for unknown names. */
uint64_t worker_pool_counter(const WorkerPool *p, const char *name);
/* Calls each for every known counter. */
void worker_pool_counters(const WorkerPool *p, void (*each)(const char *name, uint64_t value, void *userdata), void *userdata);

sd_bus *worker_bus(Worker *w); /* for calls to the worker, asynchronous only; valid until gone */
pid_t worker_pid(const Worker *w);
/* Why the pool killed it ("broke the bus protocol"), for the log in gone(); NULL if it did not. Static storage. */
const char *worker_fault(const Worker *w);
void *worker_data(const Worker *w); /* the daemon's own state for this worker */
void worker_set_data(Worker *w, void *data);

/* ---- worker ---- */
typedef struct WorkerLink WorkerLink;

typedef struct WorkerLinkOps {
    int (*configure)(int snapshot_fd, void *userdata); /* fd stays the link's; negative errno is answered to the manager */
    void (*stop)(void *userdata);                      /* drain and leave the loop; also called when the manager is gone */
    const sd_bus_vtable *vtable;                       /* the daemon's own methods, at WORKER_PATH: interface below; handlers get userdata */
    const char *interface;                             /* e.g. "org.postern.Smtp1.Worker", or NULL */
} WorkerLinkOps; /* copied */

/* Takes WORKER_LINK_FD. The bus is attached to event. */
int worker_link_new(WorkerLink **ret, sd_event *event, const WorkerLinkOps *ops, void *userdata);
WorkerLink *worker_link_free(WorkerLink *l);
DEFINE_CLEANUP(WorkerLink, worker_link_free);
int worker_link_ready(WorkerLink *l);
sd_bus *worker_link_bus(WorkerLink *l);

/* A client to a peer daemon whose connections the manager makes. The caller's, to be freed before the link. */
int worker_link_peer(WorkerLink *l, const char *name, PeerClient **ret);

/* Adds delta to a counter; sent to the manager about once a second, and at the end. name: static storage, at most
 * WORKER_COUNTERS_MAX different ones (more are ignored). */
void worker_link_count(WorkerLink *l, const char *name, uint64_t delta);
