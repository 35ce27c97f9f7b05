/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* certd as a whole: one process, one loop, two threads for RSA signatures, one for changes of the store. */

#include <systemd/sd-event.h>

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

typedef struct Manager {
    sd_event *event;
    const char *root; /* of the configuration: "", but in tests */
    CertdConf *conf;
    Store *store;
    uint64_t generation; /* of what GetCertificate() answers; grows, over restarts, too */
    Jobs *jobs;       /* signatures */
    Pkcs12Reader *pkcs12;
    Jobs *operations; /* changes of the store, one after the other */
    PeerServer *server;
    PeerObject peer_objects[4];
    SystemBus *bus;
    PeerObject bus_objects[3];
    PeerClient *alertd;
    DaemonControl control;
    bool demonstrated[SERVICES_MAX]; /* that the service uses the demonstration certificate was said */
    TokenBucket refusals;            /* of log lines */
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

/* Configuration and store anew, both or neither; tells the services. report may get warnings on success, too. */
int manager_reload(Manager *m, ConfReport *report);

/* The store anew, after a change of its files. Tells everybody; logs on failure, and all stays as it was. */
int manager_reload_store(Manager *m);

/* A service has fetched the certificate: if it is the demonstration certificate, that is logged and alerted once. */
void manager_certificate_used(Manager *m, const ServiceConf *service, const Certificate *c);
