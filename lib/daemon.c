/* SPDX-License-Identifier: Apache-2.0 */

/* The start of a daemon. Talks to systemd (descriptors, notification, watchdog), to the terminal (options) and, for --reload, to
 * the running daemon's peer socket. Runs once, before anything from outside is read; must never be called with data of a peer,
 * except through daemon_vtable. */

#include "daemon.h"

#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "bus-error.h"
#include "catalog-ids.h"
#include "log.h"

#define DAEMON_INTERFACE "org.postern.Daemon1"
#define RELOAD_TIMEOUT_USEC (60 * USEC_PER_SEC)

/* ---- command line ---- */

static void print_help(const DaemonInfo *info)
{
    printf("%s [OPTION]...\n\n%s. Started by systemd as %s.service.\n\n"
           "     --check-config [--root=DIR]  check the configuration (below DIR), print every complaint, exit\n"
           "     --reload                     let the running daemon read its configuration again\n"
           "     --version                    print the version\n"
           "  -h --help                       print this\n\n"
           "See %s(8) and %s.conf(5).\n",
            info->identifier, info->description, info->identifier, info->identifier, info->identifier);
}

static int check_config(const DaemonInfo *info, const char *root)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r >= 0)
        r = info->check_config(root, report);
    for (size_t i = 0; report && i < conf_report_size(report); i++) {
        ConfSeverity severity;
        const char *text = conf_report_get(report, i, &severity);

        fprintf(stderr, "%s: %s\n", severity == CONF_ERROR ? "error" : "warning", text);
    }
    if (r >= 0 && conf_report_has_errors(report))
        r = -EBADMSG;
    if (r < 0) {
        errno = -r;
        if (r == -EBADMSG && conf_report_has_errors(report))
            fprintf(stderr, "%s: the configuration is not valid\n", info->identifier);
        else
            fprintf(stderr, "%s: cannot check the configuration: %m\n", info->identifier);
        return r;
    }
    printf("%s: configuration is valid\n", info->identifier);
    return 0;
}

static int call_reload(const DaemonInfo *info, sd_bus_error *error)
{
    _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    const char *directory = getenv("POSTERN_RUNTIME_DIR");
    char address[256];
    int r;

    r = snprintf(address, sizeof(address), "unix:path=%s/%s", directory ?: "/run/postern", info->name);
    if (r < 0 || (size_t) r >= sizeof(address))
        return -ENAMETOOLONG;
    r = sd_bus_new(&bus);
    if (r < 0)
        return r;
    r = sd_bus_set_address(bus, address);
    if (r < 0)
        return r;
    r = sd_bus_start(bus);
    if (r < 0)
        return r;
    (void) sd_bus_set_method_call_timeout(bus, RELOAD_TIMEOUT_USEC);
    return sd_bus_call_method(bus, NULL, info->object_path, DAEMON_INTERFACE, "Reload", error, NULL, NULL);
}

static int reload(const DaemonInfo *info)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    int r;

    r = call_reload(info, &error);
    if (r >= 0)
        return 0;
    errno = -r;
    if (error.message)
        fprintf(stderr, "%s: reload refused, the old configuration stays:\n%s\n", info->identifier, error.message);
    else
        fprintf(stderr, "%s: cannot ask the running daemon to reload: %m\n", info->identifier);
    return r;
}

enum {
    OPTION_CHECK_CONFIG = 256,
    OPTION_FETCHER,
    OPTION_RELOAD,
    OPTION_ROOT,
    OPTION_VERSION,
    OPTION_WORKER,
};

static const struct option options[] = {
    {"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
    {"fetcher", no_argument, NULL, OPTION_FETCHER},
    {"help", no_argument, NULL, 'h'},
    {"reload", no_argument, NULL, OPTION_RELOAD},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"worker", no_argument, NULL, OPTION_WORKER},
    {},
};

static int usage_error(const DaemonInfo *info, const char *what)
{
    fprintf(stderr, "%s: %s; see --help\n", info->identifier, what);
    return -EINVAL;
}

