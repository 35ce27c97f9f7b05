/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the three halves of the queue share: queue.c (index, commit, end), queue-pool.c (files made ahead) and queue-scan.c (the
 * start). */

#include <dirent.h>

#include "queue.h"

/* Files are made in batches of one directory, with one sync; a new batch is started when fewer than the low mark are left. */
#define QUEUE_POOL_BATCH 64
#define QUEUE_POOL_LOW 64
#define QUEUE_POOL_MAX (4 * QUEUE_POOL_BATCH)
/* Callers of OpenMessage that wait for a file. */
#define QUEUE_WAITING_MAX 4096

typedef struct PoolFile {
    QueueId id;
    int fd;
} PoolFile;

typedef struct PoolBatch PoolBatch;

typedef struct PoolWaiter {
    QueueOpened opened;
    void *userdata;
} PoolWaiter;

typedef struct QueueScan QueueScan;

struct Queue {
    sd_event *event;
    Jobs *jobs;
    int dir_fd;
    QueueLimits limits;
    QueueOps ops;
    void *userdata;

    void *index; /* tsearch() tree of QueueMessage */
    unsigned counts[QUEUE_REMOVING + 1];
    bool copies_told;

    PoolFile pool[QUEUE_POOL_MAX];
    size_t n_pool;
    PoolBatch *batches; /* being made */
    unsigned n_batches;
    unsigned next_bucket;
    PoolWaiter *waiters; /* ring of QUEUE_WAITING_MAX, allocated when needed */
    size_t first_waiter, n_waiters;

    QueueScan *scan;
    sd_event_source *sweep;
};

uint64_t queue_now(void);
QueueId queue_new_id(unsigned bucket);
void queue_trouble(Queue *q, const QueueId *id, int error, const char *detail);

QueueMessage *queue_index_add(Queue *q, const QueueId *id, QueueMessageState status);
void queue_index_drop(Queue *q, QueueMessage *m);
void queue_set_status(Queue *q, QueueMessage *m, QueueMessageState status);
void queue_message_commit(Queue *q, QueueMessage *m, uint64_t size, Envelope *envelope, EnvelopeState *state);

int queue_pool_fill(Queue *q);
int queue_pool_take(Queue *q, QueueOpened opened, void *userdata);
bool queue_pool_contains(const Queue *q, const QueueId *id); /* made by this run, or being made, and not handed out */
void queue_pool_clear(Queue *q); /* unlinks what was not handed out */

void queue_scan_stop(Queue *q);
