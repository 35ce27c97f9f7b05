/* SPDX-License-Identifier: Apache-2.0 */

/* The parser of SMTP command lines. Its input comes from anybody: it reads no byte beyond n, recurses nowhere, and allocates no
 * more than a few copies of the line. It must never decide anything about the session. */

#include "smtp-command.h"

#include <ctype.h>
#include <stdint.h>

#include "address.h"

#define NAME_MAX_SIZE 255 /* RFC 5321 section 4.5.3.1.2 */

/* A piece of the line that is still to be read. */
typedef struct Span {
    const char *p;
    size_t n;
} Span;

typedef enum Argument {
    ARGUMENT_NONE,     /* the verb stands alone */
    ARGUMENT_OPTIONAL, /* any text, ignored */
    ARGUMENT_REQUIRED, /* any text, ignored, but there must be some */
    ARGUMENT_NAME,
    ARGUMENT_REVERSE_PATH,
    ARGUMENT_FORWARD_PATH,
} Argument;

static const struct {
    const char *name;
    SmtpVerb verb;
    Argument argument;
} verbs[] = {
    {"HELO", SMTP_HELO, ARGUMENT_NAME},
    {"EHLO", SMTP_EHLO, ARGUMENT_NAME},
    {"STARTTLS", SMTP_STARTTLS, ARGUMENT_NONE},
    {"MAIL", SMTP_MAIL, ARGUMENT_REVERSE_PATH},
    {"RCPT", SMTP_RCPT, ARGUMENT_FORWARD_PATH},
    {"DATA", SMTP_DATA, ARGUMENT_NONE},
    {"RSET", SMTP_RSET, ARGUMENT_NONE},
    {"NOOP", SMTP_NOOP, ARGUMENT_OPTIONAL},
    {"QUIT", SMTP_QUIT, ARGUMENT_NONE},
    {"VRFY", SMTP_VRFY, ARGUMENT_REQUIRED},
    {"HELP", SMTP_HELP, ARGUMENT_OPTIONAL},
    {"GET", SMTP_FOREIGN, ARGUMENT_OPTIONAL},
    {"POST", SMTP_FOREIGN, ARGUMENT_OPTIONAL},
    {"PUT", SMTP_FOREIGN, ARGUMENT_OPTIONAL},
    {"CONNECT", SMTP_FOREIGN, ARGUMENT_OPTIONAL},
    {"OPTIONS", SMTP_FOREIGN, ARGUMENT_OPTIONAL},
};

const char *smtp_verb_to_string(SmtpVerb v)
{
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        if (verbs[i].verb == v && v != SMTP_FOREIGN)
            return verbs[i].name;
    return "?";
}

void smtp_command_done(SmtpCommand *command)
{
    free(command->name);
    free(command->local);
    free(command->domain);
    free(command->extended);
    *command = (SmtpCommand) {.verb = command->verb};
}

static void skip(Span *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static void skip_spaces(Span *s)
{
    while (s->n > 0 && *s->p == ' ')
        skip(s, 1);
}

static bool equals(Span s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* Takes word off the front, whatever its case. */
static bool take_word(Span *s, const char *word)
{
    size_t n = strlen(word);

    if (s->n < n || strncasecmp(s->p, word, n) != 0)
        return false;
    skip(s, n);
    return true;
}

/* Takes what stands before the next space (or the end) off the front. */
static Span take_until_space(Span *s)
{
    const char *space = memchr(s->p, ' ', s->n);
    Span taken = {s->p, space ? (size_t) (space - s->p) : s->n};

    skip(s, taken.n);
    return taken;
}

/* Anything printable, and 8-bit bytes: whether those are allowed is the address' matter. */
static bool characters_ok(Span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char) s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

/* A domain or an address literal, without looking too close: host names with underscores are common, and the name is worth
 * nothing anyway. Only characters that mean nothing in a Received field or a log line. */
static SmtpSyntax parse_name(Span s, SmtpCommand *command)
{
    if (s.n == 0 || s.n > NAME_MAX_SIZE)
        return SMTP_SYNTAX_BAD_ARGUMENT;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char) s.p[i]) && !memchr("-._:[]", s.p[i], 6))
            return SMTP_SYNTAX_BAD_ARGUMENT;

    command->name = strndup(s.p, s.n);
    return command->name ? SMTP_SYNTAX_OK : SMTP_SYNTAX_NO_MEMORY;
}

