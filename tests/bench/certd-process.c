/* SPDX-License-Identifier: Apache-2.0 */

/* Starts certd for the benchmarks. Everything that it leaves behind is in one directory below /tmp, which goes with it. */

#include "certd-process.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "measure.h"
#include "openssl-cleanup.h"

#define PASSIVE_FD 3 /* SD_LISTEN_FDS_START */
#define CERTD_PATH "/org/postern/Cert1"
#define CONFIGURATION "/etc/postern"

struct CertdProcess {
    char directory[32];
    pid_t pid;
    clockid_t clock;
    sd_bus *bus;
};

/* ---- who this process is ---- */

static int bind_passwd(uid_t uid, gid_t gid)
{
    char path[] = "/tmp/bench-passwd-XXXXXX", text[256];
    _cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
    int n, r = 0;

    if (fd < 0)
        return -errno;
    n = snprintf(text, sizeof(text), "postern-smtpd:x:%u:%u::/:/usr/sbin/nologin\n", uid, gid);
    if (write(fd, text, (size_t) n) != n || mount(path, "/etc/passwd", NULL, MS_BIND, NULL) < 0)
        r = -errno;
    (void) unlink(path);
    return r;
}

int certd_process_prepare(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int r;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    r = bind_passwd(uid, gid);
    if (r < 0)
        return r;
    if (access(CONFIGURATION, F_OK) == 0 && mount("none", CONFIGURATION, "tmpfs", 0, NULL) < 0)
        return -errno;
    return 0;
}

/* ---- starting ---- */

static int listen_at(const char *directory)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/certd", directory);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 128) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* In the child. */
static void run(const char *program, const char *directory, int fd)
{
    char state[64], pid[16];

    (void) snprintf(state, sizeof(state), "%s/state", directory);
    (void) snprintf(pid, sizeof(pid), "%d", getpid());
    /* dup2() to itself would leave it close-on-exec. */
    if ((fd == PASSIVE_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, PASSIVE_FD)) < 0 || mkdir(state, 0700) < 0
            || setenv("LISTEN_FDS", "1", 1) < 0 || setenv("LISTEN_FDNAMES", "peer", 1) < 0 || setenv("LISTEN_PID", pid, 1) < 0
            || setenv("STATE_DIRECTORY", state, 1) < 0)
        _exit(EXIT_FAILURE);
    (void) execl(program, program, NULL);
    _exit(EXIT_FAILURE);
}

static int bus_open(sd_bus **ret, const char *directory)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    char address[64];
    int r;

    (void) snprintf(address, sizeof(address), "unix:path=%s/certd", directory);
    r = sd_bus_new(&bus);
    if (r >= 0)
        r = sd_bus_set_address(bus, address);
    if (r >= 0)
        r = sd_bus_set_bus_client(bus, true);
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(bus);
    return 0;
}

int certd_process_new(CertdProcess **ret, const char *program)
{
    _cleanup_(certd_process_freep) CertdProcess *p = NULL;
    _cleanup_close_ int fd = -EBADF;
    uint8_t hash[32];
    int r;

    p = calloc(1, sizeof(CertdProcess));
    if (!p)
        return -ENOMEM;
    strcpy(p->directory, "/tmp/bench-certd-XXXXXX");
    if (!mkdtemp(p->directory)) {
        r = -errno;
        p->directory[0] = '\0';
        return r;
    }
    /* It finds neither alertd nor a system bus, like a host that is still starting. */
    if (setenv("POSTERN_RUNTIME_DIR", p->directory, 1) < 0
            || setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1) < 0)
        return -ENOMEM;
    fd = listen_at(p->directory);
    if (fd < 0)
        return fd;
    p->pid = fork();
    if (p->pid < 0)
        return -errno;
    if (p->pid == 0)
        run(program, p->directory, fd);
    r = clock_getcpuclockid(p->pid, &p->clock);
    if (r != 0)
        return -r;
    r = bus_open(&p->bus, p->directory);
    if (r < 0)
        return r;
    /* Its first answer: it is up, and what starting has cost is behind it. */
    r = certd_process_key_hash(p, hash);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(p);
    return 0;
}

CertdProcess *certd_process_free(CertdProcess *p)
{
    char command[64];

    if (!p)
        return NULL;
    sd_bus_close_unref(p->bus);
    if (p->pid > 0) {
        (void) kill(p->pid, SIGTERM);
        (void) waitpid(p->pid, NULL, 0);
    }
    if (p->directory[0]) {
        (void) snprintf(command, sizeof(command), "rm -r %s", p->directory);
        (void) !system(command);
    }
    free(p);
    return NULL;
}

/* ---- talking to it ---- */

int certd_process_replace(CertdProcess *p, const char *key_type)
{
    int r;

    r = sd_bus_call_method(p->bus, NULL, CERTD_PATH, "org.postern.Cert1", "DeleteCertificate", NULL, NULL, "sb",
            CERTD_PROCESS_CERTIFICATE, true);
    if (r < 0)
        return r;
    r = sd_bus_call_method(p->bus, NULL, CERTD_PATH, "org.postern.Cert1", "CreateCertificate", NULL, NULL, "sa{sv}",
            CERTD_PROCESS_CERTIFICATE, 2, "CommonName", "s", "bench.example", "KeyType", "s", key_type);
    return r < 0 ? r : 0;
}

static int key_hash(const char *pem, size_t size, uint8_t ret_sha256[32])
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    _cleanup_(x509_freep) X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int n;

    if (!x)
        return -EBADMSG;
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (n <= 0)
        return -EBADMSG;
    (void) SHA256(der, (size_t) n, ret_sha256);
    OPENSSL_free(der);
    return 0;
}

int certd_process_key_hash(CertdProcess *p, uint8_t ret_sha256[32])
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    uint64_t generation;
    const void *pem;
    size_t size;
    int r;

    r = sd_bus_call_method(p->bus, NULL, CERTD_PATH, "org.postern.Cert1.Peer", "GetCertificate", NULL, &reply, "s",
            CERTD_PROCESS_CERTIFICATE);
    if (r < 0)
        return r;
    r = sd_bus_message_read(reply, "t", &generation);
    if (r >= 0)
        r = sd_bus_message_read_array(reply, 'y', &pem, &size);
    return r < 0 ? r : key_hash(pem, size, ret_sha256);
}

uint64_t certd_process_cpu_nsec(const CertdProcess *p)
{
    return cpu_nsec(p->clock);
}

int certd_benchmark_main(int argc, char *argv[], int (*measure)(const char *program, bool *ret_within))
{
    bool within = false;
    int r;

    if (argc != 2) {
        fprintf(stderr, "Usage: %s PROGRAM-OF-CERTD\n", argv[0]);
        return EXIT_FAILURE;
    }
    r = certd_process_prepare();
    if (r >= 0)
        r = measure_undisturbed();
    if (r < 0) {
        printf("It has to be root, for a mount namespace and a processor of its own: %s\n", strerror(-r));
        return BENCH_SKIPPED;
    }
    r = measure(argv[1], &within);
    if (r >= 0 && !within) {
        printf("Above a limit: measured once more\n");
        r = measure(argv[1], &within);
    }
    if (r < 0)
        fprintf(stderr, "It does not run: %s\n", strerror(-r));
    return r < 0 || !within ? EXIT_FAILURE : EXIT_SUCCESS;
}
