/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What deliverd offers on its peer socket and on the system bus. */

#include "deliverd-manager.h"

#define DELIVERD_PATH "/org/postern/Delivery1"
#define DELIVERD_INTERFACE "org.postern.Delivery1"
#define DELIVERD_PEER_INTERFACE "org.postern.Delivery1.Peer"

/* Messages that one ListMessages() answers with. */
#define DELIVERD_LIST_MAX 1000

extern const PeerAccess deliverd_peer_access[];
extern const SystemBusAccess deliverd_bus_access[];

/* Fills m->peer_objects and m->bus_objects. */
void deliverd_bus_objects(Manager *m);

/* For Daemon1.Describe(). */
int deliverd_bus_describe(void *userdata, char **ret_json);
