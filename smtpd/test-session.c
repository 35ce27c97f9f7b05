/* SPDX-License-Identifier: Apache-2.0 */

/* Whole sessions on a socket pair: scripted dialogues, with a deliverd in the same process that keeps what it is given. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bus-error.h"
#include "peer-server.h"
#include "session.h"
#include "stream.h"
#include "test-certificate.h"
#include "tls.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* ---- deliverd ---- */

typedef enum DeliverdMode {
    DELIVERD_WELL,
    DELIVERD_NO_SPACE, /* Commit is answered NoSpace */
    DELIVERD_FULL,     /* messages cannot be written */
    DELIVERD_FAILS,    /* Commit is answered with some error */
    DELIVERD_HOLDS,    /* Commit is answered when the test says so */
    DELIVERD_REFUSES,  /* OpenMessage is answered Unavailable */
} DeliverdMode;

typedef struct Deliverd {
    char directory[32];
    PeerServer *server;
    DeliverdMode mode;
    unsigned n_opened, n_committed, n_discarded;
    sd_bus_message *held;
    char envelope[1024]; /* "sender|recipient,recipient|BODY|protocol" of the last */
} Deliverd;

static void message_path(const Deliverd *d, const char *id, char path[static 64])
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
    const char *id, *sender, *recipient, *key, *type, *s, *body = "", *protocol = "";
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
        } else
            assert_true(sd_bus_message_skip(m, "v") > 0);
        assert_true(sd_bus_message_exit_container(m) > 0);
    }
    (void) snprintf(d->envelope + n, sizeof(d->envelope) - n, "|%s|%s", body, protocol);

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

static void deliverd_start(Deliverd *d, sd_event *event, const PeerObject *objects)
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

typedef struct Fixture {
    sd_event *event;
    Deliverd deliverd;
    PeerObject objects[2];
    PeerClient *client;
    MessagePool *pool;
    SmtpdConf *conf;
    SSL_CTX *server_context, *client_context;
    TestCertificate *certificate;
    SessionHost host;
    Session *session;
    Stream *stream; /* the client's side */
    bool secured, closed, session_over;
    char received[64 * 1024]; /* what the client was told and has not checked yet */
    size_t n_received;
    unsigned n_messages;
} Fixture;

static const char configuration[] =
        "[Smtpd]\nHostName=gw.example.net\nMessagePool=2\nWorkers=1\n"
        "[Listener clear]\nMailFlow=clear\nDefaultDomain=example.com\n"
        "[Listener offered]\nMailFlow=offered\n"
        "[Listener required]\nMailFlow=required\n"
        "[MailFlow clear]\nTLS=No\nDomains=example.com\nMaxErrors=3\nMaxRecipients=100\nMaxMessageSize=64K\nMaxIdleCommands=10\n"
        "[MailFlow offered]\nTLS=Preferred\nDomains=example.com\nMaxMessageSize=2M\nCommandTimeout=1s\n"
        "[MailFlow required]\nTLS=Required\nDomains=example.com\n";

