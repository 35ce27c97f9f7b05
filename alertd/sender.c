/* SPDX-License-Identifier: Apache-2.0 */

/* A job is one alert. Its recipients are gone through in groups that share a way (all of them by a relay, those of one domain
 * otherwise), each way target by target, until a server has taken the message or said no for good. Replies of servers are shown
 * to people and decide over retries, nothing else. */

#include "sender.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>

#include "address.h"
#include "alert-mail.h"
#include "route.h"
#include "smtp-client.h"
#include "tls.h"

typedef enum RecipientState {
    RECIPIENT_WAITING,   /* its group's turn is still to come */
    RECIPIENT_ACTIVE,    /* in the group that is tried now */
    RECIPIENT_LATER,     /* failed for now */
    RECIPIENT_REFUSED,   /* failed for good */
    RECIPIENT_DELIVERED,
} RecipientState;

struct SenderJob {
    Sender *sender;
    const SpoolItem *item;
    SenderDone done;
    void *userdata;
    bool active;
    int message_fd;
    uint64_t message_size;
    size_t n_recipients;
    RecipientState states[SPOOL_RECIPIENTS_MAX];
    size_t group[SPOOL_RECIPIENTS_MAX]; /* indices of the recipients in the transaction */
    size_t n_group;
    Route *route;
    size_t target;  /* index of the one that is tried */
    bool clear;     /* TLS did not work with it */
    SmtpClient *client;
    char reason[600];
    TAILQ_ENTRY(SenderJob) jobs;
};

struct Sender {
    sd_event *event;
    PeerClient *dnsd;
    SSL_CTX *tls;
    char *from, *host_name;
    AlertRelay relay;
    sd_event_source *kick; /* starts what is queued, from the loop */
    unsigned n_active;
    TAILQ_HEAD(, SenderJob) jobs; /* in the order they came, active ones as well */
};

/* ---- the end of a job ---- */

static void update_kick(Sender *s)
{
    (void) sd_event_source_set_enabled(s->kick, SD_EVENT_ONESHOT);
}

SenderJob *sender_cancel(SenderJob *j)
{
    if (!j)
        return NULL;
    smtp_client_free(j->client);
    route_free(j->route);
    close_fd(j->message_fd);
    if (j->active)
        j->sender->n_active--;
    TAILQ_REMOVE(&j->sender->jobs, j, jobs);
    update_kick(j->sender);
    free(j);
    return NULL;
}

static void finish(SenderJob *job)
{
    _cleanup_(sender_cancelp) SenderJob *j = job;
    char *remaining[SPOOL_RECIPIENTS_MAX + 1] = {NULL};
    SenderResult result = {.remaining = remaining, .reason = j->reason};
    size_t n = 0;

    for (size_t i = 0; i < j->n_recipients; i++)
        if (j->states[i] == RECIPIENT_DELIVERED)
            result.n_delivered++;
        else if (j->states[i] == RECIPIENT_REFUSED)
            result.n_refused++;
        else
            remaining[n++] = j->item->recipients[i];
    j->done(&result, j->userdata);
}

/* ---- a group ---- */

static void next_group(SenderJob *j);
static void try_target(SenderJob *j);

static void end_group(SenderJob *j, RecipientState state)
{
    for (size_t i = 0; i < j->n_recipients; i++)
        if (j->states[i] == RECIPIENT_ACTIVE)
            j->states[i] = state;
    j->client = smtp_client_free(j->client);
    j->route = route_free(j->route);
    next_group(j);
}

static void next_target(SenderJob *j)
{
    j->client = smtp_client_free(j->client);
    j->target++;
    j->clear = false;
    try_target(j);
}

static bool failed_by_tls(const SmtpResult *result)
{
    return result->stage == SMTP_STAGE_STARTTLS || result->stage == SMTP_STAGE_HANDSHAKE || result->stage == SMTP_STAGE_VERIFY;
}

static RecipientState state_of_code(int code)
{
    if (code >= 200 && code < 300)
        return RECIPIENT_DELIVERED;
    return code >= 500 && code < 600 ? RECIPIENT_REFUSED : RECIPIENT_LATER;
}

static void remember_failure(SenderJob *j, const SmtpResult *result)
{
    const RouteTarget *targets;

    (void) route_targets(j->route, &targets);
    (void) snprintf(j->reason, sizeof(j->reason), "%s, %s: %.*s", targets[j->target].host, smtp_stage_to_string(result->stage),
            480, failed_by_tls(result) && result->tls_reason && *result->tls_reason ? result->tls_reason : result->reply.text);
}

