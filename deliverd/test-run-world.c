/* SPDX-License-Identifier: Apache-2.0 */

/* Answers, connections and their ends as the tables of a World say. Nothing is told from inside a question, as in the real world. */

#include "test-run-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "address.h"

void world_trace(World *w, const char *format, ...)
{
    size_t n = strlen(w->trace);
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(w->trace + n, sizeof(w->trace) - n, format, ap);
    va_end(ap);
}

static void set_data(ResolveAnswer *a, const char *data)
{
    uint8_t wire[300] = {}, *p = wire;
    unsigned preference;
    char host[200];

    if (inet_pton(AF_INET, data, wire) == 1)
        p += 4;
    else if (inet_pton(AF_INET6, data, wire) == 1)
        p += 16;
    else if (streq(data, "tlsa")) {
        memcpy(wire, "\3\1\1", 3);
        p += 35;
    } else {
        assert_int_equal(sscanf(data, "%u %199s", &preference, host), 2);
        wire[1] = (uint8_t) preference;
        p += 2;
        for (char *save = NULL, *label = strtok_r(host, ".", &save); label; label = strtok_r(NULL, ".", &save)) {
            *p++ = (uint8_t) strlen(label);
            memcpy(p, label, strlen(label));
            p += strlen(label);
        }
        p++;
    }
    a->records = realloc(a->records, (a->n_records + 1) * sizeof(*a->records));
    a->records[a->n_records].size = (size_t) (p - wire);
    a->records[a->n_records].data = malloc((size_t) (p - wire));
    memcpy(a->records[a->n_records++].data, wire, (size_t) (p - wire));
}

static int resolve(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata)
{
    static const struct {
        uint16_t type;
        const char *prefix;
    } types[] = {{DNS_TYPE_MX, "mx"}, {DNS_TYPE_A, "a"}, {DNS_TYPE_AAAA, "aaaa"}, {DNS_TYPE_TLSA, "tlsa"}};
    ResolveAnswer *a = calloc(1, sizeof(*a));
    World *w = userdata;
    char key[300] = "";

    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (types[i].type == type)
            (void) snprintf(key, sizeof(key), "%s:%s", types[i].prefix, name);
    if (type != DNS_TYPE_AAAA)
        world_trace(w, "%s ", key);
    a->hops = calloc(1, sizeof(*a->hops));
    a->n_hops = 1;
    a->hops[0].name = strdup(name);
    a->canonical = strdup(name);
    a->reason = strdup("");
    for (const Name *n = w->names; n->name; n++)
        if (streq(n->name, key)) {
            a->state = n->state;
            a->rcode = n->rcode;
            if (n->data)
                set_data(a, n->data);
        }
    a->hops[0].state = a->state;
    assert_true(w->n_questions < ELEMENTSOF(w->questions));
    w->questions[w->n_questions].done = done;
    w->questions[w->n_questions].userdata = done_userdata;
    w->questions[w->n_questions++].answer = a;
    return 0;
}

static int attempt(AttemptCall **ret, const struct sockaddr_storage *address, SmtpRequest *request, RunAttemptDone done, void *done_userdata, void *userdata)
{
    static const char *const wants[] = {"none", "may", "required", "verify", "dane"};
    _cleanup_free_ char *text = NULL;
    World *w = userdata;

    assert_int_equal(sockaddr_to_string((const struct sockaddr *) address, &text), 0);
    world_trace(w, "%s/%s/%zu ", text, wants[request->want], request->n_recipients);
    assert_true((request->want == SMTP_TLS_DANE) == (request->n_tlsa > 0 && request->want != SMTP_TLS_NO));
    w->end = NULL;
    for (const End *e = w->ends; e && e->address; e++)
        if (streq(e->address, text) && e->want == request->want)
            w->end = e;
    if (w->end && w->end->code == -1)
        return -ENETUNREACH;
    w->attempt_done = done;
    w->attempt_userdata = done_userdata;
    w->n_attempted = request->n_recipients;
    assert_int_equal(request->probe, w->probe);
    return 0;
}

static void cancel(AttemptCall *call, void *userdata)
{
}

static int ask_sts(StsQuery **ret, const char *domain, StsDone tell, void *done_userdata, void *userdata)
{
    World *w = userdata;

    world_trace(w, "sts:%s ", domain);
    w->sts_done = tell;
    w->sts_userdata = done_userdata;
    *ret = userdata;
    return 0;
}

