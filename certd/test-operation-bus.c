/* SPDX-License-Identifier: Apache-2.0 */

/* The methods that change certificates, called over a peer socket as posternctl and busctl call them: arguments, answers, named
 * errors, the signal. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus-error.h"
#include "certd-bus.h"
#include "log.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
    char directory[64];
    Manager *certd;
    sd_bus *bus;
    unsigned n_changed;
    sd_bus_message *answer;
} Fixture;

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Fixture *f = userdata;

    f->n_changed++;
    return 0;
}

static void serve(Fixture *f)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_free_ char *text = NULL;

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/certd", f->directory);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    certd_bus_objects(f->certd);
    assert_int_equal(peer_server_new(&f->certd->server, f->certd->event, fd, "certd", certd_peer_access, f->certd->peer_objects),
            0);
    (void) TAKE_FD(fd);
    assert_true(asprintf(&text, "unix:path=%s", address.sun_path) > 0);
    assert_int_equal(sd_bus_new(&f->bus), 0);
    assert_true(sd_bus_set_address(f->bus, text) >= 0);
    assert_true(sd_bus_start(f->bus) >= 0);
    assert_true(sd_bus_attach_event(f->bus, f->certd->event, 0) >= 0);
    assert_true(sd_bus_match_signal_async(f->bus, NULL, NULL, CERTD_PATH, CERTD_INTERFACE, "Changed", on_changed, NULL, f) >= 0
            || sd_bus_match_signal(f->bus, NULL, NULL, CERTD_PATH, CERTD_INTERFACE, "Changed", on_changed, f) >= 0);
}

static int setup(void **state)
{
    _cleanup_free_ char *command = NULL, *path = NULL;
    Fixture *f = calloc(1, sizeof(Fixture));

    log_set_max_level(LOG_ERR);
    strcpy(f->directory, "/tmp/test-operation-bus-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_true(asprintf(&command, "mkdir -p %s/etc/postern && mkdir -m 0700 %s/store", f->directory, f->directory) > 0);
    assert_int_equal(system(command), 0);
    assert_true(asprintf(&path, "%s/store", f->directory) > 0);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", f->directory, 1), 0);
    assert_int_equal(manager_new(&f->certd), 0);
    f->certd->root = f->directory;
    assert_int_equal(manager_load_conf(f->certd), 0);
    assert_int_equal(manager_open_store(f->certd, path), 0);
    serve(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Fixture *f = *state;
    int r;

    sd_bus_message_unref(f->answer);
    sd_bus_close_unref(f->bus);
    manager_free(f->certd);
    assert_true(asprintf(&command, "rm -r %s", f->directory) > 0);
    r = system(command);
    free(f);
    (void) prctl(PR_SET_DUMPABLE, 1);
    return r;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Fixture *f = userdata;

    f->answer = sd_bus_message_ref(m);
    return 0;
}

static sd_bus_message *prepare(Fixture *f, const char *member)
{
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(f->bus, &m, NULL, CERTD_PATH, CERTD_INTERFACE, member) >= 0);
    return m;
}

/* Sends m, which it consumes, and waits. error: the last part of the expected error's name, or NULL. */
static sd_bus_message *call(Fixture *f, sd_bus_message *m, const char *error)
{
    uint64_t start, now;

    f->answer = sd_bus_message_unref(f->answer);
    assert_true(sd_bus_call_async(f->bus, NULL, m, on_answer, f, PATIENCE_USEC) >= 0);
    sd_bus_message_unref(m);
    (void) sd_event_now(f->certd->event, CLOCK_MONOTONIC, &start);
    while (!f->answer) {
        assert_true(sd_event_run(f->certd->event, 100 * USEC_PER_MSEC) >= 0);
        (void) sd_event_now(f->certd->event, CLOCK_MONOTONIC, &now);
        assert_true(now < start + PATIENCE_USEC);
    }
    if (sd_bus_message_is_method_error(f->answer, NULL)) {
        const sd_bus_error *e = sd_bus_message_get_error(f->answer);

        if (!error || !streq(strrchr(e->name, '.') + 1, error))
            fail_msg("%s: %s, not %s", e->name, e->message, error ?: "success");
    } else if (error)
        fail_msg("it succeeded, rather than to fail with %s", error);
    return f->answer;
}

#define CALL(f, member, error, ...)                                        \
    ({                                                                     \
        sd_bus_message *call_ = prepare(f, member);                        \
                                                                           \
        assert_true(sd_bus_message_append(call_, __VA_ARGS__) >= 0);       \
        call(f, call_, error);                                             \
    })

static const char *text_of(sd_bus_message *m)
{
    const char *s = NULL;

    assert_true(sd_bus_message_read(m, "s", &s) >= 0);
    return s;
}

