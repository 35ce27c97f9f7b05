/* SPDX-License-Identifier: Apache-2.0 */

/* Bounces: the parts are there, nothing from outside breaks out of its line, headers only. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bounce.h"

static char *format(const char *original, const char *address, const char *diagnostic, bool *ret_8bit)
{
    const BounceRecipient recipients[] = {
        {.address = address, .status = "5.1.1", .diagnostic = diagnostic, .remote = "mx.example.com"},
        {.address = "late@example.net", .status = "4.4.7", .diagnostic = "queue lifetime over: TLSA lookup bogus"},
    };
    const Bounce b = {
        .hostname = "gw.example.org",
        .id = "0123456789abcdef",
        .sender = "alice@example.org",
        .arrival_usec = UINT64_C(1764000000000000),
        .now_usec = UINT64_C(1764003600000000),
        .recipients = recipients,
        .n_recipients = ELEMENTSOF(recipients),
        .original = original,
        .original_size = strlen(original),
    };
    char *text = NULL;
    size_t size;

    assert_int_equal(bounce_format(&b, &text, &size, ret_8bit), 0);
    assert_int_equal(strlen(text), size);
    for (size_t i = 0; i < size; i++)
        assert_true(text[i] != '\n' || (i > 0 && text[i - 1] == '\r'));
    return text;
}

static void test_parts(void **state)
{
    static const char *const expected[] = {
        "To: alice@example.org\r\n",
        "Date: Mon, 24 Nov 2025 17:00:00 +0000\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_0123456789abcdef\"\r\n",
        "<bob@example.com>:\r\n    host mx.example.com said: 550 5.1.1 unknown\r\n",
        "<late@example.net>:\r\n    queue lifetime over: TLSA lookup bogus\r\n",
        "Reporting-MTA: dns; gw.example.org\r\n",
        "Arrival-Date: Mon, 24 Nov 2025 16:00:00 +0000\r\n",
        "\r\nFinal-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 unknown\r\n",
        "\r\nFinal-Recipient: rfc822; late@example.net\r\nAction: failed\r\nStatus: 4.4.7\r\nDiagnostic-Code: x-postern; queue lifetime over",
        "Content-Type: text/rfc822-headers\r\n\r\nSubject: hello\r\nFrom: x\r\n\r\n--=_0123456789abcdef--\r\n",
    };
    bool eight;
    _cleanup_free_ char *text = format("Subject: hello\r\nFrom: x\r\n\r\nsecret body\r\n", "bob@example.com", "550 5.1.1 unknown", &eight);

    assert_false(eight);
    for (size_t i = 0; i < ELEMENTSOF(expected); i++)
        if (!strstr(text, expected[i]))
            fail_msg("missing: %s\nin: %s", expected[i], text);
    assert_null(strstr(text, "secret"));
}

static void test_hostile(void **state)
{
    bool eight;
    _cleanup_free_ char *text = format("Subject: \xc3\xa4\r\n", "bob@example.com", "550 x\r\n--=_0123456789abcdef--\r\n", &eight);

    assert_true(eight);
    assert_non_null(strstr(text, "550 x?" "?--=_0123456789abcdef--?" "?\r\n"));
    assert_non_null(strstr(text, "message/global-delivery-status"));
    free(text);
    text = format("no header line at all", "b\xc3\xb6@example.com", "", &eight);
    assert_true(eight);
    assert_non_null(strstr(text, "Final-Recipient: utf-8; b\xc3\xb6@example.com\r\n"));
    assert_null(strstr(text, "no header"));
}

static void test_status(void **state)
{
    const struct {
        int code;
        const char *text, *expected;
    } cases[] = {
        {550, "5.1.1 unknown", "5.1.1"}, {550, "unknown", "5.0.0"},       {550, "4.1.1 odd", "5.0.0"},
        {452, "4.2.2 full", "4.2.2"},    {452, "", "4.0.0"},              {550, "5.1.1234 x", "5.0.0"},
        {0, "5.1.10 null MX", "5.1.10"}, {550, "5.1.1", "5.1.1"},
        {550, "550 5.1.1 unknown", "5.1.1"}, {550, "550 unknown", "5.0.0"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char status[16];

        bounce_status(cases[i].code, cases[i].text, status);
        assert_string_equal(status, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
