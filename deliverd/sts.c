/* SPDX-License-Identifier: Apache-2.0 */

/* The cache of MTA-STS policies and the questions about them. A domain has a row while there is anything to know of it; a row has
 * at most one lookup and one fetch under way, and whoever asks waits for them. A policy that has not expired is never lost to a
 * failure of any kind; what failed by our own fault is never taken for "no policy". */

#include "sts.h"

#include <search.h>
#include <sys/queue.h>

typedef struct Row Row;
typedef TAILQ_HEAD(QueryList, StsQuery) QueryList;

/* A delivery that asks, or somebody who wants it fetched anew. */
struct StsQuery {
    Row *row;
    QueryList *list;
    StsDone done;           /* the one … */
    StsRefreshed refreshed; /* … or the other */
    void *userdata;
    TAILQ_ENTRY(StsQuery) entries;
};

struct Row {
    Sts *sts;
    char *domain;
    StsCached cached; /* policy NULL: none; then only the failure counts */
    char *failure;    /* what was wrong the last time */
    QueryList asking;   /* wait for the record … */
    QueryList fetching; /* … for the policy … */
    QueryList answered; /* … and are being told */
    ResolveQuery *txt;
    StsFetch *fetch;
    char id[STS_ID_MAX + 1]; /* of what is fetched */
    bool waiting;            /* for a place among the fetches */
    bool forced;             /* to be fetched whatever the record says */
    unsigned pinned;
    TAILQ_ENTRY(Row) used, turn;
};

struct Sts {
    sd_event *event;
    StsStore *store;
    StsOps ops;
    void *userdata;
    void *tree; /* tsearch() by domain */
    TAILQ_HEAD(, Row) rows; /* by last use */
    size_t n_rows, n_policies;
    TAILQ_HEAD(, Row) turns; /* rows that wait for a fetch */
    size_t n_turns, n_fetches;
    sd_event_source *sweep;
};

/* ---- rows ---- */

static int compare_domain(const void *a, const void *b)
{
    return strcmp(((const Row *) a)->domain, ((const Row *) b)->domain);
}

static Row *row_find(const Sts *s, const char *domain)
{
    const Row key = {.domain = (char *) domain};
    Row **found = tfind(&key, &s->tree, compare_domain);

    return found ? *found : NULL;
}

static Row *row_free(Row *row)
{
    if (!row)
        return NULL;
    sts_cached_done(&row->cached);
    free(row->failure);
    free(row->domain);
    free(row);
    return NULL;
}
DEFINE_CLEANUP(Row, row_free);

static void row_remove(Row *row)
{
    Sts *s = row->sts;

    s->n_policies -= row->cached.policy != NULL;
    TAILQ_REMOVE(&s->rows, row, used);
    s->n_rows--;
    (void) tdelete(row, &s->tree, compare_domain);
    row_free(row);
}

static bool row_is_idle(const Row *row)
{
    return !row->txt && !row->fetch && !row->waiting && row->pinned == 0 && TAILQ_EMPTY(&row->asking)
           && TAILQ_EMPTY(&row->fetching) && TAILQ_EMPTY(&row->answered);
}

static void row_forget(Row *row)
{
    if (row->cached.policy && row->sts->store)
        (void) sts_store_remove(row->sts->store, row->domain);
    row_remove(row);
}

/* Nothing goes on there, and nothing is known: it need not be. */
static void row_settle(Row *row)
{
    if (row_is_idle(row) && !row->cached.policy && row->cached.failed_usec == 0)
        row_remove(row);
}

static StsFacts row_facts(const Row *row, StsRecord record, const char *id)
{
    const StsCached *c = &row->cached;

    return (StsFacts) {
        .record = record,
        .id = id,
        .cached = c->policy,
        .cached_id = c->id,
        .cached_mode = c->policy ? c->policy->mode : STS_MODE_NONE,
        .fetched_usec = c->fetched_usec,
        .max_age = c->policy ? c->policy->max_age : 0,
        .failed_id = c->failed_usec > 0 ? c->failed_id : NULL,
        .failed_usec = c->failed_usec,
        .now_usec = row->sts->ops.now(row->sts->userdata),
    };
}

