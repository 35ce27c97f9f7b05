/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The trust anchors of TrustAnchorFile= as they are by now. With TrustAnchorUpdate=yes they follow their zones (RFC 5011): a probe
 * with a resolver of its own lets libunbound look at the zones' keys, and what comes of it is kept in the state directory.
 *
 * libunbound ends the process when it cannot write its files. So it gets copies in the runtime directory, which is memory, after a
 * look whether there is room; what it made of them is checked and stored here, and failing to do so costs a line in the journal. */

#include "anchor-file.h"
#include "dnsd-conf.h"
#include "resolver.h"

#define ANCHOR_ZONES_MAX 8

typedef struct AnchorZone {
    char *zone;     /* normal form */
    char *seed;     /* what TrustAnchorFile= says of it, a record a line */
    char *text;     /* what is known since then; NULL: nothing */
    AnchorFile *file; /* the same, read; NULL as well */
} AnchorZone;

/* The records of the seed, NULL-ended. */
int anchor_zone_seed(const AnchorZone *z, char ***ret);

typedef struct Anchors Anchors;

/* state, work: directories; NULL: zones are not followed, and what TrustAnchorFile= says holds. A state that is damaged is a warning
 * in report and counts as none, as does one that was made from another seed: whoever changes the file begins anew. */
int anchors_new(Anchors **ret, const DnsConfig *config, const char *state, const char *work, ConfReport *report);
Anchors *anchors_free(Anchors *a);
DEFINE_CLEANUP(Anchors, anchors_free);

/* The zones, all of the file. */
size_t anchors_zones(const Anchors *a);
const AnchorZone *anchors_zone(const Anchors *a, size_t i);
bool anchors_followed(const Anchors *a);

/* The records to trust now, for ResolverTrust; NULL-ended, storage is that of a, until the next anchors_take(). */
char *const *anchors_trusted(const Anchors *a);

/* Lays the working copies out and fills what a probe's resolver needs; storage is that of a. 0: zones are not followed, trust is
 * that of anchors_trusted(). Negative errno, with trust filled in the same way: there is no room for them. */
int anchors_begin(Anchors *a, ResolverTrust *ret);

/* old, new: of zone; old is NULL the first time. */
typedef void (*AnchorsChanged)(const char *zone, const AnchorFile *old, const AnchorFile *new, void *userdata);
/* Takes over what the probe left. changed is called for each zone that now has other keys, or keys in other states. A zone whose
 * copy is not as it should be stays as it was, with *ret_damaged its name. Returns whether other keys are trusted than before;
 * negative errno when it could not be stored, which is no reason not to use it. */
int anchors_take(Anchors *a, AnchorsChanged changed, void *userdata, bool *ret_trust_changed, const char **ret_damaged);
