/* SPDX-License-Identifier: Apache-2.0 */

/* The intervals that alerts are held back for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "suppress.h"

#define S(n) ((n) * USEC_PER_SEC)

static const SuppressConfig config = {.initial_usec = S(300), .maximum_usec = S(3600)};

static void test_intervals_grow(void **state)
{
    static const uint64_t intervals[] = {300, 900, 2100, 3600, 3600};
    uint64_t now = S(1000);
    Suppress s = {0};
    unsigned count;

    assert_int_equal(suppress_raise(&s, &config, now), SUPPRESS_SEND);
    for (size_t i = 0; i < ELEMENTSOF(intervals); i++) {
        assert_int_equal(s.due_usec - now, S(intervals[i]));
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(suppress_raise(&s, &config, now + k), SUPPRESS_HOLD);
        now = s.due_usec;
        assert_int_equal(suppress_due(&s, &config, now, &count), SUPPRESS_SEND);
        assert_int_equal(count, i + 1);
    }
}

static void test_quiet_interval_ends_it(void **state)
{
    Suppress s = {0};
    unsigned count = 99;

    assert_int_equal(suppress_raise(&s, &config, S(1)), SUPPRESS_SEND);
    assert_int_equal(suppress_due(&s, &config, s.due_usec, &count), SUPPRESS_FORGET);
    assert_int_equal(count, 99);
    assert_int_equal(suppress_raise(&s, &config, S(10000)), SUPPRESS_SEND);
    assert_int_equal(s.interval_usec, S(300));
}

static void test_zero_sends_every_one(void **state)
{
    const SuppressConfig none = {.initial_usec = 0, .maximum_usec = S(3600)};
    Suppress s = {0};
    unsigned count;

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(suppress_raise(&s, &none, S(1)), SUPPRESS_SEND);

    /* Set to zero while something is held back: that is mailed, and then nothing is held back any more. */
    s = (Suppress) {0};
    assert_int_equal(suppress_raise(&s, &config, S(1)), SUPPRESS_SEND);
    assert_int_equal(suppress_raise(&s, &config, S(2)), SUPPRESS_HOLD);
    assert_int_equal(suppress_raise(&s, &none, S(3)), SUPPRESS_SEND);
    assert_int_equal(suppress_due(&s, &none, s.due_usec, &count), SUPPRESS_SEND);
    assert_int_equal(count, 1);
    assert_int_equal(s.interval_usec, 0);
}

static void test_maximum_below_initial(void **state)
{
    const SuppressConfig odd = {.initial_usec = S(300), .maximum_usec = S(60)};
    Suppress s = {0};
    unsigned count;

    assert_int_equal(suppress_raise(&s, &odd, S(1)), SUPPRESS_SEND);
    assert_int_equal(suppress_raise(&s, &odd, S(2)), SUPPRESS_HOLD);
    assert_int_equal(suppress_due(&s, &odd, s.due_usec, &count), SUPPRESS_SEND);
    assert_int_equal(s.interval_usec, S(300));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_grow),
        cmocka_unit_test(test_quiet_interval_ends_it),
        cmocka_unit_test(test_zero_sends_every_one),
        cmocka_unit_test(test_maximum_below_initial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
