/* SPDX-License-Identifier: Apache-2.0 */

/* The walk. Each step either starts one question or connection and returns, or goes on to the next step; when nothing is left to
 * try it ends. It never decides itself: decision.h does. */

#include "delivery-run.h"

#include <arpa/inet.h>
#include <stdarg.h>

#include "address.h"

/* RFC 1035, section 2.3.4: 255 bytes on the wire. */
#define DOMAIN_LENGTH_MAX 253

struct DeliveryRun {
    RunOps ops;
    void *userdata;
    RunRequest request;
    char *route_host;
    uint16_t port;

    RunRecipient *recipients;
    size_t *attempted;    /* indices of those in the current attempt … */
    const char **pending; /* … and their addresses */
    size_t n_attempted;

    StsQuery *sts_query;
    StsAnswer sts; /* its reason and policy are the run's */
    bool sts_known;
    MxPlan *mx;
    size_t host;    /* index of the next one in mx */
    ResolveQuery *queries[2];
    ResolveAnswer *a, *aaaa, *tlsa;
    HostAddresses addresses;
    bool named;     /* the host is not just an address: SNI */
    size_t base;    /* index of the current one in addresses.bases */
    size_t address; /* index of the next one in addresses.addresses */
    HostPlan plan;
    SmtpTlsWant want; /* of the current attempt */
    SmtpRequest smtp;
    AttemptCall *call;

    size_t n_unmet;        /* hosts that cannot have the message as it asks for REQUIRETLS … */
    const char *unmet;     /* … and the enhanced code for that; static */
    unsigned kinds;        /* mask of the FailureKinds of all hosts */
    bool without_address;  /* every host so far certainly has no address */
    FailureKind worst;
    TlsVerify verified; /* in the last attempt */
    char *reason, *peer;
};

static const char *host_name(const DeliveryRun *r)
{
    return r->mx->hosts[r->host - 1].name;
}

/* For who wants to see each step: t and all that is known at this time. */
static void trace(const DeliveryRun *r, RunTrace t)
{
    t.mx = r->mx;
    t.sts = r->sts_known ? &r->sts : NULL;
    t.host = r->host > 0 ? r->host - 1 : 0;
    t.named = r->named;
    t.addresses = &r->addresses;
    t.a = r->a;
    t.aaaa = r->aaaa;
    t.tlsa = r->tlsa;
    t.base = r->tlsa ? r->addresses.bases[r->base] : NULL;
    t.plan = &r->plan;
    t.want = r->want;
    t.peer = r->peer;
    if (r->ops.traced)
        r->ops.traced(&t, r->userdata);
}

/* ---- the end ---- */

static void cancel_sts(DeliveryRun *r)
{
    if (r->sts_query)
        r->ops.sts_cancel(r->sts_query, r->userdata);
    r->sts_query = NULL;
}

static void finish(DeliveryRun *r, bool soon)
{
    bool pending = false;
    RunResult result = {
        .recipients = r->recipients,
        .n_recipients = r->request.n_recipients,
        .reason = "",
        .peer = r->peer,
        .wanted = decision_wanted(&r->plan, r->want) ?: "none",
        .verified = r->verified,
        .soon = soon,
    };

    /* A destination can turn out to take no mail before the answer is there. */
    cancel_sts(r);
    for (size_t i = 0; i < r->request.n_recipients; i++)
        pending |= r->recipients[i].verdict == VERDICT_PENDING;
    if (pending) {
        const unsigned secured = 1u << FAILURE_DANE | 1u << FAILURE_STS | 1u << FAILURE_TLS;

        result.reason = r->reason ?: "no host could be tried";
        result.kind = r->worst;
        if ((r->kinds & secured) && r->kinds != 1u << r->worst)
            result.kind = FAILURE_TLS;
        if ((r->kinds & secured) == 1u << FAILURE_STS && r->sts.later && r->sts.own_fault) {
            result.kind = FAILURE_NONE;
            result.soon = true;
        }
    }
    r->ops.done(&result, r->userdata);
}

/* Keeps the most telling reason: DANE before STS before TLS before SMTP, then the latest. */
static void note_failure(DeliveryRun *r, FailureKind kind, const char *format, ...) _printf_(3, 4);

