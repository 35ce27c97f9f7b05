/* SPDX-License-Identifier: Apache-2.0 */

/* The files of the queue: commit only what nobody can write any more, find all that was committed, and the promise: a process
 * that commits is killed at random, again and again, and everything it had answered for is there, whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "queue-file.h"

/* Takes the C library's place. */
static bool disk_broken;

int fsync(int fd)
{
    if (disk_broken) {
        errno = EIO;
        return -1;
    }
    return (int) syscall(SYS_fsync, fd);
}

typedef struct Fixture {
    char path[64];
    int dir_fd;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->path, "/tmp/postern-queue-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dir_fd >= 0);
    assert_int_equal(queue_dir_prepare(f->dir_fd), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    char command[128];

    (void) snprintf(command, sizeof(command), "rm -r %s", f->path);
    assert_int_equal(system(command), 0);
    close(f->dir_fd);
    free(f);
    return 0;
}

static Envelope *envelope(const char *recipient)
{
    Envelope *e = calloc(1, sizeof(*e));

    assert_non_null(e);
    e->sender = strdup("alice@example.org");
    assert_int_equal(envelope_add_recipient(e, recipient), 0);
    return e;
}

static void test_commit(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(1, 1, 0);
    _cleanup_(envelope_freep) Envelope *e = envelope("bob@example.com");
    _cleanup_(queue_file_clear) QueueFile file = {};
    uint64_t size = 0, mtime;
    bool copied = true;
    char text[16];
    int fd;

    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -ENOENT);
    fd = queue_file_create(f->dir_fd, &id);
    assert_true(fd >= 0);
    assert_int_equal(queue_file_create(f->dir_fd, &id), -EEXIST);
    assert_int_equal(write(fd, "x: y\r\n\r\nbody\r\n", 14), 14);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), -EAGAIN);
    assert_int_equal(queue_file_unused(f->dir_fd, &id), -ETXTBSY);
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -ETXTBSY);
    close(fd);
    assert_int_equal(queue_file_unused(f->dir_fd, &id), 0);
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), 0);
    assert_int_equal(size, 14);
    assert_false(copied);
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -EALREADY);

    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), 0);
    assert_int_equal(file.size, 14);
    assert_string_equal(file.envelope->recipients[0], "bob@example.com");
    assert_int_equal(file.state->recipients[0], RECIPIENT_PENDING);
    fd = queue_file_open(f->dir_fd, &id);
    assert_int_equal(pread(fd, text, 14, 0), 14);
    assert_memory_equal(text, "x: y\r\n\r\nbody\r\n", 14);
    assert_int_equal(write(fd, "x", 1), -1);
    close(fd);
    assert_int_equal(queue_file_remove(f->dir_fd, &id), 0);
    assert_int_equal(queue_file_open(f->dir_fd, &id), -ENOENT);
}

/* A second fsync() would succeed whatever became of the data: a message whose first one failed must not be committed any more. */
static void test_broken_disk(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(5, 5, 0);
    _cleanup_(envelope_freep) Envelope *e = envelope("bob@example.com");
    _cleanup_close_ int fd = queue_file_create(f->dir_fd, &id);
    uint64_t size;
    bool copied;

    assert_int_equal(write(fd, "x: y\r\n", 6), 6);
    fd = close_fd(fd);
    disk_broken = true;
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -EIO);
    disk_broken = false;
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -ENOENT);
}

/* A writable mapping would outlive the descriptor; the descriptor that a client gets does not allow one. */
static void test_mapping(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(2, 2, 0);
    _cleanup_close_ int fd = queue_file_create(f->dir_fd, &id);

    assert_int_equal(write(fd, "x: y\r\n", 6), 6);
    assert_ptr_equal(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(errno, EACCES);
}

static void test_empty_and_insert(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(3, 3, 0), own = queue_id_make(4, 4, 5);
    _cleanup_(envelope_freep) Envelope *e = envelope("bob@example.com");
    _cleanup_(queue_file_clear) QueueFile file = {};
    uint64_t size, mtime;
    bool copied;

    close(queue_file_create(f->dir_fd, &id));
    assert_int_equal(queue_file_commit(f->dir_fd, &id, e, &size, &copied), -ENODATA);
    assert_int_equal(queue_file_insert(f->dir_fd, &own, "a\r\n", 3, e), 0);
    assert_int_equal(queue_file_load(f->dir_fd, &own, &file, &mtime), 0);
    assert_int_equal(file.size, 3);
}

/* A client may end its message with an envelope of its own; it is still content. */
static void test_faked_envelope(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(5, 5, 0);
    _cleanup_(envelope_freep) Envelope *fake = envelope("victim@example.net"), *real = envelope("bob@example.com");
    _cleanup_(queue_file_clear) QueueFile file = {};
    _cleanup_free_ char *text = NULL;
    uint64_t size, mtime;
    bool copied;
    size_t n;
    int fd = queue_file_create(f->dir_fd, &id);

    assert_int_equal(envelope_format(fake, 0, &text, &n), 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), -EAGAIN);
    assert_int_equal(queue_file_commit(f->dir_fd, &id, real, &size, &copied), 0);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), 0);
    assert_string_equal(file.envelope->recipients[0], "bob@example.com");
    assert_int_equal(file.size, n);
}

