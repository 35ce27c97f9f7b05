/* SPDX-License-Identifier: Apache-2.0 */

/* The system bus with a dbus-daemon of the test's own: comes late, goes away, and carries calls of root and of others. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus-error.h"
#include "log.h"
#include "system-bus.h"

#define TEST_NAME "org.postern.Test1"
#define TEST_PATH "/org/postern/Test1"
#define NOBODY 65534

typedef struct Host {
    char directory[64];
    char configuration[128];
    char socket[96];
    sd_event *event;
    SystemBus *bus;
    pid_t daemon;
    unsigned n_reloaded;
} Host;

static int method_state(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_reply_method_return(m, "s", "fine");
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    const char *s;
    int r;

    r = sd_bus_message_read(m, "s", &s);
    if (r < 0)
        return r;
    if (streq(s, "fail"))
        return sd_bus_error_setf(reterr_error, BUS_ERROR_CONFIGURATION_INVALID, "No.");
    ((Host *) userdata)->n_reloaded++;
    return sd_bus_reply_method_return(m, "s", s);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("State", NULL, "s", method_state, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_ARGS("s", how), SD_BUS_RESULT("s", how), method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static PeerObject objects[] = {{TEST_PATH, TEST_NAME, vtable, NULL}, {}};
static const PeerAccess root_only[] = {{TEST_NAME, "Reload", 0}, {TEST_NAME, "NoSuch", 0}, {}};

static void host_write_configuration(const Host *h)
{
    _cleanup_fclose_ FILE *f = fopen(h->configuration, "we");

    (void) fprintf(f, "<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>"
                      "<policy context=\"default\"><allow own=\"*\"/><allow user=\"*\"/><allow send_destination=\"*\"/>"
                      "<allow send_type=\"*\"/><allow receive_type=\"*\"/></policy></busconfig>\n", h->socket);
}

static void host_start_daemon(Host *h)
{
    struct stat st;
    pid_t pid = fork();

    if (pid == 0) {
        execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--config-file", h->configuration, NULL);
        _exit(127);
    }
    h->daemon = pid;
    /* Until it listens or has ended. */
    while (stat(h->socket, &st) < 0 && waitpid(pid, NULL, WNOHANG) == 0)
        (void) usleep(1000);
}

static void host_stop_daemon(Host *h)
{
    if (h->daemon > 0) {
        (void) kill(h->daemon, SIGKILL);
        (void) waitpid(h->daemon, NULL, 0);
    }
    h->daemon = 0;
    (void) unlink(h->socket);
}

