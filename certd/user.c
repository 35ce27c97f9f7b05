/* SPDX-License-Identifier: Apache-2.0 */

/* The user database, asked once for each assignment. What it said then is kept: who may have handshakes signed must not depend on
 * a directory server that is away, or that somebody else has taken over since. */

#include "user.h"

#include <pwd.h>

#include "cleanup.h"
#include "role.h"

#define ENTRY_MAX (64 * 1024)
#define NOBODYS_LOGIN "postern-no-such-user"

static int lookup(const char *login, uid_t *ret)
{
    _cleanup_free_ char *buffer = malloc(ENTRY_MAX);
    struct passwd entry, *found = NULL;
    int r;

    if (!buffer)
        return -ENOMEM;
    r = getpwnam_r(login, &entry, buffer, ENTRY_MAX, &found);
    if (found) {
        *ret = found->pw_uid;
        return 0;
    }
    /* As getpwnam_r(3) says, "not found" has many numbers. */
    return r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM ? -ESRCH : -EIO;
}

void user_lookup_init(void)
{
    uid_t uid;

    /* A login that no source has makes it ask all of them. */
    (void) lookup(NOBODYS_LOGIN, &uid);
}

int user_lookup(const char *login, uid_t *ret, const char **reterr_reason)
{
    const RoleMask suite = ROLE_SMTPD | ROLE_DELIVERD | ROLE_CERTD | ROLE_DNSD | ROLE_ALERTD;
    uid_t uid;
    int r;

    r = lookup(login, &uid);
    if (r < 0) {
        *reterr_reason = r == -ESRCH ? "there is no such user on this host" : "the user database of this host does not answer";
        return r;
    }
    if (role_from_uid(uid) & suite) {
        *reterr_reason = "this user is one of the suite's, which have uses of their own";
        return -EPERM;
    }
    *ret = uid;
    return 0;
}
