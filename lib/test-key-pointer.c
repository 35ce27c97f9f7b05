/* SPDX-License-Identifier: Apache-2.0 */

/* Pointer files: what was made is read again, and nothing else is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "key-pointer.h"
#include "test-certificate.h"

/* SEQUENCE {} */
static const uint8_t empty[] = {0x30, 0x00};

static void test_round_trip(void **state)
{
    static const char *const names[] = {"mx", "a", "mx1.example.org", "0123456789012345678901234567890123456789012345678901234567890123"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        _cleanup_free_ uint8_t *der = NULL;
        KeyPointer pointer;
        size_t size;

        assert_int_equal(key_pointer_to_der(names[i], empty, sizeof(empty), &der, &size), 0);
        assert_int_equal(key_pointer_parse(der, size, &pointer), 0);
        assert_string_equal(pointer.name, names[i]);
        assert_int_equal(pointer.spki_size, sizeof(empty));
        assert_ptr_equal(pointer.spki, der + size - sizeof(empty));
        assert_memory_equal(pointer.spki, empty, sizeof(empty));
        /* Nothing shorter, nothing longer. */
        for (size_t n = 0; n < size; n++)
            assert_int_equal(key_pointer_parse(der, n, &pointer), -EBADMSG);
    }
}

static void test_not_made(void **state)
{
    static const uint8_t trailing[] = {0x30, 0x00, 0x00}, integer[] = {0x02, 0x01, 0x01};
    uint8_t *der = NULL, large[KEY_POINTER_SIZE_MAX] = {0x30, 0x82, 0x3f, 0xfc};
    size_t size = 0;

    assert_int_equal(key_pointer_to_der("", empty, sizeof(empty), &der, &size), -EINVAL);
    assert_int_equal(key_pointer_to_der("a b", empty, sizeof(empty), &der, &size), -EINVAL);
    assert_int_equal(key_pointer_to_der("mx", trailing, sizeof(trailing), &der, &size), -EINVAL);
    assert_int_equal(key_pointer_to_der("mx", integer, sizeof(integer), &der, &size), -EINVAL);
    assert_int_equal(key_pointer_to_der("mx", empty, 0, &der, &size), -EINVAL);
    assert_int_equal(key_pointer_to_der("mx", large, sizeof(large), &der, &size), -EFBIG);
    assert_null(der);
    assert_int_equal(size, 0);
}

static void test_not_read(void **state)
{
    static const struct {
        const char *what;
        uint8_t der[24];
        size_t size;
        int error;
    } cases[] = {
        {"the right one", {0x30, 0x09, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 11, 0},
        {"nothing", {0}, 0, -EBADMSG},
        {"version 0", {0x30, 0x09, 0x02, 0x01, 0x00, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 11, -EBADMSG},
        {"version 2", {0x30, 0x09, 0x02, 0x01, 0x02, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 11, -EPROTONOSUPPORT},
        {"version -1", {0x30, 0x09, 0x02, 0x01, 0xff, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 11, -EBADMSG},
        {"something behind", {0x30, 0x09, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00, 0x00}, 12, -EBADMSG},
        {"a fourth member", {0x30, 0x0b, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00, 0x05, 0x00}, 13, -EBADMSG},
        {"no key", {0x30, 0x07, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x'}, 9, -EBADMSG},
        {"a key that is a string", {0x30, 0x09, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x04, 0x00}, 11, -EBADMSG},
        {"another kind of string", {0x30, 0x09, 0x02, 0x01, 0x01, 0x13, 0x02, 'm', 'x', 0x30, 0x00}, 11, -EBADMSG},
        {"no name", {0x30, 0x07, 0x02, 0x01, 0x01, 0x0c, 0x00, 0x30, 0x00}, 9, -EBADMSG},
        {"NUL in the name", {0x30, 0x09, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 0, 0x30, 0x00}, 11, -EBADMSG},
        {"a path", {0x30, 0x0a, 0x02, 0x01, 0x01, 0x0c, 0x03, '.', '.', '/', 0x30, 0x00}, 12, -EBADMSG},
        {"BER: a length in the long form", {0x30, 0x81, 0x09, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 12, -EBADMSG},
        {"BER: an indefinite length", {0x30, 0x80, 0x02, 0x01, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00, 0x00, 0x00}, 13, -EBADMSG},
        {"BER: a long version", {0x30, 0x0a, 0x02, 0x02, 0x00, 0x01, 0x0c, 0x02, 'm', 'x', 0x30, 0x00}, 12, -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        KeyPointer pointer;

        print_message("%s\n", cases[i].what);
        assert_int_equal(key_pointer_parse(cases[i].der, cases[i].size, &pointer), cases[i].error);
    }
}

static void test_from_certificate(void **state)
{
    TestCertificate *certificate = test_certificate_new(&(TestCertificateSpec) {.cn = "mx.example"}, NULL);
    _cleanup_free_ char *pem = NULL, *pointer_pem = NULL, *again = NULL;
    char *label, *header, *text;
    KeyPointer pointer;
    uint8_t *spki = NULL;
    unsigned char *der;
    int spki_size;
    long size;
    BIO *bio;

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, certificate->x509), 1);
    size = BIO_get_mem_data(bio, &text);
    pem = strndup(text, (size_t) size);
    BIO_free(bio);
    assert_int_equal(key_pointer_from_certificate("mx", pem, &pointer_pem), 0);

    bio = BIO_new_mem_buf(pointer_pem, -1);
    assert_int_equal(PEM_read_bio(bio, &label, &header, &der, &size), 1);
    assert_string_equal(label, "POSTERN KEY");
    assert_string_equal(header, "");
    assert_int_equal(key_pointer_parse(der, (size_t) size, &pointer), 0);
    assert_string_equal(pointer.name, "mx");
    spki_size = i2d_PUBKEY(certificate->key, &spki);
    assert_int_equal(pointer.spki_size, spki_size);
    assert_memory_equal(pointer.spki, spki, pointer.spki_size);

    assert_int_equal(key_pointer_from_certificate("mx", pointer_pem, &again), -EBADMSG);
    assert_int_equal(key_pointer_from_certificate("mx", "", &again), -EBADMSG);
    assert_int_equal(key_pointer_from_certificate("m/x", pem, &again), -EINVAL);
    assert_null(again);
    OPENSSL_free(spki);
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    test_certificate_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_not_made),
        cmocka_unit_test(test_not_read),
        cmocka_unit_test(test_from_certificate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
