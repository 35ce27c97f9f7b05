/* SPDX-License-Identifier: Apache-2.0 */

/* The way to a domain's mail servers, with answers that this file gives in place of dnsd. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>

#include <cmocka.h>

#include "resolve.h"
#include "route.h"

/* ---- in place of resolve_start() ---- */
struct ResolveQuery {
    char name[64];
    uint16_t type;
    ResolveDone done;
    void *userdata;
    bool open;
};

static ResolveQuery queries[32];
static size_t n_queries;

int __wrap_resolve_start(PeerClient *dnsd, ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *userdata);
int __wrap_resolve_start(PeerClient *dnsd, ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *userdata)
{
    ResolveQuery *q = &queries[n_queries++];

    assert_true(n_queries <= ELEMENTSOF(queries));
    *q = (ResolveQuery) {.type = type, .done = done, .userdata = userdata, .open = true};
    snprintf(q->name, sizeof(q->name), "%s", name);
    *ret = q;
    return 0;
}

ResolveQuery *__wrap_resolve_cancel(ResolveQuery *q);
ResolveQuery *__wrap_resolve_cancel(ResolveQuery *q)
{
    if (q)
        q->open = false;
    return NULL;
}

typedef struct Data {
    const char *bytes;
    size_t size;
} Data;
#define DATA(s) {s, sizeof(s) - 1}

static ResolveAnswer *answer_new(DnssecState state, uint16_t rcode, const Data *records, size_t n)
{
    ResolveAnswer *a = calloc(1, sizeof(*a));

    a->state = state;
    a->rcode = rcode;
    a->reason = strdup(state == DNSSEC_BOGUS ? "signature expired" : "");
    a->records = calloc(n + 1, sizeof(ResolveRecord));
    for (size_t i = 0; i < n; i++) {
        a->records[i] = (ResolveRecord) {.data = malloc(records[i].size + 1), .size = records[i].size};
        memcpy(a->records[i].data, records[i].bytes, records[i].size);
    }
    a->n_records = n;
    return a;
}

/* Answers the open question for (name, type). */
static void answer(const char *name, uint16_t type, ResolveAnswer *a)
{
    for (size_t i = 0; i < n_queries; i++)
        if (queries[i].open && queries[i].type == type && streq(queries[i].name, name)) {
            queries[i].open = false;
            queries[i].done(a, queries[i].userdata);
            return;
        }
    fail_msg("nobody asked for %s, %u", name, type);
}

static void answer_none(const char *name, uint16_t type)
{
    answer(name, type, answer_new(DNSSEC_SECURE, 0, NULL, 0));
}

/* ---- the end ---- */
static unsigned n_done;
static int last_error;
static char last_reason[256];

static void on_done(Route *r, int error, const char *reason, void *userdata)
{
    n_done++;
    last_error = error;
    snprintf(last_reason, sizeof(last_reason), "%s", reason);
}

static int reset(void **state)
{
    n_queries = 0;
    n_done = 0;
    return 0;
}

static void assert_target(const RouteTarget *t, const char *host, const char *address, unsigned port)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *) &t->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &t->address;
    bool v4 = t->address.ss_family == AF_INET;

    assert_string_equal(t->host, host);
    assert_non_null(inet_ntop(t->address.ss_family, v4 ? (const void *) &in->sin_addr : &in6->sin6_addr, text, sizeof(text)));
    assert_string_equal(text, address);
    assert_int_equal(ntohs(v4 ? in->sin_port : in6->sin6_port), port);
}

