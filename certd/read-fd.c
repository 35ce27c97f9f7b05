/* SPDX-License-Identifier: Apache-2.0 */

/* Reads what others hand over. It must never wait for them for long, nor change anything about a descriptor that they share. */

#include "read-fd.h"

#include <poll.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "cleanup.h"
#include "secure-memory.h"

#define PIPE_TIMEOUT_MSEC 5000

static int64_t now_msec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What is there is read without waiting, so the other end cannot hold us with half of it. */
static int wait_for_pipe(int fd, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - now_msec();

    return left > 0 && poll(&p, 1, (int) left) > 0 ? 0 : -ETIMEDOUT;
}

static ssize_t read_some(int fd, bool is_pipe, char *buffer, size_t done, size_t size)
{
    return is_pipe ? read(fd, buffer + done, size) : pread(fd, buffer + done, size, (off_t) done);
}

static int check_fd(int fd, bool *ret_pipe, const char **reterr_reason)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
        *reterr_reason = "the descriptor is neither of a file nor of a pipe";
        return -EINVAL;
    }
    *ret_pipe = S_ISFIFO(st.st_mode);
    return 0;
}

/* buffer has room for max + 2. */
static int read_into(int fd, bool pipe, char *buffer, size_t max, size_t *ret_size, const char **reterr_reason)
{
    int64_t deadline = now_msec() + PIPE_TIMEOUT_MSEC;
    size_t done = 0;

    for (;;) {
        ssize_t n;

        if (pipe && wait_for_pipe(fd, deadline) < 0) {
            *reterr_reason = "the pipe was not closed in time";
            return -ETIMEDOUT;
        }
        n = read_some(fd, pipe, buffer, done, max + 1 - done);
        if (n < 0) {
            *reterr_reason = "it cannot be read";
            return negative_errno();
        }
        if (n == 0)
            break;
        done += (size_t) n;
        if (done > max) {
            *reterr_reason = "it is too large";
            return -EFBIG;
        }
    }
    buffer[done] = '\0';
    *ret_size = done;
    return 0;
}

int read_fd(int fd, size_t max, char **ret, size_t *ret_size, const char **reterr_reason)
{
    _cleanup_(secure_freep) char *buffer = NULL;
    bool pipe;
    int r;

    r = check_fd(fd, &pipe, reterr_reason);
    if (r < 0)
        return r;
    buffer = secure_malloc(max + 2);
    if (!buffer) {
        *reterr_reason = "there is no room in the memory for keys";
        return -ENOMEM;
    }
    r = read_into(fd, pipe, buffer, max, ret_size, reterr_reason);
    if (r >= 0)
        *ret = TAKE_PTR(buffer);
    return r;
}

int read_fd_public(int fd, size_t max, char **ret, size_t *ret_size, const char **reterr_reason)
{
    _cleanup_free_ char *buffer = NULL;
    bool pipe;
    int r;

    r = check_fd(fd, &pipe, reterr_reason);
    if (r < 0)
        return r;
    buffer = malloc(max + 2);
    if (!buffer)
        return -ENOMEM;
    r = read_into(fd, pipe, buffer, max, ret_size, reterr_reason);
    if (r >= 0)
        *ret = TAKE_PTR(buffer);
    return r;
}
