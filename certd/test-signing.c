/* SPDX-License-Identifier: Apache-2.0 */

/* certd and its client together, over a real peer socket on one loop: handshakes with the key in certd, everything that it must
 * refuse, a certificate that changes, a link that is lost in the middle. The test's own uid plays the service; who is one is
 * tested with the roles and on booted hosts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus-error.h"
#include "certd-bus.h"
#include "certificate-client.h"
#include "demo-certificate.h"
#include "log.h"
#include "openssl-cleanup.h"
#include "signer.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)
#define CONF "[Service smtpd]\nCertificates=demonstration rsa absent\n[Service deliverd]\nCertificates=demonstration\n"

static const PeerAccess access_table[] = {
    {CERTD_PEER_INTERFACE, NULL, ROLE_SELF},
    {},
};

typedef struct Fixture {
    char directory[64];
    Manager *certd;
    PeerClient *peer;
    RemoteKeys *keys;
    CertificateClient *client;
    unsigned n_changed;
    int error; /* of the last change */
} Fixture;

/* ---- the loop ---- */

static uint64_t now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* Until done says so. */
static void run_until(Fixture *f, bool (*done)(void *data), void *data)
{
    uint64_t deadline = now() + PATIENCE_USEC;

    while (!done(data)) {
        if (now() > deadline)
            fail_msg("it did not happen in time");
        assert_true(sd_event_run(f->certd->event, 100 * USEC_PER_MSEC) >= 0);
    }
}

/* ---- certd and client ---- */

static void put_conf(const Fixture *f, const char *text)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *file = NULL;

    assert_true(asprintf(&path, "%s/etc/postern/certd.conf", f->directory) > 0);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

/* Which service this process is to certd. */
static void be(Fixture *f, Role role)
{
    CertdConf *c = f->certd->conf;

    for (size_t i = 0; i < SERVICES_MAX; i++)
        c->services[i].role = c->services[i].side == (role == ROLE_SMTPD ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT) ? ROLE_SELF : 0;
}

static void serve(Fixture *f)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/certd", f->directory);
    (void) unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(peer_server_new(&f->certd->server, f->certd->event, fd, "certd", access_table, f->certd->peer_objects), 0);
    (void) TAKE_FD(fd);
}

static void on_changed(CertificateClient *c, const char *name, int error, const char *reason, void *userdata)
{
    Fixture *f = userdata;

    assert_true(error == 0 || (error < 0 && reason && *reason));
    f->n_changed++;
    f->error = error;
}

static void write_rsa(Store *s)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
    _cleanup_(x509_freep) X509 *x = X509_new();

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(store_write(s, "rsa", key, x), 0);
}

static void load_store(Fixture *f)
{
    _cleanup_free_ char *reason = NULL;

    if (store_load(f->certd->store, &reason) < 0)
        fail_msg("%s", reason);
}

