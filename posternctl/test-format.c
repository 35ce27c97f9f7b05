/* SPDX-License-Identifier: Apache-2.0 */

/* Numbers, times and widths as people see them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "cleanup.h"
#include "format.h"

static void test_time(void **state)
{
    char buffer[FORMAT_TIME_MAX];

    assert_int_equal(setenv("TZ", "UTC", true), 0);
    tzset();
    assert_string_equal(format_time(buffer, UINT64_C(1795516471999999)), "Tue 2026-11-24 10:34:31 UTC");
    assert_string_equal(format_time(buffer, 0), "-");
    assert_string_equal(format_time(buffer, UINT64_MAX), "-");
}

static void test_size(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } table[] = {
        {0, "0B"},
        {1023, "1023B"},
        {1024, "1.0K"},
        {1536, "1.5K"},
        {1024 * 1024 - 1, "1023.9K"},
        {UINT64_C(10) * 1024 * 1024, "10.0M"},
        {UINT64_MAX, "15.9E"},
    };
    char buffer[FORMAT_SIZE_MAX];

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        assert_string_equal(format_size(buffer, table[i].bytes), table[i].text);
}

static void test_distance(void **state)
{
    const uint64_t now = UINT64_C(1000000) * USEC_PER_SEC;
    static const struct {
        int64_t seconds;
        const char *text;
    } table[] = {
        {0, "now"},
        {1, "in 1 s"},
        {59, "in 59 s"},
        {-60, "1 min ago"},
        {7200, "in 2 h"},
        {86400, "in 1 day"},
        {-2 * 86400, "2 days ago"},
        {365 * 86400, "in 365 days"},
    };
    char buffer[FORMAT_SPAN_MAX];

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        assert_string_equal(format_distance(buffer, now + (uint64_t) (table[i].seconds * (int64_t) USEC_PER_SEC), now),
                table[i].text);
}

static void test_width(void **state)
{
    static const struct {
        const char *text;
        size_t width;
    } table[] = {
        {"", 0},
        {"plain", 5},
        {"M\xc3\xbcller", 6},
        {"\xe6\x97\xa5\xe6\x9c\xac", 4},
        {"e\xcc\x81", 1},
        {"\xf0\x9f\x93\xa7", 2},
        {"\xff", 1},
    };
    size_t width;

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        assert_int_equal(format_width(table[i].text), table[i].width);
    /* A wide character is not cut. */
    assert_int_equal(format_fit("\xe6\x97\xa5\xe6\x9c\xac", 3, &width), 3);
    assert_int_equal(width, 2);
    assert_int_equal(format_fit("abc", 0, &width), 0);
    assert_int_equal(width, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
