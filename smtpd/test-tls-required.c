/* SPDX-License-Identifier: Apache-2.0 */

/* Headers with and without "TLS-Required: No": each is read whole, byte by byte, and in every split into two. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "tls-required.h"

static const struct {
    const char *message;
    bool no;
} cases[] = {
    {"TLS-Required: No\r\n\r\n", true},
    {"TLS-Required: No\r\n", true},
    {"TLS-Required:No\r\n\r\n", true},
    {"tls-required: no\r\n\r\n", true},
    {"TLS-REQUIRED:\t NO \t\r\n\r\n", true},
    {"Subject: x\r\nTLS-Required: No\r\nFrom: a\r\n\r\nx\r\n", true},
    {"Subject: x\r\n folded\r\n\tagain\r\nTLS-Required: No\r\n\r\n", true},
    {"TLS-Required:\r\n No\r\n\r\n", true},
    {"TLS-Required:\r\n \r\n\tNo\r\n \r\nFrom: a\r\n\r\n", true},
    {"From : obsolete\r\nTLS-Required: No\r\n\r\n", true},

    /* other values */
    {"TLS-Required: Yes\r\n\r\n", false},
    {"TLS-Required:\r\n\r\n", false},
    {"TLS-Required: N\r\n\r\n", false},
    {"TLS-Required: N o\r\n\r\n", false},
    {"TLS-Required: N\r\n o\r\n\r\n", false},
    {"TLS-Required: Not\r\n\r\n", false},
    {"TLS-Required: No, thanks\r\n\r\n", false},
    {"TLS-Required: No\r\n No\r\n\r\n", false},
    {"TLS-Required: \"No\"\r\n\r\n", false},
    {"TLS-Required: No (really)\r\n\r\n", false},
    {"TLS-Required: \xd0\x9do\r\n\r\n", false},

    /* other names */
    {"X-TLS-Required: No\r\n\r\n", false},
    {"TLS-Required-By: No\r\n\r\n", false},
    {"TLS-Require: No\r\n\r\n", false},
    {"TLS-Required : No\r\n\r\n", false},
    {"Subject: TLS-Required: No\r\n\r\n", false},
    {"Subject: x\r\n TLS-Required: No\r\n\r\n", false},
    {"RequireTLS: No\r\n\r\n", false},

    /* more than one */
    {"TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false},
    {"TLS-Required: Yes\r\nTLS-Required: No\r\n\r\n", false},
    {"TLS-Required: No\r\nSubject: x\r\nTLS-Required: Yes\r\n\r\n", false},

    /* not in the header */
    {"", false},
    {"\r\nTLS-Required: No\r\n", false},
    {"Subject: x\r\n\r\nTLS-Required: No\r\n", false},
    {"Content-Type: message/rfc822\r\n\r\nTLS-Required: No\r\n\r\n", false},
    {"Just text\r\nTLS-Required: No\r\n", false},
    {"From a@example.org Mon Jan  1\r\nTLS-Required: No\r\n\r\n", false},
    {": nameless\r\nTLS-Required: No\r\n\r\n", false},
    {"\xc3\xbc: x\r\nTLS-Required: No\r\n\r\n", false},
    {" TLS-Required: No\r\n\r\n", false},
    {" x\r\nTLS-Required: No\r\n\r\n", false},
    {"Subject: x\r\n--\r\nTLS-Required: No\r\n\r\n", false},
    {"TLS-Required: No\r\n\r\nTLS-Required: Yes\r\n", true},
};

static void test_headers(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *message = cases[i].message;
        const size_t n = strlen(message);
        TlsRequired bytewise = TLS_REQUIRED_INIT;

        for (size_t split = 0; split <= n; split++) {
            TlsRequired t = TLS_REQUIRED_INIT;

            tls_required_feed(&t, message, split);
            tls_required_feed(&t, message + split, n - split);
            if (tls_required_is_no(&t) != cases[i].no)
                fail_msg("split at %zu: \"%s\"", split, message);
        }
        for (size_t k = 0; k < n; k++)
            tls_required_feed(&bytewise, message + k, 1);
        if (tls_required_is_no(&bytewise) != cases[i].no)
            fail_msg("bytewise: \"%s\"", message);
    }
}

/* A field is whole only when it is over: "No" may become "Not", or get a second line. */
static void test_unfinished(void **state)
{
    TlsRequired t = TLS_REQUIRED_INIT;

    tls_required_feed(&t, "TLS-Required: No\r\n", 18);
    assert_true(tls_required_is_no(&t));
    tls_required_feed(&t, " thanks\r\n", 9);
    assert_false(tls_required_is_no(&t));
}

/* NUL is a byte of a line like another, and none of a name. */
static void test_nul(void **state)
{
    static const char in_text[] = "Subject: a\0b\r\nTLS-Required: No\r\n", in_name[] = "TLS-Required\0: No\r\n",
                      in_value[] = "TLS-Required: No\0\r\n";
    TlsRequired t = TLS_REQUIRED_INIT;

    tls_required_feed(&t, in_text, sizeof(in_text) - 1);
    assert_true(tls_required_is_no(&t));
    t = TLS_REQUIRED_INIT;
    tls_required_feed(&t, in_name, sizeof(in_name) - 1);
    assert_false(tls_required_is_no(&t));
    t = TLS_REQUIRED_INIT;
    tls_required_feed(&t, in_value, sizeof(in_value) - 1);
    assert_false(tls_required_is_no(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
