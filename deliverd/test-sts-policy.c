/* SPDX-License-Identifier: Apache-2.0 */

/* MTA-STS as tables. The numbers in the names are the rows of "How delivery decides", section 2. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sts-policy.h"
#include "test-rows.h"

#define V "version: STSv1\n"
#define HOUR (UINT64_C(3600) * USEC_PER_SEC)

static const struct {
    const char *name, *text;
    const char *want; /* "mode max_age mx …", or NULL with: */
    const char *reason;
} policies[] = {
    {"plain", V "mode: enforce\nmx: mx.example.com\nmax_age: 86400\n", "enforce 86400 mx.example.com", NULL},
    {"12 CRLF", "version: STSv1\r\nmode: testing\r\nmx: a.example\r\nmx: *.b.example\r\nmax_age: 1\r\n",
            "testing 1 a.example *.b.example", NULL},
    {"12 no end of the last line", V "mode: enforce\nmax_age: 5\nmx: a.example", "enforce 5 a.example", NULL},
    {"12 blanks, empty lines", "\n version : STSv1 \n\nmode:enforce\n\t mx:\ta.example \t\nmax_age:  5\n\n", "enforce 5 a.example", NULL},
    {"12 unknown keys", V "mode: enforce\nfuture: yes\nmx: a.example\nmax_age: 5\n", "enforce 5 a.example", NULL},
    {"12 the first of two counts", V "mode: testing\nmode: enforce\nmax_age: 5\nmax_age: 6\nmx: a.example\n", "testing 5 a.example",
            NULL},
    {"12 keys are case-sensitive", V "Mode: enforce\nmx: a.example\nmax_age: 5\n", NULL, "it has no mode"},
    {"13 none", V "mode: none\nmax_age: 5\n", "none 5", NULL},
    {"13 mx only optional there", V "mode: enforce\nmax_age: 5\n", NULL, "it names no hosts"},
    {"13 testing, too", V "mode: testing\nmax_age: 5\n", NULL, "it names no hosts"},
    {"7 max_age clamped", V "mode: none\nmax_age: 9999999999\n", "none 31557600", NULL},
    {"7 max_age missing", V "mode: enforce\nmx: a.example\n", NULL, "it has no max_age"},
    {"7 max_age no number", V "mode: enforce\nmx: a.example\nmax_age: 1d\n", NULL, "its max_age is no number of seconds"},
    {"7 max_age negative", V "mode: enforce\nmx: a.example\nmax_age: -1\n", NULL, "its max_age is no number of seconds"},
    {"7 max_age empty", V "mode: enforce\nmx: a.example\nmax_age:\n", NULL, "its max_age is no number of seconds"},
    {"7 max_age too long", V "mode: none\nmax_age: 00000000001\n", NULL, "its max_age is no number of seconds"},
    {"16 A-labels, lower case", V "mode: enforce\nmx: MX.XN--Bcher-KVA.Example\nmax_age: 5\n", "enforce 5 mx.xn--bcher-kva.example", NULL},
    {"17 addresses name nothing", V "mode: enforce\nmx: 192.0.2.1\nmx: 2001:db8::1\nmx: a.example\nmax_age: 5\n",
            "enforce 5 a.example", NULL},
    {"17 addresses only", V "mode: enforce\nmx: 192.0.2.1\nmax_age: 5\n", NULL, "it names no hosts"},
    {"wildcard inside", V "mode: enforce\nmx: mx.*.example\nmax_age: 5\n", NULL, "one of its mx is no host name"},
    {"wildcard alone", V "mode: enforce\nmx: *\nmax_age: 5\n", NULL, "one of its mx is no host name"},
    {"partial wildcard", V "mode: enforce\nmx: m*.example\nmax_age: 5\n", NULL, "one of its mx is no host name"},
    {"version", "version: STSv2\nmode: none\nmax_age: 5\n", NULL, "its version is not STSv1"},
    {"no version", "mode: none\nmax_age: 5\n", NULL, "it has no version"},
    {"mode", V "mode: strict\nmx: a.example\nmax_age: 5\n", NULL, "its mode is none of enforce, testing, none"},
    {"no key", V "mode: none\nmax_age: 5\n<html>\n", NULL, "a line is not \"key: value\""},
    {"empty", "", NULL, "it has no version"},
};