static int setup(void **state)
{
    _cleanup_free_ char *command = NULL, *path = NULL;
    Fixture *f = calloc(1, sizeof(Fixture));

    log_set_max_level(LOG_ERR);
    strcpy(f->directory, "/tmp/test-signing-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_true(asprintf(&command, "mkdir -p %s/etc/postern && mkdir -m 0700 %s/store", f->directory, f->directory) > 0);
    assert_int_equal(system(command), 0);
    assert_true(asprintf(&path, "%s/store", f->directory) > 0);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", f->directory, 1), 0);

    assert_int_equal(manager_new(&f->certd), 0);
    f->certd->root = f->directory;
    put_conf(f, CONF);
    assert_int_equal(manager_load_conf(f->certd), 0);
    be(f, ROLE_SMTPD);
    assert_int_equal(manager_open_store(f->certd, path), 0);
    write_rsa(f->certd->store);
    load_store(f);
    certd_bus_objects(f->certd);
    serve(f);

    assert_int_equal(peer_client_new(&f->peer, f->certd->event, "certd"), 0);
    assert_int_equal(remote_keys_new(&f->keys), 0);
    assert_int_equal(certificate_client_new(&f->client, f->peer, f->keys, on_changed, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Fixture *f = *state;
    int r;

    certificate_client_free(f->client);
    peer_client_free(f->peer);
    remote_keys_free(f->keys);
    manager_free(f->certd);
    assert_true(asprintf(&command, "rm -r %s", f->directory) > 0);
    r = system(command);
    free(f);
    /* Leak checkers look into the process at its end. */
    (void) prctl(PR_SET_DUMPABLE, 1);
    ASYNC_cleanup_thread();
    return r;
}

/* ---- following ---- */

typedef struct Wait {
    Fixture *f;
    unsigned n;
} Wait;

static bool has_changed(void *data)
{
    const Wait *w = data;

    return w->f->n_changed >= w->n;
}

static void follow(Fixture *f, const char *name)
{
    Wait w = {f, f->n_changed + 1};

    assert_int_equal(certificate_client_follow(f->client, name, DEMONSTRATION_NAME), 0);
    run_until(f, has_changed, &w);
}

/* ---- handshakes ---- */

typedef struct Handshake {
    SSL_CTX *server_context, *client_context;
    SSL *server, *client;
    unsigned n_woken;
    bool failed;
} Handshake;

static int on_woken(SSL *ssl, void *userdata)
{
    ((Handshake *) userdata)->n_woken++;
    return 1;
}

static void handshake_start(Fixture *f, Handshake *h, const char *name, int version, bool at_client)
{
    SSL_CTX *mine;
    BIO *a, *b;

    *h = (Handshake) {};
    h->server_context = SSL_CTX_new_ex(remote_keys_libctx(f->keys), NULL, TLS_server_method());
    h->client_context = SSL_CTX_new_ex(remote_keys_libctx(f->keys), NULL, TLS_client_method());
    mine = at_client ? h->client_context : h->server_context;
    SSL_CTX_set_min_proto_version(mine, version);
    SSL_CTX_set_max_proto_version(mine, version);
    SSL_CTX_set_mode(mine, SSL_MODE_ASYNC);
    assert_int_equal(certificate_client_use(f->client, name, mine), 0);
    if (at_client) {
        EVP_PKEY *key;
        X509 *x;

        assert_int_equal(demo_certificate_make("server.example", &key, &x), 0);
        assert_int_equal(SSL_CTX_use_certificate(h->server_context, x), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(h->server_context, key), 1);
        X509_free(x);
        EVP_PKEY_free(key);
        SSL_CTX_set_verify(h->server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(h->server_context), SSL_CTX_get0_certificate(mine));
    }
    h->server = SSL_new(h->server_context);
    h->client = SSL_new(h->client_context);
    assert_int_equal(SSL_set_async_callback(at_client ? h->client : h->server, on_woken), 1);
    assert_int_equal(SSL_set_async_callback_arg(at_client ? h->client : h->server, h), 1);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(h->server, a, a);
    SSL_set_bio(h->client, b, b);
    SSL_set_accept_state(h->server);
    SSL_set_connect_state(h->client);
}

static void step(Handshake *h, SSL *ssl)
{
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(ssl);
    if (r != 1 && SSL_get_error(ssl, r) == SSL_ERROR_SSL)
        h->failed = true;
}

static bool handshake_ended(void *data)
{
    Handshake *h = data;

    for (unsigned i = 0; i < 8 && !h->failed; i++) {
        step(h, h->client);
        step(h, h->server);
    }
    return h->failed || (SSL_is_init_finished(h->client) && SSL_is_init_finished(h->server));
}

static void handshake_done(Handshake *h)
{
    remote_signature_abort(h->server);
    remote_signature_abort(h->client);
    SSL_free(h->server);
    SSL_free(h->client);
    SSL_CTX_free(h->server_context);
    SSL_CTX_free(h->client_context);
}

static void assert_handshake(Fixture *f, const char *name, int version, bool at_client)
{
    uint64_t signed_before = f->certd->n_signed;
    _cleanup_(handshake_done) Handshake h = {};

    handshake_start(f, &h, name, version, at_client);
    assert_false(handshake_ended(&h));
    run_until(f, handshake_ended, &h);
    assert_false(h.failed);
    assert_int_equal(h.n_woken, 1);
    assert_int_equal(f->certd->n_signed, signed_before + 1);
    assert_int_equal(f->certd->n_refused, 0);
}

static void test_server(void **state)
{
    Fixture *f = *state;

    follow(f, "demonstration");
    follow(f, "rsa");
    assert_int_equal(f->error, 0);
    assert_handshake(f, "demonstration", TLS1_3_VERSION, false);
    assert_handshake(f, "demonstration", TLS1_2_VERSION, false);
    assert_handshake(f, "rsa", TLS1_3_VERSION, false);
    assert_handshake(f, "rsa", TLS1_2_VERSION, false);
}

static void test_client(void **state)
{
    Fixture *f = *state;

    be(f, ROLE_DELIVERD);
    follow(f, "demonstration");
    assert_handshake(f, "demonstration", TLS1_3_VERSION, true);
    assert_handshake(f, "demonstration", TLS1_2_VERSION, true);
}

/* A server's key at the client's side, and the other way: certd does not sign for the wrong side. */
static void test_wrong_side(void **state)
{
    Fixture *f = *state;

    follow(f, "demonstration");
    for (unsigned i = 0; i < 2; i++) {
        _cleanup_(handshake_done) Handshake h = {};

        handshake_start(f, &h, "demonstration", i == 0 ? TLS1_3_VERSION : TLS1_2_VERSION, true);
        run_until(f, handshake_ended, &h);
        assert_true(h.failed);
        assert_int_equal(f->certd->n_refused, i + 1);
    }
    assert_int_equal(f->certd->n_signed, 0);
}

static void test_not_there(void **state)
{
    Fixture *f = *state;
    SSL_CTX *context = SSL_CTX_new_ex(remote_keys_libctx(f->keys), NULL, TLS_server_method());

    follow(f, "absent");
    assert_int_equal(f->error, -ENOENT);
    follow(f, "not-assigned");
    assert_int_equal(f->error, -EACCES);
    assert_int_equal(certificate_client_use(f->client, "absent", context), -ENOENT);
    assert_int_equal(certificate_client_use(f->client, "never-followed", context), -ENOENT);
    SSL_CTX_free(context);
}

/* ---- a change ---- */

static int reload(Fixture *f)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    assert_int_equal(conf_report_new(&report), 0);
    r = manager_reload(f->certd, report);
    be(f, ROLE_SMTPD);
    return r;
}

static void test_changed(void **state)
{
    Fixture *f = *state;
    _cleanup_(handshake_done) Handshake before = {}, after = {};
    Wait w;

    follow(f, "demonstration");
    handshake_start(f, &before, "demonstration", TLS1_3_VERSION, false);
    assert_int_equal(demo_certificate_create(f->certd->store, "new.example"), 0);
    w = (Wait) {f, f->n_changed + 1};
    assert_int_equal(reload(f), 0);
    run_until(f, has_changed, &w);
    assert_int_equal(f->error, 0);

    /* A handshake that begins now with the old context still gets its signature; a new context has the new certificate. */
    run_until(f, handshake_ended, &before);
    assert_false(before.failed);
    handshake_start(f, &after, "demonstration", TLS1_3_VERSION, false);
    run_until(f, handshake_ended, &after);
    assert_false(after.failed);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(before.client), SSL_get0_peer_certificate(after.client)) == 0, 0);
}

