/* SPDX-License-Identifier: Apache-2.0 */

/* Records as zone files have them; what is malformed is shown, not believed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "record-text.h"

#define DNS_TYPE_PTR 12

static void test_records(void **state)
{
    static const struct {
        uint16_t type;
        const char *data;
        size_t size;
        const char *text;
    } table[] = {
        {DNS_TYPE_A, "\xc0\0\2\1", 4, "192.0.2.1"},
        {DNS_TYPE_A, "\xc0\0\2", 3, "\\# 3 C00002"},
        {DNS_TYPE_AAAA, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, "2001:db8::1"},
        {DNS_TYPE_MX, "\0\12\2mx\3lab\0", 10, "10 mx.lab."},
        {DNS_TYPE_MX, "\0\0\0", 3, "0 ."}, /* null MX */
        {DNS_TYPE_MX, "\0\12\2mx\3lab", 9, "\\# 9 000A026D78036C6162"},
        {DNS_TYPE_MX, "", 0, "\\# 0 "},
        {DNS_TYPE_CNAME, "\1a\3lab\0", 7, "a.lab."},
        {DNS_TYPE_PTR, "\1a\3lab\0x", 8, "\\# 8 0161036C61620078"},
        {DNS_TYPE_CNAME, "\3\x1b[J\0", 5, "\\027[j."},
        {DNS_TYPE_TLSA, "\3\1\1\xab\xcd", 5, "3 1 1 ABCD"},
        {DNS_TYPE_TLSA, "\3\1\1", 3, "\\# 3 030101"},
        {DNS_TYPE_TXT, "\6v=STS1\2\"\\", 10, "\"v=STS1\" \"\\\"\\\\\""},
        {DNS_TYPE_TXT, "\3\x1b\xff ", 4, "\"\\027\\255 \""},
        {DNS_TYPE_TXT, "\0", 1, "\"\""},
        {DNS_TYPE_TXT, "\5abc", 4, "\\# 4 05616263"},
        {DNS_TYPE_TXT, "", 0, "\\# 0 "},
        {99, "\1", 1, "\\# 1 01"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        const ResolveRecord r = {(uint8_t *) table[i].data, table[i].size};
        _cleanup_free_ char *text = NULL;

        assert_int_equal(record_to_text(table[i].type, &r, &text), 0);
        assert_string_equal(text, table[i].text);
    }
}

static void test_types(void **state)
{
    uint16_t type;

    assert_int_equal(record_type_from_string("mx", &type), 0);
    assert_int_equal(type, DNS_TYPE_MX);
    assert_int_equal(record_type_from_string("TYPE52", &type), 0);
    assert_int_equal(type, DNS_TYPE_TLSA);
    assert_int_equal(record_type_from_string("ANY", &type), -EINVAL);
    assert_int_equal(record_type_from_string("", &type), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