static void test_state(void **state)
{
    Fixture *f = *state;
    const QueueId id = queue_id_make(6, 6, 0);
    _cleanup_(envelope_freep) Envelope *e = envelope("bob@example.com");
    _cleanup_(queue_file_clear) QueueFile file = {};
    _cleanup_free_ char *text = NULL;
    uint64_t mtime;
    size_t n;

    assert_int_equal(queue_file_insert(f->dir_fd, &id, "a\r\n", 3, e), 0);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), 0);
    assert_false(file.state_damaged);
    assert_int_equal(envelope_state_set(file.state, "example.com", 3, 99, "because"), 0);
    assert_int_equal(envelope_state_format(file.state, &text, &n), 0);
    assert_int_equal(queue_file_write_state(f->dir_fd, &id, text, n), 0);
    queue_file_clear(&file);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), 0);
    assert_int_equal(envelope_state_get(file.state, "example.com")->attempts, 3);
    queue_file_clear(&file);
    assert_int_equal(queue_file_write_state(f->dir_fd, &id, text, n - 2), 0);
    assert_int_equal(queue_file_load(f->dir_fd, &id, &file, &mtime), 0);
    assert_true(file.state_damaged);
    assert_int_equal(file.state->n_destinations, 0);
}

/* ---- the promise ---- */
#define MESSAGE_SIZE 5000

static void commit_forever(int dir_fd, unsigned round, int answered)
{
    for (uint64_t n = 0;; n++) {
        const QueueId id = queue_id_make((uint64_t) round * USEC_PER_SEC, n, QUEUE_BUCKETS);
        Envelope *e = envelope("bob@example.com");
        char message[MESSAGE_SIZE];
        uint64_t size;
        bool copied;
        int fd = queue_file_create(dir_fd, &id);

        if (fd < 0)
            _exit(1);
        memset(message, 'a' + (int) (n % 26), sizeof(message));
        if (write(fd, message, sizeof(message)) != sizeof(message) || queue_dir_sync(dir_fd, queue_id_bucket(&id)) < 0)
            _exit(1);
        close(fd);
        if (queue_file_commit(dir_fd, &id, e, &size, &copied) < 0)
            _exit(1);
        envelope_free(e);
        if (write(answered, &id, sizeof(id)) != sizeof(id))
            _exit(1);
    }
}

static void assert_whole(int dir_fd, const QueueId *id)
{
    _cleanup_(queue_file_clear) QueueFile file = {};
    char message[MESSAGE_SIZE];
    uint64_t mtime;
    int fd;

    assert_int_equal(queue_file_load(dir_fd, id, &file, &mtime), 0);
    assert_int_equal(file.size, MESSAGE_SIZE);
    fd = queue_file_open(dir_fd, id);
    assert_int_equal(pread(fd, message, sizeof(message), 0), sizeof(message));
    for (size_t i = 0; i < sizeof(message); i++)
        assert_int_equal(message[i], message[0]);
    close(fd);
}

/* Whatever is there is either not committed, or whole. */
static unsigned count_committed(Fixture *f)
{
    unsigned n = 0;

    for (unsigned i = 0; i < QUEUE_BUCKETS; i++) {
        char path[128];
        struct dirent *entry;
        DIR *dir;

        (void) snprintf(path, sizeof(path), "%s/%c", f->path, queue_bucket_char(i));
        dir = opendir(path);
        assert_non_null(dir);
        while ((entry = readdir(dir))) {
            _cleanup_(queue_file_clear) QueueFile file = {};
            uint64_t mtime;
            QueueId id;
            int r;

            if (queue_id_parse(entry->d_name, &id) < 0)
                continue;
            r = queue_file_load(f->dir_fd, &id, &file, &mtime);
            assert_true(r == 0 || r == -EAGAIN);
            n += r == 0;
        }
        closedir(dir);
    }
    return n;
}

static void test_kill(void **state)
{
    Fixture *f = *state;
    unsigned answered = 0;

    srandom((unsigned) time(NULL));
    for (unsigned round = 1; round <= 20; round++) {
        int ends[2];
        QueueId id;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        pid = fork();
        if (pid == 0) {
            close(ends[0]);
            commit_forever(f->dir_fd, round, ends[1]);
        }
        close(ends[1]);
        (void) usleep(2000 + (useconds_t) random() % 40000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        while (read(ends[0], &id, sizeof(id)) == sizeof(id)) {
            assert_whole(f->dir_fd, &id);
            answered++;
        }
        close(ends[0]);
    }
    print_message("%u messages answered for\n", answered);
    assert_true(answered > 0);
    assert_true(count_committed(f) >= answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mapping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_and_insert, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_faked_envelope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kill, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
