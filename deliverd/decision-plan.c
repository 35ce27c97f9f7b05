/* SPDX-License-Identifier: Apache-2.0 */

/* The plan for one host, from what the administrator wants, TLSA records, an MTA-STS policy and the message itself. Each of them
 * can only raise what the one before it wants; that one of them could not be looked up never lowers it. No clock, no network, no
 * log. */

#include "decision.h"

#include <stdarg.h>

/* What each level wants by itself. */
static const struct {
    SmtpTlsWant want;
    TlsNameRule rule;
    const char *wanted;
} levels[] = {
    [TLS_LEVEL_NO] = {SMTP_TLS_NO, TLS_NAMES_ANY, "none"},
    [TLS_LEVEL_PREFERRED] = {SMTP_TLS_IF_OFFERED, TLS_NAMES_ANY, "may"},
    [TLS_LEVEL_PREFERRED_VERIFY] = {SMTP_TLS_IF_OFFERED, TLS_NAMES_ANY, "may-verify"},
    [TLS_LEVEL_REQUIRED] = {SMTP_TLS_REQUIRED, TLS_NAMES_ANY, "required"},
    [TLS_LEVEL_REQUIRED_VERIFY] = {SMTP_TLS_VERIFY, TLS_NAMES_ANY, "required-verify"},
    [TLS_LEVEL_REQUIRED_VERIFY_HOSTED] = {SMTP_TLS_VERIFY, TLS_NAMES_HOSTED, "required-verify-hosted"},
};

/* RFC 8689, section 4.2.2: what the destination says of itself does not hold for the message. What the administrator says does,
 * and where he wants the peer verified TLSA records and policies are asked for all the same: they may help it, not hinder. */
static bool waived(const DestinationPolicy *policy, MessageTls message)
{
    return message == MESSAGE_TLS_OPTIONAL && levels[policy->tls].want < SMTP_TLS_VERIFY;
}

static DaneLevel dane_level(const DestinationPolicy *policy, MessageTls message)
{
    return policy->dane == DANE_OPPORTUNISTIC && waived(policy, message) ? DANE_NONE : policy->dane;
}

bool decision_asks_tlsa(const DestinationPolicy *policy, MessageTls message, const MxPlan *mx)
{
    const DaneLevel level = dane_level(policy, message);

    /* An insecure MX with Opportunistic: asked for and enforced all the same; it cannot hurt, and helps against a passive eye. */
    return level == DANE_OPPORTUNISTIC || (level == DANE_MANDATORY && mx->secure);
}

bool decision_asks_sts(const DestinationPolicy *policy, MessageTls message)
{
    return policy->mta_sts && policy->tls != TLS_LEVEL_NO && !waived(policy, message);
}

/* The policy in force; NULL: none. */
static const StsPolicy *sts_policy(const DestinationPolicy *policy, const HostFacts *facts)
{
    const StsPolicy *sts = facts->sts ? facts->sts->policy : NULL;

    return sts && sts->mode != STS_MODE_NONE && decision_asks_sts(policy, facts->message_tls) ? sts : NULL;
}

static bool sts_names_host(const DestinationPolicy *policy, const HostFacts *facts)
{
    const StsPolicy *sts = sts_policy(policy, facts);

    return sts && facts->host && sts_policy_names(sts, facts->host);
}

/* Nobody but the destination, or whoever routed it, can have chosen this host: DNSSEC says so, or its policy, which came by
 * HTTPS. */
static bool host_is_known(const DestinationPolicy *policy, const HostFacts *facts)
{
    return facts->mx->secure || sts_names_host(policy, facts);
}

static void plan_skip(HostPlan *p, FailureKind kind, const char *format, ...) _printf_(3, 4);

static void plan_skip(HostPlan *p, FailureKind kind, const char *format, ...)
{
    va_list ap;

    p->skip = true;
    p->kind = kind;
    if (kind == FAILURE_DANE) {
        p->want = SMTP_TLS_DANE;
        p->wanted = "dane";
    } else if (kind == FAILURE_STS) {
        p->want = SMTP_TLS_VERIFY;
        p->wanted = "sts";
    }
    va_start(ap, format);
    (void) vsnprintf(p->reason, sizeof(p->reason), format, ap);
    va_end(ap);
}

static void add_name(HostPlan *p, const char *name)
{
    size_t n = 0;

    for (; p->names[n]; n++)
        if (streq(p->names[n], name))
            return;
    p->names[n] = name;
}

