/* SPDX-License-Identifier: Apache-2.0 */

/* The lists of authorities: what is read from a person's file, what is kept, and that a change is whole or was not. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "authorities.h"
#include "openssl-cleanup.h"
#include "test-certificate.h"

#define PATIENCE_USEC (8 * USEC_PER_SEC)

static const char *pem_a, *pem_b, *pem_expired, *pem_leaf, *pem_plain;

static const char *to_pem(const TestCertificate *c)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long n;

    assert_int_equal(PEM_write_bio_X509(bio, c->x509), 1);
    n = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t) n);
    BIO_free(bio);
    return text;
}

static const char *make(const char *cn, const char *constraints, int from_days, int to_days)
{
    _cleanup_(test_certificate_freep) TestCertificate *c = test_certificate_new(
            &(TestCertificateSpec){.cn = cn, .constraints = constraints, .from_days = from_days, .to_days = to_days}, NULL);

    return to_pem(c);
}

static int group_setup(void **state)
{
    pem_a = make("Authority A", "critical,CA:TRUE", 0, 0);
    pem_b = make("b authority", "critical,CA:TRUE", 0, 0);
    pem_expired = make("Expired", "critical,CA:TRUE", -20, -10);
    pem_leaf = make("mx.example.com", "CA:FALSE", 0, 0);
    pem_plain = make("plain.example.com", NULL, 0, 0);
    return 0;
}

static int group_teardown(void **state)
{
    free((char *) pem_a);
    free((char *) pem_b);
    free((char *) pem_expired);
    free((char *) pem_leaf);
    free((char *) pem_plain);
    return 0;
}

/* ---- a person's file ---- */

static char *join(const char *first, ...)
{
    char *text = strdup("");
    va_list ap;

    va_start(ap, first);
    for (const char *s = first; s; s = va_arg(ap, const char *)) {
        char *longer = NULL;

        assert_true(asprintf(&longer, "%s%s", text, s) >= 0);
        free(text);
        text = longer;
    }
    va_end(ap);
    return text;
}

static void parse_good(const char *text, size_t n, unsigned duplicates)
{
    _cleanup_(authority_list_done) AuthorityList l = {};
    char reason[AUTHORITY_REASON_MAX] = "";
    AuthorityParsed parsed = {};

    if (authority_parse(text, strlen(text), AUTHORITY_PARSE_STRICT, &l, &parsed, reason) < 0)
        fail_msg("%s\n%s", reason, text);
    assert_int_equal(l.n, n);
    assert_int_equal(parsed.duplicates, duplicates);
}

static void test_parse(void **state)
{
    _cleanup_free_ char *two = join(pem_a, "\n# a comment\nAn Authority\n============\n", pem_b, NULL);
    _cleanup_free_ char *twice = join("\xef\xbb\xbf", pem_a, pem_a, "  \r\n", NULL);
    _cleanup_free_ char *dos = calloc(1, 2 * strlen(pem_a) + 1);
    char *p = dos;

    for (const char *s = pem_a; *s; s++) {
        if (*s == '\n')
            *p++ = '\r';
        *p++ = *s;
    }
    parse_good(pem_a, 1, 0);
    parse_good(two, 2, 0);
    parse_good(twice, 1, 1);
    parse_good(dos, 1, 0);
    parse_good(pem_expired, 1, 0);
}

static void parse_bad(char *text, int error, const char *expected)
{
    _cleanup_(authority_list_done) AuthorityList l = {};
    _cleanup_free_ char *owned = text;
    char reason[AUTHORITY_REASON_MAX] = "";
    AuthorityParsed parsed = {};
    size_t n;

    assert_int_equal(authority_parse(pem_b, strlen(pem_b), AUTHORITY_PARSE_STRICT, &l, &parsed, reason), 0);
    n = l.n;
    assert_int_equal(authority_parse(text, strlen(text), AUTHORITY_PARSE_STRICT, &l, &parsed, reason), error);
    if (!strstr(reason, expected))
        fail_msg("\"%s\" is not in \"%s\"", expected, reason);
    assert_int_equal(l.n, n);
}

