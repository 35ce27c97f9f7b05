/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What to do, from what the administrator, the message and the destination want and what DNS and the peer said. Pure functions:
 * every row of the delivery matrix (RFC 7672, 8461, 8689, 5321, 7505) is a case of a test. delivery-run.c asks the questions and
 * carries out the answers.
 *
 * In order: decision_mx() → for each host: decision_addresses() → TLSA of each base in turn while decision_tlsa() says
 * TLSA_NONE → decision_plan() → an attempt → decision_verdict(). */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "destination.h"
#include "message-tls.h"
#include "resolve.h"
#include "smtp-client.h"
#include "sts-policy.h"

/* Hosts and addresses beyond these are not tried. */
#define DECISION_HOSTS_MAX 32
#define DECISION_ADDRESSES_MAX 8

/* Why something did not work; what is worst over all hosts chooses the alert. */
typedef enum FailureKind {
    FAILURE_NONE,
    FAILURE_DNS,
    FAILURE_CONNECT,
    FAILURE_SMTP,
    FAILURE_TLS,  /* TLS was required and did not come about, or its peer had to be verified and was not */
    FAILURE_STS,  /* the host was not as an enforced MTA-STS policy says, or it could not be told whether there is one */
    FAILURE_DANE, /* authentication by DANE was needed and failed, or could not be looked up */
} FailureKind;
const char *failure_kind_to_string(FailureKind k);

/* ---- MX ---- */
typedef enum MxOutcome {
    MX_HOSTS,
    MX_DEFER,
    MX_FAIL,
} MxOutcome;

typedef struct MxHost {
    uint16_t preference;
    char *name;
} MxHost;

typedef struct MxPlan {
    MxOutcome outcome;
    bool secure;      /* the hosts are known securely: names of DANE-TA may be the destination's */
    bool implicit;    /* no MX records: the domain itself is the host (RFC 5321, section 5.1) */
    char *expansion;  /* the domain with its CNAMEs followed; NULL if there are none */
    MxHost *hosts;    /* in the order to try */
    size_t n_hosts;
    const char *enhanced; /* "5.1.2" for MX_FAIL, "4.4.3" for MX_DEFER */
    char *reason;     /* for people, when there are no hosts */
} MxPlan;

MxPlan *mx_plan_free(MxPlan *p);
DEFINE_CLEANUP(MxPlan, mx_plan_free);

/* seed decides the order of hosts of equal preference. */
int decision_mx(const char *domain, const ResolveAnswer *answer, uint64_t seed, MxPlan **ret);
/* Leaves only this host, if it is one of those; otherwise none, and MX_DEFER with a reason. host: normalized, or an address. */
int mx_plan_keep(MxPlan *p, const char *domain, const char *host);
/* A single host without a question to DNS: a configured route (secure a priori) or an address literal. */
int decision_mx_fixed(const char *host, bool secure, MxPlan **ret);

/* ---- addresses ---- */
typedef struct HostAddresses {
    struct sockaddr_storage addresses[DECISION_ADDRESSES_MAX]; /* IPv6 first, port filled in */
    size_t n_addresses;    /* 0: skip this host, see reason */
    const char *bases[2];  /* TLSA base domains to ask for, in this order, NULL: none; they live as long as host and answers */
    char reason[256];
    bool none; /* there certainly is no address, as opposed to: could not be looked up */
} HostAddresses;

void decision_addresses(const char *host, uint16_t port, const ResolveAnswer *a, const ResolveAnswer *aaaa, HostAddresses *ret);
/* host is an IP address (from a route or an MX record that names one). False if it is not. Such hosts have no DANE. */
bool decision_literal(const char *host, uint16_t port, HostAddresses *ret);

/* ---- TLSA ---- */
typedef enum TlsaOutcome {
    TLSA_NONE,  /* no secure records: ask the next base; after the last one: ordinary TLS */
    TLSA_FOUND, /* secure records, usable or not */
    TLSA_ERROR, /* could not be told: this host must not be used */
} TlsaOutcome;

/* "_25._tcp.mx.example.com"; malloc'ed. */
char *decision_tlsa_name(const char *base, uint16_t port);
TlsaOutcome decision_tlsa(const ResolveAnswer *answer);
/* Why it is TLSA_ERROR, in words. */
void decision_tlsa_error(const ResolveAnswer *answer, const char *base, char *buffer, size_t size);

