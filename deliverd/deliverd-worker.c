/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts of one process: takes them from the manager, runs an SMTP client for each, answers. Everything that opens a file is
 * done before sandbox_enter(); there is no byte from the network before it.
 *
 * It logs nothing about attempts: the manager does, once, with what it knows of the message. */

#include "deliverd-worker.h"

#include <sys/queue.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "attempt-codec.h"
#include "bus-error.h"
#include "client-certificate.h"
#include "daemon.h"
#include "deliverd-conf.h"
#include "log.h"
#include "sandbox.h"
#include "server-authorities.h"
#include "worker.h"

/* More at once than any manager hands to one worker. */
#define ATTEMPTS_MAX 4096

typedef struct DeliverdWorker DeliverdWorker;

typedef struct Attempt {
    DeliverdWorker *worker;
    sd_bus_message *call;
    AttemptRequest *request;
    SSL_CTX *tls;          /* its own reference: certificates change meanwhile */
    bool with_certificate; /* tls has one … */
    unsigned n_unsigned;   /* … and so many signatures had not been made before */
    SmtpClient *client;    /* NULL while it waits for certd's first answers */
    TAILQ_ENTRY(Attempt) entries;
} Attempt;

struct DeliverdWorker {
    sd_event *event;
    WorkerLink *link;
    PeerClient *certd;
    SSL_CTX *tls; /* without certificate */
    ServerAuthorities *authorities;
    ClientCertificate *certificate;
    TAILQ_HEAD(, Attempt) attempts;
    unsigned n_attempts;
    bool stopping;
};

/* ---- attempts ---- */

static Attempt *attempt_free(Attempt *a)
{
    if (!a)
        return NULL;
    a->client = smtp_client_free(a->client);
    SSL_CTX_free(a->tls);
    a->request = attempt_request_free(a->request);
    a->call = sd_bus_message_unref(a->call);
    free(a);
    return NULL;
}
DEFINE_CLEANUP(Attempt, attempt_free);

static void remove_attempt(Attempt *a)
{
    DeliverdWorker *w = a->worker;

    TAILQ_REMOVE(&w->attempts, a, entries);
    w->n_attempts--;
    (void) attempt_free(a);
}

static void exit_if_drained(DeliverdWorker *w)
{
    if (w->stopping && TAILQ_EMPTY(&w->attempts))
        (void) sd_event_exit(w->event, 0);
}

static void count(DeliverdWorker *w, const SmtpResult *result)
{
    worker_link_count(w->link, "Attempts", 1);
    if (result->stage == SMTP_STAGE_DONE)
        worker_link_count(w->link, "TakenMessages", 1);
    if (result->tls_used)
        worker_link_count(w->link, "TlsSessions", 1);
    if (tls_verify_succeeded(result->verify))
        worker_link_count(w->link, "VerifiedSessions", 1);
    if (result->stage == SMTP_STAGE_HANDSHAKE || result->stage == SMTP_STAGE_VERIFY)
        worker_link_count(w->link, "FailedTlsSessions", 1);
}

/* The key is ours to provide. The server must not be blamed for a handshake without a signature, nor get the message in the clear
 * for it; the next attempt goes with one, or without certificate. In doubt, when another handshake at the same time had none, the
 * attempt is made again as well. */
static bool is_own_fault(const Attempt *a, const SmtpResult *result)
{
    return result->stage == SMTP_STAGE_HANDSHAKE && a->with_certificate &&
           a->n_unsigned != client_certificate_unsigned(a->worker->certificate);
}

static void on_attempt_done(SmtpClient *c, const SmtpResult *result, void *userdata)
{
    Attempt *a = userdata;
    DeliverdWorker *w = a->worker;
    int r;

    count(w, result);
    if (is_own_fault(a, result)) {
        client_certificate_failed(w->certificate);
        r = -ENOKEY;
    } else if (result->stage == SMTP_STAGE_VERIFY && result->verify == TLS_VERIFY_NO_AUTHORITIES)
        r = -ENODATA;
    else
        r = attempt_reply(a->call, result, a->request->request.n_recipients);
    if (r < 0)
        /* Without any answer the manager would wait for ever. */
        (void) sd_bus_reply_method_errno(a->call, r, NULL);
    remove_attempt(a);
    exit_if_drained(w);
}

static int attempt_begin(Attempt *a)
{
    SSL_CTX *with_certificate = client_certificate_context(a->worker->certificate);
    SSL_CTX *tls = with_certificate ?: a->worker->tls;
    int r;

    if (SSL_CTX_up_ref(tls) != 1)
        return -ENOMEM;
    a->tls = a->request->request.tls = tls;
    a->request->request.authorities = server_authorities_store(a->worker->authorities);
    a->with_certificate = with_certificate;
    a->n_unsigned = client_certificate_unsigned(a->worker->certificate);
    r = smtp_client_new(&a->client, a->worker->event, a->request->socket_fd, &a->request->request, on_attempt_done, a);
    if (r < 0)
        return r;
    (void) TAKE_FD(a->request->socket_fd);
    return 0;
}

static bool is_waiting(const DeliverdWorker *w)
{
    return client_certificate_pending(w->certificate) || server_authorities_pending(w->authorities);
}

