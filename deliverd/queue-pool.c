/* SPDX-License-Identifier: Apache-2.0 */

/* Files made ahead, with their names already durable, so that a commit costs one fsync and OpenMessage costs none. */

#include "queue-file.h"
#include "queue-internal.h"

/* The ids are made on the loop, so that the scan can tell a file of this run from what an earlier one left. */
struct PoolBatch {
    PoolBatch *next; /* of the queue's list */
    Queue *queue;
    char bucket;
    PoolFile files[QUEUE_POOL_BATCH]; /* fd < 0: not made */
};

static void file_drop(Queue *q, PoolFile *f)
{
    f->fd = close_fd(f->fd);
    (void) queue_file_remove(q->dir_fd, &f->id);
}

static int batch_run(void *data)
{
    PoolBatch *b = data;
    bool any = false;
    int r = 0;

    /* Ids that are there already are passed over: one in 2^35 within a hundredth of a second. */
    for (size_t i = 0; i < QUEUE_POOL_BATCH; i++) {
        r = queue_file_create(b->queue->dir_fd, &b->files[i].id);
        if (r < 0 && r != -EEXIST)
            break;
        b->files[i].fd = r;
        any = any || r >= 0;
    }
    return any ? queue_dir_sync(b->queue->dir_fd, b->bucket) : r;
}

static void give(Queue *q, QueueOpened opened, void *userdata)
{
    PoolFile f = q->pool[--q->n_pool];

    if (!queue_index_add(q, &f.id, QUEUE_RECEIVING)) {
        file_drop(q, &f);
        opened(NULL, -EBADF, -ENOMEM, userdata);
        return;
    }
    opened(f.id.text, f.fd, 0, userdata);
    close_fd(f.fd);
}

static PoolWaiter next_waiter(Queue *q)
{
    PoolWaiter w = q->waiters[q->first_waiter];

    q->first_waiter = (q->first_waiter + 1) % QUEUE_WAITING_MAX;
    q->n_waiters--;
    return w;
}

static void batch_unlink(Queue *q, const PoolBatch *b)
{
    PoolBatch **at = &q->batches;

    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    q->n_batches--;
}

static void batch_done(void *data, int result)
{
    _cleanup_free_ PoolBatch *b = data;
    Queue *q = b->queue;

    batch_unlink(q, b);
    for (size_t i = 0; i < QUEUE_POOL_BATCH; i++)
        if (b->files[i].fd < 0)
            continue;
        else if (result < 0 || q->n_pool == QUEUE_POOL_MAX)
            file_drop(q, b->files + i);
        else
            q->pool[q->n_pool++] = b->files[i];
    if (result < 0 && result != -ECANCELED)
        queue_trouble(q, NULL, result, "no files could be made in the queue");
    while (q->n_waiters > 0 && (q->n_pool > 0 || result < 0)) {
        PoolWaiter w = next_waiter(q);

        if (q->n_pool > 0)
            give(q, w.opened, w.userdata);
        else
            w.opened(NULL, -EBADF, result, w.userdata);
    }
    if (result >= 0)
        (void) queue_pool_fill(q);
}

static int batch_start(Queue *q)
{
    const unsigned bucket = q->next_bucket++ % QUEUE_BUCKETS;
    _cleanup_free_ PoolBatch *b = calloc(1, sizeof(*b));
    int r;

    if (!b)
        return -ENOMEM;
    b->queue = q;
    b->bucket = queue_bucket_char(bucket);
    for (size_t i = 0; i < QUEUE_POOL_BATCH; i++)
        b->files[i] = (PoolFile) {queue_new_id(bucket), -EBADF};
    r = jobs_submit(q->jobs, batch_run, batch_done, b);
    if (r < 0)
        return r;
    b->next = q->batches;
    q->batches = TAKE_PTR(b);
    q->n_batches++;
    return 0;
}

int queue_pool_fill(Queue *q)
{
    while (q->n_pool + q->n_batches * QUEUE_POOL_BATCH < QUEUE_POOL_LOW + q->n_waiters
            && (q->n_batches + 1) * QUEUE_POOL_BATCH <= QUEUE_POOL_MAX) {
        int r = batch_start(q);

        if (r < 0)
            return r;
    }
    return 0;
}

static bool files_contain(const PoolFile *files, size_t n, const QueueId *id)
{
    for (size_t i = 0; i < n; i++)
        if (streq(files[i].id.text, id->text))
            return true;
    return false;
}

bool queue_pool_contains(const Queue *q, const QueueId *id)
{
    for (const PoolBatch *b = q->batches; b; b = b->next)
        if (files_contain(b->files, QUEUE_POOL_BATCH, id))
            return true;
    return files_contain(q->pool, q->n_pool, id);
}

int queue_pool_take(Queue *q, QueueOpened opened, void *userdata)
{
    int r;

    if (q->n_pool > 0) {
        give(q, opened, userdata);
        (void) queue_pool_fill(q);
        return 0;
    }
    if (q->n_waiters == QUEUE_WAITING_MAX)
        return -EDQUOT;
    if (!q->waiters)
        q->waiters = calloc(QUEUE_WAITING_MAX, sizeof(*q->waiters));
    if (!q->waiters)
        return -ENOMEM;
    q->waiters[(q->first_waiter + q->n_waiters++) % QUEUE_WAITING_MAX] = (PoolWaiter) {opened, userdata};
    r = queue_pool_fill(q);
    if (r < 0 && q->n_batches == 0) {
        q->n_waiters--;
        return r;
    }
    return 0;
}

void queue_pool_clear(Queue *q)
{
    while (q->n_pool > 0)
        file_drop(q, q->pool + --q->n_pool);
    free(q->waiters);
    q->waiters = NULL;
    q->n_waiters = 0;
}
