/* SPDX-License-Identifier: Apache-2.0 */

/* Questions about policies, with a name server, a fetcher and a clock that do as the test says. Numbers in names are rows of the
 * delivery matrix. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sts.h"

#define START (UINT64_C(1788166632) * USEC_PER_SEC)
#define MINUTE (60 * USEC_PER_SEC)
#define DAY (24 * 60 * MINUTE)
#define PENDING_MAX 64

/* Something that the world was asked for. */
typedef struct Pending {
    char name[300];
    ResolveDone resolved;
    StsFetchDone fetched;
    void *userdata;
    bool cancelled;
} Pending;

typedef struct Fixture {
    sd_event *event;
    Sts *sts;
    uint64_t now;
    Pending lookups[PENDING_MAX], fetches[PENDING_MAX];
    size_t n_lookups, n_fetches;
    bool no_fetcher;
    char news[1024];    /* "a.example fetched; a.example failed; " */
    char answers[1024]; /* "enforce none later " */
    char refreshed[256];
} Fixture;

/* ---- the world ---- */

static int fake_resolve(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata,
        void *userdata)
{
    Fixture *f = userdata;
    Pending *p = f->lookups + f->n_lookups++;

    assert_int_equal(type, DNS_TYPE_TXT);
    assert_true(f->n_lookups <= PENDING_MAX);
    *p = (Pending) {.resolved = done, .userdata = done_userdata};
    (void) snprintf(p->name, sizeof(p->name), "%s", name);
    *ret = (ResolveQuery *) p;
    return 0;
}

static void fake_resolve_cancel(ResolveQuery *q, void *userdata)
{
    ((Pending *) q)->cancelled = true;
}

static int fake_fetch(StsFetch **ret, const char *domain, StsFetchDone done, void *done_userdata, void *userdata)
{
    Fixture *f = userdata;
    Pending *p = f->fetches + f->n_fetches;

    if (f->no_fetcher)
        return -EAGAIN;
    assert_true(++f->n_fetches <= PENDING_MAX);
    *p = (Pending) {.fetched = done, .userdata = done_userdata};
    (void) snprintf(p->name, sizeof(p->name), "%s", domain);
    *ret = (StsFetch *) p;
    return 0;
}

static void fake_fetch_cancel(StsFetch *q, void *userdata)
{
    ((Pending *) q)->cancelled = true;
}

static uint64_t fake_now(void *userdata)
{
    return ((Fixture *) userdata)->now;
}

static void on_news(const StsNews *news, void *userdata)
{
    Fixture *f = userdata;
    const char *what = !news->reason ? news->changed ? "fetched" : "renewed" : news->own_fault ? "impossible" : "failed";
    const size_t n = strlen(f->news);

    (void) snprintf(f->news + n, sizeof(f->news) - n, "%s %s %s; ", news->domain, what, news->policy ? "holds" : "nothing");
}

