/* SPDX-License-Identifier: Apache-2.0 */

/* deliverd's queue. */

#include <inttypes.h>

#include "paged-list.h"
#include "table.h"
#include "verbs.h"

static const BusMethod list_messages = {&service_deliverd, "ListMessages"};
static const BusMethod get_message = {&service_deliverd, "GetMessage"};
static const BusMethod flush_all = {&service_deliverd, "Flush"};
static const BusMethod flush_destination = {&service_deliverd, "FlushDestination"};

/* ---- list ---- */

static const TableColumn list_columns[] = {
    {"ID", "Id"},
    {"ARRIVAL", "ArrivalUSec"},
    {"SIZE", "SizeBytes", .right = true},
    {"PENDING", "PendingRecipients", .right = true},
    {"SENDER", "Sender", .elastic = true},
};

/* The null sender of bounces. */
static void add_sender(Table *t, const char *sender)
{
    table_add_shown(t, *sender ? sender : "<>", json_object_new_string(sender));
}

static int read_row(sd_bus_message *m, Table *t, const char **ret_id)
{
    const char *sender;
    uint64_t arrival_usec, size;
    uint32_t pending;
    int r;

    r = sd_bus_message_read(m, "(sttsu)", ret_id, &arrival_usec, &size, &sender, &pending);
    if (r <= 0)
        return r;
    table_add_text(t, *ret_id);
    table_add_time(t, arrival_usec);
    table_add_size(t, size);
    table_add_number(t, pending);
    add_sender(t, sender);
    return r;
}

int verb_queue_list(Context *context, char *const *arguments)
{
    static const PagedList messages = {
        .method = &list_messages,
        .row = "(sttsu)",
        .columns = list_columns,
        .n_columns = ELEMENTSOF(list_columns),
        .read = read_row,
        .one = "message",
        .many = "messages",
    };

    return paged_list_show(context, &messages);
}

/* ---- show ---- */

static const TableColumn message_columns[] = {
    {"Id", "Id"},
    {"Arrival", "ArrivalUSec"},
    {"Size", "SizeBytes"},
    {"Sender", "Sender"},
    {"TLS", "Tls"},
};

static const TableColumn recipient_columns[] = {
    {"RECIPIENT", "Address", .elastic = true},
    {"STATUS", "Status"},
};

static const TableColumn destination_columns[] = {
    {"DESTINATION", "Domain", .elastic = true},
    {"ATTEMPTS", "Attempts", .right = true},
    {"NEXT ATTEMPT", "NextUSec"},
    {"REASON OF THE LAST FAILURE", "Reason", .elastic = true},
};

typedef struct Message {
    Table *message, *recipients, *destinations;
} Message;

static void message_done(Message *m)
{
    m->message = table_free(m->message);
    m->recipients = table_free(m->recipients);
    m->destinations = table_free(m->destinations);
}

static int message_init(Message *m)
{
    int r;

    r = table_new(&m->message, message_columns, ELEMENTSOF(message_columns));
    if (r >= 0)
        r = table_new(&m->recipients, recipient_columns, ELEMENTSOF(recipient_columns));
    return r < 0 ? r : table_new(&m->destinations, destination_columns, ELEMENTSOF(destination_columns));
}

static Colour recipient_colour(const char *status)
{
    return streq(status, "delivered") ? COLOUR_GREEN : streq(status, "failed") ? COLOUR_RED : COLOUR_NONE;
}

