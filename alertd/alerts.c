/* SPDX-License-Identifier: Apache-2.0 */

/* From a raised alert to a mail: suppress.c says whether to mail or to hold, spool.c keeps, sender.c mails. A matter is what
 * suppression counts by: severity, type and key. Nothing here blocks, and nothing is forgotten before it is mailed, refused or
 * too old. */

#include "alerts.h"

#include <sys/queue.h>
#include <time.h>

typedef struct Matter Matter;
typedef struct Entry Entry;
typedef struct Waiting Waiting;

/* An alert in the spool. */
struct Entry {
    Alerts *alerts;
    SpoolItem *item;
    Matter *matter;          /* if held */
    sd_event_source *timer;  /* to try again */
    SenderJob *job;
    Waiting *unstored;       /* could not be stored: who raised it waits for the mail instead */
    TAILQ_ENTRY(Entry) entries;
};

struct Matter {
    Alerts *alerts;
    AlertSeverity severity;
    AlertType type;
    char *key;
    Suppress suppress;
    Entry *held;
    sd_event_source *timer; /* the end of the interval */
    TAILQ_ENTRY(Matter) matters;
};

struct Alerts {
    sd_event *event;
    Spool *spool;
    Sender *sender;
    const AlertConfig *config;
    const AlertsOps *ops;
    void *userdata;
    TAILQ_HEAD(, Entry) entries;
    unsigned n_entries;
    TAILQ_HEAD(, Matter) matters; /* the longest quiet first */
    unsigned n_matters;
    AlertsStatistics statistics;
};

/* Who waits for an entry to be durable. It does not hold the entry, which may be mailed and gone before the next store of it
 * ends. */
struct Waiting {
    Alerts *alerts;
    Entry *entry; /* to be mailed when stored; NULL: held, only stored */
    SpoolDone done;
    void *userdata;
};

static uint64_t now_usec(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* ---- objects ---- */

static Entry *entry_free(Entry *e)
{
    if (!e)
        return NULL;
    sender_cancel(e->job);
    sd_event_source_disable_unref(e->timer);
    if (e->matter)
        e->matter->held = NULL;
    TAILQ_REMOVE(&e->alerts->entries, e, entries);
    e->alerts->n_entries--;
    spool_item_free(e->item);
    if (e->unstored) {
        e->unstored->done(-ECANCELED, e->unstored->userdata);
        free(e->unstored);
    }
    free(e);
    return NULL;
}

/* item becomes the entry's, on success. */
static int entry_new(Alerts *a, SpoolItem *item, Entry **ret)
{
    Entry *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    *e = (Entry) {.alerts = a, .item = item};
    TAILQ_INSERT_TAIL(&a->entries, e, entries);
    a->n_entries++;
    *ret = e;
    return 0;
}

static Matter *matter_free(Matter *m)
{
    if (!m)
        return NULL;
    if (m->held)
        m->held->matter = NULL;
    sd_event_source_disable_unref(m->timer);
    TAILQ_REMOVE(&m->alerts->matters, m, matters);
    m->alerts->n_matters--;
    free(m->key);
    free(m);
    return NULL;
}

static Matter *matter_find(Alerts *a, AlertSeverity severity, AlertType type, const char *key)
{
    Matter *m;

    TAILQ_FOREACH(m, &a->matters, matters)
        if (m->severity == severity && m->type == type && streq(m->key, key))
            return m;
    return NULL;
}

static int matter_new(Alerts *a, AlertSeverity severity, AlertType type, const char *key, Matter **ret)
{
    Matter *m, *old;
    char *copy;

    if (a->n_matters >= ALERT_MATTERS_MAX) {
        /* The oldest that holds nothing back: the worst that comes of it is a mail more. There is always one, since held ones are
         * in the spool, which is smaller. */
        TAILQ_FOREACH(old, &a->matters, matters)
            if (!old->held)
                break;
        if (!old)
            return -ENOBUFS;
        matter_free(old);
    }
    m = calloc(1, sizeof(*m));
    copy = strdup(key);
    if (!m || !copy) {
        free(m);
        free(copy);
        return -ENOMEM;
    }
    *m = (Matter) {.alerts = a, .severity = severity, .type = type, .key = copy};
    TAILQ_INSERT_TAIL(&a->matters, m, matters);
    a->n_matters++;
    *ret = m;
    return 0;
}

int alerts_new(Alerts **ret, sd_event *event, Spool *spool, Sender *sender, const AlertConfig *config, const AlertsOps *ops,
        void *userdata)
{
    Alerts *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    *a = (Alerts) {.event = sd_event_ref(event), .spool = spool, .sender = sender, .config = config, .ops = ops, .userdata = userdata};
    TAILQ_INIT(&a->entries);
    TAILQ_INIT(&a->matters);
    *ret = a;
    return 0;
}

Alerts *alerts_free(Alerts *a)
{
    if (!a)
        return NULL;
    while (!TAILQ_EMPTY(&a->entries))
        entry_free(TAILQ_FIRST(&a->entries));
    while (!TAILQ_EMPTY(&a->matters))
        matter_free(TAILQ_FIRST(&a->matters));
    sd_event_unref(a->event);
    free(a);
    return NULL;
}

void alerts_configure(Alerts *a, const AlertConfig *config)
{
    a->config = config;
}

/* ---- mailing ---- */

static void mail(Entry *e);

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
    Entry *e = userdata;

    e->timer = sd_event_source_disable_unref(e->timer);
    mail(e);
    return 0;
}

