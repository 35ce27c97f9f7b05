/* SPDX-License-Identifier: Apache-2.0 */

/* Puts alertd together, and says in the journal what becomes of alerts. */

#include "alertd-manager.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "alert-mail.h"
#include "catalog-ids.h"
#include "log.h"
#include "role.h"

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    /* The spool first: what it has finished writing still concerns the alerts, and these those who raised them. */
    spool_free(m->spool);
    alerts_free(m->alerts);
    sender_free(m->sender);
    system_bus_free(m->system_bus);
    peer_server_free(m->server);
    peer_client_free(m->dnsd);
    alert_config_free(m->config);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}

/* ---- the journal ---- */

static void log_alert(const Manager *m, const AlertsRaise *raise)
{
    const AlertMail mail = {
        .host = m->config->host_name,
        .severity = alert_severity_to_string(raise->severity),
        .type = alert_type_to_title(raise->type),
        .summary = raise->summary,
    };
    static const int priorities[] = {[ALERT_INFO] = LOG_INFO, [ALERT_WARNING] = LOG_WARNING, [ALERT_CRITICAL] = LOG_CRIT};
    _cleanup_free_ char *subject = NULL;

    (void) alert_mail_subject(&mail, &subject);
    log_event(priorities[raise->severity], ALERT_RAISED_ID,
            (const LogField[]) {
                    {"POSTERN_PEER", raise->origin},
                    {"POSTERN_REASON", raise->summary},
                    {"POSTERN_ALERT_SEVERITY", mail.severity},
                    {"POSTERN_ALERT_TYPE", alert_type_to_string(raise->type)},
                    {"POSTERN_ALERT_KEY", raise->key},
            },
            5, "Alert: %s", subject ? subject : raise->summary);
}

static void on_failed(const SpoolItem *item, bool temporary, unsigned n_recipients, const char *reason, void *userdata)
{
    const LogField fields[] = {{"POSTERN_ALERT_KEY", item->key}, {"POSTERN_REASON", reason}};

    if (temporary)
        log_event(LOG_WARNING, NULL, fields, ELEMENTSOF(fields), "Alert \"%s\" could not be mailed yet to %u recipient(s): %s",
                item->summary, n_recipients, reason);
    else
        log_event(LOG_ERR, NULL, fields, ELEMENTSOF(fields), "Alert \"%s\" will not be mailed to %u recipient(s): %s",
                item->summary, n_recipients, reason);
}

static void on_mailed(const SpoolItem *item, unsigned n_recipients, void *userdata)
{
    const LogField fields[] = {{"POSTERN_ALERT_KEY", item->key}};

    log_event(LOG_INFO, NULL, fields, ELEMENTSOF(fields), "Alert \"%s\" mailed to %u recipient(s), for %u occurrence(s)",
            item->summary, n_recipients, item->count);
}

static void on_not_stored(const SpoolItem *item, int error, void *userdata)
{
    (void) log_error_errno(error, "Alert \"%s\" could not be stored, mailing it from memory: %m", item->summary);
}

static const AlertsOps alerts_ops = {
    .failed = on_failed,
    .mailed = on_mailed,
    .not_stored = on_not_stored,
};

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    const LogField fields[] = {{"POSTERN_PEER", role_to_string(role_from_uid(uid))}, {"POSTERN_REASON", reason}};

    log_event(LOG_WARNING, PEER_DROPPED_ID, fields, ELEMENTSOF(fields), "Dropped a connection of uid %u: %s", uid, reason);
}

int manager_raise(Manager *m, const AlertsRaise *raise, SpoolDone done, void *userdata)
{
    log_alert(m, raise);
    bus_emit_raised(m, raise);
    return alerts_raise(m->alerts, raise, done, userdata);
}

/* ---- configuration ---- */

int manager_check_config(const char *root, ConfReport *report)
{
    _cleanup_(alert_config_freep) AlertConfig *config = NULL;

    return alert_config_load(&config, root, report);
}

static int configure(Manager *m, ConfReport *report)
{
    _cleanup_(alert_config_freep) AlertConfig *config = NULL, *old = NULL;
    int r;

    r = alert_config_load(&config, "", report);
    if (r < 0)
        return r;
    r = sender_configure(m->sender, config);
    if (r < 0)
        return r;
    old = m->config;
    m->config = TAKE_PTR(config);
    if (m->alerts)
        alerts_configure(m->alerts, m->config);
    return 0;
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
    daemon_notify_ready("Mailing alerts");
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

/* ---- start ---- */

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

/* Also the name of the spool must be on the disk: it is fsync()ed in, never itself. */
static int make_spool(const char *state_directory)
{
    _cleanup_close_ int fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (mkdirat(fd, "spool", 0700) < 0 && errno != EEXIST) || fsync(fd) < 0)
        return negative_errno();
    return 0;
}

static int start_alerts(Manager *m, const char *state_directory)
{
    _cleanup_free_ char *path = NULL;
    unsigned recovered, broken;
    int r;

    if (asprintf(&path, "%s/spool", state_directory) < 0)
        return log_error_errno(-ENOMEM, "Failed to start: %m");
    r = make_spool(state_directory);
    if (r < 0)
        return log_error_errno(r, "Failed to make %s: %m", path);
    r = spool_new(&m->spool, m->event, path);
    if (r < 0)
        return log_error_errno(r, "Failed to open the spool %s: %m", path);
    r = alerts_new(&m->alerts, m->event, m->spool, m->sender, m->config, &alerts_ops, m);
    if (r < 0)
        return log_error_errno(r, "Failed to start: %m");
    r = alerts_recover(m->alerts, &recovered, &broken);
    if (r < 0)
        return log_error_errno(r, "Failed to read the spool %s: %m", path);
    if (recovered > 0)
        log_info("%u alerts of the last run are still to be mailed", recovered);
    if (broken > 0)
        log_warning("%u files in %s are no alerts; look at them and remove them", broken, path);
    return 0;
}

static int start_buses(Manager *m)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    fd = daemon_take_fd("peer");
    if (fd < 0)
        return log_error_errno(fd, "There is no peer socket; alertd is started by postern-alertd.socket: %m");
    bus_objects(m, m->objects, m->system_objects);
    r = peer_server_new(&m->server, m->event, fd, "alertd", bus_access, m->objects);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the peer socket: %m");
    (void) TAKE_FD(fd);
    peer_server_set_dropped(m->server, on_dropped, m);
    r = system_bus_new(&m->system_bus, m->event, "org.postern.Alert1", "postern-alertd", m->system_objects, system_bus_access);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the system bus: %m");
    return 0;
}

int manager_new(Manager **ret, const char *state_directory)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    m = calloc(1, sizeof(*m));
    if (!m)
        return log_error_errno(-ENOMEM, "Failed to start: %m");
    m->control = (DaemonControl) {.reload = control_reload, .describe = control_describe, .userdata = m};
    r = role_init();
    if (r < 0)
        return log_error_errno(r, "Failed to look up the users of the suite: %m");
    r = daemon_event_new(&m->event, NULL, on_hangup, m);
    if (r < 0)
        return log_error_errno(r, "Failed to make an event loop: %m");
    r = peer_client_new(&m->dnsd, m->event, "dnsd");
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the way to dnsd: %m");
    r = sender_new(&m->sender, m->event, m->dnsd);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare sending: %m");
    r = start_configuration(m);
    if (r < 0)
        return r;
    r = start_alerts(m, state_directory);
    if (r < 0)
        return r;
    r = start_buses(m);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}
