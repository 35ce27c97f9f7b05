/* SPDX-License-Identifier: Apache-2.0 */

/* Which addresses are one client, and that the count is right. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "client-count.h"

typedef union Address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} Address;

static Address address(const char *text)
{
    Address a = {};

    if (strchr(text, ':')) {
        a.in6.sin6_family = AF_INET6;
        assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
    } else {
        a.in.sin_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
    }
    return a;
}

static void test_same(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(client_count_freep) ClientCount *c = NULL;
        Address a = address(cases[i].a), b = address(cases[i].b);

        assert_int_equal(client_count_new(&c), 0);
        assert_int_equal(client_count_add(c, &a.sa, 1), 0);
        assert_int_equal(client_count_add(c, &b.sa, 1), cases[i].same ? -EUSERS : 0);
    }
}

static void test_limit(void **state)
{
    _cleanup_(client_count_freep) ClientCount *c = NULL;
    Address a = address("192.0.2.1"), b = address("192.0.2.2");

    assert_int_equal(client_count_new(&c), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(client_count_add(c, &a.sa, 5), 0);
        assert_int_equal(client_count_add(c, &a.sa, 5), -EUSERS);
        assert_int_equal(client_count_add(c, &b.sa, 5), 0);
        client_count_remove(c, &a.sa);
        assert_int_equal(client_count_add(c, &a.sa, 5), 0);
        for (unsigned i = 0; i < 5; i++)
            client_count_remove(c, &a.sa);
        client_count_remove(c, &b.sa);
        client_count_remove(c, &b.sa); /* one too many does no harm */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
