/* SPDX-License-Identifier: Apache-2.0 */

/* Two streams for each connection of libunbound: inside, its TCP connection, and outside, TLS to a forwarder. Nothing is read inside
 * before the forwarder has proved its name, so that no question can reach one that did not. It must never connect to a forwarder
 * without TLS. */

#include "tls-relay.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "log.h"
#include "stream.h"
#include "tls.h"

#define HANDSHAKE_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define IDLE_TIMEOUT_USEC (120 * USEC_PER_SEC) /* libunbound keeps a connection for one */
#define BACKLOG 64
#define DESCRIPTORS_MAX 65536
#define PORT_DEFAULT 853
#define SECURITY_LEVEL 2

typedef struct Connection {
    TlsRelay *relay;
    Stream *inside, *outside;
    size_t forwarder, n_tried;
    bool secured;
    LIST_ENTRY(Connection) connections;
} Connection;

struct TlsRelay {
    sd_event *event;
    int fd, n_descriptors; /* that this process can have */
    uint16_t port;
    sd_event_source *io;
    const DnsConfig *config;
    SSL_CTX *context; /* NULL: there is nobody to ask */
    size_t next;      /* the forwarder that is tried first */
    bool told;        /* that one failed, and none has worked since */
    unsigned n_connections;
    LIST_HEAD(, Connection) connections;
};

static Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;
    LIST_REMOVE(c, connections);
    c->relay->n_connections--;
    stream_free(c->inside);
    stream_free(c->outside);
    free(c);
    return NULL;
}

static void close_all(TlsRelay *r)
{
    while (!LIST_EMPTY(&r->connections))
        connection_free(LIST_FIRST(&r->connections));
}

TlsRelay *tls_relay_free(TlsRelay *r)
{
    if (!r)
        return NULL;
    close_all(r);
    sd_event_source_disable_unref(r->io);
    close_fd(r->fd);
    SSL_CTX_free(r->context);
    sd_event_unref(r->event);
    free(r);
    return NULL;
}

uint16_t tls_relay_port(const TlsRelay *r)
{
    return r->port;
}

/* ---- passing on ---- */

/* What from has and to takes. False: that failed, and c is gone. */
static bool pass(Connection *c, Stream *from, Stream *to)
{
    const char *data;
    size_t n = stream_peek(from, &data), room = STREAM_OUTPUT_MAX - stream_output_pending(to);

    n = MIN(n, room);
    if (n > 0 && stream_write(to, data, n) < 0) {
        connection_free(c);
        return false;
    }
    stream_consume(from, n);
    stream_pause(from, n == room);
    return true;
}

static void on_inside(Stream *s, StreamEvent event, int error, void *userdata)
{
    Connection *c = userdata;

    switch (event) {
    case STREAM_READABLE:
        stream_set_timeout(c->inside, IDLE_TIMEOUT_USEC);
        (void) pass(c, c->inside, c->outside);
        break;
    case STREAM_DRAINED:
        stream_pause(c->outside, false);
        break;
    case STREAM_CLOSED:
        connection_free(c);
        break;
    default:
        break;
    }
}

/* ---- forwarders ---- */

/* "192.0.2.1@853#dns.example", which the configuration has checked. */
static int parse_forwarder(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size, const char **ret_name)
{
    const char *at = strchr(text, '@'), *hash = strchr(text, '#');
    in_port_t port = htons(at ? (uint16_t) strtoul(at + 1, NULL, 10) : PORT_DEFAULT);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
    char address[INET6_ADDRSTRLEN];
    size_t n = strcspn(text, "@#");

    if (!hash || n >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, n);
    address[n] = '\0';
    *ret = (struct sockaddr_storage) {};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof(v4));
        *ret_size = sizeof(v4);
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
        memcpy(ret, &v6, sizeof(v6));
        *ret_size = sizeof(v6);
    } else
        return -EINVAL;
    *ret_name = hash + 1;
    return 0;
}

static void ssl_freep(SSL **ssl)
{
    SSL_free(*ssl);
}

