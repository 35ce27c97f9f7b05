/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MTA-STS (RFC 8461): what a domain says of TLS at its mail hosts, in a TXT record and in a policy that HTTPS authenticates, and
 * what follows from it. Pure; the numbers in test-sts-policy.c are the rows of the delivery matrix. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "resolve.h"

/* A policy of more is not read (section 3.3 leaves the limit to us). */
#define STS_POLICY_MAX (64 * 1024)
#define STS_MX_MAX 128
/* Section 3.1: 1 to 32 letters and digits. */
#define STS_ID_MAX 32
/* Section 3.2: about a year, in seconds. */
#define STS_MAX_AGE_MAX 31557600
/* The same id is not fetched again so soon after it has failed (section 3.3). */
#define STS_RETRY_USEC (5 * 60 * USEC_PER_SEC)
/* A policy in use is renewed so often, so that who can block us from it has to do so all the time (section 10.2). */
#define STS_REFRESH_USEC (24 * 3600 * USEC_PER_SEC)
/* After a renewal that failed; sooner for policies that expire soon. */
#define STS_REFRESH_RETRY_USEC (3600 * USEC_PER_SEC)

typedef enum StsMode {
    STS_MODE_NONE,
    STS_MODE_TESTING, /* failures are reported, and mail is delivered */
    STS_MODE_ENFORCE,
} StsMode;
const char *sts_mode_to_string(StsMode m);
int sts_mode_from_string(const char *s, StsMode *ret); /* -EINVAL */

typedef struct StsPolicy {
    unsigned n_ref; /* cache and deliveries share one, which nobody changes */
    StsMode mode;
    uint32_t max_age; /* seconds */
    char **mx;        /* patterns: "mx.example.com" or "*.example.com", normalized */
    size_t n_mx;
} StsPolicy;

StsPolicy *sts_policy_ref(StsPolicy *p);
StsPolicy *sts_policy_unref(StsPolicy *p);
DEFINE_CLEANUP(StsPolicy, sts_policy_unref);

/* The body of the policy file; one reference. -EBADMSG with *reterr_reason (static), -ENOMEM. */
int sts_policy_parse(const char *text, size_t size, StsPolicy **ret, const char **reterr_reason);

/* A policy that another process has read: every limit and the normal form are checked again. -EBADMSG, -ENOMEM. */
int sts_policy_new(StsMode mode, uint32_t max_age, const char *const *mx, size_t n_mx, StsPolicy **ret);

/* Section 4.1: host is one of the policy's. host: normalized, and no address. */
bool sts_policy_names(const StsPolicy *p, const char *host);

/* ---- the TXT record at _mta-sts.DOMAIN ---- */

typedef enum StsRecord {
    STS_RECORD_NONE,
    STS_RECORD_FOUND,
    STS_RECORD_UNKNOWN, /* it could not be looked up */
} StsRecord;

/* id: room for STS_ID_MAX + 1 bytes; "" unless found. */
StsRecord sts_record_read(const ResolveAnswer *txt, char *ret_id);

/* ---- the answer ---- */

/* What a delivery is told of a domain. */
typedef struct StsAnswer {
    bool later;         /* it could not be told: hosts that DANE does not decide about must wait, … */
    const char *reason; /* … because of this, … */
    bool own_fault;     /* … which is no fault of the domain's */
    bool unfetched;     /* there is a policy, which could not be fetched at this time, and none is known */
    StsPolicy *policy;  /* unexpired, of any mode; NULL: none */
} StsAnswer;

typedef struct StsQuery StsQuery; /* whatever answers makes of it */
/* answer and its policy are the caller's: whoever keeps the policy takes a reference. */
typedef void (*StsDone)(const StsAnswer *answer, void *userdata);

/* ---- what follows ---- */

typedef struct StsFacts {
    StsRecord record;
    const char *id;
    bool cached; /* there is a policy in the cache, and of it: */
    const char *cached_id;
    StsMode cached_mode;
    uint64_t fetched_usec; /* wall clock */
    uint32_t max_age;
    const char *failed_id; /* the last fetch that failed, NULL: none */
    uint64_t failed_usec;
    uint64_t now_usec;
} StsFacts;

/* With which policy mail goes to the domain at this time. */
typedef enum StsUse {
    STS_USE_NONE,
    STS_USE_CACHED,
    STS_USE_FETCHED, /* fetch it first; if that fails, what is cached and has not expired, else none */
    STS_USE_LATER,   /* it could not be told whether there is one: mail waits */
} StsUse;

typedef struct StsVerdict {
    StsUse use;
    bool refresh; /* fetch it anew beside: mail does not wait for that */
} StsVerdict;

StsVerdict sts_decide(const StsFacts *facts);
bool sts_unexpired(const StsFacts *facts);
/* The last fetch failed, whatever id it was of, and so short a time ago that it is not repeated yet. */
bool sts_failed_just_now(const StsFacts *facts);
/* When a cached policy is to be renewed though no mail asks for it; UINT64_MAX: never, there is nothing to protect. domain
 * spreads policies that were fetched together over time. */
uint64_t sts_refresh_due(const StsFacts *facts, const char *domain);
