/* SPDX-License-Identifier: Apache-2.0 */

/* How DANE, MTA-STS, the administrator's level and the message's own wish combine for one host. The numbers in the names of the
 * tests are the rows of "How delivery decides": dane is section 1, sts section 2, combined section 3.
 *
 * What comes of a case is one line: "want wanted names/rule failure", or "skip failure"; see outcome(). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decision.h"
#include "test-answer.h"

#define D "example.com"
#define H "mx.example.com"
#define MX_SECURE "secure 10=mx.example.com"
#define MX_INSECURE "insecure 10=mx.example.com"
#define USABLE "secure 3.1.1/32"
#define UNUSABLE "secure 0.1.1/32"
#define POLICY "version: STSv1\nmax_age: 86400\nmode: "
#define ENFORCE POLICY "enforce\nmx: mx.example.com\n"
#define ENFORCE_OTHER POLICY "enforce\nmx: other.example.com\n"
#define TESTING POLICY "testing\nmx: mx.example.com\n"
#define TESTING_OTHER POLICY "testing\nmx: other.example.com\n"
#define OFF POLICY "none\n"

/* What is known about one host. Zero: TLS=No. */
typedef struct Case {
    TlsLevel tls;
    DaneLevel dane;
    const char *mx;
    const char *tlsa; /* NULL: not asked for */
    const char *sts;  /* a policy, "later", or NULL: no policy */
    MessageTls message;
    bool address;     /* the host is an address */
    bool not_insecure_mx; /* VerifyInsecureMX=no */
    bool no_sts;      /* MTASTS=no */
} Case;

static const char *rule_name(TlsNameRule rule)
{
    static const char *const names[] = {[TLS_NAMES_ANY] = "any", [TLS_NAMES_HOSTED] = "hosted", [TLS_NAMES_DNS] = "dns"};

    return names[rule];
}

/* "verify sts mx.example.com/dns sts", "skip dane"; "?" in front of a name from an insecure answer, DANE's base in front of its
 * names, "requiretls" at the end. */
static void outcome(const HostPlan *p, char *buffer, size_t size)
{
    static const char *const wants[] = {"none", "may", "required", "verify", "dane"};
    char names[300] = "";

    if (p->skip) {
        assert_true(*p->reason);
        (void) snprintf(buffer, size, "skip %s", failure_kind_to_string(p->kind));
        return;
    }
    for (size_t i = 0; p->names[i]; i++)
        (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), ",%s", p->names[i]);
    if (p->insecure_name)
        (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), ",?%s", p->insecure_name);
    if (p->want == SMTP_TLS_DANE)
        (void) snprintf(buffer, size, "%s %s %s%s %s%s", wants[p->want], p->wanted, p->base, names,
                failure_kind_to_string(p->kind), p->require_tls ? " requiretls" : "");
    else
        (void) snprintf(buffer, size, "%s %s %s/%s %s%s", wants[p->want], p->wanted, *names ? names + 1 : "",
                rule_name(p->rule), failure_kind_to_string(p->kind), p->require_tls ? " requiretls" : "");
}

/* ret points into what is gone afterwards; said is what it said while that was there. */
static void plan(const Case *c, HostPlan *ret, char *said, size_t size)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *mx_answer = test_answer(c->mx ?: MX_SECURE, D), *tlsa = NULL;
    const DestinationPolicy policy = {.tls = c->tls, .dane = c->dane, .verify_insecure_mx = !c->not_insecure_mx,
            .mta_sts = !c->no_sts};
    _cleanup_(sts_policy_unrefp) StsPolicy *sts = NULL;
    _cleanup_(mx_plan_freep) MxPlan *mx = NULL;
    const char *reason = NULL;
    HostAddresses addresses;
    StsAnswer answer = {};
    HostFacts facts;

    assert_int_equal(decision_mx(D, mx_answer, 0, &mx), 0);
    assert_true(decision_literal("192.0.2.1", 25, &addresses));
    if (c->sts && streq(c->sts, "later"))
        answer = (StsAnswer) {.later = true, .reason = "TXT lookup failed"};
    else if (c->sts) {
        assert_int_equal(sts_policy_parse(c->sts, strlen(c->sts), &sts, &reason), 0);
        answer.policy = sts;
    }
    if (c->tlsa)
        tlsa = test_answer(c->tlsa, H);
    facts = (HostFacts) {.domain = D, .mx = mx, .host = c->address ? NULL : H, .addresses = &addresses, .base = tlsa ? H : NULL,
            .tlsa = tlsa, .sts = &answer, .message_tls = c->message};
    decision_plan(&policy, &facts, ret);
    outcome(ret, said, size);
}