static void test_reload_refused(void **state)
{
    Fixture *f = *state;
    unsigned n;

    follow(f, "demonstration");
    n = f->n_changed;
    put_conf(f, "[Signing]\nRateBurst=lots\n");
    assert_int_equal(reload(f), -EBADMSG);
    put_conf(f, CONF);
    assert_int_equal(reload(f), 0);
    assert_handshake(f, "demonstration", TLS1_3_VERSION, false);
    /* Nothing new, nobody is told. */
    assert_int_equal(f->n_changed, n);
}

/* A certificate that is assigned later is there without anybody asking again. */
static void test_assigned_later(void **state)
{
    Fixture *f = *state;
    Wait w;

    put_conf(f, "[Service smtpd]\nCertificates=\n");
    assert_int_equal(reload(f), 0);
    follow(f, "demonstration");
    assert_int_equal(f->error, -EACCES);
    put_conf(f, CONF);
    w = (Wait) {f, f->n_changed + 1};
    assert_int_equal(reload(f), 0);
    run_until(f, has_changed, &w);
    assert_int_equal(f->error, 0);
}

/* ---- assignments ---- */

static void assign(Fixture *f, const char *name, const char *use)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    _cleanup_free_ char *reason = NULL;

    assert_int_equal(assignments_load(&a, f->certd->store, &reason), 0);
    assert_true(assignments_add(a, name, use, 0) >= 0);
    assert_int_equal(assignments_write(a, store_dir_fd(f->certd->store)), 0);
    assert_int_equal(manager_reload_store(f->certd), 0);
}