static const StsOps ops = {fake_resolve, fake_resolve_cancel, fake_fetch, fake_fetch_cancel, fake_now, on_news};

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->now = START;
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(sts_new(&f->sts, f->event, NULL, &ops, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    sts_free(f->sts);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* text NULL: it cannot be looked up; "": there is none. */
static void answer_lookup(Fixture *f, size_t i, const char *text)
{
    ResolveAnswer *a = calloc(1, sizeof(*a));
    Pending *p = f->lookups + i;

    assert_true(i < f->n_lookups && p->resolved && !p->cancelled);
    a->reason = strdup(text ? "" : "dnsd is away");
    a->state = text ? DNSSEC_INSECURE : DNSSEC_ERROR;
    if (text && *text) {
        const size_t size = strlen(text);

        a->records = calloc(1, sizeof(*a->records));
        a->n_records = 1;
        a->records->size = size + 1;
        a->records->data = malloc(size + 1);
        a->records->data[0] = (uint8_t) size;
        memcpy(a->records->data + 1, text, size);
    }
    const Pending answered = *p;

    p->resolved = NULL;
    answered.resolved(a, answered.userdata);
}

static void answer_fetch(Fixture *f, size_t i, StsFetchOutcome outcome, StsMode mode, uint32_t max_age)
{
    static const char *const mx[] = {"mx.example"};
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    Pending *p = f->fetches + i;
    StsFetchResult result = {.outcome = outcome, .reason = "so"};

    assert_true(i < f->n_fetches && p->fetched && !p->cancelled);
    if (outcome == STS_FETCH_DONE) {
        assert_int_equal(sts_policy_new(mode, max_age, mx, 1, &policy), 0);
        result.policy = policy;
    }
    const Pending answered = *p;

    p->fetched = NULL;
    answered.fetched(&result, answered.userdata);
}

static void on_answer(const StsAnswer *answer, void *userdata)
{
    Fixture *f = userdata;

    assert_true(!answer->later || (!answer->policy && *answer->reason));
    (void) strcat(f->answers, answer->later ? answer->own_fault ? "ours" : "later" : answer->policy ? sts_mode_to_string(answer->policy->mode) : "nothing");
    (void) strcat(f->answers, " ");
}

static StsQuery *ask(Fixture *f, const char *domain)
{
    StsQuery *q = NULL;

    assert_int_equal(sts_query(f->sts, &q, domain, on_answer, f), 0);
    return q;
}

/* Asks, and has the record answered; what was told before is forgotten. */
static void ask_with(Fixture *f, const char *record)
{
    *f->answers = *f->news = '\0';
    (void) ask(f, "a.example");
    answer_lookup(f, f->n_lookups - 1, record);
}

static void fetch_policy(Fixture *f, StsMode mode, uint32_t max_age)
{
    const size_t n = f->n_fetches;

    ask_with(f, "v=STSv1; id=1;");
    assert_int_equal(f->n_fetches, n + 1);
    answer_fetch(f, n, STS_FETCH_DONE, mode, max_age);
    assert_string_equal(f->answers, mode == STS_MODE_ENFORCE ? "enforce " : mode == STS_MODE_NONE ? "none " : "testing ");
}

static void on_refreshed(const char *reason, void *userdata)
{
    Fixture *f = userdata;

    (void) strcat(strcat(f->refreshed, reason ?: "fine"), " ");
}

/* ---- tests ---- */

static void test_sts_1_no_record_no_policy(void **state)
{
    Fixture *f = *state;

    ask_with(f, "");
    assert_string_equal(f->answers, "nothing ");
    assert_string_equal(f->lookups[0].name, "_mta-sts.a.example");
    assert_int_equal(f->n_fetches, 0);
    assert_string_equal(f->news, "");
}

static void test_sts_2_the_cache_holds_without_a_record(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_ENFORCE, 86400);
    ask_with(f, "");
    assert_string_equal(f->answers, "enforce ");
    f->now += DAY;
    ask_with(f, "");
    assert_string_equal(f->answers, "nothing ");
    assert_int_equal(f->n_fetches, 1);
}

static void test_sts_4_mail_waits_if_nothing_can_be_told(void **state)
{
    Fixture *f = *state;

    ask_with(f, NULL);
    assert_string_equal(f->answers, "later ");
    fetch_policy(f, STS_MODE_ENFORCE, 86400);
    ask_with(f, NULL);
    assert_string_equal(f->answers, "enforce ");
}

static void test_sts_5_6_a_new_id_is_fetched_and_the_same_is_not(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_ENFORCE, 604800);
    ask_with(f, "v=STSv1; id=1;");
    assert_string_equal(f->answers, "enforce ");
    assert_int_equal(f->n_fetches, 1);
    ask_with(f, "v=STSv1; id=2;");
    assert_string_equal(f->answers, "");
    answer_fetch(f, 1, STS_FETCH_DONE, STS_MODE_TESTING, 604800);
    assert_string_equal(f->answers, "testing ");
    assert_string_equal(f->news, "a.example fetched holds; ");
}

