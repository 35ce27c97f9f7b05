/* SPDX-License-Identifier: Apache-2.0 */

/* A lookup asks the whole question first. Most answers are secure throughout or have a single hop and are done; otherwise every
 * hop is asked for, all at once, and answer.h combines the verdicts. It keeps no state between lookups: libunbound caches. */

#include "lookup.h"

#include "answer.h"

typedef struct Hop {
    Lookup *lookup;
    ResolverQuery *query;
} Hop;

struct Lookup {
    Resolver *resolver;
    char *name;
    uint16_t type;
    sd_event_source *timer;
    ResolverQuery *query; /* the whole question */
    Hop hops[RESOLVE_HOPS_MAX];
    unsigned n_pending;
    ResolveAnswer *answer;
    ResolveAnswer *failure; /* made ahead, for the deadline */
    LookupDone done;
    void *userdata;
};

Lookup *lookup_free(Lookup *l)
{
    if (!l)
        return NULL;
    sd_event_source_disable_unref(l->timer);
    resolver_cancel(l->query);
    for (size_t i = 0; i < ELEMENTSOF(l->hops); i++)
        resolver_cancel(l->hops[i].query);
    resolver_unref(l->resolver);
    resolve_answer_free(l->answer);
    resolve_answer_free(l->failure);
    free(l->name);
    free(l);
    return NULL;
}

static void finish(Lookup *l, const ResolveAnswer *answer)
{
    (void) sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
    l->done(l, answer, l->userdata); /* l may be gone */
}

static void settle(Lookup *l)
{
    answer_settle(l->answer);
    finish(l, l->answer);
}

static void on_hop(ResolveAnswer *answer, void *userdata)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *own = answer;
    Hop *hop = userdata;
    Lookup *l = hop->lookup;

    hop->query = NULL;
    answer_judge_hop(l->answer, (size_t) (hop - l->hops), own);
    if (--l->n_pending == 0)
        settle(l);
}

static void ask_hops(Lookup *l)
{
    ResolveAnswer *a = l->answer;

    for (size_t i = 0; i < a->n_hops; i++) {
        const char *name;
        uint16_t type = answer_hop_question(a, i, l->type, &name);
        int r;

        l->hops[i].lookup = l;
        r = resolver_ask(l->resolver, &l->hops[i].query, name, type, on_hop, &l->hops[i]);
        if (r < 0)
            a->hops[i].state = DNSSEC_ERROR;
        else
            l->n_pending++;
    }
    if (l->n_pending == 0)
        settle(l);
}

static void on_whole(ResolveAnswer *answer, void *userdata)
{
    Lookup *l = userdata;

    l->query = NULL;
    l->answer = answer;
    if (answer->state == DNSSEC_SECURE || answer->n_hops == 1)
        finish(l, answer);
    else
        ask_hops(l);
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
    Lookup *l = userdata;

    finish(l, l->failure);
    return 0;
}

int lookup_new(Lookup **ret, sd_event *event, Resolver *resolver, const char *name, uint16_t type, uint64_t timeout_usec,
        LookupDone done, void *userdata)
{
    _cleanup_(lookup_freep) Lookup *l = NULL;
    char reason[64];
    int r;

    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->resolver = resolver_ref(resolver);
    l->type = type;
    l->done = done;
    l->userdata = userdata;
    l->name = strdup(name);
    if (!l->name)
        return -ENOMEM;
    (void) snprintf(reason, sizeof(reason), "no answer within %.1f s", (double) timeout_usec / (double) USEC_PER_SEC);
    r = answer_new_failed(name, DNSSEC_ERROR, reason, &l->failure);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, timeout_usec, 0, on_deadline, l);
    if (r < 0)
        return r;
    r = resolver_ask(resolver, &l->query, name, type, on_whole, l);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(l);
    return 0;
}
