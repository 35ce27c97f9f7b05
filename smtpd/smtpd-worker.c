/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions of one process: accepts connections within the limits, keeps the list of sessions, drains them at the end. Everything
 * that opens a file is done before sandbox_enter(); nothing is accepted before it. */

#include "smtpd-worker.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "authorities-client.h"
#include "client-count.h"
#include "daemon.h"
#include "log.h"
#include "sandbox.h"
#include "session.h"
#include "tls-contexts.h"
#include "tls.h"
#include "worker.h"

/* Taken in one go, so that other workers get their share and the loop its turn. */
#define ACCEPT_MAX 4
/* Without descriptors or memory the socket stays readable: look again after this. */
#define ACCEPT_PAUSE_USEC (500 * USEC_PER_MSEC)

#define TOO_MANY_FROM_YOU "421 4.7.0 Too many connections from your address\r\n"

typedef struct SmtpdWorker SmtpdWorker;

/* A listening socket. */
typedef struct Socket {
    SmtpdWorker *worker;
    char *name;
    int fd;
    sd_event_source *source, *pause;
    unsigned n_sessions;
} Socket;

typedef struct Connection {
    Session *session;
    Socket *socket;
    TAILQ_ENTRY(Connection) entries;
} Connection;

struct SmtpdWorker {
    sd_event *event;
    WorkerLink *link;
    RemoteKeys *keys;
    PeerClient *certd, *deliverd;
    TlsContexts *tls;
    AuthoritiesClient *authorities;
    MessagePool *pool;
    SmtpdConf *conf;
    SessionHost host;
    ClientCount *clients;
    Socket sockets[SMTPD_LISTENERS_MAX];
    size_t n_sockets;
    TAILQ_HEAD(, Connection) connections;
    sd_event_source *stop_timer;
    bool stopping;
};

/* ---- accepting ---- */

/* This worker's share of what the listener allows. */
static unsigned share(const SmtpdWorker *w, const Listener *l)
{
    return MAX((l->max_connections + w->conf->workers - 1) / w->conf->workers, 1U);
}