static uint64_t retry_delay(unsigned attempts)
{
    if (attempts > 5)
        return ALERT_RETRY_MAX_USEC;
    return MIN(ALERT_RETRY_MIN_USEC << (attempts - MIN(attempts, 1u)), ALERT_RETRY_MAX_USEC);
}

static void forget(Entry *e)
{
    spool_remove(e->alerts->spool, e->item->id);
    entry_free(e);
}

static void retry_later(Entry *e)
{
    int r;

    e->item->attempts++;
    e->alerts->statistics.failures++;
    /* If this is not stored, the next run tries more recipients than it must. */
    (void) spool_store(e->alerts->spool, e->item, NULL, NULL);
    r = sd_event_add_time_relative(e->alerts->event, &e->timer, CLOCK_MONOTONIC, retry_delay(e->item->attempts), 0, on_retry, e);
    if (r < 0) /* out of memory: the next start finds it in the spool */
        entry_free(e);
}

/* The recipients that are left become the item's. */
static int keep_recipients(SpoolItem *item, char *const *remaining)
{
    _cleanup_(conf_strv_freep) char **copy = NULL;
    size_t n = 0;

    while (remaining[n])
        n++;
    copy = calloc(n + 1, sizeof(char *));
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        copy[i] = strdup(remaining[i]);
        if (!copy[i])
            return -ENOMEM;
    }
    conf_strv_free(item->recipients);
    item->recipients = TAKE_PTR(copy);
    return 0;
}

/* An alert that is not in the spool, since the disk is full or broken, is safe when it is mailed. If it could not be mailed
 * either, who raised it keeps it, and when it comes again it is a first one again. */
static void end_unstored(Entry *e, bool safe)
{
    _cleanup_free_ Waiting *w = TAKE_PTR(e->unstored);
    Matter *m = safe ? NULL : matter_find(e->alerts, e->item->severity, e->item->type, e->item->key);

    if (m && !m->held) /* else another one has come meanwhile, and is mailed at the end of the interval */
        matter_free(m);
    entry_free(e);
    w->done(safe ? 0 : -ENOSPC, w->userdata);
}

static void on_sent(const SenderResult *result, void *userdata)
{
    Entry *e = userdata;
    Alerts *a = e->alerts;
    unsigned n_left = 0;

    e->job = NULL;
    a->statistics.mailed += result->n_delivered;
    a->statistics.refused += result->n_refused;
    while (result->remaining[n_left])
        n_left++;
    if (result->n_delivered > 0)
        a->ops->mailed(e->item, result->n_delivered, a->userdata);
    if (result->n_refused > 0)
        a->ops->failed(e->item, false, result->n_refused, result->reason, a->userdata);
    if (e->unstored) {
        end_unstored(e, n_left == 0 || result->n_delivered > 0);
        return;
    }
    if (n_left == 0) {
        forget(e);
        return;
    }
    if (now_usec() > e->item->first_usec + ALERT_LIFETIME_USEC) {
        a->statistics.refused += n_left;
        a->ops->failed(e->item, false, n_left, result->reason, a->userdata);
        forget(e);
        return;
    }
    a->ops->failed(e->item, true, n_left, result->reason, a->userdata);
    if (result->n_delivered + result->n_refused > 0)
        (void) keep_recipients(e->item, result->remaining); /* on failure: some get it twice */
    retry_later(e);
}

