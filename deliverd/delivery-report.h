/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tells people what became of a delivery: the journal, and alertd where mail waits for want of security. Nothing here changes
 * anything. */

#include "delivery.h"

/* "tls=dane:dane TLSv1.3 (dane)": how an attempt had the message delivered, as it stands in the journal. */
#define REPORT_TLS_MAX 256
void report_tls(const RunAttempt *attempt, char ret[REPORT_TLS_MAX]);

/* One line for recipients that a host took the message for, and one for a connection that failed for want of security, unless
 * the deferral that follows tells it. */
void report_attempt(const Delivery *d, const RunAttempt *attempt);
/* The same for a host that was not even tried for want of security. */
void report_skipped(const Delivery *d, const char *host, const HostPlan *plan);
/* One line for what waits; alerts D6 and D7. next_usec: when it is tried again. */
void report_deferred(const Delivery *d, const RunResult *result, uint64_t next_usec);
/* One line for recipients that will not get it. returned: the sender is told; otherwise there is no sender. */
void report_failed(const Delivery *d, const RunRecipient *recipients, const size_t *indices, size_t n, bool returned);
