/* SPDX-License-Identifier: Apache-2.0 */

/* postern-smtpd: receives mail. The manager when started by systemd, a worker when re-executed by the manager. */

#include "daemon.h"
#include "log.h"
#include "role.h"
#include "sandbox.h"
#include "smtpd-bus.h"
#include "smtpd-conf.h"
#include "smtpd-manager.h"
#include "smtpd-worker.h"

static const DaemonInfo info = {
    .name = "smtpd",
    .identifier = "postern-smtpd",
    .description = "Receive mail",
    .object_path = SMTPD_BUS_PATH,
    .check_config = smtpd_conf_check,
    .has_workers = true,
};

static int run_manager(void)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    r = role_init();
    if (r < 0)
        return log_error_errno(r, "Failed to look the suite's users up: %m");
    r = manager_new(&m);
    if (r < 0)
        return log_error_errno(r, "Failed to set the manager up: %m");
    r = manager_start(m);
    if (r < 0)
        return r;
    /* Reads its configuration again, starts workers, connects to peers for them. */
    r = sandbox_enter(SANDBOX_BASE | SANDBOX_ACCEPT | SANDBOX_FILES | SANDBOX_CONNECT_UNIX | SANDBOX_SPAWN);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");

    daemon_notify_ready("Receiving");
    r = sd_event_loop(m->event);
    if (r < 0)
        return log_error_errno(r, "Event loop failed: %m");
    return 0;
}

static int run(int argc, char *argv[])
{
    DaemonMode mode;
    int r;

    r = daemon_parse_argv(&info, argc, argv, &mode);
    if (r <= 0)
        return r;
    r = log_open("postern-smtpd");
    if (r < 0)
        return r;
    return mode == DAEMON_WORKER ? smtpd_worker_run() : run_manager();
}

DEFINE_MAIN(run)
