/* SPDX-License-Identifier: Apache-2.0 */

/* Start, reload, turn and end of deliverd's manager. */

#include "deliverd-manager.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "attempt-call.h"
#include "catalog-ids.h"
#include "deliverd-bus.h"
#include "delivery.h"
#include "fetcher.h"
#include "log.h"
#include "probe.h"
#include "sts-fetch.h"
#include "sts-report.h"
#include "sts.h"

/* Commits wait for the disk, so there are more threads than processors: their fsyncs share journal commits. */
#define THREADS 16
#define JOBS_MAX 8192

static const char *const worker_peers[] = {"certd", "certd:sign", NULL}, *const fetcher_peers[] = {"certd", NULL};

uint64_t manager_now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* ---- turns ---- */

static int on_kick(sd_event_source *source, void *userdata)
{
    Manager *m = userdata;
    ScheduleEntry *e;
    uint64_t due;

    /* A worker that gets ready kicks again. */
    if (m->stopping || !worker_pool_next(m->workers, NULL))
        return 0;
    while ((e = schedule_next(m->schedule, manager_now())))
        delivery_start(e->userdata);
    due = schedule_due(m->schedule);
    if (due == UINT64_MAX)
        return sd_event_source_set_enabled(m->due, SD_EVENT_OFF);
    if (sd_event_source_set_time(m->due, due) < 0)
        return -EIO;
    return sd_event_source_set_enabled(m->due, SD_EVENT_ONESHOT);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
    manager_kick(userdata);
    return 0;
}

void manager_kick(Manager *m)
{
    if (m->kick)
        (void) sd_event_source_set_enabled(m->kick, SD_EVENT_ONESHOT);
}

Worker *manager_next_worker(Manager *m)
{
    Worker *w = m->last_worker ? worker_pool_next(m->workers, m->last_worker) : NULL;

    m->last_worker = w ?: worker_pool_next(m->workers, NULL);
    return m->last_worker;
}

/* ---- the queue ---- */

static void on_committed(QueueMessage *message, void *userdata)
{
    Manager *m = userdata;
    int r;

    r = mail_new(m, message);
    if (r < 0)
        (void) log_error_errno(r, "%s: it stays in the queue and is delivered after the next start: %m", message->id.text);
    manager_kick(m);
}

static void on_removed(QueueMessage *message, void *userdata)
{
    message->userdata = mail_free(message->userdata);
}

static void on_trouble(const char *id, int error, const char *detail, void *userdata)
{
    const LogField fields[] = {{"POSTERN_QUEUE_ID", id}, {"POSTERN_REASON", detail}};

    log_event(LOG_ERR, NULL, fields, ELEMENTSOF(fields), "%s: %s: %s", id ?: "queue", detail, strerror(-error));
}

static void on_scanned(unsigned messages, void *userdata)
{
    log_info("The queue has been read: %u messages of former runs", messages);
}

static const QueueOps queue_ops = {on_committed, on_removed, on_trouble, on_scanned};

static QueueLimits queue_limits(const DeliverdConf *conf)
{
    return (QueueLimits) {.messages = conf->max_messages, .free_bytes = conf->min_free_space};
}

/* The queue's own name must be on the disk, too, before anything in it is answered for. */
static int make_queue(const char *state_directory)
{
    _cleanup_close_ int fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || (mkdirat(fd, "queue", 0700) < 0 && errno != EEXIST) || fsync(fd) < 0)
        return negative_errno();
    return 0;
}

static void get_limits(const char *domain, ScheduleLimits *ret, void *userdata)
{
    const Manager *m = userdata;
    const DestinationPolicy p = destination_policy(&m->conf->destinations, domain);

    *ret = (ScheduleLimits) {.running = p.max_connections, .recipients = p.max_recipients, .period_usec = p.recipient_period};
}

int manager_open_queue(Manager *m, const char *state_directory)
{
    const QueueLimits limits = queue_limits(m->conf);
    _cleanup_free_ char *path = NULL;
    int r;

    if (asprintf(&path, "%s/queue", state_directory) < 0)
        return log_error_errno(-ENOMEM, "Failed to open the queue: %m");
    r = make_queue(state_directory);
    if (r < 0)
        return log_error_errno(r, "Failed to make the queue %s: %m", path);
    r = schedule_new(&m->schedule, m->conf->max_connections, get_limits, m);
    if (r >= 0)
        r = queue_new(&m->queue, m->event, m->jobs, path, &limits, &queue_ops, m);
    if (r >= 0)
        r = queue_scan(m->queue);
    if (r < 0)
        return log_error_errno(r, "Failed to open the queue %s: %m", path);
    return 0;
}

/* ---- policies ---- */

static int sts_resolve(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata)
{
    Manager *m = userdata;

    return resolve_start(m->dnsd, ret, name, type, done, done_userdata);
}

static void sts_resolve_cancel(ResolveQuery *q, void *userdata)
{
    resolve_cancel(q);
}

static int sts_fetch(StsFetch **ret, const char *domain, StsFetchDone done, void *done_userdata, void *userdata)
{
    return sts_fetch_new(ret, userdata, domain, done, done_userdata);
}

