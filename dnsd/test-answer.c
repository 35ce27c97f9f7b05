/* SPDX-License-Identifier: Apache-2.0 */

/* Messages as name servers and liars send them, and how verdicts on hops become one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "answer.h"

/* ---- a DNS message under construction ---- */
typedef struct Message {
    uint8_t data[65535];
    size_t size;
} Message;

static void put(Message *m, const void *data, size_t n)
{
    assert_true(m->size + n <= sizeof(m->data));
    memcpy(m->data + m->size, data, n);
    m->size += n;
}

static void put16(Message *m, unsigned v)
{
    put(m, (const uint8_t[]) {(uint8_t) (v >> 8), (uint8_t) v}, 2);
}

static void put32(Message *m, uint32_t v)
{
    put16(m, v >> 16);
    put16(m, v & 0xffff);
}

/* "a.b" uncompressed; a leading "@N" is a compression pointer to offset N. */
static void put_name(Message *m, const char *name)
{
    if (*name == '@') {
        put16(m, 0xc000u | (unsigned) atoi(name + 1));
        return;
    }
    while (*name) {
        size_t n = strcspn(name, ".");
        uint8_t length = (uint8_t) n;

        put(m, &length, 1);
        put(m, name, n);
        name += n + (name[n] == '.');
    }
    put(m, "", 1);
}

static void begin(Message *m, unsigned rcode, unsigned answers, unsigned authority, const char *name, unsigned type)
{
    m->size = 0;
    put16(m, 1);
    put16(m, 0x8180u | rcode);
    put16(m, 1);
    put16(m, answers);
    put16(m, authority);
    put16(m, 0);
    put_name(m, name);
    put16(m, type);
    put16(m, 1);
}

static void record(Message *m, const char *owner, unsigned type, uint32_t ttl, const void *data, size_t n)
{
    put_name(m, owner);
    put16(m, type);
    put16(m, 1);
    put32(m, ttl);
    put16(m, (unsigned) n);
    put(m, data, n);
}

static void record_name(Message *m, const char *owner, unsigned type, uint32_t ttl, const char *prefix, size_t n_prefix, const char *name)
{
    size_t at;

    put_name(m, owner);
    put16(m, type);
    put16(m, 1);
    put32(m, ttl);
    at = m->size;
    put16(m, 0);
    put(m, prefix, n_prefix);
    put_name(m, name);
    m->data[at] = (uint8_t) ((m->size - at - 2) >> 8);
    m->data[at + 1] = (uint8_t) (m->size - at - 2);
}

static void alias(Message *m, const char *owner, uint32_t ttl, const char *target)
{
    record_name(m, owner, DNS_TYPE_CNAME, ttl, "", 0, target);
}

static const uint8_t soa[] = "\2ns\3lab\0\1h\3lab\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x1e"; /* minimum 30 */

static void test_plain(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 3, 0, "Mail.lab", DNS_TYPE_A);
    record(&m, "@12", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
    record(&m, "other.lab", DNS_TYPE_A, 1, "\x0a\0\0\3", 4); /* nobody asked for that */
    record(&m, "MAIL.lab", DNS_TYPE_A, 200, "\x0a\0\0\2", 4);
    assert_int_equal(answer_parse(m.data, m.size, "mail.lab", DNS_TYPE_A, DNSSEC_SECURE, &a), 0);
    assert_int_equal(a->state, DNSSEC_SECURE);
    assert_int_equal(a->n_hops, 1);
    assert_string_equal(a->canonical, "mail.lab");
    assert_int_equal(a->n_records, 2);
    assert_memory_equal(a->records[1].data, "\x0a\0\0\2", 4);
    assert_int_equal(a->ttl, 200);
    assert_string_equal(a->reason, "");
}

static void test_chain(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    /* In the wrong order, with another case. */
    begin(&m, 0, 4, 0, "a.lab", DNS_TYPE_A);
    alias(&m, "B.lab", 50, "c.lab");
    record(&m, "c.lab", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
    alias(&m, "a.lab", 100, "b.LAB");
    record(&m, "b.lab", DNS_TYPE_A, 1, "\x0a\0\0\2", 4); /* beside an alias nothing counts */
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_INSECURE, &a), 0);
    assert_int_equal(a->n_hops, 3);
    assert_string_equal(a->hops[0].name, "a.lab");
    assert_string_equal(a->hops[1].name, "b.lab");
    assert_string_equal(a->hops[2].name, "c.lab");
    assert_int_equal(a->hops[1].state, DNSSEC_INSECURE);
    assert_string_equal(a->canonical, "c.lab");
    assert_int_equal(a->n_records, 1);
    assert_int_equal(a->ttl, 50);
}

