/* SPDX-License-Identifier: Apache-2.0 */

/* Keys at rest: what is on disk does not hold the key, and who has not the passphrase gets no store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <sys/stat.h>

#include "demo-certificate.h"
#include "key-credential.h"
#include "openssl-cleanup.h"
#include "private-key.h"
#include "secure-memory.h"
#include "store.h"

#define PASSPHRASE "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ENCRYPTED "-----BEGIN ENCRYPTED PRIVATE KEY-----"
#define PLAIN "-----BEGIN PRIVATE KEY-----"

typedef struct Place {
    char path[64];
    Store *store;
} Place;

static void open_store(Place *p, const char *passphrase)
{
    char *copy = NULL;

    if (passphrase) {
        copy = secure_malloc(strlen(passphrase) + 1);
        assert_non_null(copy);
        strcpy(copy, passphrase);
    }
    p->store = store_free(p->store);
    assert_int_equal(store_new(&p->store, p->path), 0);
    store_set_passphrase(p->store, copy);
}

static int setup(void **state)
{
    Place *p = calloc(1, sizeof(Place));

    umask(0077);
    strcpy(p->path, "/tmp/test-store-keys-XXXXXX");
    if (!mkdtemp(p->path))
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

static char *path_of(const Place *p, const char *file)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", p->path, file) > 0);
    return path;
}

static void put(const Place *p, const char *file, const char *content)
{
    _cleanup_free_ char *path = path_of(p, file);
    _cleanup_fclose_ FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
}

static char *get(const Place *p, const char *file)
{
    _cleanup_free_ char *path = path_of(p, file);
    _cleanup_fclose_ FILE *f = fopen(path, "r");
    char *content = calloc(1, CERTIFICATE_PEM_MAX);

    assert_non_null(content);
    if (!f) {
        free(content);
        return NULL;
    }
    assert_true(fread(content, 1, CERTIFICATE_PEM_MAX - 1, f) > 0);
    return content;
}

static bool exists(const Place *p, const char *file)
{
    _cleanup_free_ char *path = path_of(p, file);

    return access(path, F_OK) == 0;
}

static int load(Place *p)
{
    _cleanup_free_ char *reason = NULL;
    int r = store_load(p->store, &reason);

    if (r < 0)
        fail_msg("%s", reason);
    return r;
}

static void assert_refused(Place *p, const char *expected)
{
    _cleanup_free_ char *reason = NULL;

    assert_int_equal(store_load(p->store, &reason), -EBADMSG);
    assert_non_null(reason);
    if (!strstr(reason, expected))
        fail_msg("the reason is '%s', not '…%s…'", reason, expected);
}

/* The text of a key, as it would be in a plain file: base64 lines without the ends. */
static char *key_lines(EVP_PKEY *key)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *text, *lines;
    long n;

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    n = BIO_get_mem_data(bio, &text);
    assert_true(n > 100);
    lines = strndup(text + strlen(PLAIN) + 1, 64);
    assert_non_null(lines);
    return lines;
}

static void test_encrypted(void **state)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL, *read = NULL;
    _cleanup_free_ char *lines = NULL, *file = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    Place *p = *state;

    open_store(p, PASSPHRASE);
    assert_true(store_keys_encrypted(p->store));
    assert_int_equal(demo_certificate_make("a.example", &key, &x), 0);
    assert_int_equal(store_write(p->store, "a", key, x), 0);
    assert_int_equal(load(p), 1);
    assert_true(store_find(p->store, "a")->key_encrypted);
    assert_true(store_keys_encrypted(p->store));

    file = get(p, "a.pem");
    lines = key_lines(key);
    assert_non_null(strstr(file, ENCRYPTED));
    assert_null(strstr(file, PLAIN));
    assert_null(strstr(file, lines));
    assert_non_null(strstr(file, "-----BEGIN CERTIFICATE-----"));

    /* As any program of OpenSSL reads it. */
    bio = BIO_new_mem_buf(file, -1);
    read = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *) PASSPHRASE);
    assert_non_null(read);
    assert_int_equal(EVP_PKEY_eq(read, key), 1);

    /* And after a restart. */
    open_store(p, PASSPHRASE);
    assert_int_equal(load(p), 1);
    assert_true(store_keys_encrypted(p->store));
}

