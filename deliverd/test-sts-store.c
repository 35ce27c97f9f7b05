/* SPDX-License-Identifier: Apache-2.0 */

/* The cache on disk: what is written comes back, after whatever end of the process; what is malformed does not. Numbers in names
 * are rows of the delivery matrix. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sts-store.h"

#define FETCHED (UINT64_C(1788166632) * USEC_PER_SEC) /* 2026-08-31T08:57:12Z */
#define TEXT                                                        \
    "domain: example.com\nid: 1\nfetched: 2026-08-31T08:57:12Z\n" \
    "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: *.example.com\n"

typedef struct Fixture {
    sd_event *event;
    Jobs *jobs;
    StsStore *store;
    char directory[32];
    char found[256], trouble[256]; /* domains in the order in which they were told */
    StsCached last;
} Fixture;

static int on_found(const char *domain, StsCached *cached, void *userdata)
{
    Fixture *f = userdata;

    (void) strcat(strcat(f->found, domain), " ");
    sts_cached_done(&f->last);
    f->last = *cached;
    *cached = (StsCached) {};
    return 0;
}

static void on_trouble(const char *name, int error, void *userdata)
{
    Fixture *f = userdata;

    (void) strcat(strcat(f->trouble, name ?: "*"), " ");
}

static void open_store(Fixture *f)
{
    static const StsStoreOps ops = {on_found, on_trouble};

    assert_int_equal(jobs_new(&f->jobs, f->event, 2, 16), 0);
    assert_int_equal(sts_store_new(&f->store, f->jobs, f->directory, &ops, f), 0);
    *f->found = *f->trouble = '\0';
    assert_int_equal(sts_store_load(f->store), 0);
}

