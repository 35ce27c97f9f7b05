/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who a peer is. A role is derived from the uid of an accepted socket, once; permissions are tables over roles. */

#include <stdint.h>
#include <sys/types.h>

typedef enum Role {
    ROLE_SMTPD = 1u << 0,
    ROLE_DELIVERD = 1u << 1,
    ROLE_CERTD = 1u << 2,
    ROLE_DNSD = 1u << 3,
    ROLE_ALERTD = 1u << 4,
    ROLE_ROOT = 1u << 5,
    ROLE_SELF = 1u << 6, /* this process' own uid, beside what else it is */
    ROLE_PROGRAM = 1u << 7, /* a program of a user whom a daemon serves; given by a PeerAdmission, no uid has it by itself */
    ROLE_ANYONE = UINT32_MAX,
} Role;

/* A set of roles, ORed. */
typedef uint32_t RoleMask;

/* Looks the users of the suite up (postern-smtpd …) and remembers their uids. Reads the user database, so it is called
 * once at start-up, before the sandbox. Users that do not exist are no error: nobody has their role then. */
int role_init(void);

/* The roles of uid; 0 for a stranger. */
RoleMask role_from_uid(uid_t uid);

/* "smtpd", "root", …, of the lowest bit set; "stranger" for 0. Static storage. */
const char *role_to_string(RoleMask roles);