static void mail(Entry *e)
{
    if (sender_submit(e->alerts->sender, &e->job, e->item, on_sent, e) >= 0)
        return;
    if (e->unstored)
        end_unstored(e, false);
    else
        retry_later(e);
}

/* ---- intervals ---- */

static int on_interval_end(sd_event_source *s, uint64_t usec, void *userdata);

static int arm(Matter *m)
{
    uint64_t now = now_usec(), delay = m->suppress.due_usec > now ? m->suppress.due_usec - now : 0;

    m->timer = sd_event_source_disable_unref(m->timer);
    /* The clock may have been set back since due_usec was computed: never wait longer than the interval is. */
    return sd_event_add_time_relative(m->alerts->event, &m->timer, CLOCK_MONOTONIC, MIN(delay, m->suppress.interval_usec), 0,
            on_interval_end, m);
}

static int on_interval_end(sd_event_source *s, uint64_t usec, void *userdata)
{
    Matter *m = userdata;
    Alerts *a = m->alerts;
    Entry *held = m->held;
    unsigned count = 0;

    if (suppress_due(&m->suppress, &a->config->suppress, now_usec(), &count) == SUPPRESS_FORGET || !held) {
        matter_free(m);
        return 0;
    }
    m->held = NULL;
    held->matter = NULL;
    held->item->held = false;
    held->item->count = count;
    (void) spool_store(a->spool, held->item, NULL, NULL); /* if it is not, it is mailed again after a crash */
    mail(held);
    if (m->suppress.interval_usec == 0 || arm(m) < 0)
        matter_free(m);
    return 0;
}

/* ---- raising ---- */

