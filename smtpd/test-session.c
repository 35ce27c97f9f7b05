/* SPDX-License-Identifier: Apache-2.0 */

/* Whole sessions on a socket pair: scripted dialogues, with a deliverd in the same process that keeps what it is given. */

#include "test-session-fixture.h"

/* ---- dialogues ---- */

#define EHLO_CLEAR "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 65536\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"
#define OK_SENDER "250 2.1.0 Ok\r\n"
#define OK_RECIPIENT "250 2.1.5 Ok\r\n"
#define OK "250 2.0.0 Ok\r\n"
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
    {"TLS is optional for this message", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "From: a@example.org\r\ntls-required:\r\n", "", " No\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok: queued as message1\r\n", NULL},
        .envelope = "a@example.org|b@example.com|7BIT|ESMTP|optional"},
    {"what the one before said of TLS is not said of the next", "clear", DELIVERD_WELL, (const char *const[]) {
        "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", EHLO_CLEAR OK_SENDER OK_RECIPIENT START,
        "TLS-Required: No\r\n\r\n.\r\n", "250 2.0.0 Ok: queued as message1\r\n",
        "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n", OK_SENDER OK_RECIPIENT START,
        "Subject: x\r\n\r\nTLS-Required: No\r\n.\r\n", "250 2.0.0 Ok: queued as message2\r\n", NULL},
        .envelope = "a@example.org|b@example.com|7BIT|ESMTP"},
    {"REQUIRETLS in the clear", "offered", DELIVERD_WELL, (const char *const[]) {
        "HELO x\r\nMAIL FROM:<a@example.org> REQUIRETLS\r\nMAIL FROM:<a@example.org>\r\n",
        "250 gw.example.net\r\n530 5.7.10 REQUIRETLS is for sessions under TLS\r\n" OK_SENDER, NULL}},
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

    (void) session_test_setup(&state);
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
    (void) session_test_teardown(&state);
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
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 2097152\r\n250-REQUIRETLS\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
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

/* Both in one message: REQUIRETLS holds (RFC 8689, section 4.1). It is the message's, not the session's. */
static void test_combined_2_require_tls(void **state)
{
    Fixture *f = *state;

    connect_client(f, "required");
    expect(f, GREETING);
    say(f, "EHLO x\r\n");
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-STARTTLS\r\n");
    expect(f, "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    start_tls(f);
    say(f, "EHLO x\r\n");
    expect(f, "250-gw.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-REQUIRETLS\r\n");
    expect(f, "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    say(f, "MAIL FROM:<a@example.org> REQUIRETLS\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, OK_SENDER OK_RECIPIENT START);
    say(f, "TLS-Required: No\r\n\r\nx\r\n.\r\n");
    expect(f, "250 2.0.0 Ok: queued as message1\r\n");
    assert_string_equal(f->deliverd.envelope, "a@example.org|b@example.com|7BIT|ESMTPS|required");

    say(f, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    expect(f, OK_SENDER OK_RECIPIENT START);
    say(f, "x\r\n.\r\n");
    expect(f, "250 2.0.0 Ok: queued as message2\r\n");
    assert_string_equal(f->deliverd.envelope, "a@example.org|b@example.com|7BIT|ESMTPS");
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
#define TEST(function) cmocka_unit_test_setup_teardown(function, session_test_setup, session_test_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        TEST(test_too_big),
        TEST(test_hops),
        TEST(test_recipients),
        TEST(test_tls_message),
        TEST(test_combined_2_require_tls),
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
