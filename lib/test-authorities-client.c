/* SPDX-License-Identifier: Apache-2.0 */

/* The client for the lists of authorities against a peer that plays certd: what it gives, takes back, gets wrong, and what is
 * left when it is away. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "authorities-client.h"
#include "bus-error.h"
#include "openssl-cleanup.h"
#include "peer-server.h"
#include "sandbox.h"
#include "test-certificate.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_PEER_INTERFACE "org.postern.Cert1.Peer"
#define PATIENCE_USEC (8 * USEC_PER_SEC)

typedef struct Fixture {
    char directory[32];
    sd_event *event;
    PeerServer *certd;
    PeerClient *client;
    AuthoritiesClient *authorities;
    TestCertificate *ca, *other, *leaf;

    /* What certd answers. */
    BIO *file;
    bool refuse, no_file;
    unsigned n_asked;

    /* What the client has said. */
    unsigned n_changed;
    int error;
    int connected; /* a descriptor for the next connection */
} Fixture;

static int answer(Fixture *f)
{
    int fd = memfd_create("authorities", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char *data;
    long size = BIO_get_mem_data(f->file, &data);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, (size_t) size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
    return fd;
}

static int method_get_authorities(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_close_ int fd = -EBADF;
    Fixture *f = userdata;
    int fds[2];

    f->n_asked++;
    if (f->refuse)
        return sd_bus_error_set(error, BUS_ERROR_ACCESS_DENIED, "Not for you.");
    if (f->no_file) {
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        (void) close(fds[1]);
        fd = fds[0];
    } else
        fd = answer(f);
    return sd_bus_reply_method_return(m, "th", (uint64_t) f->n_asked, fd);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("GetAuthorities", NULL, "th", method_get_authorities, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("AuthoritiesChanged", "t", 0),
    SD_BUS_VTABLE_END,
};
static const PeerAccess access_table[] = {{CERTD_PEER_INTERFACE, NULL, ROLE_SELF}, {}};
static PeerObject objects[] = {{CERTD_PATH, CERTD_PEER_INTERFACE, vtable, NULL}, {}};

static void start_certd(Fixture *f)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/certd", f->directory);
    (void) unlink(sa.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    objects[0].userdata = f;
    assert_int_equal(peer_server_new(&f->certd, f->event, fd, "certd", access_table, objects), 0);
}

static void on_changed(AuthoritiesClient *c, int error, const char *reason, void *userdata)
{
    Fixture *f = userdata;

    assert_true(error == 0 ? !reason : error < 0 && *reason);
    f->n_changed++;
    f->error = error;
}

static int hand_over(PeerConnector *c, const char *name, void *userdata)
{
    peer_connector_take_fd(c, TAKE_FD(((Fixture *) userdata)->connected));
    return 0;
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(Fixture));

    f->connected = -EBADF;
    strcpy(f->directory, "/tmp/test-authorities-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", f->directory, 1), 0);
    assert_true(sd_event_new(&f->event) >= 0);
    f->ca = test_certificate_new(&(TestCertificateSpec){.cn = "A", .constraints = "critical,CA:TRUE"}, NULL);
    f->other = test_certificate_new(&(TestCertificateSpec){.cn = "B", .constraints = "critical,CA:TRUE"}, NULL);
    f->leaf = test_certificate_new(&(TestCertificateSpec){.cn = "mx.example.com"}, f->ca);
    f->file = BIO_new(BIO_s_mem());
    start_certd(f);
    assert_int_equal(peer_client_new(&f->client, f->event, "certd"), 0);
    assert_int_equal(authorities_client_new(&f->authorities, f->client, NULL, on_changed, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    char path[64];

    authorities_client_free(f->authorities);
    peer_client_free(f->client);
    peer_server_free(f->certd);
    (void) close_fd(f->connected);
    BIO_free(f->file);
    test_certificate_free(f->ca);
    test_certificate_free(f->other);
    test_certificate_free(f->leaf);
    assert_null(sd_event_unref(f->event));
    (void) snprintf(path, sizeof(path), "%s/certd", f->directory);
    (void) unlink(path);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

#define run_until(f, condition)                                                 \
    do {                                                                        \
        while (!(condition))                                                    \
            assert_int_not_equal(sd_event_run((f)->event, PATIENCE_USEC), 0);   \
    } while (0)

static void put(Fixture *f, const TestCertificate *a, const TestCertificate *b)
{
    assert_int_equal(BIO_reset(f->file), 1);
    if (a)
        assert_int_equal(PEM_write_bio_X509(f->file, a->x509), 1);
    if (b)
        assert_int_equal(PEM_write_bio_X509(f->file, b->x509), 1);
}

static void put_text(Fixture *f, const char *text)
{
    assert_true(BIO_puts(f->file, text) > 0);
}

static void tell(Fixture *f)
{
    assert_true(peer_server_emit(f->certd, ROLE_SELF, CERTD_PATH, CERTD_PEER_INTERFACE, "AuthoritiesChanged", "t", UINT64_C(2))
            >= 0);
}

static void wait_changed(Fixture *f, unsigned n)
{
    run_until(f, f->n_changed >= n);
    assert_int_equal(f->n_changed, n);
}

static bool verifies(X509_STORE *store, X509 *x)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool good;

    assert_int_equal(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
    good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    return good;
}

static void test_gives_and_follows(void **state)
{
    Fixture *f = *state;

    assert_null(authorities_client_store(f->authorities));
    put(f, f->ca, NULL);
    wait_changed(f, 1);
    assert_int_equal(f->error, 0);
    assert_int_equal(authorities_client_count(f->authorities), 1);
    assert_true(verifies(authorities_client_store(f->authorities), f->leaf->x509));
    put(f, f->ca, f->other);
    tell(f);
    wait_changed(f, 2);
    assert_int_equal(authorities_client_count(f->authorities), 2);
    assert_true(verifies(authorities_client_store(f->authorities), f->leaf->x509));
    put(f, f->other, NULL);
    tell(f);
    wait_changed(f, 3);
    assert_false(verifies(authorities_client_store(f->authorities), f->leaf->x509));
}

static void test_nothing_enabled(void **state)
{
    Fixture *f = *state;

    wait_changed(f, 1);
    assert_int_equal(f->error, 0);
    assert_int_equal(authorities_client_count(f->authorities), 0);
    assert_non_null(authorities_client_store(f->authorities));
    assert_false(verifies(authorities_client_store(f->authorities), f->leaf->x509));
}

/* A session that began before keeps its store. */
static void test_counted(void **state)
{
    Fixture *f = *state;
    X509_STORE *old;

    put(f, f->ca, NULL);
    wait_changed(f, 1);
    old = authorities_client_store(f->authorities);
    assert_int_equal(X509_STORE_up_ref(old), 1);
    put(f, f->other, NULL);
    tell(f);
    wait_changed(f, 2);
    assert_ptr_not_equal(authorities_client_store(f->authorities), old);
    assert_true(verifies(old, f->leaf->x509));
    X509_STORE_free(old);
}

static void test_the_same_again(void **state)
{
    Fixture *f = *state;
    X509_STORE *store;

    put(f, f->ca, NULL);
    wait_changed(f, 1);
    store = authorities_client_store(f->authorities);
    tell(f);
    run_until(f, f->n_asked == 2);
    put(f, f->ca, f->other); /* to see the end of the call before */
    tell(f);
    wait_changed(f, 2);
    assert_int_equal(f->n_asked, 3);
    assert_ptr_not_equal(authorities_client_store(f->authorities), store);
}

static void test_certd_is_away(void **state)
{
    Fixture *f = *state;

    put(f, f->ca, NULL);
    wait_changed(f, 1);
    f->certd = peer_server_free(f->certd);
    assert_true(sd_event_run(f->event, PATIENCE_USEC) > 0);
    assert_true(verifies(authorities_client_store(f->authorities), f->leaf->x509));
    put(f, f->ca, f->other);
    start_certd(f);
    wait_changed(f, 2);
    assert_int_equal(f->error, 0);
    assert_int_equal(authorities_client_count(f->authorities), 2);
}

static void spoil_garbage(Fixture *f)
{
    put_text(f, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
}

static void spoil_cut(Fixture *f)
{
    put_text(f, "-----BEGIN CERTIFICATE-----\nMIIB");
}

static void spoil_size(Fixture *f)
{
    for (size_t i = 0; i <= AUTHORITIES_SIZE_MAX / 64; i++)
        put_text(f, "----------------------------------------------------------------");
}

static void spoil_count(Fixture *f)
{
    for (size_t i = 0; i < AUTHORITIES_MAX; i++)
        assert_int_equal(PEM_write_bio_X509(f->file, f->ca->x509), 1);
}

static void spoil_file(Fixture *f)
{
    f->no_file = true;
}

static void spoil_answer(Fixture *f)
{
    f->refuse = true;
}

static void test_bad_file_changes_nothing(void **state)
{
    static void (*const spoil[])(Fixture *f) = {
        spoil_garbage,
        spoil_cut,
        spoil_size,
        spoil_count,
        spoil_file,
        spoil_answer,
    };
    Fixture *f = *state;

    put(f, f->ca, NULL);
    wait_changed(f, 1);
    for (unsigned i = 0; i < ELEMENTSOF(spoil); i++) {
        X509_STORE *store = authorities_client_store(f->authorities);

        put(f, f->other, NULL);
        spoil[i](f);
        tell(f);
        wait_changed(f, 2 * i + 2);
        assert_true(f->error < 0);
        assert_ptr_equal(authorities_client_store(f->authorities), store);
        assert_int_equal(authorities_client_count(f->authorities), 1);
        f->no_file = f->refuse = false;
        /* And it is not the end. */
        put(f, i % 2 ? f->ca : f->other, NULL);
        tell(f);
        wait_changed(f, 2 * i + 3);
        assert_int_equal(f->error, 0);
    }
}

/* As in a worker: no file can be opened, no socket made. An event loop does not survive fork(), so there is another. */
static void in_sandbox(Fixture *f)
{
    assert_true(sd_event_new(&f->event) >= 0);
    start_certd(f);
    f->connected = peer_socket_connect("certd");
    assert_true(f->connected >= 0);
    assert_int_equal(peer_client_new_fetched(&f->client, f->event, "certd", hand_over, f), 0);
    assert_int_equal(authorities_client_new(&f->authorities, f->client, NULL, on_changed, f), 0);
    put(f, f->ca, NULL);
    assert_int_equal(sandbox_enter(SANDBOX_ACCEPT), 0);
    wait_changed(f, 1);
    assert_int_equal(f->error, 0);
    assert_true(verifies(authorities_client_store(f->authorities), f->leaf->x509));
    assert_false(verifies(authorities_client_store(f->authorities), f->other->x509));
}

static void test_in_the_sandbox(void **state)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        in_sandbox(*state);
        _exit(0); /* a failed assertion leaves by another way */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Freed while a call is under way, and before the link that tells it of changes. */
static void test_free_early(void **state)
{
    Fixture *f = *state;
    unsigned n_others = 0;

    assert_true(sd_event_run(f->event, PATIENCE_USEC) > 0);
    f->authorities = authorities_client_free(f->authorities);
    assert_int_equal(authorities_client_new(&f->authorities, f->client, NULL, on_changed, f), 0);
    wait_changed(f, 1);
    f->authorities = authorities_client_free(f->authorities);
    n_others = f->n_asked;
    tell(f);
    assert_true(sd_event_run(f->event, PATIENCE_USEC) > 0);
    while (sd_event_run(f->event, 100 * USEC_PER_MSEC) > 0)
        ;
    assert_int_equal(f->n_asked, n_others);
    assert_int_equal(f->n_changed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gives_and_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_enabled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_same_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certd_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_file_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_the_sandbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_early, setup, teardown),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
