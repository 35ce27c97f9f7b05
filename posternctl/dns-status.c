/* SPDX-License-Identifier: Apache-2.0 */

/* How dnsd is: whom it asks, what it trusts, whether DNSSEC works; and to have it test or begin anew. */

#include <inttypes.h>

#include "conf.h"
#include "details.h"
#include "format.h"
#include "table.h"
#include "verbs.h"

static const BusMethod get_all = {&service_dnsd, "GetAll", .interface = "org.freedesktop.DBus.Properties"};
static const BusMethod flush = {&service_dnsd, "Flush"};
static const BusMethod test = {&service_dnsd, "Test"};

static const TableColumn status_columns[] = {
    {"DNSSEC", "SelfTest"},
    {"Because", "SelfTestReason"},
    {"Tested", "SelfTestUSec"},
    {"Forwarders", "Forwarders"},
    {"Over TLS", "ForwardTLS"},
    {"Cache", "CacheSize"},
    {"Lookups", "Asked"},
    {"Shared", "Shared"},
    {"Refused", "Refused"},
    {"Under way", "Pending"},
    {"Secure", "Secure"},
    {"Insecure", "Insecure"},
    {"Bogus", "Bogus"},
    {"Indeterminate", "Indeterminate"},
    {"Errors", "Errors"},
    {"Trust anchors", "TrustAnchorKeys"},
};

static Colour verdict_colour(const char *verdict)
{
    return streq(verdict, "works") ? COLOUR_GREEN
            : streq(verdict, "stripped") || streq(verdict, "ineffective") ? COLOUR_RED
                                                                           : COLOUR_YELLOW;
}

static int add_anchors(sd_bus_message *m, Table *t)
{
    _cleanup_(conf_strv_freep) char **list = NULL;
    const char *zone, *state;
    uint64_t since_usec;
    size_t n = 0;
    uint32_t tag;
    int r;

    list = calloc(1, sizeof(char *));
    if (!list)
        return -ENOMEM;
    r = sd_bus_message_enter_container(m, 'a', "(sust)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(sust)", &zone, &tag, &state, &since_usec)) > 0) {
        char **grown = reallocarray(list, n + 2, sizeof(char *));
        char since[FORMAT_TIME_MAX];

        if (!grown)
            return -ENOMEM;
        list = grown;
        list[n] = list[n + 1] = NULL;
        if (asprintf(&list[n], "%s %" PRIu32 " %s%s%s", zone, tag, state, since_usec > 0 ? " since " : "",
                    since_usec > 0 ? format_time(since, since_usec) : "") < 0) {
            list[n] = NULL;
            return -ENOMEM;
        }
        n++;
    }
    if (r >= 0)
        table_add_list(t, list);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int add_number(sd_bus_message *m, Table *t, const char *member)
{
    uint64_t number;
    int r;

    r = sd_bus_message_read(m, "t", &number);
    if (r < 0)
        return r;
    if (streq(member, "SelfTestUSec"))
        table_add_time(t, number);
    else if (streq(member, "CacheSize"))
        table_add_size(t, number);
    else
        table_add_number(t, number);
    return 0;
}

static int add_own(sd_bus_message *m, Table *t, const char *member, const char *type)
{
    int r = 0;

    if (streq(type, "t"))
        r = add_number(m, t, member);
    else if (streq(type, "a(sust)"))
        r = add_anchors(m, t);
    else
        return 0;
    return r < 0 ? r : 1;
}

static Colour colour_of(const char *member, const char *text)
{
    return streq(member, "SelfTest") ? verdict_colour(text) : COLOUR_NONE;
}

int verb_dns_status(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = table_new(&t, status_columns, ELEMENTSOF(status_columns));
    if (r >= 0)
        r = bus_call(context->bus, &get_all, &reply, &context->failure, "s", "org.postern.Dns1");
    if (r >= 0)
        r = bus_reply_check(&get_all, details_read(reply, t, status_columns, ELEMENTSOF(status_columns), colour_of, add_own), &context->failure);
    if (r < 0)
        return r;
    context_page(context);
    return table_show_record(t, &context->output);
}

int verb_dns_flush(Context *context, char *const *arguments)
{
    return bus_call(context->bus, &flush, NULL, &context->failure, "");
}

int verb_dns_test(Context *context, char *const *arguments)
{
    static const TableColumn columns[] = {{"DNSSEC", "SelfTest"}, {"Because", "SelfTestReason"}};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    const char *verdict, *reason;
    int r;

    r = table_new(&t, columns, ELEMENTSOF(columns));
    if (r >= 0)
        r = bus_call(context->bus, &test, &reply, &context->failure, "");
    if (r >= 0)
        r = bus_reply_check(&test, sd_bus_message_read(reply, "ss", &verdict, &reason), &context->failure);
    if (r < 0)
        return r;
    table_add_text(t, verdict);
    table_set_colour(t, verdict_colour(verdict));
    table_add_text(t, reason);
    r = table_show_record(t, &context->output);
    return r < 0 ? r : streq(verdict, "works") || streq(verdict, "off") ? EXIT_SUCCESS : EXIT_FAILURE;
}
