/* SPDX-License-Identifier: Apache-2.0 */

/* Methods, properties and the signal of alertd. What a caller may say is bounded here; Raise is answered when the alert is
 * safe. */

#include "alertd-bus.h"

#include <inttypes.h>
#include <json-c/json.h>

#include "alertd-manager.h"
#include "bus-error.h"
#include "polkit-action.h"

#define ALERTD_PATH "/org/postern/Alert1"
#define ALERTD_INTERFACE "org.postern.Alert1"

/* ---- raising ---- */

static void on_raised(int result, void *userdata)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = userdata;
    sd_bus_message *call = peer_pending_call(pending);

    if (result >= 0)
        (void) sd_bus_reply_method_return(call, NULL);
    else if (result == -ENOSPC || result == -EDQUOT)
        (void) sd_bus_reply_method_errorf(call, BUS_ERROR_NO_SPACE,
                "There is no space left in the spool, and the alert could not be mailed");
    else
        (void) sd_bus_reply_method_errorf(call, BUS_ERROR_UNAVAILABLE, "The alert could not be stored: %s", strerror(-result));
}

static int read_raise(sd_bus_message *message, AlertsRaise *ret, sd_bus_error *error)
{
    const char *severity, *type, *key, *summary, *body;
    AlertsRaise raise = {0};
    int r;

    r = sd_bus_message_read(message, "sssss", &severity, &type, &key, &summary, &body);
    if (r < 0)
        return r;
    if (alert_severity_from_string(severity, &raise.severity) < 0)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "The severity must be Critical, Warning or Info");
    if (alert_type_from_string(type, &raise.type) < 0)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT,
                "The type must be System, MessageDelivery, Certificate or Queue");
    if (!*key || strlen(key) >= ALERT_KEY_MAX || !*summary || strlen(summary) >= ALERT_SUMMARY_MAX
            || strlen(body) >= ALERT_BODY_MAX)
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT,
                "Key and summary must have 1 to %d bytes, the body at most %d", ALERT_SUMMARY_MAX - 1, ALERT_BODY_MAX - 1);
    raise.key = key;
    raise.summary = summary;
    raise.body = body;
    *ret = raise;
    return 0;
}

static int method_raise(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = NULL;
    Manager *m = userdata;
    PeerCaller *caller = peer_server_caller(m->server, message);
    AlertsRaise raise;
    int r;

    r = read_raise(message, &raise, error);
    if (r < 0)
        return r;
    raise.origin = role_to_string(caller ? peer_caller_roles(caller) : ROLE_ROOT);
    r = peer_pending_new(&pending, m->server, message, strlen(raise.key) + strlen(raise.summary) + strlen(raise.body), error);
    if (r < 0)
        return r;
    r = manager_raise(m, &raise, on_raised, pending);
    if (r == -ENOBUFS)
        return sd_bus_error_set(error, BUS_ERROR_QUEUE_FULL, "The spool is full");
    if (r == -EDQUOT)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "This caller has its share of the spool");
    if (r < 0)
        return r;
    (void) TAKE_PTR(pending); /* on_raised() has it, or had it */
    return 1;
}

void bus_emit_raised(Manager *m, const AlertsRaise *raise)
{
    const char *severity = alert_severity_to_string(raise->severity), *type = alert_type_to_string(raise->type);
    sd_bus *bus = m->system_bus ? system_bus_get(m->system_bus) : NULL;

    if (bus)
        (void) sd_bus_emit_signal(bus, ALERTD_PATH, ALERTD_INTERFACE, "AlertRaised", "sssss", severity, type, raise->key,
                raise->summary, raise->origin);
    if (m->server)
        (void) peer_server_emit(m->server, ROLE_ROOT, ALERTD_PATH, ALERTD_INTERFACE, "AlertRaised", "sssss", severity, type,
                raise->key, raise->summary, raise->origin);
}

/* ---- for people ---- */

typedef struct Listing {
    sd_bus_message *reply;
    int result;
} Listing;

static void list_item(const SpoolItem *item, void *userdata)
{
    Listing *l = userdata;

    if (l->result < 0)
        return;
    l->result = sd_bus_message_append(l->reply, "(ssssstub)", item->id, alert_severity_to_string(item->severity),
            alert_type_to_string(item->type), item->key, item->summary, item->first_usec, item->count, item->held);
}

