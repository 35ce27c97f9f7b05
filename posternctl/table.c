/* SPDX-License-Identifier: Apache-2.0 */

/* Cells and their arrangement. Whatever they hold, a row is one line (but for the lists of a record) and takes no more columns
 * than it says. */

#include "table.h"

#include <inttypes.h>

#include "format.h"

#define SEPARATOR "  "
#define ELLIPSIS "\xe2\x80\xa6"
/* An elastic column is not shortened below this. */
#define ELASTIC_MIN 10
#define NOTHING "-"

typedef struct Cell {
    char *text; /* printable, but for the '\n' between the items of a list; NULL: nothing there */
    json_object *value;
    Colour colour;
} Cell;

struct Table {
    const TableColumn *columns;
    size_t n_columns;
    size_t *widths; /* those of former parts, too */
    Cell *cells;
    size_t n_cells, allocated;
    bool begun; /* headings, or the bracket of an array, are out */
    bool any;   /* of an array: a comma comes first */
    bool failed;
};

int table_new(Table **ret, const TableColumn *columns, size_t n_columns)
{
    _cleanup_(table_freep) Table *t = calloc(1, sizeof(Table));

    if (!t)
        return -ENOMEM;
    t->columns = columns;
    t->n_columns = n_columns;
    t->widths = calloc(n_columns, sizeof(size_t));
    if (!t->widths)
        return -ENOMEM;
    for (size_t i = 0; i < n_columns; i++)
        t->widths[i] = format_width(columns[i].heading);
    *ret = TAKE_PTR(t);
    return 0;
}

static void table_clear(Table *t)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        free(t->cells[i].text);
        (void) json_object_put(t->cells[i].value);
    }
    t->n_cells = 0;
}

Table *table_free(Table *t)
{
    if (!t)
        return NULL;
    table_clear(t);
    free(t->cells);
    free(t->widths);
    free(t);
    return NULL;
}

/* ---- cells ---- */

/* Takes both over. */
static void add(Table *t, char *text, json_object *value)
{
    Cell *cells = t->cells;

    if (t->n_cells == t->allocated) {
        cells = reallocarray(cells, t->allocated + 64, sizeof(Cell));
        if (cells) {
            t->cells = cells;
            t->allocated += 64;
        }
    }
    if (!cells) {
        free(text);
        (void) json_object_put(value);
        t->failed = true;
        return;
    }
    cells[t->n_cells++] = (Cell) {.text = text, .value = value};
}

void table_add_shown(Table *t, const char *text, json_object *value)
{
    char *printable = text && *text ? format_printable(text) : NULL;

    t->failed |= text && *text && !printable;
    add(t, printable, value);
}

void table_add_text(Table *t, const char *text)
{
    json_object *value = text ? json_object_new_string(text) : NULL;

    t->failed |= text && !value;
    table_add_shown(t, text, value);
}

static void add_number(Table *t, const char *text, uint64_t number)
{
    json_object *value = json_object_new_uint64(number);

    t->failed |= !value;
    table_add_shown(t, text, value);
}

void table_add_number(Table *t, uint64_t number)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%" PRIu64, number);
    add_number(t, text, number);
}

void table_add_boolean(Table *t, bool value)
{
    json_object *v = json_object_new_boolean(value);

    t->failed |= !v;
    table_add_shown(t, value ? "yes" : "no", v);
}

void table_add_time(Table *t, uint64_t usec)
{
    char text[FORMAT_TIME_MAX];

    add_number(t, format_time(text, usec), usec);
}

void table_add_size(Table *t, uint64_t bytes)
{
    char text[FORMAT_SIZE_MAX];

    add_number(t, format_size(text, bytes), bytes);
}

void table_add_list(Table *t, char *const *strings)
{
    json_object *array = json_object_new_array();
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    t->failed |= !array || !f;
    for (char *const *s = strings; s && *s && array && f; s++) {
        _cleanup_free_ char *item = format_printable(*s);

        t->failed |= !item || json_object_array_add(array, json_object_new_string(*s)) < 0;
        (void) fprintf(f, "%s%s", s == strings ? "" : "\n", item ?: "");
    }
    if (f)
        t->failed |= fclose(f) != 0;
    add(t, text && *text ? TAKE_PTR(text) : NULL, array);
}

