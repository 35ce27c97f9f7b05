/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of raised alerts, with a real spool and a sender that this file stands for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alerts.h"

/* ---- in place of sender.c ---- */
struct SenderJob {
    const SpoolItem *item;
    SenderDone done;
    void *userdata;
    bool open;
};

static SenderJob jobs[SPOOL_ITEMS_MAX];
static unsigned n_jobs;

int sender_submit(Sender *s, SenderJob **ret, const SpoolItem *item, SenderDone done, void *userdata)
{
    assert_true(n_jobs < ELEMENTSOF(jobs));
    jobs[n_jobs] = (SenderJob) {.item = item, .done = done, .userdata = userdata, .open = true};
    *ret = &jobs[n_jobs++];
    return 0;
}

SenderJob *sender_cancel(SenderJob *j)
{
    if (j)
        j->open = false;
    return NULL;
}

static void end_job(unsigned i, char *const *remaining, unsigned n_delivered, unsigned n_refused)
{
    const SenderResult result = {.remaining = remaining, .n_delivered = n_delivered, .n_refused = n_refused, .reason = "because"};

    assert_true(jobs[i].open);
    jobs[i].open = false;
    jobs[i].done(&result, jobs[i].userdata);
}

static char *const nobody[] = {NULL};

/* ---- fixture ---- */
typedef struct Fixture {
    char directory[64];
    sd_event *event;
    Spool *spool;
    AlertConfig config;
    Alerts *alerts;
    unsigned n_done, n_failed, n_not_stored;
    int last_result;
} Fixture;

static void on_failed(const SpoolItem *item, bool temporary, unsigned n_recipients, const char *reason, void *userdata)
{
    ((Fixture *) userdata)->n_failed++;
}

static void on_mailed(const SpoolItem *item, unsigned n_recipients, void *userdata)
{
}

static void on_not_stored(const SpoolItem *item, int error, void *userdata)
{
    ((Fixture *) userdata)->n_not_stored++;
}

static const AlertsOps ops = {on_failed, on_mailed, on_not_stored};

static void start(Fixture *f)
{
    assert_int_equal(spool_new(&f->spool, f->event, f->directory), 0);
    assert_int_equal(alerts_new(&f->alerts, f->event, f->spool, NULL, &f->config, &ops, f), 0);
    n_jobs = 0;
}

/* As kill -9 would: nothing is finished. */
static void stop(Fixture *f)
{
    f->spool = spool_free(f->spool);
    f->alerts = alerts_free(f->alerts);
}

static int setup(void **state)
{
    static Fixture f;

    f = (Fixture) {.directory = "/tmp/test-alertd-alerts-XXXXXX"};
    if (!mkdtemp(f.directory))
        return -errno;
    f.config.suppress = (SuppressConfig) {.initial_usec = USEC_PER_SEC, .maximum_usec = 2 * USEC_PER_SEC};
    f.config.n_recipients = 2;
    f.config.recipients[0].address = (char *) "all@example.org";
    f.config.recipients[1].address = (char *) "critical@example.org";
    f.config.recipients[1].severities = 1u << ALERT_CRITICAL;
    assert_int_equal(sd_event_new(&f.event), 0);
    start(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    Fixture *f = *state;

    stop(f);
    sd_event_unref(f->event);
    snprintf(command, sizeof(command), "rm -rf %s", f->directory);
    return system(command);
}

static void on_done(int result, void *userdata)
{
    Fixture *f = userdata;

    f->n_done++;
    f->last_result = result;
}

static int raise_alert(Fixture *f, AlertSeverity severity, const char *key, const char *summary)
{
    const AlertsRaise raise = {.severity = severity, .type = ALERT_SYSTEM, .key = key, .summary = summary, .body = "body", .origin = "deliverd"};

    return alerts_raise(f->alerts, &raise, on_done, f);
}

static void wait_done(Fixture *f, unsigned n)
{
    while (f->n_done < n)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
}

static void wait_jobs(Fixture *f, unsigned n)
{
    while (n_jobs < n)
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
}

static unsigned n_files(const Fixture *f)
{
    char command[128];
    unsigned n = 0;
    FILE *p;

    snprintf(command, sizeof(command), "ls %s | wc -l", f->directory);
    p = popen(command, "re");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%u", &n), 1);
    pclose(p);
    return n;
}

static void test_first_is_mailed_when_durable(void **state)
{
    Fixture *f = *state;

    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "s"), 0);
    assert_int_equal(n_jobs, 0);
    wait_done(f, 1);
    assert_int_equal(f->last_result, 0);
    assert_int_equal(n_files(f), 1);
    assert_int_equal(n_jobs, 1);
    assert_string_equal(jobs[0].item->recipients[0], "all@example.org");
    assert_null(jobs[0].item->recipients[1]);
    assert_int_equal(jobs[0].item->count, 1);
    end_job(0, nobody, 1, 0);
    assert_int_equal(alerts_pending(f->alerts), 0);
}

static void test_recipients_by_severity(void **state)
{
    Fixture *f = *state;

    assert_int_equal(raise_alert(f, ALERT_CRITICAL, "k", "s"), 0);
    wait_jobs(f, 1);
    assert_string_equal(jobs[0].item->recipients[1], "critical@example.org");
}