static int method_list_pending(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *m = userdata;
    Listing l;
    int r;

    r = sd_bus_message_new_method_return(message, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'a', "(ssssstub)");
    if (r < 0)
        return r;
    l = (Listing) {.reply = reply};
    alerts_each(m->alerts, list_item, &l);
    if (l.result < 0)
        return l.result;
    r = sd_bus_message_close_container(reply);
    if (r < 0)
        return r;
    return sd_bus_send(NULL, reply, NULL);
}

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"Raised", offsetof(AlertsStatistics, raised)},
    {"Held", offsetof(AlertsStatistics, held)},
    {"Mailed", offsetof(AlertsStatistics, mailed)},
    {"Refused", offsetof(AlertsStatistics, refused)},
    {"Failures", offsetof(AlertsStatistics, failures)},
};

static uint64_t counter_value(const Manager *m, size_t i)
{
    uint64_t v;

    memcpy(&v, (const char *) alerts_statistics(m->alerts) + counters[i].offset, sizeof(v));
    return v;
}

static int get_counter(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    for (size_t i = 0; i < ELEMENTSOF(counters); i++)
        if (streq(counters[i].name, property))
            return sd_bus_message_append(reply, "t", counter_value(userdata, i));
    return -ENOENT;
}

static int get_pending(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "u", alerts_pending(m->alerts));
}

int bus_describe(Manager *m, char **ret_json)
{
    json_object *object = json_object_new_object();
    char *text;

    if (!object)
        return -ENOMEM;
    (void) json_object_object_add(object, "Pending", json_object_new_int64(alerts_pending(m->alerts)));
    for (size_t i = 0; i < ELEMENTSOF(counters); i++)
        (void) json_object_object_add(object, counters[i].name, json_object_new_int64((int64_t) counter_value(m, i)));
    (void) json_object_object_add(object, "Recipients", json_object_new_int64((int64_t) m->config->n_recipients));
    (void) json_object_object_add(object, "Relay", json_object_new_string(m->config->relay.host ? m->config->relay.host : ""));
    text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}

/* ---- tables ---- */

#define RAISE_ARGS SD_BUS_ARGS("s", severity, "s", type, "s", key, "s", summary, "s", body)

static const sd_bus_vtable peer_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Raise", RAISE_ARGS, SD_BUS_NO_RESULT, method_raise, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const sd_bus_vtable public_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("ListPending", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssssstub)", alerts), method_list_pending,
            SD_BUS_VTABLE_UNPRIVILEGED),
    /* To try the way of alerts out. */
    SD_BUS_METHOD_WITH_ARGS("Raise", RAISE_ARGS, SD_BUS_NO_RESULT, method_raise, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("AlertRaised", SD_BUS_ARGS("s", severity, "s", type, "s", key, "s", summary, "s", origin), 0),
    SD_BUS_PROPERTY("Pending", "u", get_pending, 0, 0),
    SD_BUS_PROPERTY("Raised", "t", get_counter, 0, 0),
    SD_BUS_PROPERTY("Held", "t", get_counter, 0, 0),
    SD_BUS_PROPERTY("Mailed", "t", get_counter, 0, 0),
    SD_BUS_PROPERTY("Refused", "t", get_counter, 0, 0),
    SD_BUS_PROPERTY("Failures", "t", get_counter, 0, 0),
    SD_BUS_VTABLE_END,
};

const PeerAccess bus_access[] = {
    {"org.postern.Alert1.Peer", "Raise", ROLE_SMTPD | ROLE_DELIVERD | ROLE_CERTD | ROLE_DNSD | ROLE_ROOT},
    {"org.postern.Alert1", NULL, ROLE_ROOT | ROLE_SELF},
    {"org.postern.Daemon1", NULL, ROLE_ROOT | ROLE_SELF},
    {},
};

const SystemBusAccess system_bus_access[] = {
    {"org.postern.Alert1", "ListPending", ACTION_READ_ALERTS},
    {"org.postern.Alert1", "Raise", ACTION_MANAGE_DAEMONS},
    {"org.postern.Daemon1", "Describe", SYSTEM_BUS_PUBLIC},
    {"org.postern.Daemon1", "Reload", ACTION_MANAGE_DAEMONS},
    {},
};

void bus_objects(Manager *m, PeerObject objects[ALERTD_OBJECTS + 1], PeerObject system_objects[ALERTD_SYSTEM_OBJECTS + 1])
{
    const PeerObject people[] = {
        {ALERTD_PATH, ALERTD_INTERFACE, public_vtable, m},
        {ALERTD_PATH, "org.postern.Daemon1", daemon_vtable, &m->control},
        {},
    };

    memcpy(system_objects, people, sizeof(people));
    objects[0] = (PeerObject) {ALERTD_PATH, "org.postern.Alert1.Peer", peer_vtable, m};
    memcpy(objects + 1, people, sizeof(people));
}
