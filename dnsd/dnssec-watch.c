/* SPDX-License-Identifier: Apache-2.0 */

/* When to probe, and who hears of the result. What a result means is self-test.c's to say, what keys are trusted anchors.c's. */

#include "dnssec-watch.h"

#include <inttypes.h>
#include <time.h>

#include "alert.h"
#include "catalog-ids.h"
#include "log.h"
#include "probe.h"

struct DnssecWatch {
    sd_event *event;
    PeerClient *alertd;
    const DnssecWatchOps *ops;
    void *userdata;
    const DnsConfig *config;
    Anchors *anchors;
    sd_event_source *timer;
    Probe *probe; /* NULL: none under way */
    SelfTestHistory history;
    char reason[512];
    uint64_t tested_usec;    /* CLOCK_REALTIME, to be told */
    uint64_t monotonic_usec; /* of the same */
};

DnssecWatch *dnssec_watch_free(DnssecWatch *w)
{
    if (!w)
        return NULL;
    sd_event_source_disable_unref(w->timer);
    probe_free(w->probe);
    sd_event_unref(w->event);
    free(w);
    return NULL;
}

static uint64_t now_usec(clockid_t clock)
{
    struct timespec t;

    (void) clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static void schedule(DnssecWatch *w, uint64_t usec)
{
    int r;

    r = sd_event_source_set_time_relative(w->timer, usec);
    if (r >= 0)
        r = sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
    if (r < 0)
        (void) log_warning_errno(r, "DNSSEC is not tested any more until dnsd is restarted: %m");
}

/* ---- results ---- */

static const char *shown(const char *name)
{
    return name && *name ? name : ".";
}

static void describe(DnssecWatch *w, const ProbeResult *result)
{
    const char *secure = shown(w->config->self_test_secure), *bogus = shown(w->config->self_test_bogus);
    int n = 0;

    *w->reason = '\0';
    if (result->facts.ask_secure)
        n = snprintf(w->reason, sizeof(w->reason), "\"%s\", which is signed, is %s%s%s", secure,
                dnssec_state_to_string(result->facts.secure), *result->secure_reason ? ": " : "", result->secure_reason);
    /* Of a name that is broken on purpose the reason is as expected, unless it is why nothing is known. */
    if (result->facts.ask_bogus && n >= 0 && (size_t) n < sizeof(w->reason))
        (void) snprintf(w->reason + n, sizeof(w->reason) - (size_t) n, "%s\"%s\", which is broken on purpose, is %s%s%s%s",
                n > 0 ? "; " : "", bogus, dnssec_state_to_string(result->facts.bogus),
                result->facts.bogus == DNSSEC_ERROR ? ": " : "",
                result->facts.bogus == DNSSEC_ERROR ? result->bogus_reason : "",
                result->facts.bogus == DNSSEC_SECURE ? " and so proves nothing" : "");
}

static const struct {
    int priority;
    const char *id;
    const char *text;
} entries[] = {
    [SELF_TEST_PENDING] = {LOG_DEBUG, NULL, "DNSSEC was not tested yet"},
    [SELF_TEST_OFF] = {LOG_DEBUG, NULL, "DNSSEC is not tested"},
    [SELF_TEST_WORKS] = {LOG_INFO, DNSSEC_WORKS_ID, "DNSSEC works"},
    [SELF_TEST_STRIPPED] = {LOG_ERR, DNSSEC_BROKEN_ID, "DNSSEC does not work here, signatures are lost on the way"},
    [SELF_TEST_INEFFECTIVE] = {LOG_ERR, DNSSEC_BROKEN_ID, "DNSSEC does not work here, what is broken is taken for unsigned"},
    [SELF_TEST_NO_ANSWER] = {LOG_NOTICE, NULL, "Whether DNSSEC works cannot be told, there is no answer"},
};

static void alert(const DnssecWatch *w, SelfTestVerdict verdict)
{
    _cleanup_free_ char *body = NULL;

    if (asprintf(&body,
                "%s:\n%s.\n\n"
                "While this lasts, mail to domains that are signed waits in the queue, since nobody can tell whether what this network says of "
                "them is true. Nothing is delivered unprotected because of it.\n\n"
                "Most likely a name server or firewall between this host and the Internet drops DNSSEC records%s. Have it hand them on, "
                "or set other servers with Forward= in /etc/postern/dnsd.conf. Then:\n\n    posternctl dns test\n",
                entries[verdict].text, w->reason, w->config->forward ? ": first of all those that Forward= names" : "") < 0)
        return; /* no memory for it */
    alert_raise(w->alertd, ALERT_CRITICAL, ALERT_SYSTEM, "dnssec", "DNSSEC does not work in this network", body);
}

static void judge(DnssecWatch *w, const ProbeResult *result)
{
    const SelfTestVerdict verdict = self_test_judge(&result->facts);
    const SelfTestStep step = self_test_step(&w->history, verdict);

    describe(w, result);
    w->tested_usec = now_usec(CLOCK_REALTIME);
    w->monotonic_usec = now_usec(CLOCK_MONOTONIC);
    if (step.log)
        log_event(entries[verdict].priority, entries[verdict].id,
                (const LogField[]) {{"POSTERN_RESULT", self_test_to_string(verdict)}, {"POSTERN_REASON", w->reason}}, 2, "%s: %s",
                entries[verdict].text, w->reason);
    if (step.alert)
        alert(w, verdict);
    schedule(w, step.again_usec);
}

/* "20326 valid, 38696 pending" */
static void list_keys(const AnchorFile *f, char *buffer, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_keys && n < size; i++) {
        int k = snprintf(buffer + n, size - n, "%s%u %s", i > 0 ? ", " : "", f->keys[i].tag,
                anchor_state_to_string(f->keys[i].state));

        n += (size_t) MAX(k, 0);
    }
}

