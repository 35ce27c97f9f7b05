/* SPDX-License-Identifier: Apache-2.0 */

/* The common start: options and their exit, descriptors by name, signals, and --reload against a daemon that runs. What changes a
 * process for good is done in a child. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "daemon.h"
#include "peer-server.h"

#define OBJECT_PATH "/org/postern/Test1"

static int check_config(const char *root, ConfReport *report)
{
    if (streq(root, "/good"))
        return conf_report_add(report, CONF_WARNING, "/good/a.conf", 3, "Strange");
    if (streq(root, "/bad"))
        return conf_report_add(report, CONF_ERROR, "/bad/a.conf", 5, "Wrong");
    return -EIO;
}

static const DaemonInfo info = {
    .name = "test",
    .identifier = "postern-test",
    .description = "Test",
    .object_path = OBJECT_PATH,
    .check_config = check_config,
    .has_workers = true,
};

/* ---- capturing what is printed ---- */

typedef struct Output {
    int result;
    DaemonMode mode;
    char out[2048], err[2048];
} Output;

static void redirect(int fd, int to, int *ret_saved)
{
    *ret_saved = dup(fd);
    assert_true(*ret_saved >= 0 && dup2(to, fd) >= 0);
}

static void restore(int fd, int saved, int file, char *buffer, size_t size)
{
    ssize_t n = pread(file, buffer, size - 1, 0);

    assert_true(n >= 0 && dup2(saved, fd) >= 0);
    buffer[n] = '\0';
    (void) close(saved);
    (void) close(file);
}

static int temporary(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void parse(const DaemonInfo *i, Output *ret, const char *a, const char *b)
{
    char *argv[] = {(char *) "postern-test", (char *) a, (char *) b, NULL};
    int out = temporary(), err = temporary(), saved_out, saved_err;

    *ret = (Output) {.mode = (DaemonMode) 99};
    (void) fflush(stdout);
    redirect(STDOUT_FILENO, out, &saved_out);
    redirect(STDERR_FILENO, err, &saved_err);
    ret->result = daemon_parse_argv(i, b ? 3 : a ? 2 : 1, argv, &ret->mode);
    (void) fflush(stdout);
    restore(STDOUT_FILENO, saved_out, out, ret->out, sizeof(ret->out));
    restore(STDERR_FILENO, saved_err, err, ret->err, sizeof(ret->err));
}

static void test_options(void **state)
{
    static const struct {
        const char *a, *b;
        int result;
        int mode; /* 99: not set */
        const char *out, *err;
    } table[] = {
        {NULL, NULL, 1, DAEMON_RUN, "", ""},
        {"--worker", NULL, 1, DAEMON_WORKER, "", ""},
        {"--fetcher", NULL, -EINVAL, 99, "", "postern-test: this daemon fetches nothing; see --help\n"},
        {"--version", NULL, 0, 99, "postern-test " POSTERN_VERSION "\n", ""},
        {"--check-config", "--root=/good", 0, 99, "postern-test: configuration is valid\n", "warning: /good/a.conf:3: Strange\n"},
        {"--check-config", "--root=/bad", -EBADMSG, 99, "", "error: /bad/a.conf:5: Wrong\npostern-test: the configuration is not valid\n"},
        {"--check-config", NULL, -EIO, 99, "", "postern-test: cannot check the configuration: Input/output error\n"},
        {"--check-config", "--version", -EINVAL, 99, "", "postern-test: these options exclude each other; see --help\n"},
        {"--root=/good", NULL, -EINVAL, 99, "", "postern-test: --root= is for --check-config only; see --help\n"},
        {"argument", NULL, -EINVAL, 99, "", "postern-test: there are no arguments; see --help\n"},
        {"--unknown", NULL, -EINVAL, 99, "", "postern-test: unrecognized option '--unknown'\n"},
    };
    Output o;

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        parse(&info, &o, table[i].a, table[i].b);
        assert_string_equal(o.err, table[i].err);
        assert_string_equal(o.out, table[i].out);
        assert_int_equal(o.result, table[i].result);
        assert_int_equal(o.mode, table[i].mode);
    }
    parse(&info, &o, "--help", NULL);
    assert_int_equal(o.result, 0);
    assert_non_null(strstr(o.out, "--check-config"));
}

static void test_no_workers(void **state)
{
    DaemonInfo without = info;
    Output o;

    without.has_workers = false;
    parse(&without, &o, "--worker", NULL);
    assert_int_equal(o.result, -EINVAL);
}

static void test_exit_status(void **state)
{
    assert_int_equal(daemon_exit_status(0), EXIT_SUCCESS);
    assert_int_equal(daemon_exit_status(-EBADMSG), EX_CONFIG);
    assert_int_equal(daemon_exit_status(-EIO), EXIT_FAILURE);
}

/* ---- in a child ---- */

/* Exit status of a child that runs f, 256 + the signal that killed it. */
static int in_child(int (*f)(void))
{
    siginfo_t si = {};
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(f());
    assert_true(waitid(P_PID, (id_t) pid, &si, WEXITED) >= 0);
    return si.si_code == CLD_EXITED ? si.si_status : 256 + si.si_status;
}

