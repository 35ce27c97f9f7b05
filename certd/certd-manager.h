/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* certd as a whole: one process, one loop, two threads for RSA signatures, one for changes of the store. */

#include <systemd/sd-event.h>

#include "assignments.h"
#include "authorities.h"
#include "certd-conf.h"
#include "cleanup.h"
#include "daemon.h"
#include "jobs.h"
#include "peer-client.h"
#include "peer-server.h"
#include "pkcs12.h"
#include "store.h"
#include "system-bus.h"
#include "token-bucket.h"
#include "tokens.h"

/* Of the programs' socket, which every user of the host can reach. Less than the suite's, and after it. */
#define PROGRAMS_CONNECTIONS_MAX 128
#define PROGRAMS_CONNECTIONS_PER_UID_MAX 64
#define PROGRAMS_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

/* What a service was assigned until lately. */
#define FORMER_ASSIGNMENTS_MAX 64
typedef struct FormerAssignment {
    char certificate[CERTIFICATE_NAME_MAX + 1];
    UseKind kind;
    uint64_t until_usec; /* of the monotonic clock */
} FormerAssignment;

typedef struct ExpiryWatch ExpiryWatch;

typedef struct Manager {
    sd_event *event;
    const char *root; /* of the configuration: "", but in tests */
    CertdConf *conf;
    Tokens *tokens; /* NULL: there are none; the store's keys may be in it */
    Store *store;
    Assignments *assignments; /* loaded with the store */
    FormerAssignment former[FORMER_ASSIGNMENTS_MAX];
    size_t next_former;
    uint64_t generation; /* of what GetCertificate() and GetAssignment() answer; grows, over restarts, too */
    Jobs *jobs;       /* signatures */
    Jobs *program_jobs; /* signatures for programs */
    Pkcs12Reader *pkcs12;
    Jobs *operations; /* changes of the store, one after the other */
    Authorities *authorities;
    PeerServer *server;
    PeerObject peer_objects[4];
    PeerServer *programs; /* NULL: started without that socket */
    PeerObject program_objects[2];
    SystemBus *bus;
    PeerObject bus_objects[3];
    PeerClient *alertd;
    ExpiryWatch *expiry;
    DaemonControl control;
    bool demonstrated[SERVICES_MAX]; /* that the service uses the demonstration certificate was said */
    TokenBucket refusals;            /* of log lines */
    TokenBucket program_refusals, program_drops;
    uint64_t n_signed, n_refused, n_slowed;
} Manager;

/* Makes the loop, the threads and the way to alertd. */
int manager_new(Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);

/* Start, in this order; each logs what goes wrong. */
int manager_load_conf(Manager *m);
int manager_open_store(Manager *m, const char *path);
int manager_serve(Manager *m);

/* Configuration, store and assignments anew, all or none; tells the services. report may get warnings on success, too. */
int manager_reload(Manager *m, ConfReport *report);

/* Store and assignments anew, after a change of their files. Tells everybody; logs on failure, and all stays as it was. */
int manager_reload_store(Manager *m);

/* A service has fetched the certificate: if it is the demonstration certificate, that is logged and alerted once. */
void manager_certificate_used(Manager *m, const ServiceConf *service, const Certificate *c);
