/* SPDX-License-Identifier: Apache-2.0 */

/* Which recipients are taken: never one of a domain that is not listed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy.h"

static char *domains[] = {(char *) "example.com", (char *) ".sub.example.net", NULL};

static const struct {
    const char *domain;
    RecipientVerdict with, without; /* with and without Domains= and DefaultDomain= */
} cases[] = {
    {"example.com", RECIPIENT_ACCEPT, RECIPIENT_RELAY_DENIED},
    {"a.sub.example.net", RECIPIENT_ACCEPT, RECIPIENT_RELAY_DENIED},
    {"sub.example.net", RECIPIENT_RELAY_DENIED, RECIPIENT_RELAY_DENIED},
    {"www.example.com", RECIPIENT_RELAY_DENIED, RECIPIENT_RELAY_DENIED},
    {"notexample.com", RECIPIENT_RELAY_DENIED, RECIPIENT_RELAY_DENIED},
    {"[192.0.2.1]", RECIPIENT_RELAY_DENIED, RECIPIENT_RELAY_DENIED},
    {NULL, RECIPIENT_ACCEPT, RECIPIENT_NO_DEFAULT_DOMAIN},
};

static void test_recipients(void **state)
{
    MailFlow open = {.domains = domains}, closed = {};
    Listener named = {.default_domain = (char *) "example.org"}, nameless = {};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *domain = NULL;

        assert_int_equal(policy_recipient(&open, &named, cases[i].domain, &domain), cases[i].with);
        if (cases[i].with == RECIPIENT_ACCEPT)
            assert_string_equal(domain, cases[i].domain ?: "example.org");
        else
            assert_null(domain);
        domain = NULL;
        assert_int_equal(policy_recipient(&closed, &nameless, cases[i].domain, &domain), cases[i].without);
        assert_null(domain);
    }
}

static void test_clients(void **state)
{
    static const struct {
        TlsVerify verified;
        bool preferred, required;
    } rows[] = {
        {TLS_VERIFY_PKIX, true, true},
        {TLS_VERIFY_NO_CERTIFICATE, true, false},
        {TLS_VERIFY_NONE, false, false}, /* nobody asked: that must not happen */
        {TLS_VERIFY_NO_AUTHORITIES, false, false},
    };
    MailFlow flow = {};

    for (TlsVerify v = 0; v < _TLS_VERIFY_MAX; v++) {
        bool preferred = tls_verify_succeeded(v), required = preferred;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
            if (rows[i].verified == v) {
                preferred = rows[i].preferred;
                required = rows[i].required;
            }
        flow = (MailFlow) {.verify_client = true, .tls = MAIL_FLOW_TLS_PREFERRED};
        assert_int_equal(policy_client(&flow, v), preferred);
        flow.tls = MAIL_FLOW_TLS_REQUIRED;
        assert_int_equal(policy_client(&flow, v), required);
        flow.verify_client = false;
        assert_true(policy_client(&flow, v));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