static bool row_unexpired(const Row *row)
{
    const StsFacts facts = row_facts(row, STS_RECORD_UNKNOWN, "");

    return sts_unexpired(&facts);
}

static uint64_t row_expires(const Row *row)
{
    return row->cached.fetched_usec + (uint64_t) row->cached.policy->max_age * USEC_PER_SEC;
}

/* Of those with a policy, if that is what there are too many of: one that has expired, else the one not used for longest. */
static Row *row_victim(Sts *s, bool with_policy)
{
    Row *row, *victim = NULL;

    TAILQ_FOREACH(row, &s->rows, used) {
        if (!row_is_idle(row) || (with_policy && !row->cached.policy))
            continue;
        if (!row_unexpired(row))
            return row;
        if (!victim)
            victim = row;
    }
    return victim;
}

static int make_room(Sts *s)
{
    Row *victim;

    if (s->n_rows < STS_DOMAINS_MAX)
        return 0;
    victim = row_victim(s, false);
    if (!victim)
        return -ENOBUFS;
    row_forget(victim);
    return 0;
}

static int row_get(Sts *s, const char *domain, Row **ret)
{
    _cleanup_(row_freep) Row *row = NULL;
    Row *found = row_find(s, domain);
    int r;

    if (found) {
        TAILQ_REMOVE(&s->rows, found, used);
        TAILQ_INSERT_TAIL(&s->rows, found, used);
        *ret = found;
        return 0;
    }
    r = make_room(s);
    if (r < 0)
        return r;
    row = calloc(1, sizeof(*row));
    if (!row)
        return -ENOMEM;
    row->sts = s;
    row->domain = strdup(domain);
    TAILQ_INIT(&row->asking);
    TAILQ_INIT(&row->fetching);
    TAILQ_INIT(&row->answered);
    if (!row->domain || !tsearch(row, &s->tree, compare_domain))
        return -ENOMEM;
    TAILQ_INSERT_TAIL(&s->rows, row, used);
    s->n_rows++;
    *ret = TAKE_PTR(row);
    return 0;
}

/* ---- what is learned ---- */

static void tell(Row *row, const StsNews *news)
{
    StsNews all = *news;

    all.domain = row->domain;
    all.policy = row_unexpired(row) ? row->cached.policy : NULL;
    all.expires_usec = all.policy ? row_expires(row) : 0;
    row->sts->ops.news(&all, row->sts->userdata);
}

static void row_fetched(Row *row, StsPolicy *policy)
{
    const bool changed = !row->cached.policy || !streq(row->cached.id, row->id);
    Sts *s = row->sts;
    Row *victim;

    s->n_policies += !row->cached.policy;
    sts_cached_done(&row->cached);
    row->cached.policy = sts_policy_ref(policy);
    (void) strcpy(row->cached.id, row->id);
    row->cached.fetched_usec = s->ops.now(s->userdata);
    free(row->failure);
    row->failure = NULL;
    if (s->store)
        (void) sts_store_put(s->store, row->domain, &row->cached);
    tell(row, &(StsNews) {.id = row->id, .changed = changed});
    row->pinned++;
    if (s->n_policies > STS_POLICIES_MAX && (victim = row_victim(s, true)))
        row_forget(victim);
    row->pinned--;
}

/* id: that could not be fetched; "" if none is known. */
static void row_failed(Row *row, const char *id, const char *reason, bool own_fault)
{
    Sts *s = row->sts;
    char *copy = strdup(reason);

    if (copy) {
        free(row->failure);
        row->failure = copy;
    }
    /* Our own failures do not keep us from trying again at once. */
    if (!own_fault) {
        (void) strcpy(row->cached.failed_id, id);
        row->cached.failed_usec = s->ops.now(s->userdata);
        if (row->cached.policy && s->store)
            (void) sts_store_put(s->store, row->domain, &row->cached);
    }
    tell(row, &(StsNews) {.id = id, .reason = reason, .own_fault = own_fault});
}

