/* SPDX-License-Identifier: Apache-2.0 */

/* Files in and out. What is written is there as a whole or not at all. */

#include "file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool is_standard(const char *path)
{
    return streq(path, "-");
}

static int fail(Failure *failure, const char *what, const char *path, int error)
{
    return failure_set(failure, EXIT_FAILURE, "Cannot %s %s: %s", what, is_standard(path) ? "standard input or output" : path,
            strerror(-error));
}

/* ---- in ---- */

int file_open(const char *path, int *ret, Failure *failure)
{
    int fd;

    if (is_standard(path))
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fail(failure, "open", path, -errno);
    *ret = fd;
    return 0;
}

ssize_t file_read(int fd, void *buffer, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, (char *) buffer + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return negative_errno();
        if (n == 0)
            break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}

static int write_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *) data + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return negative_errno();
        done += (size_t) n;
    }
    return 0;
}

static int make_memfd(const void *data, size_t size, int *ret)
{
    _cleanup_close_ int fd = memfd_create("posternctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r;

    if (fd < 0)
        return negative_errno();
    r = write_all(fd, data, size);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return negative_errno();
    *ret = TAKE_FD(fd);
    return 0;
}

int file_load(const char *path, size_t max, int *ret, Failure *failure)
{
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ char *data = NULL;
    ssize_t n;
    int r;

    r = file_open(path, &fd, failure);
    if (r < 0)
        return r;
    data = malloc(max + 1);
    if (!data)
        return -ENOMEM;
    n = file_read(fd, data, max + 1);
    if (n < 0)
        return fail(failure, "read", path, (int) n);
    if ((size_t) n > max)
        return failure_set(failure, EXIT_FAILURE, "%s is too large: certd takes files of up to %zu kB", path, max / 1024);
    r = make_memfd(data, (size_t) n, ret);
    explicit_bzero(data, (size_t) n); /* it may be a private key without a passphrase, given by mistake */
    return r < 0 ? fail(failure, "hand over", path, r) : 0;
}

/* ---- out ---- */

static int fail_exists(Failure *failure, const char *path)
{
    return failure_set(failure, EXIT_FAILURE, "%s exists already; --force replaces it", path);
}

int file_check_absent(const char *path, bool replace, Failure *failure)
{
    if (replace || is_standard(path) || faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return fail_exists(failure, path);
}

static int write_standard(const void *data, size_t size, bool text, Failure *failure)
{
    int r;

    if (!text && isatty(STDOUT_FILENO))
        return failure_set(failure, STATUS_USAGE, "This is not text, and standard output is a terminal: name a file");
    (void) fflush(stdout);
    r = write_all(STDOUT_FILENO, data, size);
    return r < 0 ? fail(failure, "write to", "-", r) : 0;
}

static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *directory = slash ? strndup(path, MAX((size_t) (slash - path), (size_t) 1)) : strdup(".");
    _cleanup_close_ int fd = -EBADF;

    if (!directory)
        return -ENOMEM;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}

/* Not over what is there. Some file systems know RENAME_NOREPLACE not. */
static int rename_new(const char *temporary, const char *path)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) >= 0)
        return 0;
    if (errno != EINVAL || link(temporary, path) < 0)
        return negative_errno();
    (void) unlink(temporary);
    return 0;
}

static int write_temporary(const char *temporary, int fd, const char *path, const void *data, size_t size, mode_t mode,
        bool replace)
{
    const mode_t mask = umask(0);
    int r;

    (void) umask(mask);
    r = write_all(fd, data, size);
    if (r < 0)
        return r;
    if (fchmod(fd, mode & ~mask) < 0 || fsync(fd) < 0)
        return negative_errno();
    if (!replace)
        r = rename_new(temporary, path);
    else if (rename(temporary, path) < 0)
        r = negative_errno();
    return r < 0 ? r : sync_directory(path);
}

int file_store(const char *path, const void *data, size_t size, mode_t mode, bool replace, bool text, Failure *failure)
{
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (is_standard(path))
        return write_standard(data, size, text, failure);
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return fail(failure, "write", path, -errno);
    r = write_temporary(temporary, fd, path, data, size, mode, replace);
    if (r >= 0)
        return 0;
    (void) unlink(temporary);
    if (r == -EEXIST)
        return fail_exists(failure, path);
    return fail(failure, "write", path, r);
}
