/* SPDX-License-Identifier: Apache-2.0 */

/* The watch over expiry: gathers the certificates, has it decided, tells. The timer is one of the wall clock and absolute: a
 * threshold is a date, however often the host is suspended or its clock is set. */

#include "expiry-watch.h"

#include <openssl/sha.h>
#include <time.h>

#include "alert.h"
#include "catalog-ids.h"
#include "expiry-record.h"
#include "log.h"

#define CHECK_USEC (24 * 3600 * USEC_PER_SEC)
#define ACCURACY_USEC (10 * USEC_PER_SEC)

struct ExpiryWatch {
    Manager *manager;
    sd_event_source *timer;
    ExpiryRecord told;
};

/* One certificate, as what it is checked. */
typedef struct Item {
    ExpiryKind kind;
    bool is_authority;
    const char *name;    /* "mx" */
    const char *subject;
    const char *users;   /* "smtpd, delivery"; "" */
    bool self_signed;
    uint64_t not_before_usec, not_after_usec;
} Item;

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    expiry_watch_check(userdata);
    return 0;
}

int expiry_watch_new(ExpiryWatch **ret, Manager *m)
{
    _cleanup_(expiry_watch_freep) ExpiryWatch *w = calloc(1, sizeof(ExpiryWatch));
    int r;

    if (!w)
        return -ENOMEM;
    w->manager = m;
    r = expiry_record_read(&w->told, store_dir_fd(m->store));
    if (r < 0)
        (void) log_warning_errno(r, "Failed to read which certificates were told to expire, it may be told again: %m");
    r = sd_event_add_time(m->event, &w->timer, CLOCK_REALTIME, UINT64_MAX, ACCURACY_USEC, on_timer, w);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

ExpiryWatch *expiry_watch_free(ExpiryWatch *w)
{
    if (!w)
        return NULL;
    sd_event_source_disable_unref(w->timer);
    expiry_record_done(&w->told);
    free(w);
    return NULL;
}

/* ---- telling ---- */

static void format_date(uint64_t usec, char (*ret)[32])
{
    const time_t seconds = (time_t) (usec / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(*ret, sizeof(*ret), "%Y-%m-%d %H:%M UTC", &tm) == 0)
        (void) strcpy(*ret, "an unknown date");
}

/* "expires in 13 days", "has expired" */
static void format_event(const Item *i, uint64_t now_usec, char (*ret)[64])
{
    const uint64_t left_usec = i->not_after_usec >= now_usec ? i->not_after_usec - now_usec : 0;
    const uint64_t hours = left_usec / (3600 * USEC_PER_SEC);

    if (i->not_after_usec < now_usec)
        (void) strcpy(*ret, "has expired");
    else if (hours >= 48)
        (void) snprintf(*ret, sizeof(*ret), "expires in %" PRIu64 " days", hours / 24);
    else
        (void) snprintf(*ret, sizeof(*ret), "expires in %" PRIu64 " hours", hours);
}

/* What to do about it, as commands. */
static int format_remedy(const Item *i, char **ret)
{
    int n;

    if (i->is_authority)
        n = asprintf(ret, "Peers whose certificates were signed by it cannot be verified from then on. Those who run them have to get new "
                          "certificates; this host needs the authority's new one, if there is one, in its list.\n");
    else if (i->self_signed)
        n = asprintf(ret, "It is self-signed. Either have a certificate signed for its key, whose TLSA record stays,\n\n"
                          "    posternctl cert request %s %s.csr\n    posternctl cert install %s %s.pem\n\n"
                          "or make another one (posternctl cert create) and let it take the place of this one.\n",
                i->name, i->name, i->name, i->name);
    else
        n = asprintf(ret, "Have a new one signed for the same key; services use it at once, without a restart:\n\n"
                          "    posternctl cert request %s %s.csr\n    posternctl cert install %s %s.pem\n",
                i->name, i->name, i->name, i->name);
    if (n < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

static void raise_alert(Manager *m, const Item *i, const ExpiryDecision *d, const char *event)
{
    _cleanup_free_ char *key = NULL, *summary = NULL, *body = NULL, *remedy = NULL;
    const char *what = i->is_authority ? "authority" : "certificate";
    char date[32];

    format_date(i->not_after_usec, &date);
    /* Each threshold is a matter of its own: alertd holds repetitions of a matter back. */
    if (format_remedy(i, &remedy) < 0
            || asprintf(&key, "%s %s expires %u %" PRIu64, what, i->name, expiry_stage_days(d->told.stage), i->not_after_usec) < 0
            || asprintf(&summary, "The %s %s %s", what, i->name, event) < 0
            || asprintf(&body, "The %s \"%s\" (%s) %s: it is valid until %s.\n%s%s%s\n%s", what, i->name, i->subject, event, date,
                       *i->users ? "It is used by: " : "", i->users, *i->users ? "\n" : "", remedy) < 0)
        return; /* no memory for it */
    alert_raise(m->alertd, d->severity, ALERT_CERTIFICATE, key, summary, body);
}

static void tell(Manager *m, const Item *i, const ExpiryDecision *d, uint64_t now_usec)
{
    const bool past = d->told.stage == EXPIRY_PAST;
    const char *what = i->is_authority ? "authority" : "certificate";
    char event[64], date[32];

    format_event(i, now_usec, &event);
    format_date(i->not_after_usec, &date);
    log_event(!d->alert ? LOG_INFO : past ? LOG_ERR : LOG_WARNING,
            i->is_authority ? AUTHORITY_EXPIRES_ID : past ? CERTIFICATE_EXPIRED_ID : CERTIFICATE_EXPIRES_ID,
            (LogField[]) {{"POSTERN_CERTIFICATE", i->name}, {"POSTERN_REASON", event}}, 2, "The %s %s %s: it is valid until %s%s%s", what,
            i->name, event, date, *i->users ? ", and used by " : ", and not used", i->users);
    if (d->alert)
        raise_alert(m, i, d, event);
}

/* ---- checking ---- */

/* A check as it goes: what was told and will be, and when there is something next. */
typedef struct Check {
    ExpiryWatch *watch;
    uint64_t now_usec, next_usec;
    ExpiryRecord told;
} Check;

static void check_item(Check *c, const Item *i, const uint8_t id[EXPIRY_ID_SIZE])
{
    const ExpiryDecision d =
            expiry_decide(i->kind, i->not_before_usec, i->not_after_usec, c->now_usec, expiry_record_find(&c->watch->told, id));

    /* What cannot be remembered is told again after a restart. */
    (void) expiry_record_set(&c->told, id, d.told);
    c->next_usec = MIN(c->next_usec, expiry_next_usec(i->not_after_usec, c->now_usec));
    if (d.log)
        tell(c->watch->manager, i, &d, c->now_usec);
}

/* Whom certd.conf permits it and what it is assigned to: "smtpd, user:www-data". malloc'ed. */
static char *users_of(const Manager *m, const char *name)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    for (size_t i = 0; i < SERVICES_MAX; i++)
        if (service_conf_may_use(&m->conf->services[i], name))
            (void) fprintf(f, "%s%s", ftello(f) > 0 ? ", " : "", m->conf->services[i].name);
    for (const Assignment *a = NULL; (a = assignments_next(m->assignments, name, a));)
        (void) fprintf(f, "%s%s", ftello(f) > 0 ? ", " : "", a->use);
    return fclose(f) == 0 ? TAKE_PTR(text) : NULL;
}

static void check_certificates(Check *c)
{
    const Manager *m = c->watch->manager;
    const Certificate *x;

    for (size_t i = 0; (x = store_get(m->store, i)); i++) {
        _cleanup_free_ char *users = users_of(m, x->name);
        uint8_t id[EXPIRY_ID_SIZE];

        if (!users)
            continue; /* no memory: the next check is for it */
        (void) SHA256(x->leaf, x->leaf_size, id);
        check_item(c, &(Item) {
                .kind = *users ? EXPIRY_USED : EXPIRY_UNUSED,
                .name = x->name,
                .subject = x->subject,
                .users = users,
                .self_signed = x->self_signed,
                .not_before_usec = x->not_before_usec,
                .not_after_usec = x->not_after_usec,
        }, id);
    }
}

/* Those that peers are verified by. An authority that is in both lists is checked once. The host's list comes with some that have
 * expired; which it has is the distribution's care, so of those an entry in the journal is enough. */
static void check_authorities(Check *c)
{
    const AuthoritySet *set = authorities_get(c->watch->manager->authorities);
    const AuthorityList *own = &set->lists[AUTHORITY_LIST_CUSTOM].authorities;
    const Authority *a;
    size_t position = 0;

    while ((a = authority_set_next_trusted(set, &position))) {
        uint8_t id[EXPIRY_ID_SIZE];

        for (size_t i = 0; i < EXPIRY_ID_SIZE; i++)
            if (sscanf(a->fingerprint + 3 * i, "%2hhx", &id[i]) != 1)
                return;
        check_item(c, &(Item) {
                .kind = authority_list_find(own, a->fingerprint) ? EXPIRY_AUTHORITY : EXPIRY_UNUSED,
                .is_authority = true,
                .name = a->name,
                .subject = a->subject,
                .users = "the verification of peers",
                .not_before_usec = a->not_before_usec,
                .not_after_usec = a->not_after_usec,
        }, id);
    }
}

void expiry_watch_check(ExpiryWatch *w)
{
    Check c = {.watch = w};
    struct timespec now;
    int r;

    if (!w)
        return;
    (void) clock_gettime(CLOCK_REALTIME, &now); /* not the loop's time, which is older */
    c.now_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
    c.next_usec = c.now_usec + CHECK_USEC;
    check_certificates(&c);
    check_authorities(&c);
    if (!expiry_record_equal(&c.told, &w->told)) {
        r = expiry_record_write(&c.told, store_dir_fd(w->manager->store));
        if (r < 0)
            (void) log_warning_errno(r, "Failed to write which certificates were told to expire, it will be told again: %m");
    }
    expiry_record_done(&w->told);
    w->told = c.told;
    (void) sd_event_source_set_time(w->timer, c.next_usec);
    (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}