static void on_transaction(SmtpClient *c, const SmtpResult *result, void *userdata)
{
    SenderJob *j = userdata;

    if (failed_by_tls(result) && !j->clear) {
        j->clear = true;
        j->client = smtp_client_free(j->client);
        try_target(j);
        return;
    }
    if (result->stage < SMTP_STAGE_MAIL) { /* this server does not talk to us; another one may */
        remember_failure(j, result);
        next_target(j);
        return;
    }
    if (result->stage != SMTP_STAGE_DONE)
        remember_failure(j, result);
    for (size_t i = 0; i < j->n_group; i++) {
        int code = result->recipients && result->recipients[i].code != 0 ? result->recipients[i].code : result->reply.code;
        RecipientState state = state_of_code(code);

        /* Only the reply to the final dot makes it delivered. */
        if (state == RECIPIENT_DELIVERED && result->stage != SMTP_STAGE_DONE)
            state = state_of_code(result->reply.code) == RECIPIENT_REFUSED ? RECIPIENT_REFUSED : RECIPIENT_LATER;
        if (state != RECIPIENT_DELIVERED && result->stage == SMTP_STAGE_DONE)
            (void) snprintf(j->reason, sizeof(j->reason), "%s: %s", j->item->recipients[j->group[i]], result->recipients[i].text);
        j->states[j->group[i]] = state;
    }
    end_group(j, RECIPIENT_LATER);
}

static int connect_to(const struct sockaddr_storage *address)
{
    _cleanup_close_ int fd = -EBADF;
    socklen_t size = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *) address, size) < 0 && errno != EINPROGRESS)
        return -errno;
    return TAKE_FD(fd);
}

static int start_client(SenderJob *j, const RouteTarget *target)
{
    const char *recipients[SPOOL_RECIPIENTS_MAX];
    _cleanup_close_ int fd = -EBADF;
    struct sockaddr_storage literal;
    SmtpRequest request = {
        .helo = j->sender->host_name,
        .want = j->clear ? SMTP_TLS_NO : SMTP_TLS_IF_OFFERED,
        .tls = j->sender->tls,
        .sender = j->sender->from,
        .recipients = recipients,
        .message_fd = j->message_fd,
        .message_size = j->message_size,
    };
    int r;

    if (!route_host_is_literal(target->host, &literal))
        request.server_name = target->host;
    for (size_t i = 0; i < j->n_recipients; i++)
        if (j->states[i] == RECIPIENT_ACTIVE) {
            recipients[request.n_recipients] = j->item->recipients[i];
            j->group[request.n_recipients++] = i;
        }
    j->n_group = request.n_recipients;
    fd = connect_to(&target->address);
    if (fd < 0)
        return fd;
    r = smtp_client_new(&j->client, j->sender->event, fd, &request, on_transaction, j);
    if (r < 0)
        return r;
    (void) TAKE_FD(fd);
    return 0;
}

static void try_target(SenderJob *j)
{
    const RouteTarget *targets;
    size_t n = route_targets(j->route, &targets);

    for (; j->target < n; j->target++) {
        int r = start_client(j, &targets[j->target]);

        if (r >= 0)
            return;
        (void) snprintf(j->reason, sizeof(j->reason), "%s: %s", targets[j->target].host, strerror(-r));
        j->clear = false;
    }
    end_group(j, RECIPIENT_LATER);
}

static void on_route(Route *r, int error, const char *reason, void *userdata)
{
    SenderJob *j = userdata;

    if (error < 0) {
        (void) snprintf(j->reason, sizeof(j->reason), "%s", reason);
        end_group(j, error == -EHOSTUNREACH ? RECIPIENT_REFUSED : RECIPIENT_LATER);
        return;
    }
    j->target = 0;
    j->clear = false;
    try_target(j);
}

/* Makes the next group active; its domain, or NULL when none is left. */
static const char *take_group(SenderJob *j)
{
    const char *domain = NULL;

    for (size_t i = 0; i < j->n_recipients; i++) {
        const char *d = address_domain(j->item->recipients[i]);

        if (j->states[i] != RECIPIENT_WAITING)
            continue;
        if (!d) {
            j->states[i] = RECIPIENT_REFUSED;
            continue;
        }
        if (domain && !j->sender->relay.host && !streq(d, domain))
            continue;
        domain = domain ? domain : d;
        j->states[i] = RECIPIENT_ACTIVE;
    }
    return domain;
}

static void next_group(SenderJob *j)
{
    Sender *s = j->sender;
    const char *domain;
    int r;

    while ((domain = take_group(j))) {
        if (s->relay.host)
            r = route_new_host(&j->route, s->dnsd, s->event, s->relay.host, s->relay.port, on_route, j);
        else if (*domain == '[')
            r = -EHOSTUNREACH; /* address literals: no alert needs them */
        else
            r = route_new_domain(&j->route, s->dnsd, domain, on_route, j);
        if (r >= 0)
            return;
        (void) snprintf(j->reason, sizeof(j->reason), "%s: %s", domain, strerror(-r));
        for (size_t i = 0; i < j->n_recipients; i++)
            if (j->states[i] == RECIPIENT_ACTIVE)
                j->states[i] = r == -EHOSTUNREACH ? RECIPIENT_REFUSED : RECIPIENT_LATER;
    }
    finish(j);
}

