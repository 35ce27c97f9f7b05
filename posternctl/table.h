/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Results: rows of cells, shown as an aligned table, as one record with a line a field, or as JSON with members named as on the
 * bus. What cells hold may come from strangers; it is shown printable, and given to programs as it is.
 *
 * Adding a cell does not fail: when memory is short, the table remembers, and showing it returns -ENOMEM. */

#include <stdint.h>

#include "output.h"

typedef struct TableColumn {
    const char *heading; /* "NEXT ATTEMPT"; of a record "Next attempt" */
    const char *member;  /* of the JSON object: "NextUSec" */
    bool right;          /* numbers */
    bool elastic;        /* shortened first, where the terminal is too narrow */
} TableColumn;

typedef struct Table Table;

/* columns outlive the table. */
int table_new(Table **ret, const TableColumn *columns, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free);

/* The next cell, of the next row when one is full. */
void table_add_text(Table *t, const char *text); /* NULL: nothing there */
void table_add_number(Table *t, uint64_t number);
void table_add_boolean(Table *t, bool value);
void table_add_time(Table *t, uint64_t usec); /* since 1970; 0: never */
void table_add_size(Table *t, uint64_t bytes);
void table_add_list(Table *t, char *const *strings); /* NULL-ended; NULL: empty */
/* For people text, for programs value, which is taken over. */
void table_add_shown(Table *t, const char *text, json_object *value);
/* Of the cell that was added last. */
void table_set_colour(Table *t, Colour colour);

size_t table_rows(const Table *t);

/* All rows as a table, headings first, or as a JSON array. */
int table_show(Table *t, const Output *o);
/* The same in parts, for what may be long: show rows so far and forget them. Headings come once, and columns only get wider. The
 * last call is table_end(), which table_show() is with no table_flush() before. */
int table_flush(Table *t, const Output *o);
int table_end(Table *t, const Output *o);
/* Each row as a record, its names to the right of a column, with an empty line between records. Lists take a line an item. */
int table_show_record(Table *t, const Output *o);

/* *ret: an array of an object a row. */
int table_to_json(const Table *t, json_object **ret);
/* *ret: the object of the only row. */
int table_record_to_json(const Table *t, json_object **ret);
