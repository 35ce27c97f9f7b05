/* SPDX-License-Identifier: Apache-2.0 */

/* What each end of an attempt leads to: never the clear where TLS is a must (row 47), authentication failure defers (row 48),
 * nothing is sent twice where it may have arrived. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decision.h"
#include "test-rows.h"

typedef struct Row {
    const char *name;
    SmtpTlsWant want;
    PlaintextFallback fallback;
    SmtpStage stage;
    int code;
    bool pending;
    NextStep next;
    FailureKind kind;
} Row;

static const Row rows[] = {
    {"connection refused", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_CONNECT, 0, true, NEXT_ADDRESS, FAILURE_CONNECT},
    {"greeting 421", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_GREETING, 421, true, NEXT_HOST, FAILURE_SMTP},
    {"greeting 554 is no bounce", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_GREETING, 554, true, NEXT_HOST, FAILURE_SMTP},
    {"no greeting", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_GREETING, 0, true, NEXT_ADDRESS, FAILURE_SMTP},
    {"Preferred: STARTTLS refused", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS, 454, true, NEXT_CLEAR, FAILURE_SMTP},
    {"Preferred: STARTTLS refused, before-220", SMTP_TLS_IF_OFFERED, FALLBACK_BEFORE_220, SMTP_STAGE_STARTTLS, 454, true, NEXT_CLEAR, FAILURE_SMTP},
    {"Preferred: STARTTLS refused, after-220", SMTP_TLS_IF_OFFERED, FALLBACK_AFTER_220, SMTP_STAGE_STARTTLS, 454, true, NEXT_HOST, FAILURE_SMTP},
    {"Preferred: STARTTLS refused, never", SMTP_TLS_IF_OFFERED, FALLBACK_NEVER, SMTP_STAGE_STARTTLS, 454, true, NEXT_HOST, FAILURE_SMTP},
    {"Preferred: handshake fails", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_CLEAR, FAILURE_SMTP},
    {"Preferred: handshake fails, before-220", SMTP_TLS_IF_OFFERED, FALLBACK_BEFORE_220, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_HOST, FAILURE_SMTP},
    {"Preferred: handshake fails, after-220", SMTP_TLS_IF_OFFERED, FALLBACK_AFTER_220, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_CLEAR, FAILURE_SMTP},
    {"Preferred: handshake fails, never", SMTP_TLS_IF_OFFERED, FALLBACK_NEVER, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_HOST, FAILURE_SMTP},
    {"Required: not offered", SMTP_TLS_REQUIRED, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS_OFFER, 0, true, NEXT_HOST, FAILURE_TLS},
    {"Required: refused", SMTP_TLS_REQUIRED, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS, 454, true, NEXT_HOST, FAILURE_TLS},
    {"Required: handshake fails", SMTP_TLS_REQUIRED, FALLBACK_ALWAYS, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_HOST, FAILURE_TLS},
    {"Verify: not offered", SMTP_TLS_VERIFY, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS_OFFER, 0, true, NEXT_HOST, FAILURE_TLS},
    {"Verify: refused", SMTP_TLS_VERIFY, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS, 454, true, NEXT_HOST, FAILURE_TLS},
    {"Verify: handshake fails", SMTP_TLS_VERIFY, FALLBACK_ALWAYS, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_HOST, FAILURE_TLS},
    {"Verify: not verified", SMTP_TLS_VERIFY, FALLBACK_ALWAYS, SMTP_STAGE_VERIFY, 0, true, NEXT_HOST, FAILURE_TLS},
    {"47 DANE: not offered", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS_OFFER, 0, true, NEXT_HOST, FAILURE_DANE},
    {"47 DANE: refused", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_STARTTLS, 554, true, NEXT_HOST, FAILURE_DANE},
    {"47 DANE: handshake fails or stalls", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_HANDSHAKE, 0, true, NEXT_HOST, FAILURE_DANE},
    {"48 DANE: authentication fails", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_VERIFY, 0, true, NEXT_HOST, FAILURE_DANE},
    {"REQUIRETLS not offered", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_REQUIRETLS, 0, true, NEXT_HOST, FAILURE_TLS},
    {"in the clear after a fallback", SMTP_TLS_NO, FALLBACK_ALWAYS, SMTP_STAGE_EHLO, 502, true, NEXT_HOST, FAILURE_SMTP},
    {"MAIL 451", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_MAIL, 451, true, NEXT_HOST, FAILURE_SMTP},
    {"MAIL 550", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_MAIL, 550, false, NEXT_END, FAILURE_SMTP},
    {"lost in DATA", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_DATA, 0, true, NEXT_HOST, FAILURE_SMTP},
    {"lost after the message", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_FINAL, 0, true, NEXT_DEFER, FAILURE_SMTP},
    {"final 452", SMTP_TLS_IF_OFFERED, FALLBACK_ALWAYS, SMTP_STAGE_FINAL, 452, true, NEXT_HOST, FAILURE_SMTP},
    {"done", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_DONE, 250, false, NEXT_END, FAILURE_NONE},
    {"done for some", SMTP_TLS_DANE, FALLBACK_ALWAYS, SMTP_STAGE_DONE, 250, true, NEXT_HOST, FAILURE_SMTP},
};

/* Of a host where TLS is wanted like that by itself. */
static const HostPlan *plan_of(SmtpTlsWant want)
{
    static const HostPlan plans[] = {
        [SMTP_TLS_NO] = {.want = SMTP_TLS_NO, .kind = FAILURE_SMTP},
        [SMTP_TLS_IF_OFFERED] = {.want = SMTP_TLS_IF_OFFERED, .kind = FAILURE_SMTP},
        [SMTP_TLS_REQUIRED] = {.want = SMTP_TLS_REQUIRED, .kind = FAILURE_TLS},
        [SMTP_TLS_VERIFY] = {.want = SMTP_TLS_VERIFY, .kind = FAILURE_TLS},
        [SMTP_TLS_DANE] = {.want = SMTP_TLS_DANE, .kind = FAILURE_DANE},
    };

    return plans + want;
}

