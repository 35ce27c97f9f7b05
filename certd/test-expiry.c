/* SPDX-License-Identifier: Apache-2.0 */

/* Who is told what about a certificate that expires, when, and how often. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "expiry-record.h"
#include "expiry.h"

#define DAY (24 * 3600 * USEC_PER_SEC)
#define BEGIN (20000 * DAY)
#define END (20365 * DAY)

static void test_stages(void **state)
{
    static const struct {
        uint64_t now;
        ExpiryStage stage;
        uint64_t next;
    } table[] = {
        {0, EXPIRY_FAR, END - 30 * DAY},
        {END - 30 * DAY - 1, EXPIRY_FAR, END - 30 * DAY},
        {END - 30 * DAY, EXPIRY_30_DAYS, END - 14 * DAY},
        {END - 15 * DAY, EXPIRY_30_DAYS, END - 14 * DAY},
        {END - 14 * DAY, EXPIRY_14_DAYS, END - 7 * DAY},
        {END - 7 * DAY, EXPIRY_7_DAYS, END - 3 * DAY},
        {END - 3 * DAY, EXPIRY_3_DAYS, END - DAY},
        {END - DAY - 1, EXPIRY_3_DAYS, END - DAY},
        {END - DAY, EXPIRY_1_DAY, END + 1},
        {END, EXPIRY_1_DAY, END + 1},
        {END + 1, EXPIRY_PAST, UINT64_MAX},
        {END + 1000 * DAY, EXPIRY_PAST, UINT64_MAX},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        assert_int_equal(expiry_stage(END, table[i].now), table[i].stage);
        assert_int_equal(expiry_next_usec(END, table[i].now), table[i].next);
    }
    /* Of the times before computers. */
    assert_int_equal(expiry_stage(0, 1), EXPIRY_PAST);
    assert_int_equal(expiry_stage(DAY, 0), EXPIRY_1_DAY);
}