void table_set_colour(Table *t, Colour colour)
{
    if (t->n_cells > 0)
        t->cells[t->n_cells - 1].colour = colour;
}

size_t table_rows(const Table *t)
{
    return t->n_cells / t->n_columns;
}

static const Cell *cell_at(const Table *t, size_t row, size_t column)
{
    return &t->cells[row * t->n_columns + column];
}

/* ---- as a table ---- */

/* Lists on one line; malloc'ed. */
static char *one_line(const Cell *c)
{
    _cleanup_free_ char *line = NULL;
    size_t size;
    FILE *f;

    if (!c->text)
        return strdup(NOTHING);
    if (!strchr(c->text, '\n'))
        return strdup(c->text);
    f = open_memstream(&line, &size);
    if (!f)
        return NULL;
    for (const char *s = c->text; *s; s++)
        (void) fputs(*s == '\n' ? ", " : (const char[]) {*s, '\0'}, f);
    return fclose(f) == 0 ? TAKE_PTR(line) : NULL;
}

/* A row takes less or equal than the terminal if that can be had from the elastic columns. */
static void shrink(const Table *t, const Output *o, size_t *widths)
{
    size_t total = (t->n_columns - 1) * strlen(SEPARATOR);

    for (size_t i = 0; i < t->n_columns; i++)
        total += widths[i];
    while (o->width > 0 && total > o->width) {
        size_t widest = SIZE_MAX;

        for (size_t i = 0; i < t->n_columns; i++)
            if (t->columns[i].elastic && widths[i] > ELASTIC_MIN && (widest == SIZE_MAX || widths[i] > widths[widest]))
                widest = i;
        if (widest == SIZE_MAX)
            return;
        widths[widest]--;
        total--;
    }
}

static void print_cell(const Output *o, const char *text, size_t width, bool right, bool last, Colour colour)
{
    size_t used, n = format_fit(text, width, &used);
    const bool cut = text[n] != '\0';

    if (cut)
        n = format_fit(text, width - 1, &used);
    used += cut;
    if (right)
        (void) fprintf(o->file, "%*s", (int) (width - used), "");
    if (colour != COLOUR_NONE)
        (void) fputs(output_colour(o, colour), o->file);
    (void) fprintf(o->file, "%.*s%s", (int) n, text, cut ? ELLIPSIS : "");
    if (colour != COLOUR_NONE)
        (void) fputs(output_colour(o, COLOUR_NONE), o->file);
    if (last)
        (void) fputc('\n', o->file);
    else
        (void) fprintf(o->file, "%*s" SEPARATOR, right ? 0 : (int) (width - used), "");
}

static int show_rows(Table *t, const Output *o)
{
    const size_t rows = table_rows(t);
    _cleanup_free_ size_t *widths = calloc(t->n_columns, sizeof(size_t));

    if (!widths)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_cells; i++) {
        _cleanup_free_ char *line = one_line(&t->cells[i]);

        if (!line)
            return -ENOMEM;
        t->widths[i % t->n_columns] = MAX(t->widths[i % t->n_columns], format_width(line));
    }
    memcpy(widths, t->widths, t->n_columns * sizeof(size_t));
    shrink(t, o, widths);
    for (size_t c = 0; o->legend && !t->begun && rows > 0 && c < t->n_columns; c++)
        print_cell(o, t->columns[c].heading, widths[c], t->columns[c].right, c + 1 == t->n_columns, COLOUR_BOLD);
    t->begun |= rows > 0;
    for (size_t i = 0; i < t->n_cells; i++) {
        _cleanup_free_ char *line = one_line(&t->cells[i]);
        const size_t c = i % t->n_columns;

        if (!line)
            return -ENOMEM;
        print_cell(o, line, widths[c], t->columns[c].right, c + 1 == t->n_columns, t->cells[i].colour);
    }
    return 0;
}

/* ---- as JSON ---- */

