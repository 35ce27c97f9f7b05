/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process' own seccomp filter, entered after start-up and before anything from outside is read. It complements the unit's:
 * the unit must allow what the start needs, this one only what the loop needs. An allow-list; everything else fails with EPERM
 * (so that a mistake is an error in the log, not a dead daemon), exec and foreign architectures kill.
 *
 * No flag ever allows memory that is writable and executable. Without SANDBOX_SPAWN none becomes executable at all, so what is
 * loaded late (NSS and gconv modules, libgcc_s for thread cancellation) must be loaded before.
 *
 * sd_notify(), and with it the watchdog, makes a socket for each message, as does a reconnection to the system bus: managers need
 * SANDBOX_CONNECT_UNIX.
 *
 * A filter is inherited through exec and can only be narrowed: the flags of a manager must include those of its workers. */

#include <stdint.h>

typedef enum SandboxFlags {
    SANDBOX_BASE = 0,               /* memory, time, epoll, read/write/send/recv/fsync on existing descriptors, exit, signals to itself; nothing that names a file or
                                     * makes a socket. (fstat() of glibc 2.36 is a call that can also stat a name.) */
    SANDBOX_ACCEPT = 1u << 0,       /* accept4 on inherited listening sockets */
    SANDBOX_FILES = 1u << 1,        /* open, rename, unlink, link, mkdir, chmod, list directories … */
    SANDBOX_CONNECT_UNIX = 1u << 2, /* socket(AF_UNIX) and connect */
    SANDBOX_CONNECT_INET = 1u << 3, /* socket(AF_INET, AF_INET6), bind, connect */
    SANDBOX_THREADS = 1u << 4,      /* clone of threads (CLONE_THREAD only) */
    SANDBOX_SPAWN = 1u << 5,        /* fork, execve, waitid, kill: a manager that re-executes workers. As they start under this filter it also allows what a start takes:
                                     * opening files for reading, mapping them executable (not writable), entering a filter of their own. */
    SANDBOX_CONNECTED = 1u << 6,    /* connect() does nothing, as everywhere where it is not allowed, but says EINPROGRESS: for a library
                                     * that insists on connecting what is connected already */
} SandboxFlags;

/* Irrevocable, for all threads; sets no_new_privs. Returns negative errno. */
int sandbox_enter(uint32_t flags);
