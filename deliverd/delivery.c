/* SPDX-License-Identifier: Apache-2.0 */

/* Deliveries of a message. The order of things here is the promise: a recipient's end is recorded before the message can go; a
 * bounce is in the queue, durably, before the recipient that it is about counts as done. */

#include "delivery.h"

#include "address.h"
#include "attempt-call.h"
#include "bounce-send.h"
#include "delivery-report.h"
#include "log.h"
#include "sts.h"

/* Again so soon when the fault was here: a worker died, dnsd is away. Doubles up to MaxRetryInterval=. */
#define SOON_USEC (2 * USEC_PER_SEC)

/* A bounce under way: what it is about. */
typedef struct BouncePending {
    Delivery *delivery;
    size_t *indices; /* of recipients in the envelope */
    size_t n;
} BouncePending;

/* ---- settling ---- */

static RecipientStatus *status_of(const Delivery *d, size_t index)
{
    return d->mail->message->state->recipients + index;
}

static void forget_done(Delivery *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_recipients; i++)
        if (*status_of(d, d->recipients[i]) == RECIPIENT_PENDING)
            d->recipients[n++] = d->recipients[i];
    d->n_recipients = n;
}

static void run_clear(Delivery *d)
{
    d->run = delivery_run_free(d->run);
    d->conf = deliverd_conf_unref(d->conf);
    free(d->addresses);
    d->addresses = NULL;
    d->message_fd = close_fd(d->message_fd);
}

static int delivery_schedule(Delivery *d, uint64_t due_usec)
{
    Schedule *s = d->mail->manager->schedule;

    schedule_remove(s, &d->entry);
    return schedule_add(s, &d->entry, d->domain, (unsigned) d->n_recipients, due_usec);
}

static bool mail_done(const Mail *mail)
{
    const QueueMessage *m = mail->message;

    for (size_t i = 0; i < m->envelope->n_recipients; i++)
        if (m->state->recipients[i] == RECIPIENT_PENDING)
            return false;
    return true;
}

/* What the attempt came to is in the state. Writes it down, and schedules what is left. */
static void settle(Delivery *d, uint64_t due_usec)
{
    Mail *mail = d->mail;
    Manager *m = mail->manager;
    QueueMessage *message = mail->message;

    forget_done(d);
    schedule_remove(m->schedule, &d->entry);
    manager_kick(m);
    if (mail_done(mail)) {
        queue_remove(m->queue, message);
        return;
    }
    if (d->n_recipients > 0) {
        if (envelope_state_set(message->state, d->domain, d->attempts, due_usec, d->reason ?: "") < 0
                || delivery_schedule(d, due_usec) < 0)
            log_error("%s: out of memory; delivery to %s goes on after the next start", message->id.text, d->domain);
    }
    queue_save_state(m->queue, message);
}

static uint64_t retry_time(const Delivery *d, bool soon)
{
    const DeliverdConf *conf = d->mail->manager->conf;
    const uint64_t now = manager_now(), end = d->mail->message->envelope->arrival_usec + conf->queue_lifetime;
    uint64_t due;

    if (soon)
        due = now + schedule_interval(d->hurried, SOON_USEC, conf->max_retry_interval);
    else
        due = now + schedule_interval(d->attempts, conf->retry_interval, conf->max_retry_interval);
    /* The last attempt is made when the lifetime ends, not an hour later. */
    return due > end && now < end ? end : due;
}

/* ---- recipients that failed ---- */

static void mark_failed(Delivery *d, const size_t *indices, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *status_of(d, indices[i]) = RECIPIENT_FAILED;
    d->mail->manager->n_bounced += n;
}

static void on_bounced(int error, void *userdata)
{
    BouncePending *b = userdata;
    Delivery *d = b->delivery;

    if (error >= 0)
        mark_failed(d, b->indices, b->n);
    free(b->indices);
    free(b);
    if (error == -ECANCELED)
        return; /* the daemon stops; the next start finds them pending */
    if (error < 0)
        (void) log_error_errno(error, "%s: the bounce could not be queued, trying again later: %m", d->mail->message->id.text);
    settle(d, retry_time(d, false));
}

static int start_bounce(Delivery *d, const RunRecipient *recipients, const size_t *indices, size_t n)
{
    _cleanup_free_ BounceRecipient *facts = calloc(n, sizeof(*facts));
    char(*status)[16] = calloc(n, sizeof(*status));
    BouncePending *b = calloc(1, sizeof(*b));
    int r = -ENOMEM;

    if (b)
        b->indices = calloc(n, sizeof(*b->indices));
    if (facts && status && b && b->indices) {
        b->delivery = d;
        b->n = n;
        for (size_t i = 0; i < n; i++) {
            const RunRecipient *f = recipients + indices[i];

            b->indices[i] = d->recipients[indices[i]];
            bounce_status(f->code, f->text ?: "", status[i]);
            facts[i] = (BounceRecipient) {.address = f->address, .status = status[i], .diagnostic = f->text ?: "",
                    .remote = f->remote};
        }
        r = bounce_send(d->mail->manager, d->mail->message, d->mail->manager->conf->host_name, facts, n, on_bounced, b);
    }
    free(status);
    if (r < 0 && b) {
        free(b->indices);
        free(b);
    }
    return r;
}

