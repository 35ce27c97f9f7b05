/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a probe: from the call to its answer, or until its caller is gone. It must never hold up mail: it has few
 * connections, one at a time, and no place in the schedule. */

#include "probe.h"

#include <fcntl.h>
#include <inttypes.h>

#include "address.h"
#include "attempt-call.h"
#include "bus-error.h"
#include "deliverd-bus.h"
#include "delivery-report.h"
#include "probe-report.h"
#include "sts.h"

/* Every domain has to have this mailbox (RFC 5321, section 4.5.1); it gets nothing. */
#define RECIPIENT "postmaster"

struct Probe {
    Manager *manager;
    Probe *previous, *next; /* manager->probes */
    PeerPending *pending;
    ProbeRequest request;
    char *recipient, *sts_domain;
    DeliverdConf *conf;
    DeliveryRun *run;
    sd_event_source *timeout;
    sd_event_source *end; /* the run is over: it is freed from the loop, not from within */
    sd_bus_slot *watch;   /* of the caller on the system bus */
    int message_fd;       /* an empty one */

    json_object *steps;
    char *host; /* that was looked at last; its verdict is not told yet: */
    bool deliverable;
    char text[700];
    char *line, *peer; /* of the first host that would take it */
};

static void set_string(char **field, const char *value)
{
    free(*field);
    *field = value ? strdup(value) : NULL;
}

/* ---- the request ---- */

void probe_request_done(ProbeRequest *q)
{
    free(q->domain);
    free(q->mx);
    *q = (ProbeRequest) {};
}

static int invalid(sd_bus_error *error, const char *format, ...) _printf_(2, 3);

static int invalid(sd_bus_error *error, const char *format, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, text);
}

/* A domain, or, where that can be, an address. */
static int read_host(const char *text, bool address, char **ret)
{
    HostAddresses probe;
    char *copy;

    if (address && decision_literal(text, 0, &probe)) {
        copy = strdup(text);
        if (!copy)
            return -ENOMEM;
        *ret = copy;
        return 0;
    }
    return domain_normalize(text, ret);
}

static int read_tls(const char *text, int *ret)
{
    for (TlsLevel l = TLS_LEVEL_NO; l <= TLS_LEVEL_REQUIRED_VERIFY_HOSTED; l++)
        if (strcasecmp(text, tls_level_to_string(l)) == 0) {
            *ret = (int) l;
            return 0;
        }
    return strcasecmp(text, "Default") == 0 ? 0 : -EINVAL;
}

static int read_dane(const char *text, int *ret)
{
    for (DaneLevel l = DANE_NONE; l <= DANE_MANDATORY; l++)
        if (strcasecmp(text, dane_level_to_string(l)) == 0) {
            *ret = (int) l;
            return 0;
        }
    return strcasecmp(text, "Default") == 0 ? 0 : -EINVAL;
}

static int read_option(const char *key, const char *value, ProbeRequest *q, sd_bus_error *error)
{
    int r;

    if (streq(key, "TLS")) {
        r = read_tls(value, &q->tls);
        return r < 0 ? invalid(error, "There is no TLS level '%s'; see TLS= in postern-deliverd.conf(5).", value) : 0;
    }
    if (streq(key, "DANE")) {
        r = read_dane(value, &q->dane);
        return r < 0 ? invalid(error, "There is no DANE level '%s'; see DANE= in postern-deliverd.conf(5).", value) : 0;
    }
    if (streq(key, "MX") && !q->mx) {
        r = read_host(value, true, &q->mx);
        return r == -ENOMEM ? r : r < 0 ? invalid(error, "'%s' is neither a host name nor an address.", value) : 0;
    }
    /* Something was to be different from what would be done. */
    return invalid(error, "There is no option '%s'.", key);
}

static int read_options(sd_bus_message *m, ProbeRequest *q, sd_bus_error *error)
{
    const char *key, *value, *type;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0)
            r = sd_bus_message_peek_type(m, NULL, &type);
        if (r >= 0 && !streq(type, "s"))
            return invalid(error, "Option '%s' is a string.", key);
        if (r >= 0)
            r = sd_bus_message_read(m, "v", "s", &value);
        if (r >= 0)
            r = read_option(key, value, q, error);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

