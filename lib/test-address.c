/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses and domains, by table: what is accepted and in which form, what is refused and how. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "address.h"

#define L63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define L64 L63 "1"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        bool smtputf8;
        int result;
        const char *local, *domain;
    } table[] = {
        {"user@example.com", false, 0, "user", "example.com"},
        {"User.Name+tag@EXAMPLE.com", false, 0, "User.Name+tag", "example.com"},
        {"!#$%&'*+-/=?^_`{|}~@example.com", false, 0, "!#$%&'*+-/=?^_`{|}~", "example.com"},
        {"a@localhost", false, 0, "a", "localhost"},
        {"\"a b\"@example.com", false, 0, "\"a b\"", "example.com"},
        {"\"a@b\"@example.com", false, 0, "\"a@b\"", "example.com"},
        {"\"a\\\"\\\\\"@example.com", false, 0, "\"a\\\"\\\\\"", "example.com"},
        {"\"\"@example.com", false, 0, "\"\"", "example.com"},
        {L64 "@example.com", false, 0, L64, "example.com"},
        {"a@" L63 ".example", false, 0, "a", L63 ".example"},
        {"a@[192.0.2.1]", false, 0, "a", "[192.0.2.1]"},
        {"a@[ipv6:2001:DB8:0::1]", false, 0, "a", "[IPv6:2001:db8::1]"},
        {"a@xn--mller-kva.example", false, 0, "a", "xn--mller-kva.example"},
        {"j\xc3\xb6rg@m\xc3\xbcller.example", true, 0, "j\xc3\xb6rg", "xn--mller-kva.example"},
        {"\"\xc3\xb6 \"@example.com", true, 0, "\"\xc3\xb6 \"", "example.com"},

        {"", false, -EINVAL},
        {"user", false, -EINVAL},
        {"@example.com", false, -EINVAL},
        {"user@", false, -EINVAL},
        {".a@example.com", false, -EINVAL},
        {"a.@example.com", false, -EINVAL},
        {"a..b@example.com", false, -EINVAL},
        {"a b@example.com", false, -EINVAL},
        {"a@b@example.com", false, -EINVAL},
        {"<a@example.com>", false, -EINVAL},
        {"a@example.com ", false, -EINVAL},
        {"a@example..com", false, -EINVAL},
        {"a@example.com.", false, -EINVAL},
        {"a@-example.com", false, -EINVAL},
        {"a@exa_mple.com", false, -EINVAL},
        {"\"a@example.com", false, -EINVAL},
        {"\"a\"b@example.com", false, -EINVAL},
        {"\"a\tb\"@example.com", false, -EINVAL},
        {"\"a\\", false, -EINVAL},
        {"a@[192.0.2.256]", false, -EINVAL},
        {"a@[192.0.2.1", false, -EINVAL},
        {"a@[2001:db8::1]", false, -EINVAL},
        {"a@[IPv6:192.0.2.1]", false, -EINVAL},
        {"a@[]", false, -EINVAL},
        {"a@[Custom:thing]", false, -EINVAL},
        {"j\xc3\xb6rg@example.com", false, -EINVAL},
        {"a@m\xc3\xbcller.example", false, -EINVAL},
        {"j\xc3rg@example.com", true, -EINVAL},
        {"a\r\nb@example.com", false, -EINVAL},
        {L64 "x@example.com", false, -ENAMETOOLONG},
        {"a@" L64 ".example", false, -EINVAL},
        {"a@" L63 "." L63 "." L63 "." L63, false, -ENAMETOOLONG},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_free_ char *local = NULL, *domain = NULL;
        int r;

        r = address_parse(table[i].text, strlen(table[i].text), table[i].smtputf8, &local, &domain);
        if (r != table[i].result)
            fail_msg("%s: %d, expected %d", table[i].text, r, table[i].result);
        if (r < 0) {
            assert_null(local);
            assert_null(domain);
            continue;
        }
        assert_string_equal(local, table[i].local);
        assert_string_equal(domain, table[i].domain);
    }
}

