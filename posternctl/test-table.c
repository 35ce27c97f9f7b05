/* SPDX-License-Identifier: Apache-2.0 */

/* Tables as people and programs get them: aligned by what a terminal shows, harmless, whole as JSON. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "table.h"

static const TableColumn columns[] = {
    {"NAME", "Name"},
    {"N", "Number", .right = true},
    {"TEXT", "Text", .elastic = true},
};

typedef struct Captured {
    Output output;
    char *text;
    size_t size;
} Captured;

static Captured *capture(Captured *c, OutputJson json)
{
    *c = (Captured) {.output = {.json = json, .legend = true}};
    c->output.file = open_memstream(&c->text, &c->size);
    assert_non_null(c->output.file);
    return c;
}

/* What was written, since the last time. */
static void check(Captured *c, const char *expected)
{
    assert_int_equal(fclose(c->output.file), 0);
    assert_string_equal(c->text, expected);
    free(c->text);
}

static Table *make(void)
{
    Table *t;

    assert_int_equal(table_new(&t, columns, ELEMENTSOF(columns)), 0);
    return t;
}

static void add_row(Table *t, const char *name, uint64_t n, const char *text)
{
    table_add_text(t, name);
    table_add_number(t, n);
    table_add_text(t, text);
}

static void test_columns_are_aligned(void **state)
{
    _cleanup_(table_freep) Table *t = make();
    Captured c;

    add_row(t, "a", 1, "x");
    add_row(t, "long-name", 1000, NULL);
    assert_int_equal(table_rows(t), 2);
    assert_int_equal(table_show(t, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "NAME          N  TEXT\n"
              "a             1  x\n"
              "long-name  1000  -\n");
}

static void test_widths_are_those_of_a_terminal(void **state)
{
    _cleanup_(table_freep) Table *t = make();
    Captured c;

    add_row(t, "M\xc3\xbcller", 1, "x");                     /* two bytes, one column */
    add_row(t, "\xe6\x97\xa5\xe6\x9c\xac", 2, "x");           /* two characters of two columns */
    add_row(t, "e\xcc\x81", 3, "x");                          /* a combining accent */
    assert_int_equal(table_show(t, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "NAME    N  TEXT\n"
              "M\xc3\xbcller  1  x\n"
              "\xe6\x97\xa5\xe6\x9c\xac    2  x\n"
              "e\xcc\x81       3  x\n");
}

static void test_nothing_from_outside_moves_the_cursor(void **state)
{
    _cleanup_(table_freep) Table *t = make(), *j = make();
    Captured c;

    add_row(t, "\x1b[2J", 1, "two\nlines");
    assert_int_equal(table_show(t, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "NAME  N  TEXT\n"
              "?[2J  1  two?lines\n");

    /* A program gets it as it is. */
    add_row(j, "\x1b", 1, "two\nlines");
    assert_int_equal(table_show(j, &capture(&c, OUTPUT_JSON_SHORT)->output), 0);
    check(&c, "[{\"Name\":\"\\u001b\",\"Number\":1,\"Text\":\"two\\nlines\"}]\n");
}

static void test_what_is_too_wide_is_shortened(void **state)
{
    _cleanup_(table_freep) Table *t = make();
    Captured c;

    add_row(t, "name", 1, "abcdefghijklmnopqrstuvwxyz");
    capture(&c, OUTPUT_JSON_OFF)->output.width = 20;
    assert_int_equal(table_show(t, &c.output), 0);
    check(&c, "NAME  N  TEXT\n"
              "name  1  abcdefghij\xe2\x80\xa6\n");
}

static void test_colour_adds_no_width(void **state)
{
    _cleanup_(table_freep) Table *t = make();
    Captured c;

    add_row(t, "a", 1, "x");
    table_set_colour(t, COLOUR_RED);
    capture(&c, OUTPUT_JSON_OFF)->output.colour = true;
    c.output.legend = false;
    assert_int_equal(table_show(t, &c.output), 0);
    check(&c, "a     1  \x1b[1;31mx\x1b[0m\n");
}

static void test_headings_only_where_wanted(void **state)
{
    _cleanup_(table_freep) Table *t = make(), *empty = make();
    Captured c;

    add_row(t, "a", 1, "x");
    capture(&c, OUTPUT_JSON_OFF)->output.legend = false;
    assert_int_equal(table_show(t, &c.output), 0);
    check(&c, "a     1  x\n");

    assert_int_equal(table_show(empty, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "");
}

static void test_parts_are_one_table(void **state)
{
    _cleanup_(table_freep) Table *t = make(), *j = make(), *empty = make();
    Captured c;

    capture(&c, OUTPUT_JSON_OFF);
    add_row(t, "longer", 1, "x");
    assert_int_equal(table_flush(t, &c.output), 0);
    add_row(t, "a", 2, "y");
    assert_int_equal(table_flush(t, &c.output), 0);
    assert_int_equal(table_end(t, &c.output), 0);
    check(&c, "NAME    N  TEXT\n"
              "longer  1  x\n"
              "a       2  y\n");

    capture(&c, OUTPUT_JSON_SHORT);
    add_row(j, "a", 1, "x");
    assert_int_equal(table_flush(j, &c.output), 0);
    add_row(j, "b", 2, NULL);
    assert_int_equal(table_end(j, &c.output), 0);
    check(&c, "[{\"Name\":\"a\",\"Number\":1,\"Text\":\"x\"},{\"Name\":\"b\",\"Number\":2,\"Text\":null}]\n");

    assert_int_equal(table_show(empty, &capture(&c, OUTPUT_JSON_PRETTY)->output), 0);
    check(&c, "[]\n");
}

static void test_pretty_json_is_json(void **state)
{
    _cleanup_(table_freep) Table *t = make();
    _cleanup_json_ json_object *parsed = NULL;
    Captured c;

    add_row(t, "a", UINT64_MAX, "x");
    add_row(t, "b", 2, "/y");
    assert_int_equal(table_show(t, &capture(&c, OUTPUT_JSON_PRETTY)->output), 0);
    assert_int_equal(fclose(c.output.file), 0);
    parsed = json_tokener_parse(c.text);
    free(c.text);
    assert_int_equal(json_object_array_length(parsed), 2);
    assert_true(json_object_get_uint64(json_object_object_get(json_object_array_get_idx(parsed, 0), "Number")) == UINT64_MAX);
}

static void test_a_record_has_a_line_a_field(void **state)
{
    static const TableColumn fields[] = {
        {"Name", "Name"},
        {"Other names", "Names"},
        {"Good", "Good"},
        {"Never", "NeverUSec"},
    };
    char *names[] = {(char[]) {"one"}, (char[]) {"two"}, NULL};
    _cleanup_(table_freep) Table *t = NULL;
    Captured c;

    assert_int_equal(table_new(&t, fields, ELEMENTSOF(fields)), 0);
    table_add_text(t, "a");
    table_add_list(t, names);
    table_add_boolean(t, true);
    table_add_time(t, 0);
    assert_int_equal(table_show_record(t, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "       Name: a\n"
              "Other names: one\n"
              "             two\n"
              "       Good: yes\n"
              "      Never: -\n");
    assert_int_equal(table_show_record(t, &capture(&c, OUTPUT_JSON_SHORT)->output), 0);
    check(&c, "{\"Name\":\"a\",\"Names\":[\"one\",\"two\"],\"Good\":true,\"NeverUSec\":0}\n");
    /* In a table a list is one line. */
    assert_int_equal(table_show(t, &capture(&c, OUTPUT_JSON_OFF)->output), 0);
    check(&c, "Name  Other names  Good  Never\n"
              "a     one, two     yes   -\n");
}

static void test_colour_only_where_it_is_wanted(void **state)
{
    assert_true(output_wants_colour(true, NULL, "xterm"));
    assert_true(output_wants_colour(true, "", "xterm"));
    assert_false(output_wants_colour(true, "1", "xterm"));
    assert_false(output_wants_colour(false, NULL, "xterm"));
    assert_false(output_wants_colour(true, NULL, "dumb"));
    assert_false(output_wants_colour(true, NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_aligned),
        cmocka_unit_test(test_widths_are_those_of_a_terminal),
        cmocka_unit_test(test_nothing_from_outside_moves_the_cursor),
        cmocka_unit_test(test_what_is_too_wide_is_shortened),
        cmocka_unit_test(test_colour_adds_no_width),
        cmocka_unit_test(test_headings_only_where_wanted),
        cmocka_unit_test(test_parts_are_one_table),
        cmocka_unit_test(test_pretty_json_is_json),
        cmocka_unit_test(test_a_record_has_a_line_a_field),
        cmocka_unit_test(test_colour_only_where_it_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
