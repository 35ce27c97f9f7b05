/* SPDX-License-Identifier: Apache-2.0 */

/* What a probe sees, for people and programs. It decides nothing: each value is what the run or the worker had. */

#include "probe-report.h"

#include "address.h"

/* ---- members ---- */

static void add(json_object *o, const char *key, json_object *value)
{
    (void) json_object_object_add(o, key, value);
}

/* Nothing for NULL. */
static void add_string(json_object *o, const char *key, const char *value)
{
    if (value)
        add(o, key, json_object_new_string(value));
}

static void add_bool(json_object *o, const char *key, bool value)
{
    add(o, key, json_object_new_boolean(value));
}

static void add_number(json_object *o, const char *key, uint64_t value)
{
    add(o, key, json_object_new_uint64(value));
}

/* NULL-ended; nothing for NULL. */
static void add_list(json_object *o, const char *key, const char *const *l)
{
    json_object *list;

    if (!l)
        return;
    list = json_object_new_array();
    for (; *l; l++)
        (void) json_object_array_add(list, json_object_new_string(*l));
    add(o, key, list);
}

static json_object *step_new(const char *step)
{
    json_object *o = json_object_new_object();

    if (o)
        add_string(o, "Step", step);
    return o;
}

static const char *host_of(const RunTrace *t)
{
    return t->mx->hosts[t->host].name;
}

/* ---- before the hosts ---- */

json_object *probe_report_destination(const char *domain, const DestinationPolicy *policy, const DestinationSources *from)
{
    json_object *o = step_new("Destination");

    if (!o)
        return NULL;
    add_string(o, "Domain", domain);
    add_string(o, "TLS", tls_level_to_string(policy->tls));
    add_string(o, "TLSFrom", from->tls);
    add_string(o, "DANE", dane_level_to_string(policy->dane));
    add_string(o, "DANEFrom", policy->tls == TLS_LEVEL_NO ? NULL : from->dane);
    add_bool(o, "MTASTS", policy->mta_sts);
    add_string(o, "MTASTSFrom", policy->tls == TLS_LEVEL_NO ? NULL : from->mta_sts);
    add_string(o, "PlaintextFallback", plaintext_fallback_to_string(policy->fallback));
    add_bool(o, "VerifyInsecureMX", policy->verify_insecure_mx);
    add_list(o, "PinnedCertificate", policy->pins);
    add_list(o, "TrustedAuthority", policy->authorities);
    add_bool(o, "RequireFQDN", policy->require_fqdn);
    add_string(o, "Route", policy->route);
    add_string(o, "RouteFrom", from->route);
    return o;
}

static json_object *report_mx(const RunTrace *t)
{
    json_object *o = step_new("MX"), *hosts = json_object_new_array();

    if (!o || !hosts) {
        (void) json_object_put(o);
        (void) json_object_put(hosts);
        return NULL;
    }
    for (size_t i = 0; i < t->mx->n_hosts; i++) {
        json_object *host = json_object_new_object();

        add_string(host, "Name", t->mx->hosts[i].name);
        if (t->mx_answer && !t->mx->implicit)
            add_number(host, "Preference", t->mx->hosts[i].preference);
        (void) json_object_array_add(hosts, host);
    }
    if (t->mx_answer) {
        add_string(o, "State", dnssec_state_to_string(t->mx_answer->state));
        add_number(o, "ResponseCode", t->mx_answer->rcode);
        add_number(o, "TTLSec", t->mx_answer->ttl);
    }
    add_bool(o, "Looked", t->mx_answer);
    add_bool(o, "Implicit", t->mx->implicit);
    add_string(o, "Alias", t->mx->expansion);
    add(o, "Hosts", hosts);
    if (t->mx->outcome != MX_HOSTS)
        add_string(o, "Reason", t->mx->reason);
    return o;
}

static json_object *report_sts(const RunTrace *t)
{
    const StsPolicy *policy = t->sts->policy;
    json_object *o = step_new("STS");

    if (!o)
        return NULL;
    add_string(o, "Mode", t->sts->later ? "unknown" : policy ? sts_mode_to_string(policy->mode) : "none");
    if (t->sts->later)
        add_string(o, "Reason", t->sts->reason ?: "");
    if (policy) {
        json_object *hosts = json_object_new_array();

        add_number(o, "MaxAgeSec", policy->max_age);
        for (size_t i = 0; i < policy->n_mx; i++)
            (void) json_object_array_add(hosts, json_object_new_string(policy->mx[i]));
        add(o, "Hosts", hosts);
    }
    return o;
}

/* ---- a host ---- */