/* The one name that counts, and only where RFC 9525 looks for names. What the administrator wants of certificates beside holds
 * as well where his level verifies, and else not at all. */
static void only_name(const DestinationPolicy *policy, HostPlan *p, const char *name)
{
    p->pins_and_chain = true;
    if (levels[policy->tls].want < SMTP_TLS_VERIFY) {
        p->pins = p->authorities = NULL;
        p->qualified = false;
    }
    p->names[0] = name;
    p->names[1] = p->insecure_name = NULL;
    p->rule = TLS_NAMES_DNS;
}

/* Who may be at the other end where authorities say who it is: the destination itself, or the host that it is routed to or
 * names securely. What only an insecure answer names may be anybody's choice. */
static void plan_level(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *p)
{
    p->want = levels[policy->tls].want;
    p->rule = levels[policy->tls].rule;
    p->wanted = levels[policy->tls].wanted;
    p->pins = policy->pins;
    p->authorities = policy->authorities;
    p->qualified = policy->require_fqdn;
    /* An address literal has no name. */
    if (*facts->domain != '[')
        add_name(p, facts->domain);
    if (!facts->host)
        return;
    if (host_is_known(policy, facts))
        add_name(p, facts->host);
    else if (policy->verify_insecure_mx && !streq(facts->host, facts->domain))
        p->insecure_name = facts->host;
}

/* Secure TLSA records are there: the usable ones decide. */
static void plan_dane(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *p)
{
    for (size_t i = 0; i < facts->tlsa->n_records && p->n_tlsa < ELEMENTSOF(p->tlsa); i++) {
        TlsaRecord record;

        if (resolve_parse_tlsa(facts->tlsa->records + i, &record) >= 0 && tlsa_usable(&record))
            p->tlsa[p->n_tlsa++] = record;
    }
    if (p->n_tlsa == 0) {
        /* RFC 7672, section 2.2: the host promises TLS but nothing to authenticate it by. */
        if (policy->dane == DANE_MANDATORY)
            plan_skip(p, FAILURE_DANE, "none of the TLSA records of %s is usable, and DANE is mandatory", facts->base);
        else if (p->want < SMTP_TLS_REQUIRED) {
            p->want = SMTP_TLS_REQUIRED;
            p->wanted = "required";
        }
        return;
    }
    p->want = SMTP_TLS_DANE;
    p->wanted = "dane";
    p->dane_counts = host_is_known(policy, facts);
    p->base = facts->base;
    p->names[0] = p->names[1] = p->insecure_name = NULL;
    if (facts->mx->secure) {
        if (!streq(facts->domain, facts->base))
            add_name(p, facts->domain);
        if (facts->mx->expansion && !streq(facts->mx->expansion, facts->base))
            add_name(p, facts->mx->expansion);
    }
}

/* Where the peer has to be verified and the name of a host from an insecure answer proves nothing, TLSA records of such a host
 * prove nothing either. */
static bool dane_is_no_proof(const DestinationPolicy *policy, const HostFacts *facts)
{
    return levels[policy->tls].want == SMTP_TLS_VERIFY && !policy->verify_insecure_mx && !host_is_known(policy, facts);
}

static void plan_tlsa(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *p)
{
    char why[400];

    if (policy->dane == DANE_MANDATORY && !facts->mx->secure) {
        plan_skip(p, FAILURE_DANE, "DANE is mandatory and the MX records of %s are not secured by DNSSEC", facts->domain);
        return;
    }
    switch (facts->tlsa ? decision_tlsa(facts->tlsa) : TLSA_NONE) {
    case TLSA_FOUND:
        if (!dane_is_no_proof(policy, facts))
            plan_dane(policy, facts, p);
        return;
    case TLSA_ERROR:
        if (facts->message_tls == MESSAGE_TLS_OPTIONAL && policy->dane != DANE_MANDATORY)
            return;
        decision_tlsa_error(facts->tlsa, facts->base, why, sizeof(why));
        plan_skip(p, FAILURE_DANE, "%s", why);
        return;
    case TLSA_NONE:
        if (policy->dane == DANE_MANDATORY)
            plan_skip(p, FAILURE_DANE, "DANE is mandatory and the host has no secure TLSA records");
        return;
    }
}