static void test_nul(void **state)
{
    _cleanup_free_ char *local = NULL, *domain = NULL;

    assert_int_equal(address_parse("a@b\0.example", 12, false, &local, &domain), -EINVAL);
    assert_int_equal(address_parse("a\0b@example.com", 15, false, &local, &domain), -EINVAL);
}

static void test_domain_of(void **state)
{
    assert_string_equal(address_domain("a@example.com"), "example.com");
    assert_string_equal(address_domain("\"a@b\"@example.com"), "example.com");
    assert_null(address_domain("a"));
}

static void test_normalize(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *domain;
    } table[] = {
        {"Example.COM", 0, "example.com"},
        {"a", 0, "a"},
        {"1.2-3.x--y", 0, "1.2-3.x--y"},
        {"stra\xc3\x9f" "e.example", 0, "xn--strae-oqa.example"},
        {"\xe4\xbe\x8b\xe3\x81\x88.example", 0, "xn--r8jz45g.example"},
        {"", -EINVAL},
        {".", -EINVAL},
        {".a", -EINVAL},
        {"a.", -EINVAL},
        {"a..b", -EINVAL},
        {"a-.b", -EINVAL},
        {"a.-b", -EINVAL},
        {"a b", -EINVAL},
        {"a_b", -EINVAL},
        {"*.a", -EINVAL},
        {L64, -EINVAL},
        {"\xff.example", -EINVAL},
        {L63 "." L63 "." L63 "." L63 "x", -ENAMETOOLONG},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_free_ char *domain = NULL;
        int r;

        r = domain_normalize(table[i].text, &domain);
        if (r != table[i].result)
            fail_msg("%s: %d, expected %d", table[i].text, r, table[i].result);
        if (r >= 0)
            assert_string_equal(domain, table[i].domain);
        else
            assert_null(domain);
    }
}

static void test_matches(void **state)
{
    assert_true(domain_matches("example.com", "example.com"));
    assert_false(domain_matches("a.example.com", "example.com"));
    assert_true(domain_matches("a.example.com", ".example.com"));
    assert_true(domain_matches("b.a.example.com", ".example.com"));
    assert_false(domain_matches("example.com", ".example.com"));
    assert_false(domain_matches("badexample.com", ".example.com"));
    assert_false(domain_matches("com", ".example.com"));
}

static void test_sockaddr(void **state)
{
    static const struct {
        int family;
        const char *text, *string, *literal;
    } table[] = {
        {AF_INET, "192.0.2.1", "192.0.2.1", "[192.0.2.1]"},
        {AF_INET6, "2001:db8:0:0::1", "2001:db8::1", "[IPv6:2001:db8::1]"},
        {AF_INET6, "::ffff:192.0.2.1", "192.0.2.1", "[192.0.2.1]"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_free_ char *string = NULL, *literal = NULL;
        union {
            struct sockaddr sa;
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } u = {.sa.sa_family = (sa_family_t) table[i].family};
        void *address = table[i].family == AF_INET ? (void *) &u.in.sin_addr : (void *) &u.in6.sin6_addr;

        assert_int_equal(inet_pton(table[i].family, table[i].text, address), 1);
        assert_int_equal(sockaddr_to_string(&u.sa, &string), 0);
        assert_string_equal(string, table[i].string);
        assert_int_equal(sockaddr_to_literal(&u.sa, &literal), 0);
        assert_string_equal(literal, table[i].literal);
    }
    {
        const struct sockaddr sa = {.sa_family = AF_UNIX};
        char *string = NULL;

        assert_int_equal(sockaddr_to_string(&sa, &string), -EAFNOSUPPORT);
        assert_int_equal(sockaddr_to_literal(&sa, &string), -EAFNOSUPPORT);
        assert_null(string);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_domain_of),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_sockaddr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
