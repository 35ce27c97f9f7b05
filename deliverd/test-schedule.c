/* SPDX-License-Identifier: Apache-2.0 */

/* The schedule: order by time, limits, turns among destinations, and a random run against simple counting. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schedule.h"

/* What get_limits() says of domains that begin with "a", and of others. */
typedef struct Limits {
    ScheduleLimits of_a, of_others;
} Limits;

static void get_limits(const char *domain, ScheduleLimits *ret, void *userdata)
{
    const Limits *l = userdata;

    *ret = *domain == 'a' ? l->of_a : l->of_others;
}

static void test_time(void **state)
{
    Limits limits = {{.running = 5}, {.running = 5}};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a = {}, b = {}, c = {};

    assert_int_equal(schedule_new(&s, 10, get_limits, &limits), 0);
    assert_true(schedule_due(s) == UINT64_MAX);
    assert_int_equal(schedule_add(s, &a, "a.example", 1, 300), 0);
    assert_int_equal(schedule_add(s, &b, "b.example", 1, 100), 0);
    assert_int_equal(schedule_add(s, &c, "c.example", 1, 200), 0);
    assert_int_equal(schedule_due(s), 100);
    assert_null(schedule_next(s, 99));
    assert_ptr_equal(schedule_next(s, 250), &b);
    assert_ptr_equal(schedule_next(s, 250), &c);
    assert_null(schedule_next(s, 250));
    assert_int_equal(schedule_flush(s, "b.example"), 0);
    assert_int_equal(schedule_flush(s, "a.example"), 1);
    assert_ptr_equal(schedule_next(s, 250), &a);
    assert_int_equal(schedule_count(s, SCHEDULE_RUNNING), 3);
    schedule_remove(s, &a);
    schedule_remove(s, &b);
    schedule_remove(s, &c);
    assert_int_equal(schedule_count(s, SCHEDULE_RUNNING), 0);
}

/* A destination with many messages does not keep another from its turn, nor beyond its limit. */
static void test_turns(void **state)
{
    Limits limits = {.of_others = {.running = 2}};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry big[10] = {}, small[2] = {};
    ScheduleEntry *third;

    assert_int_equal(schedule_new(&s, 4, get_limits, &limits), 0);
    for (size_t i = 0; i < ELEMENTSOF(big); i++)
        assert_int_equal(schedule_add(s, big + i, "big.example", 1, 10 + i), 0);
    for (size_t i = 0; i < ELEMENTSOF(small); i++)
        assert_int_equal(schedule_add(s, small + i, "small.example", 1, 100 + i), 0);
    assert_ptr_equal(schedule_next(s, 1000), big);
    assert_ptr_equal(schedule_next(s, 1000), small);
    third = schedule_next(s, 1000);
    assert_ptr_equal(third, big + 1);
    assert_int_equal(schedule_running_for(s, "big.example"), 2);
    assert_int_equal(schedule_count_for(s, "big.example"), 10);
    assert_int_equal(schedule_count_for(s, "none.example"), 0);
    assert_ptr_equal(schedule_next(s, 1000), small + 1);
    assert_null(schedule_next(s, 1000)); /* both limits are reached */
    schedule_remove(s, small);
    assert_null(schedule_next(s, 1000)); /* big's limit */
    schedule_remove(s, big);
    assert_ptr_equal(schedule_next(s, 1000), big + 2);
    schedule_configure(s, 3);
    schedule_remove(s, big + 1);
    assert_ptr_equal(schedule_next(s, 1000), big + 3);
    assert_null(schedule_next(s, 1000));
}

