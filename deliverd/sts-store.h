/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MTA-STS policies on disk, a file for each domain, so that they outlive a restart: who can block us from a policy host must not
 * be able to make us forget what it said (RFC 8461, section 10.2). A file is the policy as it was published, behind lines that
 * say when it was fetched:
 *
 *     domain: example.com
 *     id: 20260831085700
 *     fetched: 2026-08-31T08:57:12Z
 *     version: STSv1
 *     mode: enforce
 *     max_age: 604800
 *     mx: *.example.com
 *
 * and perhaps failed-id: and failed:, of the last fetch that failed. */

#include <stdint.h>

#include "jobs.h"
#include "sts-policy.h"

/* A policy of the cache. */
typedef struct StsCached {
    StsPolicy *policy; /* a reference */
    char id[STS_ID_MAX + 1];
    uint64_t fetched_usec;           /* CLOCK_REALTIME, in whole seconds on disk */
    char failed_id[STS_ID_MAX + 1];  /* of the last fetch that failed; "" also where no id was known */
    uint64_t failed_usec;            /* 0: none has */
} StsCached;
void sts_cached_done(StsCached *c); /* what is in it */

/* The content of a file, and back. Pure. -EBADMSG: it is none of domain. */
int sts_cached_to_text(const StsCached *c, const char *domain, char **ret);
int sts_cached_parse(const char *text, const char *domain, StsCached *ret);

typedef struct StsStore StsStore;

typedef struct StsStoreOps {
    /* One that was found. Takes what is in cached. */
    int (*found)(const char *domain, StsCached *cached, void *userdata);
    /* name NULL: the directory as a whole. Files that cannot be used are removed after this. */
    void (*trouble)(const char *name, int error, void *userdata);
} StsStoreOps;

/* Makes the directory "sts" in the state directory, if there is none. Writing is done by jobs, which must be freed before the
 * store. */
int sts_store_new(StsStore **ret, Jobs *jobs, const char *state_directory, const StsStoreOps *ops, void *userdata);
StsStore *sts_store_free(StsStore *s); /* writes what is not written yet */
DEFINE_CLEANUP(StsStore, sts_store_free);

/* At start, before the others; blocks. */
int sts_store_load(StsStore *s);

/* The last of several for a domain counts. After an error, which is told, what was there before is still there. */
int sts_store_put(StsStore *s, const char *domain, const StsCached *cached);
int sts_store_remove(StsStore *s, const char *domain);
