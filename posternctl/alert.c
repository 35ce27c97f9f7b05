/* SPDX-License-Identifier: Apache-2.0 */

/* What alertd holds. */

#include "table.h"
#include "verbs.h"

static const BusMethod list_pending = {&service_alertd, "ListPending"};

static const TableColumn columns[] = {
    {"SINCE", "FirstUSec"},
    {"SEVERITY", "Severity"},
    {"TYPE", "Type"},
    {"COUNT", "Count", .right = true},
    {"HELD", "Held"},
    {"SUMMARY", "Summary", .elastic = true},
    {"KEY", "Key", .elastic = true},
    {"ID", "Id"},
};

static Colour severity_colour(const char *severity)
{
    return streq(severity, "Critical") ? COLOUR_RED : streq(severity, "Warning") ? COLOUR_YELLOW : COLOUR_NONE;
}

static int read_alerts(sd_bus_message *m, Table *t)
{
    const char *id, *severity, *type, *key, *summary;
    uint64_t first_usec;
    uint32_t count;
    int r, held;

    r = sd_bus_message_enter_container(m, 'a', "(ssssstub)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(ssssstub)", &id, &severity, &type, &key, &summary, &first_usec, &count, &held)) > 0) {
        table_add_time(t, first_usec);
        table_add_text(t, severity);
        table_set_colour(t, severity_colour(severity));
        table_add_text(t, type);
        table_add_number(t, count);
        table_add_boolean(t, held);
        table_add_text(t, summary);
        table_add_text(t, key);
        table_add_text(t, id);
    }
    return r;
}

int verb_alert_list(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    const Output *o = &context->output;
    size_t n;
    int r;

    r = table_new(&t, columns, ELEMENTSOF(columns));
    if (r >= 0)
        r = bus_call(context->bus, &list_pending, &reply, &context->failure, "");
    if (r >= 0)
        r = bus_reply_check(&list_pending, read_alerts(reply, t), &context->failure);
    if (r < 0)
        return r;
    context_page(context);
    n = table_rows(t);
    r = table_show(t, o);
    if (r >= 0)
        output_sum(o, n, "alert", "alerts");
    return r;
}