/* RFC 8461, section 5. */
static void plan_sts(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *p)
{
    const StsPolicy *sts = sts_policy(policy, facts);

    if (facts->sts && facts->sts->later) {
        plan_skip(p, FAILURE_STS, "%s", facts->sts->reason ?: "whether there is an MTA-STS policy could not be told");
        return;
    }
    if (!sts)
        return;
    p->sts = sts->mode;
    p->sts_name = sts_names_host(policy, facts) ? facts->host : NULL;
    if (sts->mode == STS_MODE_TESTING)
        return;
    if (!p->sts_name) {
        plan_skip(p, FAILURE_STS, "the MTA-STS policy does not name this host");
        return;
    }
    p->want = SMTP_TLS_VERIFY;
    p->wanted = "sts";
    only_name(policy, p, facts->host);
}

/* RFC 8689, section 4.2.1: TLS, with a peer that is verified by DANE or by an authority, and whose name is known for sure. */
static void plan_requiretls(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *p)
{
    p->require_tls = true;
    if (policy->tls == TLS_LEVEL_NO)
        plan_skip(p, FAILURE_TLS, "the message must not go without TLS (REQUIRETLS), and TLS=No holds for the destination");
    else if (!facts->host)
        plan_skip(p, FAILURE_TLS,
                "the message may go only to hosts that can be verified (REQUIRETLS), and an address has no name");
    else if (!host_is_known(policy, facts) && facts->sts && facts->sts->unfetched) {
        /* Nothing that could not be tomorrow. */
        p->require_tls = false;
        plan_skip(p, FAILURE_STS,
                "the message may go only to hosts that are known for sure (REQUIRETLS), and the MTA-STS policy of %s, which may "
                "confirm this one, could not be fetched",
                facts->domain);
    } else if (!host_is_known(policy, facts))
        plan_skip(p, FAILURE_TLS,
                "the message may go only to hosts that are known for sure (REQUIRETLS), and the MX records of %s are neither secured "
                "by DNSSEC nor confirmed by an MTA-STS policy",
                facts->domain);
    else if (p->want < SMTP_TLS_VERIFY) {
        p->want = SMTP_TLS_VERIFY;
        p->wanted = "requiretls";
        only_name(policy, p, facts->host);
    }
}

/* What it is when TLS does not come about as wanted. */
static FailureKind failure_of(const HostPlan *p)
{
    if (p->want == SMTP_TLS_DANE)
        return FAILURE_DANE;
    if (p->sts == STS_MODE_ENFORCE)
        return FAILURE_STS;
    return p->want >= SMTP_TLS_REQUIRED ? FAILURE_TLS : FAILURE_SMTP;
}

void decision_plan(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *ret)
{
    *ret = (HostPlan) {};
    plan_level(policy, facts, ret);
    if (facts->addresses->n_addresses == 0) {
        plan_skip(ret, FAILURE_DNS, "%s", facts->addresses->reason);
        return;
    }
    if (dane_level(policy, facts->message_tls) != DANE_NONE)
        plan_tlsa(policy, facts, ret);
    if (!ret->skip && ret->want != SMTP_TLS_DANE && facts->message_tls != MESSAGE_TLS_OPTIONAL &&
            decision_asks_sts(policy, facts->message_tls))
        plan_sts(policy, facts, ret);
    if (!ret->skip && facts->message_tls == MESSAGE_TLS_REQUIRED)
        plan_requiretls(policy, facts, ret);
    if (!ret->skip)
        ret->kind = failure_of(ret);
}

const char *decision_wanted(const HostPlan *plan, SmtpTlsWant want)
{
    return want == SMTP_TLS_NO ? "none" : plan->wanted;
}

TlsVerify decision_verified(const HostPlan *plan, TlsVerify seen)
{
    return seen == TLS_VERIFY_DANE && !plan->dane_counts ? TLS_VERIFY_DANE_MX_INSECURE : seen;
}

const char *decision_got(bool tls_used, TlsVerify verified)
{
    if (!tls_used)
        return "none";
    switch (verified) {
    case TLS_VERIFY_DANE:
        return "dane";
    case TLS_VERIFY_PKIX:
    case TLS_VERIFY_PINNED:
        return "verified";
    default:
        return "encrypted";
    }
}

const char *decision_sts_tested(const HostPlan *plan, bool tls_used, TlsVerify seen)
{
    if (plan->sts != STS_MODE_TESTING)
        return NULL;
    if (!plan->sts_name)
        return "host-not-named";
    if (!tls_used)
        return "no-tls";
    return tls_verify_succeeded(seen) ? "passed" : tls_verify_to_string(seen);
}