int probe_request_read(sd_bus_message *call, ProbeRequest *ret, sd_bus_error *error)
{
    _cleanup_(probe_request_done) ProbeRequest q = {.tls = DESTINATION_UNSET, .dane = DESTINATION_UNSET};
    const char *domain;
    int r;

    r = sd_bus_message_read(call, "s", &domain);
    if (r < 0)
        return r;
    if (*domain == '[' && strlen(domain) < 64)
        r = (q.domain = strdup(domain)) ? 0 : -ENOMEM;
    else
        r = read_host(domain, false, &q.domain);
    if (r < 0 && r != -ENOMEM)
        return invalid(error, "'%.300s' is no domain.", domain);
    if (r >= 0)
        r = read_options(call, &q, error);
    if (r < 0)
        return r;
    *ret = q;
    q = (ProbeRequest) {};
    return 0;
}

/* ---- what is told ---- */

/* To the caller alone. What cannot be sent is in the answer all the same. */
static void send_step(const Probe *p, const char *json)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    sd_bus_message *call = peer_pending_call(p->pending);
    const char *sender = sd_bus_message_get_sender(call);
    uint64_t cookie;
    int r;

    r = sd_bus_message_get_cookie(call, &cookie);
    if (r >= 0)
        r = sd_bus_message_new_signal(sd_bus_message_get_bus(call), &m, DELIVERD_PATH, DELIVERD_INTERFACE, "VerifyStep");
    if (r >= 0 && sender)
        r = sd_bus_message_set_destination(m, sender);
    if (r >= 0)
        r = sd_bus_message_append(m, "ts", cookie, json);
    if (r >= 0)
        (void) sd_bus_send(NULL, m, NULL);
}

