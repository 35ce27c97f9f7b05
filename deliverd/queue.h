/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The queue: an index in memory over the files of queue-file.h, a pool of files made ahead, and everything that touches the disk
 * handed to threads. All callbacks come from the event loop. It knows nothing about delivery: the manager is told what is
 * committed. */

#include <systemd/sd-event.h>

#include "envelope.h"
#include "jobs.h"
#include "queue-id.h"

/* Messages being received at a time; OpenMessage answers QueueFull beyond. */
#define QUEUE_RECEIVING_MAX 16384

typedef enum QueueMessageState {
    QUEUE_RECEIVING,  /* handed to smtpd, or found uncommitted at the start */
    QUEUE_COMMITTING,
    QUEUE_COMMITTED,
    QUEUE_REMOVING,   /* done; only its file still has to go */
} QueueMessageState;

typedef struct QueueMessage {
    QueueId id; /* first: the index compares by it */
    QueueMessageState status;
    uint64_t since_usec;  /* CLOCK_REALTIME of the last change of status */
    uint64_t size;        /* of the message, from COMMITTED on, as the two below */
    Envelope *envelope;
    EnvelopeState *state;
    void *userdata;       /* the manager's */
    bool saving, dirty;   /* a thread writes the state; it has changed since */
} QueueMessage;

typedef struct Queue Queue;

typedef struct QueueLimits {
    uint64_t messages;   /* at most in the queue */
    uint64_t free_bytes; /* that must stay free on the file system */
} QueueLimits;

/* What the manager wants to know. detail: a sentence's end for the log. */
typedef struct QueueOps {
    void (*committed)(QueueMessage *m, void *userdata); /* new, or found at the start: schedule it */
    void (*removed)(QueueMessage *m, void *userdata);   /* m is freed after this */
    void (*trouble)(const char *id, int error, const char *detail, void *userdata);
    void (*scanned)(unsigned messages, void *userdata);
} QueueOps;

/* path: the directory, which must exist. jobs must be freed before the queue. */
int queue_new(Queue **ret, sd_event *event, Jobs *jobs, const char *path, const QueueLimits *limits, const QueueOps *ops,
        void *userdata);
Queue *queue_free(Queue *q);
DEFINE_CLEANUP(Queue, queue_free);
void queue_set_limits(Queue *q, const QueueLimits *limits);

/* Looks for what an earlier run left, in small steps; ops->scanned at the end. */
int queue_scan(Queue *q);

/* A file to receive a message into. fd is the queue's and closed after the callback. error: -EDQUOT (queue full), -ENOSPC,
 * another. */
typedef void (*QueueOpened)(const char *id, int fd, int error, void *userdata);
int queue_open(Queue *q, QueueOpened opened, void *userdata);

/* Takes envelope over, always. The callback's error is that of queue_file_commit(). Committing twice is fine if the envelope is
 * the same (a caller whose link broke does not know): -EALREADY is returned, or 0 given to the callback; another envelope is
 * -EINVAL. -EBUSY: a commit of it is under way. */
typedef void (*QueueDone)(int error, void *userdata);
int queue_commit(Queue *q, const QueueId *id, Envelope *envelope, QueueDone done, void *userdata);
/* -ENOENT when no message of that id is being received. */
int queue_discard(Queue *q, const QueueId *id);

/* A message of our own. Takes envelope and text over, always. */
int queue_insert(Queue *q, char *text, size_t size, Envelope *envelope, QueueDone done, void *userdata);

/* Writes m's state as it is now, durably and soon; saves of one message never overtake each other. Trouble is told to
 * ops->trouble. */
void queue_save_state(Queue *q, QueueMessage *m);
/* The end of a message; its file goes soon. m may be used until ops->removed. */
void queue_remove(Queue *q, QueueMessage *m);
int queue_open_message(Queue *q, const QueueMessage *m);

QueueMessage *queue_find(Queue *q, const QueueId *id);
/* In the order of ids. Stops when each returns false. The index must not be changed meanwhile. */
void queue_foreach(Queue *q, bool (*each)(QueueMessage *m, void *userdata), void *userdata);
unsigned queue_count(const Queue *q, QueueMessageState status);