static void test_sts_5_a_failed_fetch_leaves_the_cache(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_ENFORCE, 604800);
    ask_with(f, "v=STSv1; id=2;");
    answer_fetch(f, 1, STS_FETCH_FAILED, 0, 0);
    assert_string_equal(f->answers, "enforce ");
    assert_string_equal(f->news, "a.example failed holds; ");
}

static void test_sts_7_a_policy_that_expired_is_fetched_anew(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_ENFORCE, 86400);
    f->now += DAY;
    ask_with(f, "v=STSv1; id=1;");
    answer_fetch(f, 1, STS_FETCH_FAILED, 0, 0);
    assert_string_equal(f->answers, "nothing ");
    assert_string_equal(f->news, "a.example failed nothing; ");
}

static void test_sts_10_an_id_that_failed_is_not_fetched_at_once(void **state)
{
    Fixture *f = *state;

    ask_with(f, "v=STSv1; id=1;");
    answer_fetch(f, 0, STS_FETCH_FAILED, 0, 0);
    assert_string_equal(f->answers, "nothing ");
    f->now += 4 * MINUTE;
    sts_sweep(f->sts);
    ask_with(f, "v=STSv1; id=1;");
    assert_string_equal(f->answers, "nothing ");
    assert_int_equal(f->n_fetches, 1);
    ask_with(f, "v=STSv1; id=2;");
    assert_int_equal(f->n_fetches, 2);
    answer_fetch(f, 1, STS_FETCH_FAILED, 0, 0);
    f->now += 6 * MINUTE;
    ask_with(f, "v=STSv1; id=2;");
    assert_int_equal(f->n_fetches, 3);
}

/* Whoever crashes our fetcher, or has us run out of something, must not get mail delivered in the clear by it. */
static void test_our_own_fault_is_no_answer(void **state)
{
    Fixture *f = *state;

    ask_with(f, "v=STSv1; id=1;");
    answer_fetch(f, 0, STS_FETCH_IMPOSSIBLE, 0, 0);
    assert_string_equal(f->answers, "ours ");
    assert_string_equal(f->news, "a.example impossible nothing; ");
    f->no_fetcher = true;
    ask_with(f, "v=STSv1; id=1;");
    assert_string_equal(f->answers, "ours ");
    f->no_fetcher = false;
    fetch_policy(f, STS_MODE_ENFORCE, 604800);
    f->no_fetcher = true;
    ask_with(f, "v=STSv1; id=2;");
    assert_string_equal(f->answers, "enforce ");
}

static void test_deliveries_share_lookup_and_fetch(void **state)
{
    Fixture *f = *state;
    StsQuery *gone;

    (void) ask(f, "a.example");
    gone = ask(f, "a.example");
    (void) ask(f, "a.example");
    assert_int_equal(f->n_lookups, 1);
    sts_query_cancel(gone);
    answer_lookup(f, 0, "v=STSv1; id=1;");
    (void) ask(f, "a.example");
    assert_int_equal(f->n_lookups, 2);
    answer_lookup(f, 1, "v=STSv1; id=1;");
    assert_int_equal(f->n_fetches, 1);
    assert_string_equal(f->answers, "");
    answer_fetch(f, 0, STS_FETCH_DONE, STS_MODE_ENFORCE, 604800);
    assert_string_equal(f->answers, "enforce enforce enforce ");
}

static void test_fetches_are_limited(void **state)
{
    Fixture *f = *state;
    char domain[32];

    for (unsigned i = 0; i < STS_FETCHES_MAX + 3; i++) {
        (void) snprintf(domain, sizeof(domain), "d%u.example", i);
        (void) ask(f, domain);
        answer_lookup(f, i, "v=STSv1; id=1;");
    }
    assert_int_equal(f->n_fetches, STS_FETCHES_MAX);
    answer_fetch(f, 0, STS_FETCH_FAILED, 0, 0);
    answer_fetch(f, 1, STS_FETCH_IMPOSSIBLE, 0, 0);
    assert_int_equal(f->n_fetches, STS_FETCHES_MAX + 2);
    assert_string_equal(f->fetches[STS_FETCHES_MAX].name, "d32.example");
}

