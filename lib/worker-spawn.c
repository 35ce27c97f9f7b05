/* SPDX-License-Identifier: Apache-2.0 */

/* Starts one worker process. It must pass nothing on by accident: no descriptor, no signal mask, no variable that systemd
 * meant for the manager. */

#include "worker-spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "worker.h"

static const char *const manager_variables[] = {
    "LISTEN_FDNAMES=", "LISTEN_FDS=", "LISTEN_PID=", "NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=",
};

static bool is_of_manager(const char *variable)
{
    for (size_t i = 0; i < ELEMENTSOF(manager_variables); i++)
        if (strncmp(variable, manager_variables[i], strlen(manager_variables[i])) == 0)
            return true;
    return false;
}

/* The array is the caller's, the strings are those of environ. */
static char **environment_of_worker(void)
{
    size_t n = 0, k = 0;
    char **list;

    while (environ && environ[n])
        n++;
    list = calloc(n + 1, sizeof(*list));
    if (!list)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!is_of_manager(environ[i]))
            list[k++] = environ[i];
    return list;
}

/* In the child: async-signal-safe functions only. Returns when something fails. */
static void become_worker(pid_t manager, int fd, char *const argv[], char *const envp[])
{
    sigset_t none;

    /* Dies with the manager, also if that is dead already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != manager)
        return;
    if (fd == WORKER_LINK_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, WORKER_LINK_FD) < 0)
        return;
    if (close_range(WORKER_LINK_FD + 1, ~0u, 0) < 0)
        return;
    (void) sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return;
    /* Not by its path: an upgrade may have put another version there. */
    (void) execve("/proc/self/exe", argv, envp);
}

int worker_spawn(const char *option, pid_t *ret_pid)
{
    _cleanup_free_ char **envp = NULL;
    _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
    char name[64];
    char *const argv[] = {name, (char *) option, NULL};
    pid_t manager = getpid(), pid;
    int pair[2];

    (void) snprintf(name, sizeof(name), "%s: %s", program_invocation_short_name, option + strspn(option, "-"));
    envp = environment_of_worker();
    if (!envp)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return negative_errno();
    ours = pair[0];
    theirs = pair[1];
    pid = fork();
    if (pid < 0)
        return negative_errno();
    if (pid == 0) {
        become_worker(manager, theirs, argv, envp);
        _exit(127);
    }
    *ret_pid = pid;
    return TAKE_FD(ours);
}
