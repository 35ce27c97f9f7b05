/* SPDX-License-Identifier: Apache-2.0 */

/* Puts dnsd together and keeps it configured. It decides nothing about names: resolver.c asks, answer.c judges. */

#include "dnsd-manager.h"

#include "catalog-ids.h"
#include "log.h"
#include "role.h"

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    /* First those who may ask, then what they ask for. */
    system_bus_free(m->system_bus);
    peer_server_free(m->server);
    bus_caller_clear(&m->system_caller);
    bus_tests_clear(&m->tests);
    dnssec_watch_free(m->watch);
    lookups_free(m->lookups);
    tls_relay_free(m->relay);
    peer_client_free(m->alertd);
    anchors_free(m->anchors);
    dns_config_free(m->config);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}

/* All that is made of the configuration files, or nothing of it. */
typedef struct Loaded {
    DnsConfig *config;
    Anchors *anchors;
    Resolver *resolver;
} Loaded;

static void loaded_done(Loaded *l)
{
    resolver_unref(l->resolver);
    anchors_free(l->anchors);
    dns_config_free(l->config);
}

static int make_resolver(sd_event *event, const DnsConfig *config, const Anchors *anchors, Resolver **ret, char **ret_reason)
{
    return resolver_new(ret, event, config, &(const ResolverTrust) {.anchors = anchors_trusted(anchors)}, ret_reason);
}

/* m NULL: only to check. */
static int load(const char *root, const Manager *m, ConfReport *report, Loaded *ret)
{
    _cleanup_(loaded_done) Loaded l = {};
    _cleanup_free_ char *reason = NULL;
    int r;

    r = dns_config_load(&l.config, root, report);
    if (r < 0)
        return r;
    if (m)
        l.config->relay_port = tls_relay_port(m->relay);
    r = anchors_new(&l.anchors, l.config, m ? m->state : NULL, m ? m->work : NULL, report);
    if (r < 0)
        return r;
    r = make_resolver(m ? m->event : NULL, l.config, l.anchors, &l.resolver, &reason);
    if (r == -EINVAL && reason) {
        r = conf_report_add(report, CONF_ERROR, NULL, 0, "libunbound refuses the settings: %s", reason);
        return r < 0 ? r : -EBADMSG;
    }
    if (r < 0)
        return r;
    *ret = l;
    l = (Loaded) {};
    return 0;
}

int manager_check_config(const char *root, ConfReport *report)
{
    _cleanup_(loaded_done) Loaded l = {};

    return load(root, NULL, report, &l);
}

static int configure(Manager *m, ConfReport *report)
{
    _cleanup_(loaded_done) Loaded l = {};
    int r;

    r = load("", m, report, &l);
    if (r < 0)
        return r;
    r = tls_relay_configure(m->relay, l.config);
    if (r == -EBADMSG)
        (void) conf_report_add(report, CONF_ERROR, NULL, 0, "No certificates can be read from ForwardCAFile=%s", l.config->forward_ca_file);
    if (r < 0)
        return r;
    r = dnssec_watch_configure(m->watch, l.config, l.anchors);
    if (r < 0) {
        /* Not even to the old forwarders, if it comes to that: l goes. */
        if (!m->config || tls_relay_configure(m->relay, m->config) < 0)
            tls_relay_close(m->relay);
        return r;
    }
    lookups_configure(m->lookups, l.resolver, l.config->pending_max, l.config->timeout_usec);
    dns_config_free(m->config);
    anchors_free(m->anchors);
    m->config = TAKE_PTR(l.config);
    m->anchors = TAKE_PTR(l.anchors);
    return 0;
}

int manager_flush(Manager *m)
{
    _cleanup_(resolver_unrefp) Resolver *resolver = NULL;
    _cleanup_free_ char *reason = NULL;
    int r;

    r = make_resolver(m->event, m->config, m->anchors, &resolver, &reason);
    if (r < 0)
        return r;
    lookups_configure(m->lookups, resolver, m->config->pending_max, m->config->timeout_usec);
    return 0;
}