static void run_policies(unsigned row)
{
    size_t n_run = 0;

    for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
        _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
        const char *reason = NULL;
        char got[256];
        size_t n;
        int r;

        if (!test_row_is(policies[i].name, row))
            continue;
        n_run++;
        r = sts_policy_parse(policies[i].text, strlen(policies[i].text), &p, &reason);
        if (!policies[i].want) {
            if (r != -EBADMSG || !reason || !streq(reason, policies[i].reason))
                fail_msg("%s: %d, %s", policies[i].name, r, reason);
            assert_null(p);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %d, %s", policies[i].name, r, reason);
        n = (size_t) snprintf(got, sizeof(got), "%s %u", sts_mode_to_string(p->mode), p->max_age);
        for (size_t k = 0; k < p->n_mx; k++)
            n += (size_t) snprintf(got + n, sizeof(got) - n, " %s", p->mx[k]);
        if (!streq(got, policies[i].want))
            fail_msg("%s: %s", policies[i].name, got);
    }
    assert_true(n_run > 0);
}

TEST_ROW(sts, 7, max_age, run_policies)
TEST_ROW(sts, 12, format, run_policies)
TEST_ROW(sts, 13, none_needs_no_hosts, run_policies)
TEST_ROW(sts, 16, names_in_normal_form, run_policies)
TEST_ROW(sts, 17, addresses, run_policies)

static void test_other_policies(void **state)
{
    run_policies(0);
}

static void test_sts_10_size(void **state)
{
    _cleanup_free_ char *text = calloc(1, STS_POLICY_MAX + 2);
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
    const char *reason = NULL;
    size_t n;

    assert_non_null(text);
    n = (size_t) sprintf(text, V "mode: enforce\nmax_age: 5\n");
    for (size_t i = 0; i <= STS_MX_MAX; i++)
        n += (size_t) sprintf(text + n, "mx: mx%zu.example\n", i);
    assert_int_equal(sts_policy_parse(text, n, &p, &reason), -EBADMSG);
    assert_string_equal(reason, "it names too many hosts");
    memset(text + n, '\n', STS_POLICY_MAX + 1 - n);
    assert_int_equal(sts_policy_parse(text, STS_POLICY_MAX + 1, &p, &reason), -EBADMSG);
    assert_string_equal(reason, "it is too large");
    assert_int_equal(sts_policy_parse(V "mode: none\0", sizeof(V "mode: none\0") - 1, &p, &reason), -EBADMSG);
    assert_string_equal(reason, "it is not text");
}

static void test_sts_16_wildcards(void **state)
{
    static const char text[] = V "mode: enforce\nmx: MX.example.com\nmx: *.example.net\nmax_age: 5\n";
    static const struct {
        const char *host;
        bool named;
    } table[] = {
        {"mx.example.com", true},
        {"mx2.example.com", false},
        {"a.mx.example.com", false},
        {"example.com", false},
        {"a.example.net", true},     /* one label … */
        {"a.b.example.net", false},
        {"example.net", false},      /* … not the apex */
        {".example.net", false},
        {"aexample.net", false},
        {"net", false},
    };
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
    const char *reason;

    assert_int_equal(sts_policy_parse(text, strlen(text), &p, &reason), 0);
    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (sts_policy_names(p, table[i].host) != table[i].named)
            fail_msg("%s", table[i].host);
}

/* Records as text, '|' between the strings of one. */
static const struct {
    const char *name;
    DnssecState state;
    const char *records[3];
    StsRecord want;
    const char *id;
} records[] = {
    {"plain", DNSSEC_INSECURE, {"v=STSv1; id=20260831085700Z;"}, STS_RECORD_FOUND, "20260831085700Z"},
    {"signed", DNSSEC_SECURE, {"v=STSv1;id=a"}, STS_RECORD_FOUND, "a"},
    {"1 nothing there", DNSSEC_INSECURE, {}, STS_RECORD_NONE, ""},
    {"3 two records", DNSSEC_INSECURE, {"v=STSv1; id=a;", "v=STSv1; id=b;"}, STS_RECORD_NONE, ""},
    {"3 two records, one invalid", DNSSEC_INSECURE, {"v=STSv1; id=a;", "v=STSv1; id=-;"}, STS_RECORD_NONE, ""},
    {"3 another one beside", DNSSEC_INSECURE, {"v=spf1 -all", "v=STSv1; id=a;"}, STS_RECORD_FOUND, "a"},
    {"3 another version", DNSSEC_INSECURE, {"v=STSv10; id=a;"}, STS_RECORD_NONE, ""},
    {"3 version not first", DNSSEC_INSECURE, {"id=a; v=STSv1;"}, STS_RECORD_NONE, ""},
    {"3 strings are one text", DNSSEC_INSECURE, {"v=ST|Sv1; i|d=a|b;"}, STS_RECORD_FOUND, "ab"},
    {"3 32 characters", DNSSEC_INSECURE, {"v=STSv1; id=0123456789abcdefABCDEF0123456789;"}, STS_RECORD_FOUND,
            "0123456789abcdefABCDEF0123456789"},
    {"3 33 characters", DNSSEC_INSECURE, {"v=STSv1; id=0123456789abcdefABCDEF01234567890;"}, STS_RECORD_NONE, ""},
    {"3 empty id", DNSSEC_INSECURE, {"v=STSv1; id=;"}, STS_RECORD_NONE, ""},
    {"3 no id", DNSSEC_INSECURE, {"v=STSv1;"}, STS_RECORD_NONE, ""},
    {"3 not alphanumeric", DNSSEC_INSECURE, {"v=STSv1; id=a_b;"}, STS_RECORD_NONE, ""},
    {"further fields, blanks", DNSSEC_INSECURE, {"v=STSv1 ;\tx=y ; id=a ;z=1"}, STS_RECORD_FOUND, "a"},
    {"4 not looked up", DNSSEC_ERROR, {}, STS_RECORD_UNKNOWN, ""},
    {"4 bogus", DNSSEC_BOGUS, {"v=STSv1; id=a;"}, STS_RECORD_UNKNOWN, ""},
};

