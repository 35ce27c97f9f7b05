/* SPDX-License-Identifier: Apache-2.0 */

/* Which questions a lookup asks, that equal ones are shared, and that it ends in time, all without a network: this file stands
 * for the resolver. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "answer.h"
#include "lookups.h"

/* ---- in place of resolver.c ---- */
#define QUERIES_MAX 64

struct Resolver {
    unsigned n_ref;
};

struct ResolverQuery {
    char name[64];
    uint16_t type;
    ResolverDone done;
    void *userdata;
    bool open;
};

static ResolverQuery queries[QUERIES_MAX];
static size_t n_queries;

Resolver *resolver_ref(Resolver *r)
{
    r->n_ref++;
    return r;
}

Resolver *resolver_unref(Resolver *r)
{
    if (r)
        r->n_ref--;
    return NULL;
}

int resolver_ask(Resolver *r, ResolverQuery **ret, const char *name, uint16_t type, ResolverDone done, void *userdata)
{
    ResolverQuery *q = &queries[n_queries++];

    assert_true(n_queries <= QUERIES_MAX);
    *q = (ResolverQuery) {.type = type, .done = done, .userdata = userdata, .open = true};
    snprintf(q->name, sizeof(q->name), "%s", name);
    *ret = q;
    return 0;
}

ResolverQuery *resolver_cancel(ResolverQuery *q)
{
    if (q)
        q->open = false;
    return NULL;
}

static size_t n_open(void)
{
    size_t n = 0;

    for (size_t i = 0; i < n_queries; i++)
        n += queries[i].open;
    return n;
}

/* A chain of names, all of state; without records unless usable. */
static ResolveAnswer *chain_new(DnssecState s, const char *const *names)
{
    ResolveAnswer *a = NULL;

    assert_int_equal(answer_new_failed(names[0], s, "", &a), 0);
    for (size_t i = 1; names[i]; i++) {
        a->hops[a->n_hops++] = (ResolveHop) {.name = strdup(names[i]), .state = s};
        free(a->canonical);
        a->canonical = strdup(names[i]);
    }
    return a;
}

static void reply(size_t i, ResolveAnswer *a)
{
    assert_true(queries[i].open);
    queries[i].open = false;
    queries[i].done(a, queries[i].userdata);
}

static void add_record(ResolveAnswer *a, const char *data, size_t n)
{
    a->records = calloc(1, sizeof(ResolveRecord));
    a->records[0] = (ResolveRecord) {.data = malloc(n), .size = n};
    memcpy(a->records[0].data, data, n);
    a->n_records = 1;
}

/* ---- fixture ---- */
typedef struct Fixture {
    sd_event *event;
    Resolver resolver;
    Lookups *lookups;
    unsigned n_answers;
    DnssecState state, hop0;
    size_t n_hops;
} Fixture;

static int setup(void **state)
{
    static Fixture f;

    f = (Fixture) {0};
    n_queries = 0;
    assert_int_equal(sd_event_new(&f.event), 0);
    assert_int_equal(lookups_new(&f.lookups, f.event), 0);
    lookups_configure(f.lookups, &f.resolver, 3, USEC_PER_SEC);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    lookups_free(f->lookups);
    assert_int_equal(f->resolver.n_ref, 0);
    assert_int_equal(n_open(), 0);
    sd_event_unref(f->event);
    return 0;
}

static void keep(const ResolveAnswer *answer, void *userdata)
{
    Fixture *f = userdata;

    f->n_answers++;
    f->state = answer->state;
    f->hop0 = answer->hops[0].state;
    f->n_hops = answer->n_hops;
}

static void test_secure_asks_once(void **state)
{
    Fixture *f = *state;
    Waiter *w;

    assert_int_equal(lookups_ask(f->lookups, &w, "a.lab", DNS_TYPE_A, keep, f), 0);
    assert_int_equal(n_queries, 1);
    reply(0, chain_new(DNSSEC_SECURE, (const char *const[]) {"a.lab", "b.lab", NULL}));
    assert_int_equal(f->n_answers, 1);
    assert_int_equal(f->n_hops, 2);
    assert_int_equal(n_queries, 1);
    assert_int_equal(lookups_pending(f->lookups), 0);
}

static void test_insecure_single_asks_once(void **state)
{
    Fixture *f = *state;
    Waiter *w;

    assert_int_equal(lookups_ask(f->lookups, &w, "a.lab", DNS_TYPE_A, keep, f), 0);
    reply(0, chain_new(DNSSEC_INSECURE, (const char *const[]) {"a.lab", NULL}));
    assert_int_equal(f->state, DNSSEC_INSECURE);
    assert_int_equal(n_queries, 1);
}

