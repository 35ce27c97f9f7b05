/* SPDX-License-Identifier: Apache-2.0 */

/* One file a message, one fsync a message.
 *
 * A commit must not trust that the client closed its descriptor: it takes a read lease, which the kernel grants only while the
 * inode is not open for writing anywhere (a writable mapping counts, too). From then on only this daemon can open it. */

#include "queue-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>

#define MODE_RECEIVING 0600
#define MODE_COMMITTED 0400
/* A closing peer may be late by a scheduling delay; one that keeps the file open is told so. */
#define LEASE_TRIES 50
#define LEASE_WAIT_NSEC (2 * 1000 * 1000)

typedef struct QueuePath {
    char text[QUEUE_ID_LENGTH + 16];
} QueuePath;

static QueuePath path_of(const QueueId *id, const char *suffix)
{
    QueuePath p;

    (void) snprintf(p.text, sizeof(p.text), "%c/%s%s", queue_id_bucket(id), id->text, suffix);
    return p;
}

int queue_dir_prepare(int dir_fd)
{
    for (unsigned i = 0; i < QUEUE_BUCKETS; i++) {
        const char name[] = {queue_bucket_char(i), '\0'};

        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
            return negative_errno();
    }
    return fsync(dir_fd) < 0 ? negative_errno() : 0;
}

int queue_dir_sync(int dir_fd, char bucket)
{
    const char name[] = {bucket, '\0'};
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return negative_errno();
    return 0;
}

int queue_file_create(int dir_fd, const QueueId *id)
{
    /* Not readable: a writable mapping needs both, and outlives the descriptor. overlayfs would not find it by a lease. */
    int fd = openat(dir_fd, path_of(id, "").text, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE_RECEIVING);

    return fd < 0 ? negative_errno() : fd;
}

static int write_all(int fd, const void *data, size_t size)
{
    const char *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? negative_errno() : -EIO;
        p += n;
        size -= (size_t) n;
    }
    return 0;
}

