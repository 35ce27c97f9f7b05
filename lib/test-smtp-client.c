/* SPDX-License-Identifier: Apache-2.0 */

/* The client against a scripted server on the same loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "test-smtp-client-fixture.h"

static void test_clear(void **state)
{
    static const Line script[] = {GREET, EHLO(""), REST, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "2.0.0 queued as 1");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(f->recipients[i].code, 250);
    assert_false(f->result.tls_offered);
    assert_string_equal(f->commands, "EHLO gw.example.org\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<a@example.com>\r\n"
            "RCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nRCPT TO:<d@example.com>\r\nDATA\r\nQUIT\r\n");
    assert_int_equal(f->message_size, strlen("Hi\r\n\r\n..dot\r\n.\r\n"));
    assert_memory_equal(f->message, "Hi\r\n\r\n..dot\r\n.\r\n", f->message_size);
}

static void test_client_kept_after_done(void **state)
{
    static const Line script[] = {GREET, EHLO(""), REST, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    f->free_in_done = false;
    fixture_run(f, script, &q);
    assert_non_null(f->client);
}

static void test_extensions(void **state)
{
    static const Line script[] = {
        GREET, EHLO("250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n"),
        {"MAIL FROM:<> SIZE=12 BODY=8BITMIME SMTPUTF8\r\n", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT,
        {"DATA\r\n", "354 go\r\n", READ_MESSAGE}, {".\r\n", "250 OK\r\n"}, QUIT, END,
    };
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    q.sender = "";
    q.body_8bit = q.smtputf8 = true;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "OK");
}

static void test_local_refusals(void **state)
{
    static const Line plain[] = {GREET, EHLO(""), QUIT, END}, small[] = {GREET, EHLO("250-SIZE 11\r\n"), QUIT, END};
    static const struct {
        const Line *script;
        bool body_8bit, smtputf8;
        int code;
        const char *text;
    } table[] = {
        {plain, true, false, 554, "5.6.3 "},
        {plain, false, true, 553, "5.6.7 "},
        {small, false, false, 552, "5.3.4 "},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        SmtpRequest q;
        Fixture *f;
        void *p;

        assert_int_equal(fixture_setup(&p), 0);
        f = p;
        q = fixture_request(f);
        q.body_8bit = table[i].body_8bit;
        q.smtputf8 = table[i].smtputf8;
        fixture_run(f, table[i].script, &q);
        fixture_expect(f, SMTP_STAGE_MAIL, table[i].code, table[i].text);
        assert_int_equal(f->recipients[3].code, table[i].code);
        assert_int_equal(fixture_teardown(&p), 0);
    }
}

static void test_large_message(void **state)
{
    static const Line script[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO(""), REST, END};
    static char message[3000000];
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);
    size_t n = 0, at = 0;

    /* Lines of all lengths, most with dots in front, so that blocks end everywhere. */
    for (unsigned i = 0; n + 1000 < sizeof(message); i++) {
        size_t length = i % 97;

        memset(message + n, i % 3 == 0 ? 'x' : '.', length);
        memcpy(message + n + length, "\r\n", 2);
        n += length + 2;
    }
    fixture_store(f, message, n);
    q.message_size = n;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "");
    assert_true(f->result.tls_used);
    /* Unstuffed it is the same, byte for byte. */
    for (size_t i = 0; i < f->message_size - 3; i++) {
        if ((i == 0 || f->message[i - 1] == '\n') && f->message[i] == '.')
            i++;
        assert_true(at < n);
        if (f->message[i] != message[at])
            fail_msg("differs at %zu", at);
        at++;
    }
    assert_int_equal(at, n);
}

static void test_final_dot_gets_a_line(void **state)
{
    static const Line script[] = {GREET, EHLO(""), REST, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_store(f, "no end", 6);
    q.message_size = 6;
    fixture_run(f, script, &q);
    assert_int_equal(f->message_size, 11);
    assert_memory_equal(f->message, "no end\r\n.\r\n", 11);
}

/* A file that is shorter than it should be must not become a shorter mail. */
static void test_truncated_file(void **state)
{
    static const Line script[] = {
        GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA\r\n", "354 go\r\n", READ_MESSAGE}, END,
    };
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_store(f, MESSAGE, strlen(MESSAGE));
    q.message_size = 100000;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DATA, 0, "the message cannot be read");
}

static void test_helo(void **state)
{
    static const Line script[] = {GREET, {"EHLO", "502 what?\r\n"}, {"HELO gw.example.org\r\n", "250 hi\r\n"}, REST, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "");
}