static void note_failure(DeliveryRun *r, FailureKind kind, const char *format, ...)
{
    char *text;
    va_list ap;
    int n;

    r->kinds |= 1u << kind;
    if (kind < r->worst)
        return;
    va_start(ap, format);
    n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    free(r->reason);
    r->reason = text;
    r->worst = kind;
}

static void decide(DeliveryRun *r, RunRecipient *recipient, RecipientVerdict verdict, int code, const char *text,
        const char *remote)
{
    char *copy = NULL;

    if (asprintf(&copy, code > 0 ? "%d %s" : "%.0d%s", code, text) < 0)
        copy = NULL;
    recipient->verdict = verdict;
    recipient->code = code;
    free(recipient->text);
    recipient->text = copy;
    free(recipient->remote);
    recipient->remote = remote ? strdup(remote) : NULL;
}

static void fail_all(DeliveryRun *r, const char *enhanced, const char *reason)
{
    char text[600];

    (void) snprintf(text, sizeof(text), "%s %s", enhanced, reason);
    for (size_t i = 0; i < r->request.n_recipients; i++)
        if (r->recipients[i].verdict == VERDICT_PENDING)
            decide(r, r->recipients + i, VERDICT_FAILED, 0, text, NULL);
    finish(r, false);
}

/* Whether the host, which is done with, failed for what the message asks for. */
static void note_unmet(DeliveryRun *r, const char *enhanced)
{
    if (!enhanced)
        return;
    r->n_unmet++;
    /* 5.7.30 says more: TLS was as good as it has to be. */
    if (!r->unmet || strcmp(enhanced, r->unmet) > 0)
        r->unmet = enhanced;
}

/* RFC 8689, section 4.2.1: no host can have the message, so its sender is told. A bounce has none, and may as well wait. */
static bool is_unmet(const DeliveryRun *r)
{
    return r->n_unmet > 0 && r->n_unmet == r->mx->n_hosts && *r->request.sender;
}

/* ---- one connection ---- */

static void next_host(DeliveryRun *r);
static void next_address(DeliveryRun *r);
static void connect_address(DeliveryRun *r);

static void set_peer(DeliveryRun *r, const struct sockaddr_storage *sa)
{
    _cleanup_free_ char *address = NULL;
    char *peer = NULL;

    if (sockaddr_to_string((const struct sockaddr *) sa, &address) < 0
            || asprintf(&peer, "%s[%s]:%u", host_name(r), address, r->port) < 0)
        peer = NULL;
    free(r->peer);
    r->peer = peer;
}

static bool collect_pending(DeliveryRun *r)
{
    r->n_attempted = 0;
    for (size_t i = 0; i < r->request.n_recipients; i++)
        if (r->request.probe || r->recipients[i].verdict == VERDICT_PENDING) {
            r->pending[r->n_attempted] = r->recipients[i].address;
            r->attempted[r->n_attempted++] = i;
        }
    return r->n_attempted > 0;
}

/* Takes over what the host said about each recipient: how many it took the message for, one of those, and whether one is left
 * without a final answer. */
static size_t apply_replies(DeliveryRun *r, const SmtpResult *result, const char **ret_first, bool *ret_pending)
{
    size_t delivered = 0;

    *ret_first = NULL;
    *ret_pending = false;
    for (size_t i = 0; i < r->n_attempted; i++) {
        const SmtpReply *own = result->recipients ? result->recipients + i : NULL;
        RecipientVerdict verdict = decision_recipient(result->stage, result->reply.code, own ? own->code : 0);
        const bool own_says_it = own && own->code > 0 && (verdict != VERDICT_FAILED || own->code / 100 == 5);
        const SmtpReply *said = own_says_it ? own : &result->reply;

        /* The host that a probe comes to first is the one that a message would go to. */
        if (r->recipients[r->attempted[i]].verdict == VERDICT_PENDING)
            decide(r, r->recipients + r->attempted[i], verdict, said->code, said->text, host_name(r));
        *ret_pending |= verdict == VERDICT_PENDING;
        if (verdict == VERDICT_DELIVERED && delivered++ == 0)
            *ret_first = r->pending[i];
    }
    return delivered;
}

