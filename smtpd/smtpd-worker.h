/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker: the process that SMTP clients talk to. It gets listening sockets and configuration from the manager over its link,
 * links to certd and deliverd through it, then closes its sandbox and accepts. It can open nothing and connect to nobody. */

#define SMTPD_WORKER_INTERFACE "org.postern.Smtp1.Worker" /* Listen(a(sh)): names and listening sockets, once */

/* Runs until the manager says stop, or is gone. Returns 0 or negative errno, logged. */
int smtpd_worker_run(void);
