/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two lists of authorities with what is enabled of them, in memory, and the text that keeps it. Pure; any thread.
 *
 * An authority is trusted if it is enabled in a list that is enabled. What is disabled in the system list is remembered by its
 * fingerprint, so that it stays disabled when the host's file loses it and has it again. */

#include "authority.h"
#include "cleanup.h"

typedef enum AuthorityListId {
    AUTHORITY_LIST_SYSTEM, /* the host's; read-only */
    AUTHORITY_LIST_CUSTOM,
    _AUTHORITY_LIST_MAX,
} AuthorityListId;
/* "system", "custom" */
const char *authority_list_to_string(AuthorityListId id);
/* -EINVAL for anything else. */
int authority_list_from_string(const char *s, AuthorityListId *ret);

typedef struct AuthoritySetList {
    bool enabled;
    AuthorityList authorities; /* sorted */
    char (*disabled)[AUTHORITY_FINGERPRINT_SIZE];
    size_t n_disabled; /* at most AUTHORITIES_LIST_MAX */
} AuthoritySetList;

typedef struct AuthoritySet {
    AuthoritySetList lists[_AUTHORITY_LIST_MAX];
} AuthoritySet;

/* Both lists empty and enabled. */
int authority_set_new(AuthoritySet **ret);
AuthoritySet *authority_set_free(AuthoritySet *s);
DEFINE_CLEANUP(AuthoritySet, authority_set_free);

/* After a change of a list's authorities or of what is disabled: sorts, and sets Authority.enabled. */
void authority_set_settle(AuthoritySet *s);

/* Disables or enables one of a list. fingerprint: whole. Returns 1 if that is a change, 0; -E2BIG, -ENOMEM. */
int authority_set_enable(AuthoritySet *s, AuthorityListId id, const char *fingerprint, bool enable);

/* What somebody typed (see authority_fingerprint_parse()), whole in ret; in one list, or in any (_AUTHORITY_LIST_MAX). -EINVAL
 * (it is no fingerprint), -ENOENT, -ENOTUNIQ. */
int authority_set_resolve(const AuthoritySet *s, AuthorityListId id, const char *typed, char ret[AUTHORITY_FINGERPRINT_SIZE]);

/* The authorities that are trusted, each once: pass a position that begins as 0 until it returns NULL. */
const Authority *authority_set_next_trusted(const AuthoritySet *s, size_t *position);

/* All of a list in PEM with comments for people; it can be edited and parsed again. Those that are trusted, without comments.
 * malloc'ed. */
int authority_set_export(const AuthoritySet *s, AuthorityListId id, char **ret);
int authority_set_trusted(const AuthoritySet *s, char **ret);

/* The text of the file that keeps the set: all but the system list's authorities. Reading refuses what it did not write; then
 * *reterr_reason says why and s is in any state. */
int authority_set_format(const AuthoritySet *s, char **ret);
int authority_set_read(AuthoritySet *s, const char *text, size_t size, char reterr_reason[AUTHORITY_REASON_MAX]);
