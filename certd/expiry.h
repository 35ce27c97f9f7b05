/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When somebody is told that a certificate expires: 30, 14, 7, 3 and 1 days before, and when it has. Each once for each certificate,
 * over restarts, too; when several have passed at once, the last alone. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "alert.h"

typedef enum ExpiryStage {
    EXPIRY_FAR, /* more than 30 days */
    EXPIRY_30_DAYS,
    EXPIRY_14_DAYS,
    EXPIRY_7_DAYS,
    EXPIRY_3_DAYS,
    EXPIRY_1_DAY,
    EXPIRY_PAST,
    _EXPIRY_STAGE_MAX,
} ExpiryStage;

typedef enum ExpiryKind {
    EXPIRY_UNUSED,    /* a certificate that nothing uses, or an authority of the host's list: an entry in the journal is enough */
    EXPIRY_AUTHORITY, /* of an authority that an administrator has added, and peers are verified by */
    EXPIRY_USED,
} ExpiryKind;

/* The last that has been reached. Times in microseconds since the epoch. */
ExpiryStage expiry_stage(uint64_t not_after_usec, uint64_t now_usec);
/* When the next one is reached; UINT64_MAX: never. */
uint64_t expiry_next_usec(uint64_t not_after_usec, uint64_t now_usec);
/* Days before the expiry; 0 of EXPIRY_PAST. Not of EXPIRY_FAR. */
unsigned expiry_stage_days(ExpiryStage s);
/* -EINVAL */
int expiry_stage_from_days(unsigned days, ExpiryStage *ret);

/* What was told of a certificate. */
typedef struct ExpiryTold {
    ExpiryStage stage; /* EXPIRY_FAR: nothing */
    bool used;         /* it was in use then */
} ExpiryTold;

typedef struct ExpiryDecision {
    ExpiryTold told; /* to be remembered */
    bool log, alert;
    AlertSeverity severity;
} ExpiryDecision;

/* A certificate that is not valid yet, or whose time is far again, had a wrong clock: then nothing is told, but what was is not
 * forgotten while it is not valid yet. One that comes into use is told of anew. */
ExpiryDecision expiry_decide(ExpiryKind kind, uint64_t not_before_usec, uint64_t not_after_usec, uint64_t now_usec, ExpiryTold told);
