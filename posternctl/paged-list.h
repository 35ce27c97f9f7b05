/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Long lists of a daemon, read and shown a page at a time: there may be a million rows, posternctl never has more than a page of
 * them. The daemon's method takes the key of the last row, "" at first, and returns an array of the rows behind it, in the order
 * of their keys; an empty one is the end. */

#include "table.h"
#include "verb.h"

/* Bytes of a key, with the NUL. */
#define PAGED_LIST_KEY_MAX 256

typedef struct PagedList {
    const BusMethod *method;
    const char *row; /* D-Bus type of a row: "(st)" */
    const TableColumn *columns;
    size_t n_columns;
    /* Reads one row as sd_bus_message_read() does, 0 at the end of the array, and adds it to t. *ret_key is the message's. */
    int (*read)(sd_bus_message *m, Table *t, const char **ret_key);
    const char *one, *many; /* what is counted below the list */
} PagedList;

int paged_list_show(Context *context, const PagedList *list);