static void test_alias_itself(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_CNAME);
    alias(&m, "@12", 100, "b.lab");
    alias(&m, "b.lab", 100, "c.lab");
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_CNAME, DNSSEC_SECURE, &a), 0);
    assert_int_equal(a->n_hops, 1);
    assert_int_equal(a->n_records, 1);
    assert_int_equal(a->records[0].size, 7);
    assert_memory_equal(a->records[0].data, "\1b\3lab\0", 7);
}

static ResolveAnswer *dname_answer(const char *owner, const char *target)
{
    ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 1, 0, owner, DNS_TYPE_DNAME);
    record_name(&m, owner, DNS_TYPE_DNAME, 60, "", 0, target);
    assert_int_equal(answer_parse(m.data, m.size, owner, DNS_TYPE_DNAME, DNSSEC_SECURE, &a), 0);
    assert_int_equal(a->n_records, 1);
    return a;
}

/* What stands below a DNAME has an alias that nobody signed; the DNAME is what is asked for. */
static void test_dane_14_dname(void **state)
{
    static const struct {
        const char *target;
        DnssecState judged;
    } cases[] = {
        {"new.insecure", DNSSEC_SECURE},
        {"other.insecure", DNSSEC_INDETERMINATE}, /* it says something else by now */
        {"insecure", DNSSEC_INDETERMINATE},
        {"", DNSSEC_INDETERMINATE},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL, *own = dname_answer("old.lab", cases[i].target);
        const char *name;
        Message m;

        begin(&m, 0, 3, 0, "x.y.old.lab", DNS_TYPE_A);
        record_name(&m, "OLD.lab", DNS_TYPE_DNAME, 60, "", 0, "new.insecure");
        alias(&m, "x.y.old.lab", 60, "x.y.new.insecure");
        record(&m, "x.y.new.insecure", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
        assert_int_equal(answer_parse(m.data, m.size, "x.y.old.lab", DNS_TYPE_A, DNSSEC_INSECURE, &a), 0);
        assert_int_equal(a->n_hops, 2);
        assert_int_equal(answer_hop_question(a, 0, DNS_TYPE_A, &name), DNS_TYPE_DNAME);
        assert_string_equal(name, "old.lab");
        assert_int_equal(answer_hop_question(a, 1, DNS_TYPE_A, &name), DNS_TYPE_A);
        assert_string_equal(name, "x.y.new.insecure");
        answer_judge_hop(a, 0, own);
        assert_int_equal(a->hops[0].state, cases[i].judged);
    }
    assert_false(answer_type_supported(DNS_TYPE_DNAME));
}

/* A DNAME beside or below the name is none of its business. */
static void test_dname_elsewhere(void **state)
{
    static const char *const owners[] = {"a.lab", "x.a.lab", "other.lab", "ab"};

    for (size_t i = 0; i < ELEMENTSOF(owners); i++) {
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
        const char *name;
        Message m;

        begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_A);
        record_name(&m, owners[i], DNS_TYPE_DNAME, 60, "", 0, "lab");
        alias(&m, "a.lab", 60, "b.lab");
        assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_INSECURE, &a), 0);
        assert_int_equal(answer_hop_question(a, 0, DNS_TYPE_A, &name), DNS_TYPE_CNAME);
        assert_string_equal(name, "a.lab");
    }
}