static void test_recipients_apart(void **state)
{
    static const Line script[] = {
        GREET, EHLO("250-PIPELINING\r\n"), {"MAIL", "250 OK\r\n"},
        {"RCPT TO:<a@", "250 OK\r\n"}, {"RCPT TO:<b@", "550 5.1.1 nobody\r\n"}, {"RCPT TO:<c@", "450 later\r\n"}, {"RCPT TO:<d@", "251 OK\r\n"},
        {"DATA\r\n", "354 go\r\n", READ_MESSAGE}, {".\r\n", "250 taken\r\n"}, QUIT, END,
    };
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "taken");
    assert_int_equal(f->recipients[0].code, 250);
    assert_int_equal(f->recipients[1].code, 550);
    assert_string_equal(f->recipients[1].text, "5.1.1 nobody");
    assert_int_equal(f->recipients[2].code, 450);
    assert_int_equal(f->recipients[3].code, 250);
    assert_string_equal(f->recipients[3].text, "taken");
}

/* Each: where it ends, and with what. */
static void test_refusals(void **state)
{
    static const struct {
        Line script[12];
        SmtpTlsWant want;
        SmtpStage stage;
        int code;
        const char *text;
        int recipient_code; /* of the first */
    } table[] = {
        {{{"", "554 go away\r\n"}, QUIT}, SMTP_TLS_NO, SMTP_STAGE_GREETING, 554, "go away", 554},
        {{{"", "421 busy\r\n", CLOSE}}, SMTP_TLS_NO, SMTP_STAGE_GREETING, 421, "busy", 421},
        {{{"", "", CLOSE}}, SMTP_TLS_NO, SMTP_STAGE_GREETING, 0, "connection closed", 0},
        {{{"", "SSH-2.0-OpenSSH\r\n"}}, SMTP_TLS_NO, SMTP_STAGE_GREETING, 0, "the server does not speak SMTP", 0},
        {{{"", "250 wrong\r\n"}}, SMTP_TLS_NO, SMTP_STAGE_GREETING, 0, "unexpected reply 250", 0},
        {{GREET, {"EHLO", "421 no\r\n"}, QUIT}, SMTP_TLS_NO, SMTP_STAGE_EHLO, 421, "no", 421},
        {{GREET, {"EHLO", "502 no\r\n"}, {"HELO", "550 no\r\n"}, QUIT}, SMTP_TLS_IF_OFFERED, SMTP_STAGE_EHLO, 550, "no", 550},
        {{GREET, {"EHLO", "502 no\r\n"}, QUIT}, SMTP_TLS_REQUIRED, SMTP_STAGE_STARTTLS_OFFER, 502, "no", 502},
        {{GREET, EHLO(""), QUIT}, SMTP_TLS_REQUIRED, SMTP_STAGE_STARTTLS_OFFER, 0, "", 0},
        {{GREET, EHLO(""), QUIT}, SMTP_TLS_DANE, SMTP_STAGE_STARTTLS_OFFER, 0, "", 0},
        {{GREET, EHLO("250-STARTTLS\r\n"), {"STARTTLS", "454 later\r\n"}, QUIT}, SMTP_TLS_IF_OFFERED, SMTP_STAGE_STARTTLS, 454, "later", 454},
        {{GREET, EHLO("250-STARTTLS\r\n"), {"STARTTLS", "250 what\r\n"}}, SMTP_TLS_REQUIRED, SMTP_STAGE_STARTTLS, 0, "unexpected", 0},
        {{GREET, EHLO("250-STARTTLS\r\n"), {"STARTTLS", "220 go\r\n250 injected\r\n"}}, SMTP_TLS_IF_OFFERED, SMTP_STAGE_HANDSHAKE, 0, "unencrypted data", 0},
        {{GREET, EHLO("250-STARTTLS\r\n"), {"STARTTLS", "220 go\r\n", CLOSE}}, SMTP_TLS_DANE, SMTP_STAGE_HANDSHAKE, 0, "connection closed", 0},
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, QUIT}, SMTP_TLS_DANE, SMTP_STAGE_VERIFY, 0, "certificate does not match", 0},
        {{GREET, EHLO(""), QUIT}, SMTP_TLS_VERIFY, SMTP_STAGE_STARTTLS_OFFER, 0, "", 0},
        {{GREET, EHLO("250-STARTTLS\r\n"), {"STARTTLS", "454 later\r\n"}, QUIT}, SMTP_TLS_VERIFY, SMTP_STAGE_STARTTLS, 454, "later", 454},
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, QUIT}, SMTP_TLS_VERIFY, SMTP_STAGE_VERIFY, 0, "the enabled authorities are not known", 0},
        {{GREET, EHLO(""), {"MAIL", "553 no\r\n"}, QUIT}, SMTP_TLS_NO, SMTP_STAGE_MAIL, 553, "no", 553},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n", CLOSE}}, SMTP_TLS_NO, SMTP_STAGE_RCPT, 0, "", 0},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, {"RCPT", "421 bye\r\n", CLOSE}}, SMTP_TLS_NO, SMTP_STAGE_RCPT, 421, "bye", 421},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, {"RCPT", "550 1\r\n"}, {"RCPT", "550 2\r\n"}, {"RCPT", "550 3\r\n"}, {"RCPT", "450 4\r\n"}, QUIT},
            SMTP_TLS_NO, SMTP_STAGE_RCPT, 450, "4", 550},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA", "554 no\r\n"}, QUIT}, SMTP_TLS_NO, SMTP_STAGE_DATA, 554, "no", 554},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA", "250 no\r\n"}}, SMTP_TLS_NO, SMTP_STAGE_DATA, 0, "unexpected", 0},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA", "354 go\r\n", READ_MESSAGE}, {".", "554 5.7.1 spam\r\n"}, QUIT},
            SMTP_TLS_NO, SMTP_STAGE_FINAL, 554, "5.7.1 spam", 554},
        {{GREET, EHLO(""), {"MAIL", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA", "354 go\r\n", READ_MESSAGE}, {".", "", CLOSE}},
            SMTP_TLS_NO, SMTP_STAGE_FINAL, 0, "connection closed", 0},
    };
    static const uint8_t digest[32];
    static const TlsaRecord tlsa = {3, 1, 1, digest, sizeof(digest)};

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        SmtpRequest q;
        Fixture *f;
        void *p;

        assert_int_equal(fixture_setup(&p), 0);
        f = p;
        q = fixture_request(f);
        q.want = table[i].want;
        q.dane_base = HOST;
        q.tlsa = &tlsa;
        q.n_tlsa = 1;
        fixture_run(f, table[i].script, &q);
        if (f->result.stage != table[i].stage)
            print_error("case %zu\n", i);
        fixture_expect(f, table[i].stage, table[i].code, table[i].text);
        assert_int_equal(f->recipients[0].code, table[i].recipient_code);
        /* Never cleartext where TLS or more was wanted. */
        if (table[i].want >= SMTP_TLS_REQUIRED)
            assert_null(strstr(f->commands, "MAIL"));
        assert_int_equal(fixture_teardown(&p), 0);
    }
}

