/* SPDX-License-Identifier: Apache-2.0 */

/* The allow-list, as tables over the flags. A name that this kernel's or libseccomp's version does not know is left out: what
 * does not exist needs no permission. Whatever is added here is added to what an attacker of a worker can do; say why. */

#include "sandbox.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "cleanup.h"

#define ALWAYS UINT32_MAX
#define READS (SANDBOX_FILES | SANDBOX_SPAWN)

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* Allowed with any of flags, whatever the arguments. */
static const struct {
    uint32_t flags;
    const char *const *names;
} calls[] = {
    /* Data over descriptors that are there. */
    {ALWAYS, (const char *const[]) {
        "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
        "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "sendfile",
        "lseek", "_llseek", "fsync", "fdatasync", "ftruncate", "fallocate", "fadvise64",
        "close", "dup", "dup2", "dup3", "fstat",
        "getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown", NULL}},
    /* The loop: sd-event. */
    {ALWAYS, (const char *const[]) {
        "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
        "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4", "eventfd2",
        "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", NULL}},
    /* Memory; mmap and mprotect are below. memfd: large journal entries, snapshots of the configuration. */
    {ALWAYS, (const char *const[]) {
        "brk", "munmap", "mremap", "madvise", "mlock", "mlock2", "munlock", "memfd_create", NULL}},
    /* What the C library and OpenSSL ask and do about this process. */
    {ALWAYS, (const char *const[]) {
        "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
        "getrandom", "getrusage", "getrlimit", "times", "uname", "sysinfo", "getcpu", "sched_yield", "sched_getaffinity",
        "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "membarrier",
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack",
        "restart_syscall", "exit", "exit_group", NULL}},
    {SANDBOX_ACCEPT, (const char *const[]) {"accept", "accept4", NULL}},
    {SANDBOX_CONNECT_UNIX | SANDBOX_CONNECT_INET, (const char *const[]) {"connect", NULL}},
    /* Of a Unix socket, too: sd-bus of systemd 255 and later gives its end of a bus connection a name. */
    {SANDBOX_CONNECT_UNIX | SANDBOX_CONNECT_INET, (const char *const[]) {"bind", NULL}},
    /* Unnamed, so no way out: libunbound's threads, worker links. */
    {SANDBOX_CONNECT_INET | SANDBOX_THREADS | SANDBOX_SPAWN, (const char *const[]) {"socketpair", "pipe", "pipe2", NULL}},
    {READS, (const char *const[]) {
        "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
        "readlink", "readlinkat", "getdents64", "getcwd", "umask", "flock", NULL}},
    {SANDBOX_FILES, (const char *const[]) {
        "open", "openat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "mkdir", "mkdirat", "rmdir",
        "chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat", "syncfs", "sync_file_range", "copy_file_range",
        "inotify_init1", "inotify_add_watch", "inotify_rm_watch", NULL}},
    /* Starting a process, watching it, and what it does before its own filter. */
    {SANDBOX_SPAWN, (const char *const[]) {
        "fork", "vfork", "execve", "wait4", "waitid", "kill", "tgkill", "pidfd_open", "pidfd_send_signal", "close_range",
        "arch_prctl", "prlimit64", "setrlimit", "seccomp", NULL}},
};

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define LOW32 UINT64_C(0xffffffff) /* of an int in a register the upper half is anything */

