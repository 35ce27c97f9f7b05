/* SPDX-License-Identifier: Apache-2.0 */

/* Files made ahead, with their names already durable, so that a commit costs one fsync and OpenMessage costs none. */

#include "queue-file.h"
#include "queue-internal.h"

typedef struct BatchJob {
    Queue *queue;
    unsigned bucket;
    PoolFile files[QUEUE_POOL_BATCH];
    size_t n_files;
} BatchJob;

static void file_drop(Queue *q, PoolFile *f)
{
    f->fd = close_fd(f->fd);
    (void) queue_file_remove(q->dir_fd, &f->id);
}

static int batch_run(void *data)
{
    BatchJob *b = data;

    while (b->n_files < QUEUE_POOL_BATCH) {
        PoolFile *f = b->files + b->n_files;

        f->id = queue_new_id(b->queue, b->bucket);
        f->fd = queue_file_create(b->queue->dir_fd, &f->id);
        if (f->fd == -EEXIST) /* one in 2^35 within a hundredth of a second */
            continue;
        if (f->fd < 0)
            break;
        b->n_files++;
    }
    if (b->n_files == 0)
        return b->files[0].fd;
    return queue_dir_sync(b->queue->dir_fd, queue_bucket_char(b->bucket));
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

static void batch_done(void *data, int result)
{
    BatchJob *b = data;
    Queue *q = b->queue;

    q->batches--;
    for (size_t i = 0; i < b->n_files; i++)
        if (result < 0 || q->n_pool == QUEUE_POOL_MAX)
            file_drop(q, b->files + i);
        else
            q->pool[q->n_pool++] = b->files[i];
    free(b);
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

int queue_pool_fill(Queue *q)
{
    while (q->n_pool + q->batches * QUEUE_POOL_BATCH < QUEUE_POOL_LOW + q->n_waiters
            && (q->batches + 1) * QUEUE_POOL_BATCH <= QUEUE_POOL_MAX) {
        BatchJob *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
            return -ENOMEM;
        b->queue = q;
        b->bucket = q->next_bucket++ % QUEUE_BUCKETS;
        r = jobs_submit(q->jobs, batch_run, batch_done, b);
        if (r < 0) {
            free(b);
            return r;
        }
        q->batches++;
    }
    return 0;
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
    if (r < 0 && q->batches == 0) {
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