static void run_records(unsigned row)
{
    size_t n_run = 0;

    for (size_t i = 0; i < ELEMENTSOF(records); i++) {
        uint8_t data[3][128];
        ResolveRecord data_of[3] = {};
        ResolveAnswer answer = {.state = records[i].state, .records = data_of};
        char id[STS_ID_MAX + 1];
        StsRecord got;

        if (!test_row_is(records[i].name, row))
            continue;
        n_run++;
        for (size_t k = 0; k < 3 && records[i].records[k]; k++) {
            size_t n = 0;

            for (const char *s = records[i].records[k]; s; s = strchr(s, '|') ? strchr(s, '|') + 1 : NULL) {
                size_t length = strcspn(s, "|");

                data[k][n++] = (uint8_t) length;
                memcpy(data[k] + n, s, length);
                n += length;
            }
            data_of[k] = (ResolveRecord) {data[k], n};
            answer.n_records++;
        }
        got = sts_record_read(&answer, id);
        if (got != records[i].want || !streq(id, records[i].id))
            fail_msg("%s: %d, \"%s\"", records[i].name, got, id);
    }
    assert_true(n_run > 0);
}

TEST_ROW(sts, 1, no_record, run_records)
TEST_ROW(sts, 3, records, run_records)
TEST_ROW(sts, 4, record_not_known, run_records)

static void test_other_records(void **state)
{
    run_records(0);
}

static void test_record_malformed(void **state)
{
    uint8_t data[] = {5, 'v', '='};
    ResolveRecord record = {data, sizeof(data)};
    ResolveAnswer answer = {.state = DNSSEC_INSECURE, .records = &record, .n_records = 1};
    char id[STS_ID_MAX + 1];

    assert_int_equal(sts_record_read(&answer, id), STS_RECORD_NONE);
}

