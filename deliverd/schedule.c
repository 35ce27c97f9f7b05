/* SPDX-License-Identifier: Apache-2.0 */

/* A heap by time, a row per destination, and turns among destinations. It knows entries only, no messages. */

#include "schedule.h"

#include <search.h>

struct ScheduleDestination {
    char *domain;
    unsigned entries; /* in any state but IDLE; at 0 it is freed */
    unsigned running, max_running;
    ScheduleEntry *first, *last;              /* READY ones */
    bool queued;                              /* in the turn list: has READY ones and a free place */
    ScheduleDestination *previous, *next;     /* turn list */
};

struct Schedule {
    ScheduleEntry **heap;
    size_t n_heap, allocated;
    void *destinations; /* tsearch() tree by domain */
    ScheduleDestination *first, *last;
    unsigned max_running, counts[SCHEDULE_RUNNING + 1];
};

static int compare_domain(const void *a, const void *b)
{
    return strcmp(((const ScheduleDestination *) a)->domain, ((const ScheduleDestination *) b)->domain);
}

int schedule_new(Schedule **ret, unsigned max_running)
{
    Schedule *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->max_running = max_running;
    *ret = s;
    return 0;
}

static void destination_free(void *p)
{
    ScheduleDestination *d = p;

    free(d->domain);
    free(d);
}

Schedule *schedule_free(Schedule *s)
{
    if (!s)
        return NULL;
    tdestroy(s->destinations, destination_free);
    free(s->heap);
    free(s);
    return NULL;
}

void schedule_set_max_running(Schedule *s, unsigned max_running)
{
    s->max_running = max_running;
}

/* ---- destinations ---- */
static ScheduleDestination *destination_find(const Schedule *s, const char *domain)
{
    const ScheduleDestination key = {.domain = (char *) domain};
    ScheduleDestination **found = tfind(&key, &s->destinations, compare_domain);

    return found ? *found : NULL;
}

static ScheduleDestination *destination_get(Schedule *s, const char *domain)
{
    ScheduleDestination *d = destination_find(s, domain);

    if (d)
        return d;
    d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->domain = strdup(domain);
    if (!d->domain || !tsearch(d, &s->destinations, compare_domain)) {
        destination_free(d);
        return NULL;
    }
    return d;
}

/* Puts d into the list of turns, or takes it out, as its state demands. */
static void destination_update(Schedule *s, ScheduleDestination *d)
{
    const bool wanted = d->first && d->running < d->max_running;

    if (wanted == d->queued)
        return;
    d->queued = wanted;
    if (wanted) {
        d->next = NULL;
        d->previous = s->last;
        *(s->last ? &s->last->next : &s->first) = d;
        s->last = d;
        return;
    }
    *(d->previous ? &d->previous->next : &s->first) = d->next;
    *(d->next ? &d->next->previous : &s->last) = d->previous;
    d->previous = d->next = NULL;
}

static void destination_unref(Schedule *s, ScheduleDestination *d)
{
    if (--d->entries > 0)
        return;
    destination_update(s, d);
    (void) tdelete(d, &s->destinations, compare_domain);
    destination_free(d);
}

/* ---- heap ---- */
static void heap_put(Schedule *s, size_t i, ScheduleEntry *e)
{
    s->heap[i] = e;
    e->heap_index = i;
}

static void heap_up(Schedule *s, size_t i)
{
    ScheduleEntry *e = s->heap[i];

    for (; i > 0 && s->heap[(i - 1) / 2]->due_usec > e->due_usec; i = (i - 1) / 2)
        heap_put(s, i, s->heap[(i - 1) / 2]);
    heap_put(s, i, e);
}

static void heap_down(Schedule *s, size_t i)
{
    ScheduleEntry *e = s->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < s->n_heap && s->heap[child + 1]->due_usec < s->heap[child]->due_usec)
            child++;
        if (child >= s->n_heap || s->heap[child]->due_usec >= e->due_usec)
            break;
        heap_put(s, i, s->heap[child]);
        i = child;
    }
    heap_put(s, i, e);
}

