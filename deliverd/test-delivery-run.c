/* SPDX-License-Identifier: Apache-2.0 */

/* Whole walks through a world of answers: a table says what names hold and how connections end, and a trace says what was asked
 * and done, in order. The rows of the delivery matrix that concern the order of hosts are here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test-rows.h"
#include "test-run-world.h"

static void walk(World *w, const char *domain, const DestinationPolicy *policy, size_t n_recipients)
{
    world_walk(w, &world_ops, domain, policy, MESSAGE_TLS_DEFAULT, n_recipients);
}

/* ---- the table ---- */
static const Name plain[] = {
    {"mx:example.com", DNSSEC_INSECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_INSECURE, 0, "192.0.2.1"},
    {}};
static const Name dane[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"tlsa:_25._tcp.mx.example.com", DNSSEC_SECURE, 0, "tlsa"},
    {}};
static const Name dane_two[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"mx:example.com", DNSSEC_SECURE, 0, "20 mx2.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"a:mx2.example.com", DNSSEC_SECURE, 0, "192.0.2.2"},
    {"tlsa:_25._tcp.mx2.example.com", DNSSEC_SECURE, 0, "tlsa"},
    {}};
static const Name dane_both[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"mx:example.com", DNSSEC_SECURE, 0, "20 mx2.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"a:mx2.example.com", DNSSEC_SECURE, 0, "192.0.2.2"},
    {"tlsa:_25._tcp.mx.example.com", DNSSEC_SECURE, 0, "tlsa"},
    {"tlsa:_25._tcp.mx2.example.com", DNSSEC_SECURE, 0, "tlsa"},
    {}};
static const Name tlsa_error[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"mx:example.com", DNSSEC_SECURE, 0, "20 mx2.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"a:mx2.example.com", DNSSEC_INSECURE, 0, "192.0.2.2"},
    {"tlsa:_25._tcp.mx.example.com", DNSSEC_BOGUS, 0, NULL},
    {}};
static const Name two_addresses[] = {
    {"mx:example.com", DNSSEC_INSECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_INSECURE, 0, "192.0.2.1"},
    {"aaaa:mx.example.com", DNSSEC_INSECURE, 0, "2001:db8::1"},
    {}};
static const Name first_without_address[] = {
    {"mx:example.com", DNSSEC_INSECURE, 0, "10 mx.example.com"},
    {"mx:example.com", DNSSEC_INSECURE, 0, "20 mx2.example.com"},
    {"a:mx2.example.com", DNSSEC_INSECURE, 0, "192.0.2.2"},
    {}};
static const Name no_mx_no_address[] = {{}};
static const Name mx_bogus[] = {{"mx:example.com", DNSSEC_BOGUS, 0, NULL}, {"a:example.com", DNSSEC_SECURE, 0, "192.0.2.9"}, {}};
static const Name mx_nxdomain[] = {{"mx:example.com", DNSSEC_SECURE, DNS_RCODE_NXDOMAIN, NULL}, {}};
static const Name null_mx[] = {{"mx:example.com", DNSSEC_SECURE, 0, "0 ."}, {"a:example.com", DNSSEC_SECURE, 0, "192.0.2.9"}, {}};
static const Name relay[] = {
    {"a:relay.example.net", DNSSEC_SECURE, 0, "192.0.2.3"},
    {"tlsa:_2525._tcp.relay.example.net", DNSSEC_SECURE, 0, "tlsa"},
    {}};

#define ADDRESS "192.0.2.1"
static const End refused[] = {{ADDRESS, SMTP_TLS_IF_OFFERED, SMTP_STAGE_CONNECT, 0, {}}, {}};
static const End v6_unreachable[] = {{"2001:db8::1", SMTP_TLS_IF_OFFERED, SMTP_STAGE_CONNECT, -1, {}}, {}};
static const End handshake_fails[] = {{ADDRESS, SMTP_TLS_IF_OFFERED, SMTP_STAGE_HANDSHAKE, 0, {}}, {}};
static const End required_fails[] = {{ADDRESS, SMTP_TLS_REQUIRED, SMTP_STAGE_STARTTLS_OFFER, 0, {}}, {}};
static const End dane_fails[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_VERIFY, 0, {}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_HANDSHAKE, 0, {}}, {}};
static const End dane_then_refused[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_VERIFY, 0, {}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_CONNECT, 0, {}}, {}};
static const End lost_at_the_end[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_FINAL, 0, {250}}, {}};
static const End died[] = {{ADDRESS, SMTP_TLS_IF_OFFERED, SMTP_STAGE_CONNECT, -2, {}}, {}};
static const End mixed[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_DONE, 250, {250, 450, 550}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_DONE, 250, {250}}, {}};
static const End sender_refused[] = {{ADDRESS, SMTP_TLS_IF_OFFERED, SMTP_STAGE_MAIL, 550, {}}, {}};