static void run_rows(unsigned n)
{
    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        Verdict v;

        if (!test_row_is(rows[i].name, n))
            continue;
        v = decision_verdict(plan_of(rows[i].want), rows[i].want, rows[i].fallback, rows[i].stage, rows[i].code, rows[i].pending);
        print_message("row %s\n", rows[i].name);
        assert_int_equal(v.next, rows[i].next);
        assert_int_equal(v.kind, rows[i].kind);
    }
}

TEST_ROW(dane, 47, no_tls, run_rows)
TEST_ROW(dane, 48, not_authenticated, run_rows)

static void test_other_verdicts(void **state)
{
    run_rows(0);
}

/* Whatever happens, TLS that is a must is never given up. */
static void test_dane_47_never_clear(void **state)
{
    for (int want = SMTP_TLS_REQUIRED; want <= SMTP_TLS_DANE; want++)
        for (int fallback = FALLBACK_ALWAYS; fallback <= FALLBACK_NEVER; fallback++)
            for (int stage = SMTP_STAGE_CONNECT; stage <= SMTP_STAGE_DONE; stage++)
                for (int code = 0; code < 600; code += 50)
                    assert_int_not_equal(decision_verdict(plan_of(want), want, fallback, stage, code, true).next, NEXT_CLEAR);
}

/* What STS wanted and did not get is STS's failure, at every stage of TLS, and leads to the next host. */
static void test_sts_19_failure(void **state)
{
    const HostPlan plan = {.want = SMTP_TLS_VERIFY, .kind = FAILURE_STS};

    for (int stage = SMTP_STAGE_STARTTLS_OFFER; stage <= SMTP_STAGE_VERIFY; stage++) {
        Verdict v = decision_verdict(&plan, plan.want, FALLBACK_ALWAYS, stage, 0, true);

        assert_int_equal(v.next, NEXT_HOST);
        assert_int_equal(v.kind, FAILURE_STS);
    }
}

/* RFC 8689, section 4.2.1: what a server is goes back to the sender, what may pass does not; and only if the message asks. */
static void test_combined_2_unmet(void **state)
{
    static const struct {
        SmtpStage stage;
        int code;
        const char *enhanced;
    } cases[] = {
        {SMTP_STAGE_CONNECT, 0, NULL},
        {SMTP_STAGE_GREETING, 554, NULL},
        {SMTP_STAGE_EHLO, 421, NULL},
        {SMTP_STAGE_STARTTLS_OFFER, 0, "5.7.10"},
        {SMTP_STAGE_STARTTLS_OFFER, 502, "5.7.10"},
        {SMTP_STAGE_STARTTLS, 454, NULL},
        {SMTP_STAGE_STARTTLS, 554, "5.7.10"},
        {SMTP_STAGE_STARTTLS, 0, NULL},
        {SMTP_STAGE_HANDSHAKE, 0, NULL},
        {SMTP_STAGE_VERIFY, 0, "5.7.10"},
        {SMTP_STAGE_REQUIRETLS, 0, "5.7.30"},
        {SMTP_STAGE_MAIL, 550, NULL},
        {SMTP_STAGE_FINAL, 0, NULL},
        {SMTP_STAGE_DONE, 250, NULL},
    };
    const HostPlan asked = {.want = SMTP_TLS_VERIFY, .require_tls = true}, not_asked = {.want = SMTP_TLS_VERIFY},
                   skipped = {.skip = true, .kind = FAILURE_TLS, .require_tls = true}, skipped_else = {.skip = true, .kind = FAILURE_DANE};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *enhanced = decision_unmet(&asked, cases[i].stage, cases[i].code);

        assert_int_equal(enhanced != NULL, cases[i].enhanced != NULL);
        if (enhanced)
            assert_string_equal(enhanced, cases[i].enhanced);
        assert_null(decision_unmet(&not_asked, cases[i].stage, cases[i].code));
    }
    assert_string_equal(decision_unmet(&skipped, SMTP_STAGE_CONNECT, 0), "5.7.10");
    assert_null(decision_unmet(&skipped_else, SMTP_STAGE_CONNECT, 0));
}

