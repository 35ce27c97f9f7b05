/* SPDX-License-Identifier: Apache-2.0 */

/* Answers of dnsd: those that make sense are read whole, all others are refused; a lookup always ends with an answer. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "resolve.h"

/* ---- in place of the peer client: remembers the one call ---- */
static struct {
    PeerCallDone done;
    void *userdata;
    int result;
    unsigned cancelled;
} fake;

int peer_client_call(PeerClient *c, PeerCall **ret, const PeerMethod *method, PeerCallBuild build, PeerCallDone done, void *userdata)
{
    assert_string_equal(method->member, "Resolve");
    assert_true(method->repeatable);
    if (fake.result < 0)
        return fake.result;
    fake.done = done;
    fake.userdata = userdata;
    *ret = (PeerCall *) &fake;
    return 0;
}

PeerCall *peer_call_cancel(PeerCall *call)
{
    if (call)
        fake.cancelled++;
    return NULL;
}

/* ---- messages ---- */
typedef struct Link {
    sd_bus *bus;
    int peer;
} Link;

static int setup(void **state)
{
    static Link l;
    int fds[2];
    sd_id128_t id = {.bytes = {1}};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_true(sd_bus_new(&l.bus) >= 0);
    assert_true(sd_bus_set_server(l.bus, 1, id) >= 0);
    assert_true(sd_bus_set_fd(l.bus, fds[0], fds[0]) >= 0);
    assert_true(sd_bus_start(l.bus) >= 0);
    l.peer = fds[1];
    *state = &l;
    return 0;
}

static int teardown(void **state)
{
    Link *l = *state;

    sd_bus_close_unref(l->bus);
    close(l->peer);
    return 0;
}

static sd_bus_message *message_new(Link *l)
{
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(l->bus, &m, NULL, "/", NULL, "Reply") >= 0);
    return m;
}

static void message_seal(sd_bus_message *m)
{
    assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
    assert_true(sd_bus_message_rewind(m, 1) >= 0);
}

