/* SPDX-License-Identifier: Apache-2.0 */

/* A heap by time, a row per destination, and turns among destinations. It knows entries only, no messages. */

#include "schedule.h"

#include <search.h>

/* Destinations without entries, beyond which those are forgotten whose recipients would still count. */
#define REMEMBERED_MAX 65536

struct ScheduleDestination {
    char *domain;
    unsigned entries; /* in any state but IDLE; at 0 it is remembered at most */
    unsigned running;
    ScheduleLimits limits;
    unsigned n_recipients;                /* started within the period … */
    uint64_t period_start_usec;           /* … that began then */
    ScheduleEntry *first, *last;          /* READY ones */
    ScheduleEntry *held;                  /* the next of them, while it waits in the heap for another period */
    bool queued;                          /* has a turn: READY ones, a free place, and none that is held */
    ScheduleDestination *previous, *next; /* of those that have turns, or are remembered */
};

typedef struct DestinationList {
    ScheduleDestination *first, *last;
} DestinationList;

struct Schedule {
    ScheduleEntry **heap;
    size_t n_heap, allocated; /* room for all entries, whatever their state: none is turned away that waits again */
    void *destinations; /* tsearch() tree by domain */
    DestinationList turns, remembered;
    unsigned n_remembered;
    uint64_t last_usec; /* of schedule_next() */
    ScheduleGetLimits get_limits;
    void *userdata;
    unsigned max_running, counts[SCHEDULE_RUNNING + 1];
};

static int compare_domain(const void *a, const void *b)
{
    return strcmp(((const ScheduleDestination *) a)->domain, ((const ScheduleDestination *) b)->domain);
}

int schedule_new(Schedule **ret, unsigned max_running, ScheduleGetLimits get_limits, void *userdata)
{
    Schedule *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    *s = (Schedule) {.get_limits = get_limits, .userdata = userdata, .max_running = max_running};
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
    s->get_limits(domain, &d->limits, s->userdata);
    return d;
}

static void list_append(DestinationList *l, ScheduleDestination *d)
{
    d->next = NULL;
    d->previous = l->last;
    *(l->last ? &l->last->next : &l->first) = d;
    l->last = d;
}

static void list_remove(DestinationList *l, ScheduleDestination *d)
{
    *(d->previous ? &d->previous->next : &l->first) = d->next;
    *(d->next ? &d->next->previous : &l->last) = d->previous;
    d->previous = d->next = NULL;
}

/* Gives d a turn, or takes it away, as its state demands. */
static void destination_update(Schedule *s, ScheduleDestination *d)
{
    const bool wanted = d->first && !d->held && d->running < d->limits.running;

    if (wanted == d->queued)
        return;
    d->queued = wanted;
    (wanted ? list_append : list_remove)(&s->turns, d);
}

static void destination_ref(Schedule *s, ScheduleDestination *d)
{
    if (d->entries++ > 0 || d->n_recipients == 0)
        return;
    list_remove(&s->remembered, d);
    s->n_remembered--;
}

static void destination_drop(Schedule *s, ScheduleDestination *d)
{
    (void) tdelete(d, &s->destinations, compare_domain);
    destination_free(d);
}

/* What was started lately still counts when the next mail comes. */
static void destination_unref(Schedule *s, ScheduleDestination *d)
{
    if (--d->entries > 0)
        return;
    destination_update(s, d);
    if (d->n_recipients == 0) {
        destination_drop(s, d);
        return;
    }
    list_append(&s->remembered, d);
    s->n_remembered++;
}

static uint64_t period_end(const ScheduleDestination *d)
{
    return d->period_start_usec + d->limits.period_usec;
}

/* A few at a time, so that this takes no time of its own. */
static void forget_some(Schedule *s, uint64_t now_usec)
{
    for (unsigned i = 0; i < 2 && s->remembered.first; i++) {
        ScheduleDestination *d = s->remembered.first;

        list_remove(&s->remembered, d);
        if (now_usec < period_end(d) && s->n_remembered <= REMEMBERED_MAX) {
            list_append(&s->remembered, d);
            continue;
        }
        s->n_remembered--;
        destination_drop(s, d);
    }
}