/* RFC 7672, section 3.1; NULL: it is usable. */
static const char *why_unusable(const TlsaRecord *r)
{
    if (tlsa_usable(r))
        return NULL;
    if (r->usage < 2)
        return "usages 0 and 1 are not for mail";
    if (r->usage > 3 || r->selector > 1 || r->mtype > 2)
        return "unknown parameters";
    return "malformed data";
}

static json_object *report_records(const ResolveAnswer *answer)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < answer->n_records; i++) {
        json_object *o = json_object_new_object();
        char text[16 + 2 * 128] = "";
        TlsaRecord r;
        int n;

        if (resolve_parse_tlsa(answer->records + i, &r) < 0)
            add_string(o, "Reason", "malformed record");
        else {
            n = snprintf(text, sizeof(text), "%u %u %u ", r.usage, r.selector, r.mtype);
            /* Of whole certificates the beginning will do. */
            for (size_t k = 0; k < MIN(r.size, (size_t) 128); k++)
                n += snprintf(text + n, sizeof(text) - (size_t) n, "%02x", r.data[k]);
            add_string(o, "Record", text);
            add_string(o, "Reason", why_unusable(&r));
        }
        add_bool(o, "Usable", !json_object_object_get(o, "Reason"));
        (void) json_object_array_add(list, o);
    }
    return list;
}

static void add_addresses(json_object *o, const RunTrace *t)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < t->addresses->n_addresses; i++) {
        _cleanup_free_ char *text = NULL;

        if (sockaddr_to_string((const struct sockaddr *) (t->addresses->addresses + i), &text) >= 0)
            (void) json_object_array_add(list, json_object_new_string(text));
    }
    add(o, "Addresses", list);
    if (t->a)
        add_string(o, "AState", dnssec_state_to_string(t->a->state));
    if (t->aaaa)
        add_string(o, "AAAAState", dnssec_state_to_string(t->aaaa->state));
}

static void add_plan(json_object *o, const RunTrace *t)
{
    static const char *const rules[] = {[TLS_NAMES_ANY] = "any", [TLS_NAMES_HOSTED] = "hosted", [TLS_NAMES_DNS] = "dns"};
    const HostPlan *p = t->plan;
    const bool dane = p->want == SMTP_TLS_DANE;

    add_bool(o, "Skipped", p->skip);
    if (p->skip) {
        add_string(o, "Reason", p->reason);
        return;
    }
    add_string(o, "Wanted", p->wanted);
    if (p->want == SMTP_TLS_NO)
        return;
    add_string(o, "ServerName", dane ? p->base : t->named ? host_of(t) : NULL);
    add_string(o, "DANEBase", p->base);
    add_list(o, "Names", p->names);
    add_string(o, "InsecureName", p->insecure_name);
    if (!dane)
        add_string(o, "NameRule", rules[p->rule]);
    if (p->sts != STS_MODE_NONE)
        add_bool(o, "NamedByPolicy", p->sts_name);
}

static json_object *report_host(const RunTrace *t)
{
    json_object *o = step_new("Host");

    if (!o)
        return NULL;
    add_string(o, "Host", host_of(t));
    add_addresses(o, t);
    if (t->tlsa) {
        add_string(o, "TLSABase", t->base);
        add_string(o, "TLSAState", dnssec_state_to_string(t->tlsa->state));
        if (t->tlsa->reason && *t->tlsa->reason)
            add_string(o, "TLSAReason", t->tlsa->reason);
        add(o, "TLSA", report_records(t->tlsa));
    }
    add_plan(o, t);
    return o;
}

static json_object *report_connect(const RunTrace *t)
{
    json_object *o = step_new("Connect");

    if (!o)
        return NULL;
    add_string(o, "Host", host_of(t));
    add_string(o, "Peer", t->peer);
    add_string(o, "Wanted", decision_wanted(t->plan, t->want));
    return o;
}

static json_object *report_failed(const RunTrace *t)
{
    json_object *o = step_new("Failed");

    if (!o)
        return NULL;
    add_string(o, "Host", host_of(t));
    add_string(o, "Peer", t->peer);
    add_string(o, "Reason", t->reason);
    return o;
}

/* ---- a connection ---- */

static json_object *report_certificate(const TlsPeer *p)
{
    json_object *o = json_object_new_object(), *names = json_object_new_array();

    add_string(o, "Subject", p->subject);
    add_string(o, "Issuer", p->issuer);
    if (*p->common_name)
        add_string(o, "CommonName", p->common_name);
    for (uint32_t i = 0; i < p->n_names; i++)
        (void) json_object_array_add(names, json_object_new_string(p->names[i]));
    add(o, "Names", names);
    if (p->n_names_left_out > 0)
        add_number(o, "NamesLeftOut", p->n_names_left_out);
    add_number(o, "NotBeforeUSec", p->not_before_usec);
    add_number(o, "NotAfterUSec", p->not_after_usec);
    add_string(o, "Fingerprint", p->fingerprint);
    add_string(o, "KeyFingerprint", p->key_fingerprint);
    add_number(o, "ChainLength", p->n_sent);
    return o;
}