static void on_keys(const char *zone, const AnchorFile *old, const AnchorFile *new, void *userdata)
{
    char keys[256];

    list_keys(new, keys, sizeof(keys));
    log_event(LOG_NOTICE, TRUST_ANCHOR_CHANGED_ID,
            (const LogField[]) {{"POSTERN_ZONE", shown(zone)}, {"POSTERN_REASON", keys}}, 2,
            "%s the trust anchors of \"%s\": %s", old ? "Updated" : "Began to follow", shown(zone), keys);
}

static bool take_anchors(DnssecWatch *w)
{
    const char *damaged = NULL;
    bool changed = false;
    int r;

    r = anchors_take(w->anchors, on_keys, w, &changed, &damaged);
    if (r < 0)
        (void) log_warning_errno(r, "Failed to store the trust anchors, they are used until dnsd stops: %m");
    if (damaged)
        log_warning("The followed trust anchors of \"%s\" are not taken over, since they cannot be read or none is left to trust; the old ones hold",
                damaged);
    return changed;
}

static void on_probe(Probe *p, const ProbeResult *result, void *userdata)
{
    DnssecWatch *w = userdata;
    bool changed;

    judge(w, result);
    w->probe = probe_free(w->probe);
    changed = take_anchors(w);
    if (changed)
        w->ops->trust_changed(w->userdata);
    w->ops->tested(w->userdata);
}

/* ---- tests ---- */

int dnssec_watch_test(DnssecWatch *w)
{
    ResolverTrust trust;
    int r;

    if (w->probe)
        return 0;
    r = anchors_begin(w->anchors, &trust);
    if (r < 0)
        (void) log_warning_errno(r, "No room for the followed trust anchors in the runtime directory, they are not updated: %m");
    return probe_new(&w->probe, w->event, w->config, &trust, on_probe, w);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
    DnssecWatch *w = userdata;
    int r;

    r = dnssec_watch_test(w);
    if (r < 0) {
        (void) log_warning_errno(r, "Failed to test DNSSEC: %m");
        schedule(w, SELF_TEST_SOONEST_USEC);
    }
    return 0;
}

void dnssec_watch_suspect(DnssecWatch *w)
{
    if (!w->probe && w->monotonic_usec > 0 && now_usec(CLOCK_MONOTONIC) - w->monotonic_usec >= SELF_TEST_SOONEST_USEC)
        schedule(w, 0);
}

int dnssec_watch_new(DnssecWatch **ret, sd_event *event, PeerClient *alertd, const DnssecWatchOps *ops, void *userdata)
{
    _cleanup_(dnssec_watch_freep) DnssecWatch *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return -ENOMEM;
    w->event = sd_event_ref(event);
    w->alertd = alertd;
    w->ops = ops;
    w->userdata = userdata;
    r = sd_event_add_time_relative(event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_timer, w);
    if (r >= 0)
        r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

int dnssec_watch_configure(DnssecWatch *w, const DnsConfig *config, Anchors *anchors)
{
    int r;

    r = sd_event_source_set_time_relative(w->timer, 0);
    if (r >= 0)
        r = sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
    if (r < 0)
        return r;
    w->probe = probe_free(w->probe);
    w->config = config;
    w->anchors = anchors;
    return 0;
}

SelfTestVerdict dnssec_watch_verdict(const DnssecWatch *w)
{
    return w->history.last;
}

const char *dnssec_watch_reason(const DnssecWatch *w)
{
    return w->reason;
}

uint64_t dnssec_watch_tested_usec(const DnssecWatch *w)
{
    return w->tested_usec;
}
