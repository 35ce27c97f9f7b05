/* SPDX-License-Identifier: Apache-2.0 */

/* Reading and replacing files of the store. It knows nothing of what is in them; what it reads is in secure memory only. */

#include "store-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "secure-memory.h"

#define NSEC_PER_SEC INT64_C(1000000000)
/* Times of files have the steps of the kernel's clock: one that was changed just now may change again within the same step. */
#define SETTLED_NSEC NSEC_PER_SEC

typedef struct FileName {
    char text[sizeof(".") + CERTIFICATE_NAME_MAX + sizeof(ENTRY_SUFFIX TEMPORARY_SUFFIX)];
} FileName;

static FileName file_name(const char *name, const char *suffix)
{
    FileName f;

    (void) snprintf(f.text, sizeof(f.text), "%s%s", name, suffix);
    return f;
}

char *store_file_reason(const char *name, const char *suffix, const char *reason)
{
    char *text;

    return asprintf(&text, "%s%s %s", name, suffix, reason) < 0 ? NULL : text;
}

bool store_file_exists(int dir_fd, const char *name, const char *suffix)
{
    struct stat st;

    return fstatat(dir_fd, file_name(name, suffix).text, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void store_file_remove(int dir_fd, const char *name, const char *suffix)
{
    (void) unlinkat(dir_fd, file_name(name, suffix).text, 0);
}

StoreFileStamp store_file_stamp(int dir_fd, const char *name, const char *suffix)
{
    StoreFileStamp stamp = {};
    struct timespec now;
    struct stat st;

    if (fstatat(dir_fd, file_name(name, suffix).text, &st, AT_SYMLINK_NOFOLLOW) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return stamp;
    stamp.changed_nsec = st.st_ctim.tv_sec * NSEC_PER_SEC + st.st_ctim.tv_nsec;
    stamp.size = st.st_size;
    if (now.tv_sec * NSEC_PER_SEC + now.tv_nsec - stamp.changed_nsec > SETTLED_NSEC)
        stamp.inode = st.st_ino;
    return stamp;
}

bool store_file_stamp_equal(const StoreFileStamp *a, const StoreFileStamp *b)
{
    return a->inode != 0 && a->inode == b->inode && a->size == b->size && a->changed_nsec == b->changed_nsec;
}

int store_file_read(int dir_fd, const char *name, const char *suffix, bool private_file, char **ret, size_t *ret_size,
        char **reterr_reason)
{
    _cleanup_(secure_freep) char *buffer = NULL;
    _cleanup_close_ int fd = -EBADF;
    size_t done = 0;
    struct stat st;
    int r;

    fd = openat(dir_fd, file_name(name, suffix).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = negative_errno();
        *reterr_reason = store_file_reason(name, suffix,
                r == -ENOENT           ? "is missing"
                        : r == -EACCES ? "is not readable by certd"
                                       : "cannot be opened");
        return r;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > CERTIFICATE_PEM_MAX) {
        *reterr_reason = store_file_reason(name, suffix, S_ISREG(st.st_mode) ? "is too large" : "is no regular file");
        return -EFBIG;
    }
    if (private_file && st.st_mode & (S_IRWXG | S_IRWXO)) {
        *reterr_reason = store_file_reason(name, suffix, "is accessible to others; it must have mode 0600");
        return -EPERM;
    }
    buffer = secure_malloc((size_t) st.st_size + 1);
    if (!buffer) {
        *reterr_reason = store_file_reason(name, suffix, "does not fit into the memory for keys");
        return -ENOMEM;
    }
    while (done < (size_t) st.st_size) {
        ssize_t n = read(fd, buffer + done, (size_t) st.st_size - done);

        if (n < 0) {
            r = negative_errno();
            *reterr_reason = store_file_reason(name, suffix, "cannot be read");
            return r;
        }
        if (n == 0)
            break;
        done += (size_t) n;
    }
    buffer[done] = '\0';
    *ret = TAKE_PTR(buffer);
    *ret_size = done;
    return 0;
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, data + done, size - done);

        if (n < 0)
            return negative_errno();
        done += (size_t) n;
    }
    return 0;
}

/* The file that a name is about to lose; negative if there is none. */
static int open_old(int dir_fd, const char *name, const char *suffix)
{
    return openat(dir_fd, file_name(name, suffix).text, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* As good as it can be done: disks and file systems may have copies that nobody reaches. One that has another name, as in a backup
 * by hard links, is left alone. */
static void scrub_file(int fd)
{
    static const char zeros[4096];
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 0 || st.st_size > CERTIFICATE_PEM_MAX)
        return;
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = pwrite(fd, zeros, MIN(sizeof(zeros), (size_t) (st.st_size - done)), done);

        if (n <= 0)
            return;
        done += n;
    }
    (void) fsync(fd);
}

/* A temporary file, made durable, takes the name's place; the name is not durable yet. */
static int put_in_place(int dir_fd, const char *name, const char *data, size_t size)
{
    FileName file = file_name(name, ENTRY_SUFFIX), temporary;
    _cleanup_close_ int fd = -EBADF;
    int r;

    (void) snprintf(temporary.text, sizeof(temporary.text), ".%s" ENTRY_SUFFIX TEMPORARY_SUFFIX, name);
    (void) unlinkat(dir_fd, temporary.text, 0);
    fd = openat(dir_fd, temporary.text, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return negative_errno();
    r = write_all(fd, data, size);
    if (r >= 0 && (fsync(fd) < 0 || renameat(dir_fd, temporary.text, dir_fd, file.text) < 0))
        r = negative_errno();
    if (r < 0)
        (void) unlinkat(dir_fd, temporary.text, 0);
    return r;
}

int store_file_replace(int dir_fd, const char *name, const char *data, size_t size, bool scrub)
{
    _cleanup_close_ int old_entry = scrub ? open_old(dir_fd, name, ENTRY_SUFFIX) : -EBADF;
    _cleanup_close_ int old_key = scrub ? open_old(dir_fd, name, KEY_SUFFIX) : -EBADF;
    int r;

    r = put_in_place(dir_fd, name, data, size);
    if (r < 0)
        return r;
    if (fsync(dir_fd) < 0)
        return negative_errno();
    /* What it replaces in another form, the key first: a certificate without one belongs to the key of the file just written. */
    if (store_file_exists(dir_fd, name, CERTIFICATE_SUFFIX)) {
        store_file_remove(dir_fd, name, KEY_SUFFIX);
        store_file_remove(dir_fd, name, CERTIFICATE_SUFFIX);
        if (fsync(dir_fd) < 0)
            return negative_errno();
    }
    scrub_file(old_entry);
    scrub_file(old_key);
    return 0;
}
