/* SPDX-License-Identifier: Apache-2.0 */

/* Each probe is made by a child inside its filter: what each flag opens, and that nothing else opens it. Then a whole process is
 * started under a manager's filter, and it enters a worker's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "log.h"
#include "sandbox.h"

#define WORKER_ARGUMENT "--as-worker"

/* Probes return 0 or the errno. */
static int result(long r)
{
    return r < 0 ? errno : 0;
}

static int probe_open(void)
{
    return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int probe_create(void)
{
    return result(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

static int probe_stat(void)
{
    struct stat st;

    return result(stat("/etc/passwd", &st));
}

static int probe_fstat(void)
{
    struct stat st;

    return result(fstat(STDERR_FILENO, &st));
}

static int probe_rename(void)
{
    int r = result(rename("/nonexistent/a", "/nonexistent/b"));

    return r == ENOENT ? 0 : r;
}

static int probe_socket_unix(void)
{
    return result(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int probe_socket_inet(void)
{
    return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int probe_socket_inet6(void)
{
    int r = result(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    return r == EAFNOSUPPORT ? 0 : r; /* the kernel was asked */
}

static int probe_socket_netlink(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int probe_connect(void)
{
    const struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/nonexistent"};
    int r = result(connect(99, (const struct sockaddr *) &sa, sizeof(sa)));

    return r == EBADF ? 0 : r;
}

static int probe_accept(void)
{
    int r = result(accept4(99, NULL, NULL, SOCK_CLOEXEC));

    return r == EBADF ? 0 : r;
}

static int probe_listen(void)
{
    int r = result(listen(99, 1));

    return r == EBADF ? 0 : r;
}

static void *thread(void *userdata)
{
    return userdata;
}

static int probe_thread(void)
{
    pthread_t t;
    int r;

    r = pthread_create(&t, NULL, thread, NULL);
    if (r == 0)
        (void) pthread_join(t, NULL);
    return r == EAGAIN ? EPERM : r; /* how the C library words it */
}

static int probe_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    if (pid < 0)
        return errno;
    return result(waitpid(pid, NULL, 0));
}

static int probe_execute_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

static int probe_write_execute_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

static int probe_make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? errno : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int probe_kill_parent(void)
{
    return result(kill(getppid(), 0));
}

static int probe_kill_self(void)
{
    return result(kill(getpid(), 0));
}

static int probe_ptrace(void)
{
    return result(syscall(SYS_ptrace, 0x4206L, (long) getppid(), 0L, 0L));
}

static int probe_own_signals(void)
{
    int pair[2] = {99, 99};

    return result(fcntl(pair[0], F_SETOWN, getppid()));
}

static int probe_set_limit(void)
{
    return result(setrlimit(RLIMIT_NOFILE, &(struct rlimit) {64, 64}));
}

static int probe_get_limit(void)
{
    struct rlimit limit;

    return result(getrlimit(RLIMIT_NOFILE, &limit));
}

static int probe_memfd(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return fd < 0 ? errno : result(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* A loop with a timer, made inside. */
static int probe_event_loop(void)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    int r;

    r = sd_event_new(&event);
    if (r >= 0)
        r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 1000, 0, NULL, NULL); /* no callback: ends the loop */
    if (r >= 0)
        r = sd_event_loop(event);
    return -MIN(r, 0);
}

static int inherited[2]; /* a socket pair from before the filter */

/* A direct bus connection over a descriptor that is there, up to its authentication. */
static int probe_bus(void)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *client = NULL, *server = NULL;
    sd_id128_t id = {.qwords = {1, 2}};
    int r;

    r = sd_bus_new(&server);
    if (r >= 0)
        r = sd_bus_set_fd(server, inherited[0], inherited[0]);
    if (r >= 0)
        r = sd_bus_set_server(server, true, id);
    if (r >= 0)
        r = sd_bus_negotiate_fds(server, true);
    if (r >= 0)
        r = sd_bus_start(server);
    if (r >= 0)
        r = sd_bus_new(&client);
    if (r >= 0)
        r = sd_bus_set_fd(client, inherited[1], inherited[1]);
    if (r >= 0)
        r = sd_bus_start(client);
    for (int i = 0; i < 100 && r >= 0 && sd_bus_is_ready(client) <= 0; i++) {
        r = sd_bus_process(server, NULL);
        if (r >= 0)
            r = sd_bus_process(client, NULL);
    }
    return r < 0 ? -r : sd_bus_is_ready(client) > 0 ? 0 : ETIMEDOUT;
}

#define EVERY (SANDBOX_ACCEPT | SANDBOX_FILES | SANDBOX_CONNECT_UNIX | SANDBOX_CONNECT_INET | SANDBOX_THREADS | SANDBOX_SPAWN)
#define NEVER 0u
#define ALWAYS_ALLOWED UINT32_MAX

static const struct {
    const char *what;
    int (*probe)(void);
    uint32_t opened_by; /* flags, each of which is enough */
} probes[] = {
    {"open", probe_open, SANDBOX_FILES | SANDBOX_SPAWN},
    {"create", probe_create, SANDBOX_FILES},
    {"stat", probe_stat, SANDBOX_FILES | SANDBOX_SPAWN},
    {"fstat", probe_fstat, ALWAYS_ALLOWED},
    {"rename", probe_rename, SANDBOX_FILES},
    {"socket(AF_UNIX)", probe_socket_unix, SANDBOX_CONNECT_UNIX},
    {"socket(AF_INET)", probe_socket_inet, SANDBOX_CONNECT_INET},
    {"socket(AF_INET6)", probe_socket_inet6, SANDBOX_CONNECT_INET},
    {"socket(AF_NETLINK)", probe_socket_netlink, NEVER},
    {"connect", probe_connect, SANDBOX_CONNECT_UNIX | SANDBOX_CONNECT_INET},
    {"accept", probe_accept, SANDBOX_ACCEPT},
    {"listen", probe_listen, NEVER},
    {"thread", probe_thread, SANDBOX_THREADS | SANDBOX_SPAWN},
    {"fork", probe_fork, SANDBOX_SPAWN},
    {"executable memory", probe_execute_memory, SANDBOX_SPAWN},
    {"writable and executable memory", probe_write_execute_memory, NEVER},
    {"mprotect to executable", probe_make_executable, NEVER},
    {"kill the parent", probe_kill_parent, SANDBOX_SPAWN},
    {"kill itself", probe_kill_self, ALWAYS_ALLOWED},
    {"ptrace", probe_ptrace, NEVER},
    {"F_SETOWN", probe_own_signals, NEVER},
    {"set a limit", probe_set_limit, SANDBOX_SPAWN},
    {"get a limit", probe_get_limit, ALWAYS_ALLOWED},
    {"memfd", probe_memfd, ALWAYS_ALLOWED},
    {"event loop", probe_event_loop, ALWAYS_ALLOWED},
    {"bus over a descriptor", probe_bus, ALWAYS_ALLOWED},
};

/* Runs probe in a child inside the filter; returns its errno, or 256 + the signal that killed it. */
static int run_probe(uint32_t flags, int (*probe)(void))
{
    siginfo_t info = {};
    pid_t pid;

    assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inherited) >= 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int r = sandbox_enter(flags);

        _exit(r < 0 ? 255 : probe());
    }
    assert_true(waitid(P_PID, (id_t) pid, &info, WEXITED) >= 0);
    (void) close(inherited[0]);
    (void) close(inherited[1]);
    return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
}

static void test_probes(void **state)
{
    static const uint32_t flags[] = {
        SANDBOX_BASE, SANDBOX_ACCEPT, SANDBOX_FILES, SANDBOX_CONNECT_UNIX, SANDBOX_CONNECT_INET, SANDBOX_THREADS, SANDBOX_SPAWN, EVERY,
    };

    for (size_t f = 0; f < ELEMENTSOF(flags); f++)
        for (size_t i = 0; i < ELEMENTSOF(probes); i++) {
            bool open = probes[i].opened_by == ALWAYS_ALLOWED || (probes[i].opened_by & flags[f]) != 0;
            int r = run_probe(flags[f], probes[i].probe);

            if (r != (open ? 0 : EPERM))
                fail_msg("%s with flags 0x%x: %d, expected %d", probes[i].what, (unsigned) flags[f], r, open ? 0 : EPERM);
        }
}

/* Nothing is connected by it, and there is no other way out. */
static void test_connected(void **state)
{
    assert_int_equal(run_probe(SANDBOX_CONNECTED, probe_connect), EINPROGRESS);
    assert_int_equal(run_probe(SANDBOX_CONNECTED, probe_socket_inet), EPERM);
    assert_int_equal(run_probe(SANDBOX_CONNECTED, probe_open), EPERM);
}

static int probe_exec(void)
{
    return result(execl("/bin/true", "true", NULL));
}

static int probe_abort(void)
{
    abort();
}

static void test_fatal(void **state)
{
    assert_int_equal(run_probe(EVERY & ~(uint32_t) SANDBOX_SPAWN, probe_exec), 256 + SIGSYS);
    assert_int_equal(run_probe(SANDBOX_BASE, probe_exec), 256 + SIGSYS);
    assert_int_equal(run_probe(EVERY, probe_exec), 0);
    assert_int_equal(run_probe(SANDBOX_BASE, probe_abort), 256 + SIGABRT);
}

/* The worker's side of test_worker(). */
static int run_as_worker(void)
{
    if (sandbox_enter(SANDBOX_ACCEPT) < 0)
        return 10;
    if (probe_event_loop() != 0 || probe_accept() != 0)
        return 11;
    if (probe_open() != EPERM || probe_socket_unix() != EPERM || probe_fork() != EPERM || probe_execute_memory() != EPERM)
        return 12;
    return 0;
}

static int probe_start_worker(void)
{
    siginfo_t info = {};
    pid_t pid;

    pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0) {
        (void) execl("/proc/self/exe", "worker", WORKER_ARGUMENT, NULL);
        _exit(20);
    }
    if (waitid(P_PID, (id_t) pid, &info, WEXITED) < 0)
        return errno;
    return info.si_code == CLD_EXITED ? info.si_status : 100;
}

static void test_worker(void **state)
{
    assert_int_equal(run_probe(SANDBOX_SPAWN | SANDBOX_ACCEPT, probe_start_worker), 0);
}

static int probe_log(void)
{
    log_info("From inside");
    return 0;
}

static void test_log(void **state)
{
    assert_int_equal(log_open("test-sandbox"), 0);
    assert_int_equal(run_probe(SANDBOX_BASE, probe_log), 0);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_connected),
        cmocka_unit_test(test_fatal),
        cmocka_unit_test(test_worker),
        cmocka_unit_test(test_log),
    };

    if (argc > 1 && streq(argv[1], WORKER_ARGUMENT))
        _exit(run_as_worker());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