static void test_life(void **state)
{
    Fixture *f = *state;
    char *request;

    assert_string_equal(text_of(CALL(f, "CreateCertificate", NULL, "sa{sv}", "", 3, "CommonName", "s", "mx.example.org", "Names",
                                "as", 1, "smtp.example.org", "Days", "u", 90)),
            "mx.example.org");
    (void) CALL(f, "CreateCertificate", "CertificateExists", "sa{sv}", "mx.example.org", 1, "CommonName", "s", "a.example.org");
    (void) CALL(f, "GetRequest", "NoRequest", "s", "mx.example.org");
    request = strdup(text_of(CALL(f, "CreateRequest", NULL, "s", "mx.example.org")));
    assert_true(strncmp(request, "-----BEGIN CERTIFICATE REQUEST-----", 35) == 0);
    assert_string_equal(text_of(CALL(f, "GetRequest", NULL, "s", "mx.example.org")), request);
    free(request);
    (void) CALL(f, "DescribeCertificate", NULL, "s", "mx.example.org");
    (void) CALL(f, "RenameCertificate", NULL, "ssb", "mx.example.org", "mx", false);
    (void) CALL(f, "GetCertificate", "NoSuchCertificate", "s", "mx.example.org");
    (void) CALL(f, "ForbidExport", NULL, "s", "mx");
    (void) CALL(f, "DeleteCertificate", NULL, "sb", "mx", false);
    (void) CALL(f, "DescribeCertificate", "NoSuchCertificate", "s", "mx");
    assert_int_equal(f->n_changed, 5);
}

static void test_details(void **state)
{
    Fixture *f = *state;
    sd_bus_message *m = CALL(f, "DescribeCertificate", NULL, "s", "demonstration");
    const char *name, *state_name = NULL;
    unsigned n = 0;

    assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        if (streq(name, "State"))
            assert_true(sd_bus_message_read(m, "v", "s", &state_name) > 0);
        else
            assert_true(sd_bus_message_skip(m, "v") > 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
        n++;
    }
    assert_string_equal(state_name, "demonstration");
    assert_int_equal(n, 19);
}

/* The demonstration certificate is smtpd's. */
static void test_in_use(void **state)
{
    Fixture *f = *state;

    (void) CALL(f, "DeleteCertificate", "CertificateInUse", "sb", "demonstration", false);
    (void) CALL(f, "RenameCertificate", "CertificateInUse", "ssb", "demonstration", "other", false);
    (void) CALL(f, "RenameCertificate", NULL, "ssb", "demonstration", "other", true);
    (void) CALL(f, "DeleteCertificate", NULL, "sb", "other", true);
    assert_null(store_get(f->certd->store, 0));
}

static void test_assign(void **state)
{
    Fixture *f = *state;
    const char *name = NULL, *use = NULL;
    sd_bus_message *m;

    (void) CALL(f, "CreateCertificate", NULL, "sa{sv}", "mx", 1, "CommonName", "s", "mx.example.org");
    (void) CALL(f, "AssignCertificate", "NoSuchCertificate", "ss", "no", "delivery");
    (void) CALL(f, "AssignCertificate", "NoSuchCertificate", "ss", "../mx", "delivery");
    (void) CALL(f, "AssignCertificate", "InvalidArgument", "ss", "mx", "smtpd");
    (void) CALL(f, "AssignCertificate", "InvalidArgument", "ss", "mx", "user:postern-no-such-user");
    (void) CALL(f, "UnassignCertificate", "KeyNotAssigned", "ss", "mx", "delivery");
    assert_int_equal(f->n_changed, 1);
    (void) CALL(f, "AssignCertificate", NULL, "ss", "mx", "listener:public");
    (void) CALL(f, "AssignCertificate", NULL, "ss", "mx", "user:root");
    assert_int_equal(f->n_changed, 3);
    (void) CALL(f, "AssignCertificate", NULL, "ss", "mx", "user:root");
    assert_int_equal(f->n_changed, 3);
    assert_true(assignments_permit(f->certd->assignments, "mx", USE_USER, 0));

    /* With another name it is for the same; and now nobody needs that of the first start. */
    (void) CALL(f, "RenameCertificate", NULL, "ssb", "mx", "other", false);
    (void) CALL(f, "DeleteCertificate", NULL, "sb", "demonstration", false);
    m = CALL(f, "ListAssignments", NULL, "");
    assert_true(sd_bus_message_enter_container(m, 'a', "(ss)") > 0);
    assert_true(sd_bus_message_read(m, "(ss)", &name, &use) > 0);
    assert_string_equal(name, "other");
    assert_string_equal(use, "listener:public");
    assert_true(sd_bus_message_read(m, "(ss)", &name, &use) > 0);
    assert_string_equal(use, "user:root");
    assert_int_equal(sd_bus_message_read(m, "(ss)", &name, &use), 0);

    (void) CALL(f, "DeleteCertificate", "CertificateInUse", "sb", "other", false);
    (void) CALL(f, "UnassignCertificate", NULL, "ss", "other", "user:root");
    (void) CALL(f, "DeleteCertificate", "CertificateInUse", "sb", "other", false);
    (void) CALL(f, "DeleteCertificate", NULL, "sb", "other", true);
    assert_int_equal(f->certd->assignments->n, 0);
}

