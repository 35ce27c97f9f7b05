/* SPDX-License-Identifier: Apache-2.0 */

/* The store in a temporary directory: what was written is read again, what is wrong is refused as a whole with its reason, and
 * keys sign what they should. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "demo-certificate.h"
#include "openssl-cleanup.h"
#include "store.h"

typedef struct Place {
    char path[64];
    Store *store;
} Place;

static int setup(void **state)
{
    Place *p = calloc(1, sizeof(Place));

    umask(0077);
    strcpy(p->path, "/tmp/test-store-XXXXXX");
    if (!p || !mkdtemp(p->path) || store_new(&p->store, p->path) < 0)
        return -1;
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Place *p = *state;
    int r;

    store_free(p->store);
    assert_true(asprintf(&command, "rm -r %s", p->path) > 0);
    r = system(command);
    free(p);
    return r;
}

static void put(const Place *p, const char *file, const char *content, mode_t mode)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *f = NULL;

    assert_true(asprintf(&path, "%s/%s", p->path, file) > 0);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fchmod(fileno(f), mode), 0);
}

static void put_key(const Place *p, const char *file, EVP_PKEY *key)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_write(bio, "", 1), 1);
    (void) BIO_get_mem_data(bio, &text);
    put(p, file, text, 0600);
}

static void put_certificate(const Place *p, const char *file, X509 *x)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    assert_int_equal(BIO_write(bio, "", 1), 1);
    (void) BIO_get_mem_data(bio, &text);
    put(p, file, text, 0644);
}

static struct stat status(const Place *p, const char *file)
{
    _cleanup_free_ char *path = NULL;
    struct stat st = {};

    assert_true(asprintf(&path, "%s/%s", p->path, file) > 0);
    if (stat(path, &st) < 0)
        st.st_mode = 0;
    return st;
}

static void assert_refused(Place *p, const char *expected)
{
    _cleanup_free_ char *reason = NULL;

    assert_true(store_load(p->store, &reason) < 0);
    assert_non_null(reason);
    if (!strstr(reason, expected))
        fail_msg("the reason is '%s', not '…%s…'", reason, expected);
}

static int load(Place *p)
{
    _cleanup_free_ char *reason = NULL;
    int r = store_load(p->store, &reason);

    if (r < 0)
        fail_msg("%s", reason);
    return r;
}

static void test_empty(void **state)
{
    Place *p = *state;

    assert_int_equal(load(p), 0);
    assert_null(store_get(p->store, 0));
    assert_null(store_find(p->store, DEMONSTRATION_NAME));
}

static void test_demonstration(void **state)
{
    _cleanup_(bio_freep) BIO *bio = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    _cleanup_free_ char *tlsa = NULL;
    Place *p = *state;
    const Certificate *c;

    assert_int_equal(demo_certificate_create(p->store, "mx.example.org"), 0);
    assert_null(store_find(p->store, DEMONSTRATION_NAME));
    assert_int_equal(load(p), 1);
    assert_int_equal(load(p), 0);
    assert_int_equal(status(p, "demonstration.pem").st_mode & 07777, 0600);
    assert_int_equal(status(p, ".demonstration.pem.tmp").st_mode, 0);

    c = store_find(p->store, DEMONSTRATION_NAME);
    assert_non_null(c);
    assert_true(certificate_is_demonstration(c));
    assert_int_equal(c->key_type, KEY_EC_P256);
    assert_string_equal(c->subject, "CN=mx.example.org");
    assert_int_equal(certificate_state(c, c->not_before_usec), CERTIFICATE_DEMONSTRATION);
    assert_int_equal(certificate_state(c, c->not_after_usec + 1), CERTIFICATE_EXPIRED);
    assert_int_equal(certificate_state(c, c->not_before_usec - 1), CERTIFICATE_NOT_YET_VALID);
    assert_int_equal(certificate_tlsa(c, &tlsa), 0);
    assert_int_equal(strlen(tlsa), strlen("3 1 1 ") + 64);

    bio = BIO_new_mem_buf(c->pem, (int) c->pem_size);
    x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_check_host(x, "mx.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
    assert_null(strstr(c->pem, "PRIVATE"));
}

/* A host name too long for a common name is in the SAN only; no host name at all makes no certificate. */
static void test_demonstration_names(void **state)
{
    const char *host = "a-name-of-a-host-that-has-more-than-sixty-four-characters.and.a.domain.example.org";
    EVP_PKEY *key;
    X509 *x;

    assert_int_equal(demo_certificate_make(host, &key, &x), 0);
    assert_int_equal(X509_check_host(x, host, 0, 0, NULL), 1);
    X509_free(x);
    EVP_PKEY_free(key);
    assert_int_equal(demo_certificate_make("", &key, &x), -EINVAL);
    assert_int_equal(demo_certificate_make("a,DNS:b", &key, &x), -EINVAL);
}

