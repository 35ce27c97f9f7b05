/* SPDX-License-Identifier: Apache-2.0 */

/* PKCS#12 files that somebody made with bad intent, and the limits that meet them. Files of other programs are read by a system
 * test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pkcs12.h>

#include "certificate.h"
#include "openssl-cleanup.h"
#include "pkcs12.h"
#include "test-certificate.h"

#define PASSPHRASE "secret"
#define ITERATIONS 10

static TestCertificate *leaf;
static Pkcs12Reader *reader;

static int setup(void **state)
{
    leaf = test_certificate_new(&(TestCertificateSpec) {.cn = "mx.example.org"}, NULL);
    return pkcs12_reader_new(&reader, PKCS12_ITERATIONS_MAX);
}

static int teardown(void **state)
{
    pkcs12_reader_free(reader);
    test_certificate_free(leaf);
    return 0;
}

/* ---- changes of what OpenSSL made ---- */

static void change_pbkdf2(X509_ALGOR *a, const ASN1_INTEGER *iterations, const ASN1_INTEGER *length)
{
    PBKDF2PARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), a->parameter);

    assert_non_null(p);
    if (iterations) {
        ASN1_INTEGER_free(p->iter);
        p->iter = ASN1_INTEGER_dup(iterations);
    }
    if (length) {
        ASN1_INTEGER_free(p->keylength);
        p->keylength = ASN1_INTEGER_dup(length);
    }
    assert_non_null(ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), p, &a->parameter));
    PBKDF2PARAM_free(p);
}

static void change_pbes2(X509_ALGOR *a, const ASN1_INTEGER *iterations, const ASN1_INTEGER *length)
{
    PBE2PARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), a->parameter);

    assert_non_null(p);
    change_pbkdf2(p->keyfunc, iterations, length);
    assert_non_null(ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBE2PARAM), p, &a->parameter));
    PBE2PARAM_free(p);
}

static void change_iterations(X509_ALGOR *a, const ASN1_INTEGER *n)
{
    PBEPARAM *p;

    if (OBJ_obj2nid(a->algorithm) == NID_pbes2) {
        change_pbes2(a, n, NULL);
        return;
    }
    p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), a->parameter);
    assert_non_null(p);
    ASN1_INTEGER_free(p->iter);
    p->iter = ASN1_INTEGER_dup(n);
    assert_non_null(ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBEPARAM), p, &a->parameter));
    PBEPARAM_free(p);
}

static ASN1_INTEGER *number(const char *hex)
{
    ASN1_INTEGER *n;
    BIGNUM *b = NULL;

    assert_true(BN_hex2bn(&b, hex) > 0);
    n = BN_to_ASN1_INTEGER(b, NULL);
    BN_free(b);
    assert_non_null(n);
    return n;
}

/* ---- files ---- */

typedef struct Spec {
    const char *key_iterations, *part_iterations, *mac_iterations; /* hexadecimal; NULL: ITERATIONS */
    int encryption;                                                /* NID; 0: PBES2 */
    bool scrypt;                                                   /* for the certificates */
    const char *pbmac1_length;                                     /* hexadecimal: PBMAC1 with a key that long */
    unsigned n_keys, n_parts, n_certificates;                      /* 0: one */
    bool no_key, no_mac;
} Spec;

static void add_key(STACK_OF(PKCS12_SAFEBAG) **bags, const Spec *s)
{
    PKCS12_SAFEBAG *bag = PKCS12_add_key_ex(bags, leaf->key, 0, ITERATIONS, s->encryption ?: NID_aes_256_cbc, PASSPHRASE, NULL, NULL);
    X509_ALGOR *a;

    assert_non_null(bag);
    if (s->key_iterations) {
        ASN1_INTEGER *n = number(s->key_iterations);

        X509_SIG_getm((X509_SIG *) PKCS12_SAFEBAG_get0_pkcs8(bag), &a, NULL);
        change_iterations(a, n);
        ASN1_INTEGER_free(n);
    }
}

