/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The manager: holds the listening sockets that systemd gave, the configuration and the workers, and answers on the bus. It never
 * touches a connection of a client. */

#include <systemd/sd-event.h>

#include "daemon.h"
#include "peer-server.h"
#include "smtpd-conf.h"
#include "system-bus.h"
#include "worker.h"

typedef struct ManagerSocket {
    char *name; /* of the listener */
    int fd;
} ManagerSocket;

typedef struct Manager {
    sd_event *event;
    SmtpdConf *conf;
    int snapshot_fd; /* of conf, for workers that start later */
    ManagerSocket sockets[SMTPD_LISTENERS_MAX];
    size_t n_sockets;
    WorkerPool *workers;
    PeerServer *peers;
    SystemBus *bus;
    DaemonControl control;
    PeerObject objects[3]; /* {}-ended */
    bool stopping;
} Manager;

int manager_new(Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);

/* Reads the configuration and, if it is valid, lets new sessions use it. On failure (negative errno, report says why) everything
 * stays as it was. */
int manager_reload(Manager *m, ConfReport *report);

/* Takes the sockets from systemd and starts the workers. */
int manager_start(Manager *m);
