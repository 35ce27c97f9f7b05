/* SPDX-License-Identifier: Apache-2.0 */

/* Connections to certd from inside of other programs. It must never leave a lock behind that a fork could find locked, use or
 * close a descriptor that is not its own, raise a signal, or wait longer than its deadline.
 *
 * There is no lock: an idle connection is taken out of its slot by one atomic exchange and put back by another, so nobody waits
 * for anybody else's signature. After a fork the child finds the connections of its parent in the slots, sees by the process id
 * that they are not its own, and closes its copies. Servers that become daemons close all descriptors, and the number may be
 * something else by now: the socket's inode is compared before a descriptor is used or closed. */

#include "link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "call.h"
#include "text.h"

/* Connections that are made for one signature: certd may end between its answer to the first and the call. */
#define ATTEMPTS_MAX 2

typedef struct Connection {
    int fd;
    pid_t pid; /* whose it is, and as which user certd knows it */
    uid_t uid;
    dev_t device;
    ino_t inode;
    uint32_t serial;
    size_t n; /* bytes in input */
    uint8_t input[CALL_REPLY_MAX];
} Connection;

struct Link {
    struct sockaddr_un address;
    Connection *idle[LINK_IDLE_MAX];
};

/* ---- a connection ---- */

static bool connection_is_ours(const Connection *c)
{
    struct stat st;

    return fstat(c->fd, &st) >= 0 && S_ISSOCK(st.st_mode) && st.st_dev == c->device && st.st_ino == c->inode;
}

static Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;
    if (c->fd >= 0 && connection_is_ours(c))
        (void) close(c->fd);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(Connection, connection_free);

static uint64_t now_usec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static int wait_for(const Connection *c, short events, uint64_t deadline)
{
    struct pollfd p = {.fd = c->fd, .events = events};

    for (;;) {
        uint64_t now = now_usec();
        int n;

        if (now >= deadline)
            return -ETIMEDOUT;
        n = poll(&p, 1, (int) ((deadline - now) / USEC_PER_MSEC) + 1);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return negative_errno();
    }
}

