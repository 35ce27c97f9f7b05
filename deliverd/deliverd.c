/* SPDX-License-Identifier: Apache-2.0 */

/* postern-deliverd: keeps the queue and delivers. The manager when started by systemd, a worker or the fetcher when re-executed by the
 * manager.
 *
 * The manager talks to smtpd, dnsd, alertd, its workers, and to people over the system bus; it makes connections and never reads
 * from them. It must never answer for a message that is not durable. Workers talk to mail servers and see messages as read-only
 * descriptors. The fetcher talks to policy hosts of MTA-STS and sees no mail. */

#include "deliverd-manager.h"
#include "deliverd-worker.h"
#include "fetcher.h"
#include "log.h"
#include "role.h"
#include "sandbox.h"

#define STATE_DIRECTORY "/var/lib/postern/deliverd"

static const DaemonInfo info = {
    .name = "deliverd",
    .identifier = "postern-deliverd",
    .description = "Keep the queue and deliver mail",
    .object_path = "/org/postern/Delivery1",
    .check_config = deliverd_conf_check,
    .has_workers = true,
    .has_fetcher = true,
};

static int run_manager(void)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    r = role_init();
    if (r < 0)
        return log_error_errno(r, "Failed to look up the users of the suite: %m");
    r = manager_new(&m);
    if (r < 0)
        return log_error_errno(r, "Failed to start: %m");
    r = manager_load_conf(m);
    if (r < 0)
        return r;
    r = manager_open_queue(m, getenv("STATE_DIRECTORY") ?: STATE_DIRECTORY);
    if (r < 0)
        return r;
    r = manager_open_sts(m, getenv("STATE_DIRECTORY") ?: STATE_DIRECTORY);
    if (r < 0)
        return r;
    r = manager_start_workers(m);
    if (r < 0)
        return r;
    r = manager_serve(m);
    if (r < 0)
        return r;
    /* The queue, policies and the configuration; mail servers and policy hosts, which workers and fetcher get as sockets; dnsd, alertd, certd for the
     * workers; workers. ACCEPT: peers. */
    r = sandbox_enter(SANDBOX_ACCEPT | SANDBOX_FILES | SANDBOX_CONNECT_INET | SANDBOX_CONNECT_UNIX | SANDBOX_THREADS | SANDBOX_SPAWN);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    daemon_notify_ready("Delivering");
    r = sd_event_loop(m->event);
    if (r < 0)
        return log_error_errno(r, "The event loop failed: %m");
    return 0;
}

static int run(int argc, char *argv[])
{
    DaemonMode mode;
    int r;

    r = log_open(info.identifier);
    if (r < 0)
        return r;
    r = daemon_parse_argv(&info, argc, argv, &mode);
    if (r <= 0)
        return r;
    switch (mode) {
    case DAEMON_WORKER:
        return deliverd_worker_run();
    case DAEMON_FETCHER:
        return fetcher_run();
    default:
        return run_manager();
    }
}

DEFINE_MAIN(run)