/* Takes "<…>" off the front and gives what is inside. A '>' in a quoted local part does not end it. */
static bool take_path(Span *s, Span *ret)
{
    bool quoted = false;

    if (s->n == 0 || *s->p != '<')
        return false;
    for (size_t i = 1; i < s->n; i++) {
        char c = s->p[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == '>' && !quoted) {
            *ret = (Span) {s->p + 1, i - 1};
            skip(s, i + 1);
            return true;
        }
    }
    return false;
}

/* Source routes ("@a,@b:user@c") are accepted and ignored, as RFC 5321 appendix C wants. */
static Span strip_source_route(Span path)
{
    const char *colon = path.n > 0 && *path.p == '@' ? memchr(path.p, ':', path.n) : NULL;

    if (colon)
        skip(&path, (size_t) (colon - path.p) + 1);
    return path;
}

static SmtpSyntax parse_mailbox(Span path, SmtpCommand *command)
{
    int r;

    path = strip_source_route(path);
    r = address_parse(path.p, path.n, command->smtputf8, &command->local, &command->domain);
    if (r == -ENOMEM)
        return SMTP_SYNTAX_NO_MEMORY;
    if (r < 0)
        return SMTP_SYNTAX_BAD_ADDRESS;
    return asprintf(&command->extended, "%s@%s", command->local, command->domain) < 0 ? SMTP_SYNTAX_NO_MEMORY : SMTP_SYNTAX_OK;
}

static SmtpSyntax parse_null_path(SmtpCommand *command)
{
    command->local = strdup("");
    command->extended = strdup("");
    return command->local && command->extended ? SMTP_SYNTAX_OK : SMTP_SYNTAX_NO_MEMORY;
}

static SmtpSyntax parse_forward_path(Span path, SmtpCommand *command)
{
    if (!equals(path, "postmaster"))
        return parse_mailbox(path, command);

    command->local = strndup(path.p, path.n);
    return command->local ? SMTP_SYNTAX_OK : SMTP_SYNTAX_NO_MEMORY;
}

/* SIZE=: at most 20 digits (RFC 1870), here also no more than fits. */
static SmtpSyntax parse_size(Span value, SmtpCommand *command)
{
    uint64_t size = 0;

    if (value.n == 0 || value.n > 20)
        return SMTP_SYNTAX_BAD_PARAMETER;
    for (size_t i = 0; i < value.n; i++)
        if (!isdigit((unsigned char) value.p[i]) || __builtin_mul_overflow(size, 10, &size) ||
            __builtin_add_overflow(size, value.p[i] - '0', &size))
            return SMTP_SYNTAX_BAD_PARAMETER;
    command->size = size;
    return SMTP_SYNTAX_OK;
}

static SmtpSyntax parse_body(Span value, SmtpCommand *command)
{
    if (equals(value, "7BIT"))
        command->body = SMTP_BODY_7BIT;
    else if (equals(value, "8BITMIME"))
        command->body = SMTP_BODY_8BITMIME;
    else
        return SMTP_SYNTAX_BAD_PARAMETER;
    return SMTP_SYNTAX_OK;
}

static SmtpSyntax parse_smtputf8(Span value, SmtpCommand *command)
{
    command->smtputf8 = true;
    return SMTP_SYNTAX_OK;
}

static SmtpSyntax parse_requiretls(Span value, SmtpCommand *command)
{
    command->require_tls = true;
    return SMTP_SYNTAX_OK;
}

/* What MAIL may carry. RCPT has no parameters as long as DSN is not offered. */
static const struct {
    const char *name;
    bool has_value;
    SmtpSyntax (*parse)(Span value, SmtpCommand *command);
} mail_parameters[] = {
    {"SIZE", true, parse_size},
    {"BODY", true, parse_body},
    {"SMTPUTF8", false, parse_smtputf8},
    {"REQUIRETLS", false, parse_requiretls},
};

