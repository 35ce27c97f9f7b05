/* SPDX-License-Identifier: Apache-2.0 */

/* The system bus with a dbus-daemon and a polkit of the test's own: comes late, goes away, and carries calls of root and of others. */

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

#include "bus-authorizer.h"
#include "bus-error.h"
#include "log.h"
#include "polkit-action.h"
#include "system-bus.h"

#define TEST_NAME "org.postern.Test1"
#define TEST_PATH "/org/postern/Test1"
#define NOBODY 65534
#define TEST_ACTION "org.postern.test"

/* What the fake polkit does. */
typedef enum Verdict {
    VERDICT_NO,
    VERDICT_YES,
    VERDICT_ASK, /* yes, if it may ask somebody */
    VERDICT_ERROR,
    VERDICT_NONSENSE,
    VERDICT_SILENCE,
} Verdict;

typedef struct Host {
    char directory[64];
    char configuration[128];
    char socket[96];
    sd_event *event;
    SystemBus *bus;
    pid_t daemon;
    unsigned n_reloaded;
    sd_bus *polkit;
    Verdict verdict;
    char action[64], subject[32]; /* of what it was asked last */
    sd_bus_message *held[8];      /* what it was asked and has not answered */
    size_t n_held;
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
    SD_BUS_METHOD("Forgotten", NULL, "s", method_state, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Secret", NULL, "s", method_state, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_ARGS("s", how), SD_BUS_RESULT("s", how), method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static PeerObject objects[] = {{TEST_PATH, TEST_NAME, vtable, NULL}, {}};
static const SystemBusAccess access_table[] = {
    {TEST_NAME, "State", SYSTEM_BUS_PUBLIC},
    {TEST_NAME, "Reload", TEST_ACTION},
    {TEST_NAME, "NoSuch", TEST_ACTION},
    {TEST_NAME, "Secret", NULL},
    {},
};

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
    assert_int_equal(system_bus_new(&h->bus, h->event, TEST_NAME, "postern-test", objects, access_table), 0);
    *state = h;
    return 0;
}

/* ---- polkit ---- */

static int polkit_answer(sd_bus_message *m, Verdict verdict)
{
    switch (verdict) {
    case VERDICT_ERROR:
        return sd_bus_reply_method_errorf(m, "org.freedesktop.PolicyKit1.Error.Failed", "Action is not registered");
    case VERDICT_NONSENSE:
        return sd_bus_reply_method_return(m, "b", true);
    default:
        return sd_bus_reply_method_return(m, "(bba{ss})", verdict == VERDICT_YES, verdict == VERDICT_ASK, 0);
    }
}

static int method_check_authorization(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    const char *kind, *key, *subject, *action;
    Host *h = userdata;
    uint32_t flags;

    if (sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &subject, &action) < 0
            || sd_bus_message_skip(m, "a{ss}") < 0 || sd_bus_message_read(m, "u", &flags) < 0)
        return -EBADMSG;
    if (!streq(kind, "system-bus-name") || !streq(key, "name"))
        return -EINVAL;
    (void) snprintf(h->subject, sizeof(h->subject), "%s", subject);
    (void) snprintf(h->action, sizeof(h->action), "%s", action);
    if (h->verdict == VERDICT_SILENCE) {
        assert_true(h->n_held < ELEMENTSOF(h->held));
        h->held[h->n_held++] = sd_bus_message_ref(m);
        return 1;
    }
    return polkit_answer(m, h->verdict == VERDICT_ASK && flags == 1 ? VERDICT_YES : h->verdict);
}

static const sd_bus_vtable polkit_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", method_check_authorization, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static void host_start_polkit(Host *h, Verdict verdict)
{
    h->verdict = verdict;
    assert_true(sd_bus_open_system(&h->polkit) >= 0);
    assert_true(sd_bus_add_object_vtable(h->polkit, NULL, "/org/freedesktop/PolicyKit1/Authority",
                        "org.freedesktop.PolicyKit1.Authority", polkit_vtable, h) >= 0);
    assert_true(sd_bus_request_name(h->polkit, "org.freedesktop.PolicyKit1", 0) >= 0);
    assert_true(sd_bus_attach_event(h->polkit, h->event, 0) >= 0);
}