static void test_dane_14_insecure_chain_asks_each_hop(void **state)
{
    Fixture *f = *state;
    ResolveAnswer *own;
    Waiter *w;

    assert_int_equal(lookups_ask(f->lookups, &w, "a.lab", DNS_TYPE_A, keep, f), 0);
    reply(0, chain_new(DNSSEC_INSECURE, (const char *const[]) {"a.lab", "b.lab", "c.lab", NULL}));
    assert_int_equal(f->n_answers, 0);
    assert_int_equal(n_queries, 4);
    assert_string_equal(queries[1].name, "a.lab");
    assert_int_equal(queries[1].type, DNS_TYPE_CNAME);
    assert_string_equal(queries[2].name, "b.lab");
    assert_int_equal(queries[2].type, DNS_TYPE_CNAME);
    assert_string_equal(queries[3].name, "c.lab");
    assert_int_equal(queries[3].type, DNS_TYPE_A);

    reply(3, chain_new(DNSSEC_INSECURE, (const char *const[]) {"c.lab", NULL}));
    own = chain_new(DNSSEC_SECURE, (const char *const[]) {"a.lab", NULL});
    add_record(own, "\1b\3lab\0", 7);
    reply(1, own);
    own = chain_new(DNSSEC_INSECURE, (const char *const[]) {"b.lab", NULL});
    add_record(own, "\1c\3lab\0", 7);
    reply(2, own);
    assert_int_equal(f->n_answers, 1);
    assert_int_equal(f->state, DNSSEC_INSECURE);
    assert_int_equal(f->hop0, DNSSEC_SECURE);
    assert_int_equal(f->n_hops, 3);
}

static void test_shared(void **state)
{
    Fixture *f = *state;
    Waiter *w[3];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(lookups_ask(f->lookups, &w[i], "a.lab", DNS_TYPE_A, keep, f), 0);
    assert_int_equal(n_queries, 1);
    assert_int_equal(lookups_statistics(f->lookups)->shared, 2);
    waiter_cancel(w[1]);
    reply(0, chain_new(DNSSEC_SECURE, (const char *const[]) {"a.lab", NULL}));
    assert_int_equal(f->n_answers, 2);
    assert_int_equal(lookups_statistics(f->lookups)->answered[DNSSEC_SECURE], 1);
}

static void test_not_shared_after_reload(void **state)
{
    Resolver other = {0};
    Fixture *f = *state;
    Waiter *w[2];

    assert_int_equal(lookups_ask(f->lookups, &w[0], "a.lab", DNS_TYPE_A, keep, f), 0);
    lookups_configure(f->lookups, &other, 3, USEC_PER_SEC);
    assert_int_equal(f->resolver.n_ref, 1); /* held by the lookup that still uses it */
    assert_int_equal(lookups_ask(f->lookups, &w[1], "a.lab", DNS_TYPE_A, keep, f), 0);
    assert_int_equal(n_queries, 2);
    reply(0, chain_new(DNSSEC_SECURE, (const char *const[]) {"a.lab", NULL}));
    assert_int_equal(f->resolver.n_ref, 0);
    reply(1, chain_new(DNSSEC_SECURE, (const char *const[]) {"a.lab", NULL}));
    lookups_configure(f->lookups, &f->resolver, 3, USEC_PER_SEC);
}

static void test_limit(void **state)
{
    static const char *const names[] = {"a.lab", "b.lab", "c.lab"};
    Fixture *f = *state;
    Waiter *w[3], *more;

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(lookups_ask(f->lookups, &w[i], names[i], DNS_TYPE_A, keep, f), 0);
    assert_int_equal(lookups_ask(f->lookups, &more, "d.lab", DNS_TYPE_A, keep, f), -ENOBUFS);
    assert_int_equal(lookups_ask(f->lookups, &more, "a.lab", DNS_TYPE_A, keep, f), 0); /* costs no lookup */
    waiter_cancel(w[1]);
    assert_int_equal(n_open(), 2);
    assert_int_equal(lookups_ask(f->lookups, &more, "d.lab", DNS_TYPE_A, keep, f), 0);
}

static void test_dane_1_22_deadline(void **state)
{
    Fixture *f = *state;
    Waiter *w;

    lookups_configure(f->lookups, &f->resolver, 3, 1000);
    assert_int_equal(lookups_ask(f->lookups, &w, "a.lab", DNS_TYPE_A, keep, f), 0);
    while (f->n_answers == 0)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
    assert_int_equal(f->state, DNSSEC_ERROR);
    assert_int_equal(n_open(), 0);
    assert_int_equal(lookups_pending(f->lookups), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_secure_asks_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_insecure_single_asks_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dane_14_insecure_chain_asks_each_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_shared_after_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dane_1_22_deadline, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
