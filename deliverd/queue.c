/* SPDX-License-Identifier: Apache-2.0 */

/* The index and the threads' work. A message is in the index from the moment its file is handed out until its file is gone, so
 * that nothing is committed, found or delivered twice at a time. */

#include "queue.h"

#include <fcntl.h>
#include <search.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>

#include "queue-file.h"
#include "queue-internal.h"

uint64_t queue_now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

QueueId queue_new_id(unsigned bucket)
{
    uint64_t random = 0;

    /* Cannot fail for so few bytes; O_EXCL would notice ids that come again. */
    if (getrandom(&random, sizeof(random), 0) < 0)
        random = queue_now();
    return queue_id_make(queue_now(), random, bucket);
}

void queue_trouble(Queue *q, const QueueId *id, int error, const char *detail)
{
    if (q->ops.trouble)
        q->ops.trouble(id ? id->text : NULL, error, detail, q->userdata);
}

/* ---- the index ---- */
static int compare_id(const void *a, const void *b)
{
    return strcmp(((const QueueId *) a)->text, ((const QueueId *) b)->text);
}

static void message_free(void *p)
{
    QueueMessage *m = p;

    envelope_free(m->envelope);
    envelope_state_free(m->state);
    free(m);
}

QueueMessage *queue_find(Queue *q, const QueueId *id)
{
    QueueMessage **found = tfind(id, &q->index, compare_id);

    return found ? *found : NULL;
}

QueueMessage *queue_index_add(Queue *q, const QueueId *id, QueueMessageState status)
{
    QueueMessage *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->id = *id;
    m->status = status;
    m->since_usec = queue_now();
    if (!tsearch(m, &q->index, compare_id)) {
        free(m);
        return NULL;
    }
    q->counts[status]++;
    return m;
}

void queue_index_drop(Queue *q, QueueMessage *m)
{
    q->counts[m->status]--;
    (void) tdelete(m, &q->index, compare_id);
    message_free(m);
}

void queue_set_status(Queue *q, QueueMessage *m, QueueMessageState status)
{
    q->counts[m->status]--;
    q->counts[status]++;
    m->status = status;
    m->since_usec = queue_now();
}

unsigned queue_count(const Queue *q, QueueMessageState status)
{
    return q->counts[status];
}

typedef struct Walk {
    bool (*each)(QueueMessage *m, void *userdata);
    void *userdata;
    bool ended;
} Walk;

static void walk(const void *node, VISIT visit, void *closure)
{
    Walk *w = closure;

    if ((visit == postorder || visit == leaf) && !w->ended)
        w->ended = !w->each(*(QueueMessage *const *) node, w->userdata);
}

void queue_foreach(Queue *q, bool (*each)(QueueMessage *m, void *userdata), void *userdata)
{
    Walk w = {each, userdata, false};

    twalk_r(q->index, walk, &w);
}

/* ---- handing files out ---- */
static int check_space(Queue *q)
{
    struct statvfs fs;

    if (q->counts[QUEUE_RECEIVING] >= QUEUE_RECEIVING_MAX)
        return -EDQUOT;
    if ((uint64_t) q->counts[QUEUE_RECEIVING] + q->counts[QUEUE_COMMITTING] + q->counts[QUEUE_COMMITTED] >= q->limits.messages)
        return -EDQUOT;
    if (fstatvfs(q->dir_fd, &fs) < 0)
        return negative_errno();
    if ((uint64_t) fs.f_bavail * fs.f_frsize < q->limits.free_bytes || (fs.f_files > 0 && fs.f_favail < QUEUE_POOL_BATCH))
        return -ENOSPC;
    return 0;
}

int queue_open(Queue *q, QueueOpened opened, void *userdata)
{
    int r;

    r = check_space(q);
    if (r < 0)
        return r;
    return queue_pool_take(q, opened, userdata);
}

/* ---- commit ---- */
typedef struct CommitJob {
    Queue *queue;
    QueueId id;
    Envelope *envelope;
    char *text; /* insert only */
    size_t text_size;
    QueueDone done;
    void *userdata;
    uint64_t size;
    bool copied;
    QueueFile found; /* -EALREADY: what is there */
} CommitJob;