static void expect_certificate(Fixture *f, const char *source, const char *name)
{
    _cleanup_(handshake_done) Handshake h = {};
    const uint8_t *der = store_find(f->certd->store, name)->leaf;
    X509 *expected = d2i_X509(NULL, &der, (long) store_find(f->certd->store, name)->leaf_size);

    handshake_start(f, &h, source, TLS1_3_VERSION, false);
    run_until(f, handshake_ended, &h);
    assert_false(h.failed);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(h.client), expected), 0);
    X509_free(expected);
}

/* A use: what certd.conf does not permit, either. Nothing assigned: the fallback. */
static void test_use(void **state)
{
    Fixture *f = *state;
    _cleanup_(handshake_done) Handshake before = {};
    Wait w;

    put_conf(f, "[Service smtpd]\nCertificates=demonstration\n");
    assert_int_equal(reload(f), 0);
    follow(f, "@listener:public");
    assert_int_equal(f->error, 0);
    assert_string_equal(certificate_client_name(f->client, "@listener:public"), DEMONSTRATION_NAME);
    expect_certificate(f, "@listener:public", DEMONSTRATION_NAME);

    w = (Wait) {f, f->n_changed + 1};
    assign(f, "rsa", "listener:public");
    run_until(f, has_changed, &w);
    assert_int_equal(f->error, 0);
    expect_certificate(f, "@listener:public", "rsa");
    assert_int_equal(f->certd->n_refused, 0);

    /* A handshake that has begun with it ends well when another takes its place. */
    handshake_start(f, &before, "@listener:public", TLS1_3_VERSION, false);
    w = (Wait) {f, f->n_changed + 1};
    assign(f, DEMONSTRATION_NAME, "listener:public");
    run_until(f, has_changed, &w);
    run_until(f, handshake_ended, &before);
    assert_false(before.failed);
    expect_certificate(f, "@listener:public", DEMONSTRATION_NAME);

    /* For a minute, that is. */
    for (size_t i = 0; i < ELEMENTSOF(f->certd->former); i++)
        f->certd->former[i].until_usec = 0;
    handshake_done(&before);
    follow(f, "rsa");
    assert_int_equal(f->error, -EACCES);
    before = (Handshake) {};
}

/* Renamed: the same certificate, to be signed for by its new name; one that has begun still has the old. */
static void test_use_of_a_renamed_certificate(void **state)
{
    Fixture *f = *state;
    _cleanup_(handshake_done) Handshake before = {};
    const char *reason = NULL;
    Wait w;

    put_conf(f, "[Service smtpd]\nCertificates=\n");
    assert_int_equal(reload(f), 0);
    assign(f, "rsa", "listener:public");
    follow(f, "@listener:public");
    assert_int_equal(f->error, 0);
    handshake_start(f, &before, "@listener:public", TLS1_3_VERSION, false);

    w = (Wait) {f, f->n_changed + 1};
    assert_int_equal(store_rename(f->certd->store, "rsa", "renamed", &reason), 0);
    assign(f, "renamed", "listener:public");
    run_until(f, has_changed, &w);
    assert_int_equal(f->error, 0);
    run_until(f, handshake_ended, &before);
    assert_false(before.failed);
    expect_certificate(f, "@listener:public", "renamed");
    assert_int_equal(f->certd->n_refused, 0);
}

/* ---- certd goes away in the middle ---- */

static void test_restart(void **state)
{
    Fixture *f = *state;
    _cleanup_(handshake_done) Handshake h = {};

    follow(f, "demonstration");
    handshake_start(f, &h, "demonstration", TLS1_3_VERSION, false);
    assert_false(handshake_ended(&h));
    f->certd->server = peer_server_free(f->certd->server);
    for (unsigned i = 0; i < 5; i++)
        assert_true(sd_event_run(f->certd->event, 10 * USEC_PER_MSEC) >= 0);
    assert_false(handshake_ended(&h));
    serve(f);
    run_until(f, handshake_ended, &h);
    assert_false(h.failed);
}

/* The client goes, then its handshakes fail; nothing is called any more. */
static void test_abort(void **state)
{
    Fixture *f = *state;
    _cleanup_(handshake_done) Handshake h = {};

    follow(f, "rsa");
    handshake_start(f, &h, "rsa", TLS1_3_VERSION, false);
    assert_false(handshake_ended(&h));
    (void) sd_event_run(f->certd->event, 0);
    remote_signature_abort(h.server);
    for (unsigned i = 0; i < 5; i++)
        assert_true(sd_event_run(f->certd->event, 10 * USEC_PER_MSEC) >= 0);
    assert_int_equal(h.n_woken, 0);
}