static void test_dane(void **state)
{
    static const Line script[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO(""), REST, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    TlsaRecord tlsa = {3, 1, 1, digest, sizeof(digest)};
    unsigned char *der = NULL;
    int size;

    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(f->certificate->x509), &der);
    assert_true(size > 0);
    (void) SHA256(der, (size_t) size, digest);
    OPENSSL_free(der);
    q.want = SMTP_TLS_DANE;
    q.dane_base = HOST;
    q.tlsa = &tlsa;
    q.n_tlsa = 1;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "");
    assert_true(f->result.tls_used && f->result.tls_offered);
    assert_int_equal(f->result.verify, TLS_VERIFY_DANE);
    assert_string_equal(f->version, "TLSv1.3");
    assert_string_equal(f->tls_reason, "");
}

/* A probe ends in front of MAIL, and has seen what there is to see. Of two records it names the one that matched. */
static void test_probe(void **state)
{
    static const Line clear[] = {GREET, EHLO("250-SIZE 1000\r\n"), QUIT, END},
                      old[] = {GREET, {"EHLO", "502 no\r\n"}, {"HELO", "250 hi\r\n"}, QUIT, END},
                      tls[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO("250-8BITMIME\r\n"), QUIT, END},
                      wrong[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, QUIT, END};
    static const uint8_t other[32];
    uint8_t digest[32];
    const TlsaRecord tlsa[] = {{3, 1, 1, other, sizeof(other)}, {3, 0, 1, digest, sizeof(digest)}};
    const struct {
        const Line *script;
        SmtpTlsWant want;
        size_t n_tlsa;
        SmtpStage stage;
        uint32_t extensions;
        bool has_peer;
        int32_t matched;
    } rows[] = {
        {clear, SMTP_TLS_IF_OFFERED, 0, SMTP_STAGE_DONE, SMTP_EXTENSION_SIZE, false, 0},
        {old, SMTP_TLS_IF_OFFERED, 0, SMTP_STAGE_DONE, 0, false, 0},
        {clear, SMTP_TLS_REQUIRED, 0, SMTP_STAGE_STARTTLS_OFFER, SMTP_EXTENSION_SIZE, false, 0},
        {tls, SMTP_TLS_REQUIRED, 0, SMTP_STAGE_DONE, SMTP_EXTENSION_8BITMIME, true, -1},
        {tls, SMTP_TLS_DANE, 2, SMTP_STAGE_DONE, SMTP_EXTENSION_8BITMIME, true, 1},
        {wrong, SMTP_TLS_DANE, 1, SMTP_STAGE_VERIFY, SMTP_EXTENSION_STARTTLS, true, -1},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        unsigned char *der = NULL;
        SmtpRequest q;
        Fixture *f;
        void *p;
        int size;

        assert_int_equal(fixture_setup(&p), 0);
        f = p;
        size = i2d_X509(f->certificate->x509, &der);
        assert_true(size > 0);
        (void) SHA256(der, (size_t) size, digest);
        OPENSSL_free(der);
        q = fixture_request(f);
        q.probe = true;
        q.recipients = fixture_recipients;
        q.want = rows[i].want;
        q.dane_base = HOST;
        q.tlsa = tlsa;
        q.n_tlsa = rows[i].n_tlsa;
        fixture_run(f, rows[i].script, &q);
        fixture_expect(f, rows[i].stage, rows[i].stage == SMTP_STAGE_DONE ? 250 : 0, "");
        assert_int_equal(f->recipients[3].code, rows[i].stage == SMTP_STAGE_DONE ? 250 : 0);
        assert_null(strstr(f->commands, "MAIL"));
        assert_int_equal(f->probe.greeting.code, 220);
        assert_string_equal(f->probe.greeting.text, HOST " ESMTP");
        assert_int_equal(f->probe.extensions, rows[i].extensions);
        assert_int_equal(f->probe.has_peer, rows[i].has_peer);
        if (rows[i].has_peer) {
            assert_string_equal(f->probe.peer.subject, "CN=" HOST);
            assert_string_equal(f->probe.peer.issuer, "CN=" HOST);
            assert_string_equal(f->probe.peer.common_name, HOST);
            assert_string_equal(f->probe.peer.authority, "");
            assert_int_equal(f->probe.peer.n_sent, 1);
            assert_int_equal(f->probe.peer.tlsa, rows[i].matched);
            assert_int_equal(strlen(f->probe.peer.fingerprint), 64);
            assert_int_equal(strlen(f->probe.peer.key_fingerprint), 64);
            assert_true(f->probe.peer.not_before_usec > 0 && f->probe.peer.not_before_usec < f->probe.peer.not_after_usec);
        }
        assert_int_equal(fixture_teardown(&p), 0);
    }
}

