/* SPDX-License-Identifier: Apache-2.0 */

/* Command lines, as they come and as they should not. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp-command.h"

typedef struct Case {
    const char *line;
    SmtpSyntax syntax;
    SmtpCommand expected;
    bool smtputf8; /* of the transaction */
} Case;

static const Case cases[] = {
    /* names */
    {"EHLO mx.example.org", SMTP_SYNTAX_OK, {.verb = SMTP_EHLO, .name = (char *) "mx.example.org"}},
    {"ehlo MX.example.org  ", SMTP_SYNTAX_OK, {.verb = SMTP_EHLO, .name = (char *) "MX.example.org"}},
    {"HELO [192.0.2.1]", SMTP_SYNTAX_OK, {.verb = SMTP_HELO, .name = (char *) "[192.0.2.1]"}},
    {"EHLO [IPv6:2001:db8::1]", SMTP_SYNTAX_OK, {.verb = SMTP_EHLO, .name = (char *) "[IPv6:2001:db8::1]"}},
    {"EHLO win_pc", SMTP_SYNTAX_OK, {.verb = SMTP_EHLO, .name = (char *) "win_pc"}},
    {"EHLO", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_EHLO}},
    {"EHLO a b", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_EHLO}},
    {"EHLO a)b", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_EHLO}},
    {"EHLO b\xc3\xbc" "cher.example", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_EHLO}},

    /* verbs alone */
    {"STARTTLS", SMTP_SYNTAX_OK, {.verb = SMTP_STARTTLS}},
    {"starttls ", SMTP_SYNTAX_OK, {.verb = SMTP_STARTTLS}},
    {"STARTTLS now", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_STARTTLS}},
    {"DATA", SMTP_SYNTAX_OK, {.verb = SMTP_DATA}},
    {"DATA x", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_DATA}},
    {"RSET", SMTP_SYNTAX_OK, {.verb = SMTP_RSET}},
    {"QUIT", SMTP_SYNTAX_OK, {.verb = SMTP_QUIT}},
    {"NOOP", SMTP_SYNTAX_OK, {.verb = SMTP_NOOP}},
    {"NOOP anything at all", SMTP_SYNTAX_OK, {.verb = SMTP_NOOP}},
    {"VRFY somebody", SMTP_SYNTAX_OK, {.verb = SMTP_VRFY}},
    {"VRFY", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_VRFY}},
    {"HELP MAIL", SMTP_SYNTAX_OK, {.verb = SMTP_HELP}},

    /* none of ours */
    {"", SMTP_SYNTAX_OK, {.verb = SMTP_UNKNOWN}},
    {"EXPN list", SMTP_SYNTAX_OK, {.verb = SMTP_UNKNOWN}},
    {"BDAT 10 LAST", SMTP_SYNTAX_OK, {.verb = SMTP_UNKNOWN}},
    {"MAILFROM:<a@b.example>", SMTP_SYNTAX_OK, {.verb = SMTP_UNKNOWN}},
    {"GET / HTTP/1.1", SMTP_SYNTAX_OK, {.verb = SMTP_FOREIGN}},
    {"POST /x HTTP/1.1", SMTP_SYNTAX_OK, {.verb = SMTP_FOREIGN}},

    /* senders */
    {"MAIL FROM:<a@b.example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "a", .domain = (char *) "b.example", .extended = (char *) "a@b.example"}},
    {"mail from: <A@B.Example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "A", .domain = (char *) "b.example", .extended = (char *) "A@b.example"}},
    {"MAIL FROM:<>", SMTP_SYNTAX_OK, {.verb = SMTP_MAIL, .local = (char *) "", .extended = (char *) ""}},
    {"MAIL FROM:<@x.example,@y.example:a@b.example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "a", .domain = (char *) "b.example", .extended = (char *) "a@b.example"}},
    {"MAIL FROM:<\"a>b\"@c.example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "\"a>b\"", .domain = (char *) "c.example", .extended = (char *) "\"a>b\"@c.example"}},
    {"MAIL FROM:<a@[192.0.2.1]>", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "a", .domain = (char *) "[192.0.2.1]", .extended = (char *) "a@[192.0.2.1]"}},
    {"MAIL FROM:a@b.example", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<a@b.example", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<a>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<postmaster>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<a b@c.example>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM :<a@b.example>", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_MAIL}},
    {"MAIL", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_MAIL}},
    {"MAIL TO:<a@b.example>", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_MAIL}},

    /* their parameters */
    {"MAIL FROM:<> SIZE=1048576 BODY=8BITMIME", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "", .extended = (char *) "", .size = 1048576, .body = SMTP_BODY_8BITMIME}},
    {"MAIL FROM:<>  body=7bit  size=0", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "", .extended = (char *) "", .body = SMTP_BODY_7BIT}},
    {"MAIL FROM:<a@b.example> requiretls SIZE=1", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "a", .domain = (char *) "b.example", .extended = (char *) "a@b.example", .size = 1,
                    .require_tls = true}},
    {"MAIL FROM:<> REQUIRETLS=yes", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> REQUIRETLS=", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> REQUIRETLS REQUIRETLS", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"RCPT TO:<a@b.example> REQUIRETLS", SMTP_SYNTAX_UNKNOWN_PARAMETER, {.verb = SMTP_RCPT}},
    {"MAIL FROM:<>SIZE=1", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SIZE=", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SIZE", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SIZE=-1", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SIZE=18446744073709551615", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "", .extended = (char *) "", .size = UINT64_MAX}},
    {"MAIL FROM:<> SIZE=18446744073709551616", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SIZE=1 SIZE=2", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> BODY=BINARYMIME", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> RET=HDRS", SMTP_SYNTAX_UNKNOWN_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> AUTH=<>", SMTP_SYNTAX_UNKNOWN_PARAMETER, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> =1", SMTP_SYNTAX_UNKNOWN_PARAMETER, {.verb = SMTP_MAIL}},

    /* beyond ASCII */
    {"MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8", SMTP_SYNTAX_OK,
            {.verb = SMTP_MAIL, .local = (char *) "\xc3\xbc", .domain = (char *) "b.example", .extended = (char *) "\xc3\xbc@b.example",
                    .smtputf8 = true}},
    {"MAIL FROM:<\xc3\xbc@b.example>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<\xff@b.example> SMTPUTF8", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_MAIL}},
    {"MAIL FROM:<> SMTPUTF8=yes", SMTP_SYNTAX_BAD_PARAMETER, {.verb = SMTP_MAIL}},
    {"RCPT TO:<\xc3\xbc@b.example>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_RCPT}},
    {"RCPT TO:<\xc3\xbc@b\xc3\xbc" "cher.example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_RCPT, .local = (char *) "\xc3\xbc", .domain = (char *) "xn--bcher-kva.example",
                    .extended = (char *) "\xc3\xbc@xn--bcher-kva.example", .smtputf8 = true},
            .smtputf8 = true},

    /* recipients */
    {"RCPT TO:<a@b.example>", SMTP_SYNTAX_OK,
            {.verb = SMTP_RCPT, .local = (char *) "a", .domain = (char *) "b.example", .extended = (char *) "a@b.example"}},
    {"RCPT TO:<Postmaster>", SMTP_SYNTAX_OK, {.verb = SMTP_RCPT, .local = (char *) "Postmaster"}},
    {"RCPT TO:<>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_RCPT}},
    {"RCPT TO:<root>", SMTP_SYNTAX_BAD_ADDRESS, {.verb = SMTP_RCPT}},
    {"RCPT TO:<a@b.example> NOTIFY=NEVER", SMTP_SYNTAX_UNKNOWN_PARAMETER, {.verb = SMTP_RCPT}},
    {"RCPT TO:<a@b.example>x", SMTP_SYNTAX_BAD_ARGUMENT, {.verb = SMTP_RCPT}},

    /* control characters */
    {"NOOP\rMAIL FROM:<>", SMTP_SYNTAX_BAD_CHARACTER, {.verb = SMTP_UNKNOWN}},
    {"NOOP \x01", SMTP_SYNTAX_BAD_CHARACTER, {.verb = SMTP_NOOP}},
    {"NOOP\tx", SMTP_SYNTAX_BAD_CHARACTER, {.verb = SMTP_UNKNOWN}},
    {"RCPT TO:<a@b.example\x7f>", SMTP_SYNTAX_BAD_CHARACTER, {.verb = SMTP_RCPT}},
};