/* Connections beyond the limit are left to other workers, or wait in the socket's queue. */
static void watch_socket(Socket *socket)
{
    const Listener *l = socket->worker->conf ? smtpd_conf_listener(socket->worker->conf, socket->name) : NULL;
    bool wanted = l && socket->n_sessions < share(socket->worker, l) && !socket->worker->stopping;

    if (socket->source)
        (void) sd_event_source_set_enabled(socket->source, wanted ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    watch_socket(userdata);
    return 0;
}

static void pause_socket(Socket *socket)
{
    (void) sd_event_source_set_enabled(socket->source, SD_EVENT_OFF);
    socket->pause = sd_event_source_disable_unref(socket->pause);
    if (sd_event_add_time_relative(socket->worker->event, &socket->pause, CLOCK_MONOTONIC, ACCEPT_PAUSE_USEC, 0, on_pause_over,
            socket) < 0)
        (void) sd_event_source_set_enabled(socket->source, SD_EVENT_ON); /* better busy than deaf */
}

static Connection *connection_free(Connection *c)
{
    if (!c)
        return NULL;
    c->session = session_free(c->session);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(Connection, connection_free);

static int connection_begin(Socket *socket, const Listener *listener, int fd, const PeerAddress *peer)
{
    _cleanup_(connection_freep) Connection *c = NULL;
    SmtpdWorker *w = socket->worker;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->socket = socket;
    r = session_new(&c->session, &w->host, w->conf, listener, fd, peer, c);
    if (r < 0)
        return r;
    TAILQ_INSERT_TAIL(&w->connections, c, entries);
    socket->n_sessions++;
    (void) TAKE_PTR(c);
    return 0;
}

/* A new connection; fd is used up. */
static void take_connection(Socket *socket, const Listener *listener, int accepted, const PeerAddress *peer)
{
    _cleanup_close_ int fd = accepted;
    SmtpdWorker *w = socket->worker;
    int r;

    if (peer->sa.sa_family != AF_INET && peer->sa.sa_family != AF_INET6)
        return;
    r = client_count_add(w->clients, &peer->sa, listener->max_connections_per_client);
    if (r == -EUSERS) {
        worker_link_count(w->link, "RefusedConnections", 1);
        (void) send(fd, TOO_MANY_FROM_YOU, strlen(TOO_MANY_FROM_YOU), MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    if (r >= 0) {
        r = connection_begin(socket, listener, fd, peer);
        if (r < 0)
            client_count_remove(w->clients, &peer->sa);
    }
    if (r < 0) {
        (void) log_warning_errno(r, "Failed to begin a session: %m");
        return;
    }
    (void) TAKE_FD(fd);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    Socket *socket = userdata;
    const Listener *listener = smtpd_conf_listener(socket->worker->conf, socket->name);

    for (unsigned i = 0; i < ACCEPT_MAX && socket->n_sessions < share(socket->worker, listener); i++) {
        PeerAddress peer = {};
        socklen_t size = sizeof(peer);
        int accepted = accept4(fd, &peer.sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (accepted < 0) {
            if (errno == EAGAIN)
                break;
            if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
                continue; /* that connection is gone, the next may be well */
            /* No descriptors, no memory, not permitted: at once it would only be the same again. */
            (void) log_warning_errno(errno, "Failed to accept a connection, pausing: %m");
            pause_socket(socket);
            return 0;
        }
        take_connection(socket, listener, accepted, &peer);
    }
    watch_socket(socket);
    return 0;
}

/* ---- what sessions ask of their host ---- */

static SSL_CTX *host_tls_context(const char *source, void *userdata)
{
    SmtpdWorker *w = userdata;

    return tls_contexts_get(w->tls, source);
}

static X509_STORE *host_authorities(void *userdata)
{
    SmtpdWorker *w = userdata;

    return authorities_client_store(w->authorities);
}

static void host_count(const char *name, uint64_t delta, void *userdata)
{
    SmtpdWorker *w = userdata;

    worker_link_count(w->link, name, delta);
}

static void exit_if_drained(SmtpdWorker *w)
{
    if (w->stopping && TAILQ_EMPTY(&w->connections))
        (void) sd_event_exit(w->event, 0);
}

static void host_closed(Session *session, void *userdata)
{
    SmtpdWorker *w = userdata;
    Connection *c = session_tag(session);
    Socket *socket = c->socket;

    client_count_remove(w->clients, &session_peer(session)->sa);
    worker_link_count(w->link, "ClosedSessions", 1);
    TAILQ_REMOVE(&w->connections, c, entries);
    (void) connection_free(c);
    socket->n_sessions--;
    watch_socket(socket);
    exit_if_drained(w);
}

/* ---- certificates ---- */

static void on_context(TlsContexts *t, const char *source, int error, const char *reason, void *userdata)
{
    if (error < 0)
        log_warning("Certificate %s cannot be used (%s): %s", tls_contexts_name(t, source) ?: source, reason,
                tls_contexts_get(t, source) ? "going on with the one before" : "STARTTLS is refused until it can");
}

static void on_authorities(AuthoritiesClient *c, int error, const char *reason, void *userdata)
{
    if (error < 0)
        log_warning("The enabled authorities cannot be taken over, %s: %s",
                authorities_client_store(c) ? "clients are verified by those of before"
                                            : "STARTTLS is refused where VerifyClient=yes",
                reason);
}

static const TlsContextsOps context_ops = {.make = tls_server_context_new, .keep = true, .changed = on_context};

/* Those of all listeners that offer TLS. */
static int follow_certificates(SmtpdWorker *w, const SmtpdConf *conf)
{
    for (size_t i = 0; i < conf->n_listeners; i++)
        if (conf->listeners[i]->flow->tls != MAIL_FLOW_TLS_NO) {
            int r = tls_contexts_follow(w->tls, conf->listeners[i]->certificate_source, SMTPD_CERTIFICATE_DEFAULT);

            if (r < 0)
                return r;
        }
    return 0;
}

/* ---- the manager's calls ---- */

static int require_listeners(SmtpdWorker *w, SmtpdConf *conf)
{
    for (size_t i = 0; i < w->n_sockets; i++) {
        int r = smtpd_conf_require_listener(conf, w->sockets[i].name);

        if (r < 0)
            return r;
    }
    return 0;
}

static int link_configure(int snapshot_fd, void *userdata)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *conf = NULL;
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *source = NULL;
    SmtpdWorker *w = userdata;
    int r;

    r = conf_report_new(&report);
    if (r >= 0)
        r = conf_read_snapshot(&source, snapshot_fd, report);
    if (r >= 0)
        r = smtpd_conf_load(&conf, source, report);
    if (r >= 0)
        r = require_listeners(w, conf);
    if (r >= 0)
        r = follow_certificates(w, conf);
    if (r < 0)
        return log_error_errno(r, "Failed to take the configuration over: %m");

    (void) smtpd_conf_unref(w->conf);
    w->conf = TAKE_PTR(conf);
    message_pool_set_target(w->pool, w->conf->message_pool);
    for (size_t i = 0; i < w->n_sockets; i++)
        watch_socket(&w->sockets[i]);
    return 0;
}

static int add_socket(SmtpdWorker *w, const char *name, int fd)
{
    Socket *socket = &w->sockets[w->n_sockets];
    int r;

    if (w->n_sockets == ELEMENTSOF(w->sockets))
        return -E2BIG;
    r = smtpd_conf_require_listener(w->conf, name);
    if (r < 0)
        return r;
    *socket = (Socket) {.worker = w, .name = strdup(name), .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)};
    w->n_sockets++;
    if (!socket->name)
        return -ENOMEM;
    if (socket->fd < 0)
        return negative_errno();
    r = sd_event_add_io(w->event, &socket->source, socket->fd, EPOLLIN, on_connection, socket);
    if (r < 0)
        return r;
    watch_socket(socket);
    return 0;
}

static int method_listen(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    SmtpdWorker *w = userdata;
    const char *name;
    int fd, r;

    if (!w->conf || w->n_sockets > 0)
        return sd_bus_error_set_errno(error, -EBUSY); /* first Configure(), then Listen(), once */
    r = sd_bus_message_enter_container(m, 'a', "(sh)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "(sh)", &name, &fd)) > 0) {
        r = add_socket(w, name, fd);
        if (r < 0)
            return log_error_errno(r, "Failed to listen as %s: %m", name);
    }
    if (r < 0)
        return r;
    r = follow_certificates(w, w->conf);
    if (r < 0)
        return r;
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable worker_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Listen", SD_BUS_ARGS("a(sh)", sockets), SD_BUS_NO_RESULT, method_listen, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static void each_session(SmtpdWorker *w, void (*action)(Session *s))
{
    Connection *c = TAILQ_FIRST(&w->connections);

    while (c) {
        Connection *next = TAILQ_NEXT(c, entries); /* action may end this one, and only this one */

        action(c->session);
        c = next;
    }
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    SmtpdWorker *w = userdata;

    each_session(w, session_abort);
    return sd_event_exit(w->event, 0);
}

/* No new sessions; those in the middle of a message may finish it. The sockets stay open with systemd and its next instance of
 * us. */
static void link_stop(void *userdata)
{
    SmtpdWorker *w = userdata;
    uint64_t timeout = w->conf ? w->conf->stop_timeout : 0;

    if (w->stopping)
        return;
    w->stopping = true;
    for (size_t i = 0; i < w->n_sockets; i++) {
        watch_socket(&w->sockets[i]);
        w->sockets[i].source = sd_event_source_disable_unref(w->sockets[i].source);
        w->sockets[i].fd = close_fd(w->sockets[i].fd);
    }
    each_session(w, session_drain);
    if (sd_event_add_time_relative(w->event, &w->stop_timer, CLOCK_MONOTONIC, timeout, 0, on_stop_timeout, w) < 0)
        (void) sd_event_exit(w->event, 0);
    exit_if_drained(w);
}

static int on_terminate(void *userdata)
{
    link_stop(userdata);
    return 0;
}

static const WorkerLinkOps link_ops = {
    .configure = link_configure,
    .stop = link_stop,
    .interface = SMTPD_WORKER_INTERFACE,
    .vtable = worker_vtable,
};

/* ---- life ---- */

static SmtpdWorker *smtpd_worker_free(SmtpdWorker *w)
{
    Connection *c;

    if (!w)
        return NULL;
    while ((c = TAILQ_FIRST(&w->connections))) {
        TAILQ_REMOVE(&w->connections, c, entries);
        (void) connection_free(c);
    }
    for (size_t i = 0; i < w->n_sockets; i++) {
        (void) sd_event_source_disable_unref(w->sockets[i].source);
        (void) sd_event_source_disable_unref(w->sockets[i].pause);
        (void) close_fd(w->sockets[i].fd);
        free(w->sockets[i].name);
    }
    w->stop_timer = sd_event_source_disable_unref(w->stop_timer);
    w->pool = message_pool_free(w->pool);
    w->tls = tls_contexts_free(w->tls);
    w->authorities = authorities_client_free(w->authorities);
    w->certd = peer_client_free(w->certd);
    w->deliverd = peer_client_free(w->deliverd);
    w->keys = remote_keys_free(w->keys);
    w->link = worker_link_free(w->link);
    w->clients = client_count_free(w->clients);
    w->conf = smtpd_conf_unref(w->conf);
    w->event = sd_event_unref(w->event);
    free(w);
    return NULL;
}
DEFINE_CLEANUP(SmtpdWorker, smtpd_worker_free);

/* OpenSSL reads its configuration and the C library the time zone when they are first used: that has to be now. */
static int open_what_opens_files(SmtpdWorker *w)
{
    SSL_CTX *context = NULL;
    int r;

    tzset();
    r = remote_keys_new(&w->keys);
    if (r < 0)
        return r;
    r = tls_server_context_new(&context, remote_keys_libctx(w->keys));
    SSL_CTX_free(context);
    return r;
}

static int smtpd_worker_new(SmtpdWorker **ret)
{
    _cleanup_(smtpd_worker_freep) SmtpdWorker *w = NULL;
    int r;

    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    TAILQ_INIT(&w->connections);
    r = daemon_event_new(&w->event, on_terminate, NULL, w);
    if (r < 0)
        return r;
    r = open_what_opens_files(w);
    if (r < 0)
        return r;
    r = client_count_new(&w->clients);
    if (r < 0)
        return r;
    r = worker_link_new(&w->link, w->event, &link_ops, w);
    if (r < 0)
        return r;
    r = worker_link_peer(w->link, "certd", &w->certd);
    if (r < 0)
        return r;
    r = worker_link_peer(w->link, "deliverd", &w->deliverd);
    if (r < 0)
        return r;
    r = tls_contexts_new(&w->tls, w->certd, w->keys, &context_ops, w);
    if (r < 0)
        return r;
    r = authorities_client_new(&w->authorities, w->certd, remote_keys_libctx(w->keys), on_authorities, w);
    if (r < 0)
        return r;
    r = message_pool_new(&w->pool, w->deliverd, 0); /* filled when the configuration says how far */
    if (r < 0)
        return r;
    w->host = (SessionHost) {w->event, w->pool, host_tls_context, host_authorities, host_count, host_closed, w};
    *ret = TAKE_PTR(w);
    return 0;
}

int smtpd_worker_run(void)
{
    _cleanup_(smtpd_worker_freep) SmtpdWorker *w = NULL;
    int r;

    r = smtpd_worker_new(&w);
    if (r < 0)
        return log_error_errno(r, "Failed to start the worker: %m");
    r = sandbox_enter(SANDBOX_BASE | SANDBOX_ACCEPT);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    r = worker_link_ready(w->link);
    if (r < 0)
        return log_error_errno(r, "Failed to report to the manager: %m");
    r = sd_event_loop(w->event);
    if (r < 0)
        return log_error_errno(r, "Event loop failed: %m");
    return 0;
}
