/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon on the system bus. It must never block the loop and never matter to mail: without a bus it only tries again.
 *
 * Who a caller is knows the bus alone, and what he may, polkit. sd-bus would ask synchronously; here the call is put aside, and the
 * answer decides whether the handler is called. So this file finds the handlers of members that are not public itself. */

#include "system-bus.h"

#include <stdarg.h>

#include "bus-authorizer.h"
#include "bus-direct.h"
#include "bus-error.h"
#include "log.h"
#include "polkit-action.h"

#define RECONNECT_MIN_USEC USEC_PER_SEC
#define RECONNECT_MAX_USEC (30 * USEC_PER_SEC)

#define LOG_CONTROL_PATH "/org/freedesktop/LogControl1"
#define LOG_CONTROL_INTERFACE "org.freedesktop.LogControl1"
#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

struct SystemBus {
    sd_event *event;
    sd_event_source *connect_source;
    sd_bus *bus;
    char *name;
    const char *identifier;
    const PeerObject *objects;
    const SystemBusAccess *access;
    BusAuthorizer *authorizer;
    uint64_t delay;
    bool has_name;
};

/* ---- LogControl1 ---- */

static const char *const level_names[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

static int level_from_string(const char *s)
{
    for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
        if (streq(level_names[i], s))
            return (int) i;
    return -EINVAL;
}

static int get_log_level(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_message_append(reply, "s", level_names[LOG_PRI(log_get_max_level())]);
}

static int set_log_level(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *value,
        void *userdata, sd_bus_error *reterr_error)
{
    const char *s;
    int r;

    r = sd_bus_message_read(value, "s", &s);
    if (r < 0)
        return r;
    r = level_from_string(s);
    if (r < 0)
        return sd_bus_error_setf(reterr_error, SD_BUS_ERROR_INVALID_ARGS, "\"%s\" is no log level.", s);
    log_set_max_level(r);
    return 0;
}

static int get_log_target(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_message_append(reply, "s", "journal");
}

static int get_identifier(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *reterr_error)
{
    const SystemBus *b = userdata;

    return sd_bus_message_append(reply, "s", b->identifier);
}

static const sd_bus_vtable log_control_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_log_level, set_log_level, 0, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("LogTarget", "s", get_log_target, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};

/* ---- calls that not everybody may make ---- */

static bool has_interface(const SystemBus *b, const char *interface)
{
    for (const PeerObject *o = b->objects; o->path; o++)
        if (streq(o->interface, interface))
            return true;
    return false;
}

/* Whether the call is everybody's; if not, *ret_action is what polkit is asked for, NULL: only root may. What stands in no table is
 * root's, if it is ours: a method must not become public by being forgotten. */
static bool is_public(const SystemBus *b, const char *interface, const char *member, const char **ret_action)
{
    if (streq(interface, PROPERTIES_INTERFACE) && streq(member, "Set")) {
        *ret_action = ACTION_MANAGE_DAEMONS;
        return false;
    }
    if (!has_interface(b, interface))
        return true;
    for (const SystemBusAccess *a = b->access; a->interface; a++)
        if (streq(a->interface, interface) && streq(a->member, member)) {
            *ret_action = a->action;
            return a->action && streq(a->action, SYSTEM_BUS_PUBLIC);
        }
    *ret_action = NULL;
    return false;
}

/* The entries of a vtable lie element_size apart, as its first entry says. */
static const sd_bus_vtable *vtable_next(const sd_bus_vtable *start, const sd_bus_vtable *v)
{
    return (const sd_bus_vtable *) ((const char *) v + start->x.start.element_size);
}

static const sd_bus_vtable *vtable_find_method(const sd_bus_vtable *start, const char *member)
{
    for (const sd_bus_vtable *v = vtable_next(start, start); v->type != _SD_BUS_VTABLE_END; v = vtable_next(start, v))
        if (v->type == _SD_BUS_VTABLE_METHOD && streq(v->x.method.member, member))
            return v;
    return NULL;
}

/* What sd-bus does with a call: the signature, the handler, its error as the answer. */
static int object_handle(const PeerObject *o, const sd_bus_vtable *v, sd_bus_message *m, sd_bus_error *error)
{
    if (!streq(sd_bus_message_get_signature(m, true), v->x.method.signature ?: ""))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Invalid arguments '%s' to call %s.%s(), expecting '%s'.",
                sd_bus_message_get_signature(m, true), o->interface, v->x.method.member, v->x.method.signature ?: "");
    return v->x.method.handler(m, o->userdata, error);
}

/* Of all objects only LogControl1 has a property that can be set. */
static int handle_set_property(sd_bus_message *m, sd_bus_error *error)
{
    const char *interface, *property;
    int r;

    r = sd_bus_message_read(m, "ss", &interface, &property);
    if (r < 0)
        return r;
    if (!streq(sd_bus_message_get_path(m), LOG_CONTROL_PATH) || !streq(interface, LOG_CONTROL_INTERFACE)
            || !streq(property, "LogLevel"))
        return sd_bus_error_setf(error, SD_BUS_ERROR_PROPERTY_READ_ONLY, "Property %s.%s cannot be set.", interface, property);
    r = sd_bus_message_enter_container(m, 'v', "s");
    if (r < 0)
        return r;
    r = set_log_level(NULL, LOG_CONTROL_PATH, interface, property, m, NULL, error);
    if (r < 0)
        return r;
    return sd_bus_reply_method_return(m, NULL);
}