static void run_decisions(unsigned row)
{
    const uint64_t now = 1000 * HOUR;
    size_t n_run = 0;
    const struct {
        const char *name;
        StsRecord record;
        const char *id, *cached_id;
        uint64_t age;
        const char *failed_id;
        uint64_t failed_ago;
        StsUse use;
        bool refresh;
    } table[] = {
        {"1 no record, no cache", STS_RECORD_NONE, "", NULL, 0, NULL, 0, STS_USE_NONE, false},
        {"2 no record, cached", STS_RECORD_NONE, "", "a", HOUR, NULL, 0, STS_USE_CACHED, false},
        {"2 no record, expired", STS_RECORD_NONE, "", "a", 49 * HOUR, NULL, 0, STS_USE_NONE, false},
        {"4 unknown, no cache", STS_RECORD_UNKNOWN, "", NULL, 0, NULL, 0, STS_USE_LATER, false},
        {"4 unknown, cached", STS_RECORD_UNKNOWN, "", "a", HOUR, NULL, 0, STS_USE_CACHED, false},
        {"4 unknown, expired", STS_RECORD_UNKNOWN, "", "a", 49 * HOUR, NULL, 0, STS_USE_LATER, false},
        {"first", STS_RECORD_FOUND, "a", NULL, 0, NULL, 0, STS_USE_FETCHED, false},
        {"5 new id", STS_RECORD_FOUND, "b", "a", HOUR, NULL, 0, STS_USE_FETCHED, false},
        {"5 new id, its fetch failed", STS_RECORD_FOUND, "b", "a", HOUR, "b", HOUR / 60, STS_USE_CACHED, false},
        {"5 ids differ in case", STS_RECORD_FOUND, "A", "a", HOUR, NULL, 0, STS_USE_FETCHED, false},
        {"6 same id", STS_RECORD_FOUND, "a", "a", HOUR, NULL, 0, STS_USE_CACHED, false},
        {"6 same id, a day old", STS_RECORD_FOUND, "a", "a", 24 * HOUR, NULL, 0, STS_USE_CACHED, true},
        {"6 a day old, refresh failed", STS_RECORD_FOUND, "a", "a", 25 * HOUR, "a", HOUR / 60, STS_USE_CACHED, false},
        {"7 same id, max_age has passed", STS_RECORD_FOUND, "a", "a", 48 * HOUR, NULL, 0, STS_USE_FETCHED, false},
        {"10 failed just now", STS_RECORD_FOUND, "a", NULL, 0, "a", HOUR / 60, STS_USE_NONE, false},
        {"10 failed five minutes ago", STS_RECORD_FOUND, "a", NULL, 0, "a", HOUR / 12, STS_USE_FETCHED, false},
        {"10 failed in the future: the clock was set back", STS_RECORD_FOUND, "a", NULL, 0, "a", -HOUR, STS_USE_FETCHED, false},
        {"10 another id has failed", STS_RECORD_FOUND, "b", NULL, 0, "a", HOUR / 60, STS_USE_FETCHED, false},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        const StsFacts facts = {
            .record = table[i].record,
            .id = table[i].id,
            .cached = table[i].cached_id != NULL,
            .cached_id = table[i].cached_id,
            .cached_mode = STS_MODE_ENFORCE,
            .fetched_usec = now - table[i].age,
            .max_age = 48 * 3600,
            .failed_id = table[i].failed_id,
            .failed_usec = now - table[i].failed_ago,
            .now_usec = now,
        };
        const StsVerdict got = sts_decide(&facts);

        if (!test_row_is(table[i].name, row))
            continue;
        n_run++;
        if (got.use != table[i].use || got.refresh != table[i].refresh)
            fail_msg("%s: %d %d", table[i].name, got.use, got.refresh);
    }
    assert_true(n_run > 0);
}

TEST_ROW(sts, 1, no_record_and_no_cache, run_decisions)
TEST_ROW(sts, 2, no_record_and_cache, run_decisions)
TEST_ROW(sts, 4, record_not_known_and_cache, run_decisions)
TEST_ROW(sts, 5, new_id, run_decisions)
TEST_ROW(sts, 6, same_id, run_decisions)
TEST_ROW(sts, 7, expired, run_decisions)
TEST_ROW(sts, 10, retry, run_decisions)

static void test_first_policy(void **state)
{
    run_decisions(0);
}

/* Fetched in the future: the clock was set back. It does not last longer for that. */
static void test_clock(void **state)
{
    StsFacts facts = {.cached = true, .fetched_usec = 100 * HOUR, .max_age = 3600, .now_usec = 100 * HOUR - HOUR / 2};

    assert_true(sts_unexpired(&facts));
    facts.now_usec = 98 * HOUR;
    assert_false(sts_unexpired(&facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sts_7_max_age),
        cmocka_unit_test(test_sts_12_format),
        cmocka_unit_test(test_sts_13_none_needs_no_hosts),
        cmocka_unit_test(test_sts_16_names_in_normal_form),
        cmocka_unit_test(test_sts_17_addresses),
        cmocka_unit_test(test_sts_1_no_record),
        cmocka_unit_test(test_sts_3_records),
        cmocka_unit_test(test_sts_4_record_not_known),
        cmocka_unit_test(test_sts_1_no_record_and_no_cache),
        cmocka_unit_test(test_sts_2_no_record_and_cache),
        cmocka_unit_test(test_sts_4_record_not_known_and_cache),
        cmocka_unit_test(test_sts_5_new_id),
        cmocka_unit_test(test_sts_6_same_id),
        cmocka_unit_test(test_sts_7_expired),
        cmocka_unit_test(test_sts_10_retry),
        cmocka_unit_test(test_other_policies),
        cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_first_policy),
        cmocka_unit_test(test_sts_10_size),
        cmocka_unit_test(test_sts_16_wildcards),
        cmocka_unit_test(test_record_malformed),
        cmocka_unit_test(test_clock),
    };

    return cmocka_run_group_tests_name("sts-policy", tests, NULL, NULL);
}