/* The handshake fails unless an authority vouches for just this name. */
static int start_tls(Connection *c)
{
    _cleanup_(ssl_freep) SSL *ssl = SSL_new(c->relay->context);
    struct sockaddr_storage address;
    const char *name;
    socklen_t size;
    int r;

    if (!ssl)
        return -ENOMEM;
    r = parse_forwarder(c->relay->config->forward[c->forwarder], &address, &size, &name);
    if (r < 0)
        return r;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (SSL_set1_host(ssl, name) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)
        return -ENOMEM;
    r = stream_start_tls(c->outside, ssl, /* accept= */ false);
    if (r >= 0)
        (void) TAKE_PTR(ssl);
    return r;
}

static void on_outside(Stream *s, StreamEvent event, int error, void *userdata);

static int start_connecting(Connection *c)
{
    const char *text = c->relay->config->forward[c->forwarder], *name;
    _cleanup_close_ int fd = -EBADF;
    struct sockaddr_storage address;
    socklen_t size;
    int r;

    r = parse_forwarder(text, &address, &size, &name);
    if (r < 0)
        return r;
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return negative_errno();
    if (connect(fd, (const struct sockaddr *) &address, size) < 0 && errno != EINPROGRESS)
        return negative_errno();
    r = stream_new_connecting(&c->outside, c->relay->event, fd, on_outside, c);
    if (r < 0)
        return r;
    (void) TAKE_FD(fd);
    stream_set_timeout(c->outside, HANDSHAKE_TIMEOUT_USEC);
    return 0;
}

static const char *tls_reason(const Connection *c)
{
    SSL *ssl = c->outside ? stream_ssl(c->outside) : NULL;
    long result = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

    return result != X509_V_OK ? X509_verify_cert_error_string(result) : c->outside ? stream_tls_error(c->outside) : "";
}

/* Tries one after the other, beginning with the one that worked last. False: there is none left, c is gone. */
static bool try_forwarders(Connection *c, int error)
{
    TlsRelay *r = c->relay;
    size_t n = 0;

    while (r->config->forward[n])
        n++;
    while (error < 0) {
        if (c->n_tried > 0) {
            const char *reason = tls_reason(c);

            if (!r->told)
                (void) log_warning_errno(error, "The forwarder %s cannot be asked over TLS: %s%s%m", r->config->forward[c->forwarder],
                        reason, *reason ? ": " : "");
            r->told = true;
            c->outside = stream_free(c->outside);
        }
        if (c->n_tried >= n) {
            connection_free(c);
            return false;
        }
        c->forwarder = (r->next + c->n_tried++) % n;
        error = start_connecting(c);
    }
    return true;
}

static void on_secured(Connection *c)
{
    TlsRelay *r = c->relay;

    c->secured = true;
    r->next = c->forwarder;
    if (r->told)
        log_info("The forwarder %s is asked over TLS", r->config->forward[c->forwarder]);
    r->told = false;
    stream_set_timeout(c->outside, 0);
    stream_pause(c->inside, false);
}

static void on_outside(Stream *s, StreamEvent event, int error, void *userdata)
{
    Connection *c = userdata;
    int r;

    switch (event) {
    case STREAM_CONNECTED:
        r = start_tls(c);
        if (r < 0)
            (void) try_forwarders(c, r);
        break;
    case STREAM_SECURED:
        on_secured(c);
        break;
    case STREAM_READABLE:
        if (c->secured)
            (void) pass(c, c->outside, c->inside);
        break;
    case STREAM_DRAINED:
        if (c->secured)
            stream_pause(c->inside, false);
        break;
    case STREAM_CLOSED:
        /* A forwarder may close behind an answer, which is still to be passed on. libunbound asks again, if it wants to know more. */
        if (c->secured && error == 0)
            stream_finish(TAKE_PTR(c->inside));
        if (c->secured)
            connection_free(c);
        else
            (void) try_forwarders(c, error < 0 ? error : -ECONNRESET);
        break;
    }
}

