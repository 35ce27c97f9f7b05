/* SPDX-License-Identifier: Apache-2.0 */

/* What the end of an attempt leads to. Two rules stand above the rest: never in the clear where TLS is wanted for
 * sure, and never a second try where the message may have been taken already. */

#include "decision.h"

static bool falls_back(SmtpTlsWant want, PlaintextFallback fallback, SmtpStage stage)
{
    if (want != SMTP_TLS_IF_OFFERED)
        return false;
    if (stage == SMTP_STAGE_STARTTLS)
        return fallback == FALLBACK_ALWAYS || fallback == FALLBACK_BEFORE_220;
    return fallback == FALLBACK_ALWAYS || fallback == FALLBACK_AFTER_220;
}

Verdict decision_verdict(const HostPlan *plan, SmtpTlsWant want, PlaintextFallback fallback, SmtpStage stage, int code,
        bool pending)
{
    const FailureKind tls = want == SMTP_TLS_NO ? FAILURE_SMTP : plan->kind;

    switch (stage) {
    case SMTP_STAGE_CONNECT:
        return (Verdict) {NEXT_ADDRESS, FAILURE_CONNECT};
    case SMTP_STAGE_GREETING:
    case SMTP_STAGE_EHLO:
        return (Verdict) {code == 0 ? NEXT_ADDRESS : NEXT_HOST, FAILURE_SMTP};
    case SMTP_STAGE_STARTTLS_OFFER:
    case SMTP_STAGE_VERIFY:
        return (Verdict) {NEXT_HOST, tls};
    case SMTP_STAGE_REQUIRETLS:
        return (Verdict) {NEXT_HOST, FAILURE_TLS};
    case SMTP_STAGE_STARTTLS:
    case SMTP_STAGE_HANDSHAKE:
        return (Verdict) {falls_back(want, fallback, stage) ? NEXT_CLEAR : NEXT_HOST, tls};
    case SMTP_STAGE_MAIL:
    case SMTP_STAGE_RCPT:
    case SMTP_STAGE_DATA:
        return (Verdict) {pending ? NEXT_HOST : NEXT_END, FAILURE_SMTP};
    case SMTP_STAGE_FINAL:
        /* Without a reply nobody knows whether it was taken: only the same host may be asked again, later. */
        if (code == 0)
            return (Verdict) {NEXT_DEFER, FAILURE_SMTP};
        return (Verdict) {pending ? NEXT_HOST : NEXT_END, FAILURE_SMTP};
    case SMTP_STAGE_DONE:
        return (Verdict) {pending ? NEXT_HOST : NEXT_END, pending ? FAILURE_SMTP : FAILURE_NONE};
    }
    return (Verdict) {NEXT_DEFER, FAILURE_SMTP};
}

const char *decision_unmet(const HostPlan *plan, SmtpStage stage, int code)
{
    static const char no_tls[] = "5.7.10", no_promise[] = "5.7.30";

    if (!plan->require_tls)
        return NULL;
    if (plan->skip)
        return no_tls;
    switch (stage) {
    case SMTP_STAGE_REQUIRETLS:
        return no_promise;
    case SMTP_STAGE_STARTTLS_OFFER:
    case SMTP_STAGE_VERIFY:
        return no_tls;
    case SMTP_STAGE_STARTTLS:
        return code / 100 == 5 ? no_tls : NULL;
    default:
        return NULL;
    }
}

RecipientVerdict decision_recipient(SmtpStage stage, int stage_code, int recipient_code)
{
    if (stage == SMTP_STAGE_DONE && recipient_code / 100 == 2)
        return VERDICT_DELIVERED;
    if (recipient_code / 100 == 5 && stage >= SMTP_STAGE_RCPT)
        return VERDICT_FAILED;
    /* A refusal of the transaction is one of every recipient in it. */
    if ((stage == SMTP_STAGE_MAIL || stage == SMTP_STAGE_DATA || stage == SMTP_STAGE_FINAL) && stage_code / 100 == 5 &&
            recipient_code / 100 != 4)
        return VERDICT_FAILED;
    return VERDICT_PENDING;
}

char *decision_describe(SmtpStage stage, const SmtpReply *reply, const char *tls_reason)
{
    const bool replied = reply->code > 0;
    char *s = NULL, said[560];
    int n = -1;

    if (replied)
        (void) snprintf(said, sizeof(said), "%d %s", reply->code, reply->text);
    else
        (void) snprintf(said, sizeof(said), "%s", reply->text);
    switch (stage) {
    case SMTP_STAGE_CONNECT:
        n = asprintf(&s, "connection failed: %s", said);
        break;
    case SMTP_STAGE_GREETING:
        n = asprintf(&s, replied ? "refused at the greeting: %s" : "no greeting: %s", said);
        break;
    case SMTP_STAGE_EHLO:
        n = asprintf(&s, "EHLO failed: %s", said);
        break;
    case SMTP_STAGE_STARTTLS_OFFER:
        n = asprintf(&s, replied ? "TLS is required, but the server does not speak ESMTP: %s"
                                 : "TLS is required, but STARTTLS is not offered%s", said);
        break;
    case SMTP_STAGE_STARTTLS:
        n = asprintf(&s, replied ? "STARTTLS refused: %s" : "STARTTLS failed: %s", said);
        break;
    case SMTP_STAGE_HANDSHAKE:
        n = asprintf(&s, "TLS handshake failed: %s", *tls_reason ? tls_reason : said);
        break;
    case SMTP_STAGE_VERIFY:
        n = asprintf(&s, "certificate not verified: %s", *tls_reason ? tls_reason : said);
        break;
    case SMTP_STAGE_REQUIRETLS:
        n = asprintf(&s, "the message may go only to servers that offer REQUIRETLS, and this one does not");
        break;
    case SMTP_STAGE_MAIL:
        n = asprintf(&s, replied ? "sender refused: %s" : "connection lost in MAIL: %s", said);
        break;
    case SMTP_STAGE_RCPT:
        n = asprintf(&s, replied ? "recipient refused: %s" : "connection lost in RCPT: %s", said);
        break;
    case SMTP_STAGE_DATA:
        n = asprintf(&s, replied ? "message refused: %s" : "connection lost in DATA: %s", said);
        break;
    case SMTP_STAGE_FINAL:
        n = asprintf(&s, replied ? "message refused: %s" : "connection lost after the message, it may arrive twice: %s", said);
        break;
    case SMTP_STAGE_DONE:
        n = asprintf(&s, "%s", said);
        break;
    }
    return n < 0 ? NULL : s;
}