/* ---- raw calls ---- */

typedef struct Call {
    const char *name;
    size_t spki_size;
    uint16_t scheme;
    const uint8_t *message;
    size_t size;
    uint8_t spki[64];
    bool done;
    char *error; /* its name; NULL: signed */
} Call;

static int call_build(sd_bus_message *m, void *userdata)
{
    const Call *c = userdata;
    int r;

    r = sd_bus_message_append(m, "s", c->name);
    if (r >= 0)
        r = sd_bus_message_append_array(m, 'y', c->spki, c->spki_size);
    if (r >= 0)
        r = sd_bus_message_append(m, "q", c->scheme);
    return r < 0 ? r : sd_bus_message_append_array(m, 'y', c->message, c->size);
}

static void call_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Call *c = userdata;

    c->done = true;
    c->error = error ? strdup(error->name) : NULL;
}

static bool call_is_done(void *data)
{
    return ((Call *) data)->done;
}

static const PeerMethod sign = {.path = CERTD_PATH, .interface = CERTD_PEER_INTERFACE, .member = "Sign"};

#define TLS13 "                                                                TLS 1.3, server CertificateVerify\0" DIGEST
#define DIGEST "0123456789abcdef0123456789abcdef"

static void test_refused(void **state)
{
    static const char too_long[SIGNER_MESSAGE_MAX + 1] = "";
    static const struct {
        const char *name;
        uint16_t scheme;
        size_t spki_size;
        const char *message;
        size_t size;
        bool other_key;
        const char *expected;
    } calls[] = {
        {"demonstration", 0x0403, 32, TLS13, sizeof(TLS13) - 1, false, NULL},
        {"demonstration", 0x0403, 32, DIGEST, sizeof(DIGEST) - 1, false, BUS_ERROR_NOT_A_HANDSHAKE},
        {"demonstration", 0x0403, 32, "", 0, false, BUS_ERROR_NOT_A_HANDSHAKE},
        {"demonstration", 0x0403, 32, TLS13, sizeof(TLS13) - 2, false, BUS_ERROR_NOT_A_HANDSHAKE},
        /* The curve's other scheme, and one for another kind of key: not in TLS 1.3. */
        {"demonstration", 0x0503, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_NOT_A_HANDSHAKE},
        {"demonstration", 0x0804, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_NOT_A_HANDSHAKE},
        {"rsa", 0x0401, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_NOT_A_HANDSHAKE},
        {"rsa", 0x0804, 32, TLS13, sizeof(TLS13) - 1, false, NULL},
        {"demonstration", 0x0403, 32, too_long, sizeof(too_long), false, BUS_ERROR_INVALID_ARGUMENT},
        {"demonstration", 0x0203, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_INVALID_ARGUMENT},
        {"demonstration", 0x0403, 31, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_INVALID_ARGUMENT},
        {"../demonstration", 0x0403, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_INVALID_ARGUMENT},
        {"demonstration", 0x0403, 32, TLS13, sizeof(TLS13) - 1, true, BUS_ERROR_NO_SUCH_CERTIFICATE},
        {"absent", 0x0403, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_NO_SUCH_CERTIFICATE},
        {"other", 0x0403, 32, TLS13, sizeof(TLS13) - 1, false, BUS_ERROR_KEY_NOT_ASSIGNED},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
        Call c = {calls[i].name, calls[i].spki_size, calls[i].scheme, (const uint8_t *) calls[i].message, calls[i].size};
        const Certificate *certificate = store_find(f->certd->store, calls[i].name);

        if (certificate)
            memcpy(c.spki, certificate->spki_sha256, 32);
        c.spki[7] ^= calls[i].other_key;
        assert_int_equal(peer_client_call(f->peer, NULL, &sign, call_build, call_done, &c), 0);
        run_until(f, call_is_done, &c);
        if (!calls[i].expected)
            assert_null(c.error);
        else if (!c.error || !streq(c.error, calls[i].expected))
            fail_msg("call %zu: %s instead of %s", i, c.error ?: "signed", calls[i].expected);
        free(c.error);
    }
}

/* ---- too fast ---- */

#define FAST_CALLS 12