static int call_handle(SystemBus *b, sd_bus_message *m, sd_bus_error *error)
{
    const char *path = sd_bus_message_get_path(m), *interface = sd_bus_message_get_interface(m),
            *member = sd_bus_message_get_member(m);

    if (streq(interface, PROPERTIES_INTERFACE))
        return handle_set_property(m, error);
    for (const PeerObject *o = b->objects; o->path; o++) {
        const sd_bus_vtable *v;

        if (!streq(o->path, path) || !streq(o->interface, interface))
            continue;
        v = vtable_find_method(o->vtable, member);
        if (v)
            return object_handle(o, v, m, error);
    }
    return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method %s of interface %s at %s.", member, interface,
            path);
}

static void call_answer_error(sd_bus_message *m, int r, const sd_bus_error *error)
{
    if (sd_bus_error_is_set(error))
        (void) sd_bus_reply_method_error(m, error);
    else if (r < 0)
        (void) sd_bus_reply_method_errno(m, r, NULL);
}

static void on_authorized(sd_bus_message *m, const sd_bus_error *refusal, void *userdata)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = 0;

    if (!refusal)
        r = call_handle(userdata, m, &error);
    call_answer_error(m, r, refusal ?: &error);
}

/* Before every handler: 0 lets the call through, 1 means that it is being dealt with. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    SystemBus *b = userdata;
    const char *interface, *action;
    uint8_t type;
    int r;

    if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
        return 0;
    interface = sd_bus_message_get_interface(m);
    if (!interface)
        r = sd_bus_error_setf(&error, SD_BUS_ERROR_UNKNOWN_METHOD, "A call has to name its interface.");
    else if (is_public(b, interface, sd_bus_message_get_member(m), &action))
        return 0;
    else
        r = bus_authorizer_ask(b->authorizer, m, action, &error);
    call_answer_error(m, r, &error);
    return 1;
}

/* ---- the connection ---- */

static void bus_drop(SystemBus *b)
{
    b->authorizer = bus_authorizer_free(b->authorizer);
    b->has_name = false;
    b->bus = sd_bus_close_unref(b->bus);
}

static void bus_retry(SystemBus *b)
{
    bus_drop(b);
    b->delay = b->delay == 0 ? RECONNECT_MIN_USEC : MIN(2 * b->delay, RECONNECT_MAX_USEC);
    (void) sd_event_source_set_time_relative(b->connect_source, b->delay);
    (void) sd_event_source_set_enabled(b->connect_source, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    bus_retry(userdata);
    return 1;
}

/* Also when the policy of the bus does not know us yet: it may be read again. */
static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    SystemBus *b = userdata;

    if (sd_bus_message_is_method_error(m, NULL)) {
        bus_retry(b);
        return 1;
    }
    b->delay = 0;
    b->has_name = true;
    return 1;
}

static int bus_add_objects(SystemBus *b)
{
    int r;

    r = sd_bus_add_object_vtable(b->bus, NULL, LOG_CONTROL_PATH, LOG_CONTROL_INTERFACE, log_control_vtable, b);
    if (r < 0)
        return r;
    for (const PeerObject *o = b->objects; o->path; o++) {
        r = sd_bus_add_object_vtable(b->bus, NULL, o->path, o->interface, o->vtable, o->userdata);
        if (r < 0)
            return r;
    }
    return 0;
}

static int bus_connect(SystemBus *b)
{
    int r;

    r = sd_bus_new(&b->bus);
    if (r < 0)
        return r;
    r = sd_bus_set_description(b->bus, "system");
    if (r < 0)
        return r;
    r = sd_bus_set_address(b->bus, secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket");
    if (r < 0)
        return r;
    r = sd_bus_set_bus_client(b->bus, true);
    if (r < 0)
        return r;
    r = sd_bus_set_close_on_exit(b->bus, false);
    if (r < 0)
        return r;
    r = sd_bus_start(b->bus);
    if (r < 0)
        return r;
    r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0)
        return r;
    r = bus_direct_match_disconnected(b->bus, on_disconnected, b);
    if (r < 0)
        return r;
    r = bus_authorizer_new(&b->authorizer, b->bus, on_authorized, b);
    if (r < 0)
        return r;
    r = sd_bus_add_filter(b->bus, NULL, on_message, b);
    if (r < 0)
        return r;
    r = bus_add_objects(b);
    if (r < 0)
        return r;
    /* Queued: a predecessor that is still ending holds the name a moment longer. */
    return sd_bus_request_name_async(b->bus, NULL, b->name, SD_BUS_NAME_QUEUE, on_name, b);
}

static int on_connect(sd_event_source *source, uint64_t usec, void *userdata)
{
    SystemBus *b = userdata;

    if (bus_connect(b) < 0)
        bus_retry(b);
    return 0;
}

int system_bus_new(SystemBus **ret, sd_event *event, const char *name, const char *identifier, const PeerObject *objects,
        const SystemBusAccess *access)
{
    _cleanup_(system_bus_freep) SystemBus *b = NULL;
    int r;

    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->event = sd_event_ref(event);
    b->identifier = identifier;
    b->objects = objects;
    b->access = access;
    b->name = strdup(name);
    if (!b->name)
        return -ENOMEM;
    r = sd_event_add_time(event, &b->connect_source, CLOCK_MONOTONIC, 0, 0, on_connect, b);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(b);
    return 0;
}

SystemBus *system_bus_free(SystemBus *b)
{
    if (!b)
        return NULL;
    bus_drop(b);
    sd_event_source_disable_unref(b->connect_source);
    sd_event_unref(b->event);
    free(b->name);
    free(b);
    return NULL;
}

sd_bus *system_bus_get(SystemBus *b)
{
    return b->bus && sd_bus_is_ready(b->bus) > 0 ? b->bus : NULL;
}

bool system_bus_has_name(const SystemBus *b)
{
    return b->has_name;
}
