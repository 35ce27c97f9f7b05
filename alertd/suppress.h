/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How often the same alert is mailed. The first at once; then at most one mail in an interval, which starts with initial_usec and
 * grows (next = initial + 2 × last) up to maximum_usec; it tells how many were held back. An interval in which nothing happened
 * ends the matter. Pure; times are of any clock, in µs. */

#include <stdint.h>

#include "cleanup.h"

typedef struct SuppressConfig {
    uint64_t initial_usec; /* 0: nothing is ever held back */
    uint64_t maximum_usec;
} SuppressConfig;

typedef struct Suppress { /* all zero: a matter never heard of */
    uint64_t interval_usec;
    uint64_t due_usec; /* when the interval ends */
    unsigned held;     /* alerts held back in it */
} Suppress;

typedef enum SuppressVerdict {
    SUPPRESS_SEND,   /* mail it now */
    SUPPRESS_HOLD,   /* count it; suppress_due() decides at due_usec */
    SUPPRESS_FORGET, /* (of suppress_due() only) nothing was held back: the next alert is a first one again */
} SuppressVerdict;

/* An alert was raised at now. */
SuppressVerdict suppress_raise(Suppress *s, const SuppressConfig *config, uint64_t now_usec);

/* The interval ended. SUPPRESS_SEND: *ret_count alerts were held back and are to be mailed as one; a longer interval begins. */
SuppressVerdict suppress_due(Suppress *s, const SuppressConfig *config, uint64_t now_usec, unsigned *ret_count);
