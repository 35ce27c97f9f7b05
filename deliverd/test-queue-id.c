/* SPDX-License-Identifier: Apache-2.0 */

/* Queue ids: shape, order by time, the bucket, and what is refused as a name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "queue-id.h"

static void test_shape(void **state)
{
    QueueId id = queue_id_make(0, 0, QUEUE_BUCKETS);

    assert_string_equal(id.text, "0000000000000000");
    id = queue_id_make(1000000, UINT64_C(0xffffffffff), QUEUE_BUCKETS);
    assert_string_equal(id.text, "00000040vvvvvvvv");
    assert_true(queue_id_valid(id.text));
    id = queue_id_make(1000000, UINT64_C(0xffffffffff), 10);
    assert_string_equal(id.text, "00000040vvvvvvva");
    assert_int_equal(queue_id_bucket(&id), 'a');
    assert_int_equal(queue_bucket_char(10), 'a');
}

static void test_order(void **state)
{
    QueueId last = queue_id_make(UINT64_C(1700000000000000), UINT64_C(0xffffffffff), 31);

    for (uint64_t t = UINT64_C(1700000000000000) + 10000; t < UINT64_C(1700000003000000); t += 10000) {
        QueueId id = queue_id_make(t, 0, 0);

        assert_true(strcmp(last.text, id.text) < 0);
        last = id;
    }
}

static void test_refused(void **state)
{
    const char *const bad[] = {
        "", "000000000000000", "00000000000000000", "000000000000000w", "000000000000000A", "../../../etc/pas", "00000000000000/0",
        "0000000 00000000",
    };
    QueueId id = {{'x'}};

    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(queue_id_parse(bad[i], &id), -EINVAL);
    assert_int_equal(id.text[0], 'x');
    assert_int_equal(queue_id_parse("0123456789abcdef", &id), 0);
    assert_string_equal(id.text, "0123456789abcdef");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
