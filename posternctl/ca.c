/* SPDX-License-Identifier: Apache-2.0 */

/* certd's lists of certificate authorities: looked at, changed, in and out. All of it is public. certd decides what an authority
 * is; this file must never look into a certificate. */

#include <time.h>

#include "details.h"
#include "file.h"
#include "format.h"
#include "invocation.h"
#include "verbs.h"

/* A list may have a thousand certificates, and certd other things to do. */
#define CHANGE_TIMEOUT_SEC 120
#define LIST_SIZE_MAX (2 * 1024 * 1024)
/* What is shown of a fingerprint in a table: enough to name it by. */
#define FINGERPRINT_SHOWN 23

static const BusMethod list_lists = {&service_certd, "ListAuthorityLists"};
static const BusMethod list_authorities = {&service_certd, "ListAuthorities"};
static const BusMethod describe_authority = {&service_certd, "DescribeAuthority"};
static const BusMethod get_authorities = {&service_certd, "GetAuthorities"};
static const BusMethod import_authorities = {&service_certd, "ImportAuthorities", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod set_enabled = {&service_certd, "SetAuthoritiesEnabled", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod remove_authorities = {&service_certd, "RemoveAuthorities", .timeout_sec = CHANGE_TIMEOUT_SEC};

/* ---- lists ---- */

static const TableColumn lists_columns[] = {
    {"LIST", "List"},
    {"STATE", "Enabled"},
    {"AUTHORITIES", "Authorities", .right = true},
    {"ENABLED", "EnabledAuthorities", .right = true},
};

static void add_enabled(Table *t, bool enabled)
{
    table_add_shown(t, enabled ? "enabled" : "disabled", json_object_new_boolean(enabled));
    table_set_colour(t, enabled ? COLOUR_GREEN : COLOUR_YELLOW);
}

static int read_lists(sd_bus_message *m, Table *t)
{
    uint32_t n, n_enabled;
    const char *name;
    int r, enabled;

    r = sd_bus_message_enter_container(m, 'a', "(sbuu)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(sbuu)", &name, &enabled, &n, &n_enabled)) > 0) {
        table_add_text(t, name);
        add_enabled(t, enabled);
        table_add_number(t, n);
        table_add_number(t, n_enabled);
    }
    return r;
}

int verb_ca_lists(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = table_new(&t, lists_columns, ELEMENTSOF(lists_columns));
    if (r >= 0)
        r = bus_call(context->bus, &list_lists, &reply, &context->failure, "");
    if (r >= 0)
        r = bus_reply_check(&list_lists, read_lists(reply, t), &context->failure);
    return r < 0 ? r : table_show(t, &context->output);
}

/* ---- list ---- */

static const TableColumn list_columns[] = {
    {"LIST", "List"},
    {"FINGERPRINT", "FingerprintSHA256"},
    {"STATE", "Enabled"},
    {"EXPIRES", "NotAfterUSec"},
    {"NAME", "Name", .elastic = true},
};

/* Programs get more: what does not fit into a line. */
static const TableColumn list_columns_json[] = {
    {"LIST", "List"},
    {"FINGERPRINT", "FingerprintSHA256"},
    {"STATE", "Enabled"},
    {"EXPIRES", "NotAfterUSec"},
    {"NAME", "Name"},
    {"SUBJECT", "Subject"},
    {"NOT BEFORE", "NotBeforeUSec"},
};

static uint64_t now_usec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static void add_expiry(Table *t, uint64_t usec)
{
    uint64_t now = now_usec();
    char distance[FORMAT_SPAN_MAX];

    table_add_shown(t, format_distance(distance, usec, now), json_object_new_uint64(usec));
    if (usec < now)
        table_set_colour(t, COLOUR_RED);
}