static bool have_dbus_daemon(void)
{
    return access("/usr/bin/dbus-daemon", X_OK) == 0;
}

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));

    strcpy(h->directory, "/tmp/test-system-bus.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    assert_int_equal(chmod(h->directory, 0755), 0);
    (void) snprintf(h->configuration, sizeof(h->configuration), "%s/bus.conf", h->directory);
    (void) snprintf(h->socket, sizeof(h->socket), "%s/bus", h->directory);
    host_write_configuration(h);

    _cleanup_free_ char *address = NULL;
    assert_true(asprintf(&address, "unix:path=%s", h->socket) > 0);
    assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    objects[0].userdata = h;
    assert_int_equal(system_bus_new(&h->bus, h->event, TEST_NAME, "postern-test", objects, root_only), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    system_bus_free(h->bus);
    host_stop_daemon(h);
    sd_event_unref(h->event);
    (void) unlink(h->configuration);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static void host_run(Host *h)
{
    assert_true(sd_event_run(h->event, 8 * USEC_PER_SEC) > 0);
}

static void host_wait_name(Host *h, bool has)
{
    while (system_bus_has_name(h->bus) != has)
        host_run(h);
}

typedef struct ClientCall {
    uid_t uid;
    const char *path, *interface, *member, *types, *a, *b, *c; /* at most "s" or "ssv" of strings */
    const char *error;                                         /* the one that is expected, NULL: none */
} ClientCall;

/* In a child: 0 if the answer is the expected one. */
static int client_main(const ClientCall *call)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    int r;

    if (setresuid(call->uid, call->uid, call->uid) < 0)
        return 2;
    if (sd_bus_open_system(&bus) < 0)
        return 3;
    if (sd_bus_message_new_method_call(bus, &m, TEST_NAME, call->path, call->interface, call->member) < 0)
        return 4;
    if (call->types && streq(call->types, "s"))
        r = sd_bus_message_append(m, "s", call->a);
    else if (call->types)
        r = sd_bus_message_append(m, "ssv", call->a, call->b, "s", call->c);
    else
        r = 0;
    if (r < 0)
        return 5;
    r = sd_bus_call(bus, m, 5 * USEC_PER_SEC, &error, &reply);
    if (!call->error)
        return r < 0 ? 6 : 0;
    return sd_bus_error_has_name(&error, call->error) ? 0 : 7;
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    *(int *) userdata = si->si_code == CLD_EXITED ? si->si_status : 255;
    return 0;
}

static int host_call(Host *h, const ClientCall *call)
{
    _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(client_main(call));
    assert_true(sd_event_add_child(h->event, &source, pid, WEXITED, on_child, &status) >= 0);
    while (status < 0)
        host_run(h);
    return status;
}

static void test_calls(void **state)
{
    static const ClientCall calls[] = {
        {0, TEST_PATH, TEST_NAME, "State"},
        {NOBODY, TEST_PATH, TEST_NAME, "State"},
        {0, TEST_PATH, TEST_NAME, "Reload", "s", "softly"},
        {0, TEST_PATH, TEST_NAME, "Reload", "s", "fail", .error = BUS_ERROR_CONFIGURATION_INVALID},
        {0, TEST_PATH, TEST_NAME, "Reload", .error = SD_BUS_ERROR_INVALID_ARGS},
        {0, TEST_PATH, TEST_NAME, "NoSuch", .error = SD_BUS_ERROR_UNKNOWN_METHOD},
        {0, "/elsewhere", TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_UNKNOWN_METHOD},
        {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = BUS_ERROR_ACCESS_DENIED},
        {NOBODY, TEST_PATH, NULL, "Reload", "s", "softly", .error = SD_BUS_ERROR_UNKNOWN_METHOD},
    };
    Host *h = *state;

    if (!have_dbus_daemon() || geteuid() != 0)
        skip(); /* dbus-daemon is not installed, or the uids cannot be taken on */
    host_start_daemon(h);
    host_wait_name(h, true);
    assert_non_null(system_bus_get(h->bus));
    for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
        int r = host_call(h, &calls[i]);

        if (r != 0)
            fail_msg("call %zu: %d", i, r);
    }
    assert_int_equal(h->n_reloaded, 1);
}

static void test_log_control(void **state)
{
    static const ClientCall set_by_root = {0, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set", "ssv",
        "org.freedesktop.LogControl1", "LogLevel", "debug"};
    static const ClientCall set_nonsense = {0, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set", "ssv",
        "org.freedesktop.LogControl1", "LogLevel", "loud", .error = SD_BUS_ERROR_INVALID_ARGS};
    static const ClientCall set_other = {0, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set", "ssv",
        "org.freedesktop.LogControl1", "LogTarget", "console", .error = SD_BUS_ERROR_PROPERTY_READ_ONLY};
    static const ClientCall set_by_other = {NOBODY, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set", "ssv",
        "org.freedesktop.LogControl1", "LogLevel", "emerg", .error = BUS_ERROR_ACCESS_DENIED};
    static const ClientCall get_all = {NOBODY, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "GetAll", "s",
        "org.freedesktop.LogControl1"};
    Host *h = *state;
    int before = log_get_max_level();

    if (!have_dbus_daemon() || geteuid() != 0)
        skip(); /* dbus-daemon is not installed, or the uids cannot be taken on */
    host_start_daemon(h);
    host_wait_name(h, true);
    assert_int_equal(host_call(h, &get_all), 0);
    assert_int_equal(host_call(h, &set_by_root), 0);
    assert_int_equal(log_get_max_level(), LOG_DEBUG);
    assert_int_equal(host_call(h, &set_nonsense), 0);
    assert_int_equal(host_call(h, &set_other), 0);
    assert_int_equal(host_call(h, &set_by_other), 0);
    assert_int_equal(log_get_max_level(), LOG_DEBUG);
    log_set_max_level(before);
}

static void test_bus_comes_late_and_goes_away(void **state)
{
    static const ClientCall state_call = {0, TEST_PATH, TEST_NAME, "State"};
    Host *h = *state;

    if (!have_dbus_daemon())
        skip(); /* dbus-daemon is not installed */
    host_run(h); /* in vain */
    assert_null(system_bus_get(h->bus));
    host_start_daemon(h);
    host_wait_name(h, true);
    host_stop_daemon(h);
    host_wait_name(h, false);
    assert_null(system_bus_get(h->bus));
    host_start_daemon(h);
    host_wait_name(h, true);
    assert_int_equal(host_call(h, &state_call), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_control, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bus_comes_late_and_goes_away, setup, teardown),
    };
    sigset_t mask;

    (void) sigemptyset(&mask);
    (void) sigaddset(&mask, SIGCHLD);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
