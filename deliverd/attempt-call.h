/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An attempt at a worker: the manager connects, hands the connecting socket and the message over, and waits for what came of it,
 * at most DeliveryTimeout= and the time that a reply to a final dot may take, and not beyond the life of the worker. */

#include "delivery-run.h"
#include "deliverd-manager.h"

/* message_fd stays the caller's; a time limit of the request counts if it is shorter. -EAGAIN: no worker is ready; other errno: the
 * connection could not be started. */
int attempt_call_new(AttemptCall **ret, Manager *m, const struct sockaddr_storage *address, const SmtpRequest *request,
        int message_fd, RunAttemptDone done, void *userdata);
/* done will not be called any more; the worker goes on and nobody listens. */
AttemptCall *attempt_call_cancel(AttemptCall *c);

/* A worker is gone: its attempts end. */
void attempt_calls_worker_gone(Manager *m, Worker *w);
