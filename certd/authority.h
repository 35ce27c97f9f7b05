/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The certificate of an authority, and lists of them as text: what certd needs to know of an entry, and how files are read. Pure;
 * any thread. */

#include <openssl/x509.h>
#include <stdint.h>

#include "authorities-client.h"
#include "cleanup.h"

/* "0A:1B:…" of SHA-256, with the NUL. */
#define AUTHORITY_FINGERPRINT_SIZE (3 * 32)
#define AUTHORITY_NAME_MAX 128
#define AUTHORITY_REASON_MAX 512

typedef struct Authority {
    char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
    char name[AUTHORITY_NAME_MAX]; /* for people: the common name, or what else the subject has; printable */
    char *subject;                 /* RFC 2253, ASCII */
    char *pem;
    uint64_t not_before_usec, not_after_usec; /* since the epoch */
    bool enabled;
} Authority;

/* Enabled. -EBADMSG, -ENOMEM. */
int authority_new(Authority **ret, X509 *x);
Authority *authority_free(Authority *a);
DEFINE_CLEANUP(Authority, authority_free);

typedef struct AuthorityList {
    Authority **items;
    size_t n;
} AuthorityList;

void authority_list_done(AuthorityList *l);
/* Takes a over. -EEXIST (it is there; a is still the caller's), -E2BIG beyond AUTHORITIES_LIST_MAX, -ENOMEM. */
int authority_list_add(AuthorityList *l, Authority *a);
/* By name, then fingerprint: an order that stays. */
void authority_list_sort(AuthorityList *l);
/* Of all PEM texts together, in bytes. */
size_t authority_list_size(const AuthorityList *l);
Authority *authority_list_find(const AuthorityList *l, const char *fingerprint);

/* What somebody typed: hexadecimal digits in any case, with or without colons, at least AUTHORITY_PREFIX_MIN of them. false: it
 * is none. ret: as in Authority, maybe its first part only. */
#define AUTHORITY_PREFIX_MIN 8
bool authority_fingerprint_parse(const char *s, char ret[AUTHORITY_FINGERPRINT_SIZE]);

typedef enum AuthorityParse {
    AUTHORITY_PARSE_STRICT,  /* everything in it is an authority's certificate (basicConstraints CA:TRUE), or it is refused */
    AUTHORITY_PARSE_LENIENT, /* what cannot be used is passed over and counted */
} AuthorityParse;

typedef struct AuthorityParsed {
    unsigned duplicates, passed_over;
} AuthorityParsed;

/* Appends the certificates of a PEM text to l, which is as before on failure, and *reterr_reason says what is wrong in which
 * line. Text outside of the certificates is passed over (RFC 7468 section 2), unless it looks like a boundary that is mangled.
 * -EBADMSG, -ENODATA (strict, and none in it), -E2BIG, -EFBIG, -ENOMEM. */
int authority_parse(const char *text, size_t size, AuthorityParse mode, AuthorityList *l, AuthorityParsed *ret,
        char reterr_reason[AUTHORITY_REASON_MAX]);
