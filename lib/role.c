/* SPDX-License-Identifier: Apache-2.0 */

/* Roles from uids. The table is filled once; afterwards nothing here reads anything, so it works inside every sandbox. */

#include "role.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "cleanup.h"

static struct {
    const char *user;
    const char *name;
    Role role;
    uid_t uid;
    bool known;
} role_table[] = {
    {"postern-smtpd", "smtpd", ROLE_SMTPD},
    {"postern-deliverd", "deliverd", ROLE_DELIVERD},
    {"postern-certd", "certd", ROLE_CERTD},
    {"postern-dnsd", "dnsd", ROLE_DNSD},
    {"postern-alertd", "alertd", ROLE_ALERTD},
};

int role_init(void)
{
    for (size_t i = 0; i < ELEMENTSOF(role_table); i++) {
        struct passwd entry, *found = NULL;
        char buffer[4096];
        int r;

        r = getpwnam_r(role_table[i].user, &entry, buffer, sizeof(buffer), &found);
        if (r != 0 && r != ENOENT && r != ESRCH)
            return -r;
        role_table[i].known = found != NULL;
        if (found)
            role_table[i].uid = found->pw_uid;
    }
    return 0;
}

RoleMask role_from_uid(uid_t uid)
{
    RoleMask roles = 0;

    for (size_t i = 0; i < ELEMENTSOF(role_table); i++)
        if (role_table[i].known && role_table[i].uid == uid)
            roles |= role_table[i].role;
    if (uid == 0)
        roles |= ROLE_ROOT;
    if (uid == geteuid())
        roles |= ROLE_SELF;
    return roles;
}

const char *role_to_string(RoleMask roles)
{
    for (size_t i = 0; i < ELEMENTSOF(role_table); i++)
        if (roles & role_table[i].role)
            return role_table[i].name;
    if (roles & ROLE_ROOT)
        return "root";
    if (roles & ROLE_PROGRAM)
        return "program";
    return roles & ROLE_SELF ? "self" : "stranger";
}