/* The certificate is self-signed, so it is its own authority. What is not verified is delivered all the same where that is not
 * wanted, and said. */
static void test_authorities(void **state)
{
    static const struct {
        SmtpTlsWant want;
        bool enabled;
        const char *name, *insecure_name;
        SmtpStage stage;
        TlsVerify verify;
        const char *sts_name;
        TlsVerify sts;
    } rows[] = {
        {SMTP_TLS_VERIFY, true, HOST, NULL, SMTP_STAGE_DONE, TLS_VERIFY_PKIX},
        {SMTP_TLS_VERIFY, true, "other.example", HOST, SMTP_STAGE_DONE, TLS_VERIFY_PKIX_MX_INSECURE},
        {SMTP_TLS_VERIFY, true, "other.example", NULL, SMTP_STAGE_VERIFY, TLS_VERIFY_NAME_MISMATCH},
        {SMTP_TLS_VERIFY, false, HOST, NULL, SMTP_STAGE_VERIFY, TLS_VERIFY_SELF_SIGNED},
        {SMTP_TLS_REQUIRED, true, HOST, NULL, SMTP_STAGE_DONE, TLS_VERIFY_PKIX},
        {SMTP_TLS_REQUIRED, false, HOST, NULL, SMTP_STAGE_DONE, TLS_VERIFY_SELF_SIGNED},
        {SMTP_TLS_IF_OFFERED, true, "other.example", NULL, SMTP_STAGE_DONE, TLS_VERIFY_NAME_MISMATCH},
        /* What is asked for a policy that is only tested changes nothing. */
        {SMTP_TLS_REQUIRED, true, "other.example", NULL, SMTP_STAGE_DONE, TLS_VERIFY_NAME_MISMATCH, HOST, TLS_VERIFY_PKIX},
        {SMTP_TLS_VERIFY, true, HOST, NULL, SMTP_STAGE_DONE, TLS_VERIFY_PKIX, "other.example", TLS_VERIFY_NAME_MISMATCH},
        {SMTP_TLS_IF_OFFERED, false, HOST, NULL, SMTP_STAGE_DONE, TLS_VERIFY_SELF_SIGNED, HOST, TLS_VERIFY_SELF_SIGNED},
    };
    static const Line delivered[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO(""), REST, END},
                      refused[] = {GREET, EHLO("250-STARTTLS\r\n"), TLS, QUIT, END};

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *const names[] = {rows[i].name, NULL};
        X509_STORE *authorities = X509_STORE_new();
        SmtpRequest q;
        Fixture *f;
        void *p;

        assert_int_equal(fixture_setup(&p), 0);
        f = p;
        if (rows[i].enabled)
            assert_int_equal(X509_STORE_add_cert(authorities, f->certificate->x509), 1);
        q = fixture_request(f);
        q.want = rows[i].want;
        q.authorities = authorities;
        q.sts_name = rows[i].sts_name;
        q.reference = (TlsReference) {.names = names, .insecure_name = rows[i].insecure_name};
        fixture_run(f, rows[i].stage == SMTP_STAGE_DONE ? delivered : refused, &q);
        assert_int_equal(f->result.stage, rows[i].stage);
        assert_int_equal(f->result.verify, rows[i].verify);
        assert_int_equal(f->result.sts, rows[i].sts);
        assert_int_equal(rows[i].stage == SMTP_STAGE_VERIFY, *f->tls_reason != '\0');
        assert_int_equal(rows[i].stage == SMTP_STAGE_DONE, strstr(f->commands, "MAIL") != NULL);
        assert_int_equal(fixture_teardown(&p), 0);
        X509_STORE_free(authorities);
    }
}