/* Counts n recipients, if the period has room for them. */
static bool destination_spend(ScheduleDestination *d, unsigned n, uint64_t now_usec)
{
    const ScheduleLimits *l = &d->limits;

    if (l->recipients == 0)
        return true;
    /* It begins after now when the clock was set back. */
    if (now_usec < d->period_start_usec || now_usec >= period_end(d)) {
        d->n_recipients = 0;
        d->period_start_usec = now_usec;
    }
    if (d->n_recipients > 0 && (uint64_t) d->n_recipients + n > l->recipients)
        return false;
    d->n_recipients += n;
    return true;
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

/* Room for one more entry than there are. */
static int heap_reserve(Schedule *s)
{
    const size_t n_entries = (size_t) s->counts[SCHEDULE_WAITING] + s->counts[SCHEDULE_READY] + s->counts[SCHEDULE_RUNNING];
    size_t n = s->allocated > 0 ? 2 * s->allocated : 64;
    ScheduleEntry **grown;

    if (n_entries < s->allocated)
        return 0;
    grown = reallocarray(s->heap, n, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    s->heap = grown;
    s->allocated = n;
    return 0;
}

static void heap_insert(Schedule *s, ScheduleEntry *e)
{
    s->heap[s->n_heap++] = e;
    heap_up(s, s->n_heap - 1);
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

/* Into the row of its destination: at the end, or back where it was held. */
static void ready_insert(Schedule *s, ScheduleEntry *e)
{
    ScheduleDestination *d = e->destination;
    const bool held = d->held == e;

    e->next = held ? d->first : NULL;
    e->previous = held ? NULL : d->last;
    *(e->previous ? &e->previous->next : &d->first) = e;
    *(e->next ? &e->next->previous : &d->last) = e;
    if (held)
        d->held = NULL;
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

int schedule_add(Schedule *s, ScheduleEntry *e, const char *domain, unsigned n_recipients, uint64_t due_usec)
{
    ScheduleDestination *d;
    int r = heap_reserve(s);

    if (r < 0)
        return r;
    d = destination_get(s, domain);
    if (!d)
        return -ENOMEM;
    destination_ref(s, d);
    e->destination = d;
    e->due_usec = due_usec;
    e->n_recipients = n_recipients;
    heap_insert(s, e);
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
        if (d->held == e)
            d->held = NULL;
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

/* What is held may have its turn now, or be held again. */
static void release(Schedule *s, ScheduleDestination *d)
{
    if (!d->held)
        return;
    heap_remove(s, d->held);
    ready_insert(s, d->held);
}

static void update_limits(const void *node, VISIT visit, void *userdata)
{
    ScheduleDestination *d = *(ScheduleDestination *const *) node;
    Schedule *s = userdata;

    if (visit != postorder && visit != leaf)
        return;
    s->get_limits(d->domain, &d->limits, s->userdata);
    release(s, d);
    destination_update(s, d);
}

void schedule_configure(Schedule *s, unsigned max_running)
{
    s->max_running = max_running;
    twalk_r(s->destinations, update_limits, s);
}

void schedule_refund(Schedule *s, ScheduleEntry *e)
{
    ScheduleDestination *d = e->destination;

    if (e->state != SCHEDULE_RUNNING)
        return;
    d->n_recipients -= MIN(e->n_recipients, d->n_recipients);
    release(s, d);
}

/* The next one of d, which has its turn, waits until d's period ends, and with it the others. */
static void hold(Schedule *s, ScheduleDestination *d)
{
    ScheduleEntry *e = d->first;

    ready_remove(s, e);
    e->due_usec = period_end(d);
    heap_insert(s, e);
    set_state(s, e, SCHEDULE_WAITING);
    d->held = e;
    destination_update(s, d);
}

static ScheduleEntry *start(Schedule *s, ScheduleDestination *d)
{
    ScheduleEntry *e = d->first;

    ready_remove(s, e);
    set_state(s, e, SCHEDULE_RUNNING);
    d->running++;
    destination_update(s, d);
    /* To the end of the turns, if it still has a claim. */
    if (d->queued) {
        list_remove(&s->turns, d);
        list_append(&s->turns, d);
    }
    return e;
}

ScheduleEntry *schedule_next(Schedule *s, uint64_t now_usec)
{
    forget_some(s, now_usec);
    /* The clock was set back: nobody waits for the end of a period that has not begun. */
    if (now_usec < s->last_usec)
        twalk_r(s->destinations, update_limits, s);
    s->last_usec = now_usec;
    while (s->n_heap > 0 && s->heap[0]->due_usec <= now_usec) {
        ScheduleEntry *e = s->heap[0];

        heap_remove(s, e);
        ready_insert(s, e);
    }
    while (s->turns.first && s->counts[SCHEDULE_RUNNING] < s->max_running) {
        ScheduleDestination *d = s->turns.first;

        if (destination_spend(d, d->first->n_recipients, now_usec))
            return start(s, d);
        hold(s, d);
    }
    return NULL;
}

uint64_t schedule_due(const Schedule *s)
{
    return s->n_heap > 0 ? s->heap[0]->due_usec : UINT64_MAX;
}

unsigned schedule_flush(Schedule *s, const char *domain)
{
    unsigned n = 0;

    /* All keys change at once, so the heap is made anew afterwards. */
    for (size_t i = 0; i < s->n_heap; i++) {
        const ScheduleDestination *d = s->heap[i]->destination;

        if (d->held != s->heap[i] && (!domain || streq(d->domain, domain))) {
            s->heap[i]->due_usec = 0;
            n++;
        }
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