static CommitJob *commit_job_free(CommitJob *c)
{
    if (!c)
        return NULL;
    envelope_free(c->envelope);
    queue_file_clear(&c->found);
    free(c->text);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(CommitJob, commit_job_free);

static int commit_run(void *data)
{
    CommitJob *c = data;
    uint64_t mtime;
    int r;

    if (c->text) {
        c->size = c->text_size;
        return queue_file_insert(c->queue->dir_fd, &c->id, c->text, c->text_size, c->envelope);
    }
    r = queue_file_commit(c->queue->dir_fd, &c->id, c->envelope, &c->size, &c->copied);
    if (r == -EALREADY && queue_file_load(c->queue->dir_fd, &c->id, &c->found, &mtime) < 0)
        return -EBADMSG;
    return r;
}

static bool same_envelope(const Envelope *a, const Envelope *b)
{
    if (!streq(a->sender, b->sender) || a->n_recipients != b->n_recipients)
        return false;
    for (size_t i = 0; i < a->n_recipients; i++)
        if (!streq(a->recipients[i], b->recipients[i]))
            return false;
    return true;
}

/* Makes m a message of the queue. Takes envelope and state over. */
void queue_message_commit(Queue *q, QueueMessage *m, uint64_t size, Envelope *envelope, EnvelopeState *state)
{
    m->size = size;
    m->envelope = envelope;
    m->state = state;
    queue_set_status(q, m, QUEUE_COMMITTED);
    q->ops.committed(m, q->userdata);
}

static void commit_done(void *data, int result)
{
    _cleanup_(commit_job_freep) CommitJob *c = data;
    Queue *q = c->queue;
    QueueMessage *m = queue_find(q, &c->id);
    EnvelopeState *state = NULL;

    if (result == 0)
        result = envelope_state_new(&state, c->envelope->n_recipients);
    if (result == 0) {
        if (c->copied && !q->copies_told) {
            q->copies_told = true;
            queue_trouble(q, NULL, -EOPNOTSUPP, "the file system has no leases, each message is copied once to be safe");
        }
        queue_message_commit(q, m, c->size, TAKE_PTR(c->envelope), state);
    } else if (result == -EALREADY) {
        result = same_envelope(c->envelope, c->found.envelope) ? 0 : -EINVAL;
        queue_message_commit(q, m, c->found.size, TAKE_PTR(c->found.envelope), TAKE_PTR(c->found.state));
    } else if (c->text || result == -ENOENT || result == -EIO) /* the file is gone */
        queue_index_drop(q, m);
    else /* The sender may try again or discard it. */
        queue_set_status(q, m, QUEUE_RECEIVING);
    if (c->done)
        c->done(result, c->userdata);
}

static int commit_submit(Queue *q, const CommitJob *template)
{
    CommitJob *c = malloc(sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    *c = *template;
    r = jobs_submit(q->jobs, commit_run, commit_done, c);
    if (r < 0)
        free(c); /* what it holds stays the caller's */
    return r;
}

int queue_commit(Queue *q, const QueueId *id, Envelope *envelope, QueueDone done, void *userdata)
{
    _cleanup_(envelope_freep) Envelope *owned = envelope;
    QueueMessage *m = queue_find(q, id);
    const bool known = m != NULL;
    int r;

    if (m && m->status == QUEUE_COMMITTING)
        return -EBUSY;
    if (m && m->status == QUEUE_COMMITTED)
        return same_envelope(m->envelope, envelope) ? -EALREADY : -EINVAL;
    if (m && m->status == QUEUE_REMOVING)
        return -ENOENT;
    if (!m)
        m = queue_index_add(q, id, QUEUE_RECEIVING);
    if (!m)
        return -ENOMEM;
    queue_set_status(q, m, QUEUE_COMMITTING);
    r = commit_submit(q, &(CommitJob) {.queue = q, .id = *id, .envelope = envelope, .done = done, .userdata = userdata});
    if (r < 0) {
        if (known)
            queue_set_status(q, m, QUEUE_RECEIVING);
        else
            queue_index_drop(q, m);
        return r;
    }
    owned = NULL;
    return 0;
}

int queue_insert(Queue *q, char *text, size_t size, Envelope *envelope, QueueDone done, void *userdata)
{
    _cleanup_(envelope_freep) Envelope *owned = envelope;
    _cleanup_free_ char *owned_text = text;
    const QueueId id = queue_new_id(QUEUE_BUCKETS);
    QueueMessage *m = queue_index_add(q, &id, QUEUE_COMMITTING);
    int r;

    if (!m)
        return -ENOMEM;
    r = commit_submit(q,
            &(CommitJob) {.queue = q, .id = id, .envelope = envelope, .text = text, .text_size = size, .done = done,
                    .userdata = userdata});
    if (r < 0) {
        queue_index_drop(q, m);
        return r;
    }
    owned = NULL;
    owned_text = NULL;
    return 0;
}

int queue_discard(Queue *q, const QueueId *id)
{
    QueueMessage *m = queue_find(q, id);

    if (!m || m->status != QUEUE_RECEIVING)
        return -ENOENT;
    queue_remove(q, m);
    return 0;
}

/* ---- state and end ---- */
typedef struct FileJob {
    Queue *queue;
    QueueMessage *message; /* in the index until its file is gone, so it outlives the job */
    char *text;
    size_t size;
} FileJob;

static FileJob *file_job_free(FileJob *f)
{
    if (!f)
        return NULL;
    free(f->text);
    free(f);
    return NULL;
}
DEFINE_CLEANUP(FileJob, file_job_free);

static int save_run(void *data)
{
    FileJob *f = data;

    return queue_file_write_state(f->queue->dir_fd, &f->message->id, f->text, f->size);
}

static void remove_start(Queue *q, QueueMessage *m);

static void save_done(void *data, int result)
{
    _cleanup_(file_job_freep) FileJob *f = data;
    QueueMessage *m = f->message;

    m->saving = false;
    if (result == -ECANCELED) /* the daemon stops: now or never */
        result = save_run(f);
    if (result < 0)
        queue_trouble(f->queue, &m->id, result, "its state was not written; after a restart it would be tried as if new");
    if (m->status == QUEUE_REMOVING)
        remove_start(f->queue, m);
    else if (m->dirty)
        queue_save_state(f->queue, m);
}

void queue_save_state(Queue *q, QueueMessage *m)
{
    _cleanup_(file_job_freep) FileJob *f = NULL;
    int r;

    m->dirty = true;
    if (m->saving || m->status != QUEUE_COMMITTED)
        return;
    f = calloc(1, sizeof(*f));
    if (!f) {
        queue_trouble(q, &m->id, -ENOMEM, "its state was not written");
        return;
    }
    f->queue = q;
    f->message = m;
    r = envelope_state_format(m->state, &f->text, &f->size);
    if (r >= 0)
        r = jobs_submit(q->jobs, save_run, save_done, f);
    if (r < 0) {
        /* Stays dirty: the next change tries again. */
        queue_trouble(q, &m->id, r, "its state was not written");
        return;
    }
    m->dirty = false;
    m->saving = true;
    TAKE_PTR(f);
}

static int remove_run(void *data)
{
    FileJob *f = data;

    return queue_file_remove(f->queue->dir_fd, &f->message->id);
}

static void remove_end(Queue *q, QueueMessage *m, int result)
{
    if (result < 0 && result != -ENOENT)
        queue_trouble(q, &m->id, result, "its file was not removed; after a restart it would be delivered again");
    if (q->ops.removed)
        q->ops.removed(m, q->userdata);
    queue_index_drop(q, m);
}

static void remove_done(void *data, int result)
{
    _cleanup_(file_job_freep) FileJob *f = data;

    if (result == -ECANCELED) /* the daemon stops: now or never */
        result = remove_run(f);
    remove_end(f->queue, f->message, result);
}

static void remove_start(Queue *q, QueueMessage *m)
{
    FileJob *f = calloc(1, sizeof(*f));

    if (f)
        *f = (FileJob) {.queue = q, .message = m};
    if (f && jobs_submit(q->jobs, remove_run, remove_done, f) >= 0)
        return;
    /* The threads are behind: an unlink on the loop is better than a message that is delivered again. */
    free(f);
    remove_end(q, m, queue_file_remove(q->dir_fd, &m->id));
}

void queue_remove(Queue *q, QueueMessage *m)
{
    if (m->status == QUEUE_REMOVING)
        return;
    queue_set_status(q, m, QUEUE_REMOVING);
    if (!m->saving)
        remove_start(q, m);
}

int queue_open_message(Queue *q, const QueueMessage *m)
{
    return queue_file_open(q->dir_fd, &m->id);
}

/* ---- life ---- */
int queue_new(Queue **ret, sd_event *event, Jobs *jobs, const char *path, const QueueLimits *limits, const QueueOps *ops,
        void *userdata)
{
    _cleanup_(queue_freep) Queue *q = calloc(1, sizeof(*q));
    int r;

    if (!q)
        return -ENOMEM;
    q->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (q->dir_fd < 0)
        return negative_errno();
    q->event = sd_event_ref(event);
    q->jobs = jobs;
    q->limits = *limits;
    q->ops = *ops;
    q->userdata = userdata;
    r = queue_dir_prepare(q->dir_fd);
    if (r < 0)
        return r;
    r = queue_pool_fill(q);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(q);
    return 0;
}

Queue *queue_free(Queue *q)
{
    if (!q)
        return NULL;
    queue_scan_stop(q);
    sd_event_source_disable_unref(q->sweep);
    queue_pool_clear(q);
    tdestroy(q->index, message_free);
    sd_event_unref(q->event);
    close_fd(q->dir_fd);
    free(q);
    return NULL;
}

void queue_set_limits(Queue *q, const QueueLimits *limits)
{
    q->limits = *limits;
}
