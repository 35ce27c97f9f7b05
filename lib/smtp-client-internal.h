/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What smtp-client.c (the dialogue) and smtp-client-request.c (what it was given) share. */

#include "smtp-body.h"
#include "smtp-client.h"
#include "stream.h"

/* RCPT commands that are sent ahead of their replies, in bytes. */
#define SMTP_CLIENT_AHEAD_MAX (16 * 1024)

#define SMTP_REPLY_NONE 0
#define SMTP_REPLY_2XX 2
#define SMTP_REPLY_CLOSING 421

typedef enum StepName {
    STEP_CONNECT,
    STEP_GREETING,
    STEP_EHLO,
    STEP_HELO,
    STEP_STARTTLS,
    STEP_HANDSHAKE,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_BODY,
    STEP_FINAL,
} StepName;

typedef struct Step {
    SmtpStage stage; /* as which its failure is reported */
    uint64_t timeout_usec;
    int expect; /* a code, SMTP_REPLY_2XX, or SMTP_REPLY_NONE: no reply is due */
    int (*send)(SmtpClient *c);
    void (*accepted)(SmtpClient *c, const SmtpReply *reply);
    void (*refused)(SmtpClient *c, const SmtpReply *reply); /* NULL: the attempt ends with this reply */
} Step;

struct SmtpClient {
    sd_event *event;
    Stream *stream;
    SmtpRequest request; /* strings and records are copies */
    uint8_t *tlsa_data;
    uint64_t deadline; /* CLOCK_MONOTONIC of everything before the final dot, 0: none */
    SmtpClientDone done;
    void *userdata;

    StepName step;
    SmtpReplyParser parser;
    SmtpEhlo ehlo;
    SmtpBody body;
    SmtpProbe *probe; /* NULL: it is none */
    SmtpReply *replies; /* of the first n_answered recipients */
    size_t n_sent, n_answered, n_accepted;

    bool ended; /* result stands, report it */
    bool quit;  /* politely */
    SmtpResult result;
};

/* -EINVAL for strings that would break the protocol. */
int smtp_client_copy_request(SmtpClient *c, const SmtpRequest *request);
void smtp_client_free_request(SmtpClient *c);

/* The deadline of a step, cut to that of the attempt. */
void smtp_client_set_timeout(SmtpClient *c, uint64_t usec);