static void add_certificates(STACK_OF(PKCS7) **parts, const Spec *s)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    X509_ALGOR *a;

    for (unsigned i = 0; i < MAX(s->n_certificates, 1u); i++)
        assert_non_null(PKCS12_add_cert(&bags, leaf->x509));
    assert_int_equal(PKCS12_add_safe(parts, bags, s->encryption ?: NID_aes_256_cbc, ITERATIONS, PASSPHRASE), 1);
    a = sk_PKCS7_value(*parts, sk_PKCS7_num(*parts) - 1)->d.encrypted->enc_data->algorithm;
    if (s->part_iterations) {
        ASN1_INTEGER *n = number(s->part_iterations);

        change_iterations(a, n);
        ASN1_INTEGER_free(n);
    }
    if (s->scrypt) {
        X509_ALGOR *scrypt = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, 16384, 8, 1);

        assert_int_equal(X509_ALGOR_copy(a, scrypt), 1);
        X509_ALGOR_free(scrypt);
    }
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

/* The parameters of what OpenSSL makes for encryption, under another name. */
static void change_mac(PKCS12 *p, const Spec *s)
{
    const ASN1_INTEGER *iterations;
    const X509_ALGOR *algorithm;

    PKCS12_get0_mac(NULL, &algorithm, NULL, &iterations, p);
    if (s->mac_iterations) {
        ASN1_INTEGER *n = number(s->mac_iterations);

        assert_int_equal(ASN1_STRING_copy((ASN1_INTEGER *) iterations, n), 1);
        ASN1_INTEGER_free(n);
    }
    if (s->pbmac1_length) {
        X509_ALGOR *a = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), ITERATIONS, NULL, 0, NULL, NID_hmacWithSHA256);
        ASN1_INTEGER *n = number(s->pbmac1_length);

        change_pbes2(a, NULL, n);
        ASN1_OBJECT_free(a->algorithm);
        a->algorithm = OBJ_nid2obj(NID_pbmac1);
        assert_int_equal(X509_ALGOR_copy((X509_ALGOR *) algorithm, a), 1);
        ASN1_INTEGER_free(n);
        X509_ALGOR_free(a);
    }
}

static BIO *make(const Spec *s)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    STACK_OF(PKCS7) *parts = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    PKCS12 *p;

    for (unsigned i = 0; i < MAX(s->n_parts, 1u); i++)
        add_certificates(&parts, s);
    for (unsigned i = 0; !s->no_key && i < MAX(s->n_keys, 1u); i++)
        add_key(&bags, s);
    if (bags)
        assert_int_equal(PKCS12_add_safe(&parts, bags, -1, 0, NULL), 1);
    p = PKCS12_add_safes(parts, 0);
    assert_non_null(p);
    if (!s->no_mac) {
        assert_int_equal(PKCS12_set_mac(p, PASSPHRASE, -1, NULL, 0, ITERATIONS, EVP_sha256()), 1);
        change_mac(p, s);
    }
    assert_int_equal(i2d_PKCS12_bio(bio, p), 1);
    PKCS12_free(p);
    sk_PKCS7_pop_free(parts, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return bio;
}

static void check(const char *what, Pkcs12Reader *with, const Spec *s, const char *passphrase, int expected, const char *expected_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(bio_freep) BIO *bio = make(s);
    const char *reason = NULL;
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    int r;

    r = pkcs12_read(with, data, (size_t) n, passphrase, &key, &chain, &reason);
    if (r != expected)
        fail_msg("%s: %d, not %d: %s", what, r, expected, reason);
    if (r >= 0) {
        assert_int_equal(EVP_PKEY_eq(key, leaf->key), 1);
        assert_int_equal(X509_cmp(sk_X509_value(chain, 0), leaf->x509), 0);
        return;
    }
    assert_null(key);
    assert_null(chain);
    if (!reason || !strstr(reason, expected_reason))
        fail_msg("%s: the reason is '%s', not '…%s…'", what, reason, expected_reason);
}