static void test_parse_refuses(void **state)
{
    _cleanup_free_ char *cut = strndup(pem_a, strlen(pem_a) - 10);
    _cleanup_free_ char *damaged = strdup(pem_a);

    damaged[strlen("-----BEGIN CERTIFICATE-----\n") + 70] ^= 1;
    damaged[strlen("-----BEGIN CERTIFICATE-----\n") + 10] = 'A';
    parse_bad(strdup(""), -ENODATA, "there is no certificate");
    parse_bad(strdup("a text\n"), -ENODATA, "there is no certificate");
    parse_bad(join(pem_a, "\001\n", NULL), -EBADMSG, "is no text");
    parse_bad(join("one\n", cut, NULL), -EBADMSG, "the certificate that begins in line 2 does not end");
    parse_bad(join(cut, "\n", pem_a, NULL), -EBADMSG, "the certificate that begins in line 1 does not end");
    parse_bad(join("\n\n", damaged, NULL), -EBADMSG, "the certificate that begins in line 3 is damaged");
    parse_bad(join("# mine\n", pem_leaf, NULL), -EBADMSG, "line 2 (mx.example.com) is no authority's: its basicConstraints say");
    parse_bad(strdup(pem_plain), -EBADMSG, "line 1 (plain.example.com) is no authority's: it has no basicConstraints");
    parse_bad(strdup(pem_a + 1), -EBADMSG, "line 1 (\"----BEGIN CERTIFICATE-----\") is no boundary");
    parse_bad(strdup(strchr(pem_a, '\n') + 1), -EBADMSG, "a certificate ends that has no beginning");
    parse_bad(join(pem_a, "-----BEGIN PRIVATE KEY-----\n", NULL), -EBADMSG, "there is a private key");
    parse_bad(join(pem_a, "-----BEGIN TRUSTED CERTIFICATE-----\n", NULL), -EBADMSG, "is no boundary");
}

/* The host's file is not ours to judge. */
static void test_parse_lenient(void **state)
{
    _cleanup_free_ char *text = join(pem_leaf, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", pem_a, NULL);
    _cleanup_(authority_list_done) AuthorityList l = {};
    char reason[AUTHORITY_REASON_MAX];
    AuthorityParsed parsed = {};

    assert_int_equal(authority_parse(text, strlen(text), AUTHORITY_PARSE_LENIENT, &l, &parsed, reason), 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(parsed.passed_over, 2);
    assert_string_equal(l.items[0]->name, "Authority A");
    assert_string_equal(l.items[0]->subject, "CN=Authority A");
}

static void test_fingerprints(void **state)
{
    static const struct {
        const char *typed, *expected;
    } table[] = {
        {"0a1b2c3d", "0A:1B:2C:3D"},
        {"0A:1B:2C:3D:4e", "0A:1B:2C:3D:4E"},
        {"0a1b2c3d4", "0A:1B:2C:3D:4"},
        {"0a1b2c3", NULL},
        {"", NULL},
        {"0a1b2c3g", NULL},
        {"../../etc/passwd", NULL},
        {"00000000000000000000000000000000000000000000000000000000000000000", NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        char text[AUTHORITY_FINGERPRINT_SIZE] = "";

        assert_int_equal(authority_fingerprint_parse(table[i].typed, text), table[i].expected != NULL);
        assert_string_equal(text, table[i].expected ?: "");
    }
}

/* ---- what is kept ---- */

static void set_add(AuthoritySet *s, AuthorityListId id, const char *pem)
{
    char reason[AUTHORITY_REASON_MAX] = "";
    AuthorityParsed parsed;

    if (authority_parse(pem, strlen(pem), AUTHORITY_PARSE_STRICT, &s->lists[id].authorities, &parsed, reason) < 0)
        fail_msg("%s", reason);
    authority_set_settle(s);
}

static const char *set_fingerprint(const AuthoritySet *s, AuthorityListId id, size_t i)
{
    return s->lists[id].authorities.items[i]->fingerprint;
}

static void test_trusted(void **state)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL;
    _cleanup_free_ char *text = NULL, *expected = join(pem_a, pem_b, NULL);
    const char *a, *b;
    size_t position = 0;

    assert_int_equal(authority_set_new(&s), 0);
    assert_null(authority_set_next_trusted(s, &position));
    set_add(s, AUTHORITY_LIST_SYSTEM, pem_b);
    set_add(s, AUTHORITY_LIST_SYSTEM, pem_a);
    set_add(s, AUTHORITY_LIST_CUSTOM, pem_a);
    a = set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 0);
    b = set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 1);
    /* By name, and what is in both lists once. */
    assert_int_equal(authority_set_trusted(s, &text), 0);
    assert_string_equal(text, expected);
    /* It is still in the custom list. */
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_SYSTEM, a, false), 1);
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_SYSTEM, a, false), 0);
    authority_set_settle(s);
    position = 0;
    assert_string_equal(authority_set_next_trusted(s, &position)->fingerprint, b);
    assert_string_equal(authority_set_next_trusted(s, &position)->fingerprint, a);
    assert_null(authority_set_next_trusted(s, &position));
    s->lists[AUTHORITY_LIST_CUSTOM].enabled = false;
    position = 0;
    assert_string_equal(authority_set_next_trusted(s, &position)->fingerprint, b);
    assert_null(authority_set_next_trusted(s, &position));
    s->lists[AUTHORITY_LIST_SYSTEM].enabled = false;
    position = 0;
    assert_null(authority_set_next_trusted(s, &position));
}