#define DEFAULT {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_OPPORTUNISTIC}
#define REQUIRED {.tls = TLS_LEVEL_REQUIRED, .dane = DANE_OPPORTUNISTIC}
#define MANDATORY {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_MANDATORY}

static const struct {
    const char *name, *domain;
    DestinationPolicy policy;
    const Name *names;
    const End *ends;
    const char *trace;
    RecipientVerdict verdict; /* of the first recipient */
    FailureKind kind;
} rows[] = {
    {"plain", "example.com", DEFAULT, plain, NULL, "mx:example.com a:mx.example.com 192.0.2.1/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"dane", "example.com", DEFAULT, dane, NULL, "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"DANE=None asks for no TLSA", "example.com", {.tls = TLS_LEVEL_PREFERRED}, dane, NULL, "mx:example.com a:mx.example.com 192.0.2.1/may/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"1 MX bogus: no address is asked for", "example.com", DEFAULT, mx_bogus, NULL, "mx:example.com ", VERDICT_PENDING, FAILURE_DNS},
    {"2 null MX", "example.com", DEFAULT, null_mx, NULL, "mx:example.com ", VERDICT_FAILED, FAILURE_NONE},
    {"4 no such domain", "example.com", DEFAULT, mx_nxdomain, NULL, "mx:example.com ", VERDICT_FAILED, FAILURE_NONE},
    {"5 MX insecure, Mandatory", "example.com", MANDATORY, plain, NULL, "mx:example.com a:mx.example.com ", VERDICT_PENDING, FAILURE_DANE},
    {"11 first host without address", "example.com", DEFAULT, first_without_address, NULL,
            "mx:example.com a:mx.example.com a:mx2.example.com 192.0.2.2/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"11 implicit MX without address", "example.com", DEFAULT, no_mx_no_address, NULL, "mx:example.com a:example.com ", VERDICT_FAILED, FAILURE_NONE},
    {"13, 22 TLSA error: next host", "example.com", DEFAULT, tlsa_error, NULL,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com a:mx2.example.com 192.0.2.2/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"24, 26 a route is secure a priori, TLSA at its port", "example.com", {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_MANDATORY, .route = "relay.example.net:2525"}, relay,
            NULL, "a:relay.example.net tlsa:_2525._tcp.relay.example.net 192.0.2.3/dane/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"25 a route to an address", "example.com", {.tls = TLS_LEVEL_REQUIRED, .dane = DANE_OPPORTUNISTIC, .route = "192.0.2.7:26"}, relay, NULL, "192.0.2.7/required/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"25 an address literal", "[IPv6:2001:db8::5]", DEFAULT, plain, NULL, "2001:db8::5/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"25 a literal of nothing known", "[x:y]", DEFAULT, plain, NULL, "", VERDICT_FAILED, FAILURE_NONE},
    {"27 preference wins over TLSA", "example.com", DEFAULT, dane_two, NULL,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"27 Mandatory: the one with TLSA", "example.com", MANDATORY, dane_two, NULL,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com a:mx2.example.com tlsa:_25._tcp.mx2.example.com 192.0.2.2/dane/1 +1. ", VERDICT_DELIVERED,
            FAILURE_NONE},
    {"47, 48 DANE fails with every host", "example.com", DEFAULT, dane_both, dane_fails,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/1 -0 a:mx2.example.com tlsa:_25._tcp.mx2.example.com 192.0.2.2/dane/1 -0. ",
            VERDICT_PENDING, FAILURE_DANE},
    {"48 DANE fails with one, the other is down", "example.com", DEFAULT, dane_both, dane_then_refused,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/1 -0 a:mx2.example.com tlsa:_25._tcp.mx2.example.com 192.0.2.2/dane/1 -0! ",
            VERDICT_PENDING, FAILURE_TLS},
    {"connection refused", "example.com", DEFAULT, plain, refused, "mx:example.com a:mx.example.com 192.0.2.1/may/1 -0. ", VERDICT_PENDING, FAILURE_CONNECT},
    {"IPv6 not reachable", "example.com", DEFAULT, two_addresses, v6_unreachable, "mx:example.com a:mx.example.com 2001:db8::1/may/1 192.0.2.1/may/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"fallback to the clear", "example.com", DEFAULT, plain, handshake_fails, "mx:example.com a:mx.example.com 192.0.2.1/may/1 -0~ 192.0.2.1/none/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"PlaintextFallback=never", "example.com", {.tls = TLS_LEVEL_PREFERRED, .fallback = FALLBACK_NEVER}, plain, handshake_fails,
            "mx:example.com a:mx.example.com 192.0.2.1/may/1 -0. ", VERDICT_PENDING, FAILURE_SMTP},
    {"Required", "example.com", REQUIRED, plain, required_fails, "mx:example.com a:mx.example.com 192.0.2.1/required/1 -0. ", VERDICT_PENDING, FAILURE_TLS},
    {"lost after the message: no other host", "example.com", DEFAULT, dane_both, lost_at_the_end,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/1 -0. ", VERDICT_PENDING, FAILURE_SMTP},
    {"sender refused", "example.com", DEFAULT, plain, sender_refused, "mx:example.com a:mx.example.com 192.0.2.1/may/1 -0. ", VERDICT_FAILED, FAILURE_NONE},
};

static void run_rows(unsigned n)
{
    size_t n_run = 0;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        World w = {.names = rows[i].names, .ends = rows[i].ends};

        if (!test_row_is(rows[i].name, n))
            continue;
        n_run++;
        print_message("row %s\n", rows[i].name);
        walk(&w, rows[i].domain, &rows[i].policy, 1);
        assert_string_equal(w.trace, rows[i].trace);
        assert_int_equal(w.verdicts[0], rows[i].verdict);
        assert_int_equal(w.kind, rows[i].kind);
        assert_int_equal(*w.reason != '\0', rows[i].verdict == VERDICT_PENDING);
        assert_false(w.soon);
    }
    assert_true(n_run > 0);
}

TEST_ROW(dane, 1, no_address_is_asked_for, run_rows)
TEST_ROW(dane, 2, null_mx, run_rows)
TEST_ROW(dane, 4, no_such_domain, run_rows)
TEST_ROW(dane, 5, mandatory_and_mx_insecure, run_rows)
TEST_ROW(dane, 11, no_address, run_rows)
TEST_ROW(dane, 13, error_at_target, run_rows)
TEST_ROW(dane, 22, tlsa_error_next_host, run_rows)
TEST_ROW(dane, 24, port_of_a_route, run_rows)
TEST_ROW(dane, 25, addresses, run_rows)
TEST_ROW(dane, 26, route_is_secure, run_rows)
TEST_ROW(dane, 27, preference_wins, run_rows)
TEST_ROW(dane, 47, no_tls, run_rows)
TEST_ROW(dane, 48, not_authenticated, run_rows)

static void test_other_walks(void **state)
{
    run_rows(0);
}

/* ---- MTA-STS ---- */
#define STS "version: STSv1\nmax_age: 86400\n"
#define STS_MX STS "mode: enforce\nmx: mx.example.com\n"
#define STS_DEFAULT {.tls = TLS_LEVEL_PREFERRED, .dane = DANE_OPPORTUNISTIC, .mta_sts = true}
static const Name plain_two[] = {
    {"mx:example.com", DNSSEC_INSECURE, 0, "10 mx.example.com"},
    {"mx:example.com", DNSSEC_INSECURE, 0, "20 mx2.example.com"},
    {"a:mx.example.com", DNSSEC_INSECURE, 0, "192.0.2.1"},
    {"a:mx2.example.com", DNSSEC_INSECURE, 0, "192.0.2.2"},
    {}};
static const Name below[] = {
    {"mx:a.example.com", DNSSEC_INSECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_INSECURE, 0, "192.0.2.1"},
    {}};
static const End sts_fails[] = {{ADDRESS, SMTP_TLS_VERIFY, SMTP_STAGE_VERIFY, 0, {}}, {}};

static const struct {
    const char *name, *domain;
    DestinationPolicy policy;
    MessageTls message_tls;
    const Name *names;
    const End *ends;
    const char *sts, *trace;
    RecipientVerdict verdict;
    FailureKind kind;
} sts_rows[] = {
    {"no policy", "example.com", STS_DEFAULT, 0, plain, NULL, NULL, "sts:example.com mx:example.com a:mx.example.com 192.0.2.1/may/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"enforced", "example.com", STS_DEFAULT, 0, plain, NULL, STS_MX,
            "sts:example.com mx:example.com a:mx.example.com 192.0.2.1/verify/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"15 an unnamed host is passed over in its turn", "example.com", STS_DEFAULT, 0, plain_two, NULL,
            STS "mode: enforce\nmx: mx2.example.com\n",
            "sts:example.com mx:example.com a:mx.example.com skip:mx.example.com/sts a:mx2.example.com 192.0.2.2/verify/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"15 no host is named", "example.com", STS_DEFAULT, 0, plain, NULL, STS "mode: enforce\nmx: other.example.com\n",
            "sts:example.com mx:example.com a:mx.example.com ", VERDICT_PENDING, FAILURE_STS},
    {"19 a failure defers", "example.com", STS_DEFAULT, 0, plain, sts_fails, STS_MX,
            "sts:example.com mx:example.com a:mx.example.com 192.0.2.1/verify/1 -0. ", VERDICT_PENDING, FAILURE_STS},
    {"4 not known", "example.com", STS_DEFAULT, 0, plain, NULL, "later", "sts:example.com mx:example.com a:mx.example.com ",
            VERDICT_PENDING, FAILURE_STS},
    {"4 not known, and DANE decides", "example.com", STS_DEFAULT, 0, dane, NULL, "later",
            "sts:example.com mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/1 +1. ", VERDICT_DELIVERED,
            FAILURE_NONE},
    {"our own fault is not the destination's", "example.com", STS_DEFAULT, 0, plain, NULL, "ours",
            "sts:example.com mx:example.com a:mx.example.com ", VERDICT_PENDING, FAILURE_NONE},
    {"null MX: nobody waits for the policy", "example.com", STS_DEFAULT, 0, null_mx, NULL, STS_MX, "sts:example.com mx:example.com ",
            VERDICT_FAILED, FAILURE_NONE},
    {"20 a policy above is none", "a.example.com", STS_DEFAULT, 0, below, NULL, NULL,
            "sts:a.example.com mx:a.example.com a:mx.example.com 192.0.2.1/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"21 a route is the policy's domain", "example.com",
            {.tls = TLS_LEVEL_PREFERRED, .mta_sts = true, .route = "relay.example.net:2525"}, 0, relay, NULL,
            STS "mode: enforce\nmx: relay.example.net\n", "sts:relay.example.net a:relay.example.net 192.0.2.3/verify/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"21 a route to an address has none", "example.com", {.tls = TLS_LEVEL_PREFERRED, .mta_sts = true, .route = "192.0.2.7"}, 0, plain,
            NULL, STS_MX, "192.0.2.7/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
    {"21 a literal has none", "[192.0.2.7]", STS_DEFAULT, 0, plain, NULL, STS_MX, "192.0.2.7/may/1 +1. ", VERDICT_DELIVERED,
            FAILURE_NONE},
    {"MTASTS=no", "example.com", DEFAULT, 0, plain, NULL, STS_MX, "mx:example.com a:mx.example.com 192.0.2.1/may/1 +1. ",
            VERDICT_DELIVERED, FAILURE_NONE},
    {"TLS-Required: No", "example.com", STS_DEFAULT, MESSAGE_TLS_OPTIONAL, dane, NULL, STS_MX,
            "mx:example.com a:mx.example.com 192.0.2.1/may/1 +1. ", VERDICT_DELIVERED, FAILURE_NONE},
};

/* Each case twice: the policy is known before DNS answers, and behind. */
static void run_sts_rows(unsigned n)
{
    size_t n_run = 0;

    for (size_t i = 0; i < 2 * ELEMENTSOF(sts_rows); i++) {
        const size_t row = i / 2;
        World w = {.names = sts_rows[row].names, .ends = sts_rows[row].ends, .sts = sts_rows[row].sts, .sts_first = i % 2};

        if (!test_row_is(sts_rows[row].name, n))
            continue;
        n_run++;
        print_message("row %s\n", sts_rows[row].name);
        world_walk(&w, &world_ops_with_sts, sts_rows[row].domain, &sts_rows[row].policy, sts_rows[row].message_tls, 1);
        assert_string_equal(w.trace, sts_rows[row].trace);
        assert_int_equal(w.verdicts[0], sts_rows[row].verdict);
        assert_int_equal(w.kind, sts_rows[row].kind);
        assert_int_equal(*w.reason != '\0', sts_rows[row].verdict == VERDICT_PENDING);
        assert_int_equal(w.soon, sts_rows[row].sts && streq(sts_rows[row].sts, "ours"));
    }
    assert_true(n_run > 0);
}

TEST_ROW(sts, 4, not_known, run_sts_rows)
TEST_ROW(sts, 15, unnamed_hosts_in_their_turn, run_sts_rows)
TEST_ROW(sts, 19, failure_defers, run_sts_rows)
TEST_ROW(sts, 20, no_parent_domain, run_sts_rows)
TEST_ROW(sts, 21, route_and_literals, run_sts_rows)

static void test_other_sts_walks(void **state)
{
    run_sts_rows(0);
}

/* A run that is given up while the policy is looked up leaves nothing behind. */
static void test_policy_given_up(void **state)
{
    const char *recipient = "a@example.com";
    World w = {.names = plain};
    const RunRequest request = {.domain = "example.com", .policy = STS_DEFAULT, .helo = "gw.example.org", .sender = "",
            .recipients = &recipient, .n_recipients = 1};
    _cleanup_(delivery_run_freep) DeliveryRun *r = NULL;

    assert_int_equal(delivery_run_new(&r, &request, &world_ops_with_sts, &w), 0);
    delivery_run_start(r);
    assert_non_null(w.sts_done);
    w.questions[0].done(w.questions[0].answer, w.questions[0].userdata);
    r = delivery_run_free(r);
    assert_null(w.sts_done);
    assert_false(w.finished);
}

/* ---- REQUIRETLS ---- */
static const End no_promise[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {}};
static const End no_promise_first[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {}};
static const End no_promise_and_down[] = {{ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_CONNECT, 0, {}}, {}};
static const End not_verified_and_no_promise[] = {
    {ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_VERIFY, 0, {}}, {"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {}};
static const End not_verified[] = {{ADDRESS, SMTP_TLS_VERIFY, SMTP_STAGE_VERIFY, 0, {}}, {}};
static const Name dane_two_addresses[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"aaaa:mx.example.com", DNSSEC_SECURE, 0, "2001:db8::1"},
    {"tlsa:_25._tcp.mx.example.com", DNSSEC_SECURE, 0, "tlsa"},
    {}};
static const End v6_down_no_promise[] = {
    {"2001:db8::1", SMTP_TLS_DANE, SMTP_STAGE_CONNECT, 0, {}}, {ADDRESS, SMTP_TLS_DANE, SMTP_STAGE_REQUIRETLS, 0, {}}, {}};
static const Name tlsa_bogus[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"},
    {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"},
    {"tlsa:_25._tcp.mx.example.com", DNSSEC_BOGUS, 0, NULL},
    {}};
static const Name no_tlsa[] = {
    {"mx:example.com", DNSSEC_SECURE, 0, "10 mx.example.com"}, {"a:mx.example.com", DNSSEC_SECURE, 0, "192.0.2.1"}, {}};

static const struct {
    const char *name;
    const Name *names;
    const End *ends;
    const char *sender;
    RecipientVerdict verdict;
    const char *text; /* how it begins, when it failed */
} require_tls_rows[] = {
    {"all as it should be", dane_both, NULL, NULL, VERDICT_DELIVERED, NULL},
    {"the second host offers it", dane_both, no_promise_first, NULL, VERDICT_DELIVERED, NULL},
    {"no host offers it", dane_both, no_promise, NULL, VERDICT_FAILED, "5.7.30 mx2.example.com[192.0.2.2]:25: the message may go only to"},
    {"one does not offer it, the other is down", dane_both, no_promise_and_down, NULL, VERDICT_PENDING, NULL},
    {"one is not verified, one does not offer it", dane_both, not_verified_and_no_promise, NULL, VERDICT_FAILED, "5.7.30 "},
    {"one of its addresses is down", dane_two_addresses, v6_down_no_promise, NULL, VERDICT_FAILED, "5.7.30 "},
    {"not verified", no_tlsa, not_verified, NULL, VERDICT_FAILED, "5.7.10 mx.example.com[192.0.2.1]:25: certificate not verified"},
    {"not known for sure", plain, NULL, NULL, VERDICT_FAILED, "5.7.10 mx.example.com: "},
    {"TLSA of one cannot be told", tlsa_error, NULL, NULL, VERDICT_DELIVERED, NULL},
    {"TLSA cannot be told", tlsa_bogus, NULL, NULL, VERDICT_PENDING, NULL},
    {"MX cannot be told", mx_bogus, NULL, NULL, VERDICT_PENDING, NULL},
    {"a bounce waits", dane_both, not_verified_and_no_promise, "", VERDICT_PENDING, NULL},
};

static void test_combined_2_require_tls(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(require_tls_rows); i++) {
        World w = {.names = require_tls_rows[i].names, .ends = require_tls_rows[i].ends, .sender = require_tls_rows[i].sender};
        const DestinationPolicy policy = DEFAULT;

        print_message("row %s\n", require_tls_rows[i].name);
        world_walk(&w, &world_ops, "example.com", &policy, MESSAGE_TLS_REQUIRED, 1);
        assert_int_equal(w.verdicts[0], require_tls_rows[i].verdict);
        assert_null(strstr(w.trace, "/none/"));
        assert_null(strstr(w.trace, "/may/"));
        if (require_tls_rows[i].text && strncmp(w.text, require_tls_rows[i].text, strlen(require_tls_rows[i].text)) != 0)
            fail_msg("%s", w.text);
    }
}

/* A policy that cannot be fetched at this time may confirm the host tomorrow: the message is not returned. */
static void test_combined_2_require_tls_and_a_policy_not_fetched(void **state)
{
    static const struct {
        const char *sts;
        RecipientVerdict verdict;
    } answers[] = {{"unfetched", VERDICT_PENDING}, {"later", VERDICT_PENDING}, {NULL, VERDICT_FAILED}, {STS_MX, VERDICT_DELIVERED}};

    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        World w = {.names = plain, .sts = answers[i].sts};
        const DestinationPolicy policy = STS_DEFAULT;

        world_walk(&w, &world_ops_with_sts, "example.com", &policy, MESSAGE_TLS_REQUIRED, 1);
        assert_int_equal(w.verdicts[0], answers[i].verdict);
    }
}

/* There is no name for the record of so long a domain; mail goes all the same. */
static void test_domain_too_long_for_a_policy(void **state)
{
    const DestinationPolicy policy = STS_DEFAULT;
    char domain[246];
    World w = {.names = plain, .sts = STS_MX};

    for (size_t i = 0; i < sizeof(domain) - 1; i++)
        domain[i] = i % 50 == 49 ? '.' : 'a';
    domain[sizeof(domain) - 1] = '\0';
    world_walk(&w, &world_ops_with_sts, domain, &policy, MESSAGE_TLS_DEFAULT, 1);
    assert_memory_equal(w.trace, "mx:aaa", strlen("mx:aaa"));
}

/* ---- probes ---- */
static void traced(const RunTrace *t, void *userdata)
{
    World *w = userdata;

    switch (t->step) {
    case RUN_STEP_STS:
        world_trace(w, "[sts %s] ", t->sts->policy ? sts_mode_to_string(t->sts->policy->mode) : "none");
        return;
    case RUN_STEP_MX:
        world_trace(w, "[mx %zu %s] ", t->mx->n_hosts, t->mx_answer ? dnssec_state_to_string(t->mx_answer->state) : "given");
        return;
    case RUN_STEP_HOST:
        world_trace(w, "[host %s %s%s] ", t->mx->hosts[t->host].name, t->plan->wanted, t->plan->skip ? " skip" : t->tlsa ? " tlsa" : "");
        return;
    case RUN_STEP_CONNECT:
        world_trace(w, "[connect %s] ", t->peer);
        return;
    case RUN_STEP_FAILED:
        world_trace(w, "[failed %s: %s] ", t->peer, t->reason);
        return;
    case RUN_STEP_ATTEMPT:
        world_trace(w, "[%s %s] ", t->attempt->delivered > 0 ? "good" : "bad", failure_kind_to_string(t->attempt->kind));
        return;
    }
}

/* All hosts are looked at, and the end is what a message would have come to. */
static void test_probes(void **state)
{
    static const End first_refuses[] = {{ADDRESS, SMTP_TLS_VERIFY, SMTP_STAGE_VERIFY, 0, {}}, {}};
    static const End second_fails[] = {{"192.0.2.2", SMTP_TLS_DANE, SMTP_STAGE_VERIFY, 0, {}}, {}};
    static const struct {
        const char *name;
        DestinationPolicy policy;
        const Name *names;
        const End *ends;
        const char *sts, *only_host, *trace;
        RecipientVerdict verdict;
        FailureKind kind;
        const char *text, *reason; /* how the recipient's begins, and the run's */
    } cases[] = {
        {"the second is bad, and no message would come to it", DEFAULT, dane_both, second_fails, NULL, NULL,
                "mx:example.com [mx 2 secure] a:mx.example.com tlsa:_25._tcp.mx.example.com [host mx.example.com dane tlsa] "
                "[connect mx.example.com[192.0.2.1]:25] 192.0.2.1/dane/1 [good none] "
                "a:mx2.example.com tlsa:_25._tcp.mx2.example.com [host mx2.example.com dane tlsa] "
                "[connect mx2.example.com[192.0.2.2]:25] 192.0.2.2/dane/1 [bad dane] ",
                VERDICT_DELIVERED, FAILURE_NONE, "250", ""},
        {"only that one", DEFAULT, dane_both, second_fails, NULL, "mx2.example.com",
                "mx:example.com [mx 2 secure] a:mx2.example.com tlsa:_25._tcp.mx2.example.com [host mx2.example.com dane tlsa] "
                "[connect mx2.example.com[192.0.2.2]:25] 192.0.2.2/dane/1 [bad dane] ",
                VERDICT_PENDING, FAILURE_DANE, "", "mx2.example.com[192.0.2.2]:25: certificate not verified"},
        {"no such host", DEFAULT, dane_both, NULL, NULL, "mx3.example.com", "mx:example.com [mx 2 secure] ",
                VERDICT_PENDING, FAILURE_DNS, "", "mx3.example.com is no mail server of example.com"},
        {"policy, and fallback to the clear", STS_DEFAULT, plain, handshake_fails, STS "mode: testing\nmx: mx.example.com\n", NULL,
                "sts:example.com mx:example.com [mx 1 insecure] [sts testing] a:mx.example.com [host mx.example.com may] "
                "[connect mx.example.com[192.0.2.1]:25] 192.0.2.1/may/1 [bad smtp] "
                "[connect mx.example.com[192.0.2.1]:25] 192.0.2.1/none/1 [good none] ",
                VERDICT_DELIVERED, FAILURE_NONE, "250", ""},
        {"enforced", STS_DEFAULT, plain_two, first_refuses, STS_MX, NULL,
                "sts:example.com mx:example.com [mx 2 insecure] [sts enforce] a:mx.example.com [host mx.example.com sts] "
                "[connect mx.example.com[192.0.2.1]:25] 192.0.2.1/verify/1 [bad sts] a:mx2.example.com [host mx2.example.com sts skip] ",
                VERDICT_PENDING, FAILURE_STS, "", "mx2.example.com: the MTA-STS policy does not name this host"},
        {"an address that cannot be reached", DEFAULT, two_addresses, v6_unreachable, NULL, NULL,
                "mx:example.com [mx 1 insecure] a:mx.example.com [host mx.example.com may] "
                "[connect mx.example.com[2001:db8::1]:25] 2001:db8::1/may/1 "
                "[failed mx.example.com[2001:db8::1]:25: Network is unreachable] "
                "[connect mx.example.com[192.0.2.1]:25] 192.0.2.1/may/1 [good none] ",
                VERDICT_DELIVERED, FAILURE_NONE, "250", ""},
        {"null MX", DEFAULT, null_mx, NULL, NULL, NULL, "mx:example.com [mx 0 secure] ", VERDICT_FAILED, FAILURE_NONE, "5.1.10 ", ""},
        {"no address", DEFAULT, no_mx_no_address, NULL, NULL, NULL,
                "mx:example.com [mx 1 secure] a:example.com [host example.com may skip] ", VERDICT_FAILED, FAILURE_NONE, "5.4.4 ", ""},
        {"a route", {.tls = TLS_LEVEL_PREFERRED, .route = "192.0.2.7"}, plain, NULL, NULL, NULL,
                "[mx 1 given] [host 192.0.2.7 may] [connect 192.0.2.7[192.0.2.7]:25] 192.0.2.7/may/1 [good none] ", VERDICT_DELIVERED,
                FAILURE_NONE, "250", ""},
    };
    RunOps probe_ops = world_ops_with_sts;

    probe_ops.attempted = NULL;
    probe_ops.traced = traced;
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        World w = {.names = cases[i].names, .ends = cases[i].ends, .sts = cases[i].sts, .probe = true, .only_host = cases[i].only_host};

        print_message("%s\n", cases[i].name);
        world_walk(&w, &probe_ops, "example.com", &cases[i].policy, MESSAGE_TLS_DEFAULT, 1);
        assert_string_equal(w.trace, cases[i].trace);
        assert_int_equal(w.verdicts[0], cases[i].verdict);
        assert_int_equal(w.kind, cases[i].kind);
        assert_true(strncmp(w.text, cases[i].text, strlen(cases[i].text)) == 0 && strstr(w.reason, cases[i].reason) == w.reason);
        assert_int_equal(*w.reason != '\0', *cases[i].reason != '\0');
    }
}

/* Each recipient gets its own end; only what is pending goes to the next host. */
static void test_recipients(void **state)
{
    const DestinationPolicy policy = DEFAULT;
    World w = {.names = dane_both, .ends = mixed};

    walk(&w, "example.com", &policy, 3);
    assert_string_equal(w.trace,
            "mx:example.com a:mx.example.com tlsa:_25._tcp.mx.example.com 192.0.2.1/dane/3 +1 a:mx2.example.com tlsa:_25._tcp.mx2.example.com 192.0.2.2/dane/1 +1. ");
    assert_int_equal(w.verdicts[0], VERDICT_DELIVERED);
    assert_int_equal(w.verdicts[1], VERDICT_DELIVERED);
    assert_int_equal(w.verdicts[2], VERDICT_FAILED);
}

static void test_worker_died(void **state)
{
    const DestinationPolicy policy = DEFAULT;
    World w = {.names = plain, .ends = died};

    walk(&w, "example.com", &policy, 1);
    assert_true(w.soon);
    assert_int_equal(w.verdicts[0], VERDICT_PENDING);
    assert_string_equal(w.reason, "the delivery process died");
}

static void test_reasons(void **state)
{
    const DestinationPolicy policy = DEFAULT;
    World a = {.names = tlsa_error}, b = {.names = mx_bogus}, c = {.names = null_mx}, d = {.names = dane, .ends = dane_fails};
    const End clear_refused[] = {{"192.0.2.2", SMTP_TLS_IF_OFFERED, SMTP_STAGE_CONNECT, 0, {}}, {}};

    /* The reason that tells more stays, though another came later. */
    a.ends = clear_refused;
    walk(&a, "example.com", &policy, 1);
    assert_string_equal(a.reason, "mx.example.com: TLSA lookup of mx.example.com: bogus");
    walk(&b, "example.com", &policy, 1);
    assert_string_equal(b.reason, "MX lookup of example.com: bogus");
    walk(&c, "example.com", &policy, 1);
    assert_string_equal(c.text, "5.1.10 example.com does not accept mail (null MX)");
    walk(&d, "example.com", &policy, 1);
    assert_string_equal(d.reason, "mx.example.com[192.0.2.1]:25: certificate not verified: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dane_1_no_address_is_asked_for),
        cmocka_unit_test(test_dane_2_null_mx),
        cmocka_unit_test(test_dane_4_no_such_domain),
        cmocka_unit_test(test_dane_5_mandatory_and_mx_insecure),
        cmocka_unit_test(test_dane_11_no_address),
        cmocka_unit_test(test_dane_13_error_at_target),
        cmocka_unit_test(test_dane_22_tlsa_error_next_host),
        cmocka_unit_test(test_dane_24_port_of_a_route),
        cmocka_unit_test(test_dane_25_addresses),
        cmocka_unit_test(test_dane_26_route_is_secure),
        cmocka_unit_test(test_dane_27_preference_wins),
        cmocka_unit_test(test_dane_47_no_tls),
        cmocka_unit_test(test_dane_48_not_authenticated),
        cmocka_unit_test(test_other_walks),
        cmocka_unit_test(test_sts_4_not_known),
        cmocka_unit_test(test_sts_15_unnamed_hosts_in_their_turn),
        cmocka_unit_test(test_sts_19_failure_defers),
        cmocka_unit_test(test_sts_20_no_parent_domain),
        cmocka_unit_test(test_sts_21_route_and_literals),
        cmocka_unit_test(test_other_sts_walks),
        cmocka_unit_test(test_policy_given_up),
        cmocka_unit_test(test_combined_2_require_tls),
        cmocka_unit_test(test_combined_2_require_tls_and_a_policy_not_fetched),
        cmocka_unit_test(test_domain_too_long_for_a_policy),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_worker_died),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