static int heap_insert(Schedule *s, ScheduleEntry *e)
{
    if (s->n_heap == s->allocated) {
        size_t n = s->allocated > 0 ? 2 * s->allocated : 64;
        ScheduleEntry **grown = reallocarray(s->heap, n, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        s->heap = grown;
        s->allocated = n;
    }
    s->heap[s->n_heap++] = e;
    heap_up(s, s->n_heap - 1);
    return 0;
}

static void heap_remove(Schedule *s, ScheduleEntry *e)
{
    size_t i = e->heap_index;
    ScheduleEntry *moved = s->heap[--s->n_heap];

    if (moved == e)
        return;
    heap_put(s, i, moved);
    heap_up(s, i);
    heap_down(s, moved->heap_index);
}

/* ---- states ---- */
static void set_state(Schedule *s, ScheduleEntry *e, ScheduleState state)
{
    s->counts[e->state]--;
    e->state = state;
    s->counts[state]++;
}

static void ready_append(Schedule *s, ScheduleEntry *e)
{
    ScheduleDestination *d = e->destination;

    e->next = NULL;
    e->previous = d->last;
    *(d->last ? &d->last->next : &d->first) = e;
    d->last = e;
    set_state(s, e, SCHEDULE_READY);
    destination_update(s, d);
}

static void ready_remove(Schedule *s, ScheduleEntry *e)
{
    ScheduleDestination *d = e->destination;

    *(e->previous ? &e->previous->next : &d->first) = e->next;
    *(e->next ? &e->next->previous : &d->last) = e->previous;
    e->previous = e->next = NULL;
}

int schedule_add(Schedule *s, ScheduleEntry *e, const char *domain, unsigned max_running, uint64_t due_usec)
{
    ScheduleDestination *d = destination_get(s, domain);
    int r;

    if (!d)
        return -ENOMEM;
    d->entries++;
    d->max_running = max_running;
    e->due_usec = due_usec;
    r = heap_insert(s, e);
    if (r < 0) {
        destination_unref(s, d);
        return r;
    }
    e->destination = d;
    s->counts[SCHEDULE_IDLE]++;
    set_state(s, e, SCHEDULE_WAITING);
    destination_update(s, d);
    return 0;
}

void schedule_remove(Schedule *s, ScheduleEntry *e)
{
    ScheduleDestination *d = e->destination;

    switch (e->state) {
    case SCHEDULE_IDLE:
        return;
    case SCHEDULE_WAITING:
        heap_remove(s, e);
        break;
    case SCHEDULE_READY:
        ready_remove(s, e);
        break;
    case SCHEDULE_RUNNING:
        d->running--;
        break;
    }
    set_state(s, e, SCHEDULE_IDLE);
    s->counts[SCHEDULE_IDLE]--;
    e->destination = NULL;
    destination_update(s, d);
    destination_unref(s, d);
}

ScheduleEntry *schedule_next(Schedule *s, uint64_t now_usec)
{
    ScheduleDestination *d;
    ScheduleEntry *e;

    while (s->n_heap > 0 && s->heap[0]->due_usec <= now_usec) {
        e = s->heap[0];
        heap_remove(s, e);
        ready_append(s, e);
    }
    d = s->first;
    if (!d || s->counts[SCHEDULE_RUNNING] >= s->max_running)
        return NULL;
    e = d->first;
    ready_remove(s, e);
    set_state(s, e, SCHEDULE_RUNNING);
    d->running++;
    /* Out and in again: to the end of the turns, if it still has a claim. */
    if (d->queued && s->last != d) {
        ScheduleEntry *rest = d->first;

        d->first = NULL;
        destination_update(s, d);
        d->first = rest;
    }
    destination_update(s, d);
    return e;
}

uint64_t schedule_due(const Schedule *s)
{
    return s->n_heap > 0 ? s->heap[0]->due_usec : UINT64_MAX;
}

unsigned schedule_flush(Schedule *s, const char *domain)
{
    unsigned n = 0;

    /* All keys change at once, so the heap is made anew afterwards. */
    for (size_t i = 0; i < s->n_heap; i++)
        if (!domain || streq(s->heap[i]->destination->domain, domain)) {
            s->heap[i]->due_usec = 0;
            n++;
        }
    for (size_t i = s->n_heap / 2; i-- > 0;)
        heap_down(s, i);
    return n;
}

unsigned schedule_count(const Schedule *s, ScheduleState state)
{
    return s->counts[state];
}

unsigned schedule_running_for(const Schedule *s, const char *domain)
{
    const ScheduleDestination *d = destination_find(s, domain);

    return d ? d->running : 0;
}

unsigned schedule_count_for(const Schedule *s, const char *domain)
{
    const ScheduleDestination *d = destination_find(s, domain);

    return d ? d->entries : 0;
}

uint64_t schedule_interval(unsigned attempts, uint64_t min_usec, uint64_t max_usec)
{
    uint64_t interval = min_usec;

    while (attempts-- > 1 && interval < max_usec)
        interval *= 2;
    return MIN(interval, max_usec);
}
