/* SPDX-License-Identifier: Apache-2.0 */

/* Roles: root and the process' own uid are known on every host, a uid that nobody has is a stranger. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "role.h"

static void test_known(void **state)
{
    assert_int_equal(role_init(), 0);
    assert_true(role_from_uid(0) & ROLE_ROOT);
    assert_true(role_from_uid(geteuid()) & ROLE_SELF);
}

static void test_stranger(void **state)
{
    assert_int_equal(role_from_uid((uid_t) 4294900001u), 0);
    assert_string_equal(role_to_string(0), "stranger");
    assert_string_equal(role_to_string(ROLE_SMTPD | ROLE_SELF), "smtpd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_stranger),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
