/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions whose client is asked for a certificate: who is let in, and what is said of it. */

#include "test-session-fixture.h"

#define NOT_VERIFIED "554 5.7.1 Client certificate not verified: "

typedef enum Shown {
    SHOWS_NONE,
    SHOWS_TRUSTED,
    SHOWS_SELF_SIGNED,
    SHOWS_FOR_SERVERS,
    SHOWS_EXPIRED,
} Shown;

static const struct {
    const char *name, *listener;
    Shown shown;
    const char *reply; /* to everything; NULL: mail is taken … */
    const char *trace; /* … and its Received field says this */
} client_rows[] = {
    {"trusted", "verified", SHOWS_TRUSTED, NULL, "(TLSv1.3, client certificate verified)"},
    {"trusted, required", "verified-required", SHOWS_TRUSTED, NULL, "(TLSv1.3, client certificate verified)"},
    {"none", "verified", SHOWS_NONE, NULL, "(TLSv1.3, no client certificate)"},
    {"none, required", "verified-required", SHOWS_NONE, NOT_VERIFIED "peer has no certificate\r\n", NULL},
    {"self-signed", "verified", SHOWS_SELF_SIGNED, NOT_VERIFIED "certificate is self-signed\r\n", NULL},
    {"self-signed, required", "verified-required", SHOWS_SELF_SIGNED, NOT_VERIFIED "certificate is self-signed\r\n", NULL},
    {"for servers", "verified", SHOWS_FOR_SERVERS, NOT_VERIFIED "certificate is for another purpose\r\n", NULL},
    {"expired", "verified-required", SHOWS_EXPIRED, NOT_VERIFIED "certificate has expired\r\n", NULL},
    {"not asked", "required", SHOWS_SELF_SIGNED, NULL, "(TLSv1.3) "},
};

static TestCertificate *client_certificate(Shown shown, const TestCertificate *ca)
{
    static const TestCertificateSpec specs[] = {
        [SHOWS_TRUSTED] = {.cn = "client"},
        [SHOWS_SELF_SIGNED] = {.cn = "client"},
        [SHOWS_FOR_SERVERS] = {.cn = "client", .eku = "serverAuth"},
        [SHOWS_EXPIRED] = {.cn = "client", .from_days = -9, .to_days = -2},
    };

    return shown == SHOWS_NONE ? NULL : test_certificate_new(&specs[shown], shown == SHOWS_SELF_SIGNED ? NULL : ca);
}

static void refused_client(Fixture *f, const char *reply)
{
    static const char *const commands[] = {"EHLO x\r\n", "MAIL FROM:<a@example.org>\r\n", "STARTTLS\r\n", "NOOP\r\n"};

    for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
        say(f, commands[i]);
        expect(f, reply);
    }
    say(f, "QUIT\r\n");
    expect(f, BYE);
    expect_closed(f);
    assert_int_equal(f->deliverd.n_committed, 0);
}

static void accepted_client(Fixture *f, const char *trace)
{
    _cleanup_free_ char *message = NULL;
    size_t size;

    say(f, "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    run_until(f, has_received, strlen("250-gw.example.net\r\n"));
    while (!strstr(f->received, START))
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    f->n_received = 0;
    f->received[0] = '\0';
    say(f, "x\r\n.\r\n");
    expect(f, "250 2.0.0 Ok: queued as message1\r\n");
    message = read_message(f, "message1", &size);
    assert_non_null(strstr(message, trace));
}

static void test_client_certificates(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(client_rows); i++) {
        _cleanup_(test_certificate_freep) TestCertificate *ca =
                test_certificate_new(&(TestCertificateSpec) {.cn = "CA", .constraints = "critical,CA:TRUE"}, NULL);
        _cleanup_(test_certificate_freep) TestCertificate *client = client_certificate(client_rows[i].shown, ca);
        Fixture *f;
        void *p;

        print_message("%s\n", client_rows[i].name);
        assert_int_equal(session_test_setup(&p), 0);
        f = p;
        f->authorities = X509_STORE_new();
        assert_int_equal(X509_STORE_add_cert(f->authorities, ca->x509), 1);
        if (client)
            test_certificate_use(f->client_context, client, NULL);
        connect_client(f, client_rows[i].listener);
        expect(f, GREETING);
        say(f, "EHLO x\r\n");
        run_until(f, has_received, strlen("250-gw.example.net\r\n"));
        while (!strstr(f->received, "250 SMTPUTF8\r\n"))
            assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        f->n_received = 0;
        f->received[0] = '\0';
        start_tls(f);
        if (client_rows[i].reply)
            refused_client(f, client_rows[i].reply);
        else
            accepted_client(f, client_rows[i].trace);
        assert_int_equal(session_test_teardown(&p), 0);
    }
}

/* Without the lists nobody can be verified, and nobody is let in for that. */
static void test_no_authorities(void **state)
{
    Fixture *f = *state;

    connect_client(f, "verified-required");
    expect(f, GREETING);
    say(f, "EHLO x\r\nSTARTTLS\r\n");
    while (!strstr(f->received, "250 SMTPUTF8\r\n454 4.7.0 TLS is not available at the moment\r\n"))
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test_setup_teardown(test_no_authorities, session_test_setup, session_test_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
