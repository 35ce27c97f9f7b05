/* SPDX-License-Identifier: Apache-2.0 */

/* Journal lines and alerts of deliveries. Addresses and replies of peers appear, content never. */

#include "delivery-report.h"

#include <inttypes.h>

#include "catalog-ids.h"
#include "delivery-alert.h"
#include "log.h"

/* "<bob@example.com>" or "<bob@example.com> and 3 more". */
static void describe_recipients(char *buffer, size_t size, const char *first, size_t n)
{
    if (n > 1)
        (void) snprintf(buffer, size, "<%s> and %zu more", first, n - 1);
    else
        (void) snprintf(buffer, size, "<%s>", first);
}

/* NULL: it did not say. */
static const char *message_tls(const QueueMessage *m)
{
    return m->envelope->tls == MESSAGE_TLS_DEFAULT ? NULL : message_tls_to_string(m->envelope->tls);
}

void report_tls(const RunAttempt *a, char ret[REPORT_TLS_MAX])
{
    const char *tested = decision_sts_tested(a->plan, a->result->tls_used, a->result->sts);
    char tls[64] = "";

    if (a->result->tls_used)
        (void) snprintf(tls, sizeof(tls), " %.24s (%s)", a->result->tls.version, tls_verify_to_string(a->verified));
    (void) snprintf(ret, REPORT_TLS_MAX, "tls=%s:%s%s%s%s", decision_wanted(a->plan, a->want),
            decision_got(a->result->tls_used, a->verified), tls, tested ? ", sts=testing:" : "", tested ?: "");
}

static void report_delivered(const Delivery *d, const RunAttempt *a)
{
    const QueueMessage *m = d->mail->message;
    const SmtpResult *result = a->result;
    const char *wanted = decision_wanted(a->plan, a->want), *got = decision_got(result->tls_used, a->verified);
    const char *verified = tls_verify_to_string(a->verified);
    const char *tested = decision_sts_tested(a->plan, result->tls_used, result->sts);
    char to[400], count[24], tls[REPORT_TLS_MAX];

    (void) snprintf(count, sizeof(count), "%zu", a->delivered);
    describe_recipients(to, sizeof(to), a->first, a->delivered);
    report_tls(a, tls);
    const LogField fields[] = {
        {"POSTERN_QUEUE_ID", m->id.text},
        {"POSTERN_SESSION_ID", m->envelope->session},
        {"POSTERN_DESTINATION", d->domain},
        {"POSTERN_MESSAGE_TLS", message_tls(m)},
        {"POSTERN_PEER", a->peer},
        {"POSTERN_RECIPIENTS", count},
        {"POSTERN_STS", a->plan->sts != STS_MODE_NONE ? sts_mode_to_string(a->plan->sts) : NULL},
        {"POSTERN_STS_RESULT", tested},
        {"POSTERN_TLS_WANTED", wanted},
        {"POSTERN_TLS_RESULT", got},
        {"POSTERN_TLS_VERSION", result->tls_used ? result->tls.version : NULL},
        {"POSTERN_TLS_CIPHER", result->tls_used ? result->tls.cipher : NULL},
        {"POSTERN_TLS_GROUP", result->tls_used ? result->tls.group : NULL},
        {"POSTERN_TLS_VERIFY", result->tls_used ? verified : NULL},
        {"POSTERN_REASON", result->reply.text},
    };

    log_event(LOG_INFO, MESSAGE_DELIVERED_ID, fields, ELEMENTSOF(fields),
            "%s: delivered to %s at %s, %s, reply: %d %s", m->id.text, to, a->peer, tls, result->reply.code, result->reply.text);
}

static bool is_want_of_security(FailureKind kind)
{
    return kind == FAILURE_TLS || kind == FAILURE_STS || kind == FAILURE_DANE;
}

/* A host that another one follows, or whose failure is not the one that the deferral tells; or that is tried again in the clear,
 * which the entry about the delivery does not tell from a host without TLS. */
static void report_failed_host(const Delivery *d, const char *peer, const char *wanted, TlsVerify verified, bool falls_back,
        const char *reason)
{
    const QueueMessage *m = d->mail->message;
    const LogField fields[] = {
        {"POSTERN_QUEUE_ID", m->id.text},
        {"POSTERN_SESSION_ID", m->envelope->session},
        {"POSTERN_DESTINATION", d->domain},
        {"POSTERN_MESSAGE_TLS", message_tls(m)},
        {"POSTERN_PEER", peer},
        {"POSTERN_TLS_WANTED", wanted},
        {"POSTERN_TLS_RESULT", "none"},
        {"POSTERN_TLS_VERIFY", verified != TLS_VERIFY_NONE ? tls_verify_to_string(verified) : NULL},
        {"POSTERN_REASON", reason},
    };

    log_event(LOG_NOTICE, NULL, fields, ELEMENTSOF(fields), "%s: not delivered at %s, tls=%s:none%s: %s", m->id.text, peer,
            wanted, falls_back ? ", again in the clear" : "", reason);
}

