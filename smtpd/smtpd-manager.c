/* SPDX-License-Identifier: Apache-2.0 */

/* Configuration, sockets and workers of smtpd. It must never read from a client's connection, and never let a configuration that
 * was not checked reach a worker. */

#include "smtpd-manager.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "catalog-ids.h"
#include "log.h"
#include "smtpd-bus.h"
#include "smtpd-worker.h"

/* Beyond what sessions are allowed when stopping: for the workers' own end. */
#define STOP_EXTRA_USEC (5 * USEC_PER_SEC)

static const char *const worker_peers[] = {"certd", "certd:sign", "deliverd", NULL};

/* ---- workers ---- */

static int on_listen_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    if (sd_bus_message_is_method_error(reply, NULL))
        log_error("A worker does not listen: %s", sd_bus_message_get_error(reply)->message);
    return 0;
}

static int send_sockets(Manager *m, Worker *w)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
    int r;

    r = sd_bus_message_new_method_call(worker_bus(w), &call, NULL, WORKER_PATH, SMTPD_WORKER_INTERFACE, "Listen");
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(call, 'a', "(sh)");
    for (size_t i = 0; r >= 0 && i < m->n_sockets; i++)
        r = sd_bus_message_append(call, "(sh)", m->sockets[i].name, m->sockets[i].fd);
    if (r >= 0)
        r = sd_bus_message_close_container(call);
    if (r >= 0)
        r = sd_bus_call_async(worker_bus(w), NULL, call, on_listen_reply, m, 0);
    return r;
}

static void on_worker_ready(Worker *w, void *userdata)
{
    int r = send_sockets(userdata, w);

    if (r < 0)
        (void) log_error_errno(r, "Failed to hand the sockets to worker %d: %m", (int) worker_pid(w));
}

static void on_worker_gone(Worker *w, int code, int status, bool expected, void *userdata)
{
    char reason[64];

    if (expected)
        return;
    if (code == CLD_EXITED)
        (void) snprintf(reason, sizeof(reason), "exited with status %d", status);
    else
        (void) snprintf(reason, sizeof(reason), "killed by signal %d (%s)", status, sigabbrev_np(status) ?: "?");
    log_event(LOG_ERR, WORKER_DIED_ID, &(LogField) {"POSTERN_REASON", reason}, 1,
            "Worker %d %s; its sessions ended with it, another takes its place", (int) worker_pid(w), reason);
}

static const WorkerPoolOps worker_ops = {
    .ready = on_worker_ready,
    .gone = on_worker_gone,
    .peers = worker_peers,
};

/* ---- configuration ---- */

static int require_listeners(Manager *m, SmtpdConf *conf, ConfReport *report)
{
    for (size_t i = 0; i < m->n_sockets; i++) {
        const char *name = m->sockets[i].name;
        int r;

        r = smtpd_conf_require_listener(conf, name);
        if (r > 0)
            r = conf_report_add(report, CONF_WARNING, NULL, 0, "the socket %s has no section [Listener %s], defaults apply", name,
                    name);
        if (r < 0)
            return r;
    }
    return 0;
}

int manager_reload(Manager *m, ConfReport *report)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *conf = NULL;
    _cleanup_(conf_freep) Conf *source = NULL;
    _cleanup_close_ int snapshot_fd = -EBADF;
    int r;

    r = conf_read(&source, "", "smtpd", report);
    if (r < 0)
        return r;
    r = smtpd_conf_load(&conf, source, report);
    if (r < 0)
        return r;
    r = require_listeners(m, conf, report);
    if (r < 0)
        return r;
    snapshot_fd = conf_snapshot(source);
    if (snapshot_fd < 0)
        return snapshot_fd;
    if (m->workers) {
        r = worker_pool_configure(m->workers, snapshot_fd);
        if (r < 0)
            return r;
    }

    (void) close_fd(m->snapshot_fd);
    m->snapshot_fd = TAKE_FD(snapshot_fd);
    (void) smtpd_conf_unref(m->conf);
    m->conf = TAKE_PTR(conf);
    return 0;
}

