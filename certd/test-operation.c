/* SPDX-License-Identifier: Apache-2.0 */

/* The operations on certificates, on a store in a temporary directory. The judge is the openssl program, where there is one
 * thing to judge. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "certificate-details.h"
#include "operation.h"

#define KILLS 40

typedef struct Place {
    char path[64];
    Store *store;
} Place;

static int setup(void **state)
{
    Place *p = calloc(1, sizeof(Place));

    umask(0077);
    strcpy(p->path, "/tmp/test-operation-XXXXXX");
    if (!mkdtemp(p->path) || store_new(&p->store, p->path) < 0)
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

static const Certificate *find(Place *p, const char *name)
{
    _cleanup_free_ char *reason = NULL;

    if (store_load(p->store, &reason) < 0)
        fail_msg("%s", reason);
    return store_find(p->store, name);
}

static CertificateState state_of(Place *p, const char *name)
{
    const Certificate *c = find(p, name);

    return certificate_state(c, c->not_before_usec);
}

static Operation *make(Place *p, OperationKind kind, const char *name)
{
    Operation *o;

    assert_int_equal(operation_new(&o, kind, p->store), 0);
    o->name = strdup(name);
    return o;
}

/* operation_run() to its expected end; the reason, if that is an error, has to hold a text. */
static void run(Operation *o, int expected, const char *reason)
{
    int r = operation_run(o);

    if (r != expected)
        fail_msg("'%s': %d, not %d: %s", o->name, r, expected, o->reason);
    if (reason && !strstr(o->reason, reason))
        fail_msg("'%s': the reason is '%s', not '…%s…'", o->name, o->reason, reason);
}

static void create(Place *p, const char *name, const char *key_type)
{
    _cleanup_(operation_freep) Operation *o = make(p, OPERATION_CREATE, name);

    o->common_name = strdup("mx.example.org");
    o->key_type = strdup(key_type);
    run(o, 0, NULL);
}

static void simple(Place *p, OperationKind kind, const char *name, const char *new_name, int expected, const char *reason)
{
    _cleanup_(operation_freep) Operation *o = make(p, kind, name);

    o->new_name = new_name ? strdup(new_name) : NULL;
    run(o, expected, reason);
}

/* What a shell command prints; input is its standard input. */
static char *shell(const Place *p, const char *input, const char *command)
{
    _cleanup_free_ char *in = NULL, *line = NULL;
    _cleanup_fclose_ FILE *f = NULL;
    char *out = calloc(1, 8192);
    FILE *program;

    assert_true(asprintf(&in, "%s/.input", p->path) > 0);
    f = fopen(in, "w");
    assert_non_null(f);
    assert_true(fputs(input, f) >= 0 && fflush(f) == 0);
    assert_true(asprintf(&line, "%s <%s 2>&1", command, in) > 0);
    program = popen(line, "r");
    assert_non_null(program);
    (void) !fread(out, 1, 8191, program);
    (void) pclose(program);
    (void) unlink(in);
    return out;
}

static void assert_says(const Place *p, const char *input, const char *command, const char *expected)
{
    _cleanup_free_ char *out = shell(p, input, command);

    if (!strstr(out, expected))
        fail_msg("%s: '%s' does not hold '%s'", command, out, expected);
}

/* ---- creation ---- */

static void test_key_types(void **state)
{
    static const struct {
        const char *type, *text;
    } types[] = {
        {"ecdsa-p256", "NIST CURVE: P-256"}, {"ecdsa-p384", "NIST CURVE: P-384"}, {"ed25519", "ED25519 Public-Key"},
        {"rsa-2048", "Public-Key: (2048 bit)"}, {"rsa-3072", "Public-Key: (3072 bit)"},
    };
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        create(p, types[i].type, types[i].type);
        assert_says(p, find(p, types[i].type)->pem, "openssl x509 -noout -text", types[i].text);
        assert_int_equal(state_of(p, types[i].type), CERTIFICATE_SELF_SIGNED);
    }
}

/* OpenSSL has them from 3.5 on; before, a clear refusal. */
static void test_ml_dsa(void **state)
{
    static const char *const types[] = {"ml-dsa-44", "ml-dsa-65", "ml-dsa-87"};
    static const uint16_t schemes[] = {0x0904, 0x0905, 0x0906};
    const uint8_t message[] = "not looked at here";
    uint8_t signature[CERTIFICATE_SIGNATURE_MAX];
    size_t size;
    EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(NULL, "ML-DSA-65", NULL);
    const bool available = keymgmt != NULL;
    Place *p = *state;

    EVP_KEYMGMT_free(keymgmt);
    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        if (available) {
            create(p, types[i], types[i]);
            assert_says(p, find(p, types[i])->pem, "openssl x509 -noout -text", "ML-DSA");
            assert_int_equal(state_of(p, types[i]), CERTIFICATE_SELF_SIGNED);
            assert_int_equal(certificate_sign(find(p, types[i]), signature_scheme_from_id(schemes[i]), message, sizeof(message), signature,
                                     &size),
                    0);
            assert_true(size > 2000);
        } else {
            _cleanup_(operation_freep) Operation *o = make(p, OPERATION_CREATE, types[i]);

            o->common_name = strdup("mx.example.org");
            o->key_type = strdup(types[i]);
            run(o, -EOPNOTSUPP, "the OpenSSL of this host does not have this type of key");
        }
    }
}

