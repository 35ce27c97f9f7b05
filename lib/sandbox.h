/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process' own seccomp filter, entered after start-up and before anything from outside is read. It complements the unit's: the unit
 * must allow what the start needs, this one only what the loop needs. An allow-list; everything else fails with EPERM (so that a mistake is an error in the log,
 * not a dead daemon), exec and foreign architectures kill. */

#include <stdint.h>

typedef enum SandboxFlags {
    SANDBOX_BASE = 0,               /* memory, time, epoll, read/write/send/recv on existing descriptors, exit, signals; nothing that names a file or makes a socket */
    SANDBOX_ACCEPT = 1u << 0,       /* accept4 on inherited listening sockets, getsockname/getpeername/shutdown */
    SANDBOX_FILES = 1u << 1,        /* openat, fstat, rename, unlink, link, ftruncate, fsync, chmod … */
    SANDBOX_CONNECT_UNIX = 1u << 2, /* socket(AF_UNIX) and connect */
    SANDBOX_CONNECT_INET = 1u << 3, /* socket(AF_INET, AF_INET6), bind, connect */
    SANDBOX_THREADS = 1u << 4,      /* clone of threads (CLONE_THREAD only) */
    SANDBOX_SPAWN = 1u << 5,        /* fork, execve, waitid, kill: a manager that re-executes workers */
} SandboxFlags;

/* Irrevocable, for all threads; sets no_new_privs. Returns negative errno. */
int sandbox_enter(uint32_t flags);
