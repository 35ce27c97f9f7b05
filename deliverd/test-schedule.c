/* SPDX-License-Identifier: Apache-2.0 */

/* The schedule: order by time, limits, turns among destinations, and a random run against simple counting. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schedule.h"

static void test_time(void **state)
{
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry a = {}, b = {}, c = {};

    assert_int_equal(schedule_new(&s, 10), 0);
    assert_true(schedule_due(s) == UINT64_MAX);
    assert_int_equal(schedule_add(s, &a, "a.example", 5, 300), 0);
    assert_int_equal(schedule_add(s, &b, "b.example", 5, 100), 0);
    assert_int_equal(schedule_add(s, &c, "c.example", 5, 200), 0);
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
    _cleanup_(schedule_freep) Schedule *s = NULL;
    ScheduleEntry big[10] = {}, small[2] = {};
    ScheduleEntry *third;

    assert_int_equal(schedule_new(&s, 4), 0);
    for (size_t i = 0; i < ELEMENTSOF(big); i++)
        assert_int_equal(schedule_add(s, big + i, "big.example", 2, 10 + i), 0);
    for (size_t i = 0; i < ELEMENTSOF(small); i++)
        assert_int_equal(schedule_add(s, small + i, "small.example", 2, 100 + i), 0);
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
    schedule_set_max_running(s, 3);
    schedule_remove(s, big + 1);
    assert_ptr_equal(schedule_next(s, 1000), big + 3);
    assert_null(schedule_next(s, 1000));
}

static void test_random(void **state)
{
    enum { N = 300 };
    _cleanup_(schedule_freep) Schedule *s = NULL;
    static ScheduleEntry entries[N];
    uint64_t now = 0;

    srandom(4711);
    assert_int_equal(schedule_new(&s, 20), 0);
    for (unsigned step = 0; step < 50000; step++) {
        ScheduleEntry *e = entries + random() % N, *next;
        char domain[32];
        unsigned counts[SCHEDULE_RUNNING + 1] = {};

        now += (uint64_t) random() % 3;
        (void) snprintf(domain, sizeof(domain), "d%ld.example", (e - entries) % 7);
        if (e->state == SCHEDULE_IDLE)
            assert_int_equal(schedule_add(s, e, domain, 4, now + (uint64_t) random() % 100), 0);
        else if (random() % 3 == 0)
            schedule_remove(s, e);
        next = schedule_next(s, now);
        if (next) {
            assert_true(next->due_usec <= now);
            assert_int_equal(next->state, SCHEDULE_RUNNING);
        }
        if (random() % 500 == 0)
            (void) schedule_flush(s, "d3.example");
        for (size_t i = 0; i < N; i++)
            counts[entries[i].state]++;
        for (ScheduleState i = SCHEDULE_WAITING; i <= SCHEDULE_RUNNING; i++)
            assert_int_equal(counts[i], schedule_count(s, i));
        assert_true(counts[SCHEDULE_RUNNING] <= 20);
        for (unsigned i = 0; i < 7; i++) {
            (void) snprintf(domain, sizeof(domain), "d%u.example", i);
            assert_true(schedule_running_for(s, domain) <= 4);
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
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
