/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lists of certificate authorities as certd keeps them: the system list from the host's file, the rest in the file
 * "authorities" of the state directory (authority-set.h). What is in memory belongs to the loop and is replaced whole; reading,
 * changing and writing is done by certd's thread for operations, one after the other, and each begins with what is on disk. */

#include <systemd/sd-event.h>

#include "authority-set.h"
#include "cleanup.h"
#include "jobs.h"

#define AUTHORITIES_SYSTEM_FILE "/etc/ssl/certs/ca-certificates.crt"

typedef struct Authorities Authorities;

typedef enum AuthoritiesChangeKind {
    AUTHORITIES_LOAD, /* nothing is asked for: read what there is */
    AUTHORITIES_IMPORT,
    AUTHORITIES_ENABLE,
    AUTHORITIES_DISABLE,
    AUTHORITIES_REMOVE,
} AuthoritiesChangeKind;

typedef struct AuthoritiesChange {
    AuthoritiesChangeKind kind;
    AuthorityListId list;
    char **fingerprints; /* as typed, NULL-ended; malloc'ed. To enable and disable: none is the list itself */
    int file_fd;         /* to import; owned */
    bool replace;        /* import: what is not in the file goes */

    /* results; those of an import but n_removed */
    unsigned n_added, n_known, n_removed, n_expired;
    char reason[AUTHORITY_REASON_MAX]; /* of a failure; a sentence's part */
} AuthoritiesChange;

int authorities_change_new(AuthoritiesChange **ret, AuthoritiesChangeKind kind);
AuthoritiesChange *authorities_change_free(AuthoritiesChange *c);
DEFINE_CLEANUP(AuthoritiesChange, authorities_change_free);

/* From the loop: the lists have been read, and may be others than before. problem (or NULL): what could not be read, for the
 * log; what was there before stays in its place. */
typedef void (*AuthoritiesNews)(Authorities *a, const char *problem, void *userdata);

/* state_directory, system_file: paths. operations outlives it, and must have ended before it is freed. */
int authorities_new(Authorities **ret, sd_event *event, Jobs *operations, const char *state_directory, const char *system_file,
        AuthoritiesNews news, void *userdata);
Authorities *authorities_free(Authorities *a);
DEFINE_CLEANUP(Authorities, authorities_free);

/* At the start, before there are threads at work: reads everything, and tells news(). A system file that is missing is an empty
 * list, as is one that cannot be used, which is a problem. The file in the state directory must be good: -EBADMSG and others
 * with reterr_reason if it is not. */
int authorities_load(Authorities *a, char reterr_reason[AUTHORITY_REASON_MAX]);

/* Reads the system file again soon after each change (update-ca-certificates(8) renames a new one over it). Its directory must be
 * there; -ENOENT if not, then only authorities_reload() does. */
int authorities_watch(Authorities *a);

/* Reads everything again, soon. */
int authorities_reload(Authorities *a);

/* Has a change made; it is taken over. done is called from the loop, when it is durable and news() has been told, or with
 * negative errno: then nothing has changed, and change->reason says why. -EBADMSG, -E2BIG, -EFBIG, -EINVAL, -ENODATA, -ENOENT,
 * -ENOTUNIQ, -EROFS (the system list), -ETIMEDOUT; those of the file system. done frees the change. -ENOBUFS at once when too
 * much is waiting; then the change is still the caller's. */
typedef void (*AuthoritiesDone)(Authorities *a, AuthoritiesChange *change, int result, void *userdata);
int authorities_submit(Authorities *a, AuthoritiesChange *change, AuthoritiesDone done, void *userdata);

/* Until news(). Never NULL after authorities_load(). */
const AuthoritySet *authorities_get(const Authorities *a);
/* Grows with every change, over restarts, too. */
uint64_t authorities_generation(const Authorities *a);
/* A sealed memfd with those that are trusted, in PEM; borrowed. */
int authorities_trusted_fd(const Authorities *a);