static const struct {
    const char *what;
    Spec spec;
    int expected;
    const char *reason;
} cases[] = {
    {"nothing wrong", {}, 0, NULL},
    {"no MAC", {.no_mac = true}, 0, NULL},
    {"3DES", {.encryption = NID_pbe_WithSHA1And3_Key_TripleDES_CBC}, 0, NULL},
    {"as many certificates as a chain has", {.n_certificates = CERTIFICATE_CHAIN_MAX}, 0, NULL},

    /* With the largest of these OpenSSL would compute for hours. */
    {"MAC of 2³¹ iterations", {.mac_iterations = "80000000"}, -E2BIG, "iterations"},
    {"MAC of 2³¹ - 1 iterations", {.mac_iterations = "7fffffff"}, -E2BIG, "iterations"},
    {"MAC of one iteration too many", {.mac_iterations = "4c4b41"}, -E2BIG, "iterations"},
    {"MAC of 2⁶³ iterations", {.mac_iterations = "8000000000000000"}, -E2BIG, "iterations"},
    {"MAC of 2⁹⁵ iterations", {.mac_iterations = "800000000000000000000000"}, -E2BIG, "iterations"},
    {"MAC of no iteration", {.mac_iterations = "0"}, -EBADMSG, "damaged"},
    {"MAC of less than none", {.mac_iterations = "-1"}, -EBADMSG, "damaged"},
    {"part of 2³¹ iterations", {.part_iterations = "80000000"}, -E2BIG, "iterations"},
    {"part of 2³¹ iterations, no MAC", {.part_iterations = "80000000", .no_mac = true}, -E2BIG, "iterations"},
    {"part of 2⁶³ iterations", {.part_iterations = "8000000000000000"}, -E2BIG, "iterations"},
    {"part of less than none", {.part_iterations = "-7fffffff"}, -EBADMSG, "damaged"},
    {"3DES part of 2³¹ iterations", {.part_iterations = "80000000", .encryption = NID_pbe_WithSHA1And3_Key_TripleDES_CBC}, -E2BIG,
            "iterations"},
    {"key of 2³¹ iterations", {.key_iterations = "80000000"}, -E2BIG, "iterations"},
    {"3DES key of 2³¹ iterations", {.key_iterations = "80000000", .encryption = NID_pbe_WithSHA1And3_Key_TripleDES_CBC}, -E2BIG,
            "iterations"},
    {"scrypt", {.scrypt = true}, -EOPNOTSUPP, "not supported"},
    /* Some versions of OpenSSL write behind their buffer. */
    {"PBMAC1 with a key of 65 bytes", {.pbmac1_length = "41"}, -EBADMSG, "damaged"},
    {"PBMAC1 with a key of 2³¹ bytes", {.pbmac1_length = "80000000"}, -EBADMSG, "damaged"},

    {"two keys", {.n_keys = 2}, -ENOTUNIQ, "several private keys"},
    {"no key", {.no_key = true}, -ENODATA, "no private key"},
    {"too many certificates", {.n_certificates = CERTIFICATE_CHAIN_MAX + 1}, -E2BIG, "too many certificates"},
    {"too many certificates in parts", {.n_parts = CERTIFICATE_CHAIN_MAX + 1}, -E2BIG, "too many certificates"},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        check(cases[i].what, reader, &cases[i].spec, PASSPHRASE, cases[i].expected, cases[i].reason);
}

/* Many small ones make a large one: what counts is the sum. */
static void test_sum(void **state)
{
    _cleanup_(pkcs12_reader_freep) Pkcs12Reader *small = NULL;

    /* The MAC, five parts, the key. */
    assert_int_equal(pkcs12_reader_new(&small, 7 * ITERATIONS), 0);
    check("five parts", small, &(Spec) {.n_parts = 5}, PASSPHRASE, 0, NULL);
    check("six parts", small, &(Spec) {.n_parts = 6}, PASSPHRASE, -E2BIG, "iterations");
    check("no MAC, six parts", small, &(Spec) {.n_parts = 6, .no_mac = true}, PASSPHRASE, 0, NULL);
}

static void test_passphrases(void **state)
{
    check("another one", reader, &(Spec) {}, "Secret", -ENOKEY, "passphrase is wrong");
    check("none", reader, &(Spec) {}, "", -ENOKEY, "passphrase is wrong");
    check("another one, no MAC", reader, &(Spec) {.no_mac = true}, "Secret", -ENOKEY, "passphrase is wrong");
    check("none, no MAC", reader, &(Spec) {.no_mac = true}, "", -ENOKEY, "passphrase is wrong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_passphrases),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
