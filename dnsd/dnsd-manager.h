/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state of dnsd: configuration, lookups in flight, the two buses. */

#include <systemd/sd-event.h>

#include "anchors.h"
#include "daemon.h"
#include "dnsd-bus.h"
#include "dnsd-conf.h"
#include "dnssec-watch.h"
#include "lookups.h"
#include "peer-client.h"
#include "peer-server.h"
#include "system-bus.h"
#include "tls-relay.h"

typedef struct Manager {
    sd_event *event;
    const char *state, *work; /* directories of the followed trust anchors; NULL: there is none */
    DnsConfig *config;
    Anchors *anchors;
    Lookups *lookups;
    PeerClient *alertd;
    DnssecWatch *watch;
    TlsRelay *relay;
    PeerServer *server;
    SystemBus *system_bus;
    DaemonControl control;
    BusCaller system_caller; /* all callers on the system bus count as one */
    BusTests tests;
    PeerObject objects[DNSD_OBJECTS + 1];
    PeerObject system_objects[DNSD_SYSTEM_OBJECTS + 1];
} Manager;

/* Event loop, configuration, resolver, buses: what is left afterwards is to enter the sandbox and to run. Logs what goes
 * wrong. state, work: directories for anchors.h, static storage; NULL: trust anchors are not followed. */
int manager_new(Manager **ret, const char *state, const char *work);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);

/* Reads the configuration anew and switches to it; what is in flight ends as it began. On failure all stays as it was. */
int manager_reload(Manager *m, ConfReport *report);

/* Begins with an empty cache; what is in flight ends as it began. */
int manager_flush(Manager *m);

/* --check-config: also has libunbound look at the settings. */
int manager_check_config(const char *root, ConfReport *report);