/* certd has answered, or there is nothing to wait for any more. */
static void begin_attempts(DeliverdWorker *w)
{
    Attempt *a, *next;
    int r;

    for (a = TAILQ_FIRST(&w->attempts); a && !is_waiting(w); a = next) {
        next = TAILQ_NEXT(a, entries);
        if (a->client)
            continue;
        r = attempt_begin(a);
        if (r < 0) {
            (void) sd_bus_reply_method_errno(a->call, r, NULL);
            remove_attempt(a);
        }
    }
    exit_if_drained(w);
}

static void on_certificate(void *userdata)
{
    begin_attempts(userdata);
}

static void on_authorities(int error, const char *reason, void *userdata)
{
    DeliverdWorker *w = userdata;
    Attempt *a;

    if (error < 0)
        log_warning("The enabled authorities cannot be taken over, servers are verified by those of before: %s", reason);
    /* What was connected before the change, and has not come to TLS yet. */
    TAILQ_FOREACH(a, &w->attempts, entries)
        if (a->client)
            (void) smtp_client_set_authorities(a->client, server_authorities_store(w->authorities));
    begin_attempts(w);
}

static int method_deliver(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(attempt_freep) Attempt *a = NULL;
    DeliverdWorker *w = userdata;
    int r;

    if (w->stopping)
        return sd_bus_error_set(error, BUS_ERROR_UNAVAILABLE, "The worker is stopping");
    if (w->n_attempts == ATTEMPTS_MAX)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many attempts at once");
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->worker = w;
    a->call = sd_bus_message_ref(m);
    r = attempt_request_read(m, &a->request);
    if (r < 0)
        return r;
    if (a->request->request.want == SMTP_TLS_NO || !is_waiting(w)) {
        r = attempt_begin(a);
        if (r < 0)
            return r;
    }
    TAILQ_INSERT_TAIL(&w->attempts, a, entries);
    w->n_attempts++;
    (void) TAKE_PTR(a);
    return 1;
}

/* ---- life ---- */

static void end_attempts(DeliverdWorker *w)
{
    Attempt *a;

    while ((a = TAILQ_FIRST(&w->attempts)))
        remove_attempt(a);
}

static int link_configure(int snapshot_fd, void *userdata)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *conf = NULL;
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    DeliverdWorker *w = userdata;
    int r;

    r = conf_report_new(&report);
    if (r >= 0)
        r = deliverd_conf_read_snapshot(&conf, snapshot_fd, report);
    if (r >= 0)
        r = client_certificate_set(w->certificate, conf->certificate);
    if (r < 0)
        return log_error_errno(r, "Failed to take the configuration over: %m");
    return 0;
}

/* What is under way goes on, within the time that the manager gives. When the manager is gone nobody would learn what came of it,
 * and what is delivered now is delivered again: then all ends at once. */
static void link_stop(void *userdata)
{
    DeliverdWorker *w = userdata;

    w->stopping = true;
    if (sd_bus_is_open(worker_link_bus(w->link)) <= 0)
        end_attempts(w);
    exit_if_drained(w);
}

static int on_terminate(void *userdata)
{
    link_stop(userdata);
    return 0;
}

static const sd_bus_vtable worker_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Deliver", SD_BUS_ARGS("a{sv}", request, "h", socket, "h", message), SD_BUS_RESULT("a{sv}", result),
            method_deliver, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const WorkerLinkOps link_ops = {
    .configure = link_configure,
    .stop = link_stop,
    .interface = ATTEMPT_INTERFACE,
    .vtable = worker_vtable,
};

static DeliverdWorker *deliverd_worker_free(DeliverdWorker *w)
{
    if (!w)
        return NULL;
    end_attempts(w);
    w->certificate = client_certificate_free(w->certificate);
    w->authorities = server_authorities_free(w->authorities);
    w->certd = peer_client_free(w->certd);
    w->link = worker_link_free(w->link);
    SSL_CTX_free(w->tls);
    w->event = sd_event_unref(w->event);
    free(w);
    return NULL;
}
DEFINE_CLEANUP(DeliverdWorker, deliverd_worker_free);

static int deliverd_worker_new(DeliverdWorker **ret)
{
    _cleanup_(deliverd_worker_freep) DeliverdWorker *w = NULL;
    int r;

    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    TAILQ_INIT(&w->attempts);
    /* The C library reads the time zone, OpenSSL its configuration, when they are first used: that has to be now. */
    tzset();
    r = tls_client_context_new(&w->tls, NULL);
    if (r < 0)
        return r;
    r = daemon_event_new(&w->event, on_terminate, NULL, w);
    if (r < 0)
        return r;
    r = worker_link_new(&w->link, w->event, &link_ops, w);
    if (r < 0)
        return r;
    r = worker_link_peer(w->link, "certd", &w->certd);
    if (r < 0)
        return r;
    r = server_authorities_new(&w->authorities, w->certd, on_authorities, w);
    if (r < 0)
        return r;
    r = client_certificate_new(&w->certificate, w->link, w->certd, on_certificate, w);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

int deliverd_worker_run(void)
{
    _cleanup_(deliverd_worker_freep) DeliverdWorker *w = NULL;
    int r;

    r = deliverd_worker_new(&w);
    if (r < 0)
        return log_error_errno(r, "Failed to start the worker: %m");
    r = sandbox_enter(SANDBOX_BASE);
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