/* REQUIRETLS: no MAIL to a server that does not offer it under TLS, whatever it said in the clear; but for bounces. */
static void test_require_tls(void **state)
{
    static const char *const names[] = {HOST, NULL};
    static const struct {
        Line script[14];
        const char *sender;
        SmtpStage stage;
        const char *mail; /* NULL: none */
    } rows[] = {
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO("250-REQUIRETLS\r\n"), REST}, "alice@example.org", SMTP_STAGE_DONE,
                "MAIL FROM:<alice@example.org> REQUIRETLS\r\n"},
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO("250-SIZE\r\n250-requiretls\r\n"), REST}, "alice@example.org", SMTP_STAGE_DONE,
                "MAIL FROM:<alice@example.org> SIZE=12 REQUIRETLS\r\n"},
        {{GREET, EHLO("250-STARTTLS\r\n250-REQUIRETLS\r\n"), TLS, EHLO(""), QUIT}, "alice@example.org", SMTP_STAGE_REQUIRETLS, NULL},
        {{GREET, EHLO("250-REQUIRETLS\r\n"), QUIT}, "alice@example.org", SMTP_STAGE_STARTTLS_OFFER, NULL},
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO("250-REQUIRETLS\r\n"), {"MAIL", "550 no\r\n"}, QUIT}, "", SMTP_STAGE_MAIL,
                "MAIL FROM:<> REQUIRETLS\r\n"},
        {{GREET, EHLO("250-STARTTLS\r\n"), TLS, EHLO(""), {"MAIL", "550 no\r\n"}, QUIT}, "", SMTP_STAGE_MAIL, "MAIL FROM:<>\r\n"},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        X509_STORE *authorities = X509_STORE_new();
        const char *mail;
        SmtpRequest q;
        Fixture *f;
        void *p;

        assert_int_equal(fixture_setup(&p), 0);
        f = p;
        assert_int_equal(X509_STORE_add_cert(authorities, f->certificate->x509), 1);
        q = fixture_request(f);
        q.want = SMTP_TLS_VERIFY;
        q.authorities = authorities;
        q.reference = (TlsReference) {.names = names};
        q.require_tls = true;
        q.sender = rows[i].sender;
        fixture_run(f, rows[i].script, &q);
        assert_int_equal(f->result.stage, rows[i].stage);
        mail = strstr(f->commands, "MAIL");
        assert_int_equal(mail != NULL, rows[i].mail != NULL);
        if (mail && strncmp(mail, rows[i].mail, strlen(rows[i].mail)) != 0)
            fail_msg("row %zu: %s", i, mail);
        assert_int_equal(fixture_teardown(&p), 0);
        X509_STORE_free(authorities);
    }
}