static void test_mx_uncompressed(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    _cleanup_free_ char *exchange = NULL;
    uint16_t preference;
    Message m;

    begin(&m, 0, 1, 0, "lab", DNS_TYPE_MX);
    record_name(&m, "@12", DNS_TYPE_MX, 100, "\0\x14", 2, "@12");
    assert_int_equal(answer_parse(m.data, m.size, "lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), 0);
    assert_int_equal(a->n_records, 1);
    assert_int_equal(resolve_parse_mx(&a->records[0], &preference, &exchange), 0);
    assert_int_equal(preference, 20);
    assert_string_equal(exchange, "lab");
}

static void test_dane_3_4_20_negative(void **state)
{
    static const struct {
        unsigned rcode;
        uint32_t soa_ttl, ttl;
        unsigned with_soa;
    } cases[] = {
        {DNS_RCODE_NXDOMAIN, 3600, 30, 1},
        {DNS_RCODE_NOERROR, 10, 10, 1},
        {DNS_RCODE_NOERROR, 0x80000000u, 0, 1},
        {DNS_RCODE_NXDOMAIN, 0, 0, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
        Message m;

        begin(&m, cases[i].rcode, 1, cases[i].with_soa, "a.lab", DNS_TYPE_TLSA);
        alias(&m, "a.lab", 100, "b.lab");
        if (cases[i].with_soa)
            record(&m, "lab", 6, cases[i].soa_ttl, soa, sizeof(soa) - 1);
        assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_TLSA, DNSSEC_SECURE, &a), 0);
        assert_int_equal(a->rcode, cases[i].rcode);
        assert_int_equal(a->n_records, 0);
        assert_string_equal(a->canonical, "b.lab");
        assert_int_equal(a->ttl, cases[i].ttl);
    }
}

static void test_dane_1_bogus_has_no_records(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_A);
    alias(&m, "a.lab", 100, "b.lab");
    record(&m, "b.lab", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_BOGUS, &a), 0);
    assert_int_equal(a->n_hops, 2);
    assert_int_equal(a->n_records, 0);
}

static void test_dane_19_loops_and_limits(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_A);
    alias(&m, "a.lab", 100, "b.lab");
    alias(&m, "b.lab", 100, "a.lab");
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_SECURE, &a), -ELOOP);

    begin(&m, 0, 20, 0, "h0.lab", DNS_TYPE_A);
    for (unsigned i = 0; i < 20; i++) {
        char from[16], to[16];

        snprintf(from, sizeof(from), "h%u.lab", i);
        snprintf(to, sizeof(to), "h%u.lab", i + 1);
        alias(&m, from, 100, to);
    }
    assert_int_equal(answer_parse(m.data, m.size, "h0.lab", DNS_TYPE_A, DNSSEC_SECURE, &a), -ELOOP);

    begin(&m, 0, RESOLVE_RECORDS_MAX + 1, 0, "a.lab", DNS_TYPE_A);
    for (unsigned i = 0; i <= RESOLVE_RECORDS_MAX; i++)
        record(&m, "@12", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_SECURE, &a), -E2BIG);
    assert_null(a);
}

static void test_dane_22_broken(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    Message m;

    assert_int_equal(answer_parse(NULL, 0, "a.lab", DNS_TYPE_A, DNSSEC_SECURE, &a), -EBADMSG);
    assert_int_equal(answer_parse(m.data, 0, "a.lab", 255, DNSSEC_SECURE, &a), -EOPNOTSUPP);

    /* Cut anywhere. */
    begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_MX);
    alias(&m, "@12", 100, "b.lab");
    record_name(&m, "b.lab", DNS_TYPE_MX, 100, "\0\x14", 2, "mx.lab");
    for (size_t n = 0; n < m.size; n++)
        assert_int_equal(answer_parse(m.data, n, "a.lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), -EBADMSG);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), 0);
    a = resolve_answer_free(a);

    /* A pointer to itself, data behind the name, no name at all. */
    begin(&m, 0, 1, 0, "a.lab", DNS_TYPE_MX);
    record(&m, "@12", DNS_TYPE_MX, 100, "\0\x14\xc0\x2b", 4);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), -EBADMSG);
    begin(&m, 0, 1, 0, "a.lab", DNS_TYPE_MX);
    record(&m, "@12", DNS_TYPE_MX, 100, "\0\x14\1a\0x", 6);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), -EBADMSG);
    begin(&m, 0, 1, 0, "a.lab", DNS_TYPE_MX);
    record(&m, "@12", DNS_TYPE_MX, 100, "\0\x14", 2);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_MX, DNSSEC_SECURE, &a), -EBADMSG);
    assert_null(a);
}

/* ---- verdicts ---- */

/* a.lab → b.lab → 10.0.0.1, insecure as a whole. */
static ResolveAnswer *whole_new(void)
{
    ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 2, 0, "a.lab", DNS_TYPE_A);
    alias(&m, "a.lab", 100, "b.lab");
    record(&m, "b.lab", DNS_TYPE_A, 300, "\x0a\0\0\1", 4);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_A, DNSSEC_INSECURE, &a), 0);
    return a;
}

