/* SPDX-License-Identifier: Apache-2.0 */

/* What the self-test says of each pair of answers, and that a network which loses signatures is alerted once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "self-test.h"

static void test_judge(void **state)
{
    static const struct {
        SelfTestFacts facts;
        SelfTestVerdict verdict;
    } cases[] = {
        {{true, true, DNSSEC_SECURE, DNSSEC_BOGUS}, SELF_TEST_WORKS},
        {{true, true, DNSSEC_BOGUS, DNSSEC_BOGUS}, SELF_TEST_STRIPPED},
        {{true, true, DNSSEC_INSECURE, DNSSEC_BOGUS}, SELF_TEST_STRIPPED},
        {{true, true, DNSSEC_BOGUS, DNSSEC_INSECURE}, SELF_TEST_STRIPPED},
        {{true, true, DNSSEC_SECURE, DNSSEC_INSECURE}, SELF_TEST_INEFFECTIVE},
        {{true, true, DNSSEC_ERROR, DNSSEC_INSECURE}, SELF_TEST_INEFFECTIVE},
        /* Somebody repaired the broken name, or its servers are away. */
        {{true, true, DNSSEC_SECURE, DNSSEC_SECURE}, SELF_TEST_WORKS},
        {{true, true, DNSSEC_SECURE, DNSSEC_ERROR}, SELF_TEST_WORKS},
        /* No network. That only the broken name is answered says nothing. */
        {{true, true, DNSSEC_ERROR, DNSSEC_ERROR}, SELF_TEST_NO_ANSWER},
        {{true, true, DNSSEC_ERROR, DNSSEC_BOGUS}, SELF_TEST_NO_ANSWER},
        /* No trust anchor is above a name. */
        {{true, true, DNSSEC_INDETERMINATE, DNSSEC_INDETERMINATE}, SELF_TEST_OFF},
        {{true, true, DNSSEC_INDETERMINATE, DNSSEC_BOGUS}, SELF_TEST_WORKS},
        {{true, true, DNSSEC_SECURE, DNSSEC_INDETERMINATE}, SELF_TEST_WORKS},
        {{true, false, DNSSEC_INDETERMINATE, DNSSEC_ERROR}, SELF_TEST_OFF},
        {{false, true, DNSSEC_ERROR, DNSSEC_INDETERMINATE}, SELF_TEST_OFF},
        /* With one name only. */
        {{true, false, DNSSEC_SECURE, DNSSEC_ERROR}, SELF_TEST_WORKS},
        {{true, false, DNSSEC_ERROR, DNSSEC_ERROR}, SELF_TEST_NO_ANSWER},
        {{false, true, DNSSEC_ERROR, DNSSEC_BOGUS}, SELF_TEST_WORKS},
        {{false, true, DNSSEC_ERROR, DNSSEC_INSECURE}, SELF_TEST_INEFFECTIVE},
        {{false, true, DNSSEC_ERROR, DNSSEC_ERROR}, SELF_TEST_NO_ANSWER},
        {{false, false, DNSSEC_ERROR, DNSSEC_ERROR}, SELF_TEST_OFF},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        if (self_test_judge(&cases[i].facts) != cases[i].verdict)
            fail_msg("case %zu: %s, not %s", i, self_test_to_string(self_test_judge(&cases[i].facts)),
                    self_test_to_string(cases[i].verdict));
}

static void test_alerts_once(void **state)
{
    static const struct {
        SelfTestVerdict verdict;
        bool log, alert;
    } steps[] = {
        {SELF_TEST_NO_ANSWER, true, false}, /* before the network is there */
        {SELF_TEST_NO_ANSWER, false, false},
        {SELF_TEST_STRIPPED, true, true},
        {SELF_TEST_STRIPPED, false, false},
        {SELF_TEST_NO_ANSWER, true, false}, /* silence between is not wellness */
        {SELF_TEST_STRIPPED, true, false},
        {SELF_TEST_INEFFECTIVE, true, false},
        {SELF_TEST_WORKS, true, false},
        {SELF_TEST_WORKS, false, false},
        {SELF_TEST_INEFFECTIVE, true, true}, /* it was well in between */
        {SELF_TEST_OFF, false, false},
    };
    SelfTestHistory h = {.last = SELF_TEST_PENDING};

    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        const SelfTestStep s = self_test_step(&h, steps[i].verdict);

        if (s.log != steps[i].log || s.alert != steps[i].alert)
            fail_msg("step %zu: log %d, alert %d", i, s.log, s.alert);
    }
}

static void test_asks_again(void **state)
{
    SelfTestHistory h = {.last = SELF_TEST_PENDING};
    const uint64_t minute = 60 * USEC_PER_SEC;
    static const unsigned unanswered_minutes[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};

    assert_int_equal(self_test_step(&h, SELF_TEST_WORKS).again_usec, 60 * minute);
    assert_int_equal(self_test_step(&h, SELF_TEST_STRIPPED).again_usec, 5 * minute);
    for (size_t i = 0; i < ELEMENTSOF(unanswered_minutes); i++)
        assert_int_equal(self_test_step(&h, SELF_TEST_NO_ANSWER).again_usec, unanswered_minutes[i] * minute);
    assert_int_equal(self_test_step(&h, SELF_TEST_WORKS).again_usec, 60 * minute);
    assert_int_equal(self_test_step(&h, SELF_TEST_NO_ANSWER).again_usec, minute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_alerts_once),
        cmocka_unit_test(test_asks_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
