/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Puts a bounce into the queue: reads the head of the original in a thread, writes the report, and says when it is durable. */

#include "bounce.h"
#include "deliverd-manager.h"

/* recipients and hostname are copied. done: 0, or negative errno when there is no bounce (-ECANCELED: the daemon stops). message
 * must stay until then. */
int bounce_send(Manager *m, const QueueMessage *message, const char *hostname, const BounceRecipient *recipients, size_t n,
        QueueDone done, void *userdata);
