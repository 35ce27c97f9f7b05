/* SPDX-License-Identifier: Apache-2.0 */

/* The queue on an event loop with its threads: the way of a message from OpenMessage to its removal, restarts, limits, and
 * commits that should not be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "queue-internal.h"
#include "queue.h"

typedef struct Fixture {
    char path[64];
    sd_event *event;
    Jobs *jobs;
    Queue *queue;
    QueueLimits limits;

    unsigned committed, removed, troubles, waiting;
    int scanned;
    char id[QUEUE_ID_LENGTH + 1];
    int fd, error;
    QueueMessage *last;
} Fixture;

static void on_committed(QueueMessage *m, void *userdata)
{
    Fixture *f = userdata;

    f->committed++;
    f->last = m;
}

static void on_removed(QueueMessage *m, void *userdata)
{
    ((Fixture *) userdata)->removed++;
}

static void on_trouble(const char *id, int error, const char *detail, void *userdata)
{
    ((Fixture *) userdata)->troubles++;
}

static void on_scanned(unsigned messages, void *userdata)
{
    ((Fixture *) userdata)->scanned = (int) messages;
}

static const QueueOps ops = {on_committed, on_removed, on_trouble, on_scanned};

static void start(Fixture *f)
{
    f->scanned = -1;
    f->committed = f->removed = f->troubles = 0;
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(jobs_new(&f->jobs, f->event, 4, 1000), 0);
    assert_int_equal(queue_new(&f->queue, f->event, f->jobs, f->path, &f->limits, &ops, f), 0);
    assert_int_equal(queue_scan(f->queue), 0);
    while (f->scanned < 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static void stop(Fixture *f)
{
    f->jobs = jobs_free(f->jobs);
    f->queue = queue_free(f->queue);
    f->event = sd_event_unref(f->event);
}

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->limits = (QueueLimits) {.messages = 1000, .free_bytes = 1};
    strcpy(f->path, "/tmp/postern-queue-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    start(f);
    assert_int_equal(f->scanned, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    char command[128];

    stop(f);
    (void) snprintf(command, sizeof(command), "rm -r %s", f->path);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void on_opened(const char *id, int fd, int error, void *userdata)
{
    Fixture *f = userdata;

    f->waiting--;
    f->error = error;
    if (error < 0)
        return;
    strcpy(f->id, id);
    f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void on_done(int error, void *userdata)
{
    Fixture *f = userdata;

    f->waiting--;
    f->error = error;
}

static void run(Fixture *f)
{
    while (f->waiting > 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
}

static QueueId receive(Fixture *f, const char *text)
{
    QueueId id;

    f->waiting++;
    assert_int_equal(queue_open(f->queue, on_opened, f), 0);
    run(f);
    assert_int_equal(f->error, 0);
    assert_int_equal(write(f->fd, text, strlen(text)), strlen(text));
    assert_int_equal(queue_id_parse(f->id, &id), 0);
    return id;
}

static Envelope *envelope(const char *recipient)
{
    Envelope *e = calloc(1, sizeof(*e));

    assert_non_null(e);
    e->sender = strdup("alice@example.org");
    assert_int_equal(envelope_add_recipient(e, recipient), 0);
    return e;
}

static int commit(Fixture *f, const QueueId *id, const char *recipient)
{
    int r;

    f->waiting++;
    r = queue_commit(f->queue, id, envelope(recipient), on_done, f);
    if (r < 0) {
        f->waiting--;
        return r;
    }
    run(f);
    return f->error;
}

static void test_way(void **state)
{
    Fixture *f = *state;
    QueueId id = receive(f, "x: y\r\n\r\nbody\r\n");
    char text[16];
    int fd;

    assert_int_equal(commit(f, &id, "bob@example.com"), -ETXTBSY);
    close(f->fd);
    assert_int_equal(commit(f, &id, "bob@example.com"), 0);
    assert_int_equal(f->committed, 1);
    assert_int_equal(f->last->size, 14);
    assert_int_equal(queue_count(f->queue, QUEUE_COMMITTED), 1);
    fd = queue_open_message(f->queue, f->last);
    assert_int_equal(read(fd, text, 14), 14);
    close(fd);

    /* The same again is fine, another envelope is not, and neither makes a second message. */
    assert_int_equal(commit(f, &id, "bob@example.com"), -EALREADY);
    assert_int_equal(commit(f, &id, "mallory@example.com"), -EINVAL);
    assert_int_equal(queue_discard(f->queue, &id), -ENOENT);
    assert_int_equal(f->committed, 1);

    queue_save_state(f->queue, f->last);
    queue_remove(f->queue, f->last);
    assert_int_equal(commit(f, &id, "bob@example.com"), -ENOENT);
    while (f->removed == 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    assert_null(queue_find(f->queue, &id));
    assert_int_equal(commit(f, &id, "bob@example.com"), -ENOENT);
    assert_int_equal(f->troubles, 0);
}