static SSL_CTX *host_tls_context(const char *certificate, void *userdata)
{
    Fixture *f = userdata;

    assert_string_equal(certificate, "demonstration");
    return f->server_context;
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

static int setup(void **state)
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
    f->host = (SessionHost) {f->event, f->pool, host_tls_context, host_count, host_closed, f};
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
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

static void connect_client(Fixture *f, const char *listener)
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
static void run_until(Fixture *f, bool (*done)(const Fixture *f, size_t n), size_t n)
{
    _cleanup_(sd_event_source_disable_unrefp) sd_event_source *patience = NULL;

    assert_true(sd_event_add_time_relative(f->event, &patience, CLOCK_MONOTONIC, PATIENCE_USEC, 0, on_patience, f->received) >= 0);
    while (!done(f, n))
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static bool has_received(const Fixture *f, size_t n)
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

static bool has_committed(const Fixture *f, size_t n)
{
    return f->deliverd.n_committed >= n;
}

static bool has_counted(const Fixture *f, size_t n)
{
    return f->n_messages >= n;
}

static bool is_over(const Fixture *f, size_t n)
{
    return f->session_over;
}

static void expect(Fixture *f, const char *text)
{
    size_t n = strlen(text);

    run_until(f, has_received, n);
    if (f->n_received < n || memcmp(f->received, text, n) != 0)
        fail_msg("expected: %s\nreceived: %s", text, f->received);
    f->n_received -= n;
    memmove(f->received, f->received + n, f->n_received + 1);
}

static void expect_closed(Fixture *f)
{
    run_until(f, is_closed, 0);
    assert_string_equal(f->received, "");
}

static void say(Fixture *f, const char *text)
{
    assert_true(stream_write(f->stream, text, strlen(text)) >= 0);
}

static void start_tls(Fixture *f)
{
    SSL *ssl = SSL_new(f->client_context);

    say(f, "STARTTLS\r\n");
    expect(f, "220 2.0.0 Ready to start TLS\r\n");
    assert_true(stream_start_tls(f->stream, ssl, false) >= 0);
    run_until(f, is_secured, 0);
    assert_true(f->secured);
}

static char *read_message(const Fixture *f, const char *id, size_t *ret_size)
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

/* ---- dialogues ---- */

#define GREETING "220 gw.example.net ESMTP postern\r\n"
#define EHLO_CLEAR "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 65536\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"
#define OK_SENDER "250 2.1.0 Ok\r\n"
#define OK_RECIPIENT "250 2.1.5 Ok\r\n"
#define OK "250 2.0.0 Ok\r\n"
#define START "354 End data with <CR><LF>.<CR><LF>\r\n"
#define BYE "221 2.0.0 Bye\r\n"
#define TLS_FIRST "530 5.7.0 Must issue a STARTTLS command first\r\n"

typedef struct Dialogue {
    const char *name;
    const char *listener;
    DeliverdMode mode;
    const char *const *lines; /* client, server, client, server, …, NULL; the first is the client's after the greeting */
    bool closed;              /* the server ends it; else it takes a NOOP */
    const char *envelope;     /* of the committed message; NULL: nothing was committed */
} Dialogue;

static const Dialogue dialogues[] = {
    {"one message, command by command", "clear", DELIVERD_WELL, (const char *const[]) {
        "HELO mx.example.org\r\n", "250 gw.example.net\r\n",
        "MAIL FROM:<a@example.org>\r\n", OK_SENDER,
        "RCPT TO:<b@example.com>\r\n", OK_RECIPIENT,
        "DATA\r\n", START,
        "S: x\r\n\r\n..\r\n.\r\n", "250 2.0.0 Ok: queued as message1\r\n",
        "QUIT\r\n", BYE, NULL},
        .closed = true, .envelope = "a@example.org|b@example.com|7BIT|SMTP"},
    {"pipelined, two recipients, one refused, 8-bit", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO mx.example.org\r\nMAIL FROM:<> SIZE=100\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.net>\r\nRCPT TO:<postmaster>\r\nDATA\r\n",
        EHLO_CLEAR OK_SENDER OK_RECIPIENT "550 5.7.1 Relaying denied\r\n" OK_RECIPIENT START,
        "\xc3\xbc\r\n.\r\nQUIT\r\n", "250 2.0.0 Ok: queued as message1\r\n" BYE, NULL},
        .closed = true, .envelope = "|b@example.com,postmaster@example.com|8BITMIME|ESMTP"},
    {"two messages in one session, reset between", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRSET\r\nMAIL FROM:<b@example.org>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n",
        EHLO_CLEAR OK_SENDER OK OK_SENDER OK_RECIPIENT START,
        "1\r\n.\r\nMAIL FROM:<d@example.org> BODY=8BITMIME\r\nRCPT TO:<e@example.com>\r\nDATA\r\n",
        "250 2.0.0 Ok: queued as message1\r\n" OK_SENDER OK_RECIPIENT START,
        ".\r\n", "250 2.0.0 Ok: queued as message2\r\n", NULL},
        .envelope = "d@example.org|e@example.com|8BITMIME|ESMTP"},
    {"order", "clear", DELIVERD_WELL, (const char *const[]) {
        "MAIL FROM:<a@example.org>\r\n", "503 5.5.1 Say HELO or EHLO first\r\n",
        "EHLO x\r\n", EHLO_CLEAR,
        "DATA\r\n", "503 5.5.1 MAIL first\r\n", NULL}},
    {"what does no harm", "clear", DELIVERD_WELL, (const char *const[]) {
        "NOOP x\r\nVRFY a\r\nHELP\r\nSTARTTLS\r\n",
        OK "252 2.5.0 Not verified; send a message and see\r\n214 2.0.0 RFC 5321; ask the postmaster for more\r\n"
        "502 5.5.1 STARTTLS is not offered\r\n", NULL}},
    {"too many errors", "clear", DELIVERD_WELL, (const char *const[]) {
        "A\r\nB\r\nC\r\nD\r\n",
        "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n421 4.7.0 Too many errors\r\n",
        NULL}, .closed = true},
    {"too many commands without a message", "clear", DELIVERD_WELL, (const char *const[]) {
        "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
        OK OK OK OK OK OK OK OK OK OK "421 4.7.0 Too many commands without a message\r\n", NULL}, .closed = true},
    {"another protocol", "clear", DELIVERD_WELL, (const char *const[]) {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "554 5.5.1 This is SMTP\r\n", NULL}, .closed = true},
    {"declared too big", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org> SIZE=65537\r\n", EHLO_CLEAR "552 5.3.4 Message is too big\r\n", NULL}},

    /* smuggling and injection */
    {"bare LF ends a command", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\n", "554 5.5.2 Lines end with CRLF, a bare LF is refused\r\n", NULL}, .closed = true},
    {"bare CR in a command", "clear", DELIVERD_WELL, (const char *const[]) {
        "NOOP x\rMAIL FROM:<>\r\nNOOP\rx\r\n", "500 5.5.2 Control character in command\r\n500 5.5.1 Command not recognized\r\n", NULL}},
    {"bare LF in data", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "x\r\n.\nMAIL FROM:<evil@example.org>\r\n", "554 5.5.2 Lines end with CRLF, a bare LF is refused\r\n", NULL}, .closed = true},
    {"bare CR in data", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "x\r\n.\r.\r\n", "554 5.5.2 Lines end with CRLF, a bare CR is refused\r\n", NULL}, .closed = true},
    {"data that does not wait", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nx\r\n.\r\n",
        EHLO_CLEAR OK_SENDER OK_RECIPIENT "554 5.5.0 Nothing may follow DATA before it was answered\r\n", NULL}, .closed = true},
    {"commands behind STARTTLS", "offered", DELIVERD_WELL, (const char *const[]) {
        "HELO x\r\nSTARTTLS\r\nMAIL FROM:<evil@example.org>\r\n",
        "250 gw.example.net\r\n554 5.5.0 Nothing may follow STARTTLS in the clear\r\n", NULL}, .closed = true},

    /* TLS=Required */
    {"without TLS", "required", DELIVERD_WELL, (const char *const[]) {
        "HELO x\r\nNOOP\r\nMAIL FROM:<a@example.org>\r\nRSET\r\nHELP\r\nFROBNICATE\r\nQUIT\r\n",
        TLS_FIRST OK TLS_FIRST TLS_FIRST TLS_FIRST TLS_FIRST BYE, NULL}, .closed = true},

    /* trouble behind us: never 250 */
    {"deliverd has no space", "clear", DELIVERD_NO_SPACE, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "x\r\n.\r\n", "452 4.3.1 No space, try again later\r\n", NULL}},
    {"the disk is full", "clear", DELIVERD_FULL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "x\r\n", "", "y\r\n.\r\n", "452 4.3.1 No space, try again later\r\n", NULL}},
    {"deliverd fails", "clear", DELIVERD_FAILS, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "x\r\n.\r\n", "451 4.3.0 Not taken, try again later\r\n", NULL}},
    {"deliverd opens nothing", "clear", DELIVERD_REFUSES, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
        EHLO_CLEAR OK_SENDER OK_RECIPIENT "451 4.3.0 Not taken, try again later\r\n", NULL}},
};

