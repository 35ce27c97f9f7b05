/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies that are a dictionary (a{sv}), one member a column of a table. */

#include <systemd/sd-bus.h>

#include "bus-connect.h"
#include "table.h"
#include "verb.h"

/* A row from the reply that begins with the dictionary: the member of each column, in the order of the columns, or an empty cell
 * where it is not there. Values of type s, as, t (a time), u and b. colour (may be NULL) says one for a text, and for a boolean,
 * which is "yes" or "no". */
int details_read(sd_bus_message *m, Table *t, const TableColumn *columns, size_t n_columns,
        Colour (*colour)(const char *member, const char *text));

/* The verb "show": a row of what method says of each argument, in *ret. Then, after whatever there is to say of the rows: one as a
 * record, and for programs several as a list. */
int details_fetch(Context *context, const BusMethod *method, char *const *arguments, Table **ret, const TableColumn *columns,
        size_t n_columns, Colour (*colour)(const char *member, const char *text));
int details_show(Context *context, Table *t, char *const *arguments);