/* What the deciding reply of a transaction is that succeeded for some and not for others: the first temporary one. */
static const SmtpReply *pending_reply(const DeliveryRun *r, const SmtpResult *result)
{
    for (size_t i = 0; i < r->n_attempted && result->recipients; i++)
        if (r->recipients[r->attempted[i]].verdict == VERDICT_PENDING && result->recipients[i].code > 0)
            return result->recipients + i;
    return &result->reply;
}

static bool is_last(const DeliveryRun *r, NextStep next)
{
    return next == NEXT_END || next == NEXT_DEFER ||
           (next != NEXT_CLEAR && r->host >= r->mx->n_hosts && (next == NEXT_HOST || r->address >= r->addresses.n_addresses));
}

static void go_on(DeliveryRun *r, NextStep next)
{
    switch (next) {
    case NEXT_CLEAR:
        r->want = SMTP_TLS_NO;
        r->address--;
        connect_address(r);
        return;
    case NEXT_ADDRESS:
        next_address(r);
        return;
    case NEXT_HOST:
        next_host(r);
        return;
    case NEXT_END:
    case NEXT_DEFER:
        if (r->request.probe)
            next_host(r);
        else
            finish(r, false);
        return;
    }
}

static void on_attempted(const SmtpResult *result, const char *why, void *userdata)
{
    DeliveryRun *r = userdata;
    _cleanup_free_ char *reason = NULL;
    RunAttempt attempt;
    const char *first;
    size_t delivered;
    Verdict verdict;
    bool pending;

    r->call = NULL;
    if (!result) {
        note_failure(r, FAILURE_NONE, "%s", why);
        finish(r, true);
        return;
    }
    delivered = apply_replies(r, result, &first, &pending);
    verdict = decision_verdict(&r->plan, r->want, r->request.policy.fallback, result->stage, result->reply.code, pending);
    r->verified = decision_verified(&r->plan, result->verify);
    if (pending) {
        reason = decision_describe(result->stage, pending_reply(r, result), result->tls_reason ?: "");
        /* A fallback is no failure yet: the attempt in the clear says how it ends. */
        if (verdict.next != NEXT_CLEAR)
            note_failure(r, verdict.kind, "%s: %s", r->peer ?: host_name(r), reason ?: "out of memory");
    }
    note_unmet(r, decision_unmet(&r->plan, result->stage, result->reply.code));
    attempt = (RunAttempt) {
        .peer = r->peer ?: "",
        .plan = &r->plan,
        .want = r->want,
        .result = result,
        .verified = r->verified,
        .kind = verdict.kind,
        .reason = reason ?: "",
        .delivered = delivered,
        .first = first,
        .last = is_last(r, verdict.next),
        .told = is_last(r, verdict.next) && verdict.kind >= r->worst,
        .falls_back = verdict.next == NEXT_CLEAR,
    };
    if (r->ops.attempted)
        r->ops.attempted(&attempt, r->userdata);
    trace(r, (RunTrace) {.step = RUN_STEP_ATTEMPT, .attempt = &attempt});
    go_on(r, verdict.next);
}

