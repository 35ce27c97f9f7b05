/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service manager knows of a daemon, also when that does not run. */

#include "bus-connect.h"

typedef struct Unit {
    char *state;         /* "active", "failed", …; NULL: the service manager could not be asked */
    char *sub_state;     /* "running", "dead", … */
    char *status;        /* what the daemon says it does; "" */
    uint64_t since_usec; /* of the state, since 1970; 0: unknown */
    uint32_t main_pid;   /* 0: none */
    unsigned workers;    /* processes of it that are workers */
} Unit;

void unit_done(Unit *u);

/* Of service ("smtpd"): postern-smtpd.service. When it cannot be asked, ret is empty and 0 is returned: -ENOMEM is all that can
 * go wrong. */
int unit_read(BusConnection *bus, const BusService *service, Unit *ret);
