/* SPDX-License-Identifier: Apache-2.0 */

/* The agent is another program's, which speaks with polkit and the terminal on its own: a password never passes through
 * posternctl. */

#include "polkit-agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define START_TIMEOUT_MSEC 10000

static _Noreturn void run_agent(int fd, pid_t parent)
{
    char number[3 * sizeof(int) + 2];

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before */
        _exit(EXIT_FAILURE);
    (void) snprintf(number, sizeof(number), "%d", fd);
    /* Without --fallback: it asks where the command was typed, and polkit has a fallback in sessions of logind only. */
    if (fcntl(fd, F_SETFD, 0) >= 0)
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", number, NULL);
    _exit(EXIT_FAILURE);
}

pid_t polkit_agent_open(void)
{
    _cleanup_close_ int in = -EBADF, out = -EBADF;
    const pid_t parent = getpid();
    struct pollfd p = {};
    int fds[2];
    pid_t pid;

    if (geteuid() == 0 || !isatty(STDIN_FILENO) || pipe2(fds, O_CLOEXEC) < 0)
        return 0;
    out = fds[0];
    in = fds[1];
    (void) fflush(stdout);
    pid = fork();
    if (pid < 0)
        return 0;
    if (pid == 0)
        run_agent(in, parent);
    in = close_fd(in);
    /* It closes its end when polkit knows it, or when it ends. */
    p.fd = out;
    while (poll(&p, 1, START_TIMEOUT_MSEC) < 0 && errno == EINTR)
        ;
    if (waitpid(pid, NULL, WNOHANG) != 0)
        return 0;
    return pid;
}

void polkit_agent_close(pid_t pid)
{
    if (pid <= 0)
        return;
    (void) kill(pid, SIGTERM);
    (void) kill(pid, SIGCONT);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