static int read_authorities(sd_bus_message *m, Table *t, bool json)
{
    const char *list, *name, *subject, *fingerprint;
    uint64_t not_before, not_after;
    int r, enabled;

    r = sd_bus_message_enter_container(m, 'a', "(ssssttb)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(ssssttb)", &list, &name, &subject, &fingerprint, &not_before, &not_after, &enabled))
            > 0) {
        char beginning[FINGERPRINT_SHOWN + 1];

        (void) snprintf(beginning, sizeof(beginning), "%.*s", FINGERPRINT_SHOWN, fingerprint);
        table_add_text(t, list);
        table_add_shown(t, beginning, json_object_new_string(fingerprint));
        add_enabled(t, enabled);
        add_expiry(t, not_after);
        table_add_text(t, name);
        if (json) {
            table_add_text(t, subject);
            table_add_time(t, not_before);
        }
    }
    return r;
}

int verb_ca_list(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    bool json = context->output.json != OUTPUT_JSON_OFF;
    _cleanup_(table_freep) Table *t = NULL;
    size_t n;
    int r;

    r = json ? table_new(&t, list_columns_json, ELEMENTSOF(list_columns_json))
             : table_new(&t, list_columns, ELEMENTSOF(list_columns));
    if (r >= 0)
        r = bus_call(context->bus, &list_authorities, &reply, &context->failure, "s", arguments[0] ?: "");
    if (r >= 0)
        r = bus_reply_check(&list_authorities, read_authorities(reply, t, json), &context->failure);
    if (r < 0)
        return r;
    context_page(context);
    n = table_rows(t);
    r = table_show(t, &context->output);
    if (r >= 0)
        output_sum(&context->output, n, "authority", "authorities");
    return r;
}

/* ---- show ---- */

/* Members as certd calls them, in the order in which they are shown. */
static const TableColumn show_columns[] = {
    {"Name", "Name"},
    {"Lists", "Lists"},
    {"Trusted by", "TrustedBy"},
    {"Subject", "Subject"},
    {"Issuer", "Issuer"},
    {"Serial number", "SerialNumber"},
    {"Not before", "NotBeforeUSec"},
    {"Not after", "NotAfterUSec"},
    {"Key type", "KeyType"},
    {"Key bits", "KeyBits"},
    {"SHA-256", "FingerprintSHA256"},
    {"SHA-1", "FingerprintSHA1"},
};

int verb_ca_show(Context *context, char *const *arguments)
{
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = details_fetch(context, &describe_authority, arguments, &t, show_columns, ELEMENTSOF(show_columns), NULL);
    return r < 0 ? r : details_show(context, t, arguments);
}

/* ---- changes ---- */

/* One object for programs; people get a sentence before. */
static int tell(Context *c, const char *const *members, const uint32_t *numbers, size_t n)
{
    _cleanup_json_ json_object *object = NULL;

    if (c->output.json == OUTPUT_JSON_OFF)
        return 0;
    object = json_object_new_object();
    for (size_t i = 0; object && i < n; i++)
        if (json_object_object_add(object, members[i], json_object_new_int64(numbers[i])) < 0)
            return -ENOMEM;
    return object ? output_value(&c->output, TAKE_PTR(object)) : -ENOMEM;
}

static bool wants_sentence(const Context *c)
{
    return c->output.json == OUTPUT_JSON_OFF && c->output.legend;
}

static int enable(Context *c, char *const *arguments, bool enabled)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    static const char *const members[] = {"Changed"};
    uint32_t n = 0;
    int r;

    while (arguments[1 + n])
        n++;
    r = bus_call_new(c->bus, &set_enabled, &m, &c->failure);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", arguments[0]);
    if (r >= 0)
        r = sd_bus_message_append_strv(m, (char **) arguments + 1);
    if (r >= 0)
        r = sd_bus_message_append(m, "b", enabled);
    r = bus_call_send(&set_enabled, m, r, NULL, &c->failure);
    if (r < 0)
        return r;
    if (wants_sentence(c) && n == 0)
        (void) fprintf(c->output.file, "The %s list: %s; services use that for their next sessions\n", arguments[0],
                enabled ? "enabled" : "disabled");
    else if (wants_sentence(c))
        (void) fprintf(c->output.file, "%u of the %s list: %s; services use that for their next sessions\n", n, arguments[0],
                enabled ? "enabled" : "disabled");
    return tell(c, members, &n, 1);
}

