/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The steps of a probe as JSON objects, whose members postern-deliverd(8) describes. Pure but for the allocation; NULL when
 * memory is short. */

#include <json.h>

#include "delivery-run.h"

/* The settings in force. */
json_object *probe_report_destination(const char *domain, const DestinationPolicy *policy, const DestinationSources *from);
/* A step of the run. */
json_object *probe_report_step(const RunTrace *t);
/* The last word about a host. */
json_object *probe_report_verdict(const char *host, bool deliverable, const char *text);

/* How a message would go that this attempt has delivered: "over TLS, authenticated by DANE". */
void probe_describe(const RunAttempt *attempt, char *buffer, size_t size);