static void run_dialogue(const Dialogue *d)
{
    void *state = NULL;
    Fixture *f;

    (void) setup(&state);
    f = state;
    f->deliverd.mode = d->mode;
    connect_client(f, d->listener);
    expect(f, GREETING);
    for (size_t i = 0; d->lines[i]; i += 2) {
        say(f, d->lines[i]);
        expect(f, d->lines[i + 1]);
    }
    if (d->closed)
        expect_closed(f);
    else {
        say(f, "NOOP\r\n");
        expect(f, OK);
    }
    assert_int_equal(d->envelope != NULL, f->n_messages > 0);
    assert_string_equal(f->deliverd.envelope, d->envelope ?: "");
    (void) teardown(&state);
}

static void test_dialogues(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(dialogues); i++) {
        print_message("    %s\n", dialogues[i].name);
        run_dialogue(&dialogues[i]);
    }
}

/* A message too big is read to its end and refused, the session goes on. */
static void test_too_big(void **state)
{
    Fixture *f = *state;
    char line[1003];

    memset(line, 'x', sizeof(line) - 3);
    strcpy(line + sizeof(line) - 3, "\r\n");
    connect_client(f, "clear");
    expect(f, GREETING);
    say(f, "HELO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, "250 gw.example.net\r\n" OK_SENDER OK_RECIPIENT START);
    for (unsigned i = 0; i < 70; i++)
        say(f, line);
    say(f, ".\r\nNOOP\r\n");
    expect(f, "552 5.3.4 Message is too big\r\n" OK);
    assert_int_equal(f->n_messages, 0);
}

static void test_hops(void **state)
{
    Fixture *f = *state;

    connect_client(f, "clear");
    expect(f, GREETING);
    say(f, "HELO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, "250 gw.example.net\r\n" OK_SENDER OK_RECIPIENT START);
    for (unsigned i = 0; i < 101; i++)
        say(f, "Received: from a by b\r\n");
    say(f, "\r\n.\r\n");
    expect(f, "554 5.4.6 Too many hops, this is a mail loop\r\n");
    assert_int_equal(f->n_messages, 0);
}

static void test_recipients(void **state)
{
    Fixture *f = *state;

    connect_client(f, "clear");
    expect(f, GREETING);
    say(f, "HELO x\r\nMAIL FROM:<a@example.org>\r\n");
    expect(f, "250 gw.example.net\r\n" OK_SENDER);
    for (unsigned i = 0; i < 100; i++) {
        say(f, "RCPT TO:<b@example.com>\r\n");
        expect(f, OK_RECIPIENT);
    }
    say(f, "RCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, "452 4.5.3 Too many recipients\r\n" START);
}

/* A message of a megabyte with all that is special, over TLS 1.3; what deliverd has is that, behind our Received field. */
static void test_tls_message(void **state)
{
    Fixture *f = *state;
    _cleanup_free_ char *message = NULL, *stuffed = NULL, *stored = NULL, *end = NULL;
    size_t n = 0, m = 0, n_stored, n_lines = 16000;

    message = malloc(n_lines * 70);
    stuffed = malloc(n_lines * 70);
    assert_true(message && stuffed);
    for (size_t i = 0; i < n_lines; i++) {
        char line[70];
        int k = snprintf(line, sizeof(line), "%s%zu \xff\xc3\xbc %.*s\r\n", i % 3 == 0 ? "." : "", i, (int) (i % 40),
                "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz");

        if (*line == '.')
            stuffed[m++] = '.';
        memcpy(stuffed + m, line, (size_t) k);
        memcpy(message + n, line, (size_t) k);
        m += (size_t) k;
        n += (size_t) k;
    }

    connect_client(f, "offered");
    expect(f, GREETING);
    say(f, "EHLO mx.example.org\r\n");
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 2097152\r\n250-STARTTLS\r\n");
    expect(f, "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    start_tls(f);
    say(f, "MAIL FROM:<a@example.org>\r\n");
    expect(f, "503 5.5.1 Say HELO or EHLO first\r\n");
    say(f, "EHLO mx.example.org\r\n");
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 2097152\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    say(f, "STARTTLS\r\nMAIL FROM:<a@example.org> BODY=8BITMIME\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, "503 5.5.1 TLS is active already\r\n" OK_SENDER OK_RECIPIENT START);

    for (size_t sent = 0; sent < m;) {
        size_t k = MIN(m - sent, (size_t) 100000);

        if (stream_write(f->stream, stuffed + sent, k) >= 0)
            sent += k;
        else
            assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    }
    while (stream_output_pending(f->stream) > 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    say(f, ".\r\n");
    expect(f, "250 2.0.0 Ok: queued as message1\r\n");
    assert_string_equal(f->deliverd.envelope, "a@example.org|b@example.com|8BITMIME|ESMTPS");

    stored = read_message(f, "message1", &n_stored);
    assert_true(n_stored > n);
    assert_memory_equal(stored + n_stored - n, message, n);
    end = strndup(stored, n_stored - n);
    assert_non_null(strstr(end, "Received: from mx.example.org ([192.0.2.1])\r\n\tby gw.example.net with ESMTPS id message1\r\n"
                                "\tfor <b@example.com>\r\n\t(TLSv1.3) tls TLS_"));
    assert_null(strstr(end, "\r\n\r\n"));
}

static void test_no_certificate(void **state)
{
    Fixture *f = *state;

    SSL_CTX_free(f->server_context);
    f->server_context = NULL;
    connect_client(f, "required");
    expect(f, GREETING);
    say(f, "HELO x\r\n");
    expect(f, TLS_FIRST);
    say(f, "EHLO x\r\n");
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n");
    expect(f, "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    say(f, "STARTTLS\r\n");
    expect(f, "454 4.7.0 TLS is not available at the moment\r\n");
    say(f, "MAIL FROM:<a@example.org>\r\n");
    expect(f, TLS_FIRST);
}

static void begin_message(Fixture *f)
{
    connect_client(f, "clear");
    expect(f, GREETING);
    say(f, "HELO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, "250 gw.example.net\r\n" OK_SENDER OK_RECIPIENT START);
}

/* The client goes away while its message is being committed: it is received all the same. */
static void test_client_gone(void **state)
{
    Fixture *f = *state;

    f->deliverd.mode = DELIVERD_HOLDS;
    begin_message(f);
    say(f, "x\r\n.\r\n");
    run_until(f, has_committed, 1);
    f->stream = stream_free(f->stream);
    for (unsigned i = 0; i < 10; i++)
        assert_true(sd_event_run(f->event, 0) >= 0);
    assert_int_equal(f->n_messages, 0);
    assert_true(sd_bus_reply_method_return(f->deliverd.held, NULL) >= 0);
    run_until(f, has_counted, 1);
    run_until(f, is_over, 0);
}

/* deliverd dies before it answers: the client is not told 250, and not left waiting. */
static void test_deliverd_gone(void **state)
{
    Fixture *f = *state;

    f->deliverd.mode = DELIVERD_HOLDS;
    begin_message(f);
    say(f, "x\r\n.\r\n");
    run_until(f, has_committed, 1);
    f->deliverd.server = peer_server_free(f->deliverd.server);
    expect(f, "451 4.3.0 Not taken, try again later\r\n");
    assert_int_equal(f->n_messages, 0);
    say(f, "NOOP\r\n");
    expect(f, OK);
}

/* deliverd restarts between two messages: what was opened before is committed after. */
static void test_deliverd_restarted(void **state)
{
    Fixture *f = *state;
    char path[64];

    begin_message(f);
    f->deliverd.server = peer_server_free(f->deliverd.server);
    message_path(&f->deliverd, "deliverd", path);
    assert_int_equal(unlink(path), 0);
    deliverd_start(&f->deliverd, f->event, f->objects);
    say(f, "x\r\n.\r\n");
    expect(f, "250 2.0.0 Ok: queued as message1\r\n");
}

static void test_drain_idle(void **state)
{
    Fixture *f = *state;

    connect_client(f, "clear");
    expect(f, GREETING);
    session_drain(f->session);
    expect(f, "421 4.3.2 Service is going down, try again later\r\n");
    expect_closed(f);
}

static void test_drain_in_message(void **state)
{
    Fixture *f = *state;

    begin_message(f);
    session_drain(f->session);
    assert_false(f->session_over);
    say(f, "x\r\n.\r\nMAIL FROM:<a@example.org>\r\n");
    expect(f, "250 2.0.0 Ok: queued as message1\r\n421 4.3.2 Service is going down, try again later\r\n");
    expect_closed(f);
}

static void test_timeout(void **state)
{
    Fixture *f = *state;

    connect_client(f, "offered");
    expect(f, GREETING);
    expect(f, "421 4.4.2 Timeout, closing\r\n");
    expect_closed(f);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        TEST(test_too_big),
        TEST(test_hops),
        TEST(test_recipients),
        TEST(test_tls_message),
        TEST(test_no_certificate),
        TEST(test_client_gone),
        TEST(test_deliverd_gone),
        TEST(test_deliverd_restarted),
        TEST(test_drain_idle),
        TEST(test_drain_in_message),
        TEST(test_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