static void sts_cancel(StsQuery *q, void *userdata)
{
    World *w = userdata;

    assert_ptr_equal(q, w);
    w->sts_done = NULL;
}

static void attempted(const RunAttempt *a, void *userdata)
{
    World *w = userdata;

    world_trace(w, "%s%zu%s ", a->delivered > 0 ? "+" : "-", a->delivered,
            a->falls_back ? "~" : !a->last ? "" : a->told || a->kind == FAILURE_NONE ? "." : "!");
}

static void skipped(const char *host, const HostPlan *plan, void *userdata)
{
    world_trace(userdata, "skip:%s/%s ", host, failure_kind_to_string(plan->kind));
}

static void done(const RunResult *result, void *userdata)
{
    World *w = userdata;

    w->finished = true;
    w->soon = result->soon;
    w->kind = result->kind;
    (void) snprintf(w->reason, sizeof(w->reason), "%s", result->reason);
    (void) snprintf(w->text, sizeof(w->text), "%s", result->recipients[0].text ?: "");
    for (size_t i = 0; i < result->n_recipients; i++)
        w->verdicts[i] = result->recipients[i].verdict;
}

const RunOps world_ops = {.resolve = resolve, .attempt = attempt, .cancel = cancel, .attempted = attempted, .done = done};
const RunOps world_ops_with_sts = {
    .resolve = resolve,
    .attempt = attempt,
    .cancel = cancel,
    .sts = ask_sts,
    .sts_cancel = sts_cancel,
    .attempted = attempted,
    .skipped = skipped,
    .done = done,
};

/* The policy lives only as long as the call: the run keeps what it needs. */
static void tell_sts(World *w)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    const char *reason = NULL;
    StsDone tell = w->sts_done;
    StsAnswer answer = {};

    w->sts_done = NULL;
    if (w->sts && streq(w->sts, "later"))
        answer = (StsAnswer) {.later = true, .reason = "TXT lookup failed"};
    else if (w->sts && streq(w->sts, "ours"))
        answer = (StsAnswer) {.later = true, .own_fault = true, .reason = "no fetching process is ready"};
    else if (w->sts && streq(w->sts, "unfetched"))
        answer = (StsAnswer) {.unfetched = true, .reason = "the policy host is away"};
    else if (w->sts) {
        assert_int_equal(sts_policy_parse(w->sts, strlen(w->sts), &policy, &reason), 0);
        answer.policy = policy;
    }
    tell(&answer, w->sts_userdata);
}

static void tell_attempt(World *w)
{
    RunAttemptDone tell = w->attempt_done;
    SmtpReply recipients[3] = {};
    SmtpResult result = {.recipients = recipients, .tls_reason = ""};

    w->attempt_done = NULL;
    if (w->end && w->end->code == -2) {
        tell(NULL, "the delivery process died", w->attempt_userdata);
        return;
    }
    result.stage = w->end ? w->end->stage : SMTP_STAGE_DONE;
    result.reply.code = w->end ? w->end->code : 250;
    for (size_t i = 0; i < w->n_attempted; i++)
        recipients[i].code = w->end ? w->end->recipients[i] : 250;
    tell(&result, NULL, w->attempt_userdata);
}

void world_walk(World *w, const RunOps *ops, const char *domain, const DestinationPolicy *policy, MessageTls message_tls,
        size_t n_recipients)
{
    const char *recipients[] = {"a@example.com", "b@example.com", "c@example.com"};
    const RunRequest request = {
        .domain = domain,
        .policy = *policy,
        .message_tls = message_tls,
        .helo = "gw.example.org",
        .sender = w->sender ?: "s@example.org",
        .recipients = recipients,
        .n_recipients = n_recipients,
        .probe = w->probe,
        .only_host = w->only_host,
    };
    _cleanup_(delivery_run_freep) DeliveryRun *r = NULL;

    assert_int_equal(delivery_run_new(&r, &request, ops, w), 0);
    delivery_run_start(r);
    while (!w->finished)
        if (w->sts_done && (w->sts_first || w->n_questions == 0))
            tell_sts(w);
        else if (w->n_questions > 0) {
            w->n_questions--;
            w->questions[w->n_questions].done(w->questions[w->n_questions].answer, w->questions[w->n_questions].userdata);
        } else {
            assert_non_null(w->attempt_done);
            tell_attempt(w);
        }
    assert_int_equal(w->n_questions, 0);
    assert_null(w->attempt_done);
    assert_null(w->sts_done);
}