static bool all_done(void *data)
{
    Call *calls = data;

    for (unsigned i = 0; i < FAST_CALLS; i++)
        if (!calls[i].done)
            return false;
    return true;
}

/* A burst of two, then one in 10 ms: all are answered, in no less than 100 ms. */
static void test_slowed(void **state)
{
    Fixture *f = *state;
    Call calls[FAST_CALLS] = {};
    uint64_t start;

    f->certd->conf->rate = 100;
    f->certd->conf->burst = 2;
    start = now();
    for (unsigned i = 0; i < FAST_CALLS; i++) {
        calls[i] = (Call) {i % 2 ? "rsa" : "demonstration", 32, i % 2 ? 0x0804 : 0x0403, (const uint8_t *) TLS13, sizeof(TLS13) - 1};
        memcpy(calls[i].spki, store_find(f->certd->store, calls[i].name)->spki_sha256, 32);
        assert_int_equal(peer_client_call(f->peer, NULL, &sign, call_build, call_done, &calls[i]), 0);
    }
    run_until(f, all_done, calls);
    assert_true(now() - start >= (FAST_CALLS - 2) * 10 * USEC_PER_MSEC);
    for (unsigned i = 0; i < FAST_CALLS; i++)
        assert_null(calls[i].error);
    assert_int_equal(f->certd->n_signed, FAST_CALLS);
    assert_true(f->certd->n_slowed <= FAST_CALLS - 2);
}

/* More than a connection may have waiting is refused, and takes no token from those that wait. */
static void test_too_many(void **state)
{
    Fixture *f = *state;
    const unsigned n = PEER_PENDING_MAX / (PEER_PENDING_COST + sizeof(TLS13) - 1) + 10;
    _cleanup_free_ Call *calls = calloc(n, sizeof(*calls));
    unsigned refused = 0;

    f->certd->conf->rate = 1000000;
    f->certd->conf->burst = 1;
    for (unsigned i = 0; i < n; i++) {
        calls[i] = (Call) {"rsa", 32, 0x0804, (const uint8_t *) TLS13, sizeof(TLS13) - 1};
        memcpy(calls[i].spki, store_find(f->certd->store, calls[i].name)->spki_sha256, 32);
        assert_int_equal(peer_client_call(f->peer, NULL, &sign, call_build, call_done, &calls[i]), 0);
    }
    for (unsigned i = 0; i < n; i++)
        run_until(f, call_is_done, &calls[i]);
    for (unsigned i = 0; i < n; i++) {
        assert_true(!calls[i].error || streq(calls[i].error, BUS_ERROR_LIMIT_EXCEEDED));
        refused += calls[i].error != NULL;
        free(calls[i].error);
    }
    assert_int_equal(f->certd->n_signed, n - refused);
}

/* A connection that goes while its requests wait takes them along. */
static void test_slowed_and_gone(void **state)
{
    Fixture *f = *state;
    Call c = {"demonstration", 32, 0x0403, (const uint8_t *) TLS13, sizeof(TLS13) - 1};

    f->certd->conf->rate = 1;
    f->certd->conf->burst = 1;
    memcpy(c.spki, store_find(f->certd->store, c.name)->spki_sha256, 32);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(peer_client_call(f->peer, NULL, &sign, call_build, call_done, &c), 0);
    run_until(f, call_is_done, &c);
    for (unsigned i = 0; i < 5; i++)
        assert_true(sd_event_run(f->certd->event, 10 * USEC_PER_MSEC) >= 0);
    assert_int_equal(f->certd->n_slowed, 4);
    f->client = certificate_client_free(f->client);
    f->peer = peer_client_free(f->peer);
    for (unsigned i = 0; i < 5; i++)
        assert_true(sd_event_run(f->certd->event, 10 * USEC_PER_MSEC) >= 0);
    assert_int_equal(f->certd->n_signed, 1);
    assert_int_equal(peer_server_connections(f->certd->server), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_server),
        TEST(test_client),
        TEST(test_wrong_side),
        TEST(test_not_there),
        TEST(test_changed),
        TEST(test_reload_refused),
        TEST(test_assigned_later),
        TEST(test_use),
        TEST(test_use_of_a_renamed_certificate),
        TEST(test_restart),
        TEST(test_abort),
        TEST(test_refused),
        TEST(test_slowed),
        TEST(test_too_many),
        TEST(test_slowed_and_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
