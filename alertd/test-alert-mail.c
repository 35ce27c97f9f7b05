/* SPDX-License-Identifier: Apache-2.0 */

/* The mail that an alert becomes, with honest and with hostile text in it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert-mail.h"

static const char *const recipients[] = {"ops@example.org", "night@example.org", NULL};

static AlertMail example(const char *summary, const char *body)
{
    return (AlertMail) {
        .from = "alerts@mail.lab",
        .recipients = recipients,
        .host = "mail.lab",
        .id = "0123456789abcdef",
        .severity = "Warning",
        .type = "Message Delivery",
        .summary = summary,
        .body = body,
        .first_usec = UINT64_C(1764000000) * USEC_PER_SEC,
        .last_usec = UINT64_C(1764000300) * USEC_PER_SEC,
        .count = 1,
        .now_usec = UINT64_C(1764000301) * USEC_PER_SEC,
    };
}

/* What must hold for every message: 7-bit, CRLF only, lines within bounds, exactly one blank line between header and body
 * first. */
static void check_form(const char *m, size_t size)
{
    size_t column = 0;

    assert_int_equal(strlen(m), size);
    for (const char *p = m; *p; p++) {
        assert_true((unsigned char) *p < 0x80);
        if (*p == '\r') {
            assert_int_equal(p[1], '\n');
            assert_true(column <= 998);
            column = 0;
            p++;
            continue;
        }
        assert_true((unsigned char) *p >= ' ');
        column++;
    }
    assert_non_null(strstr(m, "\r\n\r\n"));
    assert_string_equal(m + size - 2, "\r\n");
}

static char *compose(const AlertMail *a)
{
    char *m = NULL;
    size_t size;

    assert_int_equal(alert_mail_compose(a, &m, &size), 0);
    check_form(m, size);
    return m;
}

static void assert_contains(const char *m, const char *part)
{
    if (!strstr(m, part))
        fail_msg("\"%s\" not in\n%s", part, m);
}

static void test_plain(void **state)
{
    AlertMail a = example("DANE failed for example.com", "Domain: example.com\nWhat to do: look at its TLSA records.");
    _cleanup_free_ char *m = compose(&a);

    assert_contains(m, "Date: Mon, 24 Nov 2025 16:05:01 +0000\r\n");
    assert_contains(m, "From: Postern Alerts <alerts@mail.lab>\r\n");
    assert_contains(m, "To: <ops@example.org>,\r\n <night@example.org>\r\n");
    assert_contains(m, "\r\nSubject: [Warning]-[mail.lab]: (Message Delivery) DANE failed for example.com\r\n");
    assert_contains(m, "Message-ID: <0123456789abcdef@mail.lab>\r\n");
    assert_contains(m, "Auto-Submitted: auto-generated\r\n");
    assert_contains(m, "Content-Transfer-Encoding: 7bit\r\n\r\nDANE failed for example.com\r\n\r\nDomain: example.com\r\nWhat to do: look");
    assert_contains(m, "At:       2025-11-24 16:00:00 UTC\r\n");
    assert_null(strstr(m, "Times:"));
}

static void test_count(void **state)
{
    AlertMail a = example("again", "");
    _cleanup_free_ char *m = NULL;

    a.count = 14;
    m = compose(&a);
    assert_contains(m, "Since:    2025-11-24 16:00:00 UTC\r\nLast:     2025-11-24 16:05:00 UTC\r\nTimes:    14 since");
}

static void test_no_header_injection(void **state)
{
    AlertMail a = example("oops\r\nBcc: victim@example.net\r\n\r\nbody", "a\r\n.\r\nQUIT\r\n\x1b[31m");
    _cleanup_free_ char *m = compose(&a);

    assert_null(strstr(m, "\nBcc:"));
    assert_contains(m, "Subject: [Warning]-[mail.lab]: (Message Delivery) oops??Bcc: victim@example.net????body\r\n");
    assert_contains(m, "\r\na?\r\n.?\r\nQUIT?\r\n?[31m\r\n");
}

static void test_utf8(void **state)
{
    AlertMail a = example("Zertifikat läuft ab für b\xc3\xbc" "cher.example und noch viel mehr Text, damit es zwei Wörter werden", "Gr\xc3\xbc\xc3\x9f" "e = 1 \nund \xff");
    _cleanup_free_ char *m = compose(&a);

    assert_contains(m, "Subject: [Warning]-[mail.lab]: (Message Delivery)\r\n =?UTF-8?B?WmVydGlmaWthdCBsw6R1ZnQgYWIgZsO8ciBiw7xjaGVy");
    assert_contains(m, "?=\r\n =?UTF-8?B?");
    assert_contains(m, "charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
    assert_contains(m, "Gr=C3=BC=C3=9Fe =3D 1=20\r\nund ?\r\n");
}

static void test_looks_encoded(void **state)
{
    AlertMail a = example("=?UTF-8?B?aGlk?= is no secret", "");
    _cleanup_free_ char *m = compose(&a);

    assert_true(strstr(m, "=?UTF-8?B?aGlk?=") > strstr(m, "\r\n\r\n")); /* in the body it means nothing */
}

static void test_long_line(void **state)
{
    char body[8192];
    AlertMail a = example("long", body);
    _cleanup_free_ char *m = NULL;

    memset(body, 'x', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    m = compose(&a);
    assert_contains(m, "xxx=\r\nxxx");
}

static void test_subject(void **state)
{
    AlertMail a = example("DANE failed\n", "");
    _cleanup_free_ char *s = NULL;

    assert_int_equal(alert_mail_subject(&a, &s), 0);
    assert_string_equal(s, "[Warning]-[mail.lab]: (Message Delivery) DANE failed?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_no_header_injection),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_looks_encoded),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_subject),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
