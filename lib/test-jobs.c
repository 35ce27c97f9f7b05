/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs run on threads, end on the loop, are bounded, and none is lost when the pool goes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "jobs.h"

#define MANY 200

typedef struct Fixture {
    sd_event *event;
    pthread_t loop;
    sem_t gate; /* what the blocking job waits for */
    unsigned n_done, n_canceled, expected;
    long sum;
} Fixture;

typedef struct Task {
    Fixture *fixture;
    int number;
    bool elsewhere; /* ran on another thread than the loop's, all signals blocked */
} Task;

static int run_number(void *data)
{
    Task *t = data;
    sigset_t set;

    (void) pthread_sigmask(SIG_SETMASK, NULL, &set);
    t->elsewhere = !pthread_equal(pthread_self(), t->fixture->loop) && sigismember(&set, SIGTERM) == 1;
    return t->number;
}

static int run_wait(void *data)
{
    Task *t = data;

    while (sem_wait(&t->fixture->gate) < 0)
        ;
    return t->number;
}

static void done(void *data, int result)
{
    Task *t = data;
    Fixture *f = t->fixture;

    assert_true(pthread_equal(pthread_self(), f->loop));
    f->n_done++;
    if (result == -ECANCELED)
        f->n_canceled++;
    else
        f->sum += result;
    if (f->n_done == f->expected)
        (void) sd_event_exit(f->event, 0);
}

static void fixture_init(Fixture *f, unsigned expected)
{
    *f = (Fixture) {.loop = pthread_self(), .expected = expected};
    assert_true(sd_event_new(&f->event) >= 0);
    assert_true(sem_init(&f->gate, 0, 0) >= 0);
}

static void fixture_done(Fixture *f)
{
    (void) sem_destroy(&f->gate);
    f->event = sd_event_unref(f->event);
}

static void test_many(void **state)
{
    _cleanup_(jobs_freep) Jobs *jobs = NULL;
    static Task tasks[MANY];
    Fixture f;

    fixture_init(&f, MANY);
    assert_int_equal(jobs_new(&jobs, f.event, 3, MANY), 0);
    for (int i = 0; i < MANY; i++) {
        tasks[i] = (Task) {.fixture = &f, .number = i};
        assert_int_equal(jobs_submit(jobs, run_number, done, &tasks[i]), 0);
    }
    assert_int_equal(jobs_pending(jobs), MANY);
    assert_int_equal(sd_event_loop(f.event), 0);
    assert_int_equal(jobs_pending(jobs), 0);
    assert_int_equal(f.sum, MANY * (MANY - 1) / 2);
    for (int i = 0; i < MANY; i++)
        assert_true(tasks[i].elsewhere);
    jobs = jobs_free(jobs);
    fixture_done(&f);
}

static void test_limit(void **state)
{
    _cleanup_(jobs_freep) Jobs *jobs = NULL;
    Task tasks[4];
    Fixture f;
    int r = 0, n = 0;

    fixture_init(&f, UINT32_MAX);
    assert_int_equal(jobs_new(&jobs, f.event, 1, 2), 0);
    for (; n < 4 && r == 0; n++) { /* one may be running, two wait */
        tasks[n] = (Task) {.fixture = &f, .number = 1};
        r = jobs_submit(jobs, run_wait, done, &tasks[n]);
    }
    assert_int_equal(r, -ENOBUFS);
    assert_in_range(jobs_pending(jobs), 2, 3);

    /* The running one is waited for, the others are cancelled; each is told. */
    assert_int_equal(sem_post(&f.gate), 0);
    jobs = jobs_free(jobs);
    assert_int_equal(f.n_done, n - 1);
    assert_int_equal(f.sum + f.n_canceled, n - 1);
    fixture_done(&f);
}

static void test_arguments(void **state)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    Jobs *jobs = NULL;

    assert_true(sd_event_new(&event) >= 0);
    assert_int_equal(jobs_new(&jobs, event, 0, 1), -EINVAL);
    assert_int_equal(jobs_new(&jobs, event, 1000, 1), -EINVAL);
    assert_null(jobs);
    assert_null(jobs_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