static ResolveAnswer *own_alias_new(DnssecState s, const char *target)
{
    ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 1, 0, "a.lab", DNS_TYPE_CNAME);
    alias(&m, "a.lab", 100, target);
    assert_int_equal(answer_parse(m.data, m.size, "a.lab", DNS_TYPE_CNAME, s, &a), 0);
    return a;
}

static ResolveAnswer *own_last_new(DnssecState s)
{
    ResolveAnswer *a = NULL;
    Message m;

    begin(&m, 0, 1, 0, "b.lab", DNS_TYPE_A);
    record(&m, "b.lab", DNS_TYPE_A, 60, "\x0a\0\0\2", 4);
    assert_int_equal(answer_parse(m.data, m.size, "b.lab", DNS_TYPE_A, s, &a), 0);
    return a;
}

static void test_dane_12_14_15_18_verdicts(void **state)
{
    static const struct {
        DnssecState alias;
        const char *target;
        DnssecState last;
        DnssecState hop0, hop1, whole;
        unsigned n_records;
    } cases[] = {
        {DNSSEC_SECURE, "b.lab", DNSSEC_INSECURE, DNSSEC_SECURE, DNSSEC_INSECURE, DNSSEC_INSECURE, 1},
        {DNSSEC_INSECURE, "b.lab", DNSSEC_SECURE, DNSSEC_INSECURE, DNSSEC_SECURE, DNSSEC_INSECURE, 1},
        {DNSSEC_SECURE, "b.lab", DNSSEC_SECURE, DNSSEC_SECURE, DNSSEC_SECURE, DNSSEC_INSECURE, 1}, /* never better than it was */
        {DNSSEC_SECURE, "evil.lab", DNSSEC_SECURE, DNSSEC_INDETERMINATE, DNSSEC_SECURE, DNSSEC_INDETERMINATE, 1},
        {DNSSEC_BOGUS, "b.lab", DNSSEC_INSECURE, DNSSEC_BOGUS, DNSSEC_INSECURE, DNSSEC_BOGUS, 0},
        {DNSSEC_ERROR, "b.lab", DNSSEC_INSECURE, DNSSEC_ERROR, DNSSEC_INSECURE, DNSSEC_ERROR, 0},
        {DNSSEC_ERROR, "b.lab", DNSSEC_BOGUS, DNSSEC_ERROR, DNSSEC_BOGUS, DNSSEC_BOGUS, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = whole_new();
        _cleanup_(resolve_answer_freep) ResolveAnswer *own0 = own_alias_new(cases[i].alias, cases[i].target);
        _cleanup_(resolve_answer_freep) ResolveAnswer *own1 = own_last_new(cases[i].last);

        answer_judge_hop(a, 1, own1);
        answer_judge_hop(a, 0, own0);
        answer_settle(a);
        assert_int_equal(a->hops[0].state, cases[i].hop0);
        assert_int_equal(a->hops[1].state, cases[i].hop1);
        assert_int_equal(a->state, cases[i].whole);
        assert_int_equal(a->n_records, cases[i].n_records);
        if (a->n_records > 0) {
            assert_memory_equal(a->records[0].data, "\x0a\0\0\2", 4); /* of the answer that the verdict is about */
            assert_int_equal(a->ttl, 60);
        }
    }
}

static void test_reason_comes_along(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = whole_new(), *own = NULL;

    assert_int_equal(answer_new_failed("b.lab", DNSSEC_BOGUS, "signature\nexpired \xff", &own), 0);
    answer_judge_hop(a, 1, own);
    answer_settle(a);
    assert_int_equal(a->state, DNSSEC_BOGUS);
    assert_string_equal(a->reason, "signature?expired ?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_alias_itself),
        cmocka_unit_test(test_dane_14_dname),
        cmocka_unit_test(test_dname_elsewhere),
        cmocka_unit_test(test_mx_uncompressed),
        cmocka_unit_test(test_dane_3_4_20_negative),
        cmocka_unit_test(test_dane_1_bogus_has_no_records),
        cmocka_unit_test(test_dane_19_loops_and_limits),
        cmocka_unit_test(test_dane_22_broken),
        cmocka_unit_test(test_dane_12_14_15_18_verdicts),
        cmocka_unit_test(test_reason_comes_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