static bool is_loopback(const struct sockaddr_storage *sa)
{
    if (sa->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) sa)->sin6_addr);
    return ntohl(((const struct sockaddr_in *) sa)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The address r->address, which is counted on at once. */
static void connect_address(DeliveryRun *r)
{
    const struct sockaddr_storage *sa = r->addresses.addresses + r->address++;
    int k;

    set_peer(r, sa);
    if (r->request.skip_loopback && !r->request.policy.route && is_loopback(sa)) {
        note_failure(r, FAILURE_DNS, "%s is this host itself", r->peer ?: host_name(r));
        trace(r, (RunTrace) {.step = RUN_STEP_FAILED, .reason = "it is this host itself"});
        next_address(r);
        return;
    }
    (void) collect_pending(r);
    trace(r, (RunTrace) {.step = RUN_STEP_CONNECT});
    r->smtp = (SmtpRequest) {
        .helo = r->request.helo,
        .server_name = r->named ? host_name(r) : NULL,
        .want = r->want,
        .reference = {
            .names = r->plan.names,
            .insecure_name = r->plan.insecure_name,
            .rule = r->plan.rule,
            .pins = r->plan.pins,
            .pins_and_chain = r->plan.pins_and_chain,
            .authorities = r->plan.authorities,
            .qualified = r->plan.qualified,
        },
        .sts_name = r->plan.sts == STS_MODE_TESTING ? r->plan.sts_name : NULL,
        .dane_base = r->plan.base,
        .tlsa = r->plan.tlsa,
        .n_tlsa = r->plan.n_tlsa,
        .sender = r->request.sender,
        .recipients = r->pending,
        .n_recipients = r->n_attempted,
        .body_8bit = r->request.body_8bit,
        .smtputf8 = r->request.smtputf8,
        .require_tls = r->plan.require_tls,
        .probe = r->request.probe,
    };
    k = r->ops.attempt(&r->call, sa, &r->smtp, on_attempted, r, r->userdata);
    if (k >= 0)
        return;
    if (k == -EAGAIN) {
        note_failure(r, FAILURE_NONE, "no delivery process is ready");
        finish(r, true);
        return;
    }
    note_failure(r, FAILURE_CONNECT, "%s: connection failed: %s", r->peer ?: host_name(r), strerror(-k));
    trace(r, (RunTrace) {.step = RUN_STEP_FAILED, .reason = strerror(-k)});
    next_address(r);
}

static void next_address(DeliveryRun *r)
{
    /* A fallback to the clear was for one address. */
    r->want = r->plan.want;
    if (r->address < r->addresses.n_addresses)
        connect_address(r);
    else
        next_host(r);
}

/* ---- one host ---- */

static void plan_host(DeliveryRun *r, const char *base)
{
    const HostFacts facts = {
        .domain = r->request.domain,
        .mx = r->mx,
        .host = r->named ? host_name(r) : NULL,
        .addresses = &r->addresses,
        .base = base,
        .tlsa = r->tlsa,
        .sts = r->sts_known ? &r->sts : NULL,
        .message_tls = r->request.message_tls,
    };

    decision_plan(&r->request.policy, &facts, &r->plan);
    r->without_address &= r->addresses.n_addresses == 0 && r->addresses.none;
    trace(r, (RunTrace) {.step = RUN_STEP_HOST});
    if (r->plan.skip) {
        r->want = r->plan.want;
        note_failure(r, r->plan.kind, "%s: %s", host_name(r), r->plan.reason);
        if (r->ops.skipped && (r->host < r->mx->n_hosts || r->plan.kind < r->worst))
            r->ops.skipped(host_name(r), &r->plan, r->userdata);
        note_unmet(r, decision_unmet(&r->plan, SMTP_STAGE_CONNECT, 0));
        next_host(r);
        return;
    }
    r->address = 0;
    next_address(r);
}

static void ask_tlsa(DeliveryRun *r);

static void on_tlsa(ResolveAnswer *answer, void *userdata)
{
    DeliveryRun *r = userdata;

    r->queries[0] = NULL;
    resolve_answer_free(r->tlsa);
    r->tlsa = answer;
    if (decision_tlsa(answer) == TLSA_NONE && r->base + 1 < ELEMENTSOF(r->addresses.bases) && r->addresses.bases[r->base + 1]) {
        r->base++;
        ask_tlsa(r);
        return;
    }
    plan_host(r, r->addresses.bases[r->base]);
}

/* A question that could not even be asked is an answer that says nothing. */
static void cannot_ask(DeliveryRun *r, int error)
{
    note_failure(r, FAILURE_NONE, "DNS cannot be asked: %s", strerror(-error));
    finish(r, true);
}

static void ask_tlsa(DeliveryRun *r)
{
    _cleanup_free_ char *name = decision_tlsa_name(r->addresses.bases[r->base], r->port);
    int k = -ENOMEM;

    if (name)
        k = r->ops.resolve(&r->queries[0], name, DNS_TYPE_TLSA, on_tlsa, r, r->userdata);
    if (k < 0)
        cannot_ask(r, k);
}

static void addresses_known(DeliveryRun *r)
{
    decision_addresses(host_name(r), r->port, r->a, r->aaaa, &r->addresses);
    r->base = 0;
    if (r->addresses.n_addresses > 0 && r->addresses.bases[0]
            && decision_asks_tlsa(&r->request.policy, r->request.message_tls, r->mx))
        ask_tlsa(r);
    else
        plan_host(r, NULL);
}

static void on_a(ResolveAnswer *answer, void *userdata)
{
    DeliveryRun *r = userdata;

    r->queries[0] = NULL;
    r->a = answer;
    if (r->aaaa)
        addresses_known(r);
}

static void on_aaaa(ResolveAnswer *answer, void *userdata)
{
    DeliveryRun *r = userdata;

    r->queries[1] = NULL;
    r->aaaa = answer;
    if (r->a)
        addresses_known(r);
}

static void forget_host(DeliveryRun *r)
{
    r->a = resolve_answer_free(r->a);
    r->aaaa = resolve_answer_free(r->aaaa);
    r->tlsa = resolve_answer_free(r->tlsa);
}

static void next_host(DeliveryRun *r)
{
    int k;

    forget_host(r);
    if (!collect_pending(r)) {
        finish(r, false);
        return;
    }
    if (r->host >= r->mx->n_hosts) {
        if (r->mx->implicit && r->without_address)
            fail_all(r, "5.4.4", r->addresses.reason);
        else if (is_unmet(r))
            fail_all(r, r->unmet, r->reason ?: "REQUIRETLS support required");
        else
            finish(r, false);
        return;
    }
    r->host++;
    r->named = !decision_literal(host_name(r), r->port, &r->addresses);
    if (!r->named) {
        plan_host(r, NULL);
        return;
    }
    k = r->ops.resolve(&r->queries[0], host_name(r), DNS_TYPE_A, on_a, r, r->userdata);
    if (k >= 0)
        k = r->ops.resolve(&r->queries[1], host_name(r), DNS_TYPE_AAAA, on_aaaa, r, r->userdata);
    if (k < 0) {
        r->queries[0] = resolve_cancel(r->queries[0]);
        cannot_ask(r, k);
    }
}

/* ---- the destination ---- */

/* The mail hosts of the destination are known: all of them, or the one that the request is about. */
static int mx_known(DeliveryRun *r, const ResolveAnswer *answer)
{
    trace(r, (RunTrace) {.step = RUN_STEP_MX, .mx_answer = answer});
    return r->request.only_host && r->mx->outcome == MX_HOSTS ? mx_plan_keep(r->mx, r->request.domain, r->request.only_host) : 0;
}

/* Both the hosts and the policy for them have to be known. */
static void begin(DeliveryRun *r)
{
    if (r->mx && !r->sts_query)
        next_host(r);
}

static void use_mx(DeliveryRun *r)
{
    switch (r->mx->outcome) {
    case MX_HOSTS:
        begin(r);
        return;
    case MX_DEFER:
        note_failure(r, FAILURE_DNS, "%s", r->mx->reason);
        finish(r, false);
        return;
    case MX_FAIL:
        fail_all(r, r->mx->enhanced, r->mx->reason);
        return;
    }
}

static void on_mx(ResolveAnswer *answer, void *userdata)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *owned = answer;
    DeliveryRun *r = userdata;
    int k;

    r->queries[0] = NULL;
    k = decision_mx(r->request.domain, answer, r->request.seed, &r->mx);
    if (k >= 0)
        k = mx_known(r, answer);
    if (k < 0)
        cannot_ask(r, k);
    else
        use_mx(r);
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321, section 4.1.3). -EINVAL for other literals, which SMTP does not define. */
static int literal_host(const char *domain, char **ret)
{
    const char *start = domain + 1 + (strncasecmp(domain + 1, "IPv6:", 5) == 0 ? 5 : 0);
    _cleanup_free_ char *host = strndup(start, strcspn(start, "]"));
    HostAddresses probe;

    if (!host)
        return -ENOMEM;
    if (!decision_literal(host, 0, &probe))
        return -EINVAL;
    *ret = TAKE_PTR(host);
    return 0;
}