/* Allowed with any of flags if (argument & mask) == value. */
static const struct {
    uint32_t flags;
    const char *name;
    unsigned argument;
    uint64_t mask, value;
} checked_calls[] = {
    {ALWAYS, "mmap", 2, PROT_EXEC, 0},
    {SANDBOX_SPAWN, "mmap", 2, PROT_EXEC | PROT_WRITE, PROT_EXEC}, /* ld.so of a worker */
    {ALWAYS, "mprotect", 2, PROT_EXEC, 0},
    {SANDBOX_THREADS, "clone", 0, CLONE_THREAD | NAMESPACES, CLONE_THREAD},
    {SANDBOX_SPAWN, "clone", 0, NAMESPACES, 0},
    {SANDBOX_CONNECT_UNIX, "socket", 0, LOW32, AF_UNIX},
    {SANDBOX_CONNECT_INET, "socket", 0, LOW32, AF_INET},
    {SANDBOX_CONNECT_INET, "socket", 0, LOW32, AF_INET6},
    {SANDBOX_SPAWN, "open", 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SANDBOX_SPAWN, "openat", 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {ALWAYS, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH}, /* fstat() */
    {ALWAYS, "prlimit64", 2, UINT64_MAX, 0},                 /* reads a limit */
    {ALWAYS, "prctl", 0, LOW32, PR_GET_NAME},
    {ALWAYS, "prctl", 0, LOW32, PR_SET_NAME},
    {ALWAYS, "prctl", 0, LOW32, PR_GET_DUMPABLE},
    {ALWAYS, "prctl", 0, LOW32, PR_SET_VMA}, /* names of mappings */
    {SANDBOX_SPAWN, "prctl", 0, LOW32, PR_SET_DUMPABLE},
    {SANDBOX_SPAWN, "prctl", 0, LOW32, PR_SET_PDEATHSIG},
    {SANDBOX_SPAWN, "prctl", 0, LOW32, PR_SET_NO_NEW_PRIVS},
    {SANDBOX_SPAWN, "prctl", 0, LOW32, PR_GET_SECCOMP},
    {SANDBOX_SPAWN, "prctl", 0, LOW32, PR_SET_SECCOMP},
    {ALWAYS, "ioctl", 1, LOW32, FIONREAD},
    {ALWAYS, "ioctl", 1, LOW32, FIONBIO},
    {ALWAYS, "ioctl", 1, LOW32, SIOCOUTQ},
    {ALWAYS, "ioctl", 1, LOW32, TCGETS}, /* stdio: is it a terminal? */
    /* Of fcntl not F_SETOWN and F_SETSIG: signals to others. */
    {ALWAYS, "fcntl", 1, LOW32, F_DUPFD},
    {ALWAYS, "fcntl", 1, LOW32, F_DUPFD_CLOEXEC},
    {ALWAYS, "fcntl", 1, LOW32, F_GETFD},
    {ALWAYS, "fcntl", 1, LOW32, F_SETFD},
    {ALWAYS, "fcntl", 1, LOW32, F_GETFL},
    {ALWAYS, "fcntl", 1, LOW32, F_SETFL},
    {ALWAYS, "fcntl", 1, LOW32, F_ADD_SEALS},
    {ALWAYS, "fcntl", 1, LOW32, F_GET_SEALS},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_GETLK},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_SETLK},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_SETLKW},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_OFD_SETLK},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_SETLEASE},
    {SANDBOX_FILES, "fcntl", 1, LOW32, F_GETLEASE},
};

static void release(scmp_filter_ctx *filter)
{
    if (*filter)
        seccomp_release(*filter);
}

static bool applies(uint32_t rule, uint32_t flags)
{
    return rule == ALWAYS || (rule & flags) != 0;
}

/* -EEXIST: an unconditional rule covers it already. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned n, const struct scmp_arg_cmp *arguments)
{
    int r, number = seccomp_syscall_resolve_name(name);

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(filter, action, number, n, arguments);
    return r == -EEXIST ? 0 : r;
}

static int add_calls(scmp_filter_ctx filter, uint32_t flags)
{
    int r;

    for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
        if (!applies(calls[i].flags, flags))
            continue;
        for (const char *const *name = calls[i].names; *name; name++) {
            r = add(filter, SCMP_ACT_ALLOW, *name, 0, NULL);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int add_checked_calls(scmp_filter_ctx filter, uint32_t flags)
{
    int r;

    for (size_t i = 0; i < ELEMENTSOF(checked_calls); i++) {
        const struct scmp_arg_cmp argument = SCMP_CMP(checked_calls[i].argument, SCMP_CMP_MASKED_EQ, checked_calls[i].mask,
                checked_calls[i].value);

        if (!applies(checked_calls[i].flags, flags))
            continue;
        r = add(filter, SCMP_ACT_ALLOW, checked_calls[i].name, 1, &argument);
        if (r < 0)
            return r;
    }
    return 0;
}

/* abort() and raise(). With SANDBOX_SPAWN the process number is not known ahead: it is the worker's. */
static int add_signals_to_itself(scmp_filter_ctx filter, uint32_t flags)
{
    const struct scmp_arg_cmp self = SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t) getpid());
    int r;

    if (flags & SANDBOX_SPAWN)
        return 0;
    r = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &self);
    return r < 0 ? r : add(filter, SCMP_ACT_ALLOW, "kill", 1, &self);
}

/* clone3() hides its flags in memory: as if it did not exist, so that the C library takes clone(). exec is what an attacker
 * wants: no second try. */
static int add_refusals(scmp_filter_ctx filter, uint32_t flags)
{
    int r;

    r = add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    if (r >= 0 && (flags & SANDBOX_CONNECTED))
        r = add(filter, SCMP_ACT_ERRNO(EINPROGRESS), "connect", 0, NULL);
    if (r < 0 || (flags & SANDBOX_SPAWN))
        return r;
    r = add(filter, SCMP_ACT_KILL_PROCESS, "execve", 0, NULL);
    return r < 0 ? r : add(filter, SCMP_ACT_KILL_PROCESS, "execveat", 0, NULL);
}

int sandbox_enter(uint32_t flags)
{
    _cleanup_(release) scmp_filter_ctx filter = NULL;
    static int (*const steps[])(scmp_filter_ctx filter, uint32_t flags) = {add_calls, add_checked_calls, add_signals_to_itself,
            add_refusals};
    int r;

    filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r < 0)
        return r;
    r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r < 0)
        return r;
    (void) seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: each call of the loop passes through it */
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        r = steps[i](filter, flags);
        if (r < 0)
            return r;
    }
    return seccomp_load(filter);
}