static int send_all(const Connection *c, const void *data, size_t size, uint64_t deadline)
{
    size_t done = 0;
    int r;

    while (done < size) {
        ssize_t n = send(c->fd, (const uint8_t *) data + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            done += (size_t) n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return negative_errno();
        r = wait_for(c, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
    return 0;
}

/* More input. -ECONNRESET at its end. */
static int receive(Connection *c, uint64_t deadline)
{
    int r;

    if (c->n >= sizeof(c->input))
        return -EMSGSIZE;
    for (;;) {
        ssize_t n = recv(c->fd, c->input + c->n, sizeof(c->input) - c->n, MSG_DONTWAIT);

        if (n > 0) {
            c->n += (size_t) n;
            return 0;
        }
        if (n == 0)
            return -ECONNRESET;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return negative_errno();
        r = wait_for(c, POLLIN, deadline);
        if (r < 0)
            return r;
    }
}

static void consume(Connection *c, size_t size)
{
    c->n -= size;
    memmove(c->input, c->input + size, c->n);
}

/* Until certd has agreed. -EKEYREJECTED if it does not: it closes the connection of a user to whom nothing is assigned. */
static int greet(Connection *c, uint64_t deadline)
{
    int r;

    r = send_all(c, CALL_GREETING, CALL_GREETING_SIZE, deadline);
    while (r >= 0) {
        ssize_t n = call_greeting_end(c->input, c->n);

        if (n > 0)
            consume(c, (size_t) n);
        if (n != 0)
            return n < 0 ? (int) n : 0;
        r = receive(c, deadline);
    }
    return r == -ECONNRESET || r == -EPIPE ? -EKEYREJECTED : r;
}

static int connect_within(int fd, const struct sockaddr_un *address, uint64_t deadline)
{
    for (;;) {
        uint64_t now = now_usec(), left = deadline > now ? deadline - now : 0;
        struct timeval timeout = {.tv_sec = (time_t) (left / USEC_PER_SEC), .tv_usec = (suseconds_t) (left % USEC_PER_SEC)};

        if (left == 0)
            return -ETIMEDOUT;
        /* It is for connect(), which waits while the listening socket's queue is full; nothing else here waits in send(). */
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
            return negative_errno();
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0)
            return 0;
        if (errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : negative_errno();
    }
}

static int connection_new(Connection **ret, const struct sockaddr_un *address, uint64_t deadline)
{
    _cleanup_(connection_freep) Connection *c = NULL;
    struct stat st;
    int r;

    c = malloc(sizeof(Connection));
    if (!c)
        return -ENOMEM;
    c->n = 0;
    c->serial = 0;
    c->pid = getpid();
    c->uid = geteuid();
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return negative_errno();
    if (fstat(c->fd, &st) < 0) {
        r = negative_errno();
        c->fd = close_fd(c->fd);
        return r;
    }
    c->device = st.st_dev;
    c->inode = st.st_ino;
    r = connect_within(c->fd, address, deadline);
    if (r >= 0)
        r = greet(c, deadline);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

/* The next whole message. It stays in the input until *ret_size bytes of it are consumed. */
static int receive_frame(Connection *c, size_t *ret_size, uint64_t deadline)
{
    ssize_t size = CALL_HEADER_SIZE;
    int r;

    for (;;) {
        if (c->n >= CALL_HEADER_SIZE) {
            size = call_frame_size(c->input);
            if (size < 0)
                return (int) size;
            if (c->n >= (size_t) size)
                break;
        }
        r = receive(c, deadline);
        if (r < 0)
            return r;
    }
    *ret_size = (size_t) size;
    return 0;
}

/* An answer of certd: the signature, or -EKEYREJECTED with the reason that it gave. */
static int read_reply(const CallReply *reply, uint8_t *signature, size_t size, size_t *ret_size,
        char reterr_reason[static LINK_REASON_MAX])
{
    if (reply->error_name) {
        const char *text = *reply->error_text ? reply->error_text : reply->error_name;

        (void) text_make_printable(reterr_reason, LINK_REASON_MAX, text, strlen(text));
        return -EKEYREJECTED;
    }
    if (reply->signature_size == 0 || reply->signature_size > size)
        return -EBADMSG;
    memcpy(signature, reply->signature, reply->signature_size);
    *ret_size = reply->signature_size;
    return 0;
}

static int connection_call(Connection *c, const LinkRequest *q, uint8_t *signature, size_t size, size_t *ret_size,
        uint64_t deadline, char reterr_reason[static LINK_REASON_MAX])
{
    _cleanup_free_ uint8_t *call = NULL;
    size_t call_size, frame_size = 0;
    int r;

    c->serial = c->serial == UINT32_MAX ? 1 : c->serial + 1;
    r = call_sign(c->serial, q->name, q->spki_sha256, q->scheme, q->message, q->message_size, &call, &call_size);
    if (r >= 0)
        r = send_all(c, call, call_size, deadline);
    while (r >= 0) {
        CallReply reply;
        bool is_answer;

        r = receive_frame(c, &frame_size, deadline);
        if (r >= 0)
            r = call_reply_parse(c->input, frame_size, &reply);
        if (r < 0)
            break;
        /* Signals come, too. */
        is_answer = reply.serial == c->serial;
        if (is_answer)
            r = read_reply(&reply, signature, size, ret_size, reterr_reason);
        consume(c, frame_size);
        if (is_answer)
            break;
    }
    return r;
}

/* ---- the slots ---- */

/* An idle connection of this process and its present user; NULL if there is none. */
static Connection *take(Link *l)
{
    for (size_t i = 0; i < LINK_IDLE_MAX; i++) {
        Connection *c = __atomic_exchange_n(&l->idle[i], NULL, __ATOMIC_ACQ_REL);

        if (c && c->pid == getpid() && c->uid == geteuid() && connection_is_ours(c))
            return c;
        connection_free(c);
    }
    return NULL;
}

static void put_back(Link *l, Connection *c)
{
    for (size_t i = 0; i < LINK_IDLE_MAX; i++) {
        Connection *expected = NULL;

        if (__atomic_compare_exchange_n(&l->idle[i], &expected, c, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
    }
    connection_free(c);
}

/* ---- the link ---- */

int link_new(Link **ret, const char *path)
{
    Link *l;

    if (strlen(path) >= sizeof(l->address.sun_path))
        return -ENAMETOOLONG;
    l = calloc(1, sizeof(Link));
    if (!l)
        return -ENOMEM;
    l->address.sun_family = AF_UNIX;
    strcpy(l->address.sun_path, path);
    *ret = l;
    return 0;
}

Link *link_free(Link *l)
{
    if (!l)
        return NULL;
    for (size_t i = 0; i < LINK_IDLE_MAX; i++)
        connection_free(l->idle[i]);
    free(l);
    return NULL;
}

static void explain(const Link *l, int error, char reterr_reason[static LINK_REASON_MAX])
{
    const char *path = l->address.sun_path;

    switch (error) {
    case -EKEYREJECTED:
        (void) snprintf(reterr_reason, LINK_REASON_MAX,
                "it closed the connection; is a certificate assigned to the user of uid %u?", (unsigned) geteuid());
        break;
    case -ETIMEDOUT:
        (void) snprintf(reterr_reason, LINK_REASON_MAX, "no answer within %u s", (unsigned) (LINK_DEADLINE_USEC / USEC_PER_SEC));
        break;
    case -ENOENT:
        (void) snprintf(reterr_reason, LINK_REASON_MAX, "%s: there is none; does this program run in a chroot?", path);
        break;
    default:
        (void) snprintf(reterr_reason, LINK_REASON_MAX, "%s: %s", path, strerrordesc_np(-error) ?: "unknown error");
    }
}

/* Whether the connection ended: certd was restarted, or it wants nothing of us, which a second attempt tells apart. */
static bool is_end(int r)
{
    return r == -ECONNRESET || r == -EPIPE || r == -EKEYREJECTED;
}

int link_sign(Link *l, const LinkRequest *request, uint8_t *signature, size_t size, size_t *ret_size,
        char reterr_reason[static LINK_REASON_MAX])
{
    uint64_t deadline = now_usec() + LINK_DEADLINE_USEC;
    unsigned n_made = 0;
    int r;

    *reterr_reason = '\0';
    /* All idle ones may be of a certd that is gone. */
    do {
        _cleanup_(connection_freep) Connection *c = take(l);

        r = 0;
        if (!c) {
            n_made++;
            r = connection_new(&c, &l->address, deadline);
        }
        if (r >= 0)
            r = connection_call(c, request, signature, size, ret_size, deadline, reterr_reason);
        /* What certd answered to the end leaves the connection fit for the next call. */
        if (r >= 0 || *reterr_reason) {
            put_back(l, TAKE_PTR(c));
            return r;
        }
    } while (is_end(r) && n_made < ATTEMPTS_MAX);
    explain(l, r, reterr_reason);
    return r;
}
