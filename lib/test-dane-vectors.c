/* SPDX-License-Identifier: Apache-2.0 */

/* OpenSSL's own test vectors for DANE (tests/vectors/dane-openssl, the argument), as SMTP has them: records of usage 0 and 1 do
 * not count (RFC 7672, section 3.1.3), and DANE-EE never looks at names (section 3.1.1).
 *
 * Nobody has the keys of those certificates. So a server shows one of its own, and before the client's verification, which is
 * ours in all else, the chain of the vector is put in its place. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "openssl-cleanup.h"
#include "test-certificate.h"
#include "tls.h"

#define BASE "example.com"
#define CERTIFICATES_MAX 16
#define CASES_MAX 64
#define CHAIN_MAX 4
#define RECORDS_MAX 4
#define NAME_SIZE 32

typedef struct Vector {
    int number, no_name_checks, error, depth;
    X509 *chain[CHAIN_MAX];
    size_t n_chain;
    TlsaRecord records[RECORDS_MAX];
    size_t n_records;
} Vector;

static struct {
    char name[NAME_SIZE];
    X509 *x509;
} certificates[CERTIFICATES_MAX];
static size_t n_certificates;

static Vector vectors[CASES_MAX];
static size_t n_vectors;

/* ---- the file ---- */

static X509 *certificate(const char *name)
{
    for (size_t i = 0; i < n_certificates; i++)
        if (streq(certificates[i].name, name))
            return certificates[i].x509;
    fail_msg("no certificate %s", name);
    return NULL;
}

static void read_certificate(FILE *f, const char *line)
{
    assert_true(n_certificates < CERTIFICATES_MAX);
    assert_int_equal(sscanf(line, "certificate %31s", certificates[n_certificates].name), 1);
    certificates[n_certificates].x509 = PEM_read_X509(f, NULL, NULL, NULL);
    assert_non_null(certificates[n_certificates++].x509);
}

static void read_case(const char *line)
{
    Vector *v = &vectors[n_vectors];
    char name[NAME_SIZE];
    int at = 0, n;

    assert_true(n_vectors < CASES_MAX);
    n_vectors++;
    assert_int_equal(sscanf(line, "case %d %d %d %d%n", &v->number, &v->no_name_checks, &v->error, &v->depth, &at), 4);
    for (line += at; sscanf(line, "%31s%n", name, &n) == 1; line += n) {
        assert_true(v->n_chain < CHAIN_MAX);
        v->chain[v->n_chain++] = certificate(name);
    }
    assert_true(v->n_chain > 0);
}

static void read_tlsa(char *line)
{
    Vector *v = &vectors[n_vectors - 1];
    TlsaRecord *r = &v->records[v->n_records];
    int at = 0;
    long size;

    assert_true(n_vectors > 0 && v->n_records < RECORDS_MAX);
    v->n_records++;
    assert_int_equal(sscanf(line, "tlsa %hhu %hhu %hhu %n", &r->usage, &r->selector, &r->mtype, &at), 3);
    line[strcspn(line, "\n")] = '\0';
    r->data = OPENSSL_hexstr2buf(line + at, &size);
    assert_non_null(r->data);
    r->size = (size_t) size;
}

static void read_vectors(const char *path)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t allocated = 0;

    assert_non_null(f);
    while (getline(&line, &allocated, f) > 0)
        if (strncmp(line, "certificate ", 12) == 0)
            read_certificate(f, line);
        else if (strncmp(line, "case ", 5) == 0)
            read_case(line);
        else if (strncmp(line, "tlsa ", 5) == 0)
            read_tlsa(line);
        else
            assert_true(*line == '#' || *line == '\n');
    assert_int_equal(ferror(f), 0);
}

static void free_vectors(void)
{
    for (size_t i = 0; i < n_certificates; i++)
        X509_free(certificates[i].x509);
    for (size_t i = 0; i < n_vectors; i++)
        for (size_t k = 0; k < vectors[i].n_records; k++)
            OPENSSL_free((void *) vectors[i].records[k].data);
}

/* ---- a handshake ---- */

static int verify_other_chain(X509_STORE_CTX *ctx, void *userdata)
{
    const Vector *v = userdata;
    STACK_OF(X509) *sent = sk_X509_new_null();

    assert_non_null(sent);
    for (size_t i = 0; i < v->n_chain; i++)
        assert_true(sk_X509_push(sent, v->chain[i]) > 0);
    X509_STORE_CTX_set_cert(ctx, v->chain[0]);
    X509_STORE_CTX_set0_untrusted(ctx, sent);
    (void) X509_verify_cert(ctx);
    X509_STORE_CTX_set0_untrusted(ctx, NULL);
    sk_X509_free(sent);
    return 1;
}