static void test_decisions(void **state)
{
    static const ExpiryTold nothing = {}, unused_30 = {EXPIRY_30_DAYS, false}, used_30 = {EXPIRY_30_DAYS, true},
            used_3 = {EXPIRY_3_DAYS, true}, used_past = {EXPIRY_PAST, true}, unused_past = {EXPIRY_PAST, false};
    static const struct {
        ExpiryKind kind;
        uint64_t now;
        ExpiryTold told;
        ExpiryTold then;
        bool log, alert;
        AlertSeverity severity;
    } table[] = {
        {EXPIRY_USED, END - 31 * DAY, nothing, nothing, false, false, 0},
        {EXPIRY_USED, END - 29 * DAY, nothing, used_30, true, true, ALERT_WARNING},
        {EXPIRY_USED, END - 29 * DAY, used_30, used_30, false, false, 0},
        /* Several at once: one alert. */
        {EXPIRY_USED, END - 2 * DAY, nothing, used_3, true, true, ALERT_WARNING},
        {EXPIRY_USED, END - 2 * DAY, used_30, used_3, true, true, ALERT_WARNING},
        {EXPIRY_USED, END + DAY, used_3, used_past, true, true, ALERT_CRITICAL},
        {EXPIRY_USED, END + DAY, nothing, used_past, true, true, ALERT_CRITICAL},
        {EXPIRY_USED, END + 2 * DAY, used_past, used_past, false, false, 0},
        {EXPIRY_UNUSED, END - 29 * DAY, nothing, unused_30, true, false, 0},
        {EXPIRY_UNUSED, END - 29 * DAY, unused_30, unused_30, false, false, 0},
        {EXPIRY_UNUSED, END + DAY, unused_30, unused_past, true, false, 0},
        /* Comes into use, goes out of use, comes back. */
        {EXPIRY_USED, END - 29 * DAY, unused_30, used_30, true, true, ALERT_WARNING},
        {EXPIRY_UNUSED, END - 29 * DAY, used_30, used_30, false, false, 0},
        {EXPIRY_UNUSED, END + DAY, used_3, unused_past, true, false, 0},
        {EXPIRY_USED, END + DAY, unused_past, used_past, true, true, ALERT_CRITICAL},
        {EXPIRY_AUTHORITY, END - 29 * DAY, nothing, used_30, true, true, ALERT_INFO},
        {EXPIRY_AUTHORITY, END + DAY, used_30, used_past, true, true, ALERT_WARNING},
        /* A clock that is wrong: of a machine that does not know the time yet, and one that was ahead. */
        {EXPIRY_USED, BEGIN - DAY, used_3, used_3, false, false, 0},
        {EXPIRY_USED, END - 29 * DAY, used_past, used_30, false, false, 0},
        {EXPIRY_USED, END - 100 * DAY, used_past, nothing, false, false, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        const ExpiryDecision d = expiry_decide(table[i].kind, BEGIN, END, table[i].now, table[i].told);

        if (d.log != table[i].log || d.alert != table[i].alert || (d.alert && d.severity != table[i].severity)
                || d.told.stage != table[i].then.stage || d.told.used != table[i].then.used)
            fail_msg("case %zu: log %d, alert %d, severity %u, told %u %d", i, d.log, d.alert, d.severity, d.told.stage,
                    d.told.used);
    }
}

/* ---- what was told, over restarts ---- */

typedef struct Directory {
    char path[64];
    int fd;
} Directory;

static int setup(void **state)
{
    Directory *d = calloc(1, sizeof(Directory));

    strcpy(d->path, "/tmp/test-expiry.XXXXXX");
    assert_non_null(mkdtemp(d->path));
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(d->fd >= 0);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    Directory *d = *state;

    (void) unlinkat(d->fd, EXPIRY_RECORD_FILE, 0);
    (void) close(d->fd);
    assert_int_equal(rmdir(d->path), 0);
    free(d);
    return 0;
}

static void test_a_record_is_kept(void **state)
{
    static const uint8_t a[EXPIRY_ID_SIZE] = {1, 2, 0xab}, b[EXPIRY_ID_SIZE] = {0xff}, c[EXPIRY_ID_SIZE] = {};
    _cleanup_(expiry_record_done) ExpiryRecord r = {}, again = {};
    const Directory *d = *state;

    assert_int_equal(expiry_record_read(&r, d->fd), 0); /* there is none */
    assert_int_equal(expiry_record_find(&r, a).stage, EXPIRY_FAR);
    assert_int_equal(expiry_record_set(&r, a, (ExpiryTold) {EXPIRY_30_DAYS, true}), 0);
    assert_int_equal(expiry_record_set(&r, b, (ExpiryTold) {EXPIRY_PAST, false}), 0);
    assert_int_equal(expiry_record_set(&r, c, (ExpiryTold) {}), 0); /* nothing to be remembered */
    assert_int_equal(expiry_record_write(&r, d->fd), 0);

    assert_int_equal(expiry_record_read(&again, d->fd), 0);
    assert_int_equal(again.n, 2);
    assert_true(expiry_record_equal(&r, &again));
    assert_int_equal(expiry_record_find(&again, a).stage, EXPIRY_30_DAYS);
    assert_true(expiry_record_find(&again, a).used);
    assert_int_equal(expiry_record_find(&again, b).stage, EXPIRY_PAST);
    assert_false(expiry_record_find(&again, b).used);
    assert_int_equal(expiry_record_find(&again, c).stage, EXPIRY_FAR);
    assert_int_equal(expiry_record_set(&again, b, (ExpiryTold) {EXPIRY_PAST, true}), 0);
    assert_int_equal(again.n, 2);
    assert_false(expiry_record_equal(&r, &again));
}

static void test_a_damaged_record_is_none(void **state)
{
    static const char *const texts[] = {
        "nonsense\n",
        "0102ab 30 used\n",
        "00000000000000000000000000000000000000000000000000000000000000zz 30 used\n",
        "0000000000000000000000000000000000000000000000000000000000000001 31 used\n",
        "0000000000000000000000000000000000000000000000000000000000000001 30 perhaps\n",
        "0000000000000000000000000000000000000000000000000000000000000001 30\n",
    };
    const Directory *d = *state;

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        _cleanup_(expiry_record_done) ExpiryRecord r = {};
        _cleanup_close_ int fd = openat(d->fd, EXPIRY_RECORD_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, texts[i], strlen(texts[i])), (ssize_t) strlen(texts[i]));
        if (expiry_record_read(&r, d->fd) != -EBADMSG || r.n != 0)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test_setup_teardown(test_a_record_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_record_is_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
