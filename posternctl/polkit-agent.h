/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* pkttyagent(1), which asks for a password on the terminal when polkit wants one. */

#include <sys/types.h>

#include "cleanup.h"

/* Starts it and waits until it is there. Returns its process, 0 if there is no terminal, none is needed (root), or it cannot be
 * started; then polkit has nobody to ask, unless there is another agent. */
pid_t polkit_agent_open(void);
/* Ends it. 0 is fine. */
void polkit_agent_close(pid_t pid);

static inline void polkit_agent_closep(pid_t *pid)
{
    polkit_agent_close(*pid);
}
