/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon's name on the system bus, for people: busctl, posternctl. Mail never depends on it: connecting is asynchronous, a
 * lost bus is reconnected to with a growing interval, and everything goes on meanwhile. LogControl1 is served at
 * /org/freedesktop/LogControl1. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "peer-server.h"

typedef struct SystemBus SystemBus;

/* name: "org.postern.Cert1". objects: {}-ended, outlive the bus. Unprivileged callers are held off by the D-Bus policy and by a
 * check of the caller's uid here: root_only lists members ({}-ended, roles ignored) that only uid 0 may call. Setting a property
 * is always root's alone. All methods are SD_BUS_VTABLE_UNPRIVILEGED, and their vtables have no offsets: sd-bus' own check would
 * block. Never fails for want of a bus. */
int system_bus_new(SystemBus **ret, sd_event *event, const char *name, const char *identifier, const PeerObject *objects,
        const PeerAccess *root_only);
SystemBus *system_bus_free(SystemBus *b);
DEFINE_CLEANUP(SystemBus, system_bus_free);

/* The live connection, or NULL. */
sd_bus *system_bus_get(SystemBus *b);
/* Whether the name is ours at this time. */
bool system_bus_has_name(const SystemBus *b);
