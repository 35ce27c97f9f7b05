/* SPDX-License-Identifier: Apache-2.0 */

/* Names of keys in tokens, and tokens that cannot be had. Signing with one is shown by tests/system/test_tokens.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokens.h"

static void test_uri(void **state)
{
    static const struct {
        const char *uri, *reason; /* NULL: good */
    } table[] = {
        {"pkcs11:token=mail;object=mx", NULL},
        {"pkcs11:token=mail%20keys;id=%01;type=private", NULL},
        {"pkcs11:", NULL}, /* any key, if there is just one */
        {"pkcs11:object=pin-value", NULL},
        {"pkcs11:object=x?xpin-value=1", NULL},
        {"", "by a URI"},
        {"file:/etc/passwd", "by a URI"},
        {"PKCS11:token=mail", "by a URI"},
        {"pkcs11:token=mail keys", "%-encoded"},
        {"pkcs11:token=mail\nExport: yes", "%-encoded"},
        {"pkcs11:token=b\xc3\xbc", "%-encoded"},
        {"pkcs11:token=mail?pin-value=1234", "postern-certd-pin"},
        {"pkcs11:pin-value=1234", "postern-certd-pin"},
        {"pkcs11:token=mail;object=mx?x=y&pin-value=1234", "postern-certd-pin"},
        {"pkcs11:token=mail?pin-source=file:/etc/pin", "postern-certd-pin"},
        {"pkcs11:token=mail?module-path=/tmp/evil.so", "set in certd.conf"},
        {"pkcs11:token=mail?module-name=evil", "set in certd.conf"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        const char *reason = NULL;
        int r = token_uri_check(table[i].uri, &reason);

        if (r != (table[i].reason ? -EINVAL : 0) || (table[i].reason && !strstr(reason, table[i].reason)))
            fail_msg("%s: %d, %s", table[i].uri, r, reason);
    }
}

static void test_uri_length(void **state)
{
    char uri[TOKEN_URI_MAX + 2] = "pkcs11:object=";
    const char *reason = NULL;

    memset(uri + strlen(uri), 'a', TOKEN_URI_MAX - strlen(uri));
    assert_int_equal(token_uri_check(uri, &reason), 0);
    uri[TOKEN_URI_MAX] = 'a';
    assert_int_equal(token_uri_check(uri, &reason), -EINVAL);
}

static void test_no_module(void **state)
{
    const char *reason = NULL;
    Tokens *t = NULL;
    int r;

    r = tokens_new(&t, "/nonexistent/module.so", "1234", &reason);
    assert_true(r == -ENODEV || r == -EOPNOTSUPP);
    assert_non_null(strstr(reason, r == -ENODEV ? "cannot be read" : "OpenSSL 3.2"));
    assert_null(t);
    assert_null(tokens_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_uri_length),
        cmocka_unit_test(test_no_module),
    };

    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
