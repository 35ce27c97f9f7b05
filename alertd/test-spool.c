/* SPDX-License-Identifier: Apache-2.0 */

/* What is in the spool comes back as it was; what is no alert is recognized. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "conf.h"
#include "spool.h"

static SpoolItem *example(void)
{
    SpoolItem *i = calloc(1, sizeof(*i));

    *i = (SpoolItem) {
        .id = "0123456789abcdef",
        .severity = ALERT_WARNING,
        .type = ALERT_MESSAGE_DELIVERY,
        .key = strdup("dane:example.org"),
        .summary = strdup("DANE \"failed\" \\ für example.org"),
        .body = strdup("line 1\nline 2\n"),
        .origin = strdup("deliverd"),
        .first_usec = UINT64_C(1764000000000000),
        .last_usec = UINT64_C(1764000300000000),
        .count = 7,
        .recipients = calloc(3, sizeof(char *)),
        .held = true,
        .due_usec = UINT64_C(1764000900000000),
        .interval_usec = 900 * USEC_PER_SEC,
        .attempts = 2,
    };
    i->recipients[0] = strdup("a@example.org");
    i->recipients[1] = strdup("b@example.org");
    return i;
}

static void assert_same(const SpoolItem *a, const SpoolItem *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->severity, b->severity);
    assert_int_equal(a->type, b->type);
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->summary, b->summary);
    assert_string_equal(a->body, b->body);
    assert_string_equal(a->origin, b->origin);
    assert_int_equal(a->first_usec, b->first_usec);
    assert_int_equal(a->last_usec, b->last_usec);
    assert_int_equal(a->count, b->count);
    assert_string_equal(a->recipients[0], b->recipients[0]);
    assert_string_equal(a->recipients[1], b->recipients[1]);
    assert_null(b->recipients[2]);
    assert_int_equal(a->held, b->held);
    assert_int_equal(a->due_usec, b->due_usec);
    assert_int_equal(a->interval_usec, b->interval_usec);
    assert_int_equal(a->attempts, b->attempts);
}

static void test_round_trip(void **state)
{
    _cleanup_(spool_item_freep) SpoolItem *i = example(), *back = NULL;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(spool_item_format(i, &text), 0);
    assert_int_equal(spool_item_parse(text, strlen(text), &back), 0);
    assert_same(i, back);
}

static void test_cut_or_foreign(void **state)
{
    static const char *const foreign[] = {"", "{}", "[]", "null", "{\"id\": 1}", "garbage", "{\"id\":\"../../etc/passwd\"}"};
    _cleanup_(spool_item_freep) SpoolItem *i = example(), *back = NULL;
    _cleanup_free_ char *text = NULL;

    assert_int_equal(spool_item_format(i, &text), 0);
    for (size_t n = 0; n < strlen(text); n++)
        assert_int_equal(spool_item_parse(text, n, &back), -EBADMSG);
    for (size_t k = 0; k < ELEMENTSOF(foreign); k++)
        assert_int_equal(spool_item_parse(foreign[k], strlen(foreign[k]), &back), -EBADMSG);
    assert_null(back);
}

/* ---- files ---- */
typedef struct Fixture {
    char directory[64];
    sd_event *event;
    Spool *spool;
    int results[8];
    unsigned n_results;
    SpoolItem *items[8];
    unsigned n_items;
} Fixture;

static int setup(void **state)
{
    static Fixture f;

    f = (Fixture) {.directory = "/tmp/test-alertd-spool-XXXXXX"};
    if (!mkdtemp(f.directory))
        return -errno;
    assert_int_equal(sd_event_new(&f.event), 0);
    assert_int_equal(spool_new(&f.spool, f.event, f.directory), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    Fixture *f = *state;

    spool_free(f->spool);
    sd_event_unref(f->event);
    for (unsigned i = 0; i < f->n_items; i++)
        spool_item_free(f->items[i]);
    snprintf(command, sizeof(command), "rm -rf %s", f->directory);
    return system(command);
}

static void write_file(const Fixture *f, const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool exists(const Fixture *f, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    return access(path, F_OK) == 0;
}

static void on_stored(int result, void *userdata)
{
    Fixture *f = userdata;

    f->results[f->n_results++] = result;
}

static void on_item(SpoolItem *item, void *userdata)
{
    Fixture *f = userdata;

    f->items[f->n_items++] = item;
}

static void wait_results(Fixture *f, unsigned n)
{
    while (f->n_results < n)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
}

static void test_store_and_scan(void **state)
{
    _cleanup_(spool_item_freep) SpoolItem *i = example();
    Fixture *f = *state;
    unsigned broken;

    assert_int_equal(spool_store(f->spool, i, on_stored, f), 0);
    i->count = 8;
    assert_int_equal(spool_store(f->spool, i, on_stored, f), 0);
    wait_results(f, 2);
    assert_int_equal(f->results[0], 0);
    assert_int_equal(f->results[1], 0);

    /* A second daemon on the same directory sees what is there, not what is half written, and leaves alone what is none of
     * ours. */
    write_file(f, "fedcba9876543210.tmp", "{");
    write_file(f, "fedcba9876543210", "{ \"id\": ");
    f->spool = spool_free(f->spool);
    assert_int_equal(spool_new(&f->spool, f->event, f->directory), 0);
    assert_int_equal(spool_scan(f->spool, on_item, f, &broken), 0);
    assert_int_equal(f->n_items, 1);
    assert_same(i, f->items[0]);
    assert_int_equal(broken, 1);
    assert_false(exists(f, "fedcba9876543210.tmp"));
    assert_true(exists(f, "fedcba9876543210"));
}

static void test_remove(void **state)
{
    _cleanup_(spool_item_freep) SpoolItem *i = example(), *other = example();
    Fixture *f = *state;

    assert_int_equal(spool_assign_id(f->spool, other), 0);
    assert_string_not_equal(i->id, other->id);
    assert_int_equal(spool_store(f->spool, i, on_stored, f), 0);
    spool_remove(f->spool, i->id);
    assert_int_equal(spool_store(f->spool, other, on_stored, f), 0);
    wait_results(f, 2);
    assert_false(exists(f, i->id));
    assert_true(exists(f, other->id));
}

static void test_error_is_told(void **state)
{
    _cleanup_(spool_item_freep) SpoolItem *i = example();
    Fixture *f = *state;

    assert_int_equal(rmdir(f->directory), 0);
    assert_int_equal(spool_store(f->spool, i, on_stored, f), 0);
    wait_results(f, 1);
    assert_int_equal(f->results[0], -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_or_foreign),
        cmocka_unit_test_setup_teardown(test_store_and_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_is_told, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
