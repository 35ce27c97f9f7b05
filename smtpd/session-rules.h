/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which command may be given when: the SMTP session as data (RFC 5321 section 4.1.4, RFC 3207 section 4). Pure. */

#include "policy.h"
#include "smtp-command.h"

/* States in which the session takes commands. */
typedef enum SessionStage {
    STAGE_FRESH,     /* connected, or TLS has just begun: nothing is known of the client */
    STAGE_READY,     /* HELO or EHLO was given; no transaction */
    STAGE_SENDER,    /* MAIL was accepted */
    STAGE_RECIPIENT, /* and at least one RCPT */
    _STAGE_MAX,
} SessionStage;

/* NULL if verb may be given in stage under these circumstances, else the reply that refuses it (without CRLF, static storage). */
const char *session_rule(SessionStage stage, SmtpVerb verb, MailFlowTls tls, bool encrypted);

/* The reply to a command that is allowed but not well-formed. NULL for SMTP_SYNTAX_OK. */
const char *session_syntax_reply(SmtpVerb verb, SmtpSyntax syntax);

/* Whether the command is one a client in good order does not repeat without end: they are counted, mail resets the count. */
bool session_verb_is_idle(SmtpVerb verb);