static void check(const Case *c, const char *expected)
{
    _cleanup_free_ HostPlan *p = calloc(1, sizeof(*p));
    char got[500];

    assert_non_null(p);
    plan(c, p, got, sizeof(got));
    assert_string_equal(got, expected);
}

#define CHECK(expected, ...) check(&(Case) {__VA_ARGS__}, expected)
#define PREFERRED .tls = TLS_LEVEL_PREFERRED, .dane = DANE_OPPORTUNISTIC
#define REQUIRED .tls = TLS_LEVEL_REQUIRED, .dane = DANE_OPPORTUNISTIC
#define VERIFY .tls = TLS_LEVEL_REQUIRED_VERIFY, .dane = DANE_OPPORTUNISTIC
#define MANDATORY .tls = TLS_LEVEL_PREFERRED, .dane = DANE_MANDATORY

/* ---- section 2 ---- */

static void test_sts_1_no_policy(void **state)
{
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED);
    CHECK("may may example.com,?mx.example.com/any smtp", PREFERRED, .mx = MX_INSECURE);
}

static void test_sts_4_not_known(void **state)
{
    CHECK("skip sts", PREFERRED, .sts = "later");
    CHECK("skip sts", VERIFY, .sts = "later");
    CHECK("skip sts", PREFERRED, .sts = "later", .tlsa = UNUSABLE);
    CHECK("dane dane mx.example.com,example.com dane", PREFERRED, .sts = "later", .tlsa = USABLE);
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED, .sts = "later", .no_sts = true);
}

static void test_sts_13_none(void **state)
{
    CHECK("may may example.com,?mx.example.com/any smtp", PREFERRED, .mx = MX_INSECURE, .sts = OFF);
}

/* The level holds, but for that the host that the policy names is known. */
static void test_sts_14_testing(void **state)
{
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED, .mx = MX_INSECURE, .sts = TESTING);
    CHECK("may may example.com,?mx.example.com/any smtp", PREFERRED, .mx = MX_INSECURE, .sts = TESTING_OTHER);
    CHECK("required required example.com,mx.example.com/any tls", REQUIRED, .mx = MX_INSECURE, .sts = TESTING);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, .mx = MX_INSECURE, .sts = TESTING);
    CHECK("verify required-verify example.com,?mx.example.com/any tls", VERIFY, .mx = MX_INSECURE, .sts = TESTING_OTHER);
    CHECK("dane dane mx.example.com,example.com dane", PREFERRED, .tlsa = USABLE, .sts = TESTING);
}

static void test_sts_14_report(void **state)
{
    const HostPlan testing = {.sts = STS_MODE_TESTING, .sts_name = H}, other = {.sts = STS_MODE_TESTING},
                   enforce = {.sts = STS_MODE_ENFORCE, .sts_name = H};

    assert_null(decision_sts_tested(&enforce, true, TLS_VERIFY_PKIX));
    assert_null(decision_sts_tested(&(HostPlan) {}, true, TLS_VERIFY_PKIX));
    assert_string_equal(decision_sts_tested(&testing, true, TLS_VERIFY_PKIX), "passed");
    assert_string_equal(decision_sts_tested(&testing, true, TLS_VERIFY_EXPIRED), "expired");
    assert_string_equal(decision_sts_tested(&testing, false, TLS_VERIFY_NONE), "no-tls");
    assert_string_equal(decision_sts_tested(&other, true, TLS_VERIFY_PKIX), "host-not-named");
}

static void test_sts_15_not_named(void **state)
{
    CHECK("skip sts", PREFERRED, .sts = ENFORCE_OTHER);
    CHECK("skip sts", VERIFY, .sts = ENFORCE_OTHER);
    CHECK("verify sts mx.example.com/dns sts", PREFERRED, .sts = ENFORCE);
}

static void test_sts_17_address(void **state)
{
    CHECK("skip sts", PREFERRED, .sts = ENFORCE, .address = true);
    CHECK("may may example.com/any smtp", PREFERRED, .sts = TESTING, .address = true);
}

/* The host's name in a dNSName, never the pattern that matched it. */
static void test_sts_18_name(void **state)
{
    CHECK("verify sts mx.example.com/dns sts", PREFERRED, .sts = POLICY "enforce\nmx: *.example.com\n");
    CHECK("verify sts mx.example.com/dns sts", VERIFY, .sts = ENFORCE);
    CHECK("verify sts mx.example.com/dns sts", .tls = TLS_LEVEL_REQUIRED_VERIFY_HOSTED, .sts = ENFORCE);
}