static void test_kept(void **state)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL, *again = NULL;
    _cleanup_free_ char *text = NULL, *text_again = NULL;
    char reason[AUTHORITY_REASON_MAX] = "";

    assert_int_equal(authority_set_new(&s), 0);
    assert_int_equal(authority_set_new(&again), 0);
    set_add(s, AUTHORITY_LIST_SYSTEM, pem_a);
    set_add(s, AUTHORITY_LIST_CUSTOM, pem_a);
    set_add(s, AUTHORITY_LIST_CUSTOM, pem_b);
    s->lists[AUTHORITY_LIST_SYSTEM].enabled = false;
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_SYSTEM, set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 0), false), 1);
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_CUSTOM, set_fingerprint(s, AUTHORITY_LIST_CUSTOM, 1), false), 1);
    authority_set_settle(s);
    assert_int_equal(authority_set_format(s, &text), 0);
    if (authority_set_read(again, text, strlen(text), reason) < 0)
        fail_msg("%s\n%s", reason, text);
    assert_int_equal(authority_set_format(again, &text_again), 0);
    assert_string_equal(text_again, text);
    assert_false(again->lists[AUTHORITY_LIST_SYSTEM].enabled);
    assert_true(again->lists[AUTHORITY_LIST_CUSTOM].enabled);
    assert_int_equal(again->lists[AUTHORITY_LIST_CUSTOM].authorities.n, 2);
    assert_true(again->lists[AUTHORITY_LIST_CUSTOM].authorities.items[0]->enabled);
    assert_false(again->lists[AUTHORITY_LIST_CUSTOM].authorities.items[1]->enabled);
    /* When the host has it again, it is still disabled. */
    set_add(again, AUTHORITY_LIST_SYSTEM, pem_a);
    assert_false(again->lists[AUTHORITY_LIST_SYSTEM].authorities.items[0]->enabled);
}

/* However much of it is missing at its end, or whichever character is another: it is the same set or it is refused. */
static void test_broken_file(void **state)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL;
    _cleanup_free_ char *text = NULL;
    char reason[AUTHORITY_REASON_MAX];
    size_t size;

    assert_int_equal(authority_set_new(&s), 0);
    set_add(s, AUTHORITY_LIST_CUSTOM, pem_a);
    set_add(s, AUTHORITY_LIST_CUSTOM, pem_b);
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_CUSTOM, set_fingerprint(s, AUTHORITY_LIST_CUSTOM, 0), false), 1);
    authority_set_settle(s);
    assert_int_equal(authority_set_format(s, &text), 0);
    size = strlen(text);
    for (size_t n = 0; n < size - 1; n++) {
        _cleanup_(authority_set_freep) AuthoritySet *half = NULL;
        _cleanup_free_ char *cut = strndup(text, n);

        assert_int_equal(authority_set_new(&half), 0);
        assert_int_equal(authority_set_read(half, cut, n, reason), -EBADMSG);
        assert_true(*reason);
    }
}

/* An export is for people, and for an import. */
static void test_export(void **state)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL, *again = NULL;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(authority_set_new(&s), 0);
    assert_int_equal(authority_set_new(&again), 0);
    set_add(s, AUTHORITY_LIST_SYSTEM, pem_a);
    set_add(s, AUTHORITY_LIST_SYSTEM, pem_expired);
    assert_int_equal(authority_set_enable(s, AUTHORITY_LIST_SYSTEM, set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 1), false), 1);
    authority_set_settle(s);
    assert_int_equal(authority_set_export(s, AUTHORITY_LIST_SYSTEM, &text), 0);
    assert_non_null(strstr(text, "\n# Authority A\n# Subject: CN=Authority A\n"));
    assert_non_null(strstr(text, "\n# Expired (disabled)\n"));
    set_add(again, AUTHORITY_LIST_CUSTOM, text);
    assert_int_equal(again->lists[AUTHORITY_LIST_CUSTOM].authorities.n, 2);
}

