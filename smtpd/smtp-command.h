/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One SMTP command line, taken apart (RFC 5321 section 4.1, RFC 1870, 6152, 6531, 8689). Pure: it knows nothing of sessions, and
 * whether a command may be given now is decided elsewhere. Strict: what is not in the grammar is refused, with three courtesies
 * that lose nothing: any case, spaces before the end of the line, and spaces between "FROM:" and the path. */

#include <stdint.h>

#include "cleanup.h"

typedef enum SmtpVerb {
    SMTP_HELO,
    SMTP_EHLO,
    SMTP_STARTTLS,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_RSET,
    SMTP_NOOP,
    SMTP_QUIT,
    SMTP_VRFY,
    SMTP_HELP,
    SMTP_UNKNOWN, /* none of SMTP's, or one that is not offered here */
    SMTP_FOREIGN, /* the first word of another protocol (HTTP …): somebody abuses a client of that protocol */
    _SMTP_VERB_MAX,
} SmtpVerb;

const char *smtp_verb_to_string(SmtpVerb v); /* "MAIL"; "?" for the last two */

typedef enum SmtpSyntax {
    SMTP_SYNTAX_OK,
    SMTP_SYNTAX_BAD_CHARACTER,     /* a control character, a bare CR, or a NUL */
    SMTP_SYNTAX_BAD_ARGUMENT,      /* missing, superfluous, or not of the form the verb takes */
    SMTP_SYNTAX_BAD_ADDRESS,       /* a path that is no mailbox */
    SMTP_SYNTAX_UNKNOWN_PARAMETER, /* an ESMTP parameter that was not offered */
    SMTP_SYNTAX_BAD_PARAMETER,     /* one that was, with a wrong value, or given twice */
    SMTP_SYNTAX_NO_MEMORY,
    _SMTP_SYNTAX_MAX,
} SmtpSyntax;

typedef enum SmtpBody {
    SMTP_BODY_UNSPECIFIED, /* no BODY=: 7BIT by the standard, in practice anything */
    SMTP_BODY_7BIT,
    SMTP_BODY_8BITMIME,
} SmtpBody;

typedef struct SmtpCommand {
    SmtpVerb verb;
    char *name;     /* HELO, EHLO: the client's name as given, safe to print; else NULL */
    char *local;    /* MAIL, RCPT: local part as given; "" for the null reverse-path */
    char *domain;   /* lower-case A-labels or an address literal; NULL for "<>" and for "<postmaster>" */
    char *extended; /* RCPT with a domain: "local@domain"; MAIL: the same, or "" for "<>"; else NULL */
    uint64_t size;  /* MAIL SIZE=, 0 without */
    SmtpBody body;
    bool smtputf8;
    bool require_tls; /* MAIL REQUIRETLS */
} SmtpCommand;

/* Frees what command holds and clears it. */
void smtp_command_done(SmtpCommand *command);

/* Takes apart a line of n bytes without its CRLF. ret->verb is always set; the rest only when SMTP_SYNTAX_OK is returned.
 * smtputf8: the transaction it belongs to has been begun with SMTPUTF8, so a RCPT path may have 8-bit characters (MAIL says so
 * itself). */
SmtpSyntax smtp_command_parse(const char *line, size_t n, bool smtputf8, SmtpCommand *ret);