/* Verifies as the peer in a handshake would. */
static bool verifies(const Certificate *c, const SignatureScheme *scheme, const uint8_t *message, size_t size, const uint8_t *signature, size_t n)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(c->pem, (int) c->pem_size);
    _cleanup_(x509_freep) X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *context;

    assert_int_equal(EVP_DigestVerifyInit_ex(md, &context, scheme->digest, NULL, NULL, X509_get0_pubkey(x), NULL), 1);
    if (scheme->pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    return EVP_DigestVerify(md, signature, n, message, size) == 1;
}

static void write_pair(Place *p, const char *name, EVP_PKEY *key)
{
    X509 *x = X509_new();

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") ? EVP_sha256() : NULL) > 0);
    assert_int_equal(store_write(p->store, name, key, x), 0);
    X509_free(x);
}

static void test_keys(void **state)
{
    static const struct {
        const char *name, *algorithm;
        KeyType type;
        uint16_t schemes[4];
    } keys[] = {
        {"ed25519", "ED25519", KEY_ED25519, {0x0807}},
        {"p256", "P-256", KEY_EC_P256, {0x0403, 0x0503, 0x0603}},
        {"p384", "P-384", KEY_EC_P384, {0x0503, 0x0403}},
        {"rsa", "RSA", KEY_RSA, {0x0804, 0x0806, 0x0401, 0x0501}},
    };
    const uint8_t message[] = "not looked at here";
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        _cleanup_(evp_pkey_freep) EVP_PKEY *key = strncmp(keys[i].algorithm, "P-", 2) == 0
                ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", keys[i].algorithm)
                : EVP_PKEY_Q_keygen(NULL, NULL, keys[i].algorithm, (size_t) 2048);

        write_pair(p, keys[i].name, key);
    }
    assert_int_equal(load(p), 1);
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        const Certificate *c = store_get(p->store, i);

        assert_string_equal(c->name, keys[i].name);
        assert_int_equal(c->key_type, keys[i].type);
        assert_int_equal(certificate_state(c, c->not_before_usec + 1), CERTIFICATE_SELF_SIGNED);
        for (size_t k = 0; k < 4 && keys[i].schemes[k] != 0; k++) {
            const SignatureScheme *scheme = signature_scheme_from_id(keys[i].schemes[k]);
            uint8_t signature[CERTIFICATE_SIGNATURE_MAX];
            size_t n = 0;

            assert_int_equal(certificate_sign(c, scheme, message, sizeof(message), signature, &n), 0);
            assert_true(verifies(c, scheme, message, sizeof(message), signature, n));
            signature[n / 2] ^= 1;
            assert_false(verifies(c, scheme, message, sizeof(message), signature, n));
        }
    }
    assert_null(store_get(p->store, ELEMENTSOF(keys)));
}

/* A replaced key goes on to sign for a while, for its own handshakes; a deleted one does not. */
static void test_replaced(void **state)
{
    uint8_t old_spki[32], new_spki[32];
    Place *p = *state;

    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    memcpy(old_spki, store_find(p->store, DEMONSTRATION_NAME)->spki_sha256, 32);
    assert_int_equal(demo_certificate_create(p->store, "b.example"), 0);
    assert_int_equal(load(p), 1);
    memcpy(new_spki, store_find(p->store, DEMONSTRATION_NAME)->spki_sha256, 32);
    assert_memory_not_equal(old_spki, new_spki, 32);

    assert_string_equal(store_find_key(p->store, DEMONSTRATION_NAME, new_spki)->subject, "CN=b.example");
    assert_string_equal(store_find_key(p->store, DEMONSTRATION_NAME, old_spki)->subject, "CN=a.example");
    assert_null(store_find_key(p->store, "other", old_spki));
    old_spki[0] ^= 1;
    assert_null(store_find_key(p->store, DEMONSTRATION_NAME, old_spki));
    for (unsigned i = 0; i < 70; i++) { /* more than are kept */
        assert_int_equal(demo_certificate_create(p->store, "c.example"), 0);
        assert_int_equal(load(p), 1);
    }
    old_spki[0] ^= 1;
    assert_null(store_find_key(p->store, DEMONSTRATION_NAME, old_spki));
}