/* ---- on disk ---- */

typedef struct Fixture {
    char directory[40], system_file[64];
    sd_event *event;
    Jobs *operations;
    Authorities *authorities;
    unsigned n_news, n_done;
    int result;
    char problem[AUTHORITY_REASON_MAX], reason[AUTHORITY_REASON_MAX];
    AuthoritiesChange counts;
} Fixture;

static void on_news(Authorities *a, const char *problem, void *userdata)
{
    Fixture *f = userdata;

    f->n_news++;
    (void) snprintf(f->problem, sizeof(f->problem), "%s", problem ?: "");
}

static void on_done(Authorities *a, AuthoritiesChange *change, int result, void *userdata)
{
    Fixture *f = userdata;

    f->n_done++;
    f->result = result;
    f->counts = *change;
    (void) snprintf(f->reason, sizeof(f->reason), "%s", change->reason);
    authorities_change_free(change);
}

/* As update-ca-certificates(8) does it. */
static void put_system(Fixture *f, const char *text)
{
    char temporary[80];
    FILE *file;

    (void) snprintf(temporary, sizeof(temporary), "%s.new", f->system_file);
    file = fopen(temporary, "we");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
    assert_int_equal(rename(temporary, f->system_file), 0);
}

static void open_lists(Fixture *f)
{
    char reason[AUTHORITY_REASON_MAX] = "";

    assert_int_equal(authorities_new(&f->authorities, f->event, f->operations, f->directory, f->system_file, on_news, f), 0);
    if (authorities_load(f->authorities, reason) < 0)
        fail_msg("%s", reason);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(Fixture));

    strcpy(f->directory, "/tmp/test-authorities-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    (void) snprintf(f->system_file, sizeof(f->system_file), "%s/system.crt", f->directory);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(jobs_new(&f->operations, f->event, 1, 16), 0);
    put_system(f, pem_a);
    open_lists(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Fixture *f = *state;

    jobs_free(f->operations);
    authorities_free(f->authorities);
    sd_event_unref(f->event);
    assert_true(asprintf(&command, "rm -r %s", f->directory) > 0);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void wait_for(Fixture *f, const unsigned *counter, unsigned n)
{
    while (*counter < n)
        assert_true(sd_event_run(f->event, PATIENCE_USEC) > 0);
}

static int change(Fixture *f, AuthoritiesChangeKind kind, AuthorityListId id, const char *fingerprint, const char *file,
        bool replace)
{
    AuthoritiesChange *c = NULL;

    assert_int_equal(authorities_change_new(&c, kind), 0);
    c->list = id;
    c->replace = replace;
    if (fingerprint) {
        c->fingerprints = calloc(2, sizeof(char *));
        c->fingerprints[0] = strdup(fingerprint);
    }
    if (file) {
        FILE *t = tmpfile();

        assert_true(fputs(file, t) >= 0 && fflush(t) == 0);
        c->file_fd = fcntl(fileno(t), F_DUPFD_CLOEXEC, 3);
        (void) fclose(t);
    }
    assert_int_equal(authorities_submit(f->authorities, c, on_done, f), 0);
    wait_for(f, &f->n_done, f->n_done + 1);
    return f->result;
}

static int import(Fixture *f, const char *text, bool replace)
{
    return change(f, AUTHORITIES_IMPORT, AUTHORITY_LIST_CUSTOM, NULL, text, replace);
}

static char *trusted(Fixture *f)
{
    int fd = authorities_trusted_fd(f->authorities);
    char *text = calloc(1, 100 * 1024);

    assert_true(pread(fd, text, 100 * 1024 - 1, 0) >= 0);
    assert_int_equal(write(fd, "x", 1), -1); /* sealed */
    return text;
}

static void assert_trusted(Fixture *f, const char *first, const char *second)
{
    _cleanup_free_ char *text = trusted(f), *expected = join(first, second, NULL);

    assert_string_equal(text, expected);
}

/* What is in force is what a restarted certd reads. */
static void restart(Fixture *f)
{
    f->authorities = authorities_free(f->authorities);
    open_lists(f);
}

static void test_import(void **state)
{
    _cleanup_free_ char *both = join(pem_b, pem_a, pem_b, pem_expired, NULL);
    uint64_t generation;
    Fixture *f = *state;

    assert_trusted(f, pem_a, NULL);
    generation = authorities_generation(f->authorities);
    assert_int_equal(import(f, pem_b, false), 0);
    assert_int_equal(f->n_news, 2);
    assert_int_equal(f->counts.n_added, 1);
    assert_true(authorities_generation(f->authorities) > generation);
    assert_trusted(f, pem_a, pem_b);
    restart(f);
    assert_trusted(f, pem_a, pem_b);

    assert_int_equal(import(f, both, false), 0);
    assert_int_equal(f->counts.n_added, 2);
    assert_int_equal(f->counts.n_known, 2);
    assert_int_equal(f->counts.n_expired, 1);
    assert_int_equal(f->counts.n_removed, 0);

    assert_int_equal(import(f, pem_b, true), 0);
    assert_int_equal(f->counts.n_added, 0);
    assert_int_equal(f->counts.n_known, 1);
    assert_int_equal(f->counts.n_removed, 2);
    assert_trusted(f, pem_a, pem_b);
}

static void test_enable(void **state)
{
    const AuthoritySet *s;
    const char *fingerprint;
    Fixture *f = *state;

    assert_int_equal(import(f, pem_b, false), 0);
    s = authorities_get(f->authorities);
    fingerprint = set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 0);
    assert_int_equal(change(f, AUTHORITIES_DISABLE, AUTHORITY_LIST_SYSTEM, fingerprint, NULL, false), 0);
    assert_trusted(f, pem_b, NULL);
    /* The host's file loses it, and has it again. */
    put_system(f, pem_expired);
    restart(f);
    assert_trusted(f, pem_expired, pem_b);
    put_system(f, pem_a);
    restart(f);
    assert_trusted(f, pem_b, NULL);
    assert_int_equal(change(f, AUTHORITIES_DISABLE, AUTHORITY_LIST_CUSTOM, NULL, NULL, false), 0);
    restart(f);
    assert_trusted(f, "", NULL);
    s = authorities_get(f->authorities);
    fingerprint = set_fingerprint(s, AUTHORITY_LIST_SYSTEM, 0);
    assert_int_equal(change(f, AUTHORITIES_ENABLE, AUTHORITY_LIST_SYSTEM, fingerprint, NULL, false), 0);
    assert_int_equal(change(f, AUTHORITIES_ENABLE, AUTHORITY_LIST_CUSTOM, NULL, NULL, false), 0);
    assert_trusted(f, pem_a, pem_b);
}

static void test_remove(void **state)
{
    Fixture *f = *state;
    char typed[12];

    assert_int_equal(import(f, pem_b, false), 0);
    (void) snprintf(typed, sizeof(typed), "%.11s", set_fingerprint(authorities_get(f->authorities), AUTHORITY_LIST_SYSTEM, 0));
    assert_int_equal(change(f, AUTHORITIES_REMOVE, AUTHORITY_LIST_CUSTOM, typed, NULL, false), -EROFS);
    (void) snprintf(typed, sizeof(typed), "%.11s", set_fingerprint(authorities_get(f->authorities), AUTHORITY_LIST_CUSTOM, 0));
    assert_int_equal(change(f, AUTHORITIES_REMOVE, AUTHORITY_LIST_CUSTOM, typed, NULL, false), 0);
    assert_int_equal(f->counts.n_removed, 1);
    assert_trusted(f, pem_a, NULL);
    assert_int_equal(change(f, AUTHORITIES_REMOVE, AUTHORITY_LIST_CUSTOM, typed, NULL, false), -ENOENT);
}

static void test_refused_changes_nothing(void **state)
{
    _cleanup_free_ char *spoiled = join(pem_expired, pem_leaf, NULL), *huge = NULL;
    uint64_t generation;
    Fixture *f = *state;

    assert_int_equal(import(f, pem_b, false), 0);
    generation = authorities_generation(f->authorities);
    huge = malloc(AUTHORITIES_LIST_SIZE_MAX + 2);
    memset(huge, '#', AUTHORITIES_LIST_SIZE_MAX + 1);
    huge[AUTHORITIES_LIST_SIZE_MAX + 1] = '\0';
    assert_int_equal(import(f, spoiled, true), -EBADMSG);
    assert_int_equal(import(f, huge, false), -EFBIG);
    assert_int_equal(import(f, "nothing", false), -ENODATA);
    assert_int_equal(change(f, AUTHORITIES_IMPORT, AUTHORITY_LIST_SYSTEM, NULL, pem_b, false), -EROFS);
    assert_int_equal(change(f, AUTHORITIES_DISABLE, AUTHORITY_LIST_SYSTEM, "00000000", NULL, false), -ENOENT);
    assert_int_equal(change(f, AUTHORITIES_DISABLE, AUTHORITY_LIST_SYSTEM, "Authority A", NULL, false), -EINVAL);
    assert_true(*f->reason);
    assert_int_equal(authorities_generation(f->authorities), generation);
    assert_trusted(f, pem_a, pem_b);
    restart(f);
    assert_trusted(f, pem_a, pem_b);
}

static void test_too_many(void **state)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    _cleanup_(test_certificate_freep) TestCertificate *c = test_certificate_new(
            &(TestCertificateSpec){.cn = "many", .constraints = "critical,CA:TRUE"}, NULL);
    Fixture *f = *state;
    char *text;

    for (int i = 0; i < AUTHORITIES_LIST_MAX; i++) {
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c->x509), 10000 + i), 1);
        assert_true(X509_sign(c->x509, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(bio, c->x509), 1);
    }
    (void) BIO_write(bio, "", 1);
    (void) BIO_get_mem_data(bio, &text);
    assert_int_equal(import(f, text, false), 0);
    assert_int_equal(f->counts.n_added, AUTHORITIES_LIST_MAX);
    assert_int_equal(import(f, pem_b, false), -E2BIG);
    restart(f);
    assert_int_equal(authorities_get(f->authorities)->lists[AUTHORITY_LIST_CUSTOM].authorities.n, AUTHORITIES_LIST_MAX);
    assert_int_equal(import(f, pem_b, true), 0);
    assert_trusted(f, pem_a, pem_b);
}

