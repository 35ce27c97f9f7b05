/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates, for the verbs that show them. */

#include "bus-connect.h"
#include "table.h"

/* The list as "cert list" shows it. no_start: certd is not started for it. */
int cert_list_read(BusConnection *bus, bool no_start, Table **ret, Failure *failure);

/* What a state ("demonstration") says of the need to do something. */
Colour certificate_colour(const char *state);
