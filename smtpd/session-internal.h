/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of a session share: session.c (its life), session-command.c (commands), session-message.c (from DATA to the
 * reply). Nobody else includes this. */

#include "data-reader.h"
#include "log.h"
#include "policy.h"
#include "session-rules.h"
#include "session.h"
#include "stream.h"
#include "tls-required.h"
#include "tls.h"

typedef enum SessionState {
    SESSION_COMMANDS,   /* takes commands, as session-rules.h says for its stage */
    SESSION_SECURING,   /* STARTTLS was answered 220 */
    SESSION_OPENING,    /* DATA was given, a message file is waited for */
    SESSION_RECEIVING,  /* DATA was answered 354 */
    SESSION_COMMITTING, /* the message is complete, deliverd is asked to take it */
    SESSION_CLOSED,     /* over, host->closed() is due */
} SessionState;

/* From MAIL to the reply to the message. */
typedef struct Transaction {
    char *sender;
    char **recipients; /* n_recipients of them */
    size_t n_recipients, n_allocated;
    SmtpBody body;
    bool smtputf8;
    bool require_tls;
    MessageRequest *request; /* SESSION_OPENING */
    MessageSink *sink;       /* from then on */
    DataReader reader;
    TlsRequired tls_required; /* what the header says */
    char *received;       /* Received field, until it is written */
    const char *refusal;  /* what is wrong with the message; the rest of it is read and dropped */
    MessageEnvelope envelope;
} Transaction;

struct Session {
    const SessionHost *host;
    SmtpdConf *conf;
    const Listener *listener;
    const MailFlow *flow;
    void *tag;
    Stream *stream; /* NULL when the client has gone */
    PeerAddress peer;
    char *peer_text;
    char id[17];
    SessionState state;
    SessionStage stage;
    char *helo;
    bool esmtp;
    bool encrypted;
    bool draining;
    bool told_to_use_tls;     /* 530 was given */
    bool accepted_recipient;
    char *tls_failure;        /* why there is no TLS, if it was tried */
    TlsFacts tls;             /* when encrypted */
    TlsVerify verified;       /* TLS_VERIFY_NONE: the client was not asked for a certificate */
    char mistrust[160];       /* the answer to everything but QUIT, "": there is no reason for one */
    unsigned n_errors, n_idle;
    uint64_t end;             /* CLOCK_MONOTONIC of the latest end */
    Transaction transaction;
};

/* ---- session.c ---- */

/* Sends a reply line, without CRLF. */
void session_reply(Session *s, const char *text);
/* The same, and counts it as an error of the client: too many end the session. */
void session_refuse(Session *s, const char *text);
/* Sends a last reply (may be NULL) and ends. */
void session_end(Session *s, const char *text);
/* Waits at most usec (or till the session's end, if that is earlier) for what comes next. 0: waits for no client. */
void session_set_timeout(Session *s, uint64_t usec);
/* Goes back to reading commands after SESSION_OPENING or SESSION_COMMITTING. */
void session_resume(Session *s);
/* Called last by every function that the loop calls: a closed session ends here, s is gone then. */
void session_settle(Session *s);
void session_reset_transaction(Session *s);
void session_count(Session *s, const char *name, uint64_t delta);
/* Fields of every log entry of a session; fills fields[] and returns how many. */
#define SESSION_FIELDS_MAX 12
size_t session_fields(Session *s, LogField fields[static SESSION_FIELDS_MAX]);
/* "mx.example.org [192.0.2.1]", malloc'ed, or NULL. */
char *session_client_text(const Session *s);

/* ---- session-command.c ---- */

/* Runs a command that its stage and the syntax allow. Takes what it needs out of command. */
void session_run_command(Session *s, SmtpCommand *command);

/* ---- session-message.c ---- */
void session_begin_data(Session *s);
void session_receive(Session *s);
