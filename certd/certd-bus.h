/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* certd on the buses: org.postern.Cert1.Peer for smtpd, deliverd and programs, org.postern.Cert1 for people, org.postern.Daemon1. */

#include "certd-manager.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_INTERFACE "org.postern.Cert1"
#define CERTD_PEER_INTERFACE "org.postern.Cert1.Peer"

/* Who may call what on the peer socket. */
extern const PeerAccess certd_peer_access[];
/* … on the programs' socket. */
extern const PeerAccess certd_program_access[];
/* … on the system bus. */
extern const SystemBusAccess certd_bus_access[];

/* Fills m->peer_objects, m->program_objects and m->bus_objects. */
void certd_bus_objects(Manager *m);

/* For Daemon1.Describe(); userdata: the Manager. */
int certd_bus_describe(void *userdata, char **ret_json);
