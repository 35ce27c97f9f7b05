/* SPDX-License-Identifier: Apache-2.0 */

/* What smtpd tells on the buses. Nobody has to call it for mail to flow. */

#include "smtpd-bus.h"

#include <arpa/inet.h>
#include <json-c/json.h>

#include "address.h"
#include "catalog-ids.h"
#include "log.h"
#include "polkit-action.h"

#define DAEMON_INTERFACE "org.postern.Daemon1"

/* ---- org.postern.Smtp1 ---- */

static void append_counter(const char *name, uint64_t value, void *userdata)
{
    (void) sd_bus_message_append(userdata, "{st}", name, value);
}

static int property_counters(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;
    int r;

    r = sd_bus_message_open_container(reply, 'a', "{st}");
    if (r < 0)
        return r;
    if (m->workers)
        worker_pool_counters(m->workers, append_counter, reply);
    return sd_bus_message_close_container(reply);
}

/* "[::]:25", malloc'ed. */
static char *socket_address(int fd)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address = {};
    socklen_t size = sizeof(address);
    _cleanup_free_ char *host = NULL;
    char *text;

    if (getsockname(fd, &address.sa, &size) < 0 || sockaddr_to_string(&address.sa, &host) < 0)
        return NULL;
    if (asprintf(&text, address.sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, ntohs(address.in.sin_port)) < 0)
        return NULL;
    return text;
}

static int property_listeners(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;
    int r;

    r = sd_bus_message_open_container(reply, 'a', "(sssss)");
    for (size_t i = 0; r >= 0 && i < m->n_sockets; i++) {
        const Listener *l = smtpd_conf_listener(m->conf, m->sockets[i].name);
        _cleanup_free_ char *address = socket_address(m->sockets[i].fd);

        r = sd_bus_message_append(reply, "(sssss)", l->name, address ?: "", l->flow->name, mail_flow_tls_to_string(l->flow->tls),
                l->certificate ?: "");
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const sd_bus_vtable smtpd_vtable[] = {
    SD_BUS_VTABLE_START(0),
    /* Sums over all workers, living and dead, about a second old. */
    SD_BUS_PROPERTY("Counters", "a{st}", property_counters, 0, 0),
    /* Name, address, mail-flow policy, TLS mode, certificate ("": what is assigned in certd). */
    SD_BUS_PROPERTY("Listeners", "a(sssss)", property_listeners, 0, 0),
    SD_BUS_VTABLE_END,
};

/* ---- org.postern.Daemon1 ---- */

static void describe_counter(const char *name, uint64_t value, void *userdata)
{
    (void) json_object_object_add(userdata, name, json_object_new_uint64(value));
}

static json_object *describe_listener(const Manager *m, size_t i)
{
    const Listener *l = smtpd_conf_listener(m->conf, m->sockets[i].name);
    _cleanup_free_ char *address = socket_address(m->sockets[i].fd);
    json_object *o = json_object_new_object();

    (void) json_object_object_add(o, "Name", json_object_new_string(l->name));
    (void) json_object_object_add(o, "Address", json_object_new_string(address ?: ""));
    (void) json_object_object_add(o, "MailFlow", json_object_new_string(l->flow->name));
    (void) json_object_object_add(o, "TLS", json_object_new_string(mail_flow_tls_to_string(l->flow->tls)));
    (void) json_object_object_add(o, "Certificate", json_object_new_string(l->certificate ?: ""));
    return o;
}

int smtpd_bus_describe(void *userdata, char **ret_json)
{
    const Manager *m = userdata;
    json_object *root = json_object_new_object(), *listeners = json_object_new_array(), *counters = json_object_new_object();
    char *text;

    for (size_t i = 0; i < m->n_sockets; i++)
        (void) json_object_array_add(listeners, describe_listener(m, i));
    if (m->workers)
        worker_pool_counters(m->workers, describe_counter, counters);
    (void) json_object_object_add(root, "HostName", json_object_new_string(m->conf->host_name));
    (void) json_object_object_add(root, "Workers", json_object_new_int((int) m->conf->workers));
    (void) json_object_object_add(root, "Listeners", listeners);
    (void) json_object_object_add(root, "Counters", counters);

    text = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN));
    (void) json_object_put(root);
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}

static int control_reload(void *userdata, ConfReport *report)
{
    int r;

    daemon_notify_reloading();
    r = manager_reload(userdata, report);
    daemon_log_report(report);
    daemon_notify_ready(r < 0 ? "Receiving, with the configuration from before" : "Receiving");
    return r;
}

/* ---- both buses ---- */

static const PeerAccess access_table[] = {
    {"org.postern.Daemon1", NULL, ROLE_ROOT | ROLE_SELF},
    {"org.postern.Smtp1", NULL, ROLE_ROOT | ROLE_SELF},
    {},
};

static const SystemBusAccess system_access[] = {
    {"org.postern.Daemon1", "Describe", SYSTEM_BUS_PUBLIC},
    {"org.postern.Daemon1", "Reload", ACTION_MANAGE_DAEMONS},
    {},
};

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    char peer[32];

    (void) snprintf(peer, sizeof(peer), "uid %u", (unsigned) uid);
    log_event(LOG_WARNING, PEER_DROPPED_ID, (LogField[]) {{"POSTERN_PEER", peer}, {"POSTERN_REASON", reason}}, 2,
            "Dropped a peer (%s): %s", peer, reason);
}

/* Outlives both buses, as they want it. */
static const PeerObject *objects(Manager *m)
{
    m->control = (DaemonControl) {control_reload, smtpd_bus_describe, m};
    m->objects[0] = (PeerObject) {SMTPD_BUS_PATH, SMTPD_BUS_NAME, smtpd_vtable, m};
    m->objects[1] = (PeerObject) {SMTPD_BUS_PATH, DAEMON_INTERFACE, daemon_vtable, &m->control};
    return m->objects;
}

int smtpd_bus_serve_peers(Manager *m, int listen_fd)
{
    int r;

    r = peer_server_new(&m->peers, m->event, listen_fd, "smtpd", access_table, objects(m));
    if (r >= 0)
        peer_server_set_dropped(m->peers, on_dropped, m);
    return r;
}

int smtpd_bus_connect_system(Manager *m)
{
    return system_bus_new(&m->bus, m->event, SMTPD_BUS_NAME, "postern-smtpd", objects(m), system_access);
}
