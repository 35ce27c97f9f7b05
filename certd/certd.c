/* SPDX-License-Identifier: Apache-2.0 */

/* postern-certd: holds the private keys of the suite and signs TLS handshakes with them.
 *
 * It talks to smtpd and deliverd over its peer socket, to alertd, and to people over the system bus; it has no network. It must
 * never hand out a key, and never sign what is not a TLS handshake. */

#include "certd-manager.h"
#include "log.h"
#include "role.h"
#include "sandbox.h"
#include "secure-memory.h"
#include "user.h"

#define STATE_DIRECTORY "/var/lib/postern/certd"

static const DaemonInfo info = {
    .name = "certd",
    .identifier = "postern-certd",
    .description = "Hold private keys and sign TLS handshakes",
    .object_path = "/org/postern/Cert1",
    .check_config = certd_conf_check,
};

static int run(int argc, char *argv[])
{
    _cleanup_(manager_freep) Manager *m = NULL;
    bool locked = false;
    DaemonMode mode;
    int r;

    r = log_open(info.identifier);
    if (r < 0)
        return r;
    /* Before the first use of OpenSSL. */
    r = secure_memory_init(&locked);
    if (r < 0)
        return log_error_errno(r, "Failed to get memory for keys: %m");
    r = daemon_parse_argv(&info, argc, argv, &mode);
    if (r <= 0)
        return r;
    if (!locked)
        log_warning("The memory for keys could not be locked (LimitMEMLOCK=): it may be written to swap space");
    r = role_init();
    if (r < 0)
        return log_error_errno(r, "Failed to look up the users of the suite: %m");
    user_lookup_init();
    r = manager_new(&m);
    if (r < 0)
        return log_error_errno(r, "Failed to start: %m");
    r = manager_load_conf(m);
    if (r < 0)
        return r;
    r = manager_open_store(m, getenv("STATE_DIRECTORY") ?: STATE_DIRECTORY);
    if (r < 0)
        return r;
    r = manager_serve(m);
    if (r < 0)
        return r;
    /* The store is read again on reload; alertd and the system bus are connected to when they are there. */
    r = sandbox_enter(SANDBOX_ACCEPT | SANDBOX_CONNECT_UNIX | SANDBOX_FILES);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    daemon_notify_ready("Signing");
    r = sd_event_loop(m->event);
    if (r < 0)
        return log_error_errno(r, "The event loop failed: %m");
    return 0;
}

DEFINE_MAIN(run)
