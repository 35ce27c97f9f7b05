/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of queued messages: 16 characters of "0-9a-v" (base32hex of RFC 4648, section 7, in lower case), eight of time in units
 * of 1/128 s, eight random. They sort by age, never repeat, and are safe as file names, in SMTP replies and on a command line.
 * Pure. */

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_ID_LENGTH 16
/* The last character names the subdirectory of the queue. */
#define QUEUE_BUCKETS 32

typedef struct QueueId {
    char text[QUEUE_ID_LENGTH + 1];
} QueueId;

/* random40: forty random bits. bucket: replaces the last five of them, so that a batch of files can share a directory;
 * QUEUE_BUCKETS: keep the random ones. */
QueueId queue_id_make(uint64_t usec, uint64_t random40, unsigned bucket);

/* Exactly as queue_id_make() writes them; for names from the bus and from readdir(). */
bool queue_id_valid(const char *s);
/* -EINVAL unless valid. */
int queue_id_parse(const char *s, QueueId *ret);

/* "X" of "X/ID". */
char queue_id_bucket(const QueueId *id);
char queue_bucket_char(unsigned bucket);