static int read_recipients(sd_bus_message *m, Table *t)
{
    const char *address, *status;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(ss)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(ss)", &address, &status)) > 0) {
        table_add_text(t, address);
        table_add_text(t, status);
        table_set_colour(t, recipient_colour(status));
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_destinations(sd_bus_message *m, Table *t)
{
    const char *domain, *reason;
    uint64_t next_usec;
    uint32_t attempts;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(suts)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(suts)", &domain, &attempts, &next_usec, &reason)) > 0) {
        table_add_text(t, domain);
        table_add_number(t, attempts);
        table_add_time(t, next_usec);
        table_add_text(t, reason);
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_message(sd_bus_message *m, const char *id, Message *message)
{
    uint64_t arrival_usec, size;
    const char *sender, *tls;
    int r;

    r = sd_bus_message_read(m, "tts", &arrival_usec, &size, &sender);
    if (r < 0)
        return r;
    table_add_text(message->message, id);
    table_add_time(message->message, arrival_usec);
    table_add_size(message->message, size);
    add_sender(message->message, sender);
    r = read_recipients(m, message->recipients);
    if (r >= 0)
        r = read_destinations(m, message->destinations);
    if (r >= 0)
        r = sd_bus_message_read(m, "s", &tls);
    if (r < 0)
        return r;
    table_add_text(message->message, tls);
    return 0;
}

static int message_to_json(const Message *m, json_object **ret)
{
    _cleanup_json_ json_object *object = NULL;
    json_object *recipients, *destinations;
    int r;

    r = table_record_to_json(m->message, &object);
    if (r < 0)
        return r;
    r = table_to_json(m->recipients, &recipients);
    if (r < 0)
        return r;
    (void) json_object_object_add(object, "Recipients", recipients);
    r = table_to_json(m->destinations, &destinations);
    if (r < 0)
        return r;
    (void) json_object_object_add(object, "Destinations", destinations);
    *ret = TAKE_PTR(object);
    return 0;
}

static int message_show(const Message *m, const Output *o)
{
    int r;

    r = table_show_record(m->message, o);
    if (r < 0)
        return r;
    (void) fputc('\n', o->file);
    r = table_show(m->recipients, o);
    if (r < 0 || table_rows(m->destinations) == 0)
        return r;
    (void) fputc('\n', o->file);
    return table_show(m->destinations, o);
}

/* A message an object; of several an array. */
int verb_queue_show(Context *context, char *const *arguments)
{
    _cleanup_json_ json_object *all = json_object_new_array();
    const Output *o = &context->output;
    int r;

    if (!all)
        return -ENOMEM;
    for (char *const *id = arguments; *id; id++) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(message_done) Message m = {};
        json_object *value;

        r = message_init(&m);
        if (r >= 0)
            r = bus_call(context->bus, &get_message, &reply, &context->failure, "s", *id);
        if (r >= 0)
            r = bus_reply_check(&get_message, read_message(reply, *id, &m), &context->failure);
        if (r < 0)
            return r;
        if (o->json != OUTPUT_JSON_OFF) {
            r = message_to_json(&m, &value);
            if (r < 0)
                return r;
            (void) json_object_array_add(all, value);
            continue;
        }
        context_page(context);
        if (id > arguments)
            (void) fputs("\n\n", o->file);
        r = message_show(&m, o);
        if (r < 0)
            return r;
    }
    if (o->json == OUTPUT_JSON_OFF)
        return 0;
    return output_value(o, arguments[1] ? TAKE_PTR(all) : json_object_get(json_object_array_get_idx(all, 0)));
}

/* ---- flush ---- */

int verb_queue_flush(Context *context, char *const *arguments)
{
    const BusMethod *method = arguments[0] ? &flush_destination : &flush_all;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_json_ json_object *object = NULL;
    const Output *o = &context->output;
    uint32_t deliveries;
    int r;

    r = bus_call(context->bus, method, &reply, &context->failure, arguments[0] ? "s" : "", arguments[0]);
    if (r >= 0)
        r = bus_reply_check(method, sd_bus_message_read(reply, "u", &deliveries), &context->failure);
    if (r < 0)
        return r;
    if (o->json == OUTPUT_JSON_OFF) {
        (void) fprintf(o->file, "%" PRIu32 " %s tried now.\n", deliveries, deliveries == 1 ? "delivery is" : "deliveries are");
        return 0;
    }
    object = json_object_new_object();
    if (!object || json_object_object_add(object, "Deliveries", json_object_new_int64(deliveries)) < 0)
        return -ENOMEM;
    return output_value(o, TAKE_PTR(object));
}
