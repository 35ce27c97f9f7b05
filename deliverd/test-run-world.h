/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A world for walks of a DeliveryRun to be tested in: a table says what names hold and how connections end, and a trace says what
 * was asked and tried. */

#include "delivery-run.h"

typedef struct Name {
    const char *name; /* "mx:example.com", "a:mx.example.com", "aaaa:…", "tlsa:_25._tcp.…"; what is not listed is secure NODATA */
    DnssecState state;
    uint16_t rcode;
    const char *data; /* as in test-decision.c, one record: "10 mx.example.com", an address, "tlsa" */
} Name;

typedef struct End { /* how a connection ends, by address and TLS */
    const char *address;
    SmtpTlsWant want;
    SmtpStage stage;
    int code;          /* of the deciding reply */
    int recipients[3]; /* of each recipient; 0: none */
} End;

typedef struct World {
    const Name *names;
    const End *ends;
    const char *sender; /* NULL: one that is not empty */
    char trace[2000];

    /* What waits to be told; a run asks for at most two things at a time. */
    struct {
        ResolveDone done;
        void *userdata;
        ResolveAnswer *answer;
    } questions[2];
    size_t n_questions;
    const char *sts;      /* the policy's text, "later", "ours" (later, by our own fault), "unfetched", or NULL: none */
    StsDone sts_done;
    void *sts_userdata;
    bool sts_first;       /* it is known before DNS answers */
    RunAttemptDone attempt_done;
    void *attempt_userdata;
    const End *end;
    size_t n_attempted;

    bool probe; /* as the run is asked for */
    const char *only_host;
    bool finished, soon;
    RecipientVerdict verdicts[3];
    FailureKind kind;
    char reason[600], text[600];
} World;

/* Adds to the trace. */
void world_trace(World *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

extern const RunOps world_ops, world_ops_with_sts;

/* A whole walk, from start to end, for the first n_recipients of three. */
void world_walk(World *w, const RunOps *ops, const char *domain, const DestinationPolicy *policy, MessageTls message_tls,
        size_t n_recipients);
