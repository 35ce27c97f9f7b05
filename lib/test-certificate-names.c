/* SPDX-License-Identifier: Apache-2.0 */

/* Names of certificates, and which of them are fully qualified. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate-names.h"
#include "test-certificate.h"

static void test_qualified_names(void **state)
{
    static const struct {
        const char *name;
        bool qualified;
    } table[] = {
        {"mx.example.com", true},
        {"example.com", true},
        {"MX-1.Example.COM", true},
        {"_smtp.example.com", true},
        {"xn--bcher-kva.example", true},
        {"*.example.com", true},
        {"1.example.com", true},
        {"", false},
        {".", false},
        {"localhost", false},
        {"mx", false},
        {"*", false},
        {"*.com", false},
        {"mx.*.com", false},
        {"m*.example.com", false},
        {"mx.example.com.", false},
        {".example.com", false},
        {"mx..example.com", false},
        {"-mx.example.com", false},
        {"mx-.example.com", false},
        {"mx.example.com/", false},
        {"mx example.com", false},
        {"192.0.2.1", false},
        {"a23456789012345678901234567890123456789012345678901234567890123.example", true},
        {"a234567890123456789012345678901234567890123456789012345678901234.example", false},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (certificate_names_is_qualified(table[i].name) != table[i].qualified)
            fail_msg("'%s'", table[i].name);
}

static void test_names_of_certificates(void **state)
{
    static const struct {
        const char *cn, *san;
        const char *names[4];
        bool qualified;
    } table[] = {
        {"mx.example.com", "DNS:mx.example.com,DNS:*.example.org,IP:192.0.2.1", {"mx.example.com", "*.example.org", "192.0.2.1"}, true},
        {"mx.example.com", "DNS:mx.example.com,DNS:mx", {"mx.example.com", "mx"}, false},
        {"mx", "DNS:mx.example.com", {"mx.example.com"}, true},
        {"mx.example.com", "DNS:localhost", {"localhost"}, false},
        {"mx.example.com", NULL, {}, true},
        {"Some Company", NULL, {}, false},
        {"mx.example.com", "IP:2001:db8::1", {"2001:db8::1"}, true},
        {"Some Company", "IP:192.0.2.1,email:postmaster@example.com", {"192.0.2.1"}, false},
        {"mx.example.com", "DNS:mx.example.com,DNS:b\\C3\\BCcher.example.com", {"mx.example.com", "b\\C3\\BCcher.example.com"}, false},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(test_certificate_freep) TestCertificate *c =
                test_certificate_new(&(TestCertificateSpec) {.cn = table[i].cn, .san = table[i].san}, NULL);
        _cleanup_free_ char *common = NULL;
        char **names;
        size_t n = 0;

        assert_int_equal(certificate_names_common(c->x509, &common), 0);
        assert_string_equal(common, table[i].cn);
        assert_int_equal(certificate_names_alternative(c->x509, &names), 0);
        for (; names[n]; n++)
            assert_string_equal(names[n], table[i].names[n]);
        assert_null(table[i].names[n]);
        certificate_names_free(names);
        if (certificate_names_all_qualified(c->x509) != table[i].qualified)
            fail_msg("case %zu", i);
    }
}

static void test_names_that_are_none(void **state)
{
    static const unsigned char with_nul[] = "mx.example.com\0.evil.example";
    _cleanup_(test_certificate_freep) TestCertificate *c = test_certificate_new(&(TestCertificateSpec) {.cn = "x"}, NULL);
    X509_NAME *subject = X509_get_subject_name(c->x509);
    char *common = NULL;

    assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, with_nul, sizeof(with_nul) - 1, -1, 0), 1);
    assert_int_equal(certificate_names_common(c->x509, &common), -ENOENT);
    assert_false(certificate_names_all_qualified(c->x509));
    while (X509_NAME_entry_count(subject) > 0)
        X509_NAME_ENTRY_free(X509_NAME_delete_entry(subject, 0));
    assert_int_equal(certificate_names_common(c->x509, &common), -ENOENT);
    assert_null(common);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qualified_names),
        cmocka_unit_test(test_names_of_certificates),
        cmocka_unit_test(test_names_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