static void test_all_types(void **state)
{
    EVP_PKEY *keys[] = {EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"),
        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048)};
    const char *reason;

    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
        _cleanup_(evp_pkey_freep) EVP_PKEY *key = keys[i], *read = NULL;
        char *text;
        long n;

        assert_int_equal(private_key_write(bio, key, PASSPHRASE), 0);
        assert_int_equal(BIO_write(bio, "", 1), 1);
        n = BIO_get_mem_data(bio, &text);
        assert_true(private_key_is_encrypted(text));
        assert_int_equal(private_key_read(text, (size_t) n - 1, PASSPHRASE, &read, &reason), 0);
        assert_int_equal(EVP_PKEY_eq(read, key), 1);
    }
}

static void test_plain_without_passphrase(void **state)
{
    _cleanup_free_ char *file = NULL;
    Place *p = *state;

    open_store(p, NULL);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    file = get(p, "demonstration.pem");
    assert_non_null(strstr(file, PLAIN));
    assert_false(store_has_passphrase(p->store));
    assert_false(store_keys_encrypted(p->store));
}

/* Keys from before are encrypted when they are read, and what was there is overwritten. */
static void test_migration(void **state)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_free_ char *lines = NULL, *file = NULL, *path = NULL, *left = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    _cleanup_close_ int old = -EBADF;
    char buffer[4096] = "";
    Place *p = *state;

    open_store(p, NULL);
    assert_int_equal(demo_certificate_make("a.example", &key, &x), 0);
    assert_int_equal(store_write(p->store, "a", key, x), 0);
    lines = key_lines(key);
    path = path_of(p, "a.pem");
    old = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(pread(old, buffer, sizeof(buffer) - 1, 0) > 0);
    assert_non_null(strstr(buffer, lines));

    open_store(p, PASSPHRASE);
    assert_int_equal(load(p), 1);
    assert_true(store_keys_encrypted(p->store));
    file = get(p, "a.pem");
    assert_non_null(strstr(file, ENCRYPTED));
    assert_null(strstr(file, lines));
    left = path_of(p, ".a.pem.tmp");
    assert_int_equal(access(left, F_OK), -1);
    assert_true(pread(old, buffer, sizeof(buffer), 0) > 0);
    for (size_t i = 0; i < sizeof(buffer) && buffer[i] != '\0'; i++)
        fail_msg("the old file was not overwritten");

    /* Once. */
    assert_int_equal(load(p), 0);
    assert_true(store_keys_encrypted(p->store));
}

/* A backup by hard links is not touched. */
static void test_migration_linked(void **state)
{
    _cleanup_free_ char *from = NULL, *to = NULL, *file = NULL;
    Place *p = *state;

    open_store(p, NULL);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    from = path_of(p, "demonstration.pem");
    to = path_of(p, "backup");
    assert_int_equal(link(from, to), 0);
    open_store(p, PASSPHRASE);
    assert_int_equal(load(p), 1);
    file = get(p, "backup");
    assert_non_null(strstr(file, PLAIN));
    assert_non_null(strstr(file, "-----BEGIN CERTIFICATE-----"));
}

/* NAME.crt and NAME.key, put there by somebody. */
static void test_pair(void **state)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    _cleanup_(x509_freep) X509 *x = NULL;
    _cleanup_free_ char *lines = NULL, *file = NULL, *path = NULL;
    _cleanup_close_ int old = -EBADF;
    char first = 0, *text;
    Place *p = *state;

    open_store(p, PASSPHRASE);
    assert_int_equal(demo_certificate_make("a.example", &key, &x), 0);
    lines = key_lines(key);
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_write(bio, "", 1), 1);
    (void) BIO_get_mem_data(bio, &text);
    put(p, "a.key", text);
    assert_int_equal(BIO_reset(bio), 1);
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    assert_int_equal(BIO_write(bio, "", 1), 1);
    (void) BIO_get_mem_data(bio, &text);
    put(p, "a.crt", text);
    path = path_of(p, "a.key");
    old = open(path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(load(p), 1);
    assert_false(exists(p, "a.key"));
    assert_false(exists(p, "a.crt"));
    assert_true(store_keys_encrypted(p->store));
    file = get(p, "a.pem");
    assert_non_null(strstr(file, ENCRYPTED));
    assert_null(strstr(file, lines));
    assert_int_equal(pread(old, &first, 1, 0), 1);
    assert_int_equal(first, 0);

    /* A renewed certificate for the key that is there, which is encrypted now. */
    put(p, "a.crt", text);
    assert_int_equal(load(p), 0);
    assert_false(exists(p, "a.crt"));
    assert_true(store_keys_encrypted(p->store));
}