int verb_ca_enable(Context *context, char *const *arguments)
{
    return enable(context, arguments, true);
}

int verb_ca_disable(Context *context, char *const *arguments)
{
    return enable(context, arguments, false);
}

int verb_ca_remove(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    static const char *const members[] = {"Removed"};
    uint32_t n;
    int r;

    r = bus_call_new(context->bus, &remove_authorities, &m, &context->failure);
    if (r < 0)
        return r;
    r = sd_bus_message_append_strv(m, (char **) arguments);
    r = bus_call_send(&remove_authorities, m, r, &reply, &context->failure);
    if (r >= 0)
        r = bus_reply_check(&remove_authorities, sd_bus_message_read(reply, "u", &n), &context->failure);
    if (r < 0)
        return r;
    if (wants_sentence(context))
        (void) fprintf(context->output.file, "%u removed from the custom list\n", n);
    return tell(context, members, &n, 1);
}

/* ---- files ---- */

static void say_imported(const Context *c, const uint32_t n[4])
{
    (void) fprintf(c->output.file, "%u added, %u there already, %u removed\n", n[0], n[1], n[2]);
    if (n[3] > 0)
        (void) fprintf(c->output.file, "warning: %u of those added %s expired: no peer is verified by %s\n", n[3],
                n[3] == 1 ? "is" : "are", n[3] == 1 ? "it" : "them");
}

int verb_ca_import(Context *context, char *const *arguments)
{
    static const char *const members[] = {"Added", "Known", "Removed", "Expired"};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    _cleanup_close_ int file = -EBADF;
    uint32_t n[4];
    int r;

    r = bus_call_new(context->bus, &import_authorities, &m, &context->failure);
    if (r >= 0)
        r = bus_call_can_pass_files(context->bus, m, &context->failure);
    if (r >= 0)
        r = file_load(arguments[0], LIST_SIZE_MAX, &file, &context->failure);
    if (r < 0)
        return r;
    r = invocation_option(context->invocation, "replace")
            ? sd_bus_message_append(m, "sha{sv}", "custom", file, 1, "Replace", "b", true)
            : sd_bus_message_append(m, "sha{sv}", "custom", file, 0);
    r = bus_call_send(&import_authorities, m, r, &reply, &context->failure);
    if (r >= 0)
        r = bus_reply_check(&import_authorities, sd_bus_message_read(reply, "uuuu", &n[0], &n[1], &n[2], &n[3]),
                &context->failure);
    if (r < 0)
        return r;
    if (wants_sentence(context))
        say_imported(context, n);
    return tell(context, members, n, ELEMENTSOF(members));
}

int verb_ca_export(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    bool force = invocation_option(context->invocation, "force");
    _cleanup_json_ json_object *object = NULL;
    const char *path = arguments[1], *text;
    int r;

    r = path ? file_check_absent(path, force, &context->failure) : 0;
    if (r >= 0)
        r = bus_call(context->bus, &get_authorities, &reply, &context->failure, "s", arguments[0]);
    if (r >= 0)
        r = bus_reply_check(&get_authorities, sd_bus_message_read(reply, "s", &text), &context->failure);
    if (r < 0)
        return r;
    if (path && !streq(path, "-"))
        return file_store(path, text, strlen(text), 0644, force, true, &context->failure);
    if (context->output.json == OUTPUT_JSON_OFF) {
        (void) fputs(text, context->output.file);
        return 0;
    }
    object = json_object_new_object();
    if (!object || json_object_object_add(object, "Authorities", json_object_new_string(text)) < 0)
        return -ENOMEM;
    return output_value(&context->output, TAKE_PTR(object));
}
