/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies that are a dictionary (a{sv}), one member a column of a table. */

#include <systemd/sd-bus.h>

#include "table.h"

/* A row from the reply that begins with the dictionary: the member of each column, in the order of the columns, or an empty cell
 * where it is not there. Values of type s, as, t (a time), u and b. colour (may be NULL) says one for a text, and for a boolean,
 * which is "yes" or "no". */
int details_read(sd_bus_message *m, Table *t, const TableColumn *columns, size_t n_columns,
        Colour (*colour)(const char *member, const char *text));