static void test_recipient(void **state)
{
    const struct {
        SmtpStage stage;
        int stage_code, code;
        RecipientVerdict verdict;
    } cases[] = {
        {SMTP_STAGE_DONE, 250, 250, VERDICT_DELIVERED},
        {SMTP_STAGE_DONE, 250, 450, VERDICT_PENDING},
        {SMTP_STAGE_DONE, 250, 550, VERDICT_FAILED},
        {SMTP_STAGE_FINAL, 554, 0, VERDICT_FAILED},
        {SMTP_STAGE_FINAL, 554, 450, VERDICT_PENDING},
        {SMTP_STAGE_FINAL, 0, 0, VERDICT_PENDING},
        {SMTP_STAGE_FINAL, 452, 250, VERDICT_PENDING},
        {SMTP_STAGE_FINAL, 0, 250, VERDICT_PENDING},
        {SMTP_STAGE_MAIL, 550, 0, VERDICT_FAILED},
        {SMTP_STAGE_MAIL, 450, 0, VERDICT_PENDING},
        {SMTP_STAGE_RCPT, 0, 550, VERDICT_FAILED},
        {SMTP_STAGE_GREETING, 554, 0, VERDICT_PENDING},
        {SMTP_STAGE_EHLO, 502, 0, VERDICT_PENDING},
        {SMTP_STAGE_STARTTLS, 554, 0, VERDICT_PENDING},
        {SMTP_STAGE_VERIFY, 0, 0, VERDICT_PENDING},
        {SMTP_STAGE_REQUIRETLS, 0, 0, VERDICT_PENDING},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        assert_int_equal(decision_recipient(cases[i].stage, cases[i].stage_code, cases[i].code), cases[i].verdict);
}

static void test_describe(void **state)
{
    const SmtpReply refused = {.code = 454, .text = "4.7.0 TLS not available"}, silent = {.code = 0, .text = "Connection refused"};
    const struct {
        SmtpStage stage;
        const SmtpReply *reply;
        const char *tls_reason, *expected;
    } cases[] = {
        {SMTP_STAGE_CONNECT, &silent, "", "connection failed: Connection refused"},
        {SMTP_STAGE_STARTTLS_OFFER, &(SmtpReply) {.code = 502, .text = "5.5.1 What?"}, "",
                "TLS is required, but the server does not speak ESMTP: 502 5.5.1 What?"},
        {SMTP_STAGE_STARTTLS_OFFER, &(SmtpReply) {}, "", "TLS is required, but STARTTLS is not offered"},
        {SMTP_STAGE_STARTTLS, &silent, "", "STARTTLS failed: Connection refused"},
        {SMTP_STAGE_STARTTLS, &refused, "", "STARTTLS refused: 454 4.7.0 TLS not available"},
        {SMTP_STAGE_HANDSHAKE, &silent, "alert handshake failure", "TLS handshake failed: alert handshake failure"},
        {SMTP_STAGE_VERIFY, &silent, "no TLSA record matches", "certificate not verified: no TLSA record matches"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *s = decision_describe(cases[i].stage, cases[i].reply, cases[i].tls_reason);

        assert_string_equal(s, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dane_47_no_tls),
        cmocka_unit_test(test_dane_48_not_authenticated),
        cmocka_unit_test(test_other_verdicts),
        cmocka_unit_test(test_dane_47_never_clear),
        cmocka_unit_test(test_sts_19_failure),
        cmocka_unit_test(test_combined_2_unmet),
        cmocka_unit_test(test_recipient),
        cmocka_unit_test(test_describe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