/* So many recipients in a period, in their order; other destinations do not wait for that. */
static void test_periods(void **state)
{
    Limits limits = {{.running = 9, .recipients = 3, .period_usec = 100}, {.running = 9}};
    static const unsigned n_recipients[] = {2, 2, 1, 5, 1};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a[5] = {}, b = {};

    assert_int_equal(schedule_new(&s, 10, get_limits, &limits), 0);
    for (size_t i = 0; i < ELEMENTSOF(a); i++)
        assert_int_equal(schedule_add(s, a + i, "a.example", n_recipients[i], i), 0);
    assert_int_equal(schedule_add(s, &b, "b.example", 7, 10), 0);
    assert_ptr_equal(schedule_next(s, 1000), a);
    assert_ptr_equal(schedule_next(s, 1000), &b);
    assert_null(schedule_next(s, 1000)); /* not the third one either, which would fit */
    assert_int_equal(schedule_due(s), 1100);
    assert_int_equal(schedule_flush(s, "a.example"), 0); /* that is no way around it */
    assert_null(schedule_next(s, 1001));
    assert_int_equal(schedule_due(s), 1100);
    assert_int_equal(schedule_count(s, SCHEDULE_WAITING), 1);
    assert_int_equal(schedule_count(s, SCHEDULE_READY), 3);
    assert_null(schedule_next(s, 1099));
    assert_ptr_equal(schedule_next(s, 1100), a + 1);
    assert_ptr_equal(schedule_next(s, 1150), a + 2);
    assert_null(schedule_next(s, 1150)); /* it is for more than there ever may be … */
    assert_int_equal(schedule_due(s), 1200);
    assert_ptr_equal(schedule_next(s, 1200), a + 3); /* … and gets a period to itself */
    assert_null(schedule_next(s, 1299));
    assert_ptr_equal(schedule_next(s, 1300), a + 4);
    assert_null(schedule_next(s, 1400));
    assert_true(schedule_due(s) == UINT64_MAX);
}

/* What was started counts when all of it is gone, but not for ever; and nobody waits behind one that is gone. */
static void test_periods_and_removal(void **state)
{
    Limits limits = {{.running = 9, .recipients = 1, .period_usec = 100}};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a = {}, b = {}, c = {};

    assert_int_equal(schedule_new(&s, 10, get_limits, &limits), 0);
    assert_int_equal(schedule_add(s, &a, "a.example", 1, 0), 0);
    assert_ptr_equal(schedule_next(s, 1000), &a);
    schedule_remove(s, &a);
    assert_int_equal(schedule_count_for(s, "a.example"), 0);
    assert_null(schedule_next(s, 1010));
    assert_int_equal(schedule_add(s, &b, "a.example", 1, 0), 0);
    assert_int_equal(schedule_add(s, &c, "a.example", 1, 0), 0);
    assert_null(schedule_next(s, 1020));
    assert_int_equal(schedule_due(s), 1100);
    schedule_remove(s, b.state == SCHEDULE_WAITING ? &b : &c);
    assert_null(schedule_next(s, 1030));
    assert_int_equal(schedule_due(s), 1100);
    assert_int_equal(schedule_count(s, SCHEDULE_WAITING), 1);

    /* The clock is set back: nobody waits for a time that was. */
    assert_non_null(schedule_next(s, 500));

    schedule_remove(s, &b);
    schedule_remove(s, &c);
    assert_int_equal(schedule_add(s, &a, "a.example", 1, 0), 0);
    assert_null(schedule_next(s, 520));
    schedule_remove(s, &a);
    assert_null(schedule_next(s, 700)); /* forgotten */
    assert_int_equal(schedule_add(s, &a, "a.example", 1, 0), 0);
    assert_ptr_equal(schedule_next(s, 701), &a);
}

/* What came to nothing for a reason of ours is not counted. */
static void test_refund(void **state)
{
    Limits limits = {{.running = 9, .recipients = 3, .period_usec = 100}};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a[3] = {};

    assert_int_equal(schedule_new(&s, 10, get_limits, &limits), 0);
    for (size_t i = 0; i < ELEMENTSOF(a); i++)
        assert_int_equal(schedule_add(s, a + i, "a.example", 2, i), 0);
    assert_ptr_equal(schedule_next(s, 1000), a);
    assert_null(schedule_next(s, 1000));
    schedule_refund(s, a);
    schedule_remove(s, a);
    schedule_refund(s, a);
    assert_ptr_equal(schedule_next(s, 1010), a + 1);
    assert_null(schedule_next(s, 1010));
    schedule_refund(s, a + 2); /* it is not running */
    assert_null(schedule_next(s, 1010));
    assert_int_equal(schedule_due(s), 1100);
}

