/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The file in which libunbound keeps the trust anchors of a zone that it follows by RFC 5011: each key with its state. Pure. */

#include <stdint.h>

#include "cleanup.h"

#define ANCHOR_KEYS_MAX 16
#define ANCHOR_FILE_MAX ((size_t) 64 * 1024)

/* RFC 5011, section 4.2; numbered as in the file. */
typedef enum AnchorState {
    ANCHOR_PENDING = 1, /* seen, not trusted before its hold-down is over */
    ANCHOR_VALID,
    ANCHOR_MISSING, /* trusted, but not in the zone any more */
    ANCHOR_REVOKED,
} AnchorState;
const char *anchor_state_to_string(AnchorState s);

typedef struct AnchorKey {
    char *record; /* zone-file line, without comments */
    unsigned tag;
    AnchorState state;
    uint64_t since_usec; /* of the state, since 1970; 0: unknown */
} AnchorKey;

typedef struct AnchorFile {
    AnchorKey keys[ANCHOR_KEYS_MAX]; /* sorted by record */
    size_t n_keys;
    uint64_t success_usec; /* when the zone's keys were last seen and verified; 0: never */
} AnchorFile;

/* -EBADMSG: it is not such a file, is of another zone than zone (normal form), or leaves no key to trust: a zone whose keys were
 * all revoked would count as unsigned. */
int anchor_file_parse(const char *text, const char *zone, AnchorFile **ret);
AnchorFile *anchor_file_free(AnchorFile *f);
DEFINE_CLEANUP(AnchorFile, anchor_file_free);

/* The key tag of a DS or DNSKEY record in zone-file form (RFC 4034, appendix B; not for algorithm 1). -EBADMSG. */
int anchor_record_tag(const char *record, unsigned *ret);

bool anchor_key_trusted(const AnchorKey *k);
/* Whether both trust the same keys. NULL: none. */
bool anchor_file_same_trust(const AnchorFile *a, const AnchorFile *b);
