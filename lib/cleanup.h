/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Scope-bound ownership: what a function holds is given back on every way out of it.
 *
 * A variable marked _cleanup_(fp) is passed to fp when it leaves its scope; TAKE_PTR() and TAKE_FD() hand its value
 * on to a new owner. A destructor `T *t_free(T *t)` accepts NULL, survives half-built objects and returns NULL;
 * DEFINE_CLEANUP(T, t_free) makes its t_freep(). */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _pure_ __attribute__((pure))
#define _sentinel_ __attribute__((sentinel))
#define _unused_ __attribute__((unused))
#define _warn_unused_result_ __attribute__((warn_unused_result))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)

#define TAKE_PTR(p)                 \
    ({                              \
        typeof(p) *pp_ = &(p);      \
        typeof(p) taken_ = *pp_;    \
        *pp_ = NULL;                \
        taken_;                     \
    })

#define TAKE_FD(fd)                 \
    ({                              \
        int *pfd_ = &(fd);          \
        int taken_ = *pfd_;         \
        *pfd_ = -EBADF;             \
        taken_;                     \
    })

#define DEFINE_CLEANUP(type, func)                   \
    static inline void func##p(type **p)             \
    {                                                \
        if (*p)                                      \
            *p = func(*p);                           \
    }                                                \
    struct func##_semicolon_

static inline void freep(void *p)
{
    free(*(void **) p);
}

/* Closes fd, keeps errno, returns -EBADF so that `fd = close_fd(fd)` reads naturally. Negative fds are ignored. */
static inline int close_fd(int fd)
{
    if (fd >= 0) {
        int saved = errno;

        (void) close(fd);
        errno = saved;
    }
    return -EBADF;
}

static inline void close_fdp(int *fd)
{
    *fd = close_fd(*fd);
}

static inline void fclosep(FILE **f)
{
    if (*f)
        (void) fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclosep)

static inline bool streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* -errno, for `return negative_errno()` after a failed call whose contract sets errno. */
static inline int negative_errno(void)
{
    return errno > 0 ? -errno : -EINVAL;
}
