/* SPDX-License-Identifier: Apache-2.0 */

/* Asking without showing. What was typed is wiped from memory once it is in the pipe. */

#include "passphrase.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "file.h"

/* How often two that differ are asked for. */
#define ATTEMPTS 3

static void wipe(char (*buffer)[PASSPHRASE_MAX + 1])
{
    explicit_bzero(*buffer, sizeof(*buffer));
}

/* ---- the terminal ---- */

static int echo_off(int fd, struct termios *ret_before)
{
    struct termios before, silent;

    if (tcgetattr(fd, &before) < 0)
        return negative_errno();
    silent = before;
    silent.c_lflag &= ~(tcflag_t) ECHO;
    silent.c_lflag |= ICANON | ECHONL;
    if (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
        return negative_errno();
    *ret_before = before;
    return 0;
}

/* One line, which the terminal gives as a whole. Returns its length, or -EINTR with *ret_signal set. */
static ssize_t read_line(int fd, int signals, char *buffer, int *ret_signal)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;
    ssize_t n;

    while (poll(p, ELEMENTSOF(p), -1) < 0)
        if (errno != EINTR)
            return negative_errno();
    if (p[1].revents) {
        if (read(signals, &info, sizeof(info)) != sizeof(info))
            return -EIO;
        *ret_signal = (int) info.ssi_signo;
        return -EINTR;
    }
    n = read(fd, buffer, PASSPHRASE_MAX + 1);
    if (n < 0)
        return negative_errno();
    if (n == 0)
        return -ENODATA;
    if (buffer[n - 1] != '\n')
        return n > PASSPHRASE_MAX ? -E2BIG : n;
    return n - 1;
}

/* The terminal is as it was when this returns, and when the signal does what it does. */
static ssize_t read_silently(int fd, int signals, char *buffer, int *ret_signal)
{
    struct termios before;
    ssize_t n;
    int r;

    r = echo_off(fd, &before);
    if (r < 0)
        return r;
    n = read_line(fd, signals, buffer, ret_signal);
    (void) tcsetattr(fd, TCSAFLUSH, &before);
    return n;
}

static int read_with_signals(int fd, const char *prompt, const sigset_t *set, char *buffer)
{
    _cleanup_close_ int signals = signalfd(-1, set, SFD_CLOEXEC);
    ssize_t n;

    if (signals < 0)
        return negative_errno();
    for (;;) {
        int signo = 0;

        if (dprintf(fd, "%s", prompt) < 0)
            return negative_errno();
        n = read_silently(fd, signals, buffer, &signo);
        if (n != -EINTR)
            break;
        (void) dprintf(fd, "\n");
        if (signo != SIGTSTP) {
            (void) raise(signo); /* it is delivered when the caller unblocks it */
            return -EINTR;
        }
        (void) raise(SIGSTOP); /* and then the question is asked again */
    }
    if (n < 0)
        return (int) n;
    buffer[n] = '\0';
    return 0;
}

int passphrase_read(int fd, const char *prompt, char *buffer)
{
    static const int caught[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    sigset_t set, before;
    int r;

    (void) sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(caught); i++)
        (void) sigaddset(&set, caught[i]);
    if (sigprocmask(SIG_BLOCK, &set, &before) < 0)
        return negative_errno();
    r = read_with_signals(fd, prompt, &set, buffer);
    (void) sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* ---- the pipe ---- */

/* It holds far more than PASSPHRASE_MAX, so nobody waits. */
static int into_pipe(const char *data, size_t size, int *ret)
{
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    int fds[2];
    ssize_t n;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return negative_errno();
    out = fds[0];
    in = fds[1];
    n = write(in, data, size);
    if (n < 0)
        return negative_errno();
    if ((size_t) n != size)
        return -EIO;
    *ret = TAKE_FD(out);
    return 0;
}

static int set_failure(Failure *failure, int r)
{
    if (r == -E2BIG)
        return failure_set(failure, STATUS_USAGE, "The passphrase is longer than %d bytes", PASSPHRASE_MAX);
    if (r == -EINTR || r == -ENODATA)
        return failure_set(failure, EXIT_FAILURE, "No passphrase was given");
    return failure_set(failure, EXIT_FAILURE, "Cannot read the passphrase: %s", strerror(-r));
}

int passphrase_ask(const char *what, bool twice, int *ret, Failure *failure)
{
    _cleanup_(wipe) char first[PASSPHRASE_MAX + 1] = "";
    _cleanup_(wipe) char second[PASSPHRASE_MAX + 1] = "";
    _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    _cleanup_free_ char *prompt = NULL;
    int r;

    if (fd < 0)
        return failure_set(failure, STATUS_USAGE, "There is no terminal to ask for the passphrase: give --passphrase-file=");
    if (asprintf(&prompt, "Passphrase %s: ", what) < 0) {
        prompt = NULL;
        return -ENOMEM;
    }
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        r = passphrase_read(fd, prompt, first);
        if (r >= 0 && twice)
            r = passphrase_read(fd, "The same again: ", second);
        if (r >= 0 && (!twice || streq(first, second)))
            r = into_pipe(first, strlen(first), ret);
        else if (r >= 0) {
            (void) dprintf(fd, "These differ.\n");
            continue;
        }
        return r < 0 ? set_failure(failure, r) : 0;
    }
    return failure_set(failure, EXIT_FAILURE, "The passphrases differ");
}

int passphrase_from_file(const char *path, int *ret, Failure *failure)
{
    _cleanup_(wipe) char buffer[PASSPHRASE_MAX + 1] = ""; /* with room for the line end */
    _cleanup_close_ int fd = -EBADF;
    char more;
    ssize_t n;
    int r;

    r = file_open(path, &fd, failure);
    if (r < 0)
        return r;
    n = file_read(fd, buffer, sizeof(buffer));
    if (n < 0)
        return set_failure(failure, (int) n);
    if (n > 0 && buffer[n - 1] == '\n')
        n--;
    if (n > PASSPHRASE_MAX || file_read(fd, &more, 1) != 0)
        return set_failure(failure, -E2BIG);
    r = into_pipe(buffer, (size_t) n, ret);
    return r < 0 ? set_failure(failure, r) : 0;
}
