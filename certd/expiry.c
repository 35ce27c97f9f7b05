/* SPDX-License-Identifier: Apache-2.0 */

/* The thresholds, and what follows from having reached one. It must never tell the same twice. */

#include "expiry.h"

#define USEC_PER_DAY (24 * 3600 * USEC_PER_SEC)

static const unsigned days[_EXPIRY_STAGE_MAX] = {
    [EXPIRY_30_DAYS] = 30,
    [EXPIRY_14_DAYS] = 14,
    [EXPIRY_7_DAYS] = 7,
    [EXPIRY_3_DAYS] = 3,
    [EXPIRY_1_DAY] = 1,
    [EXPIRY_PAST] = 0,
};

/* A certificate is good until the end of its last second. */
static uint64_t stage_begins(ExpiryStage s, uint64_t not_after_usec)
{
    const uint64_t before = days[s] * USEC_PER_DAY;

    if (s == EXPIRY_PAST)
        return not_after_usec + 1;
    return not_after_usec > before ? not_after_usec - before : 0;
}

ExpiryStage expiry_stage(uint64_t not_after_usec, uint64_t now_usec)
{
    ExpiryStage s = EXPIRY_FAR;

    while (s + 1 < _EXPIRY_STAGE_MAX && now_usec >= stage_begins(s + 1, not_after_usec))
        s++;
    return s;
}

uint64_t expiry_next_usec(uint64_t not_after_usec, uint64_t now_usec)
{
    const ExpiryStage s = expiry_stage(not_after_usec, now_usec);

    return s == EXPIRY_PAST ? UINT64_MAX : stage_begins(s + 1, not_after_usec);
}

unsigned expiry_stage_days(ExpiryStage s)
{
    return days[s];
}

int expiry_stage_from_days(unsigned n, ExpiryStage *ret)
{
    for (ExpiryStage s = EXPIRY_30_DAYS; s < _EXPIRY_STAGE_MAX; s++)
        if (days[s] == n) {
            *ret = s;
            return 0;
        }
    return -EINVAL;
}

ExpiryDecision expiry_decide(ExpiryKind kind, uint64_t not_before_usec, uint64_t not_after_usec, uint64_t now_usec, ExpiryTold told)
{
    static const struct {
        bool alert;
        AlertSeverity before, after;
    } table[] = {
        [EXPIRY_UNUSED] = {false, ALERT_INFO, ALERT_INFO},
        [EXPIRY_AUTHORITY] = {true, ALERT_INFO, ALERT_WARNING},
        [EXPIRY_USED] = {true, ALERT_WARNING, ALERT_CRITICAL},
    };
    const ExpiryStage stage = expiry_stage(not_after_usec, now_usec);
    const bool used = kind != EXPIRY_UNUSED;
    ExpiryDecision d = {.told = told};

    if (now_usec < not_before_usec)
        return d;
    d.log = stage != EXPIRY_FAR && (stage > told.stage || (used && !told.used));
    d.alert = d.log && table[kind].alert;
    d.severity = stage == EXPIRY_PAST ? table[kind].after : table[kind].before;
    /* That it was in use once stays: being assigned to and fro tells nothing new. */
    d.told = (ExpiryTold) {.stage = stage, .used = stage != EXPIRY_FAR && (used || (told.used && stage <= told.stage))};
    return d;
}
