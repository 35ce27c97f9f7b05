/* SPDX-License-Identifier: Apache-2.0 */

/* Chains in every order and with every fault, made in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <time.h>

#include "certificate.h"
#include "chain.h"
#include "openssl-cleanup.h"
#include "test-certificate.h"

/* root → upper → lower → leaf, and a stranger. */
typedef struct Authority {
    TestCertificate *root, *upper, *lower, *leaf, *stranger;
} Authority;

#define CA "critical,CA:TRUE"

static int setup(void **state)
{
    Authority *a = calloc(1, sizeof(Authority));

    a->root = test_certificate_new(&(TestCertificateSpec) {.cn = "Root", .constraints = CA}, NULL);
    a->upper = test_certificate_new(&(TestCertificateSpec) {.cn = "Upper", .constraints = CA}, a->root);
    a->lower = test_certificate_new(&(TestCertificateSpec) {.cn = "Lower", .constraints = CA}, a->upper);
    a->leaf = test_certificate_new(&(TestCertificateSpec) {.cn = "mx.example.org", .san = "DNS:mx.example.org"}, a->lower);
    a->stranger = test_certificate_new(&(TestCertificateSpec) {.cn = "Stranger", .constraints = CA}, NULL);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    Authority *a = *state;

    test_certificate_free(a->root);
    test_certificate_free(a->upper);
    test_certificate_free(a->lower);
    test_certificate_free(a->leaf);
    test_certificate_free(a->stranger);
    free(a);
    return 0;
}

static STACK_OF(X509) *stack(const TestCertificate *const *list, size_t n)
{
    STACK_OF(X509) *s = sk_X509_new_null();

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(X509_up_ref(list[i]->x509), 1);
        assert_true(sk_X509_push(s, list[i]->x509) > 0);
    }
    return s;
}

#define STACK(...)                                                         \
    stack((const TestCertificate *const[]) {__VA_ARGS__},                  \
            sizeof((const TestCertificate *const[]) {__VA_ARGS__}) / sizeof(TestCertificate *))

static void assert_order(STACK_OF(X509) *given, EVP_PKEY *key, int expected, int n, const char *expected_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *owned = given, *chain = NULL;
    const char *reason = "";

    assert_int_equal(chain_order(owned, key, &chain, &reason), expected);
    if (expected < 0) {
        assert_non_null(strstr(reason, expected_reason));
        assert_null(chain);
        return;
    }
    assert_int_equal(sk_X509_num(chain), n);
    for (int i = 0; i + 1 < n; i++)
        assert_int_equal(X509_verify(sk_X509_value(chain, i), X509_get0_pubkey(sk_X509_value(chain, i + 1))), 1);
}

static void test_order(void **state)
{
    const Authority *a = *state;
    const TestCertificate *all[] = {a->leaf, a->lower, a->upper, a->root};

    /* Each of the 24 orders. */
    for (unsigned i = 0; i < 24; i++) {
        const TestCertificate *left[] = {all[0], all[1], all[2], all[3]}, *given[4];
        unsigned code = i;

        for (unsigned k = 4; k > 0; k--) {
            given[k - 1] = left[code % k];
            left[code % k] = left[k - 1];
            code /= k;
        }
        assert_order(stack(given, 4), a->leaf->key, 0, 4, NULL);
    }
    assert_order(STACK(a->leaf), a->leaf->key, 0, 1, NULL);
    assert_order(STACK(a->upper, a->leaf, a->lower, a->leaf, a->upper), a->leaf->key, 0, 3, NULL);
}

static void test_order_refused(void **state)
{
    const Authority *a = *state;

    assert_order(STACK(a->lower, a->upper), a->leaf->key, -EKEYREJECTED, 0, "for the private key");
    assert_order(STACK(a->leaf, a->lower), a->stranger->key, -EKEYREJECTED, 0, "for the private key");
    assert_order(STACK(a->leaf, a->lower, a->stranger), a->leaf->key, -EUNATCH, 0, "does not belong");
    assert_order(STACK(a->leaf, a->upper), a->leaf->key, -EUNATCH, 0, "does not belong");
}

static void test_two_authorities_that_signed_each_other(void **state)
{
    _cleanup_(x509_freep) X509 *crossed = NULL;
    _cleanup_(x509_chain_freep) STACK_OF(X509) *given = NULL, *chain = NULL;
    const Authority *a = *state;
    const char *reason;

    crossed = X509_dup(a->root->x509);
    assert_int_equal(X509_set_issuer_name(crossed, X509_get_subject_name(a->upper->x509)), 1);
    assert_true(X509_sign(crossed, a->upper->key, EVP_sha256()) > 0);
    given = STACK(a->leaf, a->lower, a->upper);
    assert_true(sk_X509_push(given, X509_dup(crossed)) > 0);
    assert_int_equal(chain_order(given, a->leaf->key, &chain, &reason), 0);
    assert_int_equal(sk_X509_num(chain), 4);
}

