/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the start of every daemon has in common, so that run() of each reads alike: command line, event loop with signals and
 * watchdog, sockets handed over by systemd, notification, reload and stop. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "conf.h"

typedef enum DaemonMode {
    DAEMON_RUN,    /* as the service */
    DAEMON_WORKER, /* re-executed by its manager (--worker), fd 3 is the link */
    DAEMON_FETCHER, /* the same (--fetcher) */
} DaemonMode;

typedef struct DaemonInfo {
    const char *name;        /* "smtpd": configuration, peer socket */
    const char *identifier;  /* "postern-smtpd": journal, --help, --version */
    const char *description; /* "Receive mail" */
    const char *object_path; /* "/org/postern/Smtp1", for --reload */
    /* Reads and checks the configuration below root into report; for --check-config. Returns 0 or negative errno. */
    int (*check_config)(const char *root, ConfReport *report);
    bool has_workers; /* --worker is accepted */
    bool has_fetcher; /* --fetcher is */
} DaemonInfo;

/* Handles --help, --version, --check-config [--root=DIR] and --reload (calls Reload() on the running daemon's peer socket and
 * prints what it answers). Returns 1 to go on with *ret_mode, 0 when all is done, negative errno after an error was printed. */
int daemon_parse_argv(const DaemonInfo *info, int argc, char *argv[], DaemonMode *ret_mode);

/* A default event loop: SIGTERM and SIGINT call stop, SIGHUP calls reload (either may be NULL: exit the loop, ignore), SIGPIPE,
 * SIGIO and SIGXFSZ ignored, watchdog on when systemd wants it. userdata goes to both; a stop that returns negative errno ends
 * the loop with it, what reload returns is not looked at (it has logged). SIGCHLD is blocked for sd_event_add_child(). Also umask
 * 0077, PR_SET_DUMPABLE 0, no core dumps. */
typedef int (*DaemonHandler)(void *userdata);
int daemon_event_new(sd_event **ret, DaemonHandler stop, DaemonHandler reload, void *userdata);

/* Takes the socket that systemd handed over under name (FileDescriptorName=), once each: -ENOENT when there is none (left). */
int daemon_take_fd(const char *name);
/* Iterates over all not yet taken: *ret_name is malloc'ed. Returns an fd now the caller's, -ENOENT at the end. */
int daemon_take_any_fd(char **ret_name);

/* READY=1 with a status line; RELOADING=1 … READY=1; STOPPING=1; STATUS=. */
void daemon_notify_ready(const char *status);
void daemon_notify_reloading(void);
void daemon_notify_stopping(void);

/* Logs each complaint once (CONFIGURATION_INVALID_ID for errors). */
void daemon_log_report(const ConfReport *report);

/* org.postern.Daemon1 for any bus of this daemon: Version, Reload(), Describe(). reload fills report and returns negative errno
 * when the new configuration was refused (the old one stays): Reload() answers ConfigurationInvalid with the complaints as text.
 * describe gives a malloc'ed JSON object. */
typedef struct DaemonControl {
    int (*reload)(void *userdata, ConfReport *report);
    int (*describe)(void *userdata, char **ret_json);
    void *userdata;
} DaemonControl;
extern const sd_bus_vtable daemon_vtable[]; /* userdata: DaemonControl */

/* Exit status for what run() returned: EX_CONFIG (78) for an invalid configuration, which restarting does not mend
 * (RestartPreventExitStatus= in the units), 1 for other errors. */
int daemon_exit_status(int r);

/* main() of a daemon. */
#define DEFINE_MAIN(run)                             \
    int main(int argc, char *argv[])                 \
    {                                                \
        return daemon_exit_status(run(argc, argv));  \
    }
