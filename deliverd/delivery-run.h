/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One walk through the hosts of a destination: MX, addresses, TLSA, plan, connection, verdict, next host or end. The state
 * machine between the pure decisions and the world; what it asks of the world it asks through RunOps, so that tests can be the
 * world.
 *
 * A probe is the same walk with an imaginary message: connections end where MAIL would follow, and behind a host that would take
 * it the others are looked at, too. Its one recipient ends as a real one would. */

#include "decision.h"

typedef struct DeliveryRun DeliveryRun;

typedef struct RunRecipient {
    const char *address;      /* the caller's */
    RecipientVerdict verdict;
    int code;     /* of the reply that decided; 0: it was no reply */
    char *text;   /* the reply with its code, or our reason; NULL while nothing was said */
    char *remote; /* the host that said it */
    FailureKind kind; /* what it waited for until it was given up; FAILURE_NONE: it did not wait */
} RunRecipient;

/* A connection that came to its end, for the log. Valid during the call. */
typedef struct RunAttempt {
    const char *peer; /* "mx.example.com[192.0.2.1]:25" */
    const HostPlan *plan;
    SmtpTlsWant want; /* differs from the plan's after a fallback to the clear */
    const SmtpResult *result;
    TlsVerify verified;
    FailureKind kind;
    const char *reason;       /* "" when nothing failed */
    size_t delivered;         /* recipients this host took the message for … */
    const char *first;        /* … and one of them, or NULL */
    bool last;                /* nothing is tried after it in this run */
    bool told;                /* and the run's end has the same reason */
    bool falls_back;          /* TLS failed, and the same address is tried in the clear */
} RunAttempt;

typedef struct RunResult {
    RunRecipient *recipients;
    size_t n_recipients;
    FailureKind kind;    /* why recipients are pending; FAILURE_DANE or FAILURE_STS only if it failed with every host */
    const char *reason;  /* in words; "" when none is pending */
    const char *peer;    /* of the last attempt; NULL when there was none */
    const char *wanted;  /* of it; static */
    TlsVerify verified;  /* and what its verification came to */
    bool soon;           /* it was not the destination's fault: try again in a moment */
} RunResult;

/* A step of the walk, for who wants to see all of it. Valid during the call, as is all that it points to. */
typedef enum RunStep {
    RUN_STEP_STS,     /* sts */
    RUN_STEP_MX,      /* mx, mx_answer; whatever its outcome */
    RUN_STEP_HOST,    /* what was looked up, and the plan */
    RUN_STEP_CONNECT, /* peer: a connection is being made */
    RUN_STEP_FAILED,  /* peer: it could not be; reason says why */
    RUN_STEP_ATTEMPT, /* attempt: it came to its end */
} RunStep;

typedef struct RunTrace {
    RunStep step;
    const MxPlan *mx;                     /* NULL while not known */
    const ResolveAnswer *mx_answer;       /* NULL: a route or an address literal */
    const StsAnswer *sts;                 /* NULL: not asked for, or not known yet */
    size_t host;                          /* index in mx */
    bool named;                           /* it has a name */
    const HostAddresses *addresses;
    const ResolveAnswer *a, *aaaa, *tlsa; /* NULL: not asked for */
    const char *base;                     /* of tlsa */
    const HostPlan *plan;
    SmtpTlsWant want;                     /* of the connection */
    const char *peer;
    const char *reason;
    const RunAttempt *attempt;
} RunTrace;

typedef struct AttemptCall AttemptCall; /* whatever ops->attempt makes of it */
/* result NULL: the worker is gone, reason says so. */
typedef void (*RunAttemptDone)(const SmtpResult *result, const char *reason, void *userdata);

typedef struct RunOps {
    /* Ends with done, from the event loop. *ret cancels. */
    int (*resolve)(ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *done_userdata, void *userdata);
    /* Connects and delivers; the same rules. request and what it points to stay until done; its tls and message fields are filled
     * in here. Negative errno: not even the connecting could be started. -EAGAIN: there is no worker. */
    int (*attempt)(AttemptCall **ret, const struct sockaddr_storage *address, SmtpRequest *request, RunAttemptDone done,
            void *done_userdata, void *userdata);
    void (*cancel)(AttemptCall *call, void *userdata);
    /* The MTA-STS policy of a domain; ends with done, from the event loop, or is cancelled. NULL: there is none for any. */
    int (*sts)(StsQuery **ret, const char *domain, StsDone done, void *done_userdata, void *userdata);
    void (*sts_cancel)(StsQuery *q, void *userdata);
    void (*attempted)(const RunAttempt *attempt, void *userdata);
    /* A host that is not used, as the plan says, and whose reason is not the one of the run's end. NULL: nobody asks. */
    void (*skipped)(const char *host, const HostPlan *plan, void *userdata);
    void (*traced)(const RunTrace *trace, void *userdata); /* NULL: nobody asks */
    /* The end. The run may be freed in it. */
    void (*done)(const RunResult *result, void *userdata);
} RunOps;

typedef struct RunRequest {
    const char *domain; /* or an address literal "[192.0.2.1]" */
    DestinationPolicy policy;
    MessageTls message_tls;
    bool skip_loopback;
    const char *helo, *sender;
    bool body_8bit, smtputf8;
    const char *const *recipients;
    size_t n_recipients;
    bool probe;            /* with one recipient, who gets nothing */
    const char *only_host; /* normalized; other hosts are passed over; NULL: all are tried */
    uint64_t seed; /* for the order of equal hosts */
} RunRequest; /* strings and lists must stay valid until the end, policy.route is copied */

int delivery_run_new(DeliveryRun **ret, const RunRequest *request, const RunOps *ops, void *userdata);
/* It may end, and r be gone, before this returns. */
void delivery_run_start(DeliveryRun *r);
DeliveryRun *delivery_run_free(DeliveryRun *r); /* cancels what is under way */
DEFINE_CLEANUP(DeliveryRun, delivery_run_free);
