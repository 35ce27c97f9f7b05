/* SPDX-License-Identifier: Apache-2.0 */

/* MTA-STS policies, as deliverd knows them. */

#include "conf.h"
#include "paged-list.h"
#include "table.h"
#include "verbs.h"

/* As long as deliverd may take: the lookup, and a minute for the policy host. */
#define REFRESH_TIMEOUT_SEC 120

static const BusMethod list_policies = {&service_deliverd, "ListStsPolicies"};
static const BusMethod get_policy = {&service_deliverd, "GetStsPolicy"};
static const BusMethod refresh_policy = {&service_deliverd, "RefreshStsPolicy", .timeout_sec = REFRESH_TIMEOUT_SEC};

static Colour mode_colour(const char *mode)
{
    return streq(mode, "enforce") ? COLOUR_GREEN : COLOUR_NONE;
}

/* ---- list ---- */

static const TableColumn list_columns[] = {
    {"DOMAIN", "Domain", .elastic = true},
    {"MODE", "Mode"},
    {"ID", "Id"},
    {"FETCHED", "FetchedUSec"},
    {"EXPIRES", "ExpiresUSec"},
    {"FAILURE", "Failure", .elastic = true},
};

static int read_row(sd_bus_message *m, Table *t, const char **ret_domain)
{
    const char *mode, *id, *failure;
    uint64_t fetched_usec, expires_usec;
    int r;

    r = sd_bus_message_read(m, "(ssstts)", ret_domain, &mode, &id, &fetched_usec, &expires_usec, &failure);
    if (r <= 0)
        return r;
    table_add_text(t, *ret_domain);
    table_add_text(t, mode);
    table_set_colour(t, mode_colour(mode));
    table_add_text(t, id);
    table_add_time(t, fetched_usec);
    table_add_time(t, expires_usec);
    table_add_text(t, failure);
    return r;
}

int verb_sts_list(Context *context, char *const *arguments)
{
    static const PagedList policies = {
        .method = &list_policies,
        .row = "(ssstts)",
        .columns = list_columns,
        .n_columns = ELEMENTSOF(list_columns),
        .read = read_row,
        .one = "policy",
        .many = "policies",
    };

    return paged_list_show(context, &policies);
}

/* ---- show ---- */

static const TableColumn policy_columns[] = {
    {"Domain", "Domain"},
    {"Mode", "Mode"},
    {"Hosts", "Hosts"},
    {"Id", "Id"},
    {"Fetched", "FetchedUSec"},
    {"Expires", "ExpiresUSec"},
    {"Max age", "MaxAgeSec"},
    {"Last failure", "FailedUSec"},
    {"Reason", "Failure"},
};

static int read_policy(sd_bus_message *m, const char *domain, Table *t)
{
    _cleanup_(conf_strv_freep) char **hosts = NULL;
    uint64_t fetched_usec, expires_usec, failed_usec;
    const char *mode, *id, *failure;
    uint32_t max_age;
    int r;

    r = sd_bus_message_read(m, "ssutt", &mode, &id, &max_age, &fetched_usec, &expires_usec);
    if (r >= 0)
        r = sd_bus_message_read_strv(m, &hosts);
    if (r >= 0)
        r = sd_bus_message_read(m, "ts", &failed_usec, &failure);
    if (r < 0)
        return r;
    table_add_text(t, domain);
    table_add_text(t, mode);
    table_set_colour(t, mode_colour(mode));
    table_add_list(t, hosts);
    table_add_text(t, id);
    table_add_time(t, fetched_usec);
    table_add_time(t, expires_usec);
    table_add_number(t, max_age);
    table_add_time(t, failed_usec);
    table_add_text(t, failure);
    return 0;
}

int verb_sts_show(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    const Output *o = &context->output;
    json_object *object;
    int r;

    r = table_new(&t, policy_columns, ELEMENTSOF(policy_columns));
    if (r >= 0)
        r = bus_call(context->bus, &get_policy, &reply, &context->failure, "s", arguments[0]);
    if (r >= 0)
        r = bus_reply_check(&get_policy, read_policy(reply, arguments[0], t), &context->failure);
    if (r < 0)
        return r;
    if (o->json == OUTPUT_JSON_OFF)
        return table_show_record(t, o);
    r = table_record_to_json(t, &object);
    return r < 0 ? r : output_value(o, object);
}

/* ---- refresh ---- */

/* Shows what came of it. */
int verb_sts_refresh(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int r;

    r = bus_call(context->bus, &refresh_policy, &reply, &context->failure, "s", arguments[0]);
    return r < 0 ? r : verb_sts_show(context, arguments);
}
