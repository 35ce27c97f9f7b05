/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* alertd on the bus: org.postern.Alert1.Peer for the other daemons, org.postern.Alert1 and org.postern.Daemon1 for people. */

#include <systemd/sd-bus.h>

#include "alerts.h"
#include "system-bus.h"

typedef struct Manager Manager;

extern const PeerAccess bus_access[];
extern const SystemBusAccess system_bus_access[];

/* Fills the object tables, {}-ended. */
#define ALERTD_OBJECTS 3
#define ALERTD_SYSTEM_OBJECTS 2
void bus_objects(Manager *m, PeerObject objects[ALERTD_OBJECTS + 1], PeerObject system_objects[ALERTD_SYSTEM_OBJECTS + 1]);

/* The signal AlertRaised, on the system bus and to root's connections of the peer socket. */
void bus_emit_raised(Manager *m, const AlertsRaise *raise);

/* The state as JSON, for Describe(). malloc'ed. */
int bus_describe(Manager *m, char **ret_json);
