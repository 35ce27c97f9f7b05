/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One Resolve with all its hops: the question itself, and where the answer is not secure as a whole, a question for each hop, so
 * that whoever decides knows which part of the way can be trusted (dane: a secure alias to an insecure host still has a name to
 * authenticate). */

#include <systemd/sd-event.h>

#include "resolver.h"

typedef struct Lookup Lookup;

/* answer is the lookup's and dies with it; the callee may free the lookup. */
typedef void (*LookupDone)(Lookup *l, const ResolveAnswer *answer, void *userdata);

/* name in normal form, type supported. After timeout_usec it ends with DNSSEC_ERROR. done is never called from inside. */
int lookup_new(Lookup **ret, sd_event *event, Resolver *resolver, const char *name, uint16_t type, uint64_t timeout_usec,
        LookupDone done, void *userdata);
Lookup *lookup_free(Lookup *l);
DEFINE_CLEANUP(Lookup, lookup_free);