/* ---- connections of libunbound ---- */

static int add_connection(TlsRelay *r, int fd)
{
    Connection *c;
    int k;

    c = calloc(1, sizeof(*c));
    if (!c) {
        (void) close_fd(fd);
        return -ENOMEM;
    }
    c->relay = r;
    LIST_INSERT_HEAD(&r->connections, c, connections);
    r->n_connections++;
    k = stream_new(&c->inside, r->event, fd, on_inside, c);
    if (k < 0) {
        (void) close_fd(fd);
        connection_free(c);
        return k;
    }
    stream_pause(c->inside, true);
    stream_set_timeout(c->inside, IDLE_TIMEOUT_USEC);
    (void) try_forwarders(c, -EAGAIN);
    return 0;
}

/* libunbound is in this process: one of our own descriptors is the other end of its connections. Anybody on this host can connect
 * to a port, and could keep libunbound from it. */
static bool is_ours(const TlsRelay *r, const struct sockaddr_in *peer)
{
    for (int fd = 0; fd < r->n_descriptors; fd++) {
        struct sockaddr_in own = {};
        socklen_t size = sizeof(own);

        if (getsockname(fd, (struct sockaddr *) &own, &size) >= 0 && own.sin_family == AF_INET && own.sin_port == peer->sin_port
                && own.sin_addr.s_addr == peer->sin_addr.s_addr)
            return true;
    }
    return false;
}

static int on_accept(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct sockaddr_in peer = {};
    socklen_t size = sizeof(peer);
    TlsRelay *r = userdata;
    int accepted, k;

    accepted = accept4(fd, (struct sockaddr *) &peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0)
        return 0;
    if (!r->context || r->n_connections >= TLS_RELAY_CONNECTIONS_MAX || !is_ours(r, &peer)) {
        (void) close_fd(accepted);
        return 0;
    }
    k = add_connection(r, accepted);
    if (k < 0)
        (void) log_warning_errno(k, "Failed to serve a connection of libunbound: %m");
    return 0;
}

int tls_relay_new(TlsRelay **ret, sd_event *event)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_(tls_relay_freep) TlsRelay *r = calloc(1, sizeof(*r));
    socklen_t size = sizeof(address);
    int k;

    if (!r)
        return -ENOMEM;
    r->fd = -EBADF;
    r->n_descriptors = (int) MIN(sysconf(_SC_OPEN_MAX), (long) DESCRIPTORS_MAX);
    LIST_INIT(&r->connections);
    r->event = sd_event_ref(event);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd < 0)
        return negative_errno();
    if (bind(r->fd, (const struct sockaddr *) &address, sizeof(address)) < 0 || listen(r->fd, BACKLOG) < 0
            || getsockname(r->fd, (struct sockaddr *) &address, &size) < 0)
        return negative_errno();
    r->port = ntohs(address.sin_port);
    k = sd_event_add_io(event, &r->io, r->fd, EPOLLIN, on_accept, r);
    if (k < 0)
        return k;
    *ret = TAKE_PTR(r);
    return 0;
}

static void context_freep(SSL_CTX **context)
{
    SSL_CTX_free(*context);
}

int tls_relay_configure(TlsRelay *r, const DnsConfig *config)
{
    _cleanup_(context_freep) SSL_CTX *context = NULL;
    int k;

    if (config->forward_tls) {
        k = tls_client_context_new(&context, NULL);
        if (k < 0)
            return k;
        SSL_CTX_set_security_level(context, SECURITY_LEVEL);
        if (SSL_CTX_load_verify_locations(context, config->forward_ca_file, NULL) != 1)
            return -EBADMSG;
    }
    close_all(r);
    SSL_CTX_free(r->context);
    r->context = TAKE_PTR(context);
    r->config = config;
    r->next = 0;
    r->told = false;
    return 0;
}

void tls_relay_close(TlsRelay *r)
{
    close_all(r);
    SSL_CTX_free(r->context);
    r->context = NULL;
    r->config = NULL;
}