static void test_sts_22_dane_comes_first(void **state)
{
    CHECK("dane dane mx.example.com,example.com dane", PREFERRED, .tlsa = USABLE, .sts = ENFORCE);
    CHECK("dane dane mx.example.com,example.com dane", PREFERRED, .tlsa = USABLE, .sts = ENFORCE_OTHER);
    CHECK("skip dane", PREFERRED, .tlsa = "error", .sts = ENFORCE);
    CHECK("skip dane", PREFERRED, .tlsa = "bogus 3.1.1/32", .sts = ENFORCE);
    CHECK("skip dane", MANDATORY, .tlsa = "secure", .sts = ENFORCE);
}

static void test_sts_23_unusable_and_enforced(void **state)
{
    CHECK("verify sts mx.example.com/dns sts", PREFERRED, .tlsa = UNUSABLE, .sts = ENFORCE);
    CHECK("skip sts", PREFERRED, .tlsa = UNUSABLE, .sts = ENFORCE_OTHER);
    CHECK("required required example.com,mx.example.com/any tls", PREFERRED, .tlsa = UNUSABLE, .sts = TESTING);
    CHECK("skip dane", MANDATORY, .tlsa = UNUSABLE, .sts = ENFORCE);
}

/* ---- section 3 ---- */

static void test_combined_1_level_is_a_floor(void **state)
{
    CHECK("none none example.com,mx.example.com/any smtp", .tls = TLS_LEVEL_NO, .sts = ENFORCE);
    CHECK("required required example.com,mx.example.com/any tls", REQUIRED, .tlsa = "secure");
    CHECK("required required example.com,mx.example.com/any tls", REQUIRED, .sts = ENFORCE, .no_sts = true);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, .tlsa = UNUSABLE);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, .tlsa = UNUSABLE, .sts = TESTING);
}

static void test_combined_2_requiretls(void **state)
{
#define R .message = MESSAGE_TLS_REQUIRED
    CHECK("dane dane mx.example.com,example.com dane requiretls", PREFERRED, R, .tlsa = USABLE);
    CHECK("verify requiretls mx.example.com/dns tls requiretls", PREFERRED, R);
    CHECK("verify requiretls mx.example.com/dns tls requiretls", REQUIRED, R);
    CHECK("verify requiretls mx.example.com/dns tls requiretls", PREFERRED, R, .tlsa = UNUSABLE);
    CHECK("verify required-verify example.com,mx.example.com/any tls requiretls", VERIFY, R);
    CHECK("verify sts mx.example.com/dns sts requiretls", PREFERRED, R, .mx = MX_INSECURE, .sts = ENFORCE);
    CHECK("verify requiretls mx.example.com/dns tls requiretls", PREFERRED, R, .mx = MX_INSECURE, .sts = TESTING);
    /* Who the host is must be known for sure, even where its TLSA records are. */
    CHECK("skip tls", PREFERRED, R, .mx = MX_INSECURE);
    CHECK("skip tls", PREFERRED, R, .mx = MX_INSECURE, .tlsa = USABLE);
    CHECK("skip tls", VERIFY, R, .mx = MX_INSECURE);
    CHECK("dane dane mx.example.com dane requiretls", PREFERRED, R, .mx = MX_INSECURE, .tlsa = USABLE, .sts = ENFORCE);
    CHECK("skip tls", PREFERRED, R, .address = true);
    CHECK("skip tls", .tls = TLS_LEVEL_NO, R);
    CHECK("skip dane", PREFERRED, R, .tlsa = "error");
    CHECK("skip sts", PREFERRED, R, .sts = ENFORCE_OTHER);
#undef R
}

