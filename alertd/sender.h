/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Mails alerts by SMTP, a few at a time: by the relay, or to each recipient domain's mail servers. TLS is used when it is offered
 * and given up when it does not work: an alert that TLS is broken must not wait for TLS. One try; when to try again is the
 * caller's to decide. */

#include "alertd-conf.h"
#include "peer-client.h"
#include "spool.h"

#define SENDER_ACTIVE_MAX 4

typedef struct Sender Sender;
typedef struct SenderJob SenderJob;

typedef struct SenderResult {
    char *const *remaining; /* recipients to try again, NULL-ended; none: all done */
    unsigned n_delivered;
    unsigned n_refused;     /* for good */
    const char *reason;     /* of the last failure; "" */
} SenderResult;

/* result dies with the callback. Never called from inside sender_submit(). */
typedef void (*SenderDone)(const SenderResult *result, void *userdata);

int sender_new(Sender **ret, sd_event *event, PeerClient *dnsd);
Sender *sender_free(Sender *s); /* whoever waits is not called any more */
DEFINE_CLEANUP(Sender, sender_free);

/* config is not kept: what begins from now on goes by it. Call it before the first alert. */
int sender_configure(Sender *s, const AlertConfig *config);

/* Queues the item, which must stay until done. *ret dies with done. */
int sender_submit(Sender *s, SenderJob **ret, const SpoolItem *item, SenderDone done, void *userdata);
SenderJob *sender_cancel(SenderJob *j);
DEFINE_CLEANUP(SenderJob, sender_cancel);

unsigned sender_active(const Sender *s);
