/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A few threads for what would block the loop: fsync, RSA signatures. A job's run() is called on some thread and touches only its
 * own data; done() is called on the event loop afterwards. */

#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct Jobs Jobs;

/* n_threads start at once (before a sandbox). Signals are blocked in them. max_pending bounds the queue. */
int jobs_new(Jobs **ret, sd_event *event, unsigned n_threads, unsigned max_pending);
/* Waits for running jobs; queued ones are dropped: done(data, -ECANCELED). Not to be called from a done(). */
Jobs *jobs_free(Jobs *j);
DEFINE_CLEANUP(Jobs, jobs_free);

/* Queues a job; -ENOBUFS when max_pending are waiting. result of run goes to done. */
int jobs_submit(Jobs *j, int (*run)(void *data), void (*done)(void *data, int result), void *data);
/* Submitted and not yet done(). */
unsigned jobs_pending(const Jobs *j);
