/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether DNSSEC works here at all: a signed name must validate, one that is broken on purpose must not. What follows from two
 * answers, and when somebody has to know. Pure. */

#include <stdint.h>

#include "resolve.h"

typedef enum SelfTestVerdict {
    SELF_TEST_PENDING,     /* not done yet */
    SELF_TEST_OFF,         /* no names to test with that a trust anchor is above */
    SELF_TEST_WORKS,
    SELF_TEST_STRIPPED,    /* a signed name does not validate: on the way here signatures are lost, or forged answers come */
    SELF_TEST_INEFFECTIVE, /* a broken name is taken for one that needs no signature */
    SELF_TEST_NO_ANSWER,   /* nothing can be said: there is no network, or no server answers */
} SelfTestVerdict;
const char *self_test_to_string(SelfTestVerdict v);

typedef struct SelfTestFacts {
    bool ask_secure, ask_bogus; /* there is such a name */
    DnssecState secure, bogus;  /* what the answers were */
} SelfTestFacts;
SelfTestVerdict self_test_judge(const SelfTestFacts *f);

/* What is remembered from one test to the next. */
typedef struct SelfTestHistory {
    SelfTestVerdict last;
    bool alerted;        /* that it does not work, and it has not worked since */
    unsigned unanswered; /* tests in succession */
} SelfTestHistory;

typedef struct SelfTestStep {
    bool log;            /* it is news */
    bool alert;
    uint64_t again_usec; /* from now */
} SelfTestStep;
/* Takes verdict into history. A test without an answer is no news about DNSSEC: it neither alerts nor ends what was alerted. */
SelfTestStep self_test_step(SelfTestHistory *history, SelfTestVerdict verdict);

/* Lookups that fail are a reason to test before that, but not more often than this. */
#define SELF_TEST_SOONEST_USEC (5 * 60 * USEC_PER_SEC)
