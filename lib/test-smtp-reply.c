/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "smtp-reply.h"

/* Feeds all lines; returns the result of the last. */
static int feed(SmtpReplyParser *p, const char *lines, size_t size)
{
    const char *text;
    size_t text_size;
    int r = 0;

    while (size > 0) {
        const char *newline = memchr(lines, '\n', size);
        size_t n = newline ? (size_t) (newline - lines) + 1 : size;

        r = smtp_reply_line(p, lines, n, &text, &text_size);
        if (r != 0)
            return r;
        lines += n;
        size -= n;
    }
    return r;
}

static void test_replies(void **state)
{
    static const struct {
        const char *lines;
        int result, code;
        const char *text;
    } table[] = {
        {"250 OK\r\n", 1, 250, "OK"},
        {"250 OK\n", 1, 250, "OK"},
        {"250\r\n", 1, 250, ""},
        {"250 \r\n", 1, 250, ""},
        {"220-mx.example.com\r\n220 ESMTP\r\n", 1, 220, "mx.example.com ESMTP"},
        {"550 5.7.1 Denied\r\n", 1, 550, "5.7.1 Denied"},
        {"550-5.7.26 This mail\r\n550-5.7.26 is not\r\n550 5.7.26 welcome\r\n", 1, 550, "5.7.26 This mail is not welcome"},
        {"550-5.7.26 One\r\n550 5.7.1 Other\r\n", 1, 550, "5.7.26 One 5.7.1 Other"},
        {"550-\r\n550-\r\n550 x\r\n", 1, 550, "x"},
        {"550 a\rb\tc\x7f\x1b[31m\r\n", 1, 550, "a?b?c??[31m"},
        {"250 caf\xc3\xa9 \xff\r\n", 1, 250, "caf\xc3\xa9 ?"},
        {"250-more\r\n", 0, 250, "more"},
        {"250-a\r\n450 b\r\n", -EBADMSG, 0, NULL},
        {"150 no\r\n", -EBADMSG, 0, NULL},
        {"650 no\r\n", -EBADMSG, 0, NULL},
        {"25 no\r\n", -EBADMSG, 0, NULL},
        {"25x no\r\n", -EBADMSG, 0, NULL},
        {"250OK\r\n", -EBADMSG, 0, NULL},
        {"250 unfinished", -EBADMSG, 0, NULL},
        {"\r\n", -EBADMSG, 0, NULL},
        {"\n", -EBADMSG, 0, NULL},
        {"HTTP/1.1 400 Bad Request\r\n", -EBADMSG, 0, NULL},
        {"\x16\x03\x01\n", -EBADMSG, 0, NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        SmtpReplyParser p = {0};
        int r = feed(&p, table[i].lines, strlen(table[i].lines));

        if (r != table[i].result)
            fail_msg("\"%s\": %d", table[i].lines, r);
        if (r < 0)
            continue;
        assert_int_equal(p.reply.code, table[i].code);
        assert_string_equal(p.reply.text, table[i].text);
    }
}

static void test_one_after_the_other(void **state)
{
    SmtpReplyParser p = {0};

    assert_int_equal(feed(&p, "250-5.1.0 a\r\n250 b\r\n", 20), 1);
    assert_int_equal(feed(&p, "354 go\r\n", 8), 1);
    assert_int_equal(p.reply.code, 354);
    assert_string_equal(p.reply.text, "go");
}

static void test_nul(void **state)
{
    SmtpReplyParser p = {0};

    assert_int_equal(feed(&p, "250 a\0b\r\n", 9), 1);
    assert_true(strlen(p.reply.text) <= 3);
}

static void test_limits(void **state)
{
    char line[SMTP_REPLY_LINE_MAX];
    SmtpReplyParser p = {0};

    for (unsigned i = 0; i < SMTP_REPLY_LINES_MAX; i++)
        assert_int_equal(feed(&p, "250-x\r\n", 7), 0);
    assert_int_equal(feed(&p, "250 x\r\n", 7), -E2BIG);

    p = (SmtpReplyParser){0};
    memset(line, 'x', sizeof(line));
    memcpy(line, "550-", 4);
    line[sizeof(line) - 1] = '\n';
    assert_int_equal(feed(&p, line, sizeof(line)), 0);
    assert_int_equal(feed(&p, line, sizeof(line)), 0);
    assert_true(strlen(p.reply.text) < sizeof(p.reply.text));
    assert_int_equal(strncmp(p.reply.text, "xxxx", 4), 0);
}

static void test_ehlo(void **state)
{
    static const struct {
        const char *text;
        uint32_t extensions;
        uint64_t size_max;
    } table[] = {
        {"PIPELINING", SMTP_EXTENSION_PIPELINING, 0},
        {"pipelining", SMTP_EXTENSION_PIPELINING, 0},
        {"REQUIRETLS", SMTP_EXTENSION_REQUIRETLS, 0},
        {"NOREQUIRETLS", 0, 0},
        {"STARTTLS", SMTP_EXTENSION_STARTTLS, 0},
        {"STARTTLS ", SMTP_EXTENSION_STARTTLS, 0},
        {"XSTARTTLS", 0, 0},
        {"STARTTLS2", 0, 0},
        {"STARTTL", 0, 0},
        {"STARTTLS=1", 0, 0},
        {"8BITMIME", SMTP_EXTENSION_8BITMIME, 0},
        {"SMTPUTF8", SMTP_EXTENSION_SMTPUTF8, 0},
        {"SIZE 10240000", SMTP_EXTENSION_SIZE, 10240000},
        {"SIZE", SMTP_EXTENSION_SIZE, 0},
        {"SIZE 0", SMTP_EXTENSION_SIZE, 0},
        {"SIZE 99999999999999999999999", SMTP_EXTENSION_SIZE, 0},
        {"SIZE big", SMTP_EXTENSION_SIZE, 0},
        {"", 0, 0},
        {"AUTH PLAIN LOGIN", 0, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        SmtpEhlo e = {0};

        smtp_ehlo_line(&e, table[i].text, strlen(table[i].text));
        if (e.extensions != table[i].extensions || e.size_max != table[i].size_max)
            fail_msg("\"%s\"", table[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ehlo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