/* Arms a client with the records of the vector. -EINVAL if none of them is usable. */
static int handshake(const Vector *v, TlsVerify *ret, int *ret_depth)
{
    _cleanup_(test_certificate_freep) TestCertificate *stand_in = test_certificate_new(&(TestCertificateSpec){.cn = "x"}, NULL);
    SSL_CTX *client_ctx = NULL, *server_ctx = NULL;
    SSL *client, *server;
    int r;

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    SSL_CTX_set_cert_verify_callback(client_ctx, verify_other_chain, (void *) v);
    assert_int_equal(tls_server_context_new(&server_ctx, NULL), 0);
    test_certificate_use(server_ctx, stand_in, NULL);
    client = SSL_new(client_ctx);
    server = SSL_new(server_ctx);
    r = tls_dane_arm(client, BASE, NULL, v->records, v->n_records);
    if (r >= 0) {
        test_certificate_handshake(client, server);
        *ret = tls_dane_result(client);
        *ret_depth = SSL_get0_dane_authority(client, NULL, NULL);
    }
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    return r;
}

/* ---- what SMTP makes of them ---- */

static bool concerns_smtp(const Vector *v)
{
    for (size_t i = 0; i < v->n_records; i++)
        if (v->records[i].usage >= 2)
            return true;
    return false;
}

/* The one thing that is ours: DANE-EE never looks at names, also in the case that wants it to. */
static bool wants_ee_names(const Vector *v)
{
    return v->error == X509_V_ERR_HOSTNAME_MISMATCH && v->records[0].usage == 3;
}

static void test_dane_35_37_38_40_vectors(void **state)
{
    size_t n = 0;

    for (const Vector *v = vectors; v < vectors + n_vectors; v++) {
        const long error = wants_ee_names(v) ? X509_V_OK : v->error;
        TlsVerify wanted = error == X509_V_OK ? TLS_VERIFY_DANE : tls_verify_from_error(error, v->n_chain), got;
        int depth;

        if (!concerns_smtp(v))
            continue;
        n++;
        assert_int_equal(handshake(v, &got, &depth), 0);
        if (got != wanted)
            fail_msg("case %d: %s instead of %s", v->number, tls_verify_to_string(got), tls_verify_to_string(wanted));
        if (wanted == TLS_VERIFY_DANE && depth != v->depth)
            fail_msg("case %d: matched at depth %d instead of %d", v->number, depth, v->depth);
    }
    print_message("%zu vectors concern SMTP\n", n);
    assert_int_equal(n, 32);
}

/* A public authority's records are none for SMTP, whether they match or not. */
static void test_dane_28_vectors_of_usage_0_and_1(void **state)
{
    size_t n = 0;

    for (const Vector *v = vectors; v < vectors + n_vectors; v++) {
        TlsVerify got;
        int depth;

        if (concerns_smtp(v))
            continue;
        n++;
        if (handshake(v, &got, &depth) != -EINVAL)
            fail_msg("case %d: usable", v->number);
    }
    assert_int_equal(n, 18);
}

/* Where records of both kinds are there, those that count are taken. */
static void test_dane_30_mixed_vectors(void **state)
{
    size_t n = 0;

    for (const Vector *v = vectors; v < vectors + n_vectors; v++) {
        bool unusable = false;
        TlsVerify got;
        int depth;

        for (size_t i = 0; i < v->n_records; i++)
            unusable = unusable || !tlsa_usable(&v->records[i]);
        if (!unusable || !concerns_smtp(v))
            continue;
        n++;
        assert_int_equal(handshake(v, &got, &depth), 0);
        assert_int_equal(got, TLS_VERIFY_DANE);
    }
    assert_int_equal(n, 2);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dane_35_37_38_40_vectors),
        cmocka_unit_test(test_dane_28_vectors_of_usage_0_and_1),
        cmocka_unit_test(test_dane_30_mixed_vectors),
    };
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: %s VECTORS\n", argv[0]);
        return EXIT_FAILURE;
    }
    read_vectors(argv[1]);
    r = cmocka_run_group_tests(tests, NULL, NULL);
    free_vectors();
    return r;
}
