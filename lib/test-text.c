/* SPDX-License-Identifier: Apache-2.0 */

/* What is shown: nothing that moves a cursor, forges a line, or is not UTF-8; cut between characters. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "text.h"

static void test_printable(void **state)
{
    static const struct {
        const char *text, *expected;
        size_t size; /* of the destination */
    } table[] = {
        {"plain", "plain", 64},
        {"", "", 4},
        {"two\r\nlines\t", "two?\?lines?", 64},
        {"\x1b[31mred\x7f", "?[31mred?", 64},
        {"M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7", "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x93\xa7", 64},
        {"C1 \xc2\x9b, \xc2\xa0 is a space", "C1 ?, \xc2\xa0 is a space", 64},
        {"\xff\xc3(", "?\?(", 64},
        {"\xc0\xaf \xe0\x80\xaf", "?\? ?\?\?", 64},               /* overlong */
        {"\xed\xa0\x80", "?\?\?", 64},                           /* a surrogate */
        {"\xf4\x90\x80\x80", "?\?\?\?", 64},                      /* above U+10FFFF */
        {"cut \xe2\x82", "cut ?\?", 64},
        {"1234567", "1234567", 8},
        {"12345678", "1234\xe2\x80\xa6", 8},
        {"123\xc3\xbc\xc3\xbc", "123\xc3\xbc\xc3\xbc", 8},
        {"123\xc3\xbc\xc3\xbc!", "123\xe2\x80\xa6", 8},
        {"abcd", "\xe2\x80\xa6", 4},
    };
    char buffer[64];

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        size_t n = text_make_printable(buffer, table[i].size, table[i].text, SIZE_MAX);

        assert_string_equal(buffer, table[i].expected);
        assert_int_equal(n, strlen(table[i].expected));
    }
    assert_int_equal(text_make_printable(buffer, sizeof(buffer), "abcdef", 3), 3);
    assert_string_equal(buffer, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