static void host_polkit_answers(Host *h, Verdict verdict)
{
    while (h->n_held > 0) {
        assert_true(polkit_answer(h->held[--h->n_held], verdict) >= 0);
        sd_bus_message_unref(h->held[h->n_held]);
    }
}

static int teardown(void **state)
{
    Host *h = *state;

    while (h->n_held > 0)
        sd_bus_message_unref(h->held[--h->n_held]);
    sd_bus_close_unref(h->polkit);
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
    bool interactive;
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
    (void) sd_bus_message_set_allow_interactive_authorization(m, call->interactive);
    r = sd_bus_call(bus, m, 20 * USEC_PER_SEC, &error, &reply);
    if (!call->error)
        return r < 0 ? 6 : 0;
    return sd_bus_error_has_name(&error, call->error) ? 0 : 7;
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    *(int *) userdata = si->si_code == CLD_EXITED ? si->si_status : 255;
    return 0;
}

typedef struct Client {
    sd_event_source *source;
    int status; /* -1: it has not ended */
} Client;

static void client_start(Client *c, Host *h, const ClientCall *call)
{
    pid_t pid;

    c->status = -1;
    pid = fork();
    if (pid == 0)
        _exit(client_main(call));
    assert_true(sd_event_add_child(h->event, &c->source, pid, WEXITED, on_child, &c->status) >= 0);
}

static int client_wait(Client *c, Host *h)
{
    while (c->status < 0)
        host_run(h);
    c->source = sd_event_source_unref(c->source);
    return c->status;
}

static int host_call(Host *h, const ClientCall *call)
{
    Client c;

    client_start(&c, h, call);
    return client_wait(&c, h);
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
        {0, TEST_PATH, TEST_NAME, "Secret"},
        {0, TEST_PATH, TEST_NAME, "Forgotten"},
        {NOBODY, TEST_PATH, TEST_NAME, "Secret", .error = SD_BUS_ERROR_ACCESS_DENIED},
        {NOBODY, TEST_PATH, TEST_NAME, "Forgotten", .error = SD_BUS_ERROR_ACCESS_DENIED},
        /* There is no polkit. */
        {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_ACCESS_DENIED},
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

static void test_polkit_decides(void **state)
{
    static const struct {
        Verdict verdict;
        ClientCall call;
        const char *action; /* that it was asked; NULL: it was not */
        bool handled;
    } cases[] = {
        {VERDICT_NO, {0, TEST_PATH, TEST_NAME, "Reload", "s", "softly"}, NULL, true},
        {VERDICT_NO, {NOBODY, TEST_PATH, TEST_NAME, "State"}, NULL, false},
        {VERDICT_YES, {NOBODY, TEST_PATH, TEST_NAME, "Secret", .error = SD_BUS_ERROR_ACCESS_DENIED}, NULL, false},
        {VERDICT_YES, {NOBODY, TEST_PATH, TEST_NAME, "Forgotten", .error = SD_BUS_ERROR_ACCESS_DENIED}, NULL, false},
        {VERDICT_YES, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly"}, TEST_ACTION, true},
        {VERDICT_YES, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "fail", .error = BUS_ERROR_CONFIGURATION_INVALID}, TEST_ACTION,
                false},
        {VERDICT_YES, {NOBODY, "/org/freedesktop/LogControl1", "org.freedesktop.DBus.Properties", "Set", "ssv",
                "org.freedesktop.LogControl1", "LogLevel", "info"}, ACTION_MANAGE_DAEMONS, false},
        {VERDICT_NO, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_ACCESS_DENIED}, TEST_ACTION, false},
        {VERDICT_NO, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .interactive = true, .error = SD_BUS_ERROR_ACCESS_DENIED},
                TEST_ACTION, false},
        {VERDICT_ASK, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly",
                .error = SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED}, TEST_ACTION, false},
        {VERDICT_ASK, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .interactive = true}, TEST_ACTION, true},
        {VERDICT_ERROR, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_ACCESS_DENIED}, TEST_ACTION, false},
        {VERDICT_NONSENSE, {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_ACCESS_DENIED}, TEST_ACTION,
                false},
    };
    Host *h = *state;

    if (!have_dbus_daemon() || geteuid() != 0)
        skip(); /* dbus-daemon is not installed, or the uids cannot be taken on */
    host_start_daemon(h);
    host_wait_name(h, true);
    host_start_polkit(h, VERDICT_NO);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const unsigned before = h->n_reloaded;
        int r;

        h->verdict = cases[i].verdict;
        h->action[0] = h->subject[0] = '\0';
        r = host_call(h, &cases[i].call);
        if (r != 0 || h->n_reloaded != before + cases[i].handled || !streq(h->action, cases[i].action ?: "")
                || (cases[i].action && h->subject[0] != ':'))
            fail_msg("case %zu: %d, asked for '%s' of '%s'", i, r, h->action, h->subject);
    }
}

