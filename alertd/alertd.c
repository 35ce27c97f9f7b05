/* SPDX-License-Identifier: Apache-2.0 */

/* alertd mails what an administrator must know: by its own spool and its own SMTP client, so that alerts arrive when delivery
 * does not work.
 *
 * SECURITY: it takes text from the other daemons, part of which comes from strangers, asks dnsd for addresses, and speaks SMTP
 * with the mail servers of the alerts' recipients. It has no key and never sees the queue. */

#include "alertd-manager.h"
#include "log.h"
#include "sandbox.h"

#define STATE_DIRECTORY "/var/lib/postern/alertd"

static const DaemonInfo info = {
    .name = "alertd",
    .identifier = "postern-alertd",
    .description = "Mail alerts",
    .object_path = "/org/postern/Alert1",
    .check_config = manager_check_config,
};

static int run(int argc, char *argv[])
{
    _cleanup_(manager_freep) Manager *m = NULL;
    DaemonMode mode;
    int r;

    r = daemon_parse_argv(&info, argc, argv, &mode);
    if (r <= 0)
        return r;
    r = log_open(info.identifier);
    if (r < 0)
        return r;
    r = manager_new(&m, getenv("STATE_DIRECTORY") ?: STATE_DIRECTORY);
    if (r < 0)
        return r;
    r = sandbox_enter(SANDBOX_ACCEPT | SANDBOX_CONNECT_INET | SANDBOX_CONNECT_UNIX | SANDBOX_FILES);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    daemon_notify_ready("Mailing alerts");
    r = sd_event_loop(m->event);
    if (r < 0)
        return log_error_errno(r, "The event loop failed: %m");
    daemon_notify_stopping();
    return 0;
}

DEFINE_MAIN(run)
