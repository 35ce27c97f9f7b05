/* SPDX-License-Identifier: Apache-2.0 */

/* The queue for people: what is in it, why it waits, and "try now". Who wrote to whom is private. */

#include "deliverd-bus.h"

#include <json.h>

#include "address.h"
#include "bus-error.h"
#include "peer-methods.h"
#include "polkit-action.h"
#include "probe.h"
#include "sts-bus.h"

#define DAEMON_INTERFACE "org.postern.Daemon1"

const PeerAccess deliverd_peer_access[] = {
    {DELIVERD_PEER_INTERFACE, NULL, ROLE_SMTPD},
    {DELIVERD_INTERFACE, NULL, ROLE_ROOT | ROLE_SELF},
    {DAEMON_INTERFACE, NULL, ROLE_ROOT | ROLE_SELF},
    {},
};

const SystemBusAccess deliverd_bus_access[] = {
    {DELIVERD_INTERFACE, "Flush", ACTION_MANAGE_QUEUE},
    {DELIVERD_INTERFACE, "FlushDestination", ACTION_MANAGE_QUEUE},
    {DELIVERD_INTERFACE, "GetMessage", ACTION_READ_QUEUE},
    {DELIVERD_INTERFACE, "GetStsPolicy", ACTION_READ_QUEUE},
    {DELIVERD_INTERFACE, "ListMessages", ACTION_READ_QUEUE},
    {DELIVERD_INTERFACE, "ListStsPolicies", ACTION_READ_QUEUE},
    {DELIVERD_INTERFACE, "RefreshStsPolicy", ACTION_MANAGE_QUEUE},
    {DELIVERD_INTERFACE, "Verify", ACTION_VERIFY_DESTINATION},
    {DAEMON_INTERFACE, "Describe", SYSTEM_BUS_PUBLIC},
    {DAEMON_INTERFACE, "Reload", ACTION_MANAGE_DAEMONS},
    {},
};

/* ---- the list ---- */

typedef struct List {
    sd_bus_message *reply;
    const char *after;
    unsigned n;
    int error;
} List;

static unsigned count_pending(const QueueMessage *m)
{
    unsigned n = 0;

    for (size_t i = 0; i < m->state->n_recipients; i++)
        n += m->state->recipients[i] == RECIPIENT_PENDING;
    return n;
}

static bool list_each(QueueMessage *m, void *userdata)
{
    List *l = userdata;

    if (m->status != QUEUE_COMMITTED || strcmp(m->id.text, l->after) <= 0)
        return true;
    l->error = sd_bus_message_append(l->reply, "(sttsu)", m->id.text, m->envelope->arrival_usec, m->size, m->envelope->sender,
            count_pending(m));
    return l->error >= 0 && ++l->n < DELIVERD_LIST_MAX;
}

static int method_list_messages(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *manager = userdata;
    List list = {};
    int r;

    r = sd_bus_message_read(m, "s", &list.after);
    if (r < 0)
        return r;
    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'a', "(sttsu)");
    if (r < 0)
        return r;
    list.reply = reply;
    queue_foreach(manager->queue, list_each, &list);
    if (list.error < 0)
        return list.error;
    r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- one message ---- */

static int append_recipients(sd_bus_message *reply, const QueueMessage *m)
{
    int r;

    r = sd_bus_message_open_container(reply, 'a', "(ss)");
    for (size_t i = 0; r >= 0 && i < m->envelope->n_recipients; i++)
        r = sd_bus_message_append(reply, "(ss)", m->envelope->recipients[i], recipient_status_to_string(m->state->recipients[i]));
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_destinations(sd_bus_message *reply, const QueueMessage *m)
{
    int r;

    r = sd_bus_message_open_container(reply, 'a', "(suts)");
    for (size_t i = 0; r >= 0 && i < m->state->n_destinations; i++) {
        const DestinationState *d = m->state->destinations + i;

        r = sd_bus_message_append(reply, "(suts)", d->domain, d->attempts, d->next_usec, d->reason);
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_get_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const QueueMessage *message;
    Manager *manager = userdata;
    const char *text;
    QueueId id;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    message = queue_id_parse(text, &id) < 0 ? NULL : queue_find(manager->queue, &id);
    if (!message || message->status != QUEUE_COMMITTED)
        return sd_bus_error_set(error, BUS_ERROR_NO_SUCH_MESSAGE, "There is no such message in the queue.");
    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "tts", message->envelope->arrival_usec, message->size, message->envelope->sender);
    if (r < 0)
        return r;
    r = append_recipients(reply, message);
    if (r < 0)
        return r;
    r = append_destinations(reply, message);
    if (r >= 0)
        r = sd_bus_message_append(reply, "s", message_tls_to_string(message->envelope->tls));
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- try now ---- */

static int flush(Manager *manager, sd_bus_message *m, const char *domain)
{
    const unsigned n = schedule_flush(manager->schedule, domain);

    manager_kick(manager);
    return sd_bus_reply_method_return(m, "u", n);
}

static int method_flush(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return flush(userdata, m, NULL);
}

static int method_flush_destination(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_free_ char *domain = NULL;
    const char *text;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    if (*text == '[')
        return flush(userdata, m, text);
    r = domain_normalize(text, &domain);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "This is no domain.");
    return flush(userdata, m, domain);
}

/* ---- properties ---- */

static int property_messages(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "u", queue_count(m->queue, QUEUE_COMMITTED));
}