static SmtpSyntax parse_mail_parameters(Span s, SmtpCommand *command)
{
    unsigned seen = 0;

    while (s.n > 0) {
        Span word, value = {};
        const char *equal;
        size_t i;
        SmtpSyntax r;

        if (*s.p != ' ')
            return SMTP_SYNTAX_BAD_ARGUMENT;
        skip_spaces(&s);
        word = take_until_space(&s);
        equal = memchr(word.p, '=', word.n);
        if (equal) {
            value = (Span) {equal + 1, word.n - (size_t) (equal - word.p) - 1};
            word.n = (size_t) (equal - word.p);
        }

        for (i = 0; i < ELEMENTSOF(mail_parameters); i++)
            if (equals(word, mail_parameters[i].name))
                break;
        if (i == ELEMENTSOF(mail_parameters))
            return SMTP_SYNTAX_UNKNOWN_PARAMETER;
        if ((seen & (1u << i)) || mail_parameters[i].has_value != (equal != NULL))
            return SMTP_SYNTAX_BAD_PARAMETER;
        seen |= 1u << i;
        r = mail_parameters[i].parse(value, command);
        if (r != SMTP_SYNTAX_OK)
            return r;
    }
    return SMTP_SYNTAX_OK;
}

static SmtpSyntax parse_path_argument(Span s, Argument argument, bool smtputf8, SmtpCommand *command)
{
    Span path;
    SmtpSyntax r;

    if (!take_word(&s, argument == ARGUMENT_REVERSE_PATH ? "FROM:" : "TO:"))
        return SMTP_SYNTAX_BAD_ARGUMENT;
    skip_spaces(&s);
    if (!take_path(&s, &path))
        return SMTP_SYNTAX_BAD_ADDRESS;

    if (argument == ARGUMENT_FORWARD_PATH) {
        command->smtputf8 = smtputf8;
        if (s.n > 0)
            return *s.p == ' ' ? SMTP_SYNTAX_UNKNOWN_PARAMETER : SMTP_SYNTAX_BAD_ARGUMENT;
        return parse_forward_path(path, command);
    }

    /* The parameters first: whether the path may have 8-bit characters stands behind it. */
    r = parse_mail_parameters(s, command);
    if (r != SMTP_SYNTAX_OK)
        return r;
    return path.n == 0 ? parse_null_path(command) : parse_mailbox(path, command);
}

static SmtpSyntax parse_argument(Span s, Argument argument, bool smtputf8, SmtpCommand *command)
{
    switch (argument) {
    case ARGUMENT_NONE:
        return s.n == 0 ? SMTP_SYNTAX_OK : SMTP_SYNTAX_BAD_ARGUMENT;
    case ARGUMENT_OPTIONAL:
        return SMTP_SYNTAX_OK;
    case ARGUMENT_REQUIRED:
        return s.n > 0 ? SMTP_SYNTAX_OK : SMTP_SYNTAX_BAD_ARGUMENT;
    case ARGUMENT_NAME:
        return parse_name(s, command);
    case ARGUMENT_REVERSE_PATH:
    case ARGUMENT_FORWARD_PATH:
        return parse_path_argument(s, argument, smtputf8, command);
    }
    return SMTP_SYNTAX_BAD_ARGUMENT;
}

SmtpSyntax smtp_command_parse(const char *line, size_t n, bool smtputf8, SmtpCommand *ret)
{
    SmtpCommand command = {.verb = SMTP_UNKNOWN};
    Argument argument = ARGUMENT_OPTIONAL;
    Span rest = {line, n}, word;
    SmtpSyntax r;

    while (rest.n > 0 && rest.p[rest.n - 1] == ' ')
        rest.n--;
    word = take_until_space(&rest);
    skip_spaces(&rest);
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        if (equals(word, verbs[i].name)) {
            command.verb = verbs[i].verb;
            argument = verbs[i].argument;
            break;
        }

    if (!characters_ok((Span) {line, n}))
        r = SMTP_SYNTAX_BAD_CHARACTER;
    else
        r = parse_argument(rest, argument, smtputf8, &command);
    if (r != SMTP_SYNTAX_OK)
        smtp_command_done(&command);
    *ret = command;
    return r;
}
