/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The alert that mail for a destination waits for want of security, in words. Pure but for the allocation. There is one matter
 * for each destination and kind of failure, which its key says: however many messages fail however often, alertd tells it once,
 * and again with growing intervals for as long as it is raised. */

#include "alert.h"
#include "decision.h"

typedef struct DeliveryAlert {
    AlertType type;
    char *key, *summary, *body;
} DeliveryAlert;

typedef struct DeliveryAlertFacts {
    FailureKind kind;
    const char *domain;
    unsigned waiting;  /* messages for it in the queue */
    const char *id;    /* the message that failed last, … */
    unsigned attempts; /* … how often it has, … */
    const char *reason; /* … and why */
} DeliveryAlertFacts;

/* -EINVAL: a failure of this kind is no matter for an alert. */
int delivery_alert_compose(const DeliveryAlertFacts *facts, DeliveryAlert *ret);
void delivery_alert_done(DeliveryAlert *a);