static void close_store(Fixture *f)
{
    f->jobs = jobs_free(f->jobs);
    f->store = sts_store_free(f->store);
}

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_true(sd_event_new(&f->event) >= 0);
    (void) strcpy(f->directory, "/tmp/test-sts-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    char command[64];
    Fixture *f = *state;

    close_store(f);
    sts_cached_done(&f->last);
    sd_event_unref(f->event);
    (void) snprintf(command, sizeof(command), "rm -r %s", f->directory);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void path_of(const Fixture *f, const char *name, char *buffer, size_t size)
{
    (void) snprintf(buffer, size, "%s/sts/%s", f->directory, name);
}

static void write_file(const Fixture *f, const char *name, const char *text)
{
    _cleanup_fclose_ FILE *file = NULL;
    char path[128];

    path_of(f, name, path, sizeof(path));
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

static bool exists(const Fixture *f, const char *name)
{
    char path[128];

    path_of(f, name, path, sizeof(path));
    return access(path, F_OK) == 0;
}

static StsCached cached(const char *id)
{
    static const char *const mx[] = {"*.example.com", "mx.example.net"};
    StsCached c = {.fetched_usec = FETCHED};

    assert_int_equal(sts_policy_new(STS_MODE_ENFORCE, 86400, mx, 2, &c.policy), 0);
    (void) strcpy(c.id, id);
    return c;
}

static void put(Fixture *f, const char *domain, const char *id)
{
    _cleanup_(sts_cached_done) StsCached c = cached(id);

    assert_int_equal(sts_store_put(f->store, domain, &c), 0);
}

static void test_text(void **state)
{
    _cleanup_(sts_cached_done) StsCached c = cached("20260831085700"), back = {};
    _cleanup_free_ char *text = NULL;

    (void) strcpy(c.failed_id, "20260901");
    c.failed_usec = FETCHED + 86400 * USEC_PER_SEC;
    assert_int_equal(sts_cached_to_text(&c, "example.com", &text), 0);
    assert_string_equal(text,
            "domain: example.com\nid: 20260831085700\nfetched: 2026-08-31T08:57:12Z\nfailed-id: 20260901\n"
            "failed: 2026-09-01T08:57:12Z\nversion: STSv1\nmode: enforce\nmax_age: 86400\n"
            "mx: *.example.com\nmx: mx.example.net\n");
    assert_int_equal(sts_cached_parse(text, "example.com", &back), 0);
    assert_string_equal(back.id, c.id);
    assert_string_equal(back.failed_id, c.failed_id);
    assert_int_equal(back.fetched_usec, c.fetched_usec);
    assert_int_equal(back.failed_usec, c.failed_usec);
    assert_int_equal(back.policy->n_mx, 2);
    assert_true(sts_policy_names(back.policy, "a.example.com"));
}

static void test_malformed_text(void **state)
{
    static const char *const table[] = {
        "",
        "domain: example.net\n" TEXT,
        "id: 1 2\n" TEXT,
        "id: 123456789012345678901234567890123\n" TEXT,
        "fetched: yesterday\n" TEXT,
        "fetched: 2026-08-31T08:57:12Z and more\n" TEXT,
        "failed: never\n" TEXT,
        "failed-id: ../x\n" TEXT,
        "mode: strict\n" TEXT,
        "domain: example.com\nid: 1\nfetched: 2026-08-31T08:57:12Z\n",
    };
    _cleanup_(sts_cached_done) StsCached good = {};

    assert_int_equal(sts_cached_parse(TEXT, "example.com", &good), 0);
    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(sts_cached_done) StsCached c = {};

        if (sts_cached_parse(table[i], "example.com", &c) != -EBADMSG)
            fail_msg("case %zu was taken", i);
        assert_null(c.policy);
    }
}

/* However soon the end comes after. */
static void test_sts_24_policies_survive_a_restart(void **state)
{
    Fixture *f = *state;

    put(f, "a.example", "1");
    put(f, "a.example", "2");
    put(f, "b.example", "1");
    assert_int_equal(sts_store_remove(f->store, "b.example"), 0);
    close_store(f);
    open_store(f);
    assert_string_equal(f->found, "a.example ");
    assert_string_equal(f->trouble, "");
    assert_string_equal(f->last.id, "2");
    assert_false(exists(f, "b.example"));
}

static void test_written_while_it_runs(void **state)
{
    char path[128];
    struct stat st;
    Fixture *f = *state;

    put(f, "a.example", "1");
    while (!exists(f, "a.example") || jobs_pending(f->jobs) > 0)
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
    assert_false(exists(f, ".new"));
    path_of(f, "a.example", path, sizeof(path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(sts_store_remove(f->store, "a.example"), 0);
    while (exists(f, "a.example"))
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
    assert_string_equal(f->trouble, "");
}

static void test_bad_files(void **state)
{
    Fixture *f = *state;

    close_store(f);
    write_file(f, "example.com", TEXT);
    write_file(f, "example.net", TEXT); /* of another domain */
    write_file(f, "EXAMPLE.com", TEXT);
    write_file(f, "half.example", "domain: half.example\nid: 1\n");
    write_file(f, ".new", "domain: interrupted.example\n");
    open_store(f);
    assert_string_equal(f->found, "example.com ");
    assert_non_null(strstr(f->trouble, "example.net "));
    assert_non_null(strstr(f->trouble, "EXAMPLE.com "));
    assert_non_null(strstr(f->trouble, "half.example "));
    assert_null(strstr(f->trouble, ".new"));
    assert_true(exists(f, "example.com"));
    assert_false(exists(f, "example.net") || exists(f, "EXAMPLE.com") || exists(f, "half.example") || exists(f, ".new"));
}

/* Names come from messages; whatever they were, none leaves the directory. */
static void test_names(void **state)
{
    static const char *const table[] = {"", ".", "..", "../x", "a/b", "/etc/passwd", ".new", "A.example", "a..example"};
    _cleanup_(sts_cached_done) StsCached c = cached("1");
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        assert_int_equal(sts_store_put(f->store, table[i], &c), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_malformed_text),
        cmocka_unit_test_setup_teardown(test_sts_24_policies_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_written_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
