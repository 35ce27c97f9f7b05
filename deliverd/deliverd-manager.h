/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* deliverd as a whole: the manager has the queue and decides; its workers talk to mail servers. */

#include <systemd/sd-event.h>

#include "alert.h"
#include "certificate-report.h"
#include "daemon.h"
#include "deliverd-conf.h"
#include "jobs.h"
#include "peer-client.h"
#include "peer-server.h"
#include "queue.h"
#include "schedule.h"
#include "system-bus.h"
#include "worker.h"

typedef struct AttemptCall AttemptCall;
typedef struct Probe Probe;
typedef struct Sts Sts;
typedef struct StsFetch StsFetch;
typedef struct StsStore StsStore;

typedef struct Manager {
    sd_event *event;
    const char *root; /* of the configuration's directories: "" */
    DeliverdConf *conf;
    Jobs *jobs;
    Queue *queue;
    Schedule *schedule;
    sd_event_source *kick; /* runs what the schedule has */
    sd_event_source *due;  /* when it has more */
    WorkerPool *workers;
    Worker *last_worker;   /* that an attempt was given to */
    AttemptCall *calls;    /* attempts at workers */
    Probe *probes;         /* verifications of destinations */
    unsigned n_probes;
    WorkerPool *fetchers;  /* of MTA-STS policies */
    StsFetch *sts_fetches; /* under way */
    StsStore *sts_store;
    Sts *sts;
    PeerClient *dnsd, *alertd;
    CertificateReport certificate; /* conf->certificate, as the workers see it */
    PeerServer *server;
    PeerObject peer_objects[4];
    SystemBus *bus;
    PeerObject bus_objects[3];
    DaemonControl control;
    bool stopping;
    uint64_t n_received, n_delivered, n_deferred, n_bounced;
} Manager;

/* Makes the loop, the threads and the ways to dnsd and alertd. */
int manager_new(Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);

/* Start, in this order; each logs what goes wrong. */
int manager_load_conf(Manager *m);
int manager_open_queue(Manager *m, const char *state_directory);
int manager_open_sts(Manager *m, const char *state_directory);
int manager_start_workers(Manager *m);
int manager_serve(Manager *m);

/* A new configuration or the old one; it is logged. report may get warnings on success, too. */
int manager_reload(Manager *m, ConfReport *report);

/* Something may be able to start. */
void manager_kick(Manager *m);
/* CLOCK_REALTIME in microseconds. */
uint64_t manager_now(void);
/* The worker whose turn it is; NULL while none is ready. */
Worker *manager_next_worker(Manager *m);