static void assert_check(STACK_OF(X509) *chain, X509_STORE *trusted, bool incomplete, time_t when, int expected,
        const char *expected_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *owned = chain;
    const char *reason = "";

    assert_int_equal(chain_check(owned, trusted, when, incomplete, &reason), expected);
    if (expected_reason)
        assert_non_null(strstr(reason, expected_reason));
}

static void test_check(void **state)
{
    const Authority *a = *state;
    X509_STORE *trusted = X509_STORE_new();
    time_t now = time(NULL);

    assert_int_equal(X509_STORE_add_cert(trusted, a->root->x509), 1);
    assert_check(STACK(a->leaf, a->lower, a->upper, a->root), NULL, false, now, 0, NULL);
    assert_check(STACK(a->leaf, a->lower, a->upper), trusted, false, now, 0, NULL);
    assert_check(STACK(a->leaf, a->lower, a->upper), NULL, false, now, -ENOLINK, "does not end");
    assert_check(STACK(a->leaf, a->lower), trusted, false, now, -ENOLINK, "does not end");
    assert_check(STACK(a->leaf), trusted, false, now, -ENOLINK, "does not end");
    assert_check(STACK(a->leaf), trusted, true, now, 0, NULL);
    assert_check(STACK(a->stranger), trusted, false, now, 0, NULL);
    assert_check(STACK(a->leaf, a->lower, a->upper), trusted, true, now + 100 * 86400, -EKEYEXPIRED, "expired");
    assert_check(STACK(a->leaf, a->lower, a->upper), trusted, true, now - 100 * 86400, -EKEYEXPIRED, "not valid yet");
    X509_STORE_free(trusted);
}

static void test_expired_and_no_authority(void **state)
{
    const Authority *a = *state;
    _cleanup_(test_certificate_freep) TestCertificate *expired = test_certificate_new(
            &(TestCertificateSpec) {.cn = "old.example.org", .from_days = -20, .to_days = -10}, a->lower);
    _cleanup_(test_certificate_freep) TestCertificate *below = test_certificate_new(
            &(TestCertificateSpec) {.cn = "below.example.org", .constraints = "critical,CA:FALSE"}, a->leaf);
    time_t now = time(NULL);

    assert_check(STACK(expired, a->lower, a->upper, a->root), NULL, false, now, -EKEYEXPIRED, "the certificate has expired");
    assert_check(STACK(below, a->leaf, a->lower, a->upper, a->root), NULL, false, now, -EBADMSG, "no authority");
}

static void test_parse(void **state)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    const Authority *a = *state;
    STACK_OF(X509) *chain;
    unsigned char *der = NULL;
    const char *reason;
    char *text;
    long size;
    int n;

    assert_int_equal(PEM_write_bio_X509(bio, a->lower->x509), 1);
    assert_int_equal(BIO_puts(bio, "A comment between them\n"), 23);
    assert_int_equal(PEM_write_bio_X509(bio, a->leaf->x509), 1);
    size = BIO_get_mem_data(bio, &text);
    assert_int_equal(chain_parse(text, (size_t) size, &chain, &reason), 0);
    assert_int_equal(sk_X509_num(chain), 2);
    sk_X509_pop_free(chain, X509_free);
    assert_int_equal(chain_parse(text, (size_t) size - 40, &chain, &reason), -EBADMSG);
    assert_non_null(strstr(reason, "damaged"));

    n = i2d_X509(a->leaf->x509, &der);
    assert_int_equal(chain_parse((char *) der, (size_t) n, &chain, &reason), 0);
    assert_int_equal(sk_X509_num(chain), 1);
    sk_X509_pop_free(chain, X509_free);
    assert_int_equal(chain_parse((char *) der, (size_t) n - 1, &chain, &reason), -EBADMSG);
    OPENSSL_free(der);
    assert_int_equal(chain_parse("", 0, &chain, &reason), -EBADMSG);
    assert_int_equal(chain_parse("garbage", 7, &chain, &reason), -EBADMSG);
    assert_non_null(strstr(reason, "no certificate"));
    assert_int_equal(chain_parse("", CERTIFICATE_PEM_MAX + 1, &chain, &reason), -EFBIG);
    for (unsigned i = 0; i < CERTIFICATE_CHAIN_MAX; i++)
        assert_int_equal(PEM_write_bio_X509(bio, a->leaf->x509), 1);
    size = BIO_get_mem_data(bio, &text);
    assert_int_equal(chain_parse(text, (size_t) size, &chain, &reason), -E2BIG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order),
        TEST(test_order_refused),
        TEST(test_two_authorities_that_signed_each_other),
        TEST(test_check),
        TEST(test_expired_and_no_authority),
        TEST(test_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
