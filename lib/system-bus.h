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

/* Who may call a method: root always, and of the others whom polkit authorizes for the action (lib/polkit-action.h). */
typedef struct SystemBusAccess {
    const char *interface;
    const char *member;
    const char *action; /* SYSTEM_BUS_PUBLIC: everybody; NULL: nobody but root */
} SystemBusAccess;

#define SYSTEM_BUS_PUBLIC ""

/* name: "org.postern.Cert1". objects and access are {}-ended and outlive the bus. A method that access does not name is root's
 * alone. Properties are public; setting one takes ACTION_MANAGE_DAEMONS. A handler runs when its caller is authorized, which may be
 * minutes after the call. All methods are SD_BUS_VTABLE_UNPRIVILEGED, and their vtables have no offsets: sd-bus' own check would
 * block. Never fails for want of a bus. */
int system_bus_new(SystemBus **ret, sd_event *event, const char *name, const char *identifier, const PeerObject *objects,
        const SystemBusAccess *access);
SystemBus *system_bus_free(SystemBus *b);
DEFINE_CLEANUP(SystemBus, system_bus_free);

/* The live connection, or NULL. */
sd_bus *system_bus_get(SystemBus *b);
/* Whether the name is ours at this time. */
bool system_bus_has_name(const SystemBus *b);