/* ---- answers ---- */

static void move(StsQuery *q, QueryList *list)
{
    TAILQ_REMOVE(q->list, q, entries);
    q->list = list;
    TAILQ_INSERT_TAIL(list, q, entries);
}

static void move_all(QueryList *from, QueryList *to, bool refreshes)
{
    StsQuery *q, *next;

    for (q = TAILQ_FIRST(from); q; q = next) {
        next = TAILQ_NEXT(q, entries);
        if ((q->refreshed != NULL) == refreshes)
            move(q, to);
    }
}

/* Tells all that are in answered. They may ask anew, or cancel each other. */
static void answer_all(Row *row, const StsAnswer *answer, const char *failure)
{
    StsQuery *q;

    while ((q = TAILQ_FIRST(&row->answered))) {
        const StsQuery told = *q;

        sts_query_cancel(q);
        if (told.refreshed)
            told.refreshed(failure, told.userdata);
        else
            told.done(answer, told.userdata);
    }
}

/* ---- fetching ---- */

static void fetch_ended(Row *row, const StsFetchResult *result)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    const bool own_fault = result->outcome == STS_FETCH_IMPOSSIBLE;
    StsAnswer answer;

    row->pinned++;
    if (result->outcome == STS_FETCH_DONE)
        row_fetched(row, result->policy);
    else
        row_failed(row, row->id, result->reason, own_fault);
    /* One that is just fetched counts this once even if it may not be kept at all. */
    if (result->outcome == STS_FETCH_DONE || row_unexpired(row))
        policy = sts_policy_ref(row->cached.policy);
    answer = (StsAnswer) {.policy = policy, .later = own_fault && !policy, .reason = policy ? NULL : result->reason,
            .own_fault = own_fault, .unfetched = result->outcome == STS_FETCH_FAILED && !policy};
    move_all(&row->fetching, &row->answered, true);
    move_all(&row->fetching, &row->answered, false);
    answer_all(row, &answer, result->outcome == STS_FETCH_DONE ? NULL : result->reason);
    row->pinned--;
    row_settle(row);
}

static void fetch_impossible(Row *row, const char *reason)
{
    fetch_ended(row, &(StsFetchResult) {.outcome = STS_FETCH_IMPOSSIBLE, .reason = reason});
}

static void run_turns(Sts *s);

static void on_fetched(const StsFetchResult *result, void *userdata)
{
    Row *row = userdata;
    Sts *s = row->sts;

    row->fetch = NULL;
    s->n_fetches--;
    fetch_ended(row, result);
    run_turns(s);
}

static void run_turns(Sts *s)
{
    Row *row;
    int r;

    while (s->n_fetches < STS_FETCHES_MAX && (row = TAILQ_FIRST(&s->turns))) {
        TAILQ_REMOVE(&s->turns, row, turn);
        s->n_turns--;
        row->waiting = false;
        r = s->ops.fetch(&row->fetch, row->domain, on_fetched, row, s->userdata);
        if (r >= 0)
            s->n_fetches++;
        else
            fetch_impossible(row, r == -EAGAIN ? "there is no fetching process" : strerror(-r));
    }
}

static void row_fetch(Row *row, const char *id)
{
    Sts *s = row->sts;

    if (row->fetch || row->waiting)
        return; /* who asks now is content with that */
    (void) strcpy(row->id, id);
    if (s->n_turns >= STS_WAITING_MAX) {
        fetch_impossible(row, "too many policies are being fetched");
        return;
    }
    row->waiting = true;
    TAILQ_INSERT_TAIL(&s->turns, row, turn);
    s->n_turns++;
    run_turns(s);
}

/* ---- the record ---- */

