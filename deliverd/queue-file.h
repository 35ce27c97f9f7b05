/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of the queue: what is done to one of them, step by step, blocking. queue.c calls these from threads; tests and crash
 * tests call them directly.
 *
 * Below the queue's directory: X/ID the message and its envelope, X/ID.state what became of it, X/ID.new a state being written,
 * X/ID.damaged a committed file whose end does not make sense (kept for an administrator). Mode 0600: being received, the bytes
 * are a client's; 0400: committed. dir_fd is the queue's directory everywhere. */

#include "envelope.h"
#include "queue-id.h"

/* Makes the subdirectories, durably. */
int queue_dir_prepare(int dir_fd);
int queue_dir_sync(int dir_fd, char bucket);

/* A new empty file open for reading and writing; durable only after queue_dir_sync(). -EEXIST. */
int queue_file_create(int dir_fd, const QueueId *id);

/* Makes a received message durable with its envelope: proves that nobody has it open for writing any more, appends, protects,
 * syncs. Returns 0 and the message's size; -ENOENT: no such file; -EALREADY: it is committed; -ETXTBSY: somebody can still write;
 * -ENODATA: it is empty; -ENOSPC …: not committed, and the file is as before; -EIO: neither durable nor ever to be, and removed.
 * *ret_copied: the file system has no leases, so the message was copied to be sure. */
int queue_file_commit(int dir_fd, const QueueId *id, const Envelope *envelope, uint64_t *ret_size, bool *ret_copied);

/* A message of our own, in one go. The same durability. */
int queue_file_insert(int dir_fd, const QueueId *id, const void *text, size_t size, const Envelope *envelope);

typedef struct QueueFile {
    Envelope *envelope;
    EnvelopeState *state;
    uint64_t size;      /* of the message */
    bool state_damaged; /* there was a state, but it could not be read: everything is pending */
} QueueFile;
void queue_file_clear(QueueFile *f);

/* Reads a committed file and its state. -ENOENT; -EAGAIN: not committed (*ret_mtime_usec is its last change); -EBADMSG:
 * damaged. */
int queue_file_load(int dir_fd, const QueueId *id, QueueFile *ret, uint64_t *ret_mtime_usec);

/* Nobody has the file open for writing (0), somebody has (-ETXTBSY), -EOPNOTSUPP: the file system cannot tell. */
int queue_file_unused(int dir_fd, const QueueId *id);

/* Read-only, for a worker. */
int queue_file_open(int dir_fd, const QueueId *id);
int queue_file_write_state(int dir_fd, const QueueId *id, const char *text, size_t size);
/* Message first, then its state: a crash between leaves a stray state, never a message without one. */
int queue_file_remove(int dir_fd, const QueueId *id);
int queue_file_set_aside(int dir_fd, const QueueId *id);