/* ---- the plan for one host (decision-plan.c) ---- */
typedef struct HostFacts {
    const char *domain;     /* where the message is for */
    const MxPlan *mx;
    const char *host;       /* its name; NULL: only an address is known */
    const HostAddresses *addresses;
    const char *base;          /* of the last TLSA answer */
    const ResolveAnswer *tlsa; /* NULL: was not asked for */
    const StsAnswer *sts;      /* the same */
    MessageTls message_tls;
} HostFacts;

typedef struct HostPlan {
    bool skip;             /* do not connect; kind and reason say why */
    FailureKind kind;      /* without skip: what it is if TLS does not come about as wanted */
    char reason[512];
    SmtpTlsWant want;
    const char *wanted;    /* POSTERN_TLS_WANTED; static */
    bool dane_counts;      /* what DANE authenticates may be called so in the log: the way to this host was secure, too */
    const char *base;      /* SNI and reference name for DANE; HostFacts.base */
    const char *names[3];  /* reference names, for DANE those beside base; NULL-ended */
    const char *insecure_name; /* not for DANE: the host's name, from an insecure answer; NULL */
    TlsNameRule rule;      /* not for DANE; the same holds for these: */
    const char *const *pins, *const *authorities; /* as in TlsReference */
    bool pins_and_chain, qualified;
    TlsaRecord tlsa[RESOLVE_RECORDS_MAX]; /* the usable ones, pointing into the answer */
    size_t n_tlsa;
    StsMode sts;           /* of the policy that counts here; STS_MODE_NONE where there is none or DANE decides */
    const char *sts_name;  /* this host's name if it names it; HostFacts.host */
    bool require_tls;      /* the host has to offer REQUIRETLS, and is told it */
} HostPlan;

/* Whether TLSA records are to be looked up for this host at all. */
bool decision_asks_tlsa(const DestinationPolicy *policy, MessageTls message, const MxPlan *mx);
/* The same for an MTA-STS policy of a destination that is no address literal. */
bool decision_asks_sts(const DestinationPolicy *policy, MessageTls message);
void decision_plan(const DestinationPolicy *policy, const HostFacts *facts, HostPlan *ret);

/* POSTERN_TLS_WANTED of an attempt: the plan's, or "none" after a fallback to the clear. */
const char *decision_wanted(const HostPlan *plan, SmtpTlsWant want);
/* What the worker saw, with what was known about the way to the host: POSTERN_TLS_VERIFY. */
TlsVerify decision_verified(const HostPlan *plan, TlsVerify seen);
/* "dane", "verified", "encrypted", "none": POSTERN_TLS_RESULT. verified: as decision_verified() says. */
const char *decision_got(bool tls_used, TlsVerify verified);
/* POSTERN_STS_RESULT: what a policy in testing mode would have come to, "passed" or why not; static. NULL: there is none.
 * seen: of plan->sts_name, SmtpResult.sts. */
const char *decision_sts_tested(const HostPlan *plan, bool tls_used, TlsVerify seen);

/* ---- after an attempt ---- */
typedef enum NextStep {
    NEXT_END,     /* every recipient has its answer from this host */
    NEXT_CLEAR,   /* the same address again, without TLS */
    NEXT_ADDRESS, /* the next address of this host */
    NEXT_HOST,
    NEXT_DEFER,   /* no other host: it could deliver twice */
} NextStep;

typedef struct Verdict {
    NextStep next;
    FailureKind kind;
} Verdict;

/* want is what this attempt was made with (not plan->want after NEXT_CLEAR). pending: a recipient without a final answer is
 * left. */
Verdict decision_verdict(const HostPlan *plan, SmtpTlsWant want, PlaintextFallback fallback, SmtpStage stage, int code,
        bool pending);

/* REQUIRETLS (RFC 8689, section 4.2.1): the enhanced code with which a message goes back to its sender that this host cannot have
 * for what it asks for, and could not tomorrow. NULL: it does not ask, or the host failed for a reason that may pass. When
 * plan->skip, what was seen does not count. */
const char *decision_unmet(const HostPlan *plan, SmtpStage stage, int code);

/* What a recipient's reply and the deciding reply of the attempt mean for it. */
typedef enum RecipientVerdict {
    VERDICT_PENDING,
    VERDICT_DELIVERED,
    VERDICT_FAILED,
} RecipientVerdict;
RecipientVerdict decision_recipient(SmtpStage stage, int stage_code, int recipient_code);

/* The failed attempt in words that an administrator understands, for log, DSN and alert. */
char *decision_describe(SmtpStage stage, const SmtpReply *reply, const char *tls_reason);