static void test_subject(void **state)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    _cleanup_(certificate_details_done) CertificateDetails d = {};
    Place *p = *state;
    const Certificate *c;

    o = make(p, OPERATION_CREATE, "");
    o->common_name = strdup("mx.example.org");
    o->organization = strdup("Bäckerei, \"Klein\"");
    o->unit = strdup("Mail");
    o->city = strdup("Köln");
    o->state = strdup("NRW");
    o->country = strdup("DE");
    o->days = 30;
    o->names = calloc(4, sizeof(char *));
    o->names[0] = strdup("*.example.org");
    o->names[1] = strdup("192.0.2.7");
    o->names[2] = strdup("2001:db8::7");
    run(o, 0, NULL);
    assert_string_equal(o->name, "mx.example.org");
    c = find(p, "mx.example.org");
    assert_says(p, c->pem, "openssl x509 -noout -subject -nameopt RFC2253,-esc_msb",
            "CN=mx.example.org,OU=Mail,O=Bäckerei\\, \\\"Klein\\\",L=Köln,ST=NRW,C=DE");
    assert_says(p, c->pem, "openssl x509 -noout -ext subjectAltName",
            "DNS:*.example.org, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7, DNS:mx.example.org");
    assert_says(p, c->pem, "openssl x509 -noout -checkend 2505600", "will not expire");
    assert_says(p, c->pem, "openssl x509 -noout -checkend 2678400", "will expire");
    assert_int_equal(certificate_details(c, &d), 0);
    assert_string_equal(d.names[0], "*.example.org");
    assert_string_equal(d.names[2], "2001:db8::7");
    assert_null(d.names[4]);
    assert_int_equal(d.key_bits, 256);
    assert_int_equal(d.chain_length, 1);
    assert_says(p, c->pem, "openssl x509 -noout -fingerprint -sha256", d.sha256);
    assert_says(p, c->pem, "openssl x509 -noout -fingerprint -sha1", d.sha1);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *common_name, *country, *key_type;
        uint32_t days;
        int error;
        const char *reason;
    } cases[] = {
        {"a", "mx.example.org", NULL, "rsa-1024", 1, -EOPNOTSUPP, "can be broken"},
        {"a", "mx.example.org", NULL, "rsa-512", 1, -EOPNOTSUPP, "no such type of key"},
        {"a", "mx.example.org", "Germany", NULL, 1, -EINVAL, "two letters"},
        {"a", "mx.example.org", "D1", NULL, 1, -EINVAL, "two letters"},
        {"a", "mx.example.org", NULL, NULL, 0, -EINVAL, "days"},
        {"a", "mx.example.org", NULL, NULL, 100000, -EINVAL, "days"},
        {"a", "Mail of Example", NULL, NULL, 1, -EINVAL, "no host name"},
        {"a", NULL, NULL, NULL, 1, -EINVAL, "no host name"},
        {"a", "mx.example.org\n", NULL, NULL, 1, -EINVAL, "no text"},
        {"", "*.example.org", NULL, NULL, 1, -EINVAL, "needs a name"},
        {"../a", "mx.example.org", NULL, NULL, 1, -EINVAL, "other characters"},
    };
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(operation_freep) Operation *o = make(p, OPERATION_CREATE, cases[i].name);

        o->common_name = cases[i].common_name ? strdup(cases[i].common_name) : NULL;
        o->country = cases[i].country ? strdup(cases[i].country) : NULL;
        o->key_type = cases[i].key_type ? strdup(cases[i].key_type) : NULL;
        o->days = cases[i].days;
        run(o, cases[i].error, cases[i].reason);
    }
    assert_null(find(p, "a"));
    create(p, "a", "ed25519");
    {
        _cleanup_(operation_freep) Operation *o = make(p, OPERATION_CREATE, "a");

        o->common_name = strdup("mx.example.org");
        run(o, -EEXIST, "there is a certificate");
    }
}

/* ---- requests ---- */

static void test_request(void **state)
{
    static const char *const types[] = {"ecdsa-p384", "ed25519", "rsa-2048"};
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        _cleanup_(operation_freep) Operation *o = NULL;
        const Certificate *c;

        create(p, types[i], types[i]);
        o = make(p, OPERATION_REQUEST, types[i]);
        run(o, 0, NULL);
        assert_says(p, o->text, "openssl req -noout -verify", "OK");
        assert_says(p, o->text, "openssl req -noout -text", "DNS:mx.example.org");
        assert_says(p, o->text, "openssl req -noout -subject -nameopt RFC2253", "CN=mx.example.org");
        c = find(p, types[i]);
        assert_string_equal(c->request, o->text);
        assert_int_equal(state_of(p, types[i]), CERTIFICATE_REQUEST_PENDING);
        assert_false(c->export_forbidden);
    }
    simple(p, OPERATION_REQUEST, "absent", NULL, -ENOENT, "no such certificate");
    simple(p, OPERATION_REQUEST, "../x", NULL, -ENOENT, "no such certificate");
}

