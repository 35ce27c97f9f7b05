/* SPDX-License-Identifier: Apache-2.0 */

/* The verdict of the self-test and what follows from it. It must never ask anybody, and never take silence for an attack: a host
 * that starts before its network would alert each time. */

#include "self-test.h"

#define AGAIN_USEC (60 * 60 * USEC_PER_SEC)
#define AGAIN_BROKEN_USEC SELF_TEST_SOONEST_USEC
#define AGAIN_UNANSWERED_USEC (60 * USEC_PER_SEC) /* doubled each time */
#define DOUBLINGS_MAX 6

const char *self_test_to_string(SelfTestVerdict v)
{
    static const char *const names[] = {
        [SELF_TEST_PENDING] = "pending",
        [SELF_TEST_OFF] = "off",
        [SELF_TEST_WORKS] = "works",
        [SELF_TEST_STRIPPED] = "stripped",
        [SELF_TEST_INEFFECTIVE] = "ineffective",
        [SELF_TEST_NO_ANSWER] = "no-answer",
    };

    return names[v];
}

SelfTestVerdict self_test_judge(const SelfTestFacts *f)
{
    /* Where no trust anchor is above a name, its answers say nothing of DNSSEC. */
    const bool ask_secure = f->ask_secure && f->secure != DNSSEC_INDETERMINATE,
               ask_bogus = f->ask_bogus && f->bogus != DNSSEC_INDETERMINATE;

    if (!ask_secure && !ask_bogus)
        return SELF_TEST_OFF;
    /* Bogus says that signatures are needed and missing; insecure, that somebody got away with saying they are not needed. */
    if (ask_secure && f->secure != DNSSEC_SECURE && f->secure != DNSSEC_ERROR)
        return SELF_TEST_STRIPPED;
    if (ask_bogus && f->bogus == DNSSEC_INSECURE)
        return SELF_TEST_INEFFECTIVE;
    /* A name that should be broken and is secure was repaired: that says something about the name. */
    if (ask_secure && f->secure == DNSSEC_SECURE)
        return SELF_TEST_WORKS;
    return !ask_secure && f->bogus != DNSSEC_ERROR ? SELF_TEST_WORKS : SELF_TEST_NO_ANSWER;
}

SelfTestStep self_test_step(SelfTestHistory *history, SelfTestVerdict verdict)
{
    const bool broken = verdict == SELF_TEST_STRIPPED || verdict == SELF_TEST_INEFFECTIVE;
    SelfTestStep s = {.log = verdict != history->last && verdict != SELF_TEST_OFF, .again_usec = AGAIN_USEC};

    if (broken) {
        s.alert = !history->alerted;
        s.again_usec = AGAIN_BROKEN_USEC;
        history->alerted = true;
    } else if (verdict == SELF_TEST_WORKS)
        history->alerted = false;
    if (verdict == SELF_TEST_NO_ANSWER) {
        s.again_usec = MIN(AGAIN_UNANSWERED_USEC << MIN(history->unanswered, (unsigned) DOUBLINGS_MAX), AGAIN_USEC);
        history->unanswered++;
    } else
        history->unanswered = 0;
    history->last = verdict;
    return s;
}
