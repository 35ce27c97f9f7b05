/* SPDX-License-Identifier: Apache-2.0 */

/* Received fields, whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "received.h"

static const struct {
    ReceivedFacts facts;
    const char *expected;
} cases[] = {
    {{.helo = "mx.example.org", .peer_literal = "[192.0.2.1]", .host = "gw.example.net", .id = "abc", .recipient = "a@example.net",
             .esmtp = true, .tls_version = "TLSv1.3", .tls_cipher = "TLS_AES_256_GCM_SHA384", .tls_group = "X25519"},
            "Received: from mx.example.org ([192.0.2.1])\r\n"
            "\tby gw.example.net with ESMTPS id abc\r\n"
            "\tfor <a@example.net>\r\n"
            "\t(TLSv1.3) tls TLS_AES_256_GCM_SHA384 group X25519;\r\n"
            "\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
    {{.helo = "x", .peer_literal = "[IPv6:2001:db8::1]", .host = "gw", .id = "abc", .esmtp = true, .tls_version = "TLSv1.2",
             .tls_cipher = "ECDHE-RSA-AES128-GCM-SHA256", .time = 1700000000},
            "Received: from x ([IPv6:2001:db8::1])\r\n"
            "\tby gw with ESMTPS id abc\r\n"
            "\t(TLSv1.2) tls ECDHE-RSA-AES128-GCM-SHA256;\r\n"
            "\tTue, 14 Nov 2023 22:13:20 +0000\r\n"},
    {{.helo = "x", .peer_literal = "[192.0.2.1]", .host = "gw", .id = "abc", .esmtp = true, .tls_version = "TLSv1.3",
             .tls_cipher = "TLS_AES_256_GCM_SHA384", .tls_client = "client certificate verified", .time = 1700000000},
            "Received: from x ([192.0.2.1])\r\n"
            "\tby gw with ESMTPS id abc\r\n"
            "\t(TLSv1.3, client certificate verified) tls TLS_AES_256_GCM_SHA384;\r\n"
            "\tTue, 14 Nov 2023 22:13:20 +0000\r\n"},
    {{.helo = "x", .peer_literal = "[192.0.2.1]", .host = "gw", .id = "abc", .time = 951782399},
            "Received: from x ([192.0.2.1])\r\n"
            "\tby gw with SMTP id abc;\r\n"
            "\tMon, 28 Feb 2000 23:59:59 +0000\r\n"},
};

static void test_fields(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *field = NULL;

        assert_int_equal(received_format(&cases[i].facts, &field), 0);
        assert_string_equal(field, cases[i].expected);
    }
}

static void test_protocols(void **state)
{
    assert_string_equal(received_protocol(false, false, false), "SMTP");
    assert_string_equal(received_protocol(true, false, false), "ESMTP");
    assert_string_equal(received_protocol(true, true, false), "ESMTPS");
    assert_string_equal(received_protocol(true, false, true), "UTF8SMTP");
    assert_string_equal(received_protocol(true, true, true), "UTF8SMTPS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_protocols),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