static void test_wrong_options(void **state)
{
    Fixture *f = *state;

    (void) CALL(f, "CreateCertificate", "InvalidArgument", "sa{sv}", "a", 1, "Colour", "s", "green");
    (void) CALL(f, "CreateCertificate", "InvalidArgument", "sa{sv}", "a", 1, "Days", "s", "green");
    (void) CALL(f, "CreateCertificate", "InvalidArgument", "sa{sv}", "a", 1, "Days", "u", 0);
    (void) CALL(f, "CreateCertificate", "InvalidArgument", "sa{sv}", "a", 2, "Names", "as", 1, "a.org", "Names", "as", 1,
            "b.org");
    (void) CALL(f, "CreateCertificate", "NotSupported", "sa{sv}", "a", 2, "CommonName", "s", "a.org", "KeyType", "s", "rsa-1024");
    (void) CALL(f, "CreateRequest", "NoSuchCertificate", "s", "a");
    (void) CALL(f, "CreateRequest", "NoSuchCertificate", "s", "../a");
    (void) CALL(f, "RenameCertificate", "InvalidArgument", "ssb", "demonstration", "a/b", true);
    assert_int_equal(f->n_changed, 0);
}

static int memfd(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", text) == (int) strlen(text));
    return fd;
}

/* What leaves as PKCS#12 comes back, with the same key. */
static void test_files(void **state)
{
    _cleanup_close_ int passphrase = memfd("secret\n"), wrong = memfd("wrong"), garbage = memfd("garbage"), file = -EBADF;
    Fixture *f = *state;
    uint8_t spki[32];
    int fd;

    (void) CALL(f, "CreateCertificate", NULL, "sa{sv}", "mx", 1, "CommonName", "s", "mx.example.org");
    memcpy(spki, store_find(f->certd->store, "mx")->spki_sha256, 32);
    assert_true(sd_bus_message_read(CALL(f, "ExportCertificate", NULL, "sh", "mx", passphrase), "h", &fd) > 0);
    file = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    assert_true(file >= 0);
    (void) CALL(f, "ImportCertificate", "CertificateExists", "shha{sv}", "mx", file, passphrase, 0);
    (void) CALL(f, "DeleteCertificate", NULL, "sb", "mx", false);
    (void) CALL(f, "ImportCertificate", "WrongPassphrase", "shha{sv}", "mx", file, wrong, 0);
    (void) CALL(f, "ImportCertificate", "CertificateInvalid", "shha{sv}", "mx", garbage, wrong, 0);
    (void) CALL(f, "ImportCertificate", NULL, "shha{sv}", "mx", file, passphrase, 1, "ForbidExport", "b", true);
    assert_memory_equal(store_find(f->certd->store, "mx")->spki_sha256, spki, 32);
    (void) CALL(f, "ExportCertificate", "ExportForbidden", "sh", "mx", passphrase);
    (void) CALL(f, "InstallCertificate", "CertificateInvalid", "sha{sv}", "mx", garbage, 0);
    (void) CALL(f, "InstallCertificate", "InvalidArgument", "sha{sv}", "mx", garbage, 1, "Incomplete", "s", "yes");
    assert_memory_equal(store_find(f->certd->store, "mx")->spki_sha256, spki, 32);
}

/* A certificate of another key is refused by name, a new one for the same key goes in. */
static void test_install(void **state)
{
    _cleanup_close_ int demonstration = -EBADF, own = -EBADF;
    Fixture *f = *state;

    (void) CALL(f, "CreateCertificate", NULL, "sa{sv}", "mx", 1, "CommonName", "s", "mx.example.org");
    demonstration = memfd(store_find(f->certd->store, "demonstration")->pem);
    own = memfd(store_find(f->certd->store, "mx")->pem);
    (void) CALL(f, "InstallCertificate", "WrongKey", "sha{sv}", "mx", demonstration, 0);
    (void) CALL(f, "InstallCertificate", NULL, "sha{sv}", "mx", own, 0);
    (void) CALL(f, "AddIntermediates", "CertificateInvalid", "sha{sv}", "mx", demonstration, 0);
    (void) CALL(f, "AddIntermediates", "NoSuchCertificate", "sha{sv}", "other", demonstration, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_details),
        TEST(test_in_use),
        TEST(test_assign),
        TEST(test_wrong_options),
        TEST(test_files),
        TEST(test_install),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
