/* SPDX-License-Identifier: Apache-2.0 */

/* One text form for names, whatever way they come in. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns-name.h"

#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_normalize(void **state)
{
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        {"Example.COM", "example.com"},
        {"example.com.", "example.com"},
        {"_25._tcp.Mail.example", "_25._tcp.mail.example"},
        {".", ""},
        {"a\\.b.example", "a\\.b.example"},
        {"a\\000.example", "a\\000.example"},
        {"\\065.example", "a.example"},
        {"\\@.example", "\\@.example"},
        {LABEL63 "." LABEL63 "." LABEL63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            LABEL63 "." LABEL63 "." LABEL63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {LABEL63 "." LABEL63 "." LABEL63 "." LABEL63, NULL},
        {LABEL63 "a.example", NULL},
        {"", NULL},
        {"a..b", NULL},
        {".a", NULL},
        {"a b", NULL},
        {"b\xc3\xbc" "cher.example", NULL},
        {"a\\", NULL},
        {"a\\999.b", NULL},
        {"a\nb", NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *out = NULL;
        int r = dns_name_normalize(cases[i].in, &out);

        if (cases[i].out) {
            assert_int_equal(r, 0);
            assert_string_equal(out, cases[i].out);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_null(out);
        }
    }
}

static void test_from_wire(void **state)
{
    static const struct {
        const char *wire;
        size_t size;
        const char *out; /* NULL: -EBADMSG */
        size_t used;
    } cases[] = {
        {"\4Mail\3LAB\0rest", 14, "mail.lab", 10},
        {"\0", 1, "", 1},
        {"\3a.b\3lab\0", 9, "a\\.b.lab", 9},
        {"\1\xff\3lab\0", 7, "\\255.lab", 7},
        {"\4mail\3lab", 9, NULL},     /* no end */
        {"\4mai", 4, NULL},           /* cut */
        {"", 0, NULL},
        {"\4mail\xc0\x0c\0", 8, NULL}, /* compression pointer */
        {"\x41" "a\0", 3, NULL},       /* extended label type */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *out = NULL;
        size_t used = 0;
        int r = dns_name_from_wire((const uint8_t *) cases[i].wire, cases[i].size, &out, &used);

        if (cases[i].out) {
            assert_int_equal(r, 0);
            assert_string_equal(out, cases[i].out);
            assert_int_equal(used, cases[i].used);
        } else {
            assert_int_equal(r, -EBADMSG);
            assert_null(out);
        }
    }
}

static void test_within(void **state)
{
    assert_true(dns_name_within("mail.lab", "lab"));
    assert_true(dns_name_within("lab", "lab"));
    assert_true(dns_name_within("lab", ""));
    assert_false(dns_name_within("collab", "lab"));
    assert_false(dns_name_within("lab", "mail.lab"));
    assert_false(dns_name_within("mail\\.lab", "lab"));
    assert_true(dns_name_within("mail\\\\.lab", "lab"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_from_wire),
        cmocka_unit_test(test_within),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
