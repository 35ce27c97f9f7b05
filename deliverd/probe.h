/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Verify(): what would become of a message to a domain, step by step, without one. A run of delivery-run.h as a probe, so the
 * code that delivers decides; connections are made by workers like any other. Nothing waits, and nothing is remembered. */

#include "deliverd-manager.h"

/* At once; each is bounded in time, beyond which it tells what it has seen. */
#define PROBES_MAX 4
#define PROBE_TIMEOUT_USEC (180 * USEC_PER_SEC)
/* For each connection: a server that needs longer would hold up the hosts behind it. */
#define PROBE_CONNECTION_USEC (45 * USEC_PER_SEC)

typedef struct ProbeRequest {
    char *domain;   /* normalized, or an address literal */
    int tls, dane;  /* in place of what is configured; DESTINATION_UNSET */
    char *mx;       /* only this host, normalized or an address; NULL: all */
} ProbeRequest;

void probe_request_done(ProbeRequest *q);
/* The arguments of Verify(). error is set for those that make no sense. */
int probe_request_read(sd_bus_message *call, ProbeRequest *ret, sd_bus_error *reterr_error);

/* A handler: the call is answered when the probe has ended, and its sender gets a signal for each step before. */
int probe_method_verify(sd_bus_message *call, void *userdata, sd_bus_error *reterr_error);
/* At the end of the manager. */
void probes_free(Manager *m);
