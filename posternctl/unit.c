/* SPDX-License-Identifier: Apache-2.0 */

/* Properties of units. Reading them starts nothing. */

#include "unit.h"

#define UNIT_INTERFACE "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE "org.freedesktop.systemd1.Service"

void unit_done(Unit *u)
{
    free(u->state);
    free(u->sub_state);
    free(u->status);
    *u = (Unit) {};
}

static int get_property(BusConnection *bus, const char *object, const char *interface, const char *name, sd_bus_message **ret)
{
    const BusMethod method = {&service_systemd, "Get", "org.freedesktop.DBus.Properties", object, .timeout_sec = 5};
    _cleanup_(failure_done) Failure failure = {}; /* nobody needs to know */

    return bus_call(bus, &method, ret, &failure, "ss", interface, name);
}

static int get_string(BusConnection *bus, const char *object, const char *interface, const char *name, char **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *s;
    int r;

    r = get_property(bus, object, interface, name, &reply);
    if (r >= 0)
        r = sd_bus_message_read(reply, "v", "s", &s);
    if (r < 0)
        return r;
    *ret = strdup(s);
    return *ret ? 0 : -ENOMEM;
}

static int get_state(BusConnection *bus, const char *object, Unit *u)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *since = NULL, *pid = NULL;
    int r;

    r = get_string(bus, object, UNIT_INTERFACE, "ActiveState", &u->state);
    if (r >= 0)
        r = get_string(bus, object, UNIT_INTERFACE, "SubState", &u->sub_state);
    if (r >= 0)
        r = get_string(bus, object, SERVICE_INTERFACE, "StatusText", &u->status);
    if (r >= 0)
        r = get_property(bus, object, UNIT_INTERFACE, "StateChangeTimestamp", &since);
    if (r >= 0)
        r = sd_bus_message_read(since, "v", "t", &u->since_usec);
    if (r >= 0)
        r = get_property(bus, object, SERVICE_INTERFACE, "MainPID", &pid);
    return r < 0 ? r : sd_bus_message_read(pid, "v", "u", &u->main_pid);
}

/* Workers are told by their command line, which their manager chose. */
static int count_workers(BusConnection *bus, const char *unit, unsigned *ret)
{
    const BusMethod method = {&service_systemd, "GetUnitProcesses", .timeout_sec = 5};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(failure_done) Failure failure = {};
    const char *group, *command;
    unsigned n = 0;
    uint32_t pid;
    int r;

    r = bus_call(bus, &method, &reply, &failure, "s", unit);
    if (r >= 0)
        r = sd_bus_message_enter_container(reply, 'a', "(sus)");
    while (r >= 0 && (r = sd_bus_message_read(reply, "(sus)", &group, &pid, &command)) > 0)
        n += strstr(command, " --worker") != NULL;
    if (r >= 0)
        *ret = n;
    return r;
}

int unit_read(BusConnection *bus, const BusService *service, Unit *ret)
{
    _cleanup_free_ char *name = NULL, *object = NULL;
    _cleanup_(unit_done) Unit u = {};
    int r;

    if (bus_connection_is_by_hand(bus)) {
        *ret = (Unit) {};
        return 0;
    }
    if (asprintf(&name, "postern-%s.service", service->name) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &object);
    if (r < 0)
        return r;
    r = get_state(bus, object, &u);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        unit_done(&u);
    else
        (void) count_workers(bus, name, &u.workers);
    *ret = u;
    u = (Unit) {};
    return 0;
}
