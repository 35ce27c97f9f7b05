/* SPDX-License-Identifier: Apache-2.0 */

/* See test-session-fixture.h. */

#include "test-session-fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bus-error.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* ---- deliverd ---- */

void message_path(const Deliverd *d, const char *id, char path[static 64])
{
    (void) snprintf(path, 64, "%s/%s", d->directory, id);
}

static int method_open(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Deliverd *d = userdata;
    _cleanup_close_ int fd = -EBADF;
    char id[16], path[64];

    if (d->mode == DELIVERD_REFUSES)
        return sd_bus_error_set(error, BUS_ERROR_UNAVAILABLE, "not today");
    (void) snprintf(id, sizeof(id), "message%u", ++d->n_opened);
    message_path(d, id, path);
    fd = d->mode == DELIVERD_FULL ? open("/dev/full", O_WRONLY | O_CLOEXEC) : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return sd_bus_reply_method_return(m, "sh", id, fd);
}

static void read_envelope(Deliverd *d, sd_bus_message *m)
{
    const char *id, *sender, *recipient, *key, *type, *s, *body = "", *protocol = "", *tls = NULL;
    char path[64];
    size_t n;
    int fd;

    assert_true(sd_bus_message_read(m, "ss", &id, &sender) > 0);
    n = (size_t) snprintf(d->envelope, sizeof(d->envelope), "%s|", sender);
    assert_true(sd_bus_message_enter_container(m, 'a', "s") > 0);
    for (unsigned i = 0; sd_bus_message_read(m, "s", &recipient) > 0; i++)
        n += (size_t) snprintf(d->envelope + n, sizeof(d->envelope) - n, "%s%s", i > 0 ? "," : "", recipient);
    assert_true(sd_bus_message_exit_container(m) > 0);
    assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        assert_true(sd_bus_message_read(m, "s", &key) > 0);
        assert_true(sd_bus_message_peek_type(m, NULL, &type) > 0);
        if (streq(type, "s")) {
            assert_true(sd_bus_message_read(m, "v", "s", &s) > 0);
            if (streq(key, "body"))
                body = s;
            else if (streq(key, "protocol"))
                protocol = s;
            else if (streq(key, "tls"))
                tls = s;
        } else
            assert_true(sd_bus_message_skip(m, "v") > 0);
        assert_true(sd_bus_message_exit_container(m) > 0);
    }
    (void) snprintf(d->envelope + n, sizeof(d->envelope) - n, "|%s|%s%s%s", body, protocol, tls ? "|" : "", tls ?: "");

    /* Nobody may be able to write it any more: a read lease is only given then. */
    message_path(d, id, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    close(fd);
}

static int method_commit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Deliverd *d = userdata;

    if (d->mode == DELIVERD_NO_SPACE)
        return sd_bus_error_set(error, BUS_ERROR_NO_SPACE, "disk full");
    if (d->mode == DELIVERD_FAILS)
        return -EIO;
    read_envelope(d, m);
    d->n_committed++;
    if (d->mode == DELIVERD_HOLDS) {
        d->held = sd_bus_message_ref(m);
        return 1;
    }
    return sd_bus_reply_method_return(m, NULL);
}

