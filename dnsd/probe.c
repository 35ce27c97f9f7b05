/* SPDX-License-Identifier: Apache-2.0 */

/* Asks a few questions at once, and is done when all are answered or time is over. It judges nothing and keeps nothing. */

#include "probe.h"

#include "answer.h"
#include "anchors.h"

#define QUESTIONS_MAX (2 + ANCHOR_ZONES_MAX)

typedef struct Question {
    Probe *probe;
    ResolverQuery *query;
    ResolveAnswer *answer; /* NULL: none yet */
} Question;

enum {
    SECURE_NAME,
    BOGUS_NAME,
    FIRST_ZONE,
};

struct Probe {
    Resolver *resolver;
    sd_event_source *timer;
    Question questions[QUESTIONS_MAX];
    unsigned n_pending;
    bool ask_secure, ask_bogus;
    ProbeDone done;
    void *userdata;
};

Probe *probe_free(Probe *p)
{
    if (!p)
        return NULL;
    sd_event_source_disable_unref(p->timer);
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        resolver_cancel(p->questions[i].query);
        resolve_answer_free(p->questions[i].answer);
    }
    resolver_unref(p->resolver);
    free(p);
    return NULL;
}

static DnssecState state_of(const Question *q)
{
    return q->answer ? q->answer->state : DNSSEC_ERROR;
}

static const char *reason_of(const Question *q)
{
    return q->answer ? q->answer->reason : "no answer in time";
}

static void finish(Probe *p)
{
    const ProbeResult result = {
        .facts = {
            .ask_secure = p->ask_secure,
            .ask_bogus = p->ask_bogus,
            .secure = state_of(&p->questions[SECURE_NAME]),
            .bogus = state_of(&p->questions[BOGUS_NAME]),
        },
        .secure_reason = reason_of(&p->questions[SECURE_NAME]),
        .bogus_reason = reason_of(&p->questions[BOGUS_NAME]),
    };

    (void) sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
    p->done(p, &result, p->userdata); /* p may be gone */
}

static void on_answer(ResolveAnswer *answer, void *userdata)
{
    Question *q = userdata;
    Probe *p = q->probe;

    q->query = NULL;
    q->answer = answer;
    if (--p->n_pending == 0)
        finish(p);
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
    finish(userdata);
    return 0;
}

/* Any type that is asked for does: the proof that there is none is signed, too. */
static int ask(Probe *p, size_t i, const char *name)
{
    int r;

    p->questions[i].probe = p;
    r = resolver_ask(p->resolver, &p->questions[i].query, name, DNS_TYPE_A, on_answer, &p->questions[i]);
    if (r >= 0)
        p->n_pending++;
    return r;
}

int probe_new(Probe **ret, sd_event *event, const DnsConfig *config, const ResolverTrust *trust, ProbeDone done, void *userdata)
{
    _cleanup_(probe_freep) Probe *p = calloc(1, sizeof(*p));
    _cleanup_free_ char *reason = NULL;
    int r;

    if (!p)
        return -ENOMEM;
    p->ask_secure = config->self_test_secure != NULL;
    p->ask_bogus = config->self_test_bogus != NULL;
    p->done = done;
    p->userdata = userdata;
    r = resolver_new(&p->resolver, event, config, trust, &reason);
    if (r < 0)
        return r;
    /* At once, if there is nothing to ask. */
    r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, config->timeout_usec, 0, on_time, p);
    if (r >= 0 && p->ask_secure)
        r = ask(p, SECURE_NAME, config->self_test_secure);
    if (r >= 0 && p->ask_bogus)
        r = ask(p, BOGUS_NAME, config->self_test_bogus);
    for (size_t i = 0; r >= 0 && trust->followed_zones && trust->followed_zones[i] && i < ANCHOR_ZONES_MAX; i++)
        r = ask(p, FIRST_ZONE + i, trust->followed_zones[i]);
    if (r >= 0 && p->n_pending == 0)
        r = sd_event_source_set_time_relative(p->timer, 0);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(p);
    return 0;
}
