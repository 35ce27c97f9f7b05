/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libunbound on the event loop: one context, validating on its own, its work done in a thread of the library. A question here is
 * a single one to libunbound; a Resolve with all its hops is lookup.h's. */

#include <systemd/sd-event.h>

#include "dnsd-conf.h"
#include "resolve.h"

typedef struct Resolver Resolver;
typedef struct ResolverQuery ResolverQuery;

/* What is trusted besides the anchors of the configuration's TrustAnchor=. */
typedef struct ResolverTrust {
    char *const *anchors; /* zone-file lines, NULL-ended; NULL: none */
    /* Files of anchors that libunbound follows by RFC 5011 and replaces as it does, one zone each, NULL-ended; NULL: none. It ends
     * the process when it cannot write one. */
    char *const *followed_files;
    char *const *followed_zones; /* of the files, in normal form */
    uint64_t hold_down_usec;     /* before a new key is trusted */
} ResolverTrust;

/* Makes a context and has libunbound check its settings. On -EINVAL *ret_reason says what it did not like (malloc'ed). event
 * NULL: only to check a configuration, never to ask. */
int resolver_new(Resolver **ret, sd_event *event, const DnsConfig *config, const ResolverTrust *trust, char **ret_reason);
/* Shared by the lookups that use it: a reload makes a new one and the old one goes with its last lookup. */
Resolver *resolver_ref(Resolver *r);
Resolver *resolver_unref(Resolver *r);
DEFINE_CLEANUP(Resolver, resolver_unref);

/* answer is the callee's. state error or bogus: without records, with the reason. Always from the event loop, never from inside
 * resolver_ask(). */
typedef void (*ResolverDone)(ResolveAnswer *answer, void *userdata);
/* name in normal form, type supported. *ret dies with done. The answer's hops all have the state of the whole: libunbound gives
 * no other. */
int resolver_ask(Resolver *r, ResolverQuery **ret, const char *name, uint16_t type, ResolverDone done, void *userdata);
ResolverQuery *resolver_cancel(ResolverQuery *q);
DEFINE_CLEANUP(ResolverQuery, resolver_cancel);