/* Fewer bytes than asked for are -EBADMSG: every caller knows what must be there. */
static int read_at(int fd, void *data, size_t size, uint64_t offset)
{
    char *p = data;

    while (size > 0) {
        ssize_t n = pread(fd, p, size, (off_t) offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? negative_errno() : -EBADMSG;
        p += n;
        size -= (size_t) n;
        offset += (uint64_t) n;
    }
    return 0;
}

/* fd is open read-only. */
static int prove_unwritable(int fd, unsigned tries)
{
    for (;;) {
        if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
            return fcntl(fd, F_SETLEASE, F_UNLCK) < 0 ? negative_errno() : 0;
        if (errno == EINVAL || errno == ENOLCK || errno == EOPNOTSUPP)
            return -EOPNOTSUPP;
        if (errno != EAGAIN)
            return negative_errno();
        if (--tries == 0)
            return -ETXTBSY;
        (void) nanosleep(&(struct timespec) {.tv_nsec = LEASE_WAIT_NSEC}, NULL);
    }
}

int queue_file_unused(int dir_fd, const QueueId *id)
{
    _cleanup_close_ int fd = openat(dir_fd, path_of(id, "").text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? negative_errno() : prove_unwritable(fd, 1);
}

/* Envelope, mode, fsync. The message's bytes are in the file and nobody else can change them. -EIO: what is on the disk is
 * unknown from now on, and a second fsync() would not tell (the kernel reports a failed write-back once, and forgets the pages).
 * The file must go; its sender still has the message. */
static int seal(int fd, uint64_t message_size, const Envelope *envelope)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    int r;

    r = envelope_format(envelope, message_size, &text, &size);
    if (r < 0)
        return r;
    r = write_all(fd, text, size);
    if (r < 0) {
        /* So that the commit can be tried again when there is space. */
        if (ftruncate(fd, (off_t) message_size) < 0)
            return negative_errno();
        return r;
    }
    if (fchmod(fd, MODE_COMMITTED) < 0 || fsync(fd) < 0) {
        (void) fchmod(fd, MODE_RECEIVING);
        return -EIO;
    }
    return 0;
}

/* Where the kernel cannot tell who may still write, a copy that was never anybody else's can be trusted. */
static int commit_copy(int dir_fd, const QueueId *id, int from, uint64_t size, const Envelope *envelope)
{
    const QueuePath new = path_of(id, ".new");
    _cleanup_close_ int fd = -EBADF;
    off_t offset = 0;
    int r;

    (void) unlinkat(dir_fd, new.text, 0);
    fd = openat(dir_fd, new.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE_RECEIVING);
    if (fd < 0)
        return negative_errno();
    while ((uint64_t) offset < size) {
        ssize_t n = sendfile(fd, from, &offset, size - (uint64_t) offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? negative_errno() : -EIO;
    }
    r = seal(fd, size, envelope);
    if (r < 0) {
        (void) unlinkat(dir_fd, new.text, 0);
        return r;
    }
    if (renameat(dir_fd, new.text, dir_fd, path_of(id, "").text) < 0)
        return negative_errno();
    return queue_dir_sync(dir_fd, queue_id_bucket(id)) < 0 ? -EIO : 0;
}

int queue_file_commit(int dir_fd, const QueueId *id, const Envelope *envelope, uint64_t *ret_size, bool *ret_copied)
{
    const QueuePath path = path_of(id, "");
    _cleanup_close_ int fd = openat(dir_fd, path.text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), writable = -EBADF;
    bool copy = false;
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((st.st_mode & 07777) == MODE_COMMITTED) /* by a run that may have ended before its fsync() did */
        return fsync(fd) < 0 ? -EBADMSG : -EALREADY;
    r = prove_unwritable(fd, LEASE_TRIES);
    if (r == -EOPNOTSUPP)
        copy = true;
    else if (r < 0)
        return r;
    /* Only now the size stands. */
    if (fstat(fd, &st) < 0)
        return negative_errno();
    if (st.st_size == 0)
        return -ENODATA;
    if (copy)
        r = commit_copy(dir_fd, id, fd, (uint64_t) st.st_size, envelope);
    else {
        writable = openat(dir_fd, path.text, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        if (writable < 0)
            return negative_errno();
        r = seal(writable, (uint64_t) st.st_size, envelope);
    }
    if (r == -EIO)
        (void) queue_file_remove(dir_fd, id);
    if (r < 0)
        return r;
    *ret_size = (uint64_t) st.st_size;
    *ret_copied = copy;
    return 0;
}

int queue_file_insert(int dir_fd, const QueueId *id, const void *text, size_t size, const Envelope *envelope)
{
    _cleanup_close_ int fd = queue_file_create(dir_fd, id);
    int r;

    if (fd < 0)
        return fd;
    r = write_all(fd, text, size);
    if (r >= 0)
        r = seal(fd, size, envelope);
    if (r >= 0)
        r = queue_dir_sync(dir_fd, queue_id_bucket(id));
    if (r < 0)
        (void) unlinkat(dir_fd, path_of(id, "").text, 0);
    return r;
}

void queue_file_clear(QueueFile *f)
{
    f->envelope = envelope_free(f->envelope);
    f->state = envelope_state_free(f->state);
}

/* *ret stays NULL where there is no state. */
static int load_state(int dir_fd, const QueueId *id, size_t n_recipients, EnvelopeState **ret)
{
    _cleanup_close_ int fd = openat(dir_fd, path_of(id, ".state").text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    struct stat st;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : negative_errno();
    if (fstat(fd, &st) < 0)
        return negative_errno();
    if (st.st_size > ENVELOPE_TEXT_MAX)
        return -EBADMSG;
    text = malloc((size_t) st.st_size + 1);
    if (!text)
        return -ENOMEM;
    r = read_at(fd, text, (size_t) st.st_size, 0);
    if (r < 0)
        return r;
    return envelope_state_parse(text, (size_t) st.st_size, n_recipients, ret);
}

static int load_envelope(int fd, uint64_t file_size, QueueFile *f)
{
    _cleanup_free_ char *text = NULL;
    char footer_text[ENVELOPE_FOOTER_SIZE];
    EnvelopeFooter footer;
    int r;

    if (file_size < ENVELOPE_FOOTER_SIZE)
        return -EBADMSG;
    r = read_at(fd, footer_text, sizeof(footer_text), file_size - sizeof(footer_text));
    if (r >= 0)
        r = envelope_parse_footer(footer_text, file_size, &footer);
    if (r < 0)
        return r;
    text = malloc(footer.size + 1);
    if (!text)
        return -ENOMEM;
    r = read_at(fd, text, footer.size, footer.offset);
    if (r >= 0)
        r = envelope_parse(text, &footer, &f->envelope);
    if (r >= 0)
        f->size = footer.offset;
    return r;
}

int queue_file_load(int dir_fd, const QueueId *id, QueueFile *ret, uint64_t *ret_mtime_usec)
{
    _cleanup_close_ int fd = openat(dir_fd, path_of(id, "").text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_(queue_file_clear) QueueFile f = {};
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    if ((st.st_mode & 07777) != MODE_COMMITTED) {
        *ret_mtime_usec = (uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC + (uint64_t) st.st_mtim.tv_nsec / 1000;
        return -EAGAIN;
    }
    r = load_envelope(fd, (uint64_t) st.st_size, &f);
    if (r < 0)
        return r;
    r = load_state(dir_fd, id, f.envelope->n_recipients, &f.state);
    if (r == -ENOMEM)
        return r;
    f.state_damaged = r < 0;
    if (!f.state) {
        r = envelope_state_new(&f.state, f.envelope->n_recipients);
        if (r < 0)
            return r;
    }
    *ret = f;
    f = (QueueFile) {};
    return 0;
}

int queue_file_open(int dir_fd, const QueueId *id)
{
    int fd = openat(dir_fd, path_of(id, "").text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? negative_errno() : fd;
}

int queue_file_write_state(int dir_fd, const QueueId *id, const char *text, size_t size)
{
    const QueuePath new = path_of(id, ".new");
    _cleanup_close_ int fd = openat(dir_fd, new.text, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, MODE_RECEIVING);
    int r;

    if (fd < 0)
        return negative_errno();
    r = write_all(fd, text, size);
    if (r < 0 || fsync(fd) < 0 || renameat(dir_fd, new.text, dir_fd, path_of(id, ".state").text) < 0) {
        r = r < 0 ? r : negative_errno();
        (void) unlinkat(dir_fd, new.text, 0);
        return r;
    }
    return queue_dir_sync(dir_fd, queue_id_bucket(id));
}

int queue_file_remove(int dir_fd, const QueueId *id)
{
    int r = unlinkat(dir_fd, path_of(id, "").text, 0) < 0 ? negative_errno() : 0;

    if (r == 0 || r == -ENOENT)
        (void) unlinkat(dir_fd, path_of(id, ".state").text, 0);
    return r;
}

int queue_file_set_aside(int dir_fd, const QueueId *id)
{
    if (renameat(dir_fd, path_of(id, "").text, dir_fd, path_of(id, ".damaged").text) < 0)
        return negative_errno();
    return 0;
}