/* RFC 8689, section 4.2.2 lets go of what the destination asks for. What the administrator asks for stays. */
static void test_combined_2_tls_required_no(void **state)
{
#define O .message = MESSAGE_TLS_OPTIONAL
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED, O, .sts = ENFORCE_OTHER);
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED, O, .sts = "later");
    CHECK("may may example.com,mx.example.com/any smtp", PREFERRED, O, .tlsa = "error");
    CHECK("may may-verify example.com,mx.example.com/any smtp", .tls = TLS_LEVEL_PREFERRED_VERIFY, .dane = DANE_OPPORTUNISTIC, O,
            .tlsa = USABLE);
    CHECK("required required example.com,mx.example.com/any tls", REQUIRED, O, .tlsa = USABLE, .sts = ENFORCE);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, O);
    /* Where the administrator wants the peer verified, TLSA records verify it as for any message, and policies make names known;
     * but nothing of the destination's is in the way. */
    CHECK("dane dane mx.example.com,example.com dane", VERIFY, O, .tlsa = USABLE);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, O, .tlsa = "error");
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, O, .sts = "later");
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, O, .sts = ENFORCE_OTHER);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, O, .mx = MX_INSECURE, .not_insecure_mx = true,
            .sts = ENFORCE);
    CHECK("skip dane", MANDATORY, O, .tlsa = "error");
    CHECK("dane dane mx.example.com,example.com dane", MANDATORY, O, .tlsa = USABLE);
    CHECK("skip dane", MANDATORY, O, .tlsa = "secure");
#undef O
}

static void test_combined_2_what_is_asked(void **state)
{
    const MxPlan mx = {.secure = true};
    const DestinationPolicy preferred = {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_OPPORTUNISTIC, .mta_sts = true},
                            verify = {.tls = TLS_LEVEL_REQUIRED_VERIFY, .dane = DANE_OPPORTUNISTIC, .mta_sts = true},
                            mandatory = {.tls = TLS_LEVEL_REQUIRED, .dane = DANE_MANDATORY, .mta_sts = true};

    for (int m = MESSAGE_TLS_DEFAULT; m <= MESSAGE_TLS_OPTIONAL; m++) {
        assert_int_equal(decision_asks_tlsa(&preferred, m, &mx), m != MESSAGE_TLS_OPTIONAL);
        assert_int_equal(decision_asks_sts(&preferred, m), m != MESSAGE_TLS_OPTIONAL);
        assert_true(decision_asks_tlsa(&verify, m, &mx));
        assert_true(decision_asks_sts(&verify, m));
        assert_true(decision_asks_tlsa(&mandatory, m, &mx));
    }
}

static void test_combined_3_order(void **state)
{
    CHECK("dane dane mx.example.com dane", PREFERRED, .mx = MX_INSECURE, .tlsa = USABLE, .sts = ENFORCE);
    CHECK("verify sts mx.example.com/dns sts", PREFERRED, .mx = MX_INSECURE, .tlsa = "secure", .sts = ENFORCE);
    CHECK("verify sts mx.example.com/dns sts", PREFERRED, .mx = MX_INSECURE, .tlsa = "insecure 3.1.1/32", .sts = ENFORCE);
    CHECK("may may example.com,?mx.example.com/any smtp", PREFERRED, .mx = MX_INSECURE, .tlsa = "secure");
}

/* A policy that names the host says what DNSSEC would say of its name. */
static void test_combined_3_policy_makes_names_known(void **state)
{
    CHECK("verify required-verify example.com/any tls", VERIFY, .mx = MX_INSECURE, .not_insecure_mx = true);
    CHECK("verify required-verify example.com,mx.example.com/any tls", VERIFY, .mx = MX_INSECURE, .not_insecure_mx = true,
            .sts = TESTING);
    CHECK("verify required-verify example.com/any tls", VERIFY, .mx = MX_INSECURE, .not_insecure_mx = true, .tlsa = USABLE);
    CHECK("dane dane mx.example.com dane", VERIFY, .mx = MX_INSECURE, .not_insecure_mx = true, .tlsa = USABLE, .sts = TESTING);
}

