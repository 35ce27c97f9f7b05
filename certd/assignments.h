/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the certificates are used for, as administrators have assigned them: a table of certificate and use, and its file. A
 * listener and delivery have one certificate each, a user may have several. A certificate need not exist: whoever removes one by
 * hand leaves an assignment that gives nothing.
 *
 * Pure but for the file: text, a line for each assignment, "CERTIFICATE USE" or "CERTIFICATE user:LOGIN UID"; '#' begins a
 * comment. It is written beside and renamed, so that whoever is killed at any instant leaves the old or the new. */

#include <stdint.h>
#include <sys/types.h>

#include "certificate.h"
#include "cleanup.h"
#include "store.h"
#include "use.h"

#define ASSIGNMENTS_MAX 512
#define ASSIGNMENTS_FILE "assignments"
#define ASSIGNMENTS_FILE_MAX (128 * 1024)

typedef struct Assignment {
    char certificate[CERTIFICATE_NAME_MAX + 1];
    char use[USE_MAX + 1];
    UseKind kind;
    uid_t uid; /* that the login had when it was assigned; of USE_USER */
} Assignment;

typedef struct Assignments {
    Assignment *items; /* by certificate, then by use */
    size_t n;
    /* A certificate that was being renamed when this was written; "": none. assignments_settle() */
    char renamed_from[CERTIFICATE_NAME_MAX + 1], renamed_to[CERTIFICATE_NAME_MAX + 1];
} Assignments;

int assignments_new(Assignments **ret);
Assignments *assignments_free(Assignments *a);
DEFINE_CLEANUP(Assignments, assignments_free);

/* ---- the table ---- */

/* Returns 1 if that is new, 0 if it was so. Takes the use away from another certificate if there can be only one. uid: of
 * USE_USER. -EINVAL: no name or no use; -E2BIG; -ENOMEM. On failure nothing has changed. */
int assignments_add(Assignments *a, const char *certificate, const char *use, uid_t uid);
/* -ENOENT */
int assignments_remove(Assignments *a, const char *certificate, const char *use);
/* All of a certificate; returns how many there were. */
size_t assignments_forget(Assignments *a, const char *certificate);
void assignments_rename(Assignments *a, const char *from, const char *to);

/* Says that the certificate is being renamed, and what came of it. The order of the writes makes a rename whole: this, the
 * store, the table with the new name. */
void assignments_begin_rename(Assignments *a, const char *from, const char *to);
void assignments_settle(Assignments *a, bool renamed);

/* The certificate of a listener or of delivery; NULL: none is assigned. */
const char *assignments_find(const Assignments *a, const char *use);
/* Whether a use of this kind has it; of USE_USER, one of this uid. */
bool assignments_permit(const Assignments *a, const char *certificate, UseKind kind, uid_t uid);
/* The first use of certificate after, or the first of all (after NULL), for iteration; NULL at the end. */
const Assignment *assignments_next(const Assignments *a, const char *certificate, const Assignment *after);
/* "user:LOGIN" of a uid that has any certificate; NULL. */
const char *assignments_user(const Assignments *a, uid_t uid);
bool assignments_equal(const Assignments *a, const Assignments *b);

/* ---- the file ---- */

/* assignments_read() of the store's directory, and with what came of a rename that was under way. On any thread. */
int assignments_load(Assignments **ret, Store *store, char **reterr_reason);

/* No file is an empty table. -EBADMSG with *reterr_reason "assignments:3: …" (malloc'ed, may be NULL), or another errno. */
int assignments_read(Assignments **ret, int dir_fd, char **reterr_reason);
/* Durable when it returns 0. On failure the file is as it was. */
int assignments_write(const Assignments *a, int dir_fd);