static void describe_record(const Row *row, StsRecord record, const ResolveAnswer *answer, char *buffer, size_t size)
{
    if (record == STS_RECORD_UNKNOWN)
        (void) snprintf(buffer, size, "the record _mta-sts.%s could not be looked up (%s): %s", row->domain,
                dnssec_state_to_string(answer->state), answer->reason);
    else
        (void) snprintf(buffer, size, "there is no valid record _mta-sts.%s", row->domain);
}

static void on_txt(ResolveAnswer *txt, void *userdata)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *owned = txt;
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    char id[STS_ID_MAX + 1], reason[512];
    Row *row = userdata;
    bool fetch, forced = row->forced;
    StsVerdict verdict;
    StsRecord record;
    StsFacts facts;
    StsAnswer answer;

    row->txt = NULL;
    row->forced = false;
    row->pinned++;
    record = sts_record_read(txt, id);
    facts = row_facts(row, record, id);
    verdict = sts_decide(&facts);
    describe_record(row, record, txt, reason, sizeof(reason));
    if (forced && record != STS_RECORD_FOUND)
        row_failed(row, "", reason, false);
    fetch = verdict.refresh || (forced && record == STS_RECORD_FOUND);
    move_all(&row->asking, record == STS_RECORD_FOUND ? &row->fetching : &row->answered, true);
    if (verdict.use == STS_USE_FETCHED) {
        fetch = fetch || !TAILQ_EMPTY(&row->asking);
        move_all(&row->asking, &row->fetching, false);
    } else
        move_all(&row->asking, &row->answered, false);
    if (verdict.use == STS_USE_CACHED)
        policy = sts_policy_ref(row->cached.policy);
    answer = (StsAnswer) {.policy = policy, .later = verdict.use == STS_USE_LATER, .reason = policy ? NULL : reason,
            .own_fault = verdict.use == STS_USE_LATER && txt->own_fault,
            .unfetched = record == STS_RECORD_FOUND && verdict.use == STS_USE_NONE};
    answer_all(row, &answer, reason);
    if (fetch)
        row_fetch(row, id);
    row->pinned--;
    row_settle(row);
}

