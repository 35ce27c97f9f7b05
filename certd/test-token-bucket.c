/* SPDX-License-Identifier: Apache-2.0 */

/* The bucket: a burst is free, beyond it each waits behind the one before, and time fills it again, up to the burst. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "token-bucket.h"

#define START (1000 * USEC_PER_SEC)

static void test_burst(void **state)
{
    TokenBucket b;

    token_bucket_init(&b, 1000, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(token_bucket_take(&b, START), 0);
    assert_int_equal(token_bucket_take(&b, START), 1000);
    assert_int_equal(token_bucket_take(&b, START), 2000);
    assert_int_equal(token_bucket_take(&b, START + 2500), 500);
}

static void test_refill(void **state)
{
    TokenBucket b;

    token_bucket_init(&b, 1000, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(token_bucket_take(&b, START), 0);
    assert_int_equal(token_bucket_take(&b, START + 1000), 0);
    assert_int_equal(token_bucket_take(&b, START + 1000), 1000);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(token_bucket_take(&b, START + 3600 * USEC_PER_SEC), 0);
    assert_true(token_bucket_take(&b, START + 3600 * USEC_PER_SEC) > 0);
}

static void test_steady(void **state)
{
    TokenBucket b;

    token_bucket_init(&b, 2000, 1);
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(token_bucket_take(&b, START + i * 500), 0);
}

static void test_try(void **state)
{
    TokenBucket b;

    token_bucket_init(&b, 1, 2);
    assert_true(token_bucket_try(&b, START));
    assert_true(token_bucket_try(&b, START));
    for (unsigned i = 0; i < 1000; i++)
        assert_false(token_bucket_try(&b, START));
    assert_true(token_bucket_try(&b, START + USEC_PER_SEC));
}

static void test_nonsense(void **state)
{
    TokenBucket b;

    token_bucket_init(&b, 0, 0);
    assert_int_equal(token_bucket_take(&b, START), 0);
    assert_int_equal(token_bucket_take(&b, START), USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_refill),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_try),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