/* Calls are held while polkit thinks; others are answered meanwhile, and nobody holds too many. */
static void test_polkit_takes_its_time(void **state)
{
    static const ClientCall call = {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .interactive = true};
    static const ClientCall too_much = {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = BUS_ERROR_LIMIT_EXCEEDED};
    static const ClientCall by_root = {0, TEST_PATH, TEST_NAME, "Reload", "s", "softly"};
    static const ClientCall public = {NOBODY, TEST_PATH, TEST_NAME, "State"};
    static const ClientCall in_vain = {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly", .error = SD_BUS_ERROR_ACCESS_DENIED};
    Client clients[BUS_AUTHORIZER_QUESTIONS_PER_UID_MAX], patient;
    Host *h = *state;

    if (!have_dbus_daemon() || geteuid() != 0)
        skip(); /* dbus-daemon is not installed, or the uids cannot be taken on */
    host_start_daemon(h);
    host_wait_name(h, true);
    host_start_polkit(h, VERDICT_SILENCE);
    for (size_t i = 0; i < ELEMENTSOF(clients); i++)
        client_start(&clients[i], h, &call);
    while (h->n_held < ELEMENTSOF(clients))
        host_run(h);
    assert_int_equal(host_call(h, &too_much), 0);
    assert_int_equal(host_call(h, &public), 0);
    assert_int_equal(host_call(h, &by_root), 0);
    assert_int_equal(h->n_reloaded, 1);
    host_polkit_answers(h, VERDICT_YES);
    for (size_t i = 0; i < ELEMENTSOF(clients); i++)
        assert_int_equal(client_wait(&clients[i], h), 0);
    assert_int_equal(h->n_reloaded, 1 + ELEMENTSOF(clients));

    /* Until the deadline. */
    client_start(&patient, h, &in_vain);
    while (h->n_held == 0)
        host_run(h);
    assert_int_equal(host_call(h, &public), 0);
    assert_int_equal(client_wait(&patient, h), 0);
    host_polkit_answers(h, VERDICT_YES);
    assert_int_equal(host_call(h, &public), 0);
    assert_int_equal(h->n_reloaded, 1 + ELEMENTSOF(clients));
}

/* What is held goes with the bus. */
static void test_bus_goes_away_while_polkit_thinks(void **state)
{
    static const ClientCall call = {NOBODY, TEST_PATH, TEST_NAME, "Reload", "s", "softly"};
    Host *h = *state;
    Client client;

    if (!have_dbus_daemon() || geteuid() != 0)
        skip(); /* dbus-daemon is not installed, or the uids cannot be taken on */
    host_start_daemon(h);
    host_wait_name(h, true);
    host_start_polkit(h, VERDICT_SILENCE);
    client_start(&client, h, &call);
    while (h->n_held == 0)
        host_run(h);
    host_stop_daemon(h);
    host_wait_name(h, false);
    (void) client_wait(&client, h);
    assert_int_equal(h->n_reloaded, 0);
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
        "org.freedesktop.LogControl1", "LogLevel", "emerg", .error = SD_BUS_ERROR_ACCESS_DENIED};
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
        cmocka_unit_test_setup_teardown(test_polkit_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_polkit_takes_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bus_goes_away_while_polkit_thinks, setup, teardown),
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
