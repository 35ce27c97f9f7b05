/* SPDX-License-Identifier: Apache-2.0 */

/* dnsd looks names up for mail: asynchronously, validating DNSSEC itself with libunbound, and says of every hop how far it can be
 * trusted.
 *
 * SECURITY: it talks to name servers on the Internet and to deliverd and alertd on its peer socket. It has no key and no
 * mail; on disk it has the trust anchors that it follows. */

#include "dnsd-manager.h"
#include "log.h"
#include "sandbox.h"

static const DaemonInfo info = {
    .name = "dnsd",
    .identifier = "postern-dnsd",
    .description = "Look names up for mail, with their DNSSEC state",
    .object_path = "/org/postern/Dns1",
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
    r = manager_new(&m, getenv("STATE_DIRECTORY"), getenv("RUNTIME_DIRECTORY"));
    if (r < 0)
        return r;
    r = sandbox_enter(SANDBOX_ACCEPT | SANDBOX_CONNECT_INET | SANDBOX_CONNECT_UNIX | SANDBOX_FILES | SANDBOX_THREADS);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    daemon_notify_ready("Answering");
    r = sd_event_loop(m->event);
    if (r < 0)
        return log_error_errno(r, "Event loop failed: %m");
    daemon_notify_stopping();
    return 0;
}

DEFINE_MAIN(run)