static int row_ask(Row *row)
{
    _cleanup_free_ char *name = NULL;

    if (row->txt)
        return 0;
    if (asprintf(&name, "_mta-sts.%s", row->domain) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    return row->sts->ops.resolve(&row->txt, name, DNS_TYPE_TXT, on_txt, row, row->sts->userdata);
}

/* ---- questions ---- */

static int ask(Sts *s, const char *domain, const StsQuery *query, StsQuery **ret)
{
    StsQuery *q = malloc(sizeof(*q));
    Row *row;
    int r;

    if (!q)
        return -ENOMEM;
    r = row_get(s, domain, &row);
    if (r >= 0) {
        r = row_ask(row);
        if (r < 0)
            row_settle(row);
    }
    if (r < 0) {
        free(q);
        return r;
    }
    *q = *query;
    q->row = row;
    q->list = &row->asking;
    TAILQ_INSERT_TAIL(&row->asking, q, entries);
    if (ret)
        *ret = q;
    return 0;
}

int sts_query(Sts *s, StsQuery **ret, const char *domain, StsDone done, void *userdata)
{
    return ask(s, domain, &(StsQuery) {.done = done, .userdata = userdata}, ret);
}

int sts_refresh(Sts *s, const char *domain, StsRefreshed done, void *userdata)
{
    int r;

    r = ask(s, domain, &(StsQuery) {.refreshed = done, .userdata = userdata}, NULL);
    if (r >= 0)
        row_find(s, domain)->forced = true;
    return r;
}

/* What it waited for goes on: others may want it, and so does the cache. */
void sts_query_cancel(StsQuery *q)
{
    TAILQ_REMOVE(q->list, q, entries);
    free(q);
}

/* ---- time ---- */

static void row_sweep(Row *row, size_t *n_refreshes)
{
    const StsFacts facts = row_facts(row, STS_RECORD_UNKNOWN, "");

    if (!row_is_idle(row))
        return;
    if (!sts_unexpired(&facts)) {
        /* A failure is remembered as long as it keeps us from trying again. */
        if (row->cached.policy || !sts_failed_just_now(&facts))
            row_forget(row);
        return;
    }
    if (*n_refreshes >= STS_REFRESHES_MAX || facts.now_usec < sts_refresh_due(&facts, row->domain))
        return;
    if (row_ask(row) >= 0) {
        row->forced = true;
        *n_refreshes += 1;
    }
}

void sts_sweep(Sts *s)
{
    size_t n_refreshes = 0;
    Row *row, *next;

    for (row = TAILQ_FIRST(&s->rows); row; row = next) {
        next = TAILQ_NEXT(row, used);
        row_sweep(row, &n_refreshes);
    }
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata)
{
    sts_sweep(userdata);
    (void) sd_event_source_set_time_relative(source, STS_SWEEP_USEC);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- for people ---- */

static StsInfo row_info(const Row *row)
{
    return (StsInfo) {
        .domain = row->domain,
        .cached = &row->cached,
        .expires_usec = row_expires(row),
        .failure = row->cached.failed_usec > 0 ? row->failure ?: "not known, that was before the last start" : "",
    };
}

typedef struct Walk {
    const char *after;
    bool (*each)(const StsInfo *info, void *userdata);
    void *userdata;
    bool ended;
} Walk;

static void on_node(const void *node, VISIT which, void *userdata)
{
    const Row *row = *(Row *const *) node;
    Walk *w = userdata;
    StsInfo info;

    if (w->ended || (which != postorder && which != leaf) || !row->cached.policy || strcmp(row->domain, w->after) <= 0)
        return;
    info = row_info(row);
    w->ended = !w->each(&info, w->userdata);
}

void sts_foreach(Sts *s, const char *after, bool (*each)(const StsInfo *info, void *userdata), void *userdata)
{
    Walk w = {.after = after, .each = each, .userdata = userdata};

    twalk_r(s->tree, on_node, &w);
}

bool sts_find(Sts *s, const char *domain, StsInfo *ret)
{
    const Row *row = row_find(s, domain);

    if (!row || !row->cached.policy)
        return false;
    *ret = row_info(row);
    return true;
}

/* ---- life ---- */

int sts_add(Sts *s, const char *domain, StsCached *cached)
{
    Row *row;
    int r;

    if (s->n_policies >= STS_POLICIES_MAX)
        return -ENOBUFS;
    r = row_get(s, domain, &row);
    if (r < 0)
        return r;
    s->n_policies += !row->cached.policy;
    sts_cached_done(&row->cached);
    row->cached = *cached;
    *cached = (StsCached) {};
    return 0;
}

int sts_new(Sts **ret, sd_event *event, StsStore *store, const StsOps *ops, void *userdata)
{
    _cleanup_(sts_freep) Sts *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->event = sd_event_ref(event);
    s->store = store;
    s->ops = *ops;
    s->userdata = userdata;
    TAILQ_INIT(&s->rows);
    TAILQ_INIT(&s->turns);
    r = sd_event_add_time_relative(event, &s->sweep, CLOCK_MONOTONIC, STS_SWEEP_USEC, USEC_PER_SEC, on_sweep, s);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

/* Those that want it fetched anew are not told any more. */
static void end_queries(QueryList *list)
{
    StsQuery *q;

    while ((q = TAILQ_FIRST(list)))
        sts_query_cancel(q);
}

Sts *sts_free(Sts *s)
{
    Row *row;

    if (!s)
        return NULL;
    while ((row = TAILQ_FIRST(&s->rows))) {
        if (row->txt)
            s->ops.resolve_cancel(row->txt, s->userdata);
        if (row->fetch)
            s->ops.fetch_cancel(row->fetch, s->userdata);
        end_queries(&row->asking);
        end_queries(&row->fetching);
        row_remove(row);
    }
    sd_event_source_disable_unref(s->sweep);
    sd_event_unref(s->event);
    free(s);
    return NULL;
}
