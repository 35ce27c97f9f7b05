/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a worker process comes to be; used by the pool only. */

#include <sys/types.h>

/* Re-executes this program with the option ("--worker"), a socket pair's end as WORKER_LINK_FD and nothing else beyond 0–2. Returns the
 * manager's end, non-blocking, or negative errno. A program that cannot be executed is a worker that exits with 127. */
int worker_spawn(const char *option, pid_t *ret_pid);