static void on_sts(const StsAnswer *answer, void *userdata)
{
    DeliveryRun *r = userdata;

    r->sts_query = NULL;
    r->sts_known = true;
    r->sts = (StsAnswer) {
        .later = answer->later,
        .own_fault = answer->own_fault,
        .unfetched = answer->unfetched,
        .reason = answer->reason ? strdup(answer->reason) : NULL,
        .policy = answer->policy ? sts_policy_ref(answer->policy) : NULL,
    };
    trace(r, (RunTrace) {.step = RUN_STEP_STS});
    begin(r);
}

/* RFC 8461, section 5 and 3.4: of the domain, or of the host that stands in its place. Never of an address. */
static int ask_sts(DeliveryRun *r)
{
    const char *domain = r->route_host ?: r->request.domain;
    HostAddresses probe;

    /* Below the longest names there is no room for the record. */
    if (strlen(domain) + strlen("_mta-sts.") > DOMAIN_LENGTH_MAX)
        return 0;
    if (!r->ops.sts || !decision_asks_sts(&r->request.policy, r->request.message_tls) || *domain == '['
            || decision_literal(domain, 0, &probe))
        return 0;
    return r->ops.sts(&r->sts_query, domain, on_sts, r, r->userdata);
}

void delivery_run_start(DeliveryRun *r)
{
    _cleanup_free_ char *literal = NULL;
    int k;

    k = ask_sts(r);
    if (k < 0) {
        cannot_ask(r, k);
        return;
    }
    if (r->route_host)
        k = decision_mx_fixed(r->route_host, true, &r->mx);
    else if (*r->request.domain == '[') {
        k = literal_host(r->request.domain, &literal);
        if (k == -EINVAL) {
            fail_all(r, "5.1.3", "the address literal is not one of IPv4 or IPv6");
            return;
        }
        if (k >= 0)
            k = decision_mx_fixed(literal, true, &r->mx);
    } else {
        k = r->ops.resolve(&r->queries[0], r->request.domain, DNS_TYPE_MX, on_mx, r, r->userdata);
        if (k >= 0)
            return;
    }
    if (k >= 0)
        k = mx_known(r, NULL);
    if (k < 0)
        cannot_ask(r, k);
    else
        use_mx(r);
}

