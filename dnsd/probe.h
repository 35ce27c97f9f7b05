/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A look at whether DNSSEC works, with a resolver of its own: what is in the cache of the real one would say that all is well for
 * as long as it lasts. Since it begins with nothing, it also fetches the keys of the trust anchors that are followed. */

#include <systemd/sd-event.h>

#include "resolver.h"
#include "self-test.h"

typedef struct Probe Probe;

typedef struct ProbeResult {
    SelfTestFacts facts;
    const char *secure_reason, *bogus_reason; /* what dnsd says of the answers; "" */
} ProbeResult;

/* result dies with the callback, which may free the probe. */
typedef void (*ProbeDone)(Probe *p, const ProbeResult *result, void *userdata);

/* Asks for the names of the configuration's SelfTestSecure= and SelfTestBogus=, and for each zone that trust follows. Ends after
 * the configuration's Timeout= at the latest. done is never called from inside. */
int probe_new(Probe **ret, sd_event *event, const DnsConfig *config, const ResolverTrust *trust, ProbeDone done, void *userdata);
Probe *probe_free(Probe *p);
DEFINE_CLEANUP(Probe, probe_free);