/* Recipients indices[] of this attempt will not get the message. True: the end comes later, with the bounce. */
static bool fail_recipients(Delivery *d, const RunRecipient *recipients, const size_t *indices, size_t n)
{
    const bool returned = *d->mail->message->envelope->sender != '\0';
    int r;

    report_failed(d, recipients, indices, n, returned);
    if (returned) {
        r = start_bounce(d, recipients, indices, n);
        if (r < 0)
            (void) log_error_errno(r, "%s: the bounce could not be made, trying again later: %m", d->mail->message->id.text);
        return r >= 0;
    }
    for (size_t i = 0; i < n; i++)
        mark_failed(d, d->recipients + indices[i], 1);
    return false;
}

/* ---- the end of an attempt ---- */

/* Given up: the reason why it waited so long becomes the reason why it failed. */
static void expire(RunRecipient *f, const RunResult *result)
{
    char *text = NULL;

    if (asprintf(&text, "4.4.7 not delivered within the queue's lifetime; the last reason: %s", result->reason) < 0)
        text = NULL;
    free(f->text);
    f->text = text;
    f->code = 0;
    f->kind = result->kind;
    free(f->remote);
    f->remote = NULL;
    f->verdict = VERDICT_FAILED;
}

static void defer(Delivery *d, const RunResult *result, uint64_t due_usec)
{
    free(d->reason);
    d->reason = strdup(result->reason);
    d->mail->manager->n_deferred++;
    report_deferred(d, result, due_usec);
}

static void on_run_done(const RunResult *result, void *userdata)
{
    Delivery *d = userdata;
    QueueMessage *m = d->mail->message;
    const bool expired = manager_now() >= m->envelope->arrival_usec + d->mail->manager->conf->queue_lifetime;
    _cleanup_free_ size_t *failed = calloc(result->n_recipients, sizeof(*failed));
    size_t n_failed = 0, n_pending = 0;
    uint64_t due;
    bool later = false;

    for (size_t i = 0; i < result->n_recipients; i++) {
        RunRecipient *f = result->recipients + i;

        if (f->verdict == VERDICT_PENDING && expired)
            expire(f, result);
        if (f->verdict == VERDICT_DELIVERED) {
            *status_of(d, d->recipients[i]) = RECIPIENT_DELIVERED;
            d->mail->manager->n_delivered++;
        } else if (f->verdict == VERDICT_FAILED && failed)
            failed[n_failed++] = i;
        else
            n_pending++;
    }
    if (n_pending > 0) {
        *(result->soon ? &d->hurried : &d->attempts) += 1;
        if (!result->soon)
            d->hurried = 0;
    }
    due = retry_time(d, result->soon);
    if (result->soon)
        schedule_refund(d->mail->manager->schedule, &d->entry);
    if (n_pending > 0)
        defer(d, result, due);
    if (n_failed > 0)
        later = fail_recipients(d, result->recipients, failed, n_failed);
    run_clear(d);
    if (!later)
        settle(d, due);
    else {
        /* The place is free; the rest waits for the bounce. */
        schedule_remove(d->mail->manager->schedule, &d->entry);
        manager_kick(d->mail->manager);
    }
}

/* ---- an attempt ---- */

static int run_resolve(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata)
{
    Delivery *d = userdata;

    return resolve_start(d->mail->manager->dnsd, ret, name, type, done, done_userdata);
}

static int run_attempt(AttemptCall **ret, const struct sockaddr_storage *address, SmtpRequest *request, RunAttemptDone done,
        void *done_userdata, void *userdata)
{
    Delivery *d = userdata;

    request->message_offset = 0;
    request->message_size = d->mail->message->size;
    return attempt_call_new(ret, d->mail->manager, address, request, d->message_fd, done, done_userdata);
}

static void run_cancel(AttemptCall *call, void *userdata)
{
    attempt_call_cancel(call);
}

static int run_sts(StsQuery **ret, const char *domain, StsDone done, void *done_userdata, void *userdata)
{
    Delivery *d = userdata;

    return sts_query(d->mail->manager->sts, ret, domain, done, done_userdata);
}

static void run_sts_cancel(StsQuery *q, void *userdata)
{
    sts_query_cancel(q);
}

static void run_attempted(const RunAttempt *attempt, void *userdata)
{
    report_attempt(userdata, attempt);
}

static void run_skipped(const char *host, const HostPlan *plan, void *userdata)
{
    report_skipped(userdata, host, plan);
}