/* A reply with n_hops hops named "hN.lab" of hop_state and n_records records of 4 bytes. */
static sd_bus_message *reply_new(Link *l, const char *state, uint16_t rcode, const char *canonical, unsigned n_hops, const char *hop_state,
        unsigned n_records)
{
    sd_bus_message *m = message_new(l);

    assert_true(sd_bus_message_append(m, "squs", state, rcode, UINT32_C(300), canonical) >= 0);
    assert_true(sd_bus_message_open_container(m, 'a', "(ss)") >= 0);
    for (unsigned i = 0; i < n_hops; i++) {
        char name[32];

        snprintf(name, sizeof(name), "h%u.lab", i);
        assert_true(sd_bus_message_append(m, "(ss)", name, hop_state) >= 0);
    }
    assert_true(sd_bus_message_close_container(m) >= 0);
    assert_true(sd_bus_message_open_container(m, 'a', "ay") >= 0);
    for (unsigned i = 0; i < n_records; i++)
        assert_true(sd_bus_message_append_array(m, 'y', "\xc0\x00\x02\x01", 4) >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    assert_true(sd_bus_message_append(m, "s", "why") >= 0);
    message_seal(m);
    return m;
}

static void test_read(void **state)
{
    sd_bus_message *m = reply_new(*state, "secure", 0, "h1.lab", 2, "secure", 3);
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;

    assert_int_equal(resolve_answer_read(m, &a), 0);
    assert_int_equal(a->state, DNSSEC_SECURE);
    assert_int_equal(a->rcode, DNS_RCODE_NOERROR);
    assert_int_equal(a->ttl, 300);
    assert_string_equal(a->canonical, "h1.lab");
    assert_int_equal(a->n_hops, 2);
    assert_string_equal(a->hops[0].name, "h0.lab");
    assert_int_equal(a->n_records, 3);
    assert_int_equal(a->records[2].size, 4);
    assert_string_equal(a->reason, "why");
    sd_bus_message_unref(m);
}

static void test_read_limits(void **state)
{
    static const struct {
        const char *state;
        uint16_t rcode;
        const char *canonical;
        unsigned n_hops;
        const char *hop_state;
        unsigned n_records;
        int result;
    } cases[] = {
        {"insecure", 0, "h15.lab", RESOLVE_HOPS_MAX, "secure", RESOLVE_RECORDS_MAX, 0},
        {"insecure", 0, "h16.lab", RESOLVE_HOPS_MAX + 1, "secure", 1, -EBADMSG},
        {"insecure", 0, "h0.lab", 1, "insecure", RESOLVE_RECORDS_MAX + 1, -EBADMSG},
        {"secure", 3, "h0.lab", 1, "secure", 0, 0},
        {"error", 0, "h0.lab", 1, "error", 0, 0},
        {"perhaps", 0, "h0.lab", 1, "secure", 1, -EBADMSG},
        {"secure", 0, "h0.lab", 1, "insecure", 1, -EBADMSG}, /* a chain is as weak as its weakest hop */
        {"bogus", 0, "h0.lab", 1, "bogus", 1, -EBADMSG},     /* nothing to be used can come from a bogus answer */
        {"error", 0, "h0.lab", 1, "error", 1, -EBADMSG},
        {"secure", 3, "h0.lab", 1, "secure", 1, -EBADMSG},
        {"secure", 0, "h1.lab", 1, "secure", 1, -EBADMSG},   /* chain does not end where it says */
        {"secure", 0, "H0.lab", 1, "secure", 1, -EBADMSG},   /* not in normal form */
        {"secure", 0, "h0.lab", 0, "secure", 1, -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
        sd_bus_message *m = reply_new(*state, cases[i].state, cases[i].rcode, cases[i].canonical, cases[i].n_hops, cases[i].hop_state,
                cases[i].n_records);

        assert_int_equal(resolve_answer_read(m, &a), cases[i].result);
        assert_true(!a == (cases[i].result < 0));
        sd_bus_message_unref(m);
    }
}

static void test_read_other_signature(void **state)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    sd_bus_message *m = message_new(*state);

    assert_true(sd_bus_message_append(m, "su", "secure", UINT32_C(1)) >= 0);
    message_seal(m);
    assert_true(resolve_answer_read(m, &a) < 0);
    assert_null(a);
    sd_bus_message_unref(m);
}

/* ---- lookups ---- */
static ResolveAnswer *got;

static void keep(ResolveAnswer *answer, void *userdata)
{
    assert_ptr_equal(userdata, &got);
    got = answer;
}

static void test_start_answer(void **state)
{
    sd_bus_message *m = reply_new(*state, "insecure", 0, "h0.lab", 1, "insecure", 1);

    assert_int_equal(resolve_start(NULL, NULL, "H0.lab.", DNS_TYPE_A, keep, &got), 0);
    fake.done(m, NULL, fake.userdata);
    assert_int_equal(got->state, DNSSEC_INSECURE);
    got = resolve_answer_free(got);
    sd_bus_message_unref(m);
}

static void test_start_failures(void **state)
{
    sd_bus_error error = SD_BUS_ERROR_MAKE_CONST("org.postern.Error.Unavailable", "dnsd did not answer in time");
    sd_bus_message *m = reply_new(*state, "bogus", 0, "h0.lab", 1, "bogus", 1);

    assert_int_equal(resolve_start(NULL, NULL, "Mail.lab", DNS_TYPE_MX, keep, &got), 0);
    fake.done(NULL, &error, fake.userdata);
    assert_int_equal(got->state, DNSSEC_ERROR);
    assert_string_equal(got->reason, "dnsd did not answer in time");
    assert_string_equal(got->canonical, "mail.lab");
    assert_int_equal(got->n_hops, 1);
    got = resolve_answer_free(got);

    assert_int_equal(resolve_start(NULL, NULL, "mail.lab", DNS_TYPE_MX, keep, &got), 0);
    fake.done(m, NULL, fake.userdata);
    assert_int_equal(got->state, DNSSEC_ERROR);
    assert_string_not_equal(got->reason, "");
    got = resolve_answer_free(got);
    sd_bus_message_unref(m);

    assert_int_equal(resolve_start(NULL, NULL, "a..b", DNS_TYPE_MX, keep, &got), -EINVAL);
    fake.result = -ENOBUFS;
    assert_int_equal(resolve_start(NULL, NULL, "mail.lab", DNS_TYPE_MX, keep, &got), -ENOBUFS);
    fake.result = 0;
    assert_null(got);
}

static void test_cancel(void **state)
{
    ResolveQuery *q = NULL;

    fake.cancelled = 0;
    assert_int_equal(resolve_start(NULL, &q, "mail.lab", DNS_TYPE_MX, keep, &got), 0);
    assert_null(resolve_cancel(q));
    assert_int_equal(fake.cancelled, 1);
    assert_null(got);
}

/* ---- records ---- */
#define RECORD(s) {.data = (uint8_t *) (s), .size = sizeof(s) - 1}

static void test_mx(void **state)
{
    static const struct {
        ResolveRecord record;
        int result;
        uint16_t preference;
        const char *exchange;
    } cases[] = {
        {RECORD("\x00\x0a\4MX01\3lab\0"), 0, 10, "mx01.lab"},
        {RECORD("\xff\xff\0"), 0, 65535, ""}, /* RFC 7505 */
        {RECORD("\x00\x0a\4mx01\3lab\0x"), -EBADMSG},
        {RECORD("\x00\x0a\4mx01\xc0\x0c"), -EBADMSG},
        {RECORD("\x00\x0a"), -EBADMSG},
        {RECORD(""), -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *exchange = NULL;
        uint16_t preference = 0;

        assert_int_equal(resolve_parse_mx(&cases[i].record, &preference, &exchange), cases[i].result);
        if (cases[i].result == 0) {
            assert_int_equal(preference, cases[i].preference);
            assert_string_equal(exchange, cases[i].exchange);
        } else
            assert_null(exchange);
    }
}

static void test_address(void **state)
{
    const ResolveRecord a = RECORD("\xc0\x00\x02\x01");
    const ResolveRecord aaaa = RECORD("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
    struct sockaddr_storage ss;

    assert_int_equal(resolve_parse_address(&a, DNS_TYPE_A, &ss), 0);
    assert_int_equal(ss.ss_family, AF_INET);
    assert_memory_equal(&((struct sockaddr_in *) &ss)->sin_addr, a.data, 4);
    assert_int_equal(resolve_parse_address(&aaaa, DNS_TYPE_AAAA, &ss), 0);
    assert_int_equal(ss.ss_family, AF_INET6);
    assert_memory_equal(&((struct sockaddr_in6 *) &ss)->sin6_addr, aaaa.data, 16);
    assert_int_equal(resolve_parse_address(&a, DNS_TYPE_AAAA, &ss), -EBADMSG);
    assert_int_equal(resolve_parse_address(&aaaa, DNS_TYPE_A, &ss), -EBADMSG);
    assert_int_equal(resolve_parse_address(&a, DNS_TYPE_MX, &ss), -EBADMSG);
}

static void test_tlsa(void **state)
{
    const ResolveRecord good = RECORD("\3\1\1" "0123456789abcdef0123456789abcdef");
    const ResolveRecord empty = RECORD("\3\1\1");
    TlsaRecord t;

    assert_int_equal(resolve_parse_tlsa(&good, &t), 0);
    assert_int_equal(t.usage, 3);
    assert_int_equal(t.selector, 1);
    assert_int_equal(t.mtype, 1);
    assert_int_equal(t.size, 32);
    assert_ptr_equal(t.data, good.data + 3);
    assert_int_equal(resolve_parse_tlsa(&empty, &t), -EBADMSG);
}

static void test_states(void **state)
{
    for (DnssecState s = DNSSEC_SECURE; s <= DNSSEC_ERROR; s++) {
        DnssecState back;

        assert_int_equal(dnssec_state_from_string(dnssec_state_to_string(s), &back), 0);
        assert_int_equal(back, s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_limits),
        cmocka_unit_test(test_read_other_signature),
        cmocka_unit_test(test_start_answer),
        cmocka_unit_test(test_start_failures),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_mx),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_tlsa),
        cmocka_unit_test(test_states),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
