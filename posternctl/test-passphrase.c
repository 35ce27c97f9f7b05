/* SPDX-License-Identifier: Apache-2.0 */

/* A passphrase typed into a terminal: nothing of it is shown, and the terminal is afterwards as it was. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#include "file.h"
#include "passphrase.h"

/* The child asks on the terminal, whose other end is ours, and answers by its exit status: 0 if it read what is expected. */
typedef struct Terminal {
    int master, slave;
    pid_t child;
} Terminal;

static int ask(int slave, const char *expected, int result)
{
    char buffer[PASSPHRASE_MAX + 1];
    struct termios t;
    int r;

    r = passphrase_read(slave, "Passphrase: ", buffer);
    if (r != result || (r >= 0 && !streq(buffer, expected)))
        return 1;
    if (tcgetattr(slave, &t) < 0 || !(t.c_lflag & ECHO))
        return 2;
    return 0;
}

static void terminal_begin(Terminal *t, const char *expected, int result)
{
    char buffer[64] = "";
    struct termios settings;

    assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, NULL), 0);
    t->child = fork();
    assert_true(t->child >= 0);
    if (t->child == 0) {
        (void) setsid();
        (void) ioctl(t->slave, TIOCSCTTY, 0);
        _exit(ask(t->slave, expected, result));
    }
    assert_true(read(t->master, buffer, sizeof(buffer) - 1) > 0);
    assert_string_equal(buffer, "Passphrase: ");
    /* The prompt comes before the echo is off, and what was typed before that is forgotten. */
    do
        assert_int_equal(tcgetattr(t->slave, &settings), 0);
    while (settings.c_lflag & ECHO);
}

/* What the terminal shows until it is quiet. */
static void check_shown(const Terminal *t, const char *expected)
{
    struct pollfd p = {.fd = t->master, .events = POLLIN};
    char buffer[256] = "";
    size_t n = 0;

    while (poll(&p, 1, 100) > 0 && (p.revents & POLLIN)) {
        ssize_t k = read(t->master, buffer + n, sizeof(buffer) - 1 - n);

        if (k <= 0)
            break;
        n += (size_t) k;
    }
    assert_string_equal(buffer, expected);
}

static void terminal_end(Terminal *t)
{
    int status;

    assert_int_equal(waitpid(t->child, &status, 0), t->child);
    assert_int_equal(status, 0);
    (void) close(t->master);
    (void) close(t->slave);
}

static void type(const Terminal *t, const char *text)
{
    assert_int_equal(write(t->master, text, strlen(text)), (ssize_t) strlen(text));
}

static void test_nothing_is_shown(void **state)
{
    Terminal t;

    terminal_begin(&t, "secret \xc3\xbc", 0);
    type(&t, "secrex\x7ft \xc3\xbc\n"); /* with a correction */
    terminal_end(&t);
}

static void test_only_the_line_end_is_shown(void **state)
{
    Terminal t;

    terminal_begin(&t, "secret", 0);
    type(&t, "secret\n");
    check_shown(&t, "\r\n");
    terminal_end(&t);
}

static void test_end_of_input(void **state)
{
    Terminal t;

    terminal_begin(&t, NULL, -ENODATA);
    type(&t, "\x04");
    terminal_end(&t);
}

static void test_too_long(void **state)
{
    char text[PASSPHRASE_MAX + 3];
    Terminal t;

    memset(text, 'x', sizeof(text));
    text[PASSPHRASE_MAX + 1] = '\n';
    text[PASSPHRASE_MAX + 2] = '\0';
    terminal_begin(&t, NULL, -E2BIG);
    type(&t, text);
    terminal_end(&t);
}

/* It dies by the signal, after the terminal was put back. */
static void test_an_interrupt_leaves_the_terminal_as_it_was(void **state)
{
    struct termios settings;
    int status;
    Terminal t;

    terminal_begin(&t, NULL, 0);
    type(&t, "sec\x03");
    assert_int_equal(waitpid(t.child, &status, 0), t.child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    assert_int_equal(tcgetattr(t.slave, &settings), 0);
    assert_true(settings.c_lflag & ECHO);
    (void) close(t.master);
    (void) close(t.slave);
}

static void test_from_a_file(void **state)
{
    static const struct {
        const char *content, *expected;
    } table[] = {
        {"secret\n", "secret"},
        {"secret", "secret"},
        {"two\nlines\n", "two\nlines"},
        {"", ""},
    };
    char path[] = "/tmp/test-posternctl-passphrase.XXXXXX";
    _cleanup_close_ int file = mkostemp(path, O_CLOEXEC);

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(failure_done) Failure failure = {};
        _cleanup_close_ int fd = -EBADF;
        char buffer[64] = "";

        assert_int_equal(ftruncate(file, 0), 0);
        assert_int_equal(pwrite(file, table[i].content, strlen(table[i].content), 0), (ssize_t) strlen(table[i].content));
        assert_int_equal(passphrase_from_file(path, &fd, &failure), 0);
        assert_true(file_read(fd, buffer, sizeof(buffer) - 1) >= 0);
        assert_string_equal(buffer, table[i].expected);
    }
    for (size_t size = PASSPHRASE_MAX; size <= PASSPHRASE_MAX + 3; size++) {
        _cleanup_(failure_done) Failure failure = {};
        _cleanup_close_ int fd = -EBADF;

        assert_int_equal(ftruncate(file, (off_t) size), 0);
        assert_int_equal(passphrase_from_file(path, &fd, &failure), size == PASSPHRASE_MAX ? 0 : -ECANCELED);
    }
    (void) unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_shown),
        cmocka_unit_test(test_only_the_line_end_is_shown),
        cmocka_unit_test(test_end_of_input),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_an_interrupt_leaves_the_terminal_as_it_was),
        cmocka_unit_test(test_from_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