int daemon_parse_argv(const DaemonInfo *info, int argc, char *argv[], DaemonMode *ret_mode)
{
    const char *root = NULL;
    int action = 0, c;

    optind = 0; /* glibc: scan anew, tests parse more than once */
    while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
        if (c == '?')
            return -EINVAL; /* getopt has said why */
        if (c == OPTION_ROOT) {
            root = optarg;
            continue;
        }
        if (action != 0 && action != c)
            return usage_error(info, "these options exclude each other");
        action = c;
    }
    if (optind < argc)
        return usage_error(info, "there are no arguments");
    if (root && action != OPTION_CHECK_CONFIG)
        return usage_error(info, "--root= is for --check-config only");
    switch (action) {
    case 'h':
        print_help(info);
        return 0;
    case OPTION_VERSION:
        printf("%s %s\n", info->identifier, POSTERN_VERSION);
        return 0;
    case OPTION_CHECK_CONFIG:
        return check_config(info, root ?: "");
    case OPTION_RELOAD:
        return reload(info);
    case OPTION_FETCHER:
        if (!info->has_fetcher)
            return usage_error(info, "this daemon fetches nothing");
        *ret_mode = DAEMON_FETCHER;
        return 1;
    case OPTION_WORKER:
        if (!info->has_workers)
            return usage_error(info, "this daemon has no workers");
        *ret_mode = DAEMON_WORKER;
        return 1;
    default:
        *ret_mode = DAEMON_RUN;
        return 1;
    }
}

int daemon_exit_status(int r)
{
    if (r >= 0)
        return EXIT_SUCCESS;
    return r == -EBADMSG ? EX_CONFIG : EXIT_FAILURE;
}

/* ---- event loop ---- */

typedef struct SignalHandler {
    DaemonHandler handler;
    void *userdata;
} SignalHandler;

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    SignalHandler *h = userdata;
    sd_event *event = sd_event_source_get_event(source);
    int r;

    if (!h->handler)
        return sd_event_exit(event, 0);
    r = h->handler(h->userdata);
    if (r < 0) /* it could not even stop in order */
        (void) sd_event_exit(event, r);
    return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
    SignalHandler *h = userdata;

    if (h->handler)
        (void) h->handler(h->userdata); /* a refused configuration leaves the old one at work */
    return 0;
}

/* The signal must be blocked already. */
static int add_signal(sd_event *event, int signo, sd_event_signal_handler_t callback, DaemonHandler handler, void *userdata)
{
    _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
    _cleanup_free_ SignalHandler *h = NULL;
    int r;

    h = malloc(sizeof(*h));
    if (!h)
        return -ENOMEM;
    *h = (SignalHandler) {.handler = handler, .userdata = userdata};
    r = sd_event_add_signal(event, &source, signo, callback, h);
    if (r < 0)
        return r;
    r = sd_event_source_set_destroy_callback(source, free);
    if (r < 0)
        return r;
    (void) TAKE_PTR(h); /* the source's now */
    return sd_event_source_set_floating(source, true);
}

/* What the memory of this process holds is nobody else's business: no core dumps, no ptrace by the same uid, no readable
 * files. */
static int harden_process(void)
{
    umask(0077);
    if (setrlimit(RLIMIT_CORE, &(struct rlimit) {0, 0}) < 0)
        return -errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    /* What ends a process by default and is an error of a call anyway. SIGIO: somebody opens a file for writing in the instant in
     * which deliverd has a lease on it. SIGXFSZ: a message grew to LimitFSIZE=. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGIO, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
        return -errno;
    return 0;
}

int daemon_event_new(sd_event **ret, DaemonHandler stop, DaemonHandler reload_handler, void *userdata)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    const struct {
        int signo;
        sd_event_signal_handler_t callback;
        DaemonHandler handler;
    } signals[] = {
        {SIGTERM, on_stop, stop},
        {SIGINT, on_stop, stop},
        {SIGHUP, on_reload, reload_handler},
    };
    sigset_t set;
    int r;

    r = harden_process();
    if (r < 0)
        return r;
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGCHLD); /* sd_event_add_child() wants it so */
    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        (void) sigaddset(&set, signals[i].signo);
    r = sigprocmask(SIG_BLOCK, &set, NULL);
    if (r < 0)
        return -errno;
    r = sd_event_default(&event);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
        r = add_signal(event, signals[i].signo, signals[i].callback, signals[i].handler, userdata);
        if (r < 0)
            return r;
    }
    r = sd_event_set_watchdog(event, true);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(event);
    return 0;
}

