/* SPDX-License-Identifier: Apache-2.0 */

/* The delivery matrix as a table: what DNS says on the left, what must happen on the right. The numbers in the names are the rows
 * of "How delivery decides", section 1. Rows 31 to 34 are OpenSSL's to judge (lib/test-tls-dane.c): here all usable records must
 * reach it. How DANE combines with the rest is in test-decision-plan.c.
 *
 * Answers are written as text, see test-answer.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "decision.h"
#include "test-answer.h"
#include "test-rows.h"

/* ---- rows about MX ---- */
typedef struct MxRow {
    const char *name, *answer; /* see test-rows.h */
    MxOutcome outcome;
    const char *hosts; /* in order */
    bool secure;
    const char *enhanced;
} MxRow;

static const MxRow mx_rows[] = {
    {"1 MX error", "error", MX_DEFER, "", false, "4.4.3"},
    {"1 MX bogus", "bogus", MX_DEFER, "", false, "4.4.3"},
    {"1 MX bogus with records", "bogus 10=mx.example.com", MX_DEFER, "", false, "4.4.3"},
    {"1 MX indeterminate", "indeterminate", MX_DEFER, "", false, "4.4.3"},
    {"2 null MX", "secure 0=.", MX_FAIL, "", true, "5.1.10"},
    {"2 null MX, insecure", "insecure 0=.", MX_FAIL, "", false, "5.1.10"},
    {"3 MX secure NODATA", "secure", MX_HOSTS, "example.com", true, NULL},
    {"3 MX insecure NODATA", "insecure", MX_HOSTS, "example.com", false, NULL},
    {"4 MX NXDOMAIN", "secure nxdomain", MX_FAIL, "", false, "5.1.2"},
    {"4 MX NXDOMAIN, insecure", "insecure nxdomain", MX_FAIL, "", false, "5.1.2"},
    {"4 MX NXDOMAIN, bogus", "bogus nxdomain", MX_DEFER, "", false, "4.4.3"},
    {"5 MX insecure", "insecure 10=mx.example.com", MX_HOSTS, "mx.example.com", false, NULL},
    {"6 insecure CNAME at next hop", "example.com>insecure other.example>secure insecure 10=mx.example.com", MX_HOSTS, "mx.example.com", false, NULL},
    {"27 preference wins", "secure 20=b.example.com 10=a.example.com 30=c.example.com", MX_HOSTS, "a.example.com b.example.com c.example.com", true, NULL},
    {"2 null MX beside a host is ignored", "secure 0=. 10=a.example.com", MX_HOSTS, "a.example.com", true, NULL},
    {"1 malformed MX", "secure 192.0.2.1", MX_DEFER, "", true, "4.4.4"},
};

static size_t run_mx_rows(unsigned n)
{
    size_t n_run = 0;

    for (size_t i = 0; i < ELEMENTSOF(mx_rows); i++) {
        const MxRow *row = mx_rows + i;
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = test_answer(row->answer, "example.com");
        _cleanup_(mx_plan_freep) MxPlan *p = NULL;
        char hosts[1024] = "";

        if (!test_row_is(row->name, n))
            continue;
        n_run++;
        print_message("row %s\n", row->name);
        assert_int_equal(decision_mx("example.com", a, i, &p), 0);
        assert_int_equal(p->outcome, row->outcome);
        for (size_t j = 0; j < p->n_hosts; j++)
            (void) snprintf(hosts + strlen(hosts), sizeof(hosts) - strlen(hosts), "%s%s", j > 0 ? " " : "", p->hosts[j].name);
        assert_string_equal(hosts, row->hosts);
        assert_int_equal(p->secure, row->secure);
        if (row->enhanced) {
            assert_string_equal(p->enhanced, row->enhanced);
            assert_non_null(p->reason);
        }
    }
    return n_run;
}

/* Equal preferences share the load, and more hosts than the limit are cut behind the best ones. */
static void test_mx_order(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = test_answer("secure 10=a.example.com 10=b.example.com 20=c.example.com", "example.com");
    unsigned first_a = 0;

    for (unsigned seed = 0; seed < 200; seed++) {
        _cleanup_(mx_plan_freep) MxPlan *p = NULL;

        assert_int_equal(decision_mx("example.com", a, seed, &p), 0);
        first_a += streq(p->hosts[0].name, "a.example.com");
        assert_string_equal(p->hosts[2].name, "c.example.com");
    }
    assert_in_range(first_a, 60, 140);

    for (unsigned i = 0; i < 60; i++)
        test_answer_add_mx(a, 30 + i, "d.example.com");
    _cleanup_(mx_plan_freep) MxPlan *p = NULL;
    assert_int_equal(decision_mx("example.com", a, 1, &p), 0);
    assert_int_equal(p->n_hosts, DECISION_HOSTS_MAX);
    assert_string_equal(p->hosts[2].name, "c.example.com");
}

