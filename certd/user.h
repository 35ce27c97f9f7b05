/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Users of the host, by login. */

#include <sys/types.h>

/* Has the C library load all that the host's user database is made of (nsswitch.conf), since code cannot be loaded in the
 * sandbox. Before it. */
void user_lookup_init(void);

/* May block, as the user database is somewhere else on some hosts: for a thread. -ESRCH: there is no such user; -EPERM: it is one
 * of the suite; -EIO: the database does not answer. *reterr_reason: static. */
int user_lookup(const char *login, uid_t *ret, const char **reterr_reason);