static int property_receiving(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "u", queue_count(m->queue, QUEUE_RECEIVING));
}

static int property_waiting(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "u", schedule_count(m->schedule, SCHEDULE_WAITING));
}

static int property_running(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "u", schedule_count(m->schedule, SCHEDULE_RUNNING));
}

static const sd_bus_vtable public_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("ListMessages", SD_BUS_ARGS("s", after), SD_BUS_RESULT("a(sttsu)", messages), method_list_messages,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetMessage", SD_BUS_ARGS("s", id),
            SD_BUS_RESULT("t", arrival_usec, "t", size, "s", sender, "a(ss)", recipients, "a(suts)", destinations,
                    "s", tls),
            method_get_message, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Flush", SD_BUS_NO_ARGS, SD_BUS_RESULT("u", deliveries), method_flush, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("FlushDestination", SD_BUS_ARGS("s", domain), SD_BUS_RESULT("u", deliveries),
            method_flush_destination, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListStsPolicies", SD_BUS_ARGS("s", after), SD_BUS_RESULT("a(ssstts)", policies), sts_bus_list,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetStsPolicy", SD_BUS_ARGS("s", domain),
            SD_BUS_RESULT("s", mode, "s", id, "u", max_age, "t", fetched_usec, "t", expires_usec, "as", mx, "t", failed_usec,
                    "s", failure),
            sts_bus_get, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RefreshStsPolicy", SD_BUS_ARGS("s", domain), SD_BUS_NO_RESULT, sts_bus_refresh,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Verify", SD_BUS_ARGS("s", domain, "a{sv}", options), SD_BUS_RESULT("s", result), probe_method_verify,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("VerifyStep", SD_BUS_ARGS("t", call, "s", step), 0),
    SD_BUS_PROPERTY("Messages", "u", property_messages, 0, 0),
    SD_BUS_PROPERTY("Receiving", "u", property_receiving, 0, 0),
    SD_BUS_PROPERTY("WaitingDeliveries", "u", property_waiting, 0, 0),
    SD_BUS_PROPERTY("RunningDeliveries", "u", property_running, 0, 0),
    SD_BUS_PROPERTY("Received", "t", NULL, offsetof(Manager, n_received), 0),
    SD_BUS_PROPERTY("Delivered", "t", NULL, offsetof(Manager, n_delivered), 0),
    SD_BUS_PROPERTY("Deferred", "t", NULL, offsetof(Manager, n_deferred), 0),
    SD_BUS_PROPERTY("Failed", "t", NULL, offsetof(Manager, n_bounced), 0),
    SD_BUS_VTABLE_END,
};

void deliverd_bus_objects(Manager *m)
{
    const PeerObject peer = {DELIVERD_PATH, DELIVERD_PEER_INTERFACE, peer_methods_vtable, m};
    const PeerObject people = {DELIVERD_PATH, DELIVERD_INTERFACE, public_vtable, m};
    const PeerObject daemon = {DELIVERD_PATH, DAEMON_INTERFACE, daemon_vtable, &m->control};

    m->peer_objects[0] = peer;
    m->peer_objects[1] = people;
    m->peer_objects[2] = daemon;
    m->bus_objects[0] = people;
    m->bus_objects[1] = daemon;
}

/* ---- Describe() ---- */

static void json_putp(json_object **o)
{
    json_object_put(*o);
}

static void describe_counter(const char *name, uint64_t value, void *userdata)
{
    json_object_object_add(userdata, name, json_object_new_uint64(value));
}

int deliverd_bus_describe(void *userdata, char **ret_json)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *workers = json_object_new_object();
    Manager *m = userdata;
    char *text;

    json_object_object_add(o, "Messages", json_object_new_int64(queue_count(m->queue, QUEUE_COMMITTED)));
    json_object_object_add(o, "Receiving", json_object_new_int64(queue_count(m->queue, QUEUE_RECEIVING)));
    json_object_object_add(o, "WaitingDeliveries", json_object_new_int64(schedule_count(m->schedule, SCHEDULE_WAITING)));
    json_object_object_add(o, "ReadyDeliveries", json_object_new_int64(schedule_count(m->schedule, SCHEDULE_READY)));
    json_object_object_add(o, "RunningDeliveries", json_object_new_int64(schedule_count(m->schedule, SCHEDULE_RUNNING)));
    json_object_object_add(o, "Received", json_object_new_uint64(m->n_received));
    json_object_object_add(o, "Delivered", json_object_new_uint64(m->n_delivered));
    json_object_object_add(o, "Deferred", json_object_new_uint64(m->n_deferred));
    json_object_object_add(o, "Failed", json_object_new_uint64(m->n_bounced));
    json_object_object_add(o, "Connections", json_object_new_int64(peer_server_connections(m->server)));
    if (m->workers)
        worker_pool_counters(m->workers, describe_counter, workers);
    json_object_object_add(o, "Workers", workers);
    text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}