/* ---- sockets ---- */

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return negative_errno();
    return 0;
}

/* Every socket that is not the peers' is a listener. */
static int take_sockets(Manager *m)
{
    for (;;) {
        ManagerSocket *s = &m->sockets[m->n_sockets];
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = daemon_take_any_fd(&name);
        if (fd == -ENOENT)
            return 0;
        if (fd < 0)
            return fd;
        if (m->n_sockets == ELEMENTSOF(m->sockets))
            return -E2BIG;
        r = set_nonblocking(fd); /* several workers accept from it */
        if (r < 0)
            return r;
        *s = (ManagerSocket) {TAKE_PTR(name), TAKE_FD(fd)};
        m->n_sockets++;
    }
}

static int serve_peers(Manager *m)
{
    _cleanup_close_ int fd = daemon_take_fd("peer");
    int r;

    if (fd == -ENOENT) {
        log_warning("There is no peer socket: postern-smtpd.socket is not active");
        return 0;
    }
    if (fd < 0)
        return fd;
    r = smtpd_bus_serve_peers(m, fd);
    if (r >= 0)
        (void) TAKE_FD(fd);
    return r;
}

static int load_configuration(Manager *m)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r < 0)
        return r;
    r = manager_reload(m, report);
    daemon_log_report(report);
    return r;
}

int manager_start(Manager *m)
{
    int r;

    r = serve_peers(m);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the peer socket: %m");
    r = take_sockets(m);
    if (r < 0)
        return log_error_errno(r, "Failed to take the listening sockets over: %m");
    if (m->n_sockets == 0)
        log_warning("There is no socket to receive on: is postern-smtp.socket active?");
    r = load_configuration(m);
    if (r < 0)
        return log_error_errno(r, "Failed to read the configuration: %m");

    r = worker_pool_new(&m->workers, m->event, m->conf->workers, &worker_ops, m);
    if (r < 0)
        return log_error_errno(r, "Failed to start workers: %m");
    r = worker_pool_configure(m->workers, m->snapshot_fd);
    if (r < 0)
        return log_error_errno(r, "Failed to configure workers: %m");
    r = smtpd_bus_connect_system(m);
    if (r < 0)
        return log_error_errno(r, "Failed to set the system bus up: %m");
    return 0;
}

/* ---- life ---- */

static void on_workers_stopped(void *userdata)
{
    Manager *m = userdata;

    (void) sd_event_exit(m->event, 0);
}

static int on_stop(void *userdata)
{
    Manager *m = userdata;

    if (m->stopping)
        return 0;
    m->stopping = true;
    daemon_notify_stopping();
    if (!m->workers)
        return sd_event_exit(m->event, 0);
    return worker_pool_stop(m->workers, m->conf->stop_timeout + STOP_EXTRA_USEC, on_workers_stopped, m);
}

static int on_reload(void *userdata)
{
    int r;

    daemon_notify_reloading();
    r = load_configuration(userdata);
    daemon_notify_ready(r < 0 ? "Receiving, with the configuration from before" : "Receiving");
    return r;
}

int manager_new(Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->snapshot_fd = -EBADF;
    r = daemon_event_new(&m->event, on_stop, on_reload, m);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    m->bus = system_bus_free(m->bus);
    m->peers = peer_server_free(m->peers);
    m->workers = worker_pool_free(m->workers);
    for (size_t i = 0; i < m->n_sockets; i++) {
        (void) close_fd(m->sockets[i].fd);
        free(m->sockets[i].name);
    }
    (void) close_fd(m->snapshot_fd);
    m->conf = smtpd_conf_unref(m->conf);
    m->event = sd_event_unref(m->event);
    free(m);
    return NULL;
}