static int row_to_json(const Table *t, size_t row, json_object **ret)
{
    _cleanup_json_ json_object *o = json_object_new_object();

    if (!o)
        return -ENOMEM;
    for (size_t c = 0; c < t->n_columns; c++) {
        json_object *value = json_object_get(cell_at(t, row, c)->value);

        if (json_object_object_add(o, t->columns[c].member, value) < 0) {
            (void) json_object_put(value);
            return -ENOMEM;
        }
    }
    *ret = TAKE_PTR(o);
    return 0;
}

int table_to_json(const Table *t, json_object **ret)
{
    _cleanup_json_ json_object *array = json_object_new_array();

    if (t->failed || !array)
        return -ENOMEM;
    for (size_t i = 0; i < table_rows(t); i++) {
        json_object *row;
        int r;

        r = row_to_json(t, i, &row);
        if (r < 0)
            return r;
        if (json_object_array_add(array, row) < 0) {
            (void) json_object_put(row);
            return -ENOMEM;
        }
    }
    *ret = TAKE_PTR(array);
    return 0;
}

int table_record_to_json(const Table *t, json_object **ret)
{
    if (t->failed)
        return -ENOMEM;
    return table_rows(t) == 1 ? row_to_json(t, 0, ret) : -EINVAL;
}

/* An array in parts: a row a line. */
static int show_json(Table *t, const Output *o)
{
    if (!t->begun)
        (void) fputc('[', o->file);
    t->begun = true;
    for (size_t i = 0; i < table_rows(t); i++) {
        json_object *row;
        int r;

        r = row_to_json(t, i, &row);
        if (r < 0)
            return r;
        if (t->any)
            (void) fputc(',', o->file);
        t->any = true;
        (void) fputs(o->json == OUTPUT_JSON_PRETTY ? "\n" : "", o->file);
        (void) fputs(json_object_to_json_string_ext(row, JSON_C_TO_STRING_NOSLASHESCAPE
                | (o->json == OUTPUT_JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : 0)), o->file);
        (void) json_object_put(row);
    }
    return 0;
}

/* ---- showing ---- */

int table_flush(Table *t, const Output *o)
{
    int r;

    if (t->failed)
        return -ENOMEM;
    r = o->json == OUTPUT_JSON_OFF ? show_rows(t, o) : show_json(t, o);
    table_clear(t);
    return r;
}

int table_end(Table *t, const Output *o)
{
    int r;

    r = table_flush(t, o);
    if (r >= 0 && o->json != OUTPUT_JSON_OFF)
        (void) fputs(o->json == OUTPUT_JSON_PRETTY && t->any ? "\n]\n" : "]\n", o->file);
    return r;
}

int table_show(Table *t, const Output *o)
{
    return table_end(t, o);
}

static void show_field(const Output *o, const TableColumn *column, const Cell *c, size_t width)
{
    const char *item = c->text ?: NOTHING;

    (void) fprintf(o->file, "%*s%s: ", (int) (width - format_width(column->heading)), "", column->heading);
    for (;;) {
        size_t n = strcspn(item, "\n");

        if (c->colour != COLOUR_NONE)
            (void) fputs(output_colour(o, c->colour), o->file);
        (void) fprintf(o->file, "%.*s", (int) n, item);
        if (c->colour != COLOUR_NONE)
            (void) fputs(output_colour(o, COLOUR_NONE), o->file);
        (void) fputc('\n', o->file);
        item += n;
        if (*item++ == '\0')
            return;
        (void) fprintf(o->file, "%*s", (int) width + 2, "");
    }
}

int table_show_record(Table *t, const Output *o)
{
    size_t width = 0;

    if (t->failed)
        return -ENOMEM;
    if (o->json != OUTPUT_JSON_OFF) {
        json_object *value;
        int r;

        r = table_record_to_json(t, &value);
        return r < 0 ? r : output_value(o, value);
    }
    for (size_t c = 0; c < t->n_columns; c++)
        width = MAX(width, format_width(t->columns[c].heading));
    for (size_t i = 0; i < table_rows(t); i++) {
        if (i > 0)
            (void) fputc('\n', o->file);
        for (size_t c = 0; c < t->n_columns; c++)
            show_field(o, &t->columns[c], cell_at(t, i, c), width);
    }
    return 0;
}