static void test_preference(void **state)
{
    const Data servers[] = {DATA("\0\x14\2b2\3lab\0"), DATA("\0\x0a\2b1\3lab\0")};
    const Data a = DATA("\x0a\0\0\1"), b = DATA("\x0a\0\0\2"), six = DATA("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
    _cleanup_(route_freep) Route *r = NULL;
    const RouteTarget *targets;

    assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
    answer("lab", DNS_TYPE_MX, answer_new(DNSSEC_INSECURE, 0, servers, 2));
    answer("b2.lab", DNS_TYPE_A, answer_new(DNSSEC_INSECURE, 0, &b, 1));
    answer("b1.lab", DNS_TYPE_AAAA, answer_new(DNSSEC_INSECURE, 0, &six, 1));
    answer_none("b2.lab", DNS_TYPE_AAAA);
    assert_int_equal(n_done, 0);
    answer("b1.lab", DNS_TYPE_A, answer_new(DNSSEC_INSECURE, 0, &a, 1));
    assert_int_equal(n_done, 1);
    assert_int_equal(last_error, 0);
    assert_int_equal(route_targets(r, &targets), 3);
    assert_target(&targets[0], "b1.lab", "2001:db8::1", 25);
    assert_target(&targets[1], "b1.lab", "10.0.0.1", 25);
    assert_target(&targets[2], "b2.lab", "10.0.0.2", 25);
}

static void test_implicit_server(void **state)
{
    const Data a = DATA("\x0a\0\0\1");
    _cleanup_(route_freep) Route *r = NULL;

    assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
    answer_none("lab", DNS_TYPE_MX);
    answer("lab", DNS_TYPE_A, answer_new(DNSSEC_SECURE, 0, &a, 1));
    answer("lab", DNS_TYPE_AAAA, answer_new(DNSSEC_ERROR, 0, NULL, 0));
    assert_int_equal(last_error, 0);
}

static void test_no_way(void **state)
{
    static const Data null_mx = DATA("\0\0\0");
    static const struct {
        DnssecState state;
        uint16_t rcode;
        const Data *records;
        size_t n;
        int error;
        const char *reason;
    } cases[] = {
        {DNSSEC_SECURE, DNS_RCODE_NXDOMAIN, NULL, 0, -EHOSTUNREACH, "takes no mail"},
        {DNSSEC_SECURE, 0, &null_mx, 1, -EHOSTUNREACH, "takes no mail"}, /* RFC 7505 */
        {DNSSEC_BOGUS, 0, NULL, 0, -EAGAIN, "signature expired"},
        {DNSSEC_ERROR, 0, NULL, 0, -EAGAIN, "mail servers of lab"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(route_freep) Route *r = NULL;

        reset(state);
        assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
        answer("lab", DNS_TYPE_MX, answer_new(cases[i].state, cases[i].rcode, cases[i].records, cases[i].n));
        assert_int_equal(n_done, 1);
        assert_int_equal(last_error, cases[i].error);
        assert_non_null(strstr(last_reason, cases[i].reason));
    }
}

static void test_no_address(void **state)
{
    _cleanup_(route_freep) Route *r = NULL;

    assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
    answer_none("lab", DNS_TYPE_MX);
    answer_none("lab", DNS_TYPE_A);
    answer("lab", DNS_TYPE_AAAA, answer_new(DNSSEC_BOGUS, 0, NULL, 0));
    assert_int_equal(last_error, -EAGAIN);
    assert_non_null(strstr(last_reason, "signature expired"));
}

static void test_many_servers(void **state)
{
    _cleanup_(route_freep) Route *r = NULL;
    char bytes[20][8];
    Data servers[20];

    for (unsigned i = 0; i < 20; i++) {
        memcpy(bytes[i], "\0\0\1a\0", 6);
        bytes[i][1] = (char) (20 - i);
        bytes[i][3] = (char) ('a' + i);
        servers[i] = (Data) {bytes[i], 5};
    }
    assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
    answer("lab", DNS_TYPE_MX, answer_new(DNSSEC_SECURE, 0, servers, 20));
    assert_int_equal(n_queries, 1 + 2 * ROUTE_HOSTS_MAX);
    assert_string_equal(queries[1].name, "t"); /* the last has the lowest preference, so it is the first */
}

static void test_cancel(void **state)
{
    Route *r = NULL;

    assert_int_equal(route_new_domain(&r, NULL, "lab", on_done, NULL), 0);
    answer_none("lab", DNS_TYPE_MX);
    route_free(r);
    for (size_t i = 0; i < n_queries; i++)
        assert_false(queries[i].open);
    assert_int_equal(n_done, 0);
}

static void test_literal_relay(void **state)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(route_freep) Route *r = NULL;
    const RouteTarget *targets;

    assert_int_equal(sd_event_new(&event), 0);
    assert_int_equal(route_new_host(&r, NULL, event, "192.0.2.1", 2525, on_done, NULL), 0);
    assert_int_equal(n_done, 0); /* never from inside */
    assert_true(sd_event_run(event, 0) > 0);
    assert_int_equal(n_done, 1);
    assert_int_equal(n_queries, 0);
    assert_int_equal(route_targets(r, &targets), 1);
    assert_target(&targets[0], "192.0.2.1", "192.0.2.1", 2525);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_preference, reset),
        cmocka_unit_test_setup(test_implicit_server, reset),
        cmocka_unit_test_setup(test_no_way, reset),
        cmocka_unit_test_setup(test_no_address, reset),
        cmocka_unit_test_setup(test_many_servers, reset),
        cmocka_unit_test_setup(test_cancel, reset),
        cmocka_unit_test_setup(test_literal_relay, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