static int child_fds(void)
{
    _cleanup_free_ char *name = NULL;
    char pid[16];

    for (int fd = 3; fd < 6; fd++)
        if (dup2(STDERR_FILENO, fd) < 0)
            return 1;
    (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
    (void) setenv("LISTEN_PID", pid, 1);
    (void) setenv("LISTEN_FDS", "3", 1);
    (void) setenv("LISTEN_FDNAMES", "peer:public:private", 1);
    if (daemon_take_fd("other") != -ENOENT || daemon_take_fd("public") != 4 || daemon_take_fd("public") != -ENOENT)
        return 2;
    if (daemon_take_any_fd(&name) != 3 || !streq(name, "peer") || daemon_take_fd("private") != 5)
        return 3;
    if (daemon_take_any_fd(&name) != -ENOENT || getenv("LISTEN_FDS") || !(fcntl(3, F_GETFD) & FD_CLOEXEC))
        return 4;
    return 0;
}

static int child_no_fds(void)
{
    return daemon_take_fd("peer") == -ENOENT ? 0 : 1;
}

static void test_fds(void **state)
{
    assert_int_equal(in_child(child_fds), 0);
    assert_int_equal(in_child(child_no_fds), 0);
}

static int n_reloads;

static int on_reload_fails(void *userdata)
{
    n_reloads++;
    (void) kill(getpid(), SIGTERM);
    return -EBADMSG; /* does not end the loop */
}

static int on_stop(void *userdata)
{
    return sd_event_exit(*(sd_event **) userdata, 7);
}

static int child_signals(void)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    struct rlimit limit;

    if (daemon_event_new(&event, on_stop, on_reload_fails, &event) < 0)
        return 1;
    if (prctl(PR_GET_DUMPABLE) != 0 || getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_max != 0 || umask(0) != 0077)
        return 2;
    (void) kill(getpid(), SIGHUP);
    (void) kill(getpid(), SIGPIPE);
    return sd_event_loop(event) == 7 && n_reloads == 1 ? 0 : 3;
}

static int child_signals_without_handlers(void)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;

    if (daemon_event_new(&event, NULL, NULL, NULL) < 0)
        return 1;
    (void) kill(getpid(), SIGHUP);
    (void) kill(getpid(), SIGINT);
    return sd_event_loop(event) == 0 ? 0 : 2;
}

static void test_signals(void **state)
{
    assert_int_equal(in_child(child_signals), 0);
    assert_int_equal(in_child(child_signals_without_handlers), 0);
}

/* ---- org.postern.Daemon1 ---- */

static char runtime[] = "/tmp/test-daemon.XXXXXX";

static int reload_once(void *userdata, ConfReport *report)
{
    int *n = userdata;

    if ((*n)++ == 0)
        return 0;
    (void) conf_report_add(report, CONF_ERROR, "/etc/postern/test.conf", 1, "First");
    (void) conf_report_add(report, CONF_ERROR, "/etc/postern/test.conf", 2, "Second");
    return -EBADMSG;
}

static int describe(void *userdata, char **ret_json)
{
    *ret_json = strdup("{}");
    return *ret_json ? 0 : -ENOMEM;
}

/* A daemon that serves only its control interface, until SIGTERM. */
static int serve(int fd)
{
    static const PeerAccess access_table[] = {{"org.postern.Daemon1", NULL, ROLE_SELF | ROLE_ROOT}, {}};
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(peer_server_freep) PeerServer *server = NULL;
    int n = 0;
    DaemonControl control = {.reload = reload_once, .describe = describe, .userdata = &n};
    const PeerObject objects[] = {{OBJECT_PATH, "org.postern.Daemon1", daemon_vtable, &control}, {}};

    if (daemon_event_new(&event, NULL, NULL, NULL) < 0 || peer_server_new(&server, event, fd, "test", access_table, objects) < 0)
        return 1;
    return sd_event_loop(event) == 0 ? 0 : 2;
}

static int listen_on(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *) &sa, sizeof(sa)) >= 0 && listen(fd, 8) >= 0);
    return fd;
}

static void call_interface(const char *path)
{
    _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *version = NULL;
    char address[256];
    const char *json;

    (void) snprintf(address, sizeof(address), "unix:path=%s", path);
    assert_true(sd_bus_new(&bus) >= 0 && sd_bus_set_address(bus, address) >= 0 && sd_bus_start(bus) >= 0);
    assert_true(sd_bus_get_property_string(bus, NULL, OBJECT_PATH, "org.postern.Daemon1", "Version", NULL, &version) >= 0);
    assert_string_equal(version, POSTERN_VERSION);
    assert_true(sd_bus_call_method(bus, NULL, OBJECT_PATH, "org.postern.Daemon1", "Describe", NULL, &reply, NULL) >= 0);
    assert_true(sd_bus_message_read(reply, "s", &json) >= 0);
    assert_string_equal(json, "{}");
}

static void test_control(void **state)
{
    siginfo_t si = {};
    char path[64];
    Output o;
    pid_t pid;
    int fd;

    assert_non_null(mkdtemp(runtime));
    (void) snprintf(path, sizeof(path), "%s/test", runtime);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", runtime, 1), 0);

    parse(&info, &o, "--reload", NULL);
    assert_int_equal(o.result, -ENOENT);
    assert_string_equal(o.err, "postern-test: cannot ask the running daemon to reload: No such file or directory\n");

    fd = listen_on(path);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(serve(fd));
    (void) close(fd);

    parse(&info, &o, "--reload", NULL);
    assert_string_equal(o.err, "");
    assert_int_equal(o.result, 0);
    parse(&info, &o, "--reload", NULL);
    assert_true(o.result < 0);
    assert_string_equal(o.err,
            "postern-test: reload refused, the old configuration stays:\n"
            "/etc/postern/test.conf:1: First\n"
            "/etc/postern/test.conf:2: Second\n");
    call_interface(path);

    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_true(waitid(P_PID, (id_t) pid, &si, WEXITED) >= 0);
    assert_int_equal(si.si_status, 0);
    (void) unlink(path);
    (void) rmdir(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_no_workers),
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_fds),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