/* By what it was verified. The index comes from a worker. */
static void add_proof(json_object *o, const RunAttempt *a)
{
    const TlsPeer *p = &a->result->probe->peer;
    char record[16];

    if (!tls_verify_succeeded(a->verified))
        return;
    if (a->want == SMTP_TLS_DANE && p->tlsa >= 0 && (size_t) p->tlsa < a->plan->n_tlsa) {
        const TlsaRecord *r = &a->plan->tlsa[p->tlsa];

        (void) snprintf(record, sizeof(record), "%u %u %u", r->usage, r->selector, r->mtype);
        add_string(o, "MatchedTLSA", record);
    }
    if (*p->authority)
        add_string(o, "Authority", p->authority);
}

static void add_tls(json_object *o, const RunAttempt *a)
{
    const SmtpResult *r = a->result;

    add_bool(o, "TLSOffered", r->tls_offered);
    add_bool(o, "TLSUsed", r->tls_used);
    if (!r->tls_used)
        return;
    add_string(o, "TLSVersion", r->tls.version);
    add_string(o, "TLSCipher", r->tls.cipher);
    add_string(o, "TLSGroup", r->tls.group);
    add_string(o, "Verify", tls_verify_to_string(a->verified));
    add_bool(o, "Verified", tls_verify_succeeded(a->verified));
    add_string(o, "VerifyReason", tls_verify_explain(a->verified));
    if (r->probe && r->probe->has_peer) {
        add(o, "Certificate", report_certificate(&r->probe->peer));
        add_proof(o, a);
    }
    if (r->probe && r->stage == SMTP_STAGE_DONE)
        add_bool(o, "RequireTLS", r->probe->extensions & SMTP_EXTENSION_REQUIRETLS);
}

static json_object *report_attempt_step(const RunTrace *t)
{
    const RunAttempt *a = t->attempt;
    json_object *o = step_new("Attempt");
    const SmtpProbe *p = a->result->probe;
    char greeting[600];

    if (!o)
        return NULL;
    add_string(o, "Host", host_of(t));
    add_string(o, "Peer", a->peer);
    add_string(o, "Wanted", decision_wanted(a->plan, a->want));
    if (p && p->greeting.code > 0) {
        (void) snprintf(greeting, sizeof(greeting), "%d %s", p->greeting.code, p->greeting.text);
        add_string(o, "Greeting", greeting);
    }
    if (a->result->stage > SMTP_STAGE_EHLO)
        add_tls(o, a);
    add_string(o, "STSResult", decision_sts_tested(a->plan, a->result->tls_used, a->result->sts));
    add_string(o, "Stage", smtp_stage_to_string(a->result->stage));
    add_bool(o, "Deliverable", a->delivered > 0);
    if (a->delivered == 0) {
        add_string(o, "Failure", failure_kind_to_string(a->kind));
        add_string(o, "Reason", a->reason);
    }
    return o;
}

json_object *probe_report_step(const RunTrace *t)
{
    switch (t->step) {
    case RUN_STEP_STS:
        return report_sts(t);
    case RUN_STEP_MX:
        return report_mx(t);
    case RUN_STEP_HOST:
        return report_host(t);
    case RUN_STEP_CONNECT:
        return report_connect(t);
    case RUN_STEP_FAILED:
        return report_failed(t);
    case RUN_STEP_ATTEMPT:
        return report_attempt_step(t);
    }
    return NULL;
}

json_object *probe_report_verdict(const char *host, bool deliverable, const char *text)
{
    json_object *o = step_new("Verdict");

    if (!o)
        return NULL;
    add_string(o, "Host", host);
    add_bool(o, "Deliverable", deliverable);
    add_string(o, "Text", text);
    return o;
}

void probe_describe(const RunAttempt *a, char *buffer, size_t size)
{
    const char *why = tls_verify_explain(a->verified);

    if (!a->result->tls_used)
        (void) snprintf(buffer, size, "in the clear");
    else if (a->verified == TLS_VERIFY_DANE)
        (void) snprintf(buffer, size, "over TLS, authenticated by DANE");
    else if (a->verified == TLS_VERIFY_PKIX || a->verified == TLS_VERIFY_PINNED)
        (void) snprintf(buffer, size, "over TLS, verified");
    else if (tls_verify_succeeded(a->verified))
        (void) snprintf(buffer, size, "over TLS, verified, but the answer that named the host is not secured by DNSSEC");
    else
        (void) snprintf(buffer, size, "over TLS, unverified%s%s", *why ? ": " : "", why);
}
