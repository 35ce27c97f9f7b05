/* SPDX-License-Identifier: Apache-2.0 */

/* The table of lookups in flight. When a domain is popular many deliveries ask the same at the same instant; the name servers see
 * one question. It knows nothing of who asks and must never keep an answer: caching is libunbound's. */

#include "lookups.h"

#include <sys/queue.h>

#define BUCKETS 256

typedef struct Entry Entry;

struct Waiter {
    Entry *entry;
    LookupsDone done;
    void *userdata;
    TAILQ_ENTRY(Waiter) waiters;
};

struct Entry {
    Lookups *table;
    Lookup *lookup;
    char *name;
    uint16_t type;
    unsigned generation; /* of the resolver it asks */
    TAILQ_HEAD(, Waiter) waiters;
    LIST_ENTRY(Entry) bucket;
};

struct Lookups {
    sd_event *event;
    Resolver *resolver;
    unsigned generation;
    unsigned pending_max;
    uint64_t timeout_usec;
    unsigned n_pending;
    LookupStatistics statistics;
    LookupsFailed failed;
    void *failed_userdata;
    LIST_HEAD(, Entry) buckets[BUCKETS];
};

/* FNV-1a. Who floods a bucket gains nothing: the table is bounded by pending_max. */
static size_t bucket_of(const char *name, uint16_t type)
{
    uint32_t h = UINT32_C(2166136261) ^ type;

    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char) *p) * UINT32_C(16777619);
    return h % BUCKETS;
}

static Entry *entry_free(Entry *e)
{
    if (!e)
        return NULL;
    while (!TAILQ_EMPTY(&e->waiters)) {
        Waiter *w = TAILQ_FIRST(&e->waiters);

        TAILQ_REMOVE(&e->waiters, w, waiters);
        free(w);
    }
    if (e->lookup) {
        LIST_REMOVE(e, bucket);
        e->table->n_pending--;
        lookup_free(e->lookup);
    }
    free(e->name);
    free(e);
    return NULL;
}
DEFINE_CLEANUP(Entry, entry_free);

int lookups_new(Lookups **ret, sd_event *event)
{
    Lookups *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->event = sd_event_ref(event);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&t->buckets[i]);
    *ret = t;
    return 0;
}

Lookups *lookups_free(Lookups *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        while (!LIST_EMPTY(&t->buckets[i]))
            entry_free(LIST_FIRST(&t->buckets[i]));
    resolver_unref(t->resolver);
    sd_event_unref(t->event);
    free(t);
    return NULL;
}

void lookups_configure(Lookups *t, Resolver *resolver, unsigned pending_max, uint64_t timeout_usec)
{
    resolver_ref(resolver);
    resolver_unref(t->resolver);
    t->resolver = resolver;
    t->generation++;
    t->pending_max = pending_max;
    t->timeout_usec = timeout_usec;
}

void lookups_set_failed(Lookups *t, LookupsFailed failed, void *userdata)
{
    t->failed = failed;
    t->failed_userdata = userdata;
}

static void on_lookup(Lookup *l, const ResolveAnswer *answer, void *userdata)
{
    _cleanup_(entry_freep) Entry *e = userdata;

    e->table->statistics.answered[answer->state]++;
    if (e->table->failed && (answer->state == DNSSEC_BOGUS || answer->state == DNSSEC_ERROR))
        e->table->failed(e->table->failed_userdata);
    /* One by one, since a callback may cancel another waiter of the same lookup. */
    while (!TAILQ_EMPTY(&e->waiters)) {
        Waiter *w = TAILQ_FIRST(&e->waiters);

        TAILQ_REMOVE(&e->waiters, w, waiters);
        w->entry = NULL;
        w->done(answer, w->userdata);
        free(w);
    }
}

static Entry *find(Lookups *t, const char *name, uint16_t type)
{
    Entry *e;

    LIST_FOREACH(e, &t->buckets[bucket_of(name, type)], bucket)
        if (e->type == type && e->generation == t->generation && streq(e->name, name))
            return e;
    return NULL;
}

static int start(Lookups *t, const char *name, uint16_t type, Entry **ret)
{
    _cleanup_(entry_freep) Entry *e = NULL;
    int r;

    if (t->n_pending >= t->pending_max)
        return -ENOBUFS;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    TAILQ_INIT(&e->waiters);
    e->table = t;
    e->type = type;
    e->generation = t->generation;
    e->name = strdup(name);
    if (!e->name)
        return -ENOMEM;
    r = lookup_new(&e->lookup, t->event, t->resolver, name, type, t->timeout_usec, on_lookup, e);
    if (r < 0)
        return r;
    LIST_INSERT_HEAD(&t->buckets[bucket_of(name, type)], e, bucket);
    t->n_pending++;
    *ret = TAKE_PTR(e);
    return 0;
}

int lookups_ask(Lookups *t, Waiter **ret, const char *name, uint16_t type, LookupsDone done, void *userdata)
{
    _cleanup_free_ Waiter *w = NULL;
    Entry *e;
    int r;

    t->statistics.asked++;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    e = find(t, name, type);
    if (e)
        t->statistics.shared++;
    else {
        r = start(t, name, type, &e);
        if (r == -ENOBUFS)
            t->statistics.refused++;
        if (r < 0)
            return r;
    }
    w->entry = e;
    w->done = done;
    w->userdata = userdata;
    TAILQ_INSERT_TAIL(&e->waiters, w, waiters);
    *ret = TAKE_PTR(w);
    return 0;
}

Waiter *waiter_cancel(Waiter *w)
{
    Entry *e;

    if (!w)
        return NULL;
    e = w->entry;
    if (!e) /* its done is being called right now, and it dies with that */
        return NULL;
    TAILQ_REMOVE(&e->waiters, w, waiters);
    free(w);
    if (TAILQ_EMPTY(&e->waiters))
        entry_free(e);
    return NULL;
}

unsigned lookups_pending(const Lookups *t)
{
    return t->n_pending;
}

const LookupStatistics *lookups_statistics(const Lookups *t)
{
    return &t->statistics;
}
