/* SPDX-License-Identifier: Apache-2.0 */

/* Dictionaries into tables. Members that no column is for are passed over: a daemon may be newer. */

#include "details.h"

#include "conf.h"

static int add_text(sd_bus_message *m, Table *t, const char *member, DetailsColour colour)
{
    const char *text;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    table_add_text(t, text);
    if (colour)
        table_set_colour(t, colour(member, text));
    return 0;
}

static int add_value(sd_bus_message *m, Table *t, const char *member, const char *type, DetailsColour colour, DetailsValue own)
{
    _cleanup_(conf_strv_freep) char **list = NULL;
    uint64_t number;
    uint32_t small;
    int r, b;

    r = own ? own(m, t, member, type) : 0;
    if (r != 0)
        return r;
    if (streq(type, "s"))
        return add_text(m, t, member, colour);
    if (streq(type, "as")) {
        r = sd_bus_message_read_strv(m, &list);
        if (r >= 0)
            table_add_list(t, list);
    } else if (streq(type, "t")) {
        r = sd_bus_message_read(m, "t", &number);
        if (r >= 0)
            table_add_time(t, number);
    } else if (streq(type, "u")) {
        r = sd_bus_message_read(m, "u", &small);
        if (r >= 0)
            table_add_number(t, small);
    } else if (streq(type, "b")) {
        r = sd_bus_message_read(m, "b", &b);
        if (r >= 0)
            table_add_boolean(t, b);
        if (r >= 0 && colour)
            table_set_colour(t, colour(member, b ? "yes" : "no"));
    } else
        r = -EBADMSG;
    return r;
}

/* The dictionary has some twenty entries, and is read from its beginning for each. */
static int add_member(sd_bus_message *m, Table *t, const char *member, DetailsColour colour, DetailsValue own)
{
    const char *name, *type;
    int r;

    r = sd_bus_message_rewind(m, true);
    if (r < 0)
        return r;
    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
            return r;
        if (streq(name, member)) {
            r = sd_bus_message_peek_type(m, NULL, &type);
            if (r >= 0)
                r = sd_bus_message_enter_container(m, 'v', type);
            return r < 0 ? r : add_value(m, t, member, type, colour, own);
        }
        r = sd_bus_message_skip(m, "v");
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    if (r >= 0)
        table_add_text(t, NULL);
    return r;
}

int details_read(sd_bus_message *m, Table *t, const TableColumn *columns, size_t n_columns, DetailsColour colour, DetailsValue own)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n_columns; i++)
        r = add_member(m, t, columns[i].member, colour, own);
    return r;
}

int details_fetch(Context *context, const BusMethod *method, char *const *arguments, Table **ret, const TableColumn *columns,
        size_t n_columns, DetailsColour colour)
{
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = table_new(&t, columns, n_columns);
    if (r < 0)
        return r;
    for (char *const *argument = arguments; *argument; argument++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        r = bus_call(context->bus, method, &reply, &context->failure, "s", *argument);
        if (r >= 0)
            r = bus_reply_check(method, details_read(reply, t, columns, n_columns, colour, NULL), &context->failure);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(t);
    return 0;
}

int details_show(Context *context, Table *t, char *const *arguments)
{
    const Output *o = &context->output;
    json_object *all;
    int r;

    context_page(context);
    if (o->json == OUTPUT_JSON_OFF || !arguments[1])
        return table_show_record(t, o);
    r = table_to_json(t, &all);
    return r < 0 ? r : output_value(o, all);
}
