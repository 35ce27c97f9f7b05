/* SPDX-License-Identifier: Apache-2.0 */

/* What an earlier run left behind: committed messages go into the index, files that were being received stay for a while, since
 * their sender may be alive and about to commit. A few files a turn of the loop, so that mail is accepted meanwhile. And the
 * sweep: files that nobody writes and nobody committed. */

#include <fcntl.h>
#include <sys/stat.h>

#include "queue-file.h"
#include "queue-internal.h"

#define SCAN_STEP 64
#define UNCOMMITTED_AT_START_USEC (24 * 3600 * USEC_PER_SEC)
#define SWEEP_INTERVAL_USEC (600 * USEC_PER_SEC)
/* Handed out so long ago and no longer open: its worker died, or deliverd refused the commit and nobody said Discard. */
#define UNUSED_USEC (3600 * USEC_PER_SEC)
#define SWEEP_MAX 1024

struct QueueScan {
    unsigned bucket, messages;
    DIR *dir;
    sd_event_source *source;
};

static int open_bucket(Queue *q, unsigned bucket, DIR **ret)
{
    const char name[] = {queue_bucket_char(bucket), '\0'};
    _cleanup_close_ int fd = openat(q->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir;

    if (fd < 0)
        return negative_errno();
    dir = fdopendir(fd);
    if (!dir)
        return negative_errno();
    TAKE_FD(fd);
    *ret = dir;
    return 0;
}

/* A state without its message, or one that was being written when the power went. */
static void scan_stray(Queue *q, const char *name)
{
    char id_text[QUEUE_ID_LENGTH + 1], path[64];
    QueueId id;

    if (strlen(name) <= QUEUE_ID_LENGTH)
        return;
    memcpy(id_text, name, QUEUE_ID_LENGTH);
    id_text[QUEUE_ID_LENGTH] = '\0';
    if (queue_id_parse(id_text, &id) < 0 || queue_find(q, &id))
        return;
    (void) snprintf(path, sizeof(path), "%c/%s", queue_id_bucket(&id), id.text);
    if (streq(name + QUEUE_ID_LENGTH, ".new")
            || (streq(name + QUEUE_ID_LENGTH, ".state") && faccessat(q->dir_fd, path, F_OK, 0) < 0 && errno == ENOENT)) {
        (void) snprintf(path, sizeof(path), "%c/%s", queue_id_bucket(&id), name);
        (void) unlinkat(q->dir_fd, path, 0);
    }
}

static void scan_uncommitted(Queue *q, const QueueId *id, uint64_t mtime_usec)
{
    QueueMessage *m;

    if (queue_pool_contains(q, id))
        return;
    if (mtime_usec + UNCOMMITTED_AT_START_USEC < queue_now()) {
        (void) queue_file_remove(q->dir_fd, id);
        return;
    }
    m = queue_index_add(q, id, QUEUE_RECEIVING);
    if (m)
        m->since_usec = mtime_usec;
}

static void scan_file(Queue *q, const char *name)
{
    _cleanup_(queue_file_clear) QueueFile f = {};
    QueueMessage *m;
    uint64_t mtime;
    QueueId id;
    int r;

    if (queue_id_parse(name, &id) < 0) {
        scan_stray(q, name);
        return;
    }
    if (queue_find(q, &id))
        return;
    r = queue_file_load(q->dir_fd, &id, &f, &mtime);
    if (r == -ENOENT)
        return;
    if (r == -EAGAIN) {
        scan_uncommitted(q, &id, mtime);
        return;
    }
    if (r == -EBADMSG) {
        /* Never answered for: a commit is answered only after it could be read like this. */
        (void) queue_file_set_aside(q->dir_fd, &id);
        queue_trouble(q, &id, r, "the file is damaged and was renamed to .damaged");
        return;
    }
    if (r < 0) {
        queue_trouble(q, &id, r, "the file could not be read; it stays for the next start");
        return;
    }
    if (f.state_damaged)
        queue_trouble(q, &id, -EBADMSG, "its state is damaged, recipients may get it twice");
    m = queue_index_add(q, &id, QUEUE_COMMITTING);
    if (!m) {
        queue_trouble(q, &id, -ENOMEM, "it stays for the next start");
        return;
    }
    q->scan->messages++;
    queue_message_commit(q, m, f.size, TAKE_PTR(f.envelope), TAKE_PTR(f.state));
}

static int scan_step(sd_event_source *source, void *userdata)
{
    Queue *q = userdata;
    QueueScan *s = q->scan;

    for (unsigned i = 0; i < SCAN_STEP; i++) {
        struct dirent *entry;

        if (!s->dir) {
            int r = s->bucket < QUEUE_BUCKETS ? open_bucket(q, s->bucket, &s->dir) : 0;

            if (r < 0)
                queue_trouble(q, NULL, r, "a directory of the queue could not be read");
        }
        entry = s->dir ? readdir(s->dir) : NULL;
        if (entry) {
            scan_file(q, entry->d_name);
            continue;
        }
        if (s->dir)
            (void) closedir(s->dir);
        s->dir = NULL;
        if (++s->bucket >= QUEUE_BUCKETS) {
            const unsigned messages = s->messages;

            queue_scan_stop(q);
            if (q->ops.scanned)
                q->ops.scanned(messages, q->userdata);
            return 0;
        }
    }
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

typedef struct Sweep {
    QueueMessage *unused[SWEEP_MAX];
    size_t n;
    uint64_t before_usec;
} Sweep;

static bool sweep_each(QueueMessage *m, void *userdata)
{
    Sweep *s = userdata;

    if (m->status == QUEUE_RECEIVING && m->since_usec < s->before_usec)
        s->unused[s->n++] = m;
    return s->n < SWEEP_MAX;
}

static int sweep(sd_event_source *source, uint64_t usec, void *userdata)
{
    Queue *q = userdata;
    Sweep s = {.before_usec = queue_now() - UNUSED_USEC};

    queue_foreach(q, sweep_each, &s);
    for (size_t i = 0; i < s.n; i++) {
        int r = queue_file_unused(q->dir_fd, &s.unused[i]->id);

        if (r == 0 || r == -ENOENT || (r == -EOPNOTSUPP && s.unused[i]->since_usec + UNCOMMITTED_AT_START_USEC < queue_now()))
            queue_remove(q, s.unused[i]);
    }
    if (sd_event_source_set_time_relative(source, SWEEP_INTERVAL_USEC) < 0)
        return -EIO;
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int queue_scan(Queue *q)
{
    QueueScan *s;
    int r;

    if (q->scan || q->sweep)
        return -EBUSY;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    q->scan = s;
    r = sd_event_add_defer(q->event, &s->source, scan_step, q);
    if (r >= 0)
        r = sd_event_add_time_relative(q->event, &q->sweep, CLOCK_MONOTONIC, SWEEP_INTERVAL_USEC, USEC_PER_SEC, sweep, q);
    if (r < 0)
        queue_scan_stop(q);
    return r;
}

void queue_scan_stop(Queue *q)
{
    if (!q->scan)
        return;
    if (q->scan->dir)
        (void) closedir(q->scan->dir);
    sd_event_source_disable_unref(q->scan->source);
    free(q->scan);
    q->scan = NULL;
}