static void sts_fetch_forget(StsFetch *f, void *userdata)
{
    sts_fetch_cancel(f);
}

static uint64_t sts_now(void *userdata)
{
    return manager_now();
}

static void on_sts_news(const StsNews *news, void *userdata)
{
    report_sts(userdata, news);
}

static const StsOps sts_ops = {sts_resolve, sts_resolve_cancel, sts_fetch, sts_fetch_forget, sts_now, on_sts_news};

static int on_sts_found(const char *domain, StsCached *cached, void *userdata)
{
    Manager *m = userdata;

    return sts_add(m->sts, domain, cached);
}

static void on_sts_trouble(const char *name, int error, void *userdata)
{
    (void) log_error_errno(error, "MTA-STS policy sts/%s cannot be %s: %m", name ?: "",
            name && error == -EBADMSG ? "used, for it is malformed, and is removed" : "read or written");
}

static const StsStoreOps sts_store_ops = {on_sts_found, on_sts_trouble};

int manager_open_sts(Manager *m, const char *state_directory)
{
    int r;

    r = sts_store_new(&m->sts_store, m->jobs, state_directory, &sts_store_ops, m);
    if (r >= 0)
        r = sts_new(&m->sts, m->event, m->sts_store, &sts_ops, m);
    if (r >= 0)
        r = sts_store_load(m->sts_store);
    if (r < 0)
        return log_error_errno(r, "Failed to open the MTA-STS policies in %s/sts: %m", state_directory);
    return 0;
}

/* ---- workers ---- */

static void on_worker_ready(Worker *w, void *userdata)
{
    worker_set_data(w, userdata);
    manager_kick(userdata);
}

static void report_death(Worker *w, int code, int status, const char *what, const char *then)
{
    const char *fault = worker_fault(w);
    char pid[16];

    (void) snprintf(pid, sizeof(pid), "%d", (int) worker_pid(w));
    const LogField fields[] = {{"POSTERN_WORKER", pid}, {"POSTERN_REASON", fault}};
    log_event(LOG_WARNING, WORKER_DIED_ID, fields, ELEMENTSOF(fields), "%s process %s died (%s %d%s%s); %s", what, pid,
            code == CLD_EXITED ? "status" : "signal", status, fault ? ", " : "", fault ?: "", then);
}

static void on_worker_gone(Worker *w, int code, int status, bool expected, void *userdata)
{
    Manager *m = userdata;

    if (m->last_worker == w)
        m->last_worker = NULL;
    attempt_calls_worker_gone(m, w);
    if (!expected)
        report_death(w, code, status, "Delivery", "its deliveries are tried again");
}

static void on_fetcher_ready(Worker *w, void *userdata)
{
    sts_fetches_worker_ready(userdata);
}

static void on_fetcher_gone(Worker *w, int code, int status, bool expected, void *userdata)
{
    sts_fetches_worker_gone(userdata);
    if (!expected)
        report_death(w, code, status, "Fetching", "the policies are fetched by its successor");
}

static void on_worker_refused(Worker *w, const sd_bus_error *error, void *userdata)
{
    log_warning("Delivery process %d keeps its old configuration: %s", (int) worker_pid(w), error->message ?: error->name);
}

/* What is known of the one certificate says nothing of another. */
static void certificate_renamed(Manager *m, const DeliverdConf *next)
{
    if (!streq(m->conf->certificate ?: "", next->certificate ?: ""))
        m->certificate = (CertificateReport) {};
}

static int configure_workers(Manager *m, const Conf *files)
{
    _cleanup_close_ int fd = conf_snapshot(files);

    return fd < 0 ? fd : worker_pool_configure(m->workers, fd);
}

/* ---- configuration ---- */

static int load(const Manager *m, Conf **ret_files, DeliverdConf **ret, ConfReport *report)
{
    int r;

    r = deliverd_conf_load(ret, ret_files, m->root, report);
    daemon_log_report(report);
    return r;
}

int manager_load_conf(Manager *m)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r >= 0)
        r = load(m, NULL, &m->conf, report);
    if (r < 0)
        return log_error_errno(r, "Failed to read the configuration: %m");
    return 0;
}

int manager_start_workers(Manager *m)
{
    static const WorkerPoolOps ops = {.ready = on_worker_ready, .gone = on_worker_gone, .refused = on_worker_refused,
            .interface = CERTIFICATE_REPORT_INTERFACE, .vtable = certificate_report_vtable, .peers = worker_peers};
    static const WorkerPoolOps fetcher_ops = {.ready = on_fetcher_ready, .gone = on_fetcher_gone, .peers = fetcher_peers,
            .option = FETCHER_OPTION};
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *conf = NULL;
    _cleanup_(conf_freep) Conf *files = NULL;
    int r;

    /* What the workers get is what stands in the files now, checked again. */
    r = conf_report_new(&report);
    if (r >= 0)
        r = deliverd_conf_load(&conf, &files, m->root, report);
    if (r >= 0)
        r = worker_pool_new(&m->workers, m->event, m->conf->workers, &ops, m);
    if (r >= 0)
        r = configure_workers(m, files);
    if (r >= 0)
        r = worker_pool_new(&m->fetchers, m->event, 1, &fetcher_ops, m);
    if (r < 0)
        return log_error_errno(r, "Failed to start delivery processes: %m");
    return 0;
}