/* What the server offered in the clear does not count any more (RFC 3207, section 4.2). */
static void test_offers_in_the_clear_are_forgotten(void **state)
{
    static const Line script[] = {
        GREET, EHLO("250-STARTTLS\r\n250-SIZE 1\r\n250-PIPELINING\r\n"), TLS, EHLO(""), REST, END,
    };
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "");
    assert_null(strstr(f->commands, "SIZE="));
}

/* Pipelined, all recipients in one go, and more of them than the output takes at once. */
static void test_many_recipients(void **state)
{
    static Line script[SMTP_CLIENT_RECIPIENTS_MAX + 7] = {GREET, EHLO("250-PIPELINING\r\n"), {"MAIL", "250 OK\r\n"}};
    static const Line tail[] = {{"DATA\r\n", "354 go\r\n", READ_MESSAGE}, {".\r\n", "250 OK\r\n"}, QUIT, END};
    static const char *recipients[SMTP_CLIENT_RECIPIENTS_MAX];
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    for (size_t i = 0; i < ELEMENTSOF(recipients); i++) {
        recipients[i] = "somebody.with.a.long.name@a.long.domain.name.of.somebody.example.com";
        script[3 + i] = (Line)RCPT;
    }
    memcpy(&script[3 + ELEMENTSOF(recipients)], tail, sizeof(tail));
    q.recipients = recipients;
    q.n_recipients = ELEMENTSOF(recipients);
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_DONE, 250, "");
}

static void test_timeout_of_the_attempt(void **state)
{
    static const Line script[] = {GREET, EHLO(""), {"MAIL", ""}, END};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    q.timeout_usec = 300 * USEC_PER_MSEC;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_MAIL, 0, "timed out");
}

static void test_bad_requests(void **state)
{
    static const char *const injected[] = {"a@example.com>\r\nRCPT TO:<x@example.com"};
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    q.recipients = injected;
    q.n_recipients = 1;
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    q = fixture_request(f);
    q.sender = "a\n@b";
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    q = fixture_request(f);
    q.n_recipients = 0;
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    q = fixture_request(f);
    q.want = SMTP_TLS_DANE;
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    q = fixture_request(f);
    q.require_tls = true;
    q.want = SMTP_TLS_REQUIRED;
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    q = fixture_request(f);
    q.tls = NULL;
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], &q, fixture_done, f), -EINVAL);
    close_fdp(&fds[0]);
    close_fdp(&fds[1]);
}

/* A server that says yes to recipients before it was told of them may not be believed. */
static void test_answers_ahead(void **state)
{
    enum { N = 900 };
    static char replies[(N + 1) * sizeof("250 OK\r\n")];
    const Line script[] = {GREET, EHLO("250-PIPELINING\r\n"), {"MAIL FROM:<", replies}, END};
    const char *recipients[N];
    Fixture *f = *state;
    SmtpRequest q = fixture_request(f);

    for (size_t i = 0; i < N; i++)
        recipients[i] = "somebody.with.a.rather.long.name@a.rather.long.domain.example.com";
    for (size_t i = 0; i <= N; i++)
        strcat(replies, "250 OK\r\n");
    q.recipients = recipients;
    q.n_recipients = N;
    fixture_run(f, script, &q);
    fixture_expect(f, SMTP_STAGE_RCPT, 0, "the server answers what it was not asked");
}

#define client_test(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        client_test(test_clear),
        client_test(test_client_kept_after_done),
        client_test(test_extensions),
        cmocka_unit_test(test_local_refusals),
        client_test(test_large_message),
        client_test(test_final_dot_gets_a_line),
        client_test(test_truncated_file),
        client_test(test_helo),
        client_test(test_recipients_apart),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_refusals),
        client_test(test_dane),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_require_tls),
        client_test(test_offers_in_the_clear_are_forgotten),
        client_test(test_many_recipients),
        client_test(test_answers_ahead),
        client_test(test_timeout_of_the_attempt),
        client_test(test_bad_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