static int method_discard(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Deliverd *d = userdata;

    d->n_discarded++;
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable deliverd_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("OpenMessage", NULL, "sh", method_open, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Commit", "ssasa{sv}", NULL, method_commit, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Discard", "s", NULL, method_discard, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const PeerAccess deliverd_access[] = {
    {"org.postern.Delivery1.Peer", NULL, ROLE_SELF},
    {},
};

void deliverd_start(Deliverd *d, sd_event *event, const PeerObject *objects)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/deliverd", d->directory);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_true(peer_server_new(&d->server, event, fd, "deliverd", deliverd_access, objects) >= 0);
}

/* ---- fixture ---- */

static const char configuration[] =
        "[Smtpd]\nHostName=gw.example.net\nMessagePool=2\nWorkers=1\n"
        "[Listener clear]\nMailFlow=clear\nDefaultDomain=example.com\n"
        "[Listener offered]\nMailFlow=offered\n"
        "[Listener required]\nMailFlow=required\n"
        "[MailFlow clear]\nTLS=No\nDomains=example.com\nMaxErrors=3\nMaxRecipients=100\nMaxMessageSize=64K\nMaxIdleCommands=10\n"
        "[MailFlow offered]\nTLS=Preferred\nDomains=example.com\nMaxMessageSize=2M\nCommandTimeout=1s\n"
        "[MailFlow required]\nTLS=Required\nDomains=example.com\n"
        "[Listener verified]\nMailFlow=verified\n"
        "[Listener verified-required]\nMailFlow=verified-required\n"
        "[MailFlow verified]\nTLS=Preferred\nVerifyClient=yes\nDomains=example.com\n"
        "[MailFlow verified-required]\nTLS=Required\nVerifyClient=yes\nDomains=example.com\n";

static SSL_CTX *host_tls_context(const char *source, void *userdata)
{
    Fixture *f = userdata;

    assert_true(strncmp(source, "@listener:", strlen("@listener:")) == 0);
    return f->server_context;
}

static X509_STORE *host_authorities(void *userdata)
{
    return ((Fixture *) userdata)->authorities;
}

static void host_count(const char *name, uint64_t delta, void *userdata)
{
    Fixture *f = userdata;

    if (streq(name, "Messages"))
        f->n_messages += delta;
}

static void host_closed(Session *s, void *userdata)
{
    Fixture *f = userdata;

    assert_ptr_equal(s, f->session);
    f->session = session_free(s);
    f->session_over = true;
}

static void load_configuration(Fixture *f)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *source = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;

    assert_true(conf_report_new(&report) >= 0);
    fd = memfd_create("smtpd.conf", MFD_CLOEXEC);
    assert_int_equal(write(fd, configuration, strlen(configuration)), strlen(configuration));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    if (conf_read_snapshot(&source, fd, report) < 0 || smtpd_conf_load(&f->conf, source, report) < 0) {
        (void) conf_report_text(report, &text);
        fail_msg("%s", text);
    }
}

int session_test_setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->deliverd.directory, "/tmp/test-session-XXXXXX");
    assert_non_null(mkdtemp(f->deliverd.directory));
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", f->deliverd.directory, 1), 0);
    assert_true(sd_event_new(&f->event) >= 0);
    f->objects[0] = (PeerObject) {"/org/postern/Delivery1", "org.postern.Delivery1.Peer", deliverd_vtable, &f->deliverd};
    deliverd_start(&f->deliverd, f->event, f->objects);
    load_configuration(f);

    f->certificate = test_certificate_new(&(TestCertificateSpec) {.cn = "gw.example.net"}, NULL);
    assert_true(tls_server_context_new(&f->server_context, NULL) >= 0);
    test_certificate_use(f->server_context, f->certificate, NULL);
    assert_true(tls_client_context_new(&f->client_context, NULL) >= 0);

    assert_true(peer_client_new(&f->client, f->event, "deliverd") >= 0);
    assert_true(message_pool_new(&f->pool, f->client, 2) >= 0);
    f->host = (SessionHost) {f->event, f->pool, host_tls_context, host_authorities, host_count, host_closed, f};
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