static int replace_text(char **field, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int item_new(Alerts *a, const AlertsRaise *raise, uint64_t now, SpoolItem **ret)
{
    _cleanup_(spool_item_freep) SpoolItem *i = NULL;
    int r;

    i = calloc(1, sizeof(*i));
    if (!i)
        return -ENOMEM;
    *i = (SpoolItem) {.severity = raise->severity, .type = raise->type, .first_usec = now, .last_usec = now, .count = 1};
    i->key = strdup(raise->key);
    i->summary = strdup(raise->summary);
    i->body = strdup(raise->body);
    i->origin = strdup(raise->origin);
    if (!i->key || !i->summary || !i->body || !i->origin)
        return -ENOMEM;
    r = alert_config_select(a->config, raise->severity, raise->type, &i->recipients);
    if (r < 0)
        return r;
    r = spool_assign_id(a->spool, i);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(i);
    return 0;
}

static void on_stored(int result, void *userdata)
{
    _cleanup_free_ Waiting *w = userdata;
    Entry *e = w->entry;

    if (e && result < 0 && result != -ECANCELED) {
        w->alerts->ops->not_stored(e->item, result, w->alerts->userdata);
        e->unstored = TAKE_PTR(w);
        mail(e);
        return;
    }
    if (e && result >= 0)
        mail(e);
    w->done(result, w->userdata);
}

static int store(Alerts *a, Entry *e, bool mail_then, SpoolDone done, void *userdata)
{
    _cleanup_free_ Waiting *w = NULL;
    int r;

    w = malloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (Waiting) {.alerts = a, .entry = mail_then ? e : NULL, .done = done, .userdata = userdata};
    r = spool_store(a->spool, e->item, on_stored, w);
    if (r < 0)
        return r;
    (void) TAKE_PTR(w);
    return 0;
}

static int check_room(const Alerts *a, const char *origin)
{
    unsigned n = 0;
    Entry *e;

    if (a->n_entries >= SPOOL_ITEMS_MAX)
        return -ENOBUFS;
    TAILQ_FOREACH(e, &a->entries, entries)
        n += streq(e->item->origin, origin);
    return n >= ALERT_ORIGIN_MAX ? -EDQUOT : 0;
}

/* A new entry in the spool. */
static int add(Alerts *a, const AlertsRaise *raise, uint64_t now, Matter *held_by, SpoolDone done, void *userdata)
{
    _cleanup_(spool_item_freep) SpoolItem *item = NULL;
    Entry *e;
    int r;

    r = item_new(a, raise, now, &item);
    if (r < 0)
        return r;
    if (!item->recipients[0]) { /* nobody wants to be mailed of such; it is in the journal */
        done(0, userdata);
        return 0;
    }
    r = check_room(a, raise->origin);
    if (r < 0)
        return r;
    if (held_by) {
        item->held = true;
        item->due_usec = held_by->suppress.due_usec;
        item->interval_usec = held_by->suppress.interval_usec;
    }
    r = entry_new(a, item, &e);
    if (r < 0)
        return r;
    (void) TAKE_PTR(item);
    if (held_by) {
        held_by->held = e;
        e->matter = held_by;
    }
    r = store(a, e, !held_by, done, userdata);
    if (r < 0)
        entry_free(e);
    return r;
}

/* One more of those that are held back already: the newest text, all of the count. */
static int count(Alerts *a, const AlertsRaise *raise, uint64_t now, Matter *m, SpoolDone done, void *userdata)
{
    SpoolItem *item = m->held->item;
    int r;

    r = replace_text(&item->summary, raise->summary);
    if (r < 0)
        return r;
    r = replace_text(&item->body, raise->body);
    if (r < 0)
        return r;
    item->last_usec = now;
    item->count = m->suppress.held;
    return store(a, m->held, false, done, userdata);
}

int alerts_raise(Alerts *a, const AlertsRaise *raise, SpoolDone done, void *userdata)
{
    uint64_t now = now_usec();
    SuppressVerdict verdict;
    Matter *m;
    int r;

    a->statistics.raised++;
    m = matter_find(a, raise->severity, raise->type, raise->key);
    if (!m) {
        r = matter_new(a, raise->severity, raise->type, raise->key, &m);
        if (r < 0)
            return r;
    }
    verdict = suppress_raise(&m->suppress, &a->config->suppress, now);
    if (verdict == SUPPRESS_HOLD) {
        a->statistics.held++;
        return m->held ? count(a, raise, now, m, done, userdata) : add(a, raise, now, m, done, userdata);
    }
    r = add(a, raise, now, NULL, done, userdata);
    /* What did not get in was no first one; and without an interval there is nothing to remember. */
    if (r < 0 || m->suppress.interval_usec == 0 || arm(m) < 0)
        matter_free(m);
    return r;
}

/* ---- after a restart ---- */

typedef struct Recovery {
    Alerts *alerts;
    unsigned n;
} Recovery;

static int recover_held(Alerts *a, Entry *e)
{
    SpoolItem *i = e->item;
    Matter *m;
    int r;

    if (matter_find(a, i->severity, i->type, i->key))
        return -EEXIST;
    r = matter_new(a, i->severity, i->type, i->key, &m);
    if (r < 0)
        return r;
    m->suppress = (Suppress) {.interval_usec = i->interval_usec, .due_usec = i->due_usec, .held = i->count};
    m->held = e;
    e->matter = m;
    r = arm(m);
    if (r < 0)
        matter_free(m);
    return r;
}

static void recover(SpoolItem *item, void *userdata)
{
    Recovery *recovery = userdata;
    Entry *e;

    if (recovery->alerts->n_entries >= SPOOL_ITEMS_MAX || entry_new(recovery->alerts, item, &e) < 0) {
        spool_item_free(item); /* stays in the spool for the next start */
        return;
    }
    recovery->n++;
    if (!item->held || recover_held(recovery->alerts, e) < 0)
        mail(e);
}

int alerts_recover(Alerts *a, unsigned *ret_recovered, unsigned *ret_broken)
{
    Recovery recovery = {.alerts = a};
    int r;

    r = spool_scan(a->spool, recover, &recovery, ret_broken);
    if (r < 0)
        return r;
    *ret_recovered = recovery.n;
    return 0;
}

/* ---- for people ---- */

unsigned alerts_pending(const Alerts *a)
{
    return a->n_entries;
}

const AlertsStatistics *alerts_statistics(const Alerts *a)
{
    return &a->statistics;
}

void alerts_each(const Alerts *a, void (*each)(const SpoolItem *item, void *userdata), void *userdata)
{
    Entry *e;

    TAILQ_FOREACH(e, &a->entries, entries)
        each(e->item, userdata);
}
