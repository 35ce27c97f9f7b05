/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a probe saw, between manager and worker: an entry of the dictionary that attempt-codec.h describes. Reading checks every
 * value and limit, as the worker may have been taken over; texts are for people and not interpreted. */

#include <systemd/sd-bus.h>

#include "smtp-client.h"

#define PROBE_KEY "Probe"

/* Worker: appends the entry. */
int probe_append(sd_bus_message *m, const SmtpProbe *probe);
/* Manager: the message stands in front of the entry's variant. *ret is malloc'ed, flat. -EBADMSG. */
int probe_read(sd_bus_message *m, SmtpProbe **ret);
