/* SPDX-License-Identifier: Apache-2.0 */

/* Fingerprints as people write them, and whether a certificate has them. The expected ones are from "openssl x509 -fingerprint
 * -sha256" and "openssl x509 -pubkey | openssl pkey -pubin -outform DER | sha256sum". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "tls-pin.h"

static const char pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBTzCCAQGgAwIBAgIUIkp2H/VkzUgtdzRhY8ZnQs4hAFcwBQYDK2VwMB0xGzAZ\n"
    "BgNVBAMMEnBpbm5lZC5leGFtcGxlLmNvbTAeFw0yNjExMjQxNTMxNThaFw0zNjEx\n"
    "MjExNTMxNThaMB0xGzAZBgNVBAMMEnBpbm5lZC5leGFtcGxlLmNvbTAqMAUGAytl\n"
    "cAMhAKCN5hDGIBZC82D6hjPA5CZ3OJvN52CfFQoFh1AUsjCno1MwUTAdBgNVHQ4E\n"
    "FgQUzrXHIKukX17znbuba1YqZ8khBSwwHwYDVR0jBBgwFoAUzrXHIKukX17znbub\n"
    "a1YqZ8khBSwwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQAgt5oIBGn/wc+jvubP\n"
    "ADZedSrHlxh2Ay5J+lRGgyBDSKB3U11b9HjxF0LVeGtgRtTUZWF1Lsik60bm/roJ\n"
    "xlUG\n"
    "-----END CERTIFICATE-----\n";
#define CERTIFICATE "aae2ac504dc0964d504e9d3f7034408f52476edde00b5db0c9d7585e578bca13"
#define KEY "01ede9c1870f9fb7a0fb1a7bbd9ef74e38f1fbc77e3839b5a495b4fbe12269ca"

static void test_parse(void **state)
{
#define H "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define L "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const struct {
        const char *text, *prefix, *pin; /* pin NULL: refused */
    } table[] = {
        {"cert-sha256:" H, NULL, "cert-sha256:" L},
        {"SPKI-SHA256:" H, NULL, "spki-sha256:" L},
        {"spki-sha256:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef", NULL,
                "spki-sha256:" L},
        {H, "cert-sha256:", "cert-sha256:" L},
        {"spki-sha256:" H, "cert-sha256:", "spki-sha256:" L},
        {H, NULL, NULL},
        {"sha256:" H, NULL, NULL},
        {"sha1:0123456789abcdef0123456789abcdef01234567", NULL, NULL},
        {"cert-sha256:", NULL, NULL},
        {"cert-sha256:0123", NULL, NULL},
        {"cert-sha256:" H "0", NULL, NULL},
        {"cert-sha256:" H ":", NULL, NULL},
        {"cert-sha256::" H, NULL, NULL},
        {"cert-sha256:0:123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", NULL, NULL},
        {"cert-sha256:01::23456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", NULL, NULL},
        {"cert-sha256:g123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", NULL, NULL},
        {"cert-sha256: 123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", NULL, NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_free_ char *pin = NULL;

        print_message("%s\n", table[i].text);
        assert_int_equal(tls_pin_parse(table[i].text, table[i].prefix, &pin), table[i].pin ? 0 : -EINVAL);
        if (table[i].pin)
            assert_string_equal(pin, table[i].pin);
        else
            assert_null(pin);
    }
}

static void test_matches(void **state)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    const char *const none[] = {NULL}, *const others[] = {"cert-sha256:" L, "spki-sha256:" CERTIFICATE, "cert-sha256:" KEY, NULL},
               *const second[] = {"cert-sha256:" L, "spki-sha256:" KEY, NULL};

    assert_non_null(x);
    assert_true(tls_pin_matches(x, "cert-sha256:" CERTIFICATE));
    assert_true(tls_pin_matches(x, "spki-sha256:" KEY));
    assert_false(tls_pin_matches(x, CERTIFICATE));
    assert_false(tls_pin_matches(x, "cert-sha256:"));
    assert_false(tls_pins_match(x, none));
    assert_false(tls_pins_match(x, others));
    assert_true(tls_pins_match(x, second));
    X509_free(x);
    BIO_free(bio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_matches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
