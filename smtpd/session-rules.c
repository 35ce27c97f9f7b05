/* SPDX-License-Identifier: Apache-2.0 */

/* The order of an SMTP session as a table of stages and commands. Nothing else decides about order; there is no state here. */

#include "session-rules.h"

typedef enum Rule {
    ALLOW,
    NO_HELO,      /* HELO or EHLO first */
    NO_MAIL,      /* MAIL first */
    NO_RCPT,      /* RCPT first */
    NESTED_MAIL,  /* a transaction is under way */
    UNKNOWN,
    FOREIGN,
    _RULE_MAX,
} Rule;

static const char *const rule_replies[_RULE_MAX] = {
    [NO_HELO] = "503 5.5.1 Say HELO or EHLO first",
    [NO_MAIL] = "503 5.5.1 MAIL first",
    [NO_RCPT] = "503 5.5.1 RCPT first: no recipient was accepted",
    [NESTED_MAIL] = "503 5.5.1 A sender was given already",
    [UNKNOWN] = "500 5.5.1 Command not recognized",
    [FOREIGN] = "554 5.5.1 This is SMTP",
};

static const Rule rules[_STAGE_MAX][_SMTP_VERB_MAX] = {
    [STAGE_FRESH] = {
        [SMTP_STARTTLS] = NO_HELO,
        [SMTP_MAIL] = NO_HELO,
        [SMTP_RCPT] = NO_HELO,
        [SMTP_DATA] = NO_HELO,
        [SMTP_UNKNOWN] = UNKNOWN,
        [SMTP_FOREIGN] = FOREIGN,
    },
    [STAGE_READY] = {
        [SMTP_RCPT] = NO_MAIL,
        [SMTP_DATA] = NO_MAIL,
        [SMTP_UNKNOWN] = UNKNOWN,
        [SMTP_FOREIGN] = FOREIGN,
    },
    [STAGE_SENDER] = {
        [SMTP_STARTTLS] = NESTED_MAIL,
        [SMTP_MAIL] = NESTED_MAIL,
        [SMTP_DATA] = NO_RCPT,
        [SMTP_UNKNOWN] = UNKNOWN,
        [SMTP_FOREIGN] = FOREIGN,
    },
    [STAGE_RECIPIENT] = {
        [SMTP_STARTTLS] = NESTED_MAIL,
        [SMTP_MAIL] = NESTED_MAIL,
        [SMTP_UNKNOWN] = UNKNOWN,
        [SMTP_FOREIGN] = FOREIGN,
    },
};

/* RFC 3207 section 4 names them; all others get 530 where TLS is required, HELO too. */
static const bool before_tls[_SMTP_VERB_MAX] = {
    [SMTP_EHLO] = true,
    [SMTP_STARTTLS] = true,
    [SMTP_NOOP] = true,
    [SMTP_QUIT] = true,
    [SMTP_FOREIGN] = true, /* is refused anyway */
};

static const bool idle_verbs[_SMTP_VERB_MAX] = {
    [SMTP_HELO] = true,
    [SMTP_EHLO] = true,
    [SMTP_RSET] = true,
    [SMTP_NOOP] = true,
    [SMTP_VRFY] = true,
    [SMTP_HELP] = true,
    [SMTP_MAIL] = true,
};

const char *session_rule(SessionStage stage, SmtpVerb verb, MailFlowTls tls, bool encrypted)
{
    if (tls == MAIL_FLOW_TLS_REQUIRED && !encrypted && !before_tls[verb])
        return "530 5.7.0 Must issue a STARTTLS command first";
    if (verb == SMTP_STARTTLS && encrypted)
        return "503 5.5.1 TLS is active already";
    if (verb == SMTP_STARTTLS && tls == MAIL_FLOW_TLS_NO)
        return "502 5.5.1 STARTTLS is not offered";
    return rule_replies[rules[stage][verb]];
}

const char *session_syntax_reply(SmtpVerb verb, SmtpSyntax syntax)
{
    static const char *const replies[_SMTP_SYNTAX_MAX] = {
        [SMTP_SYNTAX_BAD_CHARACTER] = "500 5.5.2 Control character in command",
        [SMTP_SYNTAX_BAD_ARGUMENT] = "501 5.5.4 Syntax error in argument",
        [SMTP_SYNTAX_BAD_ADDRESS] = "501 5.1.3 Not a mail address",
        [SMTP_SYNTAX_UNKNOWN_PARAMETER] = "555 5.5.4 Parameter not recognized",
        [SMTP_SYNTAX_BAD_PARAMETER] = "501 5.5.4 Syntax error in parameter",
        [SMTP_SYNTAX_NO_MEMORY] = "451 4.3.0 Out of memory, try again later",
    };

    if (verb == SMTP_MAIL && syntax == SMTP_SYNTAX_BAD_ADDRESS)
        return "501 5.1.7 Not a mail address";
    return replies[syntax];
}

bool session_verb_is_idle(SmtpVerb verb)
{
    return idle_verbs[verb];
}