/* ---- rows about one host ---- */
typedef struct HostRow {
    const char *name;
    DaneLevel dane;
    TlsLevel tls;
    const char *mx, *a, *aaaa;
    const char *tlsa_target, *tlsa_original; /* answers at the two bases; NULL: must not be asked */
    /* What must come out. */
    bool skip;
    FailureKind kind;
    SmtpTlsWant want;
    const char *base; /* NULL: no DANE */
    size_t n_tlsa;
    bool counts;
} HostRow;

#define MX_SECURE "secure 10=mx.example.com"
#define MX_INSECURE "insecure 10=mx.example.com"
#define A_SECURE "secure 192.0.2.1"
#define A_INSECURE "insecure 192.0.2.1"
#define NODATA "secure"
#define CNAME_SECURE "mx.example.com>secure t.example.net>secure secure 192.0.2.1"
#define CNAME_TARGET_INSECURE "mx.example.com>secure t.example.net>insecure insecure 192.0.2.1"
#define CNAME_INSECURE "mx.example.com>insecure t.example.net>secure insecure 192.0.2.1"
#define CNAME_TWO "mx.example.com>secure m.example.net>secure t.example.net>secure secure 192.0.2.1"
#define OPP DANE_OPPORTUNISTIC, TLS_LEVEL_PREFERRED
#define MAND DANE_MANDATORY, TLS_LEVEL_PREFERRED
#define GO(want) false, FAILURE_NONE, want, NULL, 0, false
#define DANE_BY(base, n) false, FAILURE_NONE, SMTP_TLS_DANE, base, n, true
#define SKIP(kind) true, kind, SMTP_TLS_NO, NULL, 0, false
#define ORD GO(SMTP_TLS_IF_OFFERED)
#define H "mx.example.com"
#define T "t.example.net"