/* Takes it over. */
static void tell(Probe *p, json_object *step)
{
    if (!step)
        return;
    send_step(p, json_object_to_json_string_ext(step, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    (void) json_object_array_add(p->steps, step);
}

/* The host that was looked at is done with. */
static void close_host(Probe *p)
{
    if (!p->host)
        return;
    tell(p, probe_report_verdict(p->host, p->deliverable, p->text));
    set_string(&p->host, NULL);
}

static void attempted(Probe *p, const RunAttempt *a)
{
    char tls[REPORT_TLS_MAX];

    p->deliverable = a->delivered > 0;
    if (!p->deliverable) {
        (void) snprintf(p->text, sizeof(p->text), "%s", a->reason);
        return;
    }
    probe_describe(a, p->text, sizeof(p->text));
    if (p->line)
        return;
    report_tls(a, tls);
    set_string(&p->peer, a->peer);
    if (asprintf(&p->line, "delivered to <%s> at %s, %s", p->recipient, a->peer, tls) < 0)
        p->line = NULL;
}

static void add_number(json_object *o, const char *key, uint64_t value)
{
    (void) json_object_object_add(o, key, json_object_new_uint64(value));
}

/* Of the policy that mail goes by, what the cache knows beside. */
static void add_cached(const Probe *p, json_object *step, const RunTrace *t)
{
    StsInfo info;

    if (!step || t->step != RUN_STEP_STS || !t->sts->policy || !sts_find(p->manager->sts, p->sts_domain, &info))
        return;
    (void) json_object_object_add(step, "Id", json_object_new_string(info.cached->id));
    add_number(step, "FetchedUSec", info.cached->fetched_usec);
    add_number(step, "ExpiresUSec", info.expires_usec);
}

static void run_traced(const RunTrace *t, void *userdata)
{
    json_object *step = probe_report_step(t);
    Probe *p = userdata;

    if (t->step == RUN_STEP_HOST) {
        close_host(p);
        set_string(&p->host, t->mx->hosts[t->host].name);
        p->deliverable = false;
        (void) snprintf(p->text, sizeof(p->text), "%s", t->plan->skip ? t->plan->reason : "it could not be tried");
    }
    add_cached(p, step, t);
    tell(p, step);
    if (t->step == RUN_STEP_ATTEMPT)
        attempted(p, t->attempt);
    else if (t->step == RUN_STEP_FAILED)
        (void) snprintf(p->text, sizeof(p->text), "%s", t->reason);
}

/* ---- the end ---- */

static Probe *probe_free(Probe *p)
{
    if (!p)
        return NULL;
    if (p->manager) {
        *(p->previous ? &p->previous->next : &p->manager->probes) = p->next;
        if (p->next)
            p->next->previous = p->previous;
        p->manager->n_probes--;
    }
    delivery_run_free(p->run);
    deliverd_conf_unref(p->conf);
    sd_event_source_disable_unref(p->timeout);
    sd_event_source_disable_unref(p->end);
    sd_bus_slot_unref(p->watch);
    (void) peer_pending_free(p->pending);
    probe_request_done(&p->request);
    close_fdp(&p->message_fd);
    (void) json_object_put(p->steps);
    free(p->recipient);
    free(p->sts_domain);
    free(p->host);
    free(p->line);
    free(p->peer);
    free(p);
    return NULL;
}
DEFINE_CLEANUP(Probe, probe_free);

void probes_free(Manager *m)
{
    while (m->probes)
        (void) probe_free(m->probes);
}

static void add_string(json_object *o, const char *key, const char *value)
{
    if (value)
        (void) json_object_object_add(o, key, json_object_new_string(value));
}

/* outcome: "delivered", "deferred", "returned", "unknown". The probe is freed from the loop. */
static void answer(Probe *p, const char *outcome, FailureKind kind, const char *reason, const char *line)
{
    sd_bus_message *call = peer_pending_call(p->pending);
    json_object *o = json_object_new_object();

    close_host(p);
    if (o) {
        add_string(o, "Domain", p->request.domain);
        (void) json_object_object_add(o, "Deliverable", json_object_new_boolean(streq(outcome, "delivered")));
        add_string(o, "Outcome", outcome);
        add_string(o, "Peer", p->peer);
        add_string(o, "Reason", reason);
        add_string(o, "Failure", kind != FAILURE_NONE ? failure_kind_to_string(kind) : NULL);
        add_string(o, "LogLine", line);
        (void) json_object_object_add(o, "Steps", json_object_get(p->steps));
        (void) sd_bus_reply_method_return(call, "s",
                json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    } else
        (void) sd_bus_reply_method_errno(call, -ENOMEM, NULL);
    (void) json_object_put(o);
    (void) sd_event_source_set_enabled(p->timeout, SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(p->end, SD_EVENT_ONESHOT);
}

static void run_done(const RunResult *result, void *userdata)
{
    const RunRecipient *f = result->recipients;
    _cleanup_free_ char *line = NULL;
    Probe *p = userdata;

    if (f->verdict == VERDICT_DELIVERED)
        answer(p, "delivered", FAILURE_NONE, NULL, p->line);
    else if (f->verdict == VERDICT_FAILED) {
        if (asprintf(&line, "not deliverable to <%s>, returned to the sender: %s", p->recipient, f->text ?: "") < 0)
            line = NULL;
        answer(p, "returned", FAILURE_NONE, f->text, line);
    } else {
        if (asprintf(&line, "deferred for <%s>, tls=%s:none: %s", p->recipient, result->wanted, result->reason) < 0)
            line = NULL;
        answer(p, result->soon ? "unknown" : "deferred", result->kind, result->reason, line);
    }
}

static int on_end(sd_event_source *source, void *userdata)
{
    (void) probe_free(userdata);
    return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    Probe *p = userdata;

    if (p->host)
        (void) snprintf(p->text, sizeof(p->text), "it was not ready in time");
    p->run = delivery_run_free(p->run);
    if (p->line)
        answer(p, "delivered", FAILURE_NONE, "not all hosts could be looked at in time", p->line);
    else
        answer(p, "unknown", FAILURE_NONE, "not all hosts could be looked at in time", NULL);
    return 0;
}

/* ---- the beginning ---- */

static int run_resolve(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata)
{
    return resolve_start(((Probe *) userdata)->manager->dnsd, ret, name, type, done, done_userdata);
}

static int run_attempt(AttemptCall **ret, const struct sockaddr_storage *address, SmtpRequest *request, RunAttemptDone done,
        void *done_userdata, void *userdata)
{
    Probe *p = userdata;

    request->timeout_usec = PROBE_CONNECTION_USEC;
    return attempt_call_new(ret, p->manager, address, request, p->message_fd, done, done_userdata);
}

static void run_cancel(AttemptCall *call, void *userdata)
{
    attempt_call_cancel(call);
}

static int run_sts(StsQuery **ret, const char *domain, StsDone done, void *done_userdata, void *userdata)
{
    Probe *p = userdata;

    set_string(&p->sts_domain, domain);
    return sts_query(p->manager->sts, ret, domain, done, done_userdata);
}

static void run_sts_cancel(StsQuery *q, void *userdata)
{
    sts_query_cancel(q);
}

static const RunOps run_ops = {
    .resolve = run_resolve,
    .attempt = run_attempt,
    .cancel = run_cancel,
    .sts = run_sts,
    .sts_cancel = run_sts_cancel,
    .traced = run_traced,
    .done = run_done,
};

static int on_caller_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    (void) probe_free(userdata);
    return 0;
}

/* Without the watch the probe just goes on to its end. */
static int on_watching(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return 0;
}

/* Somebody has stopped posternctl: then nobody wants to know any more. On a direct connection there is no sender. */
static int watch_caller(Probe *p)
{
    sd_bus_message *call = peer_pending_call(p->pending);
    const char *sender = sd_bus_message_get_sender(call);
    _cleanup_free_ char *match = NULL;

    if (!sender)
        return 0;
    if (asprintf(&match, "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s',arg2=''", sender) < 0)
        return -ENOMEM;
    return sd_bus_add_match_async(sd_bus_message_get_bus(call), &p->watch, match, on_caller_gone, on_watching, p);
}

static int prepare(Probe *p, DestinationPolicy *ret_policy, DestinationSources *ret_from)
{
    const DestinationSection over = {.pattern = (char *) "option", .tls = p->request.tls, .dane = p->request.dane,
            .fallback = DESTINATION_UNSET, .mta_sts = DESTINATION_UNSET, .verify_insecure_mx = DESTINATION_UNSET,
            .require_fqdn = DESTINATION_UNSET};
    RunRequest request;
    int r;

    p->conf = deliverd_conf_ref(p->manager->conf);
    p->steps = json_object_new_array();
    p->message_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (p->message_fd < 0)
        return negative_errno();
    if (!p->steps || asprintf(&p->recipient, RECIPIENT "@%s", p->request.domain) < 0) {
        p->recipient = NULL;
        return -ENOMEM;
    }
    r = sd_event_add_defer(p->manager->event, &p->end, on_end, p);
    if (r >= 0)
        r = sd_event_source_set_enabled(p->end, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time_relative(p->manager->event, &p->timeout, CLOCK_MONOTONIC, PROBE_TIMEOUT_USEC, USEC_PER_SEC / 10,
                on_timeout, p);
    if (r < 0)
        return r;
    *ret_policy = destination_policy_with(&p->conf->destinations, p->request.domain, &over, ret_from);
    request = (RunRequest) {
        .domain = p->request.domain,
        .policy = *ret_policy,
        .skip_loopback = p->conf->skip_loopback,
        .helo = p->conf->host_name,
        .sender = "",
        .recipients = (const char *const *) &p->recipient,
        .n_recipients = 1,
        .probe = true,
        .only_host = p->request.mx,
        .seed = manager_now(),
    };
    return delivery_run_new(&p->run, &request, &run_ops, p);
}

int probe_method_verify(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    _cleanup_(probe_freep) Probe *p = NULL;
    DestinationSources from;
    DestinationPolicy policy;
    Manager *m = userdata;
    Probe *started;
    int r;

    if (m->n_probes == PROBES_MAX)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Other domains are being verified; try again in a minute.");
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->message_fd = -EBADF;
    r = probe_request_read(call, &p->request, error);
    if (r < 0)
        return r;
    r = peer_pending_new(&p->pending, m->server, call, 0, error);
    if (r < 0)
        return r;
    p->manager = m;
    p->next = m->probes;
    if (m->probes)
        m->probes->previous = p;
    m->probes = p;
    m->n_probes++;
    r = prepare(p, &policy, &from);
    if (r >= 0)
        r = watch_caller(p);
    if (r < 0)
        return r;
    started = TAKE_PTR(p);
    tell(started, probe_report_destination(started->request.domain, &policy, &from));
    delivery_run_start(started->run);
    return 1;
}
