/* SPDX-License-Identifier: Apache-2.0 */

/* Lookups as deliverd has them: by dnsd, with the DNSSEC state of every name on the way. */

#include "conf.h"
#include "record-text.h"
#include "table.h"
#include "verbs.h"

static const BusMethod resolve = {&service_dnsd, "Resolve"};

static const TableColumn answer_columns[] = {
    {"Name", "Name"},
    {"Type", "Type"},
    {"State", "State"},
    {"Response", "ResponseCode"},
    {"TTL", "TTLSec"},
    {"Chain", "Chain"},
    {"Records", "Records"},
    {"Reason", "Reason"},
};

static Colour state_colour(DnssecState s)
{
    return s == DNSSEC_SECURE ? COLOUR_GREEN : s == DNSSEC_BOGUS || s == DNSSEC_ERROR ? COLOUR_RED : COLOUR_YELLOW;
}

static const char *rcode_to_string(uint16_t rcode, char buffer[16])
{
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

    if (rcode < ELEMENTSOF(names))
        return names[rcode];
    (void) snprintf(buffer, 16, "RCODE%u", rcode);
    return buffer;
}

static int records_to_strv(uint16_t type, const ResolveAnswer *a, char ***ret)
{
    _cleanup_(conf_strv_freep) char **list = calloc(a->n_records + 1, sizeof(char *));
    int r;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < a->n_records; i++) {
        r = record_to_text(type, &a->records[i], &list[i]);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* Without CNAMEs there is no chain. */
static int chain_to_strv(const ResolveAnswer *a, char ***ret)
{
    _cleanup_(conf_strv_freep) char **list = calloc(a->n_hops + 1, sizeof(char *));

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; a->n_hops > 1 && i < a->n_hops; i++)
        if (asprintf(&list[i], "%s. (%s)", a->hops[i].name, dnssec_state_to_string(a->hops[i].state)) < 0) {
            list[i] = NULL;
            return -ENOMEM;
        }
    *ret = TAKE_PTR(list);
    return 0;
}

static int show_answer(const Output *o, const char *name, const char *type_name, uint16_t type, const ResolveAnswer *a)
{
    _cleanup_(conf_strv_freep) char **records = NULL, **chain = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    char rcode[16];
    int r;

    r = table_new(&t, answer_columns, ELEMENTSOF(answer_columns));
    if (r >= 0)
        r = records_to_strv(type, a, &records);
    if (r >= 0)
        r = chain_to_strv(a, &chain);
    if (r < 0)
        return r;
    table_add_text(t, name);
    table_add_text(t, type_name);
    table_add_text(t, dnssec_state_to_string(a->state));
    table_set_colour(t, state_colour(a->state));
    table_add_shown(t, rcode_to_string(a->rcode, rcode), json_object_new_int(a->rcode));
    table_add_number(t, a->ttl);
    table_add_list(t, chain);
    table_add_list(t, records);
    table_add_text(t, a->reason);
    return table_show_record(t, o);
}

/* What mail could be delivered by. */
static int exit_status(const ResolveAnswer *a)
{
    if (a->state == DNSSEC_BOGUS || a->state == DNSSEC_ERROR)
        return EXIT_FAILURE;
    return a->n_records > 0 ? EXIT_SUCCESS : STATUS_NOT_FOUND;
}

int verb_dns_query(Context *context, char *const *arguments)
{
    const char *name = arguments[0], *type_name = arguments[1] ?: "MX";
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    uint16_t type;
    int r;

    if (record_type_from_string(type_name, &type) < 0)
        return failure_set(&context->failure, STATUS_USAGE,
                "dnsd does not look '%s' up; types are A, AAAA, CNAME, MX, PTR, TLSA, TXT", type_name);
    r = bus_call(context->bus, &resolve, &reply, &context->failure, "sq", name, type);
    if (r >= 0)
        r = bus_reply_check(&resolve, resolve_answer_read(reply, &a), &context->failure);
    if (r >= 0)
        r = show_answer(&context->output, name, type_name, type, a);
    return r < 0 ? r : exit_status(a);
}