/* Other limits hold at once, in both directions, for what is there as well. */
static void test_limits_change(void **state)
{
    Limits limits = {{.running = 9, .recipients = 1, .period_usec = 100}};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a[5] = {};

    assert_int_equal(schedule_new(&s, 10, get_limits, &limits), 0);
    for (size_t i = 0; i < ELEMENTSOF(a); i++)
        assert_int_equal(schedule_add(s, a + i, "a.example", 1, i), 0);
    assert_ptr_equal(schedule_next(s, 1000), a);
    assert_null(schedule_next(s, 1000));
    schedule_configure(s, 10);
    assert_null(schedule_next(s, 1000));
    assert_int_equal(schedule_due(s), 1100);
    limits.of_a.recipients = 2;
    schedule_configure(s, 10);
    assert_ptr_equal(schedule_next(s, 1000), a + 1);
    assert_null(schedule_next(s, 1000));
    limits.of_a = (ScheduleLimits) {.running = 3};
    schedule_configure(s, 10);
    assert_ptr_equal(schedule_next(s, 1000), a + 2);
    assert_null(schedule_next(s, 1000));
    limits.of_a.running = 4;
    schedule_configure(s, 10);
    assert_ptr_equal(schedule_next(s, 1000), a + 3);
    limits.of_a.running = 9;
    schedule_configure(s, 4);
    assert_null(schedule_next(s, 1000));
    schedule_configure(s, 5);
    assert_ptr_equal(schedule_next(s, 1000), a + 4);
}

static void test_random(void **state)
{
    enum { N = 300, PERIOD = 50, PER_PERIOD = 5 };
    Limits limits = {{.running = 4, .recipients = PER_PERIOD, .period_usec = PERIOD}, {.running = 4}};
    uint64_t started[7] = {};
    _cleanup_(schedule_freep) Schedule *s = NULL;
    static ScheduleEntry entries[N];
    uint64_t now = 0;

    srandom(4711);
    assert_int_equal(schedule_new(&s, 20, get_limits, &limits), 0);
    for (unsigned step = 0; step < 50000; step++) {
        ScheduleEntry *e = entries + random() % N, *next;
        const long n = (e - entries) % 7;
        char domain[32];
        unsigned counts[SCHEDULE_RUNNING + 1] = {};

        now += (uint64_t) random() % 3;
        (void) snprintf(domain, sizeof(domain), "%c%ld.example", n % 2 ? 'a' : 'd', n);
        if (e->state == SCHEDULE_IDLE)
            assert_int_equal(schedule_add(s, e, domain, 1 + (unsigned) random() % 3, now + (uint64_t) random() % 100), 0);
        else if (random() % 3 == 0)
            schedule_remove(s, e);
        next = schedule_next(s, now);
        if (next) {
            assert_true(next->due_usec <= now);
            assert_int_equal(next->state, SCHEDULE_RUNNING);
            started[(next - entries) % 7] += next->n_recipients;
        }
        if (random() % 500 == 0)
            (void) schedule_flush(s, "a3.example");
        for (size_t i = 0; i < N; i++)
            counts[entries[i].state]++;
        for (ScheduleState i = SCHEDULE_WAITING; i <= SCHEDULE_RUNNING; i++)
            assert_int_equal(counts[i], schedule_count(s, i));
        assert_true(counts[SCHEDULE_RUNNING] <= 20);
        for (unsigned i = 0; i < 7; i++) {
            (void) snprintf(domain, sizeof(domain), "%c%u.example", i % 2 ? 'a' : 'd', i);
            assert_true(schedule_running_for(s, domain) <= 4);
            assert_true(i % 2 == 0 || started[i] <= PER_PERIOD * (now / PERIOD + 1));
        }
    }
}

static void test_interval(void **state)
{
    assert_int_equal(schedule_interval(0, 10, 100), 10);
    assert_int_equal(schedule_interval(1, 10, 100), 10);
    assert_int_equal(schedule_interval(2, 10, 100), 20);
    assert_int_equal(schedule_interval(4, 10, 100), 80);
    assert_int_equal(schedule_interval(5, 10, 100), 100);
    assert_int_equal(schedule_interval(4000000000u, 10, 100), 100);
    assert_int_equal(schedule_interval(3, 100, 10), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_periods_and_removal),
        cmocka_unit_test(test_refund),
        cmocka_unit_test(test_limits_change),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