static void assert_same(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a && b)
        assert_string_equal(a, b);
}

static void test_lines(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const Case *c = &cases[i];
        SmtpCommand command;
        SmtpSyntax syntax;

        syntax = smtp_command_parse(c->line, strlen(c->line), c->smtputf8, &command);
        if (syntax != c->syntax || command.verb != c->expected.verb)
            fail_msg("\"%s\": syntax %d, verb %s", c->line, syntax, smtp_verb_to_string(command.verb));
        assert_same(command.name, c->expected.name);
        assert_same(command.local, c->expected.local);
        assert_same(command.domain, c->expected.domain);
        assert_same(command.extended, c->expected.extended);
        assert_int_equal(command.size, c->expected.size);
        assert_int_equal(command.body, c->expected.body);
        assert_int_equal(command.smtputf8, c->expected.smtputf8);
        assert_int_equal(command.require_tls, c->expected.require_tls);
        smtp_command_done(&command);
    }
}

/* The line's end is its length: nothing behind it counts. */
static void test_length(void **state)
{
    static const char nul[] = "NOOP\0x";
    SmtpCommand command;

    assert_int_equal(smtp_command_parse("QUITE", 4, false, &command), SMTP_SYNTAX_OK);
    assert_int_equal(command.verb, SMTP_QUIT);
    smtp_command_done(&command);
    assert_int_equal(smtp_command_parse(nul, sizeof(nul) - 1, false, &command), SMTP_SYNTAX_BAD_CHARACTER);
    smtp_command_done(&command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