static void test_follows_the_host(void **state)
{
    Fixture *f = *state;
    unsigned n = f->n_news;

    assert_int_equal(authorities_watch(f->authorities), 0);
    put_system(f, pem_b);
    wait_for(f, &f->n_news, n + 1);
    assert_string_equal(f->problem, "");
    assert_trusted(f, pem_b, NULL);
    /* Half a file: what was good stays. */
    put_system(f, "-----BEGIN CERTIFICATE-----\nMIIB\n");
    wait_for(f, &f->n_news, n + 2);
    assert_non_null(strstr(f->problem, "the certificate that begins in line 1 does not end"));
    assert_trusted(f, pem_b, NULL);
    assert_int_equal(import(f, pem_a, false), 0);
    assert_trusted(f, pem_b, pem_a);
    assert_int_equal(unlink(f->system_file), 0);
    wait_for(f, &f->n_news, n + 4);
    assert_string_equal(f->problem, "");
    assert_trusted(f, pem_a, NULL);
}

static void test_broken_state(void **state)
{
    char reason[AUTHORITY_REASON_MAX] = "", path[80];
    Fixture *f = *state;
    int fd;

    assert_int_equal(import(f, pem_b, false), 0);
    (void) snprintf(path, sizeof(path), "%s/authorities", f->directory);
    assert_int_equal(truncate(path, 200), 0);
    /* In force is what was read. */
    assert_int_equal(import(f, pem_a, false), -EBADMSG);
    assert_trusted(f, pem_a, pem_b);
    f->authorities = authorities_free(f->authorities);
    assert_int_equal(authorities_new(&f->authorities, f->event, f->operations, f->directory, f->system_file, on_news, f), 0);
    assert_int_equal(authorities_load(f->authorities, reason), -EBADMSG);
    assert_non_null(strstr(reason, "the file authorities of the state directory is broken: "));
    assert_null(authorities_get(f->authorities));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(lseek(fd, 0, SEEK_END) == 200);
    (void) close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_lenient),
        cmocka_unit_test(test_fingerprints),
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_broken_file),
        cmocka_unit_test(test_export),
        cmocka_unit_test_setup_teardown(test_import, setup, teardown),
        cmocka_unit_test_setup_teardown(test_enable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follows_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_state, setup, teardown),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