static const HostRow host_rows[] = {
    {"3 implicit MX is DANE-eligible", OPP, NODATA, A_SECURE, NODATA, "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"5 MX insecure, TLSA secure: enforced, not called verified", OPP, MX_INSECURE, A_SECURE, NODATA, "secure 3.1.1/32", NULL,
            false, FAILURE_NONE, SMTP_TLS_DANE, H, 1, false},
    {"5 MX insecure, Mandatory", MAND, MX_INSECURE, A_SECURE, NODATA, NULL, NULL, SKIP(FAILURE_DANE)},
    {"6 insecure CNAME at next hop, Mandatory", MAND, "example.com>insecure o.example>secure insecure 10=mx.example.com", A_SECURE, NODATA,
            NULL, NULL, SKIP(FAILURE_DANE)},
    {"7 address secure", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"7 AAAA secure only", OPP, MX_SECURE, NODATA, "secure 2001:db8::1", "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"8 address insecure: no TLSA query", OPP, MX_SECURE, A_INSECURE, "insecure", NULL, NULL, ORD},
    {"8 address insecure, Required", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED, MX_SECURE, A_INSECURE, "insecure", NULL, NULL, GO(SMTP_TLS_REQUIRED)},
    {"8 address insecure, Mandatory", MAND, MX_SECURE, A_INSECURE, "insecure", NULL, NULL, SKIP(FAILURE_DANE)},
    {"9 A validates, AAAA fails", OPP, MX_SECURE, A_SECURE, "error", "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"9 A validates, AAAA bogus", OPP, MX_SECURE, A_SECURE, "bogus 2001:db8::1", "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"10 A and AAAA fail", OPP, MX_SECURE, "error", "error", NULL, NULL, SKIP(FAILURE_DNS)},
    {"10 A bogus, AAAA none", OPP, MX_SECURE, "bogus 192.0.2.1", NODATA, NULL, NULL, SKIP(FAILURE_DNS)},
    {"11 no addresses", OPP, MX_SECURE, NODATA, NODATA, NULL, NULL, SKIP(FAILURE_DNS)},
    {"11 host does not exist", OPP, MX_SECURE, "secure nxdomain", "secure nxdomain", NULL, NULL, SKIP(FAILURE_DNS)},
    {"12 secure CNAME: TLSA at target", OPP, MX_SECURE, CNAME_SECURE, NODATA, "secure 3.1.1/32", NULL, DANE_BY(T, 1)},
    {"12 secure CNAME: none at target, then original", OPP, MX_SECURE, CNAME_SECURE, NODATA, "secure nxdomain", "secure 3.1.1/32", DANE_BY(H, 1)},
    {"12 secure CNAME: none at both", OPP, MX_SECURE, CNAME_SECURE, NODATA, "secure", "secure", ORD},
    {"13 TLSA error at target: never the original", OPP, MX_SECURE, CNAME_SECURE, NODATA, "error", NULL, SKIP(FAILURE_DANE)},
    {"13 TLSA bogus at target", OPP, MX_SECURE, CNAME_SECURE, NODATA, "bogus 3.1.1/32", NULL, SKIP(FAILURE_DANE)},
    {"14 CNAME secure, target insecure: original only", OPP, MX_SECURE, CNAME_TARGET_INSECURE, NODATA, NULL, "secure 3.1.1/32", DANE_BY(H, 1)},
    {"15 CNAME insecure", OPP, MX_SECURE, CNAME_INSECURE, NODATA, NULL, NULL, ORD},
    {"16 intermediate alias is no base", OPP, MX_SECURE, CNAME_TWO, NODATA, "secure", "secure 3.1.1/32", DANE_BY(H, 1)},
    {"17 TLSA owner is a secure CNAME", OPP, MX_SECURE, A_SECURE, NODATA,
            "_25._tcp.mx.example.com>secure tlsa.example.net>secure secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"18 insecure hop in TLSA chain: next candidate", OPP, MX_SECURE, CNAME_SECURE, NODATA,
            "_25._tcp.t.example.net>insecure x.example>secure insecure 3.1.1/32", "secure 3.1.1/32", DANE_BY(H, 1)},
    {"18 insecure hop in TLSA chain: else ordinary", OPP, MX_SECURE, A_SECURE, NODATA,
            "_25._tcp.mx.example.com>secure x.example>insecure insecure 3.1.1/32", NULL, ORD},
    {"19 CNAME loop", OPP, MX_SECURE, "error", "error", NULL, NULL, SKIP(FAILURE_DNS)},
    {"20 TLSA secure NXDOMAIN", OPP, MX_SECURE, A_SECURE, NODATA, "secure nxdomain", NULL, ORD},
    {"20 TLSA secure NODATA", OPP, MX_SECURE, A_SECURE, NODATA, "secure", NULL, ORD},
    {"20 TLSA secure NXDOMAIN, Mandatory", MAND, MX_SECURE, A_SECURE, NODATA, "secure nxdomain", NULL, SKIP(FAILURE_DANE)},
    {"21 TLSA insecure", OPP, MX_SECURE, A_SECURE, NODATA, "insecure 3.1.1/32", NULL, ORD},
    {"21 TLSA insecure, Mandatory", MAND, MX_SECURE, A_SECURE, NODATA, "insecure 3.1.1/32", NULL, SKIP(FAILURE_DANE)},
    {"22 TLSA error", OPP, MX_SECURE, A_SECURE, NODATA, "error", NULL, SKIP(FAILURE_DANE)},
    {"22 TLSA bogus", OPP, MX_SECURE, A_SECURE, NODATA, "bogus 3.1.1/32", NULL, SKIP(FAILURE_DANE)},
    {"22 TLSA indeterminate", OPP, MX_SECURE, A_SECURE, NODATA, "indeterminate", NULL, SKIP(FAILURE_DANE)},
    {"22 TLSA malformed", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/32 bad", NULL, SKIP(FAILURE_DANE)},
    {"22 TLSA error, level Required", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED, MX_SECURE, A_SECURE, NODATA, "error", NULL, SKIP(FAILURE_DANE)},
    {"23 untrusted AD is insecure", OPP, MX_INSECURE, A_INSECURE, "insecure", NULL, NULL, ORD},
    {"28 usage 0", OPP, MX_SECURE, A_SECURE, NODATA, "secure 0.1.1/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 usage 1", OPP, MX_SECURE, A_SECURE, NODATA, "secure 1.1.1/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 usage 4", OPP, MX_SECURE, A_SECURE, NODATA, "secure 4.1.1/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 selector 2", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.2.1/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 mtype 3", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.3/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 digest length", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/31 3.1.1/64 3.1.2/32 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"28 bad DER", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.0.0/100 3.1.0/100 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"29 all unusable: TLS, not authenticated", OPP, MX_SECURE, A_SECURE, NODATA, "secure 0.1.1/32 3.1.1/31", NULL, GO(SMTP_TLS_REQUIRED)},
    {"29 all unusable, Mandatory", MAND, MX_SECURE, A_SECURE, NODATA, "secure 0.1.1/32", NULL, SKIP(FAILURE_DANE)},
    {"30 mixed", OPP, MX_SECURE, A_SECURE, NODATA, "secure 1.0.1/32 3.1.1/32 2.1.2/64", NULL, DANE_BY(H, 2)},
    {"31 SHA-512 and SHA-256 both reach OpenSSL", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.2/64 3.1.1/32", NULL, DANE_BY(H, 2)},
    {"32 agility is OpenSSL's", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.2/64 3.1.1/32 2.0.1/32", NULL, DANE_BY(H, 3)},
    {"33 two records", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/32 3.1.1/32", NULL, DANE_BY(H, 2)},
    {"34 usage 3 and 2", OPP, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/32 2.1.1/32", NULL, DANE_BY(H, 2)},
    {"29 all unusable, a level above", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED_VERIFY, MX_SECURE, A_SECURE, NODATA, "secure 0.1.1/32", NULL, GO(SMTP_TLS_VERIFY)},
    {"29 all unusable, a level below", DANE_OPPORTUNISTIC, TLS_LEVEL_PREFERRED_VERIFY, MX_SECURE, A_SECURE, NODATA, "secure 0.1.1/32", NULL, GO(SMTP_TLS_REQUIRED)},
    {"TLSA decides, whatever the level", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED_VERIFY_HOSTED, MX_SECURE, A_SECURE, NODATA, "secure 3.1.1/32", NULL, DANE_BY(H, 1)},
    {"TLSA error, level Required-Verify", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED_VERIFY, MX_SECURE, A_SECURE, NODATA, "error", NULL, SKIP(FAILURE_DANE)},
    {"DANE None: no TLSA query", DANE_NONE, TLS_LEVEL_PREFERRED, MX_SECURE, A_SECURE, NODATA, NULL, NULL, ORD},
    {"DANE None, Required", DANE_NONE, TLS_LEVEL_REQUIRED, MX_SECURE, A_SECURE, NODATA, NULL, NULL, GO(SMTP_TLS_REQUIRED)},
    {"DANE None, TLS No", DANE_NONE, TLS_LEVEL_NO, MX_SECURE, A_SECURE, NODATA, NULL, NULL, GO(SMTP_TLS_NO)},
    {"level is a floor", DANE_OPPORTUNISTIC, TLS_LEVEL_REQUIRED, MX_SECURE, A_SECURE, NODATA, "secure nxdomain", NULL, GO(SMTP_TLS_REQUIRED)},
};

static void run_host_row(const HostRow *row)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *mx = test_answer(row->mx, "example.com"), *a = test_answer(row->a, H),
                                                  *aaaa = test_answer(row->aaaa, H), *answer = NULL;
    const DestinationPolicy policy = {.tls = row->tls, .dane = row->dane};
    const char *left[2] = {row->tlsa_target, row->tlsa_original};
    _cleanup_(mx_plan_freep) MxPlan *plan = NULL;
    _cleanup_free_ HostPlan *got = calloc(1, sizeof(*got));
    HostAddresses addresses;
    HostFacts facts;

    assert_non_null(got);
    assert_int_equal(decision_mx("example.com", mx, 0, &plan), 0);
    decision_addresses(H, 25, a, aaaa, &addresses);
    facts = (HostFacts) {.domain = "example.com", .mx = plan, .host = H, .addresses = &addresses};
    for (size_t i = 0; i < 2 && addresses.bases[i] && decision_asks_tlsa(&policy, MESSAGE_TLS_DEFAULT, plan); i++) {
        const bool target = !streq(addresses.bases[i], H) || !row->tlsa_original || !row->tlsa_target;
        const char **text = target && left[0] ? &left[0] : &left[1];

        resolve_answer_freep(&answer);
        answer = NULL;
        assert_non_null(*text);
        answer = test_answer(*text, addresses.bases[i]);
        *text = NULL;
        facts.base = addresses.bases[i];
        facts.tlsa = answer;
        if (decision_tlsa(answer) != TLSA_NONE)
            break;
    }
    /* What the row expects to be asked was asked. */
    assert_null(left[0]);
    assert_null(left[1]);
    decision_plan(&policy, &facts, got);
    assert_int_equal(got->skip, row->skip);
    if (row->skip) {
        assert_int_equal(got->kind, row->kind);
        assert_true(*got->reason);
        return;
    }
    assert_int_equal(got->want, row->want);
    assert_int_equal(got->n_tlsa, row->n_tlsa);
    assert_int_equal(got->dane_counts, row->counts);
    if (row->base) {
        assert_string_equal(got->base, row->base);
        /* Row 43: the next hop is a reference name only if the MX is secure. */
        if (row->counts)
            assert_string_equal(got->names[0], "example.com");
        else
            assert_null(got->names[0]);
        assert_null(got->insecure_name);
    } else
        assert_null(got->base);
}

static void run_rows(unsigned n)
{
    size_t n_run = run_mx_rows(n);

    for (size_t i = 0; i < ELEMENTSOF(host_rows); i++)
        if (test_row_is(host_rows[i].name, n)) {
            print_message("row %s\n", host_rows[i].name);
            run_host_row(host_rows + i);
            n_run++;
        }
    assert_true(n_run > 0);
}

TEST_ROW(dane, 1, mx_unknown, run_rows)
TEST_ROW(dane, 2, null_mx, run_rows)
TEST_ROW(dane, 3, implicit_mx, run_rows)
TEST_ROW(dane, 4, no_such_domain, run_rows)
TEST_ROW(dane, 5, mx_insecure, run_rows)
TEST_ROW(dane, 6, insecure_alias_of_the_domain, run_rows)
TEST_ROW(dane, 7, address_secure, run_rows)
TEST_ROW(dane, 8, address_insecure, run_rows)
TEST_ROW(dane, 9, one_family_fails, run_rows)
TEST_ROW(dane, 10, both_families_fail, run_rows)
TEST_ROW(dane, 11, no_address, run_rows)
TEST_ROW(dane, 12, secure_alias, run_rows)
TEST_ROW(dane, 13, error_at_target, run_rows)
TEST_ROW(dane, 14, target_insecure, run_rows)
TEST_ROW(dane, 15, alias_insecure, run_rows)
TEST_ROW(dane, 16, intermediate_alias, run_rows)
TEST_ROW(dane, 17, tlsa_is_alias, run_rows)
TEST_ROW(dane, 18, tlsa_alias_insecure, run_rows)
TEST_ROW(dane, 19, alias_loop, run_rows)
TEST_ROW(dane, 20, no_tlsa, run_rows)
TEST_ROW(dane, 21, tlsa_insecure, run_rows)
TEST_ROW(dane, 22, tlsa_error, run_rows)
TEST_ROW(dane, 23, untrusted_ad, run_rows)
TEST_ROW(dane, 27, preference_wins, run_rows)
TEST_ROW(dane, 28, unusable_records, run_rows)
TEST_ROW(dane, 29, all_unusable, run_rows)
TEST_ROW(dane, 30, mixed, run_rows)
TEST_ROW(dane, 31, both_digests_reach_openssl, run_rows)
TEST_ROW(dane, 32, agility_is_openssls, run_rows)
TEST_ROW(dane, 33, two_records, run_rows)
TEST_ROW(dane, 34, two_usages, run_rows)

static void test_levels_without_tlsa(void **state)
{
    run_rows(0);
}
static void test_dane_24_port(void **state)
{
    _cleanup_free_ char *name = decision_tlsa_name("mx.example.com", 2525);
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = test_answer("secure 192.0.2.1", H), *aaaa = test_answer("secure 2001:db8::1", H);
    HostAddresses h;

    assert_string_equal(name, "_2525._tcp.mx.example.com");
    decision_addresses(H, 2525, a, aaaa, &h);
    assert_int_equal(h.n_addresses, 2);
    assert_int_equal(h.addresses[0].ss_family, AF_INET6);
    assert_int_equal(ntohs(((struct sockaddr_in6 *) h.addresses)->sin6_port), 2525);
    assert_int_equal(ntohs(((struct sockaddr_in *) (h.addresses + 1))->sin_port), 2525);
}

static void test_dane_25_address(void **state)
{
    HostAddresses h;

    assert_true(decision_literal("192.0.2.7", 25, &h));
    assert_null(h.bases[0]);
    assert_true(decision_literal("2001:db8::7", 25, &h));
    assert_null(h.bases[0]);
    assert_false(decision_literal("mx.example.com", 25, &h));
}

static void test_dane_26_route(void **state)
{
    _cleanup_(mx_plan_freep) MxPlan *fixed = NULL;

    assert_int_equal(decision_mx_fixed("relay.example.com", true, &fixed), 0);
    assert_true(fixed->secure);
    assert_int_equal(fixed->n_hosts, 1);
}

/* Base, next hop and its expansion. */
static void test_dane_43_names(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *mx = test_answer("example.com>secure alias.example.net>secure secure 10=mx.example.com", "example.com"),
                                                  *tlsa = test_answer("secure 2.1.1/32", H), *a = test_answer(A_SECURE, H),
                                                  *aaaa = test_answer(NODATA, H);
    const DestinationPolicy policy = {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_OPPORTUNISTIC};
    _cleanup_(mx_plan_freep) MxPlan *plan = NULL;
    _cleanup_free_ HostPlan *got = calloc(1, sizeof(*got));
    HostAddresses addresses;
    HostFacts facts;

    assert_int_equal(decision_mx("example.com", mx, 0, &plan), 0);
    decision_addresses(H, 25, a, aaaa, &addresses);
    facts = (HostFacts) {.domain = "example.com", .mx = plan, .host = H, .addresses = &addresses, .base = H, .tlsa = tlsa};
    decision_plan(&policy, &facts, got);
    assert_string_equal(got->base, H);
    assert_string_equal(got->names[0], "example.com");
    assert_string_equal(got->names[1], "alias.example.net");
    assert_null(got->names[2]);
}

/* ---- levels without DANE, and who is verified ---- */
typedef struct LevelRow {
    const char *name;
    TlsLevel tls;
    const char *domain, *mx, *route, *host; /* route: in place of mx; host NULL: an address */
    bool verify_insecure_mx;
    /* What must come out. */
    SmtpTlsWant want;
    const char *wanted;
    TlsNameRule rule;
    const char *names, *insecure_name;
} LevelRow;

#define D "example.com"
#define ANY TLS_NAMES_ANY
#define HOSTED TLS_NAMES_HOSTED

static const LevelRow level_rows[] = {
    {"No", TLS_LEVEL_NO, D, MX_SECURE, NULL, H, true, SMTP_TLS_NO, "none", ANY, D " " H, NULL},
    {"Preferred", TLS_LEVEL_PREFERRED, D, MX_SECURE, NULL, H, true, SMTP_TLS_IF_OFFERED, "may", ANY, D " " H, NULL},
    {"Preferred-Verify", TLS_LEVEL_PREFERRED_VERIFY, D, MX_SECURE, NULL, H, true, SMTP_TLS_IF_OFFERED, "may-verify", ANY, D " " H, NULL},
    {"Required", TLS_LEVEL_REQUIRED, D, MX_SECURE, NULL, H, true, SMTP_TLS_REQUIRED, "required", ANY, D " " H, NULL},
    {"Required-Verify", TLS_LEVEL_REQUIRED_VERIFY, D, MX_SECURE, NULL, H, true, SMTP_TLS_VERIFY, "required-verify", ANY, D " " H, NULL},
    {"Required-Verify-Hosted", TLS_LEVEL_REQUIRED_VERIFY_HOSTED, D, MX_SECURE, NULL, H, true, SMTP_TLS_VERIFY, "required-verify-hosted", HOSTED, D " " H, NULL},
    {"MX insecure", TLS_LEVEL_REQUIRED_VERIFY, D, MX_INSECURE, NULL, H, true, SMTP_TLS_VERIFY, "required-verify", ANY, D, H},
    {"MX insecure, and it does not count", TLS_LEVEL_REQUIRED_VERIFY, D, MX_INSECURE, NULL, H, false, SMTP_TLS_VERIFY, "required-verify", ANY, D, NULL},
    {"MX insecure, Hosted", TLS_LEVEL_REQUIRED_VERIFY_HOSTED, D, MX_INSECURE, NULL, H, true, SMTP_TLS_VERIFY, "required-verify-hosted", HOSTED, D, H},
    {"MX insecure, Preferred: for the log", TLS_LEVEL_PREFERRED, D, MX_INSECURE, NULL, H, true, SMTP_TLS_IF_OFFERED, "may", ANY, D, H},
    {"implicit MX, insecure: the domain is no news", TLS_LEVEL_REQUIRED_VERIFY, D, "insecure", NULL, D, true, SMTP_TLS_VERIFY, "required-verify", ANY, D, NULL},
    {"implicit MX, secure", TLS_LEVEL_REQUIRED_VERIFY, D, "secure", NULL, D, true, SMTP_TLS_VERIFY, "required-verify", ANY, D, NULL},
    {"MX names an address", TLS_LEVEL_REQUIRED_VERIFY, D, "secure 10=192.0.2.1", NULL, NULL, true, SMTP_TLS_VERIFY, "required-verify", ANY, D, NULL},
    {"a route", TLS_LEVEL_REQUIRED_VERIFY, D, NULL, "relay.example.net", "relay.example.net", false, SMTP_TLS_VERIFY, "required-verify", ANY, D " relay.example.net", NULL},
    {"a route to an address", TLS_LEVEL_REQUIRED_VERIFY, D, NULL, "192.0.2.1", NULL, true, SMTP_TLS_VERIFY, "required-verify", ANY, D, NULL},
    {"an address literal has no name", TLS_LEVEL_REQUIRED_VERIFY, "[192.0.2.1]", NULL, "192.0.2.1", NULL, true, SMTP_TLS_VERIFY, "required-verify", ANY, "", NULL},
    {"an address literal with a route", TLS_LEVEL_REQUIRED_VERIFY, "[192.0.2.1]", NULL, "relay.example.net", "relay.example.net", true, SMTP_TLS_VERIFY, "required-verify", ANY, "relay.example.net", NULL},
};

static void test_levels(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(level_rows); i++) {
        const LevelRow *row = level_rows + i;
        _cleanup_(resolve_answer_freep) ResolveAnswer *mx = test_answer(row->mx ?: "secure", row->domain);
        const DestinationPolicy policy = {.tls = row->tls, .verify_insecure_mx = row->verify_insecure_mx};
        _cleanup_(mx_plan_freep) MxPlan *plan = NULL;
        _cleanup_free_ HostPlan *got = calloc(1, sizeof(*got));
        HostAddresses addresses;
        char names[200] = "";

        print_message("row %s\n", row->name);
        assert_int_equal(row->route ? decision_mx_fixed(row->route, true, &plan) : decision_mx(row->domain, mx, 0, &plan), 0);
        assert_true(decision_literal("192.0.2.1", 25, &addresses));
        decision_plan(&policy, &(HostFacts) {.domain = row->domain, .mx = plan, .host = row->host, .addresses = &addresses}, got);
        assert_false(got->skip);
        assert_int_equal(got->want, row->want);
        assert_string_equal(got->wanted, row->wanted);
        assert_string_equal(decision_wanted(got, got->want), row->wanted);
        assert_string_equal(decision_wanted(got, SMTP_TLS_NO), "none");
        assert_int_equal(got->rule, row->rule);
        for (size_t k = 0; got->names[k]; k++)
            (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", k > 0 ? " " : "", got->names[k]);
        assert_string_equal(names, row->names);
        if (row->insecure_name)
            assert_string_equal(got->insecure_name, row->insecure_name);
        else
            assert_null(got->insecure_name);
    }
}

/* TLSA records of a host that only an insecure answer names: they count where the host's name would count, too. */
static void test_dane_of_insecure_mx(void **state)
{
    static const struct {
        TlsLevel tls;
        bool verify_insecure_mx;
        SmtpTlsWant want;
        const char *names;
    } rows[] = {
        {TLS_LEVEL_PREFERRED, false, SMTP_TLS_DANE, NULL},
        {TLS_LEVEL_REQUIRED, false, SMTP_TLS_DANE, NULL},
        {TLS_LEVEL_REQUIRED_VERIFY, true, SMTP_TLS_DANE, NULL},
        {TLS_LEVEL_REQUIRED_VERIFY, false, SMTP_TLS_VERIFY, D},
        {TLS_LEVEL_REQUIRED_VERIFY_HOSTED, false, SMTP_TLS_VERIFY, D},
    };
    _cleanup_(resolve_answer_freep) ResolveAnswer *mx = test_answer(MX_INSECURE, D), *tlsa = test_answer("secure 3.1.1/32", H),
                                                  *a = test_answer(A_SECURE, H), *aaaa = test_answer(NODATA, H);

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const DestinationPolicy policy = {.tls = rows[i].tls, .dane = DANE_OPPORTUNISTIC, .verify_insecure_mx = rows[i].verify_insecure_mx};
        _cleanup_(mx_plan_freep) MxPlan *plan = NULL;
        _cleanup_free_ HostPlan *got = calloc(1, sizeof(*got));
        HostAddresses addresses;

        assert_int_equal(decision_mx(D, mx, 0, &plan), 0);
        decision_addresses(H, 25, a, aaaa, &addresses);
        decision_plan(&policy, &(HostFacts) {.domain = D, .mx = plan, .host = H, .addresses = &addresses, .base = H, .tlsa = tlsa}, got);
        assert_int_equal(got->want, rows[i].want);
        if (rows[i].names)
            assert_string_equal(got->names[0], rows[i].names);
        else
            assert_null(got->names[0]);
        assert_null(got->names[1]);
        assert_null(got->insecure_name);
        assert_int_equal(got->n_tlsa > 0, rows[i].want == SMTP_TLS_DANE);
    }
}

static void test_what_is_said(void **state)
{
    const HostPlan secure = {.dane_counts = true}, insecure = {};
    const struct {
        const HostPlan *plan;
        bool tls;
        TlsVerify seen, verified;
        const char *got;
    } rows[] = {
        {&secure, false, TLS_VERIFY_NONE, TLS_VERIFY_NONE, "none"},
        {&secure, true, TLS_VERIFY_DANE, TLS_VERIFY_DANE, "dane"},
        {&insecure, true, TLS_VERIFY_DANE, TLS_VERIFY_DANE_MX_INSECURE, "encrypted"},
        {&insecure, true, TLS_VERIFY_PKIX, TLS_VERIFY_PKIX, "verified"},
        {&insecure, true, TLS_VERIFY_PKIX_MX_INSECURE, TLS_VERIFY_PKIX_MX_INSECURE, "encrypted"},
        {&insecure, true, TLS_VERIFY_EXPIRED, TLS_VERIFY_EXPIRED, "encrypted"},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        assert_int_equal(decision_verified(rows[i].plan, rows[i].seen), rows[i].verified);
        assert_string_equal(decision_got(rows[i].tls, rows[i].verified), rows[i].got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mx_order),
        cmocka_unit_test(test_dane_1_mx_unknown),
        cmocka_unit_test(test_dane_2_null_mx),
        cmocka_unit_test(test_dane_3_implicit_mx),
        cmocka_unit_test(test_dane_4_no_such_domain),
        cmocka_unit_test(test_dane_5_mx_insecure),
        cmocka_unit_test(test_dane_6_insecure_alias_of_the_domain),
        cmocka_unit_test(test_dane_7_address_secure),
        cmocka_unit_test(test_dane_8_address_insecure),
        cmocka_unit_test(test_dane_9_one_family_fails),
        cmocka_unit_test(test_dane_10_both_families_fail),
        cmocka_unit_test(test_dane_11_no_address),
        cmocka_unit_test(test_dane_12_secure_alias),
        cmocka_unit_test(test_dane_13_error_at_target),
        cmocka_unit_test(test_dane_14_target_insecure),
        cmocka_unit_test(test_dane_15_alias_insecure),
        cmocka_unit_test(test_dane_16_intermediate_alias),
        cmocka_unit_test(test_dane_17_tlsa_is_alias),
        cmocka_unit_test(test_dane_18_tlsa_alias_insecure),
        cmocka_unit_test(test_dane_19_alias_loop),
        cmocka_unit_test(test_dane_20_no_tlsa),
        cmocka_unit_test(test_dane_21_tlsa_insecure),
        cmocka_unit_test(test_dane_22_tlsa_error),
        cmocka_unit_test(test_dane_23_untrusted_ad),
        cmocka_unit_test(test_dane_27_preference_wins),
        cmocka_unit_test(test_dane_28_unusable_records),
        cmocka_unit_test(test_dane_29_all_unusable),
        cmocka_unit_test(test_dane_30_mixed),
        cmocka_unit_test(test_dane_31_both_digests_reach_openssl),
        cmocka_unit_test(test_dane_32_agility_is_openssls),
        cmocka_unit_test(test_dane_33_two_records),
        cmocka_unit_test(test_dane_34_two_usages),
        cmocka_unit_test(test_levels_without_tlsa),
        cmocka_unit_test(test_dane_24_port),
        cmocka_unit_test(test_dane_25_address),
        cmocka_unit_test(test_dane_26_route),
        cmocka_unit_test(test_dane_43_names),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_dane_of_insecure_mx),
        cmocka_unit_test(test_what_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
