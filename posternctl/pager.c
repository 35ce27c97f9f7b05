/* SPDX-License-Identifier: Apache-2.0 */

/* The pager runs with the privileges of who called posternctl, often root, on text that strangers chose part of: it must not
 * give a shell or write files (LESSSECURE=1), and gets nothing but printable text. */

#include "pager.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static _Noreturn void run_pager(int fd, pid_t parent)
{
    const char *pager = getenv("SYSTEMD_PAGER") ?: getenv("PAGER");

    if (dup2(fd, STDIN_FILENO) < 0)
        _exit(EXIT_FAILURE);
    (void) signal(SIGPIPE, SIG_DFL);
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before */
        _exit(EXIT_FAILURE);
    /* Quit if it fits the screen, keep colours, chop long lines, leave the text on the screen. */
    (void) setenv("LESS", "FRSXMK", true);
    (void) setenv("LESSCHARSET", "utf-8", true);
    (void) setenv("LESSSECURE", "1", true);
    if (pager && *pager)
        (void) execl("/bin/sh", "sh", "-c", pager, NULL);
    else {
        (void) execlp("less", "less", NULL);
        (void) execlp("more", "more", NULL);
        (void) execlp("cat", "cat", NULL);
    }
    _exit(EXIT_FAILURE);
}

static bool is_none(const char *pager)
{
    return pager && (*pager == '\0' || streq(pager, "cat"));
}

pid_t pager_open(const Output *o)
{
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    const pid_t parent = getpid();
    int fds[2];
    pid_t pid;

    if (!o->pager || is_none(getenv("SYSTEMD_PAGER") ?: getenv("PAGER")) || pipe2(fds, O_CLOEXEC) < 0)
        return 0;
    in = fds[0];
    out = fds[1];
    (void) fflush(stdout);
    pid = fork();
    if (pid < 0)
        return 0;
    if (pid == 0)
        run_pager(in, parent);
    /* A reader who leaves early is no reason to die. */
    (void) signal(SIGPIPE, SIG_IGN);
    if (dup2(out, STDOUT_FILENO) < 0) {
        (void) kill(pid, SIGTERM);
        (void) waitpid(pid, NULL, 0);
        return 0;
    }
    return pid;
}

void pager_close(pid_t pid)
{
    if (pid <= 0)
        return;
    (void) fflush(stdout);
    (void) close(STDOUT_FILENO);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