static void test_wrong_or_missing(void **state)
{
    _cleanup_free_ char *before = NULL, *after = NULL;
    Place *p = *state;

    open_store(p, PASSPHRASE);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    before = get(p, "demonstration.pem");

    open_store(p, NULL);
    assert_refused(p, "demonstration.pem has an encrypted private key, and certd was given no credential");
    assert_null(store_get(p->store, 0));

    open_store(p, "another");
    assert_refused(p, "demonstration.pem has an encrypted private key that the credential 'postern-certd-key' does not decrypt");
    assert_null(store_get(p->store, 0));

    /* Nothing was changed by that. */
    after = get(p, "demonstration.pem");
    assert_string_equal(before, after);
    open_store(p, PASSPHRASE);
    assert_int_equal(load(p), 1);
}

/* A plain key beside one that cannot be decrypted is not a reason to go on with half of the store. */
static void test_half(void **state)
{
    Place *p = *state;

    open_store(p, PASSPHRASE);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    open_store(p, NULL);
    {
        _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_(x509_freep) X509 *x = NULL;

        assert_int_equal(demo_certificate_make("b.example", &key, &x), 0);
        assert_int_equal(store_write(p->store, "b", key, x), 0);
    }
    assert_refused(p, "demonstration.pem");
    assert_null(store_get(p->store, 0));
    open_store(p, "another");
    assert_refused(p, "demonstration.pem");
    assert_null(store_get(p->store, 0));
}

static BIGNUM *private_number(const Certificate *c)
{
    BIGNUM *n = NULL;

    assert_int_equal(EVP_PKEY_get_bn_param(c->key, OSSL_PKEY_PARAM_PRIV_KEY, &n), 1);
    return n;
}

/* A bit of each character of the encrypted key flipped in turn. CBC itself would not tell; but never is there another key than the
 * one that was stored. Some bits mean nothing: those are a version, or an option that is left out. */
static void test_tampered(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned refused = 0, accepted = 0;
    _cleanup_free_ char *file = NULL;
    char *begin, *end;
    Place *p = *state;
    BIGNUM *number;

    open_store(p, PASSPHRASE);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    number = private_number(store_find(p->store, DEMONSTRATION_NAME));
    file = get(p, "demonstration.pem");
    begin = strstr(file, ENCRYPTED) + strlen(ENCRYPTED);
    end = strstr(begin, "-----END");
    for (char *c = begin; c < end; c++) {
        _cleanup_free_ char *reason = NULL;
        char before = *c;
        BIGNUM *other;

        if (before == '\n' || before == '=')
            continue;
        *c = digits[((size_t) (strchr(digits, before) - digits) + 32) % 64];
        put(p, "demonstration.pem", file);
        *c = before;
        if (store_load(p->store, &reason) < 0) {
            refused++;
            assert_non_null(strstr(reason, "demonstration.pem has a"));
        } else
            accepted++;
        other = private_number(store_find(p->store, DEMONSTRATION_NAME));
        assert_int_equal(BN_cmp(number, other), 0);
        BN_clear_free(other);
    }
    assert_true(refused > 20 * accepted);
    BN_clear_free(number);
    put(p, "demonstration.pem", file);
    assert_int_equal(load(p), 0);
}