/* What the administrator wants of certificates beside counts where his level verifies, together with a policy, never instead. */
static void test_combined_1_pins(void **state)
{
    static const char *const pins[] = {"cert-sha256:a", NULL}, *const authorities[] = {"cert-sha256:b", NULL};
    static const struct {
        TlsLevel tls;
        const char *sts;
        MessageTls message;
        bool pinned, chain;
    } rows[] = {
        {TLS_LEVEL_PREFERRED, NULL, MESSAGE_TLS_DEFAULT, true, false}, /* for the journal */
        {TLS_LEVEL_REQUIRED_VERIFY, NULL, MESSAGE_TLS_DEFAULT, true, false},
        {TLS_LEVEL_REQUIRED_VERIFY, ENFORCE, MESSAGE_TLS_DEFAULT, true, true},
        {TLS_LEVEL_REQUIRED_VERIFY, TESTING, MESSAGE_TLS_DEFAULT, true, false},
        {TLS_LEVEL_REQUIRED_VERIFY, NULL, MESSAGE_TLS_REQUIRED, true, false},
        {TLS_LEVEL_REQUIRED, ENFORCE, MESSAGE_TLS_DEFAULT, false, true},
        {TLS_LEVEL_PREFERRED, TESTING, MESSAGE_TLS_DEFAULT, true, false},
        {TLS_LEVEL_PREFERRED, NULL, MESSAGE_TLS_REQUIRED, false, true},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const DestinationPolicy policy = {.tls = rows[i].tls, .mta_sts = true, .pins = pins, .authorities = authorities,
                .require_fqdn = true};
        _cleanup_(resolve_answer_freep) ResolveAnswer *mx_answer = test_answer(MX_SECURE, D);
        _cleanup_(sts_policy_unrefp) StsPolicy *sts = NULL;
        _cleanup_(mx_plan_freep) MxPlan *mx = NULL;
        _cleanup_free_ HostPlan *p = calloc(1, sizeof(*p));
        HostAddresses addresses;
        const char *reason;
        StsAnswer answer;

        assert_non_null(p);
        assert_int_equal(decision_mx(D, mx_answer, 0, &mx), 0);
        assert_true(decision_literal("192.0.2.1", 25, &addresses));
        if (rows[i].sts)
            assert_int_equal(sts_policy_parse(rows[i].sts, strlen(rows[i].sts), &sts, &reason), 0);
        answer = (StsAnswer) {.policy = sts};
        decision_plan(&policy, &(HostFacts) {.domain = D, .mx = mx, .host = H, .addresses = &addresses, .sts = &answer,
                .message_tls = rows[i].message}, p);
        assert_false(p->skip);
        assert_ptr_equal(p->pins, rows[i].pinned ? pins : NULL);
        assert_ptr_equal(p->authorities, rows[i].pinned ? authorities : NULL);
        assert_int_equal(p->qualified, rows[i].pinned);
        assert_int_equal(p->pins_and_chain, rows[i].chain);
    }
}

static void test_combined_5_what_is_said(void **state)
{
    static const struct {
        const Case facts;
        TlsVerify seen;
        const char *said;
    } cases[] = {
        {{PREFERRED, .tlsa = USABLE}, TLS_VERIFY_DANE, "dane:dane"},
        {{PREFERRED, .tlsa = USABLE, .mx = MX_INSECURE}, TLS_VERIFY_DANE, "dane:encrypted"},
        {{PREFERRED, .tlsa = USABLE, .mx = MX_INSECURE, .sts = ENFORCE}, TLS_VERIFY_DANE, "dane:dane"},
        {{PREFERRED}, TLS_VERIFY_PKIX, "may:verified"},
        {{VERIFY}, TLS_VERIFY_PINNED, "required-verify:verified"},
        {{PREFERRED}, TLS_VERIFY_NAME_MISMATCH, "may:encrypted"},
        {{PREFERRED, .sts = ENFORCE}, TLS_VERIFY_PKIX, "sts:verified"},
        {{PREFERRED, .message = MESSAGE_TLS_REQUIRED}, TLS_VERIFY_PKIX, "requiretls:verified"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ HostPlan *p = calloc(1, sizeof(*p));
        char outcome_line[500], said[64];

        assert_non_null(p);
        plan(&cases[i].facts, p, outcome_line, sizeof(outcome_line));
        (void) snprintf(said, sizeof(said), "%s:%s", decision_wanted(p, p->want),
                decision_got(true, decision_verified(p, cases[i].seen)));
        assert_string_equal(said, cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sts_1_no_policy),
        cmocka_unit_test(test_sts_4_not_known),
        cmocka_unit_test(test_sts_13_none),
        cmocka_unit_test(test_sts_14_testing),
        cmocka_unit_test(test_sts_14_report),
        cmocka_unit_test(test_sts_15_not_named),
        cmocka_unit_test(test_sts_17_address),
        cmocka_unit_test(test_sts_18_name),
        cmocka_unit_test(test_sts_22_dane_comes_first),
        cmocka_unit_test(test_sts_23_unusable_and_enforced),
        cmocka_unit_test(test_combined_1_level_is_a_floor),
        cmocka_unit_test(test_combined_2_requiretls),
        cmocka_unit_test(test_combined_2_tls_required_no),
        cmocka_unit_test(test_combined_2_what_is_asked),
        cmocka_unit_test(test_combined_3_order),
        cmocka_unit_test(test_combined_3_policy_makes_names_known),
        cmocka_unit_test(test_combined_1_pins),
        cmocka_unit_test(test_combined_5_what_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
