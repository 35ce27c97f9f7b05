/* SPDX-License-Identifier: Apache-2.0 */

/* The generic cell rate algorithm: instead of a number of tokens, the time at which the bucket would be full again. No division a
 * request, no loss by rounding, one number of state. */

#include "token-bucket.h"

#include "cleanup.h"

void token_bucket_init(TokenBucket *b, uint64_t rate, uint64_t burst)
{
    *b = (TokenBucket) {.rate = MAX(rate, 1u), .burst = MAX(burst, 1u)};
}

uint64_t token_bucket_take(TokenBucket *b, uint64_t now_usec)
{
    uint64_t interval = MAX(USEC_PER_SEC / b->rate, 1u), tolerance = interval * (b->burst - 1);
    uint64_t full = MAX(b->next_usec, now_usec);

    b->next_usec = full + interval;
    return full - now_usec > tolerance ? full - now_usec - tolerance : 0;
}

bool token_bucket_try(TokenBucket *b, uint64_t now_usec)
{
    TokenBucket after = *b;

    if (token_bucket_take(&after, now_usec) > 0)
        return false;
    *b = after;
    return true;
}