/* Such that would take for ever, or that certd does not write. */
static void test_other_encryption(void **state)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    _cleanup_(evp_pkey_freep) EVP_PKEY *read = NULL;
    const struct {
        int pbe;
        const EVP_CIPHER *cipher;
        int iterations;
        int result;
    } cases[] = {
        {-1, EVP_aes_256_cbc(), 1, 0},
        {-1, EVP_aes_128_cbc(), 100000, 0},
        {-1, EVP_aes_256_cbc(), PRIVATE_KEY_ITERATIONS_MAX + 1, -EBADMSG},
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NULL, 1000, -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        X509_SIG *sig = PKCS8_encrypt(cases[i].pbe, cases[i].cipher, PASSPHRASE, (int) strlen(PASSPHRASE), NULL, 0,
                cases[i].iterations, info);
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        _cleanup_(evp_pkey_freep) EVP_PKEY *k = NULL;
        const char *reason = NULL;
        char *text;

        assert_non_null(sig);
        assert_int_equal(PEM_write_bio_PKCS8(bio, sig), 1);
        assert_int_equal(BIO_write(bio, "", 1), 1);
        X509_SIG_free(sig);
        assert_int_equal(private_key_read(text, (size_t) (BIO_get_mem_data(bio, &text) - 1), PASSPHRASE, &k, &reason), cases[i].result);
        if (cases[i].result < 0)
            assert_non_null(strstr(reason, "in another way"));
    }
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* What has not changed is not read again, what has is; so is a file changed in place. */
static void test_kept(void **state)
{
    _cleanup_free_ char *file = NULL;
    const Certificate *c;
    Place *p = *state;

    open_store(p, PASSPHRASE);
    assert_int_equal(demo_certificate_create(p->store, "a.example"), 0);
    assert_int_equal(load(p), 1);
    (void) usleep(1100 * 1000); /* a file changed just now is always read: times of files have steps */
    assert_int_equal(load(p), 0);
    c = store_find(p->store, DEMONSTRATION_NAME);
    assert_int_equal(load(p), 0);
    assert_ptr_equal(store_find(p->store, DEMONSTRATION_NAME), c);

    file = get(p, "demonstration.pem");
    file[strlen(file) / 4] ^= 1;
    put(p, "demonstration.pem", file);
    assert_refused(p, "demonstration.pem");
    file[strlen(file) / 4] ^= 1;
    put(p, "demonstration.pem", file);
    assert_int_equal(load(p), 0);
    assert_int_equal(demo_certificate_create(p->store, "b.example"), 0);
    assert_int_equal(load(p), 1);
    assert_string_equal(store_find(p->store, DEMONSTRATION_NAME)->subject, "CN=b.example");
}

static void test_credential(void **state)
{
    static const struct {
        const char *content, *passphrase;
        int result;
    } cases[] = {
        {PASSPHRASE, PASSPHRASE, 1},
        {PASSPHRASE "\n", PASSPHRASE, 1},
        {"with blanks in it", "with blanks in it", 1},
        {"", NULL, -EBADMSG},
        {"\n", NULL, -EBADMSG},
        {"two\nlines", NULL, -EBADMSG},
    };
    _cleanup_free_ char *path = NULL, *large = calloc(1, KEY_CREDENTIAL_MAX + 2);
    const char *reason = NULL;
    char *s = NULL;
    Place *p = *state;

    assert_int_equal(key_credential_load(NULL, KEY_CREDENTIAL_NAME, &s, &reason), 0);
    assert_int_equal(key_credential_load("/nonexistent", KEY_CREDENTIAL_NAME, &s, &reason), 0);
    assert_int_equal(key_credential_load(p->path, KEY_CREDENTIAL_NAME, &s, &reason), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(secure_freep) char *got = NULL;

        put(p, KEY_CREDENTIAL_NAME, cases[i].content);
        assert_int_equal(key_credential_load(p->path, KEY_CREDENTIAL_NAME, &got, &reason), cases[i].result);
        if (cases[i].passphrase)
            assert_string_equal(got, cases[i].passphrase);
        else
            assert_null(got);
    }
    memset(large, 'x', KEY_CREDENTIAL_MAX + 1);
    put(p, KEY_CREDENTIAL_NAME, large);
    assert_int_equal(key_credential_load(p->path, KEY_CREDENTIAL_NAME, &s, &reason), -EBADMSG);
    path = path_of(p, KEY_CREDENTIAL_NAME);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, 16), 0); /* zero bytes */
    assert_int_equal(key_credential_load(p->path, KEY_CREDENTIAL_NAME, &s, &reason), -EBADMSG);
    assert_null(s);
}

static void test_which_key(void **state)
{
    assert_false(private_key_is_encrypted(""));
    assert_false(private_key_is_encrypted("-----BEGIN CERTIFICATE-----\n"));
    assert_false(private_key_is_encrypted("-----BEGIN EC PRIVATE KEY-----\n"));
    assert_false(private_key_is_encrypted(PLAIN "\n" ENCRYPTED "\n"));
    assert_true(private_key_is_encrypted(ENCRYPTED));
    assert_true(private_key_is_encrypted("Export: forbidden\n-----BEGIN CERTIFICATE-----\n" ENCRYPTED "\r\n" PLAIN));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_encrypted),
        cmocka_unit_test(test_all_types),
        TEST(test_plain_without_passphrase),
        TEST(test_migration),
        TEST(test_migration_linked),
        TEST(test_pair),
        TEST(test_wrong_or_missing),
        TEST(test_half),
        TEST(test_tampered),
        cmocka_unit_test(test_other_encryption),
        TEST(test_kept),
        TEST(test_credential),
        cmocka_unit_test(test_which_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
