/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All lookups in flight. Those for the same name and type are one lookup with several who wait for it; their number has a
 * limit. */

#include "lookup.h"

typedef struct Lookups Lookups;
typedef struct Waiter Waiter;

typedef struct LookupStatistics {
    uint64_t asked;                                 /* questions of callers */
    uint64_t shared;                                /* of these joined to a lookup in flight */
    uint64_t refused;                               /* of these refused because too many were pending */
    uint64_t answered[DNSSEC_ERROR + 1];            /* lookups ended, by state */
} LookupStatistics;

int lookups_new(Lookups **ret, sd_event *event);
/* Whoever still waits is not called any more. */
Lookups *lookups_free(Lookups *t);
DEFINE_CLEANUP(Lookups, lookups_free);

/* From now on lookups go to resolver; those in flight end on the old one and are not joined any more. */
void lookups_configure(Lookups *t, Resolver *resolver, unsigned pending_max, uint64_t timeout_usec);

/* Called for each lookup that ends bogus or without an answer. */
typedef void (*LookupsFailed)(void *userdata);
void lookups_set_failed(Lookups *t, LookupsFailed failed, void *userdata);

/* answer dies with the callback. */
typedef void (*LookupsDone)(const ResolveAnswer *answer, void *userdata);
/* -ENOBUFS: pending_max lookups are in flight. *ret dies with done. */
int lookups_ask(Lookups *t, Waiter **ret, const char *name, uint16_t type, LookupsDone done, void *userdata);
/* Stops waiting; the lookup ends with its last waiter. */
Waiter *waiter_cancel(Waiter *w);
DEFINE_CLEANUP(Waiter, waiter_cancel);

unsigned lookups_pending(const Lookups *t);
const LookupStatistics *lookups_statistics(const Lookups *t);