int session_test_teardown(void **state)
{
    Fixture *f = *state;

    f->stream = stream_free(f->stream);
    f->session = session_free(f->session);
    sd_bus_message_unref(f->deliverd.held);
    f->pool = message_pool_free(f->pool);
    f->client = peer_client_free(f->client);
    f->deliverd.server = peer_server_free(f->deliverd.server);
    f->conf = smtpd_conf_unref(f->conf);
    SSL_CTX_free(f->server_context);
    SSL_CTX_free(f->client_context);
    X509_STORE_free(f->authorities);
    f->certificate = test_certificate_free(f->certificate);
    /* Streams that were finishing free themselves with the loop. */
    (void) sd_event_exit(f->event, 0);
    (void) sd_event_loop(f->event);
    (void) nftw(f->deliverd.directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* ---- the client ---- */

static void on_client(Stream *s, StreamEvent event, int error, void *userdata)
{
    Fixture *f = userdata;
    const char *data;
    size_t n;

    switch (event) {
    case STREAM_READABLE:
        n = stream_peek(s, &data);
        assert_true(f->n_received + n < sizeof(f->received));
        memcpy(f->received + f->n_received, data, n);
        f->n_received += n;
        f->received[f->n_received] = '\0';
        stream_consume(s, n);
        break;
    case STREAM_SECURED:
        f->secured = true;
        break;
    case STREAM_CLOSED:
        f->closed = true;
        break;
    default:
        break;
    }
}

void connect_client(Fixture *f, const char *listener)
{
    PeerAddress peer = {.in = {.sin_family = AF_INET}};
    int fds[2];

    assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &peer.in.sin_addr), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_true(stream_new(&f->stream, f->event, fds[1], on_client, f) >= 0);
    /* The loop's time is needed before it has run. */
    assert_true(sd_event_run(f->event, 0) >= 0);
    assert_true(session_new(&f->session, &f->host, f->conf, smtpd_conf_listener(f->conf, listener), fds[0], &peer, f) >= 0);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
    fail_msg("nothing happens; the client has seen so far: %s", (char *) userdata);
    return 0;
}

/* Runs the loop until done, which gets the fixture. */
void run_until(Fixture *f, bool (*done)(const Fixture *f, size_t n), size_t n)
{
    _cleanup_(sd_event_source_disable_unrefp) sd_event_source *patience = NULL;

    assert_true(sd_event_add_time_relative(f->event, &patience, CLOCK_MONOTONIC, PATIENCE_USEC, 0, on_patience, f->received) >= 0);
    while (!done(f, n))
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

bool has_received(const Fixture *f, size_t n)
{
    return f->n_received >= n || f->closed;
}

static bool is_closed(const Fixture *f, size_t n)
{
    return f->closed && f->session_over;
}

static bool is_secured(const Fixture *f, size_t n)
{
    return f->secured || f->closed;
}

bool has_committed(const Fixture *f, size_t n)
{
    return f->deliverd.n_committed >= n;
}

bool has_counted(const Fixture *f, size_t n)
{
    return f->n_messages >= n;
}

bool is_over(const Fixture *f, size_t n)
{
    return f->session_over;
}

void expect(Fixture *f, const char *text)
{
    size_t n = strlen(text);

    run_until(f, has_received, n);
    if (f->n_received < n || memcmp(f->received, text, n) != 0)
        fail_msg("expected: %s\nreceived: %s", text, f->received);
    f->n_received -= n;
    memmove(f->received, f->received + n, f->n_received + 1);
}

void expect_closed(Fixture *f)
{
    run_until(f, is_closed, 0);
    assert_string_equal(f->received, "");
}

void say(Fixture *f, const char *text)
{
    assert_true(stream_write(f->stream, text, strlen(text)) >= 0);
}

void start_tls(Fixture *f)
{
    SSL *ssl = SSL_new(f->client_context);

    say(f, "STARTTLS\r\n");
    expect(f, "220 2.0.0 Ready to start TLS\r\n");
    assert_true(stream_start_tls(f->stream, ssl, false) >= 0);
    run_until(f, is_secured, 0);
    assert_true(f->secured);
}

char *read_message(const Fixture *f, const char *id, size_t *ret_size)
{
    _cleanup_close_ int fd = -EBADF;
    char path[64], *text;
    struct stat st;

    message_path(&f->deliverd, id, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) >= 0);
    text = calloc(1, (size_t) st.st_size + 1);
    assert_non_null(text);
    assert_int_equal(read(fd, text, (size_t) st.st_size), st.st_size);
    *ret_size = (size_t) st.st_size;
    return text;
}