void report_attempt(const Delivery *d, const RunAttempt *a)
{
    if (a->delivered > 0)
        report_delivered(d, a);
    if (a->falls_back || (is_want_of_security(a->kind) && !a->told))
        report_failed_host(d, a->peer, decision_wanted(a->plan, a->want), a->verified, a->falls_back, a->reason);
}

void report_skipped(const Delivery *d, const char *host, const HostPlan *plan)
{
    if (is_want_of_security(plan->kind))
        report_failed_host(d, host, plan->wanted, TLS_VERIFY_NONE, false, plan->reason);
}

static void raise_alert(const Delivery *d, const RunResult *result)
{
    _cleanup_(delivery_alert_done) DeliveryAlert a = {};
    const DeliveryAlertFacts facts = {
        .kind = result->kind,
        .domain = d->domain,
        .waiting = schedule_count_for(d->mail->manager->schedule, d->domain),
        .id = d->mail->message->id.text,
        .attempts = d->attempts,
        .reason = result->reason,
    };

    if (result->kind == FAILURE_TLS && !d->mail->manager->conf->alert_on_tls_failure)
        return;
    if (delivery_alert_compose(&facts, &a) >= 0)
        alert_raise(d->mail->manager->alertd, ALERT_WARNING, a.type, a.key, a.summary, a.body);
}

void report_deferred(const Delivery *d, const RunResult *result, uint64_t next_usec)
{
    const QueueMessage *m = d->mail->message;
    const uint64_t now = manager_now();
    const char *wanted = result->wanted;
    char to[400], attempts[16], next[24];
    const char *first = NULL;
    size_t pending = 0;

    for (size_t i = 0; i < result->n_recipients; i++)
        if (result->recipients[i].verdict == VERDICT_PENDING && pending++ == 0)
            first = result->recipients[i].address;
    describe_recipients(to, sizeof(to), first ?: "", pending);
    (void) snprintf(attempts, sizeof(attempts), "%u", d->attempts);
    (void) snprintf(next, sizeof(next), "%" PRIu64, next_usec);
    const LogField fields[] = {
        {"POSTERN_QUEUE_ID", m->id.text},
        {"POSTERN_SESSION_ID", m->envelope->session},
        {"POSTERN_DESTINATION", d->domain},
        {"POSTERN_MESSAGE_TLS", message_tls(m)},
        {"POSTERN_PEER", result->peer},
        {"POSTERN_ATTEMPTS", attempts},
        {"POSTERN_NEXT_ATTEMPT_USEC", next},
        {"POSTERN_FAILURE", failure_kind_to_string(result->kind)},
        {"POSTERN_TLS_WANTED", wanted},
        {"POSTERN_TLS_RESULT", "none"},
        {"POSTERN_TLS_VERIFY", result->verified != TLS_VERIFY_NONE ? tls_verify_to_string(result->verified) : NULL},
        {"POSTERN_REASON", result->reason},
    };

    log_event(LOG_NOTICE, MESSAGE_DEFERRED_ID, fields, ELEMENTSOF(fields),
            "%s: deferred for %s, next attempt in %" PRIu64 " s, tls=%s:none: %s", m->id.text, to,
            next_usec > now ? (next_usec - now + USEC_PER_SEC - 1) / USEC_PER_SEC : 0, wanted, result->reason);
    if (is_want_of_security(result->kind))
        raise_alert(d, result);
}

void report_failed(const Delivery *d, const RunRecipient *recipients, const size_t *indices, size_t n, bool returned)
{
    const QueueMessage *m = d->mail->message;
    const RunRecipient *first = recipients + indices[0];
    FailureKind kind = FAILURE_NONE;
    char to[400], count[24];

    for (size_t i = 0; i < n && kind == FAILURE_NONE; i++)
        kind = recipients[indices[i]].kind;
    describe_recipients(to, sizeof(to), first->address, n);
    (void) snprintf(count, sizeof(count), "%zu", n);
    const LogField fields[] = {
        {"POSTERN_QUEUE_ID", m->id.text},
        {"POSTERN_SESSION_ID", m->envelope->session},
        {"POSTERN_DESTINATION", d->domain},
        {"POSTERN_MESSAGE_TLS", message_tls(m)},
        {"POSTERN_PEER", first->remote},
        {"POSTERN_RECIPIENTS", count},
        {"POSTERN_FAILURE", kind != FAILURE_NONE ? failure_kind_to_string(kind) : NULL},
        {"POSTERN_REASON", first->text},
    };

    log_event(LOG_NOTICE, MESSAGE_BOUNCED_ID, fields, ELEMENTSOF(fields), "%s: not deliverable to %s, %s: %s", m->id.text, to,
            returned ? "returned to the sender" : "dropped, for it has no sender", first->text ?: "");
}