static void test_restart(void **state)
{
    Fixture *f = *state;
    QueueId committed = receive(f, "a: b\r\n"), open;

    close(f->fd);
    assert_int_equal(commit(f, &committed, "bob@example.com"), 0);
    f->last->state->recipients[0] = RECIPIENT_DELIVERED;
    queue_save_state(f->queue, f->last);
    open = receive(f, "c: d\r\n");

    /* The writer of the second goes on over the restart. */
    stop(f);
    start(f);
    assert_int_equal(f->scanned, 1);
    assert_int_equal(f->committed, 1);
    assert_string_equal(f->last->id.text, committed.text);
    assert_int_equal(f->last->state->recipients[0], RECIPIENT_DELIVERED);
    assert_int_equal(queue_find(f->queue, &open)->status, QUEUE_RECEIVING);
    assert_int_equal(write(f->fd, "e: f\r\n", 6), 6);
    close(f->fd);
    assert_int_equal(commit(f, &open, "bob@example.com"), 0);
    assert_int_equal(f->last->size, 12);

    /* An answer that was lost: the file is committed, but this process does not know it yet. */
    stop(f);
    f->scanned = -1;
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(jobs_new(&f->jobs, f->event, 4, 1000), 0);
    assert_int_equal(queue_new(&f->queue, f->event, f->jobs, f->path, &f->limits, &ops, f), 0);
    f->committed = 0;
    assert_int_equal(commit(f, &open, "bob@example.com"), 0);
    assert_int_equal(commit(f, &committed, "eve@example.com"), -EINVAL);
    assert_int_equal(queue_scan(f->queue), 0);
    while (f->scanned < 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    assert_int_equal(f->committed, 2);
}

/* What is there at the start is from an earlier run, whatever its id says about the time: the clock may have been set back. */
static void test_clock_set_back(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(queue_now() + 3600 * USEC_PER_SEC, 0x123456789, 7);
    char path[128];

    stop(f);
    (void) snprintf(path, sizeof(path), "%s/%c/%s", f->path, queue_id_bucket(&id), id.text);
    f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(f->fd, "a: b\r\n", 6), 6);
    close(f->fd);
    start(f);
    assert_int_equal(queue_count(f->queue, QUEUE_RECEIVING), 1);
    assert_non_null(queue_find(f->queue, &id));
    assert_int_equal(commit(f, &id, "bob@example.com"), 0);
}

static void test_insert(void **state)
{
    Fixture *f = *state;

    f->waiting++;
    assert_int_equal(queue_insert(f->queue, strdup("a: b\r\n"), 6, envelope("bob@example.com"), on_done, f), 0);
    run(f);
    assert_int_equal(f->error, 0);
    assert_int_equal(f->committed, 1);
    stop(f);
    start(f);
    assert_int_equal(f->scanned, 1);
}

static void test_limits(void **state)
{
    Fixture *f = *state;
    QueueId id;

    f->limits.messages = 1;
    queue_set_limits(f->queue, &f->limits);
    id = receive(f, "a: b\r\n");
    assert_int_equal(queue_open(f->queue, on_opened, f), -EDQUOT);
    assert_int_equal(queue_discard(f->queue, &id), 0);
    close(f->fd);
    f->limits.free_bytes = UINT64_MAX;
    queue_set_limits(f->queue, &f->limits);
    while (f->removed == 0)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    assert_int_equal(queue_open(f->queue, on_opened, f), -ENOSPC);
}

/* More at once than the pool holds. */
static void test_many(void **state)
{
    enum { N = 300 };
    Fixture *f = *state;

    f->limits.messages = 2 * N;
    queue_set_limits(f->queue, &f->limits);
    for (unsigned i = 0; i < N; i++) {
        f->waiting++;
        assert_int_equal(queue_open(f->queue, on_opened, f), 0);
        if (f->fd > 0)
            f->fd = close_fd(f->fd);
    }
    while (f->waiting > 0) {
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        assert_int_equal(f->error, 0);
    }
    assert_int_equal(queue_count(f->queue, QUEUE_RECEIVING), N);
}

static void test_damaged(void **state)
{
    Fixture *f = *state;
    QueueId id = receive(f, "a: b\r\n");
    char path[128];

    (void) snprintf(path, sizeof(path), "%s/%c/%s", f->path, queue_id_bucket(&id), id.text);
    close(f->fd);
    assert_int_equal(chmod(path, 0400), 0);
    stop(f);
    start(f);
    assert_int_equal(f->scanned, 0);
    assert_int_equal(f->troubles, 1);
    strcat(path, ".damaged");
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clock_set_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_insert, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