/* ---- names ---- */

static void test_rename_and_delete(void **state)
{
    uint8_t spki[32];
    Place *p = *state;

    create(p, "a", "ed25519");
    create(p, "b", "ed25519");
    memcpy(spki, find(p, "a")->spki_sha256, 32);
    simple(p, OPERATION_RENAME, "a", "b", -EEXIST, "there is a certificate");
    simple(p, OPERATION_RENAME, "a", "a", -EEXIST, "there is a certificate");
    simple(p, OPERATION_RENAME, "a", ".c", -EINVAL, "other characters");
    simple(p, OPERATION_RENAME, "x", "c", -ENOENT, "no such certificate");
    simple(p, OPERATION_RENAME, "a", "c", 0, NULL);
    assert_null(find(p, "a"));
    assert_memory_equal(find(p, "c")->spki_sha256, spki, 32);
    simple(p, OPERATION_DELETE, "a", NULL, -ENOENT, "no such certificate");
    simple(p, OPERATION_DELETE, "c", NULL, 0, NULL);
    assert_null(find(p, "c"));
    assert_non_null(find(p, "b"));
    simple(p, OPERATION_FORBID_EXPORT, "b", NULL, 0, NULL);
    assert_true(find(p, "b")->export_forbidden);
    simple(p, OPERATION_REQUEST, "b", NULL, 0, NULL);
    assert_true(find(p, "b")->export_forbidden);
}

/* A pair of the former layout becomes one file, and a renewed certificate without a key belongs to the key that is there. */
static void test_pair(void **state)
{
    uint8_t spki[32];
    Place *p = *state;

    create(p, "a", "ed25519");
    memcpy(spki, find(p, "a")->spki_sha256, 32);
    {
        _cleanup_free_ char *command = NULL;

        assert_true(asprintf(&command, "cd %s && openssl pkey -in a.pem -out old.key && openssl x509 -in a.pem -out old.crt "
                                       "&& chmod 600 old.key",
                            p->path) > 0);
        assert_int_equal(system(command), 0);
    }
    assert_memory_equal(find(p, "old")->spki_sha256, spki, 32);
    {
        _cleanup_free_ char *command = NULL, *out = NULL, *renew = NULL;

        assert_true(asprintf(&command, "cd %s && ls", p->path) > 0);
        out = shell(p, "", command);
        assert_string_equal(out, "a.pem\nold.pem\n");
        assert_true(asprintf(&renew, "cd %s && openssl x509 -in a.pem -out old.crt", p->path) > 0);
        assert_int_equal(system(renew), 0);
    }
    assert_memory_equal(find(p, "old")->spki_sha256, spki, 32);
    simple(p, OPERATION_DELETE, "old", NULL, 0, NULL);
    assert_null(find(p, "old"));
}

/* ---- kill -9 ---- */

/* Changes a store until it is killed: the certificate is replaced, renamed there and back, another one comes and goes. */
static void change(Place *p)
{
    for (;;) {
        _cleanup_(operation_freep) Operation *o = make(p, OPERATION_CREATE, "coming");

        o->common_name = strdup("coming.example.org");
        (void) operation_run(o);
        simple(p, OPERATION_REQUEST, "stays", NULL, 0, NULL);
        o->kind = OPERATION_DELETE;
        (void) operation_run(o);
        free(o->name);
        o->name = strdup("moves");
        o->new_name = strdup("moved");
        o->kind = OPERATION_RENAME;
        (void) operation_run(o);
        free(o->name);
        free(o->new_name);
        o->name = strdup("moved");
        o->new_name = strdup("moves");
        (void) operation_run(o);
    }
}

static void test_killed(void **state)
{
    uint8_t stays[32], moves[32];
    Place *p = *state;

    create(p, "stays", "ecdsa-p256");
    create(p, "moves", "ecdsa-p256");
    memcpy(stays, find(p, "stays")->spki_sha256, 32);
    memcpy(moves, find(p, "moves")->spki_sha256, 32);
    srand(7);
    for (unsigned i = 0; i < KILLS; i++) {
        const Certificate *there, *back;
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            change(p);
            _exit(1);
        }
        assert_true(pid > 0);
        (void) usleep((useconds_t) (rand() % 8000));
        (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));

        /* What is read is whole: the chain is that of the key, or loading would have failed. */
        assert_memory_equal(find(p, "stays")->spki_sha256, stays, 32);
        there = find(p, "moves");
        back = find(p, "moved");
        assert_true((there == NULL) != (back == NULL));
        assert_memory_equal((there ?: back)->spki_sha256, moves, 32);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_key_types),
        TEST(test_ml_dsa),
        TEST(test_subject),
        TEST(test_refused),
        TEST(test_request),
        TEST(test_rename_and_delete),
        TEST(test_pair),
        TEST(test_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
