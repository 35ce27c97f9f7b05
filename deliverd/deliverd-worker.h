/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker: the process that mail servers talk to. For each attempt (attempt-codec.h) it gets a connecting socket and a message
 * to read, and answers what came of it. It can open nothing, connect to nobody and write no queue; it decides nothing. */

/* Runs until the manager says stop, or is gone. Returns 0 or negative errno, logged. */
int deliverd_worker_run(void);