static void on_trust_changed(void *userdata)
{
    int r;

    r = manager_flush(userdata);
    if (r < 0)
        (void) log_warning_errno(r, "Failed to take the new trust anchors into use, the old ones hold until a reload: %m");
}

static void on_tested(void *userdata)
{
    bus_tests_answer(userdata);
}

static const DnssecWatchOps watch_ops = {.trust_changed = on_trust_changed, .tested = on_tested};

static void on_failed_lookup(void *userdata)
{
    Manager *m = userdata;

    dnssec_watch_suspect(m->watch);
}

int manager_reload(Manager *m, ConfReport *report)
{
    int r;

    daemon_notify_reloading();
    r = configure(m, report);
    daemon_log_report(report);
    if (r < 0)
        (void) log_error_errno(r, "Reload refused, the old configuration stays: %m");
    else
        log_info("Configuration reloaded");
    daemon_notify_ready("Answering");
    return r;
}

static int on_hangup(void *userdata)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r < 0)
        return r;
    (void) manager_reload(userdata, report); /* logged there; the old configuration goes on */
    return 0;
}

static int control_reload(void *userdata, ConfReport *report)
{
    return manager_reload(userdata, report);
}

static int control_describe(void *userdata, char **ret_json)
{
    return bus_describe(userdata, ret_json);
}

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    char text[24];

    (void) snprintf(text, sizeof(text), "%u", uid);
    log_event(LOG_WARNING, PEER_DROPPED_ID, (const LogField[]) {{"POSTERN_PEER", text}, {"POSTERN_REASON", reason}}, 2,
            "Dropped a peer with uid %u: %s", uid, reason);
}

static int start_configuration(Manager *m)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r < 0)
        return log_error_errno(r, "Failed to start: %m");
    r = configure(m, report);
    daemon_log_report(report);
    if (r < 0)
        return log_error_errno(r, "Failed to read the configuration: %m");
    return 0;
}

static int start_buses(Manager *m)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    fd = daemon_take_fd("peer");
    if (fd < 0)
        return log_error_errno(fd, "No socket named \"peer\" was handed over; start postern-dnsd.socket: %m");
    bus_objects(m, m->objects, m->system_objects);
    r = peer_server_new(&m->server, m->event, fd, "dnsd", bus_access, m->objects);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the peer socket: %m");
    (void) TAKE_FD(fd);
    peer_server_set_dropped(m->server, on_dropped, m);
    r = system_bus_new(&m->system_bus, m->event, "org.postern.Dns1", "postern-dnsd", m->system_objects, system_bus_access);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the system bus: %m");
    return 0;
}

int manager_new(Manager **ret, const char *state, const char *work)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    m = calloc(1, sizeof(*m));
    if (!m)
        return log_error_errno(-ENOMEM, "Failed to start: %m");
    m->control = (DaemonControl) {.reload = control_reload, .describe = control_describe, .userdata = m};
    m->state = state;
    m->work = work;
    bus_caller_init(&m->system_caller);
    r = role_init();
    if (r < 0)
        return log_error_errno(r, "Failed to look up the users of the suite: %m");
    r = daemon_event_new(&m->event, NULL, on_hangup, m);
    if (r < 0)
        return log_error_errno(r, "Failed to make an event loop: %m");
    r = lookups_new(&m->lookups, m->event);
    if (r >= 0)
        r = peer_client_new(&m->alertd, m->event, "alertd");
    if (r >= 0)
        r = tls_relay_new(&m->relay, m->event);
    if (r >= 0)
        r = dnssec_watch_new(&m->watch, m->event, m->alertd, &watch_ops, m);
    if (r < 0)
        return log_error_errno(r, "Failed to start: %m");
    lookups_set_failed(m->lookups, on_failed_lookup, m);
    r = start_configuration(m);
    if (r < 0)
        return r;
    r = start_buses(m);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}
