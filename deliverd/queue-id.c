/* SPDX-License-Identifier: Apache-2.0 */

/* Queue ids from a time and random bits. No clock and no randomness of its own, so that tests can say what comes out. */

#include "queue-id.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"

static const char alphabet[QUEUE_BUCKETS + 1] = "0123456789abcdefghijklmnopqrstuv";

#define HALF (QUEUE_ID_LENGTH / 2)

QueueId queue_id_make(uint64_t usec, uint64_t random40, unsigned bucket)
{
    /* Seconds first: usec * 128 would overflow in the year 6500, which is a bug all the same. */
    uint64_t time = usec / USEC_PER_SEC * 128 + usec % USEC_PER_SEC * 128 / USEC_PER_SEC;
    QueueId id = {};

    if (bucket < QUEUE_BUCKETS)
        random40 = (random40 & ~(uint64_t) (QUEUE_BUCKETS - 1)) | bucket;
    for (int i = HALF - 1; i >= 0; i--) {
        id.text[i] = alphabet[time % QUEUE_BUCKETS];
        id.text[HALF + i] = alphabet[random40 % QUEUE_BUCKETS];
        time /= QUEUE_BUCKETS;
        random40 /= QUEUE_BUCKETS;
    }
    return id;
}

bool queue_id_valid(const char *s)
{
    return strlen(s) == QUEUE_ID_LENGTH && strspn(s, alphabet) == QUEUE_ID_LENGTH;
}

int queue_id_parse(const char *s, QueueId *ret)
{
    if (!queue_id_valid(s))
        return -EINVAL;
    memcpy(ret->text, s, QUEUE_ID_LENGTH + 1);
    return 0;
}

char queue_id_bucket(const QueueId *id)
{
    return id->text[QUEUE_ID_LENGTH - 1];
}

char queue_bucket_char(unsigned bucket)
{
    return alphabet[bucket % QUEUE_BUCKETS];
}