/* ---- jobs ---- */

/* The message in a memory file, as the SMTP client wants it. */
static int write_message(SenderJob *j)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    const SpoolItem *i = j->item;
    struct timespec now;
    size_t size;
    AlertMail mail;
    char id[48];
    int r;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    /* The same alert tried again is the same message; the item mailed after another interval is another one. */
    (void) snprintf(id, sizeof(id), "%s.%" PRIx64, i->id, i->last_usec);
    mail = (AlertMail) {
        .from = j->sender->from,
        .recipients = (const char *const *) i->recipients,
        .host = j->sender->host_name,
        .id = id,
        .severity = alert_severity_to_string(i->severity),
        .type = alert_type_to_title(i->type),
        .summary = i->summary,
        .body = i->body,
        .first_usec = i->first_usec,
        .last_usec = i->last_usec,
        .count = i->count,
        .now_usec = (uint64_t) now.tv_sec * USEC_PER_SEC,
    };
    r = alert_mail_compose(&mail, &text, &size);
    if (r < 0)
        return r;
    fd = memfd_create("alert", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (size_t n = 0; n < size; ) {
        ssize_t k = write(fd, text + n, size - n);

        if (k < 0)
            return -errno;
        n += (size_t) k;
    }
    j->message_fd = TAKE_FD(fd);
    j->message_size = size;
    return 0;
}

static void start_job(SenderJob *j)
{
    int r;

    j->active = true;
    j->sender->n_active++;
    r = write_message(j);
    if (r < 0) {
        (void) snprintf(j->reason, sizeof(j->reason), "cannot write the message: %s", strerror(-r));
        finish(j);
        return;
    }
    next_group(j);
}

static SenderJob *first_waiting(Sender *s)
{
    SenderJob *j;

    TAILQ_FOREACH(j, &s->jobs, jobs)
        if (!j->active)
            return j;
    return NULL;
}

static int on_kick(sd_event_source *source, void *userdata)
{
    Sender *s = userdata;
    SenderJob *j;

    while (s->n_active < SENDER_ACTIVE_MAX && (j = first_waiting(s)))
        start_job(j);
    return 0;
}

int sender_submit(Sender *s, SenderJob **ret, const SpoolItem *item, SenderDone done, void *userdata)
{
    SenderJob *j;

    j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    *j = (SenderJob) {.sender = s, .item = item, .done = done, .userdata = userdata, .message_fd = -EBADF};
    while (item->recipients[j->n_recipients] && j->n_recipients < SPOOL_RECIPIENTS_MAX)
        j->n_recipients++;
    TAILQ_INSERT_TAIL(&s->jobs, j, jobs);
    update_kick(s);
    *ret = j;
    return 0;
}

unsigned sender_active(const Sender *s)
{
    return s->n_active;
}

/* ---- the sender ---- */

Sender *sender_free(Sender *s)
{
    if (!s)
        return NULL;
    while (!TAILQ_EMPTY(&s->jobs))
        sender_cancel(TAILQ_FIRST(&s->jobs));
    sd_event_source_disable_unref(s->kick);
    SSL_CTX_free(s->tls);
    free(s->from);
    free(s->host_name);
    free(s->relay.host);
    sd_event_unref(s->event);
    free(s);
    return NULL;
}

int sender_new(Sender **ret, sd_event *event, PeerClient *dnsd)
{
    _cleanup_(sender_freep) Sender *s = NULL;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    TAILQ_INIT(&s->jobs);
    s->event = sd_event_ref(event);
    s->dnsd = dnsd;
    r = sd_event_add_defer(event, &s->kick, on_kick, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(s->kick, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = tls_client_context_new(&s->tls, NULL);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

int sender_configure(Sender *s, const AlertConfig *config)
{
    _cleanup_free_ char *from = strdup(config->from), *host_name = strdup(config->host_name), *relay = NULL;

    if (config->relay.host)
        relay = strdup(config->relay.host);
    if (!from || !host_name || (config->relay.host && !relay))
        return -ENOMEM;
    free(s->from);
    free(s->host_name);
    free(s->relay.host);
    s->from = TAKE_PTR(from);
    s->host_name = TAKE_PTR(host_name);
    s->relay = (AlertRelay) {.host = TAKE_PTR(relay), .port = config->relay.port};
    return 0;
}
