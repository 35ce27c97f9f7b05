/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The MTA-STS policies that deliverd knows, and the questions of deliveries: TXT record, cache, fetch, answer. What follows from
 * what is decided by sts-policy.h; the world is reached through StsOps, so that tests can be the world. Deliveries to one domain
 * share its lookup and its fetch. */

#include <systemd/sd-event.h>

#include "resolve.h"
#include "sts-policy.h"
#include "sts-store.h"

/* Domains whose policy is kept. Beyond, those that expired go, and then those that no mail has asked for longest. */
#define STS_POLICIES_MAX 10000
/* With those that are only being asked about, or whose policy could not be fetched just now. */
#define STS_DOMAINS_MAX 16384
#define STS_FETCHES_MAX 32
/* Domains that wait for one of these. */
#define STS_WAITING_MAX 1024
/* Started at once, of those whose time has come. */
#define STS_REFRESHES_MAX 8
/* So often it is looked for what has expired, and what is to be renewed. */
#define STS_SWEEP_USEC (60 * USEC_PER_SEC)

typedef struct Sts Sts;

typedef enum StsFetchOutcome {
    STS_FETCH_DONE,
    STS_FETCH_FAILED,     /* there is no valid policy at the policy host, or it cannot be reached */
    STS_FETCH_IMPOSSIBLE, /* it is our own fault; that says nothing of the domain */
} StsFetchOutcome;

typedef struct StsFetchResult {
    StsFetchOutcome outcome;
    StsPolicy *policy;  /* STS_FETCH_DONE: the caller's, as are */
    const char *reason; /* the others */
} StsFetchResult;

typedef struct StsFetch StsFetch; /* whatever ops->fetch makes of it */
typedef void (*StsFetchDone)(const StsFetchResult *result, void *userdata);

/* Something to tell people. */
typedef struct StsNews {
    const char *domain, *id;
    const StsPolicy *policy; /* fetched, or, after a failure, what holds on; NULL: none does */
    uint64_t expires_usec;   /* of policy */
    const char *reason;      /* NULL: it was fetched */
    bool own_fault;          /* with reason: it was not the domain's */
    bool changed;            /* without: it is another than before */
} StsNews;

typedef struct StsOps {
    /* Each ends with done, from the event loop, or is cancelled. fetch: -EAGAIN if it cannot be now. */
    int (*resolve)(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata);
    void (*resolve_cancel)(ResolveQuery *q, void *userdata);
    int (*fetch)(StsFetch **ret, const char *domain, StsFetchDone done, void *done_userdata, void *userdata);
    void (*fetch_cancel)(StsFetch *f, void *userdata);
    uint64_t (*now)(void *userdata); /* CLOCK_REALTIME */
    void (*news)(const StsNews *news, void *userdata);
} StsOps;

/* store: where policies are kept, or NULL; it must outlive. */
int sts_new(Sts **ret, sd_event *event, StsStore *store, const StsOps *ops, void *userdata);
Sts *sts_free(Sts *s); /* all queries must have been cancelled or have ended */
DEFINE_CLEANUP(Sts, sts_free);

/* One that was stored; to be called before anything else. Takes it. */
int sts_add(Sts *s, const char *domain, StsCached *cached);

/* The policy for mail to a domain (normalized) at this time. done is called from the event loop, unless it is cancelled. */
int sts_query(Sts *s, StsQuery **ret, const char *domain, StsDone done, void *userdata);
void sts_query_cancel(StsQuery *q);

/* Fetches the policy anew, whatever is known. reason NULL: that worked. */
typedef void (*StsRefreshed)(const char *reason, void *userdata);
int sts_refresh(Sts *s, const char *domain, StsRefreshed done, void *userdata);

/* What the timer does. */
void sts_sweep(Sts *s);

/* ---- for people ---- */
typedef struct StsInfo {
    const char *domain;
    const StsCached *cached;
    uint64_t expires_usec;
    const char *failure; /* of the last fetch, when it was tried later than fetched; "" otherwise */
} StsInfo;

/* Calls each for all that have a policy, by name, from the first behind after; until it returns false. */
void sts_foreach(Sts *s, const char *after, bool (*each)(const StsInfo *info, void *userdata), void *userdata);
bool sts_find(Sts *s, const char *domain, StsInfo *ret);