static void test_sts_13_none_is_kept_and_asked_for_again_when_it_expires(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_NONE, 86400);
    ask_with(f, "v=STSv1; id=1;");
    assert_string_equal(f->answers, "none ");
    assert_int_equal(f->n_fetches, 1);
}

/* Nobody has to send mail for it. */
static void test_sts_6_25_policies_are_renewed_and_failures_told(void **state)
{
    Fixture *f = *state;
    uint64_t due = 0;
    size_t lookups;

    fetch_policy(f, STS_MODE_ENFORCE, 604800);
    lookups = f->n_lookups;
    for (; f->n_lookups == lookups && due < 25; due++) {
        f->now += 60 * MINUTE;
        sts_sweep(f->sts);
    }
    assert_in_range(due, 20, 25);
    *f->news = '\0';
    answer_lookup(f, lookups, "v=STSv1; id=1;");
    answer_fetch(f, 1, STS_FETCH_DONE, STS_MODE_ENFORCE, 604800);
    assert_string_equal(f->news, "a.example renewed holds; ");

    /* The next time it fails, by the record or by the policy, and is tried again after an hour. */
    f->now += DAY;
    sts_sweep(f->sts);
    *f->news = '\0';
    answer_lookup(f, lookups + 1, "");
    assert_string_equal(f->news, "a.example failed holds; ");
    f->now += 50 * MINUTE;
    sts_sweep(f->sts);
    assert_int_equal(f->n_lookups, lookups + 2);
    f->now += 15 * MINUTE;
    sts_sweep(f->sts);
    answer_lookup(f, lookups + 2, "v=STSv1; id=1;");
    answer_fetch(f, 2, STS_FETCH_FAILED, 0, 0);
    assert_string_equal(f->news, "a.example failed holds; a.example failed holds; ");

    /* One that has expired is forgotten, and not renewed. */
    f->now += 8 * DAY;
    lookups = f->n_lookups;
    sts_sweep(f->sts);
    assert_int_equal(f->n_lookups, lookups);
    assert_false(sts_find(f->sts, "a.example", &(StsInfo) {}));
}

static void test_sts_25_none_is_not_renewed(void **state)
{
    Fixture *f = *state;
    size_t lookups;

    fetch_policy(f, STS_MODE_NONE, 604800);
    lookups = f->n_lookups;
    f->now += 3 * DAY;
    sts_sweep(f->sts);
    assert_int_equal(f->n_lookups, lookups);
}

static void test_refresh_on_request(void **state)
{
    Fixture *f = *state;

    fetch_policy(f, STS_MODE_ENFORCE, 604800);
    assert_int_equal(sts_refresh(f->sts, "a.example", on_refreshed, f), 0);
    answer_lookup(f, 1, "v=STSv1; id=1;");
    assert_int_equal(f->n_fetches, 2);
    /* Mail does not wait for it. */
    ask_with(f, "v=STSv1; id=1;");
    assert_string_equal(f->answers, "enforce ");
    answer_fetch(f, 1, STS_FETCH_FAILED, 0, 0);
    assert_string_equal(f->refreshed, "so ");
    /* Nor is it held up by a failure just now. */
    assert_int_equal(sts_refresh(f->sts, "a.example", on_refreshed, f), 0);
    answer_lookup(f, 3, "v=STSv1; id=1;");
    answer_fetch(f, 2, STS_FETCH_DONE, STS_MODE_TESTING, 604800);
    assert_string_equal(f->refreshed, "so fine ");
    assert_int_equal(sts_refresh(f->sts, "b.example", on_refreshed, f), 0);
    answer_lookup(f, 4, "");
    assert_string_equal(f->refreshed, "so fine there is no valid record _mta-sts.b.example ");
}

static bool collect(const StsInfo *info, void *userdata)
{
    (void) strcat(strcat(userdata, info->domain), " ");
    return true;
}