static const RunOps run_ops = {
    .resolve = run_resolve,
    .attempt = run_attempt,
    .cancel = run_cancel,
    .sts = run_sts,
    .sts_cancel = run_sts_cancel,
    .attempted = run_attempted,
    .skipped = run_skipped,
    .done = on_run_done,
};

static int prepare(Delivery *d)
{
    const QueueMessage *m = d->mail->message;
    RunRequest request;

    d->conf = deliverd_conf_ref(d->mail->manager->conf);
    d->addresses = calloc(d->n_recipients, sizeof(*d->addresses));
    if (!d->addresses)
        return -ENOMEM;
    for (size_t i = 0; i < d->n_recipients; i++)
        d->addresses[i] = m->envelope->recipients[d->recipients[i]];
    d->message_fd = queue_open_message(d->mail->manager->queue, m);
    if (d->message_fd < 0)
        return d->message_fd;
    request = (RunRequest) {
        .domain = d->domain,
        .policy = destination_policy(&d->conf->destinations, d->domain),
        .message_tls = m->envelope->tls,
        .skip_loopback = d->conf->skip_loopback,
        .helo = d->conf->host_name,
        .sender = m->envelope->sender,
        .body_8bit = m->envelope->body_8bit,
        .smtputf8 = m->envelope->smtputf8,
        .recipients = d->addresses,
        .n_recipients = d->n_recipients,
        .seed = manager_now(),
    };
    return delivery_run_new(&d->run, &request, &run_ops, d);
}

void delivery_start(Delivery *d)
{
    int r;

    r = prepare(d);
    if (r < 0) {
        (void) log_error_errno(r, "%s: the delivery to %s could not be started, trying again later: %m",
                d->mail->message->id.text, d->domain);
        run_clear(d);
        d->hurried++;
        schedule_refund(d->mail->manager->schedule, &d->entry);
        settle(d, retry_time(d, true));
        return;
    }
    delivery_run_start(d->run);
}

/* ---- the message ---- */

static const char *domain_of(const QueueMessage *m, size_t recipient)
{
    return address_domain(m->envelope->recipients[recipient]) ?: "";
}

static Delivery *delivery_for(Mail *mail, const char *domain)
{
    Delivery *d;

    for (size_t i = 0; i < mail->n_deliveries; i++)
        if (streq(mail->deliveries[i].domain, domain))
            return mail->deliveries + i;
    d = mail->deliveries + mail->n_deliveries;
    d->domain = strdup(domain);
    if (!d->domain)
        return NULL;
    d->mail = mail;
    d->message_fd = -EBADF;
    d->entry.userdata = d;
    mail->n_deliveries++;
    return d;
}

static int add_recipient(Mail *mail, size_t index)
{
    Delivery *d = delivery_for(mail, domain_of(mail->message, index));
    size_t *grown;

    if (!d)
        return -ENOMEM;
    grown = reallocarray(d->recipients, d->n_recipients + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    d->recipients = grown;
    d->recipients[d->n_recipients++] = index;
    return 0;
}

static int schedule_all(Mail *mail)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < mail->n_deliveries; i++) {
        Delivery *d = mail->deliveries + i;
        const DestinationState *before = envelope_state_get(mail->message->state, d->domain);

        if (before) {
            d->attempts = before->attempts;
            d->reason = strdup(before->reason);
        }
        r = delivery_schedule(d, before ? before->next_usec : 0);
    }
    return r;
}

int mail_new(Manager *manager, QueueMessage *m)
{
    Mail *mail = calloc(1, sizeof(*mail));
    int r = 0;

    if (!mail)
        return -ENOMEM;
    mail->manager = manager;
    mail->message = m;
    /* As many destinations as recipients at most; entries must not move once they are scheduled. */
    mail->deliveries = calloc(m->envelope->n_recipients, sizeof(*mail->deliveries));
    if (!mail->deliveries)
        r = -ENOMEM;
    for (size_t i = 0; r >= 0 && i < m->envelope->n_recipients; i++)
        if (m->state->recipients[i] == RECIPIENT_PENDING)
            r = add_recipient(mail, i);
    if (r >= 0)
        r = schedule_all(mail);
    if (r < 0) {
        mail_free(mail);
        return r;
    }
    m->userdata = mail;
    if (mail->n_deliveries == 0)
        queue_remove(manager->queue, m);
    return 0;
}

Mail *mail_free(Mail *mail)
{
    if (!mail)
        return NULL;
    for (size_t i = 0; i < mail->n_deliveries; i++) {
        Delivery *d = mail->deliveries + i;

        run_clear(d);
        schedule_remove(mail->manager->schedule, &d->entry);
        free(d->domain);
        free(d->recipients);
        free(d->reason);
    }
    free(mail->deliveries);
    free(mail);
    return NULL;
}
