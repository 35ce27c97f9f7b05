/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies that are a dictionary (a{sv}), one member a column of a table. */

#include <systemd/sd-bus.h>

#include "bus-connect.h"
#include "table.h"
#include "verb.h"

/* What colour a text has, and a boolean, which is "yes" or "no". */
typedef Colour (*DetailsColour)(const char *member, const char *text);
/* Adds a value that is more than its type says: the message stands in front of it. 0: it is an ordinary one. */
typedef int (*DetailsValue)(sd_bus_message *m, Table *t, const char *member, const char *type);

/* A row from the reply that begins with the dictionary: the member of each column, in the order of the columns, or an empty cell
 * where it is not there. Values of type s, as, t (a time), u and b, if own does not know better. colour and own may be NULL. */
int details_read(sd_bus_message *m, Table *t, const TableColumn *columns, size_t n_columns, DetailsColour colour, DetailsValue own);

/* The verb "show": a row of what method says of each argument, in *ret. Then, after whatever there is to say of the rows: one as a
 * record, and for programs several as a list. */
int details_fetch(Context *context, const BusMethod *method, char *const *arguments, Table **ret, const TableColumn *columns,
        size_t n_columns, DetailsColour colour);
int details_show(Context *context, Table *t, char *const *arguments);
