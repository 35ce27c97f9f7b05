/* SPDX-License-Identifier: Apache-2.0 */

/* The arithmetic of not mailing the same thing over and over. It holds no clock, no timer and no alert. */

#include "suppress.h"

#include <limits.h>

static void begin_interval(Suppress *s, uint64_t interval_usec, uint64_t now_usec)
{
    s->interval_usec = interval_usec;
    s->due_usec = now_usec + interval_usec;
    s->held = 0;
}

static uint64_t next_interval(const SuppressConfig *config, uint64_t last_usec)
{
    /* maximum is bounded by the configuration, so this cannot overflow. */
    return MIN(config->initial_usec + 2 * MIN(last_usec, config->maximum_usec), MAX(config->maximum_usec, config->initial_usec));
}

SuppressVerdict suppress_raise(Suppress *s, const SuppressConfig *config, uint64_t now_usec)
{
    if (config->initial_usec == 0)
        return SUPPRESS_SEND;
    if (s->interval_usec == 0) {
        begin_interval(s, config->initial_usec, now_usec);
        return SUPPRESS_SEND;
    }
    if (s->held < UINT_MAX)
        s->held++;
    return SUPPRESS_HOLD;
}

SuppressVerdict suppress_due(Suppress *s, const SuppressConfig *config, uint64_t now_usec, unsigned *ret_count)
{
    if (s->held == 0) {
        *s = (Suppress) {0};
        return SUPPRESS_FORGET;
    }
    *ret_count = s->held;
    if (config->initial_usec == 0) /* the setting was changed meanwhile */
        *s = (Suppress) {0};
    else
        begin_interval(s, next_interval(config, s->interval_usec), now_usec);
    return SUPPRESS_SEND;
}
