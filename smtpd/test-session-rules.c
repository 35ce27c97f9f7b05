/* SPDX-License-Identifier: Apache-2.0 */

/* The whole table: every stage and verb, in the clear and under TLS, for every TLS policy. A cell is the reply's code, or 0 for
 * "go on". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session-rules.h"

/* HELO EHLO STARTTLS MAIL RCPT DATA RSET NOOP QUIT VRFY HELP unknown foreign */
static const struct {
    const char *name;
    MailFlowTls tls;
    bool encrypted;
    int codes[_STAGE_MAX][_SMTP_VERB_MAX];
} policies[] = {
    {"not offered", MAIL_FLOW_TLS_NO, false, {
        [STAGE_FRESH] =     {0, 0, 502, 503, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_READY] =     {0, 0, 502, 0, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_SENDER] =    {0, 0, 502, 503, 0, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_RECIPIENT] = {0, 0, 502, 503, 0, 0, 0, 0, 0, 0, 0, 500, 554},
    }},
    {"preferred, clear", MAIL_FLOW_TLS_PREFERRED, false, {
        [STAGE_FRESH] =     {0, 0, 503, 503, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_READY] =     {0, 0, 0, 0, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_SENDER] =    {0, 0, 503, 503, 0, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_RECIPIENT] = {0, 0, 503, 503, 0, 0, 0, 0, 0, 0, 0, 500, 554},
    }},
    {"preferred, encrypted", MAIL_FLOW_TLS_PREFERRED, true, {
        [STAGE_FRESH] =     {0, 0, 503, 503, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_READY] =     {0, 0, 503, 0, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_SENDER] =    {0, 0, 503, 503, 0, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_RECIPIENT] = {0, 0, 503, 503, 0, 0, 0, 0, 0, 0, 0, 500, 554},
    }},
    /* Stages behind MAIL are out of reach here; if a mistake led there, nothing would be let through. */
    {"required, clear", MAIL_FLOW_TLS_REQUIRED, false, {
        [STAGE_FRESH] =     {530, 0, 503, 530, 530, 530, 530, 0, 0, 530, 530, 530, 554},
        [STAGE_READY] =     {530, 0, 0, 530, 530, 530, 530, 0, 0, 530, 530, 530, 554},
        [STAGE_SENDER] =    {530, 0, 503, 530, 530, 530, 530, 0, 0, 530, 530, 530, 554},
        [STAGE_RECIPIENT] = {530, 0, 503, 530, 530, 530, 530, 0, 0, 530, 530, 530, 554},
    }},
    {"required, encrypted", MAIL_FLOW_TLS_REQUIRED, true, {
        [STAGE_FRESH] =     {0, 0, 503, 503, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_READY] =     {0, 0, 503, 0, 503, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_SENDER] =    {0, 0, 503, 503, 0, 503, 0, 0, 0, 0, 0, 500, 554},
        [STAGE_RECIPIENT] = {0, 0, 503, 503, 0, 0, 0, 0, 0, 0, 0, 500, 554},
    }},
};

static void test_table(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(policies); i++)
        for (SessionStage stage = 0; stage < _STAGE_MAX; stage++)
            for (SmtpVerb verb = 0; verb < _SMTP_VERB_MAX; verb++) {
                const char *reply = session_rule(stage, verb, policies[i].tls, policies[i].encrypted);
                int code = reply ? atoi(reply) : 0;

                if (code != policies[i].codes[stage][verb])
                    fail_msg("%s, stage %d, verb %d: %s", policies[i].name, stage, verb, reply ?: "allowed");
            }
}

static void test_required_text(void **state)
{
    assert_string_equal(session_rule(STAGE_FRESH, SMTP_HELO, MAIL_FLOW_TLS_REQUIRED, false),
            "530 5.7.0 Must issue a STARTTLS command first");
}

static void test_syntax(void **state)
{
    assert_null(session_syntax_reply(SMTP_MAIL, SMTP_SYNTAX_OK));
    assert_string_equal(session_syntax_reply(SMTP_MAIL, SMTP_SYNTAX_BAD_ADDRESS), "501 5.1.7 Not a mail address");
    assert_string_equal(session_syntax_reply(SMTP_RCPT, SMTP_SYNTAX_BAD_ADDRESS), "501 5.1.3 Not a mail address");
    for (SmtpSyntax syntax = SMTP_SYNTAX_OK + 1; syntax < _SMTP_SYNTAX_MAX; syntax++)
        assert_non_null(session_syntax_reply(SMTP_RCPT, syntax));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_required_text),
        cmocka_unit_test(test_syntax),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