int delivery_run_new(DeliveryRun **ret, const RunRequest *request, const RunOps *ops, void *userdata)
{
    _cleanup_(delivery_run_freep) DeliveryRun *r = calloc(1, sizeof(*r));
    int k;

    if (!r)
        return -ENOMEM;
    r->ops = *ops;
    r->userdata = userdata;
    r->request = *request;
    r->port = 25;
    r->without_address = true;
    if (request->policy.route) {
        k = route_parse(request->policy.route, &r->route_host, &r->port);
        if (k < 0)
            return k;
        r->request.policy.route = r->route_host;
    }
    r->recipients = calloc(request->n_recipients, sizeof(*r->recipients));
    r->attempted = calloc(request->n_recipients, sizeof(*r->attempted));
    r->pending = calloc(request->n_recipients + 1, sizeof(*r->pending));
    if (!r->recipients || !r->attempted || !r->pending)
        return -ENOMEM;
    for (size_t i = 0; i < request->n_recipients; i++)
        r->recipients[i].address = request->recipients[i];
    *ret = TAKE_PTR(r);
    return 0;
}

DeliveryRun *delivery_run_free(DeliveryRun *r)
{
    if (!r)
        return NULL;
    if (r->call)
        r->ops.cancel(r->call, r->userdata);
    for (size_t i = 0; i < ELEMENTSOF(r->queries); i++)
        resolve_cancel(r->queries[i]);
    cancel_sts(r);
    forget_host(r);
    mx_plan_free(r->mx);
    sts_policy_unref(r->sts.policy);
    free((char *) r->sts.reason);
    for (size_t i = 0; r->recipients && i < r->request.n_recipients; i++) {
        free(r->recipients[i].text);
        free(r->recipients[i].remote);
    }
    free(r->recipients);
    free(r->attempted);
    free(r->pending);
    free(r->route_host);
    free(r->reason);
    free(r->peer);
    free(r);
    return NULL;
}
