/* SPDX-License-Identifier: Apache-2.0 */

/* What is told of a probe, also when a worker that was taken over has its say. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe-report.h"

static MxHost host = {.preference = 10, .name = (char *) "mx.example.com"};
static MxPlan mx = {.hosts = &host, .n_hosts = 1};

/* The step as JSON has this text, and not that (NULL: none). */
static void expect(const RunTrace *t, const char *text, const char *not)
{
    json_object *o = probe_report_step(t);
    const char *json;

    assert_non_null(o);
    json = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    if (!strstr(json, text) || (not && strstr(json, not)))
        fail_msg("%s", json);
    (void) json_object_put(o);
}

static void test_records(void **state)
{
    static uint8_t good[35] = {3, 1, 1}, authority[35] = {0, 0, 1}, future[35] = {3, 9, 1}, shorter[10] = {2, 1, 1}, none[2] = {3, 1};
    static const struct {
        uint8_t *data;
        size_t size;
        const char *text;
    } cases[] = {
        {good, sizeof(good), "{\"Record\":\"3 1 1 00000000"},
        {good, sizeof(good), "00\",\"Usable\":true}"},
        {authority, sizeof(authority), "\"Reason\":\"usages 0 and 1 are not for mail\",\"Usable\":false"},
        {future, sizeof(future), "\"Reason\":\"unknown parameters\",\"Usable\":false"},
        {shorter, sizeof(shorter), "\"Reason\":\"malformed data\",\"Usable\":false"},
        {none, sizeof(none), "{\"Reason\":\"malformed record\",\"Usable\":false}"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        ResolveRecord record = {.data = cases[i].data, .size = cases[i].size};
        const ResolveAnswer tlsa = {.state = DNSSEC_SECURE, .records = &record, .n_records = 1};
        const HostAddresses addresses = {};
        const HostPlan plan = {.wanted = "may", .want = SMTP_TLS_IF_OFFERED};
        const RunTrace t = {.step = RUN_STEP_HOST, .mx = &mx, .named = true, .addresses = &addresses, .tlsa = &tlsa,
                .base = "mx.example.com", .plan = &plan};

        expect(&t, cases[i].text, NULL);
    }
}

static void test_hosts(void **state)
{
    const ResolveAnswer answer = {.state = DNSSEC_INSECURE};
    const HostAddresses addresses = {};
    const HostPlan skipped = {.skip = true, .reason = "it has no address", .wanted = "may"};
    RunTrace t = {.step = RUN_STEP_MX, .mx = &mx, .mx_answer = &answer, .addresses = &addresses, .plan = &skipped};

    expect(&t, "\"Hosts\":[{\"Name\":\"mx.example.com\",\"Preference\":10}]", "Reason");
    t.mx_answer = NULL;
    expect(&t, "\"Looked\":false", "Preference");
    t.step = RUN_STEP_HOST;
    expect(&t, "\"Skipped\":true,\"Reason\":\"it has no address\"", "Wanted");
}

/* By which record: only one that there is, and only if it was verified. */
static void test_proof(void **state)
{
    static const struct {
        TlsVerify verified;
        SmtpTlsWant want;
        int32_t tlsa;
        const char *text, *not;
    } cases[] = {
        {TLS_VERIFY_DANE, SMTP_TLS_DANE, 0, "\"MatchedTLSA\":\"3 1 1\",\"Authority\":\"CN=a\"", NULL},
        {TLS_VERIFY_DANE, SMTP_TLS_DANE, 1, "\"Authority\":\"CN=a\"", "MatchedTLSA"},
        {TLS_VERIFY_DANE, SMTP_TLS_DANE, INT32_MAX, "\"Verified\":true", "MatchedTLSA"},
        {TLS_VERIFY_DANE, SMTP_TLS_DANE, INT32_MIN, "\"Verified\":true", "MatchedTLSA"},
        {TLS_VERIFY_PKIX, SMTP_TLS_VERIFY, 0, "\"Authority\":\"CN=a\"", "MatchedTLSA"},
        {TLS_VERIFY_TLSA_MISMATCH, SMTP_TLS_DANE, 0, "\"Verified\":false", "Authority"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        SmtpProbe probe = {.greeting = {220, "hi"}, .has_peer = true, .extensions = SMTP_EXTENSION_REQUIRETLS,
                .peer = {.subject = "CN=mx", .authority = "CN=a", .tlsa = cases[i].tlsa}};
        const SmtpResult result = {.stage = SMTP_STAGE_DONE, .tls_offered = true, .tls_used = true, .probe = &probe,
                .tls = {.version = "TLSv1.3", .cipher = "c", .group = "g"}, .tls_reason = ""};
        HostPlan plan = {.wanted = "dane", .want = cases[i].want, .n_tlsa = 1};
        const RunAttempt attempt = {.peer = "mx", .plan = &plan, .want = cases[i].want, .result = &result,
                .verified = cases[i].verified, .reason = "", .delivered = 1};
        const RunTrace t = {.step = RUN_STEP_ATTEMPT, .mx = &mx, .plan = &plan, .want = cases[i].want, .attempt = &attempt};

        plan.tlsa[0] = (TlsaRecord) {.usage = 3, .selector = 1, .mtype = 1};
        expect(&t, cases[i].text, cases[i].not);
        expect(&t, "\"RequireTLS\":true", "Reason\":\"\"}");
    }
}

static void test_how_it_goes(void **state)
{
    static const struct {
        bool tls;
        TlsVerify verified;
        const char *text;
    } cases[] = {
        {false, TLS_VERIFY_NONE, "in the clear"},
        {true, TLS_VERIFY_DANE, "over TLS, authenticated by DANE"},
        {true, TLS_VERIFY_PKIX, "over TLS, verified"},
        {true, TLS_VERIFY_PINNED, "over TLS, verified"},
        {true, TLS_VERIFY_PKIX_MX_INSECURE, "over TLS, verified, but the answer that named the host is not secured by DNSSEC"},
        {true, TLS_VERIFY_DANE_MX_INSECURE, "over TLS, verified, but the answer that named the host is not secured by DNSSEC"},
        {true, TLS_VERIFY_EXPIRED, "over TLS, unverified: certificate has expired"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const SmtpResult result = {.tls_used = cases[i].tls};
        const RunAttempt attempt = {.result = &result, .verified = cases[i].verified};
        char text[200];

        probe_describe(&attempt, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_how_it_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
