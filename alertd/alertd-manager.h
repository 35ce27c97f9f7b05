/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state of alertd: configuration, alerts, the two buses. */

#include <systemd/sd-event.h>

#include "alertd-bus.h"
#include "alertd-conf.h"
#include "alerts.h"
#include "daemon.h"
#include "peer-client.h"
#include "peer-server.h"
#include "system-bus.h"

typedef struct Manager {
    sd_event *event;
    AlertConfig *config;
    PeerClient *dnsd;
    Spool *spool;
    Sender *sender;
    Alerts *alerts;
    PeerServer *server;
    SystemBus *system_bus;
    DaemonControl control;
    PeerObject objects[ALERTD_OBJECTS + 1];
    PeerObject system_objects[ALERTD_SYSTEM_OBJECTS + 1];
} Manager;

/* Event loop, configuration, spool in state_directory, buses: what is left afterwards is to enter the sandbox and to run. Logs
 * what goes wrong. */
int manager_new(Manager **ret, const char *state_directory);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);

/* Reads the configuration anew. On failure all stays as it was. */
int manager_reload(Manager *m, ConfReport *report);

/* --check-config. */
int manager_check_config(const char *root, ConfReport *report);

/* Into the journal and, as a signal, on the buses; then stored and mailed. done as alerts_raise(). */
int manager_raise(Manager *m, const AlertsRaise *raise, SpoolDone done, void *userdata);