static void test_more_of_the_same_is_held_and_counted(void **state)
{
    Fixture *f = *state;

    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "first"), 0);
    wait_done(f, 1);
    end_job(0, nobody, 1, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "again"), 0);
    assert_int_equal(raise_alert(f, ALERT_WARNING, "other", "other"), 0);
    wait_done(f, 7);
    assert_int_equal(alerts_statistics(f->alerts)->held, 5);
    wait_jobs(f, 2);
    assert_string_equal(jobs[1].item->summary, "other");
    wait_jobs(f, 3); /* the interval ends */
    assert_string_equal(jobs[2].item->summary, "again");
    assert_int_equal(jobs[2].item->count, 5);
    assert_true(jobs[2].item->last_usec >= jobs[2].item->first_usec);
}

static void test_held_ones_survive(void **state)
{
    unsigned recovered, broken;
    Fixture *f = *state;

    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "first"), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "again"), 0);
    wait_done(f, 4);
    stop(f);

    start(f);
    assert_int_equal(alerts_recover(f->alerts, &recovered, &broken), 0);
    assert_int_equal(recovered, 2);
    assert_int_equal(broken, 0);
    assert_int_equal(n_jobs, 1); /* the first, which nobody has confirmed */
    assert_string_equal(jobs[0].item->summary, "first");
    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "after the crash"), 0); /* still the same matter */
    wait_jobs(f, 2);
    assert_int_equal(jobs[1].item->count, 4);
    assert_string_equal(jobs[1].item->summary, "after the crash");
}

static void test_failure_is_repeated_for_the_rest(void **state)
{
    char *const rest[] = {(char *) "critical@example.org", NULL};
    unsigned recovered, broken;
    Fixture *f = *state;

    assert_int_equal(raise_alert(f, ALERT_CRITICAL, "k", "s"), 0);
    wait_jobs(f, 1);
    end_job(0, rest, 1, 0);
    assert_int_equal(f->n_failed, 1);
    assert_int_equal(alerts_pending(f->alerts), 1);
    assert_int_equal(raise_alert(f, ALERT_INFO, "later", "s"), 0); /* once this is stored, so is what was before */
    wait_done(f, 2);
    stop(f);

    start(f);
    assert_int_equal(alerts_recover(f->alerts, &recovered, &broken), 0);
    assert_int_equal(recovered, 2);
    for (unsigned i = 0; i < n_jobs; i++)
        if (jobs[i].item->severity == ALERT_CRITICAL) {
            assert_string_equal(jobs[i].item->recipients[0], "critical@example.org");
            assert_null(jobs[i].item->recipients[1]);
            assert_int_equal(jobs[i].item->attempts, 1);
        }
}

static void test_nobody_wants_it(void **state)
{
    Fixture *f = *state;

    f->config.n_recipients = 0;
    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "s"), 0);
    assert_int_equal(f->n_done, 1);
    assert_int_equal(alerts_pending(f->alerts), 0);
}

static void test_share_of_the_spool(void **state)
{
    Fixture *f = *state;
    char key[16];

    for (unsigned i = 0; i < ALERT_ORIGIN_MAX; i++) {
        snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(raise_alert(f, ALERT_INFO, key, "s"), 0);
    }
    assert_int_equal(raise_alert(f, ALERT_INFO, "one too many", "s"), -EDQUOT);
    /* It was none, so when there is room again it is a first one. */
    assert_int_equal(raise_alert(f, ALERT_INFO, "one too many", "s"), -EDQUOT);
    assert_int_equal(alerts_statistics(f->alerts)->held, 0);
}

static void test_full_disk(void **state)
{
    Fixture *f = *state;

    assert_int_equal(rmdir(f->directory), 0); /* nothing can be stored any more */
    assert_int_equal(raise_alert(f, ALERT_WARNING, "k", "s"), 0);
    wait_jobs(f, 1);
    assert_int_equal(f->n_not_stored, 1);
    assert_int_equal(f->n_done, 0);
    end_job(0, nobody, 1, 0); /* mailed from memory: safe */
    assert_int_equal(f->n_done, 1);
    assert_int_equal(f->last_result, 0);

    assert_int_equal(raise_alert(f, ALERT_WARNING, "k2", "s"), 0);
    wait_jobs(f, 2);
    end_job(1, jobs[1].item->recipients, 0, 0); /* neither stored nor mailed: who raised it keeps it */
    assert_int_equal(f->last_result, -ENOSPC);
    assert_int_equal(raise_alert(f, ALERT_WARNING, "k2", "s"), 0);
    wait_jobs(f, 3);
    assert_int_equal(alerts_statistics(f->alerts)->held, 0);

    /* One that comes while the first is tried from memory is not forgotten with it. */
    assert_int_equal(raise_alert(f, ALERT_WARNING, "k2", "another"), 0);
    assert_int_equal(alerts_statistics(f->alerts)->held, 1);
    end_job(2, jobs[2].item->recipients, 0, 0);
    wait_jobs(f, 4);
    assert_string_equal(jobs[3].item->summary, "another");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_is_mailed_when_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recipients_by_severity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_of_the_same_is_held_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_held_ones_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_is_repeated_for_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_wants_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_share_of_the_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
