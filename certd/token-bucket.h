/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How fast one may ask. A bucket fills with rate tokens a second up to burst; each request takes one. When it is empty requests
 * are not refused but told how long to wait, each behind the one before. Pure: the caller brings the time. */

#include <stdbool.h>
#include <stdint.h>

typedef struct TokenBucket {
    uint64_t rate;  /* tokens a second, 1 to 1,000,000 */
    uint64_t burst; /* at least 1 */
    uint64_t next_usec; /* when it is full again, should nobody ask */
} TokenBucket;

/* A full bucket. */
void token_bucket_init(TokenBucket *b, uint64_t rate, uint64_t burst);

/* Takes a token. Returns how many µs after now_usec (monotonic, never falling) the request may be served; 0: at once. */
uint64_t token_bucket_take(TokenBucket *b, uint64_t now_usec);

/* Takes a token if there is one now. For what is dropped, not delayed, when it comes too fast: log lines. */
bool token_bucket_try(TokenBucket *b, uint64_t now_usec);