static int reload(Manager *m, ConfReport *report)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *conf = NULL;
    _cleanup_(conf_freep) Conf *files = NULL;
    QueueLimits limits;
    int r;

    r = load(m, &files, &conf, report);
    if (r < 0)
        return r;
    r = configure_workers(m, files);
    if (r < 0)
        return r;
    certificate_renamed(m, conf);
    deliverd_conf_unref(m->conf);
    m->conf = TAKE_PTR(conf);
    limits = queue_limits(m->conf);
    queue_set_limits(m->queue, &limits);
    schedule_configure(m->schedule, m->conf->max_connections);
    manager_kick(m);
    return 0;
}

int manager_reload(Manager *m, ConfReport *report)
{
    int r;

    daemon_notify_reloading();
    r = reload(m, report);
    if (r >= 0)
        log_info("Reloaded the configuration");
    daemon_notify_ready("Delivering");
    return r;
}

/* ---- life ---- */

static void on_workers_stopped(void *userdata)
{
    Manager *m = userdata;

    (void) sd_event_exit(m->event, 0);
}

/* No new attempts; those under way may end, and are recorded. Whatever comes from smtpd meanwhile is kept. The fetcher goes with the
 * manager: what waits for a policy is in the queue, and must not be deferred because of a restart. */
static int on_stop(void *userdata)
{
    Manager *m = userdata;

    daemon_notify_stopping();
    if (m->stopping)
        return sd_event_exit(m->event, 0);
    m->stopping = true;
    if (!m->workers || worker_pool_stop(m->workers, m->conf->stop_timeout, on_workers_stopped, m) < 0)
        return sd_event_exit(m->event, 0);
    return 0;
}

/* SIGHUP, for who has no bus. */
static int on_reload(void *userdata)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    return r < 0 ? r : manager_reload(userdata, report);
}

static int control_reload(void *userdata, ConfReport *report)
{
    return manager_reload(userdata, report);
}

int manager_new(Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    m = calloc(1, sizeof(Manager));
    if (!m)
        return -ENOMEM;
    m->root = "";
    m->control = (DaemonControl) {.reload = control_reload, .describe = deliverd_bus_describe, .userdata = m};
    r = daemon_event_new(&m->event, on_stop, on_reload, m);
    if (r >= 0)
        r = jobs_new(&m->jobs, m->event, THREADS, JOBS_MAX);
    if (r >= 0)
        r = sd_event_add_defer(m->event, &m->kick, on_kick, m);
    if (r >= 0)
        r = sd_event_source_set_enabled(m->kick, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(m->event, &m->due, CLOCK_REALTIME, UINT64_MAX, USEC_PER_SEC / 10, on_due, m);
    if (r >= 0)
        r = peer_client_new(&m->dnsd, m->event, "dnsd");
    if (r >= 0)
        r = peer_client_new(&m->alertd, m->event, "alertd");
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

static bool free_mail(QueueMessage *message, void *userdata)
{
    message->userdata = mail_free(message->userdata);
    return true;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    m->stopping = true;
    system_bus_free(m->bus);
    /* Threads first: what they have finished is still answered and recorded. */
    jobs_free(m->jobs);
    probes_free(m);
    if (m->queue)
        queue_foreach(m->queue, free_mail, NULL);
    queue_free(m->queue);
    sts_free(m->sts);
    sts_store_free(m->sts_store);
    peer_server_free(m->server);
    worker_pool_free(m->workers);
    worker_pool_free(m->fetchers);
    schedule_free(m->schedule);
    peer_client_free(m->dnsd);
    peer_client_free(m->alertd);
    sd_event_source_disable_unref(m->kick);
    sd_event_source_disable_unref(m->due);
    deliverd_conf_unref(m->conf);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    const LogField fields[] = {{"POSTERN_PEER", role_to_string(role_from_uid(uid))}, {"POSTERN_REASON", reason}};

    log_event(LOG_WARNING, PEER_DROPPED_ID, fields, ELEMENTSOF(fields), "Dropped a connection of uid %u: %s", uid, reason);
}

int manager_serve(Manager *m)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    fd = daemon_take_fd("peer");
    if (fd < 0)
        return log_error_errno(fd, "There is no peer socket; deliverd is started by postern-deliverd.socket: %m");
    deliverd_bus_objects(m);
    r = peer_server_new(&m->server, m->event, fd, "deliverd", deliverd_peer_access, m->peer_objects);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the peer socket: %m");
    (void) TAKE_FD(fd);
    peer_server_set_dropped(m->server, on_dropped, m);
    r = system_bus_new(&m->bus, m->event, "org.postern.Delivery1", "postern-deliverd", m->bus_objects, deliverd_bus_access);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the system bus: %m");
    return 0;
}