/* ---- descriptors of systemd ---- */

static struct {
    bool received;
    int n;
    char **names; /* NULL: taken */
} activation;

static int activation_receive(void)
{
    int r;

    if (activation.received)
        return 0;
    r = sd_listen_fds_with_names(/* unset_environment= */ true, &activation.names);
    if (r < 0)
        return r;
    activation.received = true;
    activation.n = r;
    return 0;
}

static int activation_take(int i, char **ret_name)
{
    char *name = TAKE_PTR(activation.names[i]);

    if (ret_name)
        *ret_name = name;
    else
        free(name);
    return SD_LISTEN_FDS_START + i;
}

int daemon_take_fd(const char *name)
{
    int r;

    r = activation_receive();
    if (r < 0)
        return r;
    for (int i = 0; i < activation.n; i++)
        if (activation.names[i] && streq(activation.names[i], name))
            return activation_take(i, NULL);
    return -ENOENT;
}

int daemon_take_any_fd(char **ret_name)
{
    int r;

    r = activation_receive();
    if (r < 0)
        return r;
    for (int i = 0; i < activation.n; i++)
        if (activation.names[i])
            return activation_take(i, ret_name);
    return -ENOENT;
}

/* ---- notification ---- */

void daemon_notify_ready(const char *status)
{
    (void) sd_notifyf(/* unset_environment= */ false, "READY=1\nSTATUS=%s", status ?: "");
}

void daemon_notify_reloading(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    (void) sd_notifyf(/* unset_environment= */ false, "RELOADING=1\nMONOTONIC_USEC=%llu",
            (unsigned long long) now.tv_sec * USEC_PER_SEC + (unsigned long long) now.tv_nsec / 1000);
}

void daemon_notify_stopping(void)
{
    (void) sd_notify(/* unset_environment= */ false, "STOPPING=1\nSTATUS=Stopping");
}

/* ---- configuration and control ---- */

void daemon_log_report(const ConfReport *report)
{
    for (size_t i = 0; i < conf_report_size(report); i++) {
        ConfSeverity severity;
        const char *text = conf_report_get(report, i, &severity);

        if (severity == CONF_ERROR)
            log_event(LOG_ERR, CONFIGURATION_INVALID_ID, NULL, 0, "%s", text);
        else
            log_warning("%s", text);
    }
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    return sd_bus_message_append(reply, "s", POSTERN_VERSION);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_free_ char *text = NULL;
    DaemonControl *control = userdata;
    int r;

    r = conf_report_new(&report);
    if (r < 0)
        return r;
    r = control->reload(control->userdata, report);
    if (r >= 0)
        return sd_bus_reply_method_return(m, NULL);
    if (!conf_report_has_errors(report))
        return sd_bus_error_set_errnof(error, r, "The configuration could not be read: %s", strerror(-r));
    r = conf_report_text(report, &text);
    if (r < 0)
        return r;
    return sd_bus_error_set(error, BUS_ERROR_CONFIGURATION_INVALID, text);
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_free_ char *json = NULL;
    DaemonControl *control = userdata;
    int r;

    r = control->describe(control->userdata, &json);
    if (r < 0)
        return r;
    return sd_bus_reply_method_return(m, "s", json);
}

/* On peer sockets the server's access table decides who may call; on the system bus the policy and its table of members for root
 * only. */
const sd_bus_vtable daemon_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