static void test_list(void **state)
{
    static const char *const domains[] = {"c.example", "a.example", "b.example", "d.example"};
    char names[128] = "";
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(domains); i++) {
        (void) ask(f, domains[i]);
        answer_lookup(f, i, "v=STSv1; id=1;");
        answer_fetch(f, i, i < 3 ? STS_FETCH_DONE : STS_FETCH_FAILED, STS_MODE_ENFORCE, 5);
    }
    sts_foreach(f->sts, "", collect, names);
    assert_string_equal(names, "a.example b.example c.example ");
    *names = '\0';
    sts_foreach(f->sts, "a.example", collect, names);
    assert_string_equal(names, "b.example c.example ");
}

/* What was stored counts from its time, not from the start. */
static void test_sts_24_stored_policies_hold(void **state)
{
    static const char *const mx[] = {"mx.example"};
    StsCached cached = {.id = "1", .fetched_usec = START - DAY / 2};
    Fixture *f = *state;

    assert_int_equal(sts_policy_new(STS_MODE_ENFORCE, 86400, mx, 1, &cached.policy), 0);
    assert_int_equal(sts_add(f->sts, "a.example", &cached), 0);
    ask_with(f, NULL);
    assert_string_equal(f->answers, "enforce ");
    f->now += DAY / 2;
    ask_with(f, NULL);
    assert_string_equal(f->answers, "later ");
}

static void test_limits(void **state)
{
    static const char *const mx[] = {"mx.example"};
    Fixture *f = *state;
    char domain[32];

    for (unsigned i = 0; i <= STS_POLICIES_MAX; i++) {
        StsCached cached = {.id = "1", .fetched_usec = START};

        assert_int_equal(sts_policy_new(STS_MODE_ENFORCE, 86400, mx, 1, &cached.policy), 0);
        (void) snprintf(domain, sizeof(domain), "d%u.example", i);
        assert_int_equal(sts_add(f->sts, domain, &cached), i < STS_POLICIES_MAX ? 0 : -ENOBUFS);
        sts_cached_done(&cached);
    }
    /* A new one takes the place of the one that was not used for longest. */
    fetch_policy(f, STS_MODE_ENFORCE, 86400);
    assert_false(sts_find(f->sts, "d0.example", &(StsInfo) {}));
    assert_true(sts_find(f->sts, "d1.example", &(StsInfo) {}));
    assert_true(sts_find(f->sts, "a.example", &(StsInfo) {}));
}

static void test_end_while_all_is_under_way(void **state)
{
    Fixture *f = *state;
    StsQuery *q;

    q = ask(f, "a.example");
    assert_int_equal(sts_refresh(f->sts, "b.example", on_refreshed, f), 0);
    answer_lookup(f, 1, "v=STSv1; id=1;");
    sts_query_cancel(q);
    f->sts = sts_free(f->sts);
    assert_true(f->lookups[0].cancelled && f->fetches[0].cancelled);
    assert_string_equal(f->refreshed, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sts_1_no_record_no_policy),
        TEST(test_sts_2_the_cache_holds_without_a_record),
        TEST(test_sts_4_mail_waits_if_nothing_can_be_told),
        TEST(test_sts_5_6_a_new_id_is_fetched_and_the_same_is_not),
        TEST(test_sts_5_a_failed_fetch_leaves_the_cache),
        TEST(test_sts_7_a_policy_that_expired_is_fetched_anew),
        TEST(test_sts_10_an_id_that_failed_is_not_fetched_at_once),
        TEST(test_our_own_fault_is_no_answer),
        TEST(test_deliveries_share_lookup_and_fetch),
        TEST(test_fetches_are_limited),
        TEST(test_sts_13_none_is_kept_and_asked_for_again_when_it_expires),
        TEST(test_sts_6_25_policies_are_renewed_and_failures_told),
        TEST(test_sts_25_none_is_not_renewed),
        TEST(test_refresh_on_request),
        TEST(test_list),
        TEST(test_sts_24_stored_policies_hold),
        TEST(test_limits),
        TEST(test_end_while_all_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