/* All or nothing: with one wrong file the store stays as it was. */
static void test_wrong(void **state)
{
    _cleanup_free_ char *pem = NULL, *two = NULL;
    EVP_PKEY *key, *other;
    Place *p = *state;
    X509 *x;

    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    pem = strdup(store_find(p->store, DEMONSTRATION_NAME)->pem);

    assert_int_equal(demo_certificate_make("b.example", &key, &x), 0);
    put(p, "b.crt", "nothing\n", 0644);
    assert_refused(p, "b.key is missing");
    put(p, "b.key", "nothing\n", 0600);
    assert_refused(p, "b has no unencrypted private key");
    put_key(p, "b.key", key);
    assert_refused(p, "b is no chain of certificates");
    put(p, "b.crt", pem, 0644);

    other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_int_equal(store_write(p->store, "b", other, x), -EKEYREJECTED);
    put_key(p, "b.key", other);
    assert_refused(p, "b has a private key that is not the certificate's");
    assert_int_equal(store_write(p->store, "b", key, x), 0);
    assert_int_equal(load(p), 1);
    assert_non_null(store_find(p->store, "b"));

    assert_true(asprintf(&two, "%s%sgarbage\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem, pem) > 0);
    put(p, "b.crt", two, 0644);
    assert_refused(p, "b is no chain of certificates");
    assert_int_equal(store_write(p->store, "b", key, x), 0);
    put(p, "demonstration.pem", "", 0640);
    assert_refused(p, "demonstration.pem is accessible to others");
    assert_non_null(store_find(p->store, "b"));
    assert_string_equal(store_find(p->store, DEMONSTRATION_NAME)->pem, pem);
    X509_free(x);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void test_unsupported(void **state)
{
    static const struct {
        const char *algorithm, *argument;
    } keys[] = {{"EC", "secp256k1"}, {"EC", "P-521"}, {"RSA", NULL}};
    _cleanup_(x509_freep) X509 *x = X509_new();
    Place *p = *state;

    X509_set_version(x, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        _cleanup_(evp_pkey_freep) EVP_PKEY *key = keys[i].argument ? EVP_PKEY_Q_keygen(NULL, NULL, keys[i].algorithm, keys[i].argument)
                                                                   : EVP_PKEY_Q_keygen(NULL, NULL, keys[i].algorithm, (size_t) 1024);

        X509_set_pubkey(x, key);
        assert_true(X509_sign(x, key, EVP_sha256()) > 0);
        assert_int_equal(store_write(p->store, "x", key, x), -EOPNOTSUPP);
        put_key(p, "x.key", key);
        put_certificate(p, "x.crt", x);
        assert_refused(p, "x has a key of an unsupported type");
    }
}

/* Left over from an interrupted write, and what is none of ours. */
static void test_others(void **state)
{
    Place *p = *state;

    put(p, ".a.key.tmp", "half a key", 0600);
    put(p, "pending.key", "a key whose certificate has not come yet", 0600);
    put(p, "README", "", 0644);
    put(p, "-x.crt", "", 0644);
    assert_int_equal(load(p), 0);
    assert_int_equal(status(p, ".a.key.tmp").st_mode, 0);
    assert_true(status(p, "pending.key").st_size > 0);
}

static void test_directory(void **state)
{
    Place *p = *state;
    Store *s;

    assert_int_equal(store_new(&s, "/nonexistent"), -ENOENT);
    assert_int_equal(chmod(p->path, 0750), 0);
    assert_int_equal(store_new(&s, p->path), -EPERM);
}

static void test_names(void **state)
{
    static const char *const wrong[] = {"", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "ä",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    assert_true(certificate_name_valid("mx1.example.org"));
    assert_true(certificate_name_valid("A_b-c.9"));
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_false(certificate_name_valid(wrong[i]));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_demonstration),
        TEST(test_demonstration_names),
        TEST(test_keys),
        TEST(test_replaced),
        TEST(test_wrong),
        TEST(test_unsupported),
        TEST(test_others),
        TEST(test_directory),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
