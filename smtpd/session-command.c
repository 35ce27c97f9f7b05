/* SPDX-License-Identifier: Apache-2.0 */

/* What each SMTP command does, once session-rules.c has said that it may be given. Handlers must never wait: what takes time
 * becomes a state of the session. */

#include <inttypes.h>

#include "session-internal.h"

#define DOES_NOT_FIT "552 5.3.4 Message is too big"

static void begin_transaction_anew(Session *s)
{
    session_reset_transaction(s);
    if (s->stage > STAGE_READY)
        s->stage = STAGE_READY;
}

static void greet(Session *s, SmtpCommand *c, bool esmtp)
{
    begin_transaction_anew(s);
    free(s->helo);
    s->helo = TAKE_PTR(c->name);
    s->esmtp = esmtp;
    s->stage = STAGE_READY;
}

static void command_helo(Session *s, SmtpCommand *c)
{
    char text[300];

    greet(s, c, false);
    (void) snprintf(text, sizeof(text), "250 %s", s->conf->host_name);
    session_reply(s, text);
}

static void command_ehlo(Session *s, SmtpCommand *c)
{
    char text[600];

    greet(s, c, true);
    (void) snprintf(text, sizeof(text),
            "250-%s\r\n"
            "250-PIPELINING\r\n"
            "250-SIZE %" PRIu64 "\r\n"
            "%s"
            "%s"
            "250-8BITMIME\r\n"
            "250-ENHANCEDSTATUSCODES\r\n"
            "250 SMTPUTF8",
            s->conf->host_name, s->flow->max_message_size,
            s->flow->tls != MAIL_FLOW_TLS_NO && !s->encrypted ? "250-STARTTLS\r\n" : "",
            s->encrypted ? "250-REQUIRETLS\r\n" : "");
    session_reply(s, text);
}

/* NULL also when clients are to be verified and nobody knows by whom: that is no reason to let them in. */
static SSL *new_ssl(Session *s)
{
    SSL_CTX *context = s->host->tls_context(s->listener->certificate_source, s->host->userdata);
    SSL *ssl = context ? SSL_new(context) : NULL;
    X509_STORE *authorities;

    if (!ssl || !s->flow->verify_client)
        return ssl;
    authorities = s->host->authorities(s->host->userdata);
    if (authorities && tls_verify_ask_client(ssl, authorities) >= 0)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

static void command_starttls(Session *s, SmtpCommand *c)
{
    const char *unread;
    SSL *ssl;

    /* Bytes behind STARTTLS came in the clear, perhaps from somebody in between, and would be taken for what the client said
     * under TLS: RFC 3207 section 6, CVE-2011-0411. */
    if (stream_peek(s->stream, &unread) > 0) {
        s->tls_failure = strdup("the client sent more in the clear behind STARTTLS");
        session_count(s, "TlsFailures", 1);
        session_end(s, "554 5.5.0 Nothing may follow STARTTLS in the clear");
        return;
    }
    ssl = new_ssl(s);
    if (!ssl) {
        session_refuse(s, "454 4.7.0 TLS is not available at the moment");
        return;
    }
    begin_transaction_anew(s);
    session_reply(s, "220 2.0.0 Ready to start TLS");
    if (s->state == SESSION_CLOSED || stream_start_tls(s->stream, ssl, true) < 0) {
        SSL_free(ssl);
        session_end(s, NULL);
        return;
    }
    s->state = SESSION_SECURING;
}

static void command_mail(Session *s, SmtpCommand *c)
{
    Transaction *t = &s->transaction;

    if (c->size > s->flow->max_message_size) {
        session_refuse(s, DOES_NOT_FIT);
        return;
    }
    /* RFC 8689, section 2: only a session under TLS may carry the promise on, and only there it was offered. */
    if (c->require_tls && !s->encrypted) {
        session_refuse(s, "530 5.7.10 REQUIRETLS is for sessions under TLS");
        return;
    }
    t->sender = TAKE_PTR(c->extended);
    t->body = c->body;
    t->smtputf8 = c->smtputf8;
    t->require_tls = c->require_tls;
    s->stage = STAGE_SENDER;
    session_reply(s, "250 2.1.0 Ok");
}

static int add_recipient(Transaction *t, const char *local, const char *domain)
{
    char *address;

    if (t->n_recipients == t->n_allocated) {
        size_t n = MAX(t->n_allocated * 2, 4U);
        char **more = reallocarray(t->recipients, n, sizeof(*more));

        if (!more)
            return -ENOMEM;
        t->recipients = more;
        t->n_allocated = n;
    }
    if (asprintf(&address, "%s@%s", local, domain) < 0)
        return -ENOMEM;
    t->recipients[t->n_recipients++] = address;
    return 0;
}

static void command_rcpt(Session *s, SmtpCommand *c)
{
    static const char *const refusals[] = {
        [RECIPIENT_ACCEPT] = NULL,
        [RECIPIENT_RELAY_DENIED] = "550 5.7.1 Relaying denied",
        [RECIPIENT_NO_DEFAULT_DOMAIN] = "550 5.1.1 There is no default domain here",
    };
    const char *domain = NULL, *refusal;

    if (s->transaction.n_recipients >= s->flow->max_recipients) {
        session_refuse(s, "452 4.5.3 Too many recipients");
        return;
    }
    refusal = refusals[policy_recipient(s->flow, s->listener, c->domain, &domain)];
    if (refusal) {
        session_count(s, "RefusedRecipients", 1);
        session_refuse(s, refusal);
        return;
    }
    if (add_recipient(&s->transaction, c->local, domain) < 0) {
        session_refuse(s, "451 4.3.0 Out of memory, try again later");
        return;
    }
    s->stage = STAGE_RECIPIENT;
    s->accepted_recipient = true;
    session_reply(s, "250 2.1.5 Ok");
}

static void command_data(Session *s, SmtpCommand *c)
{
    const char *unread;

    /* RFC 2920 section 3.1: DATA is the last of a group. What stands behind it would be a message or commands, depending on our
     * answer, which is just what smugglers like. */
    if (stream_peek(s->stream, &unread) > 0)
        session_end(s, "554 5.5.0 Nothing may follow DATA before it was answered");
    else
        session_begin_data(s);
}

static void command_rset(Session *s, SmtpCommand *c)
{
    begin_transaction_anew(s);
    session_reply(s, "250 2.0.0 Ok");
}

static void command_noop(Session *s, SmtpCommand *c)
{
    session_reply(s, "250 2.0.0 Ok");
}

static void command_quit(Session *s, SmtpCommand *c)
{
    session_end(s, "221 2.0.0 Bye");
}

static void command_vrfy(Session *s, SmtpCommand *c)
{
    session_reply(s, "252 2.5.0 Not verified; send a message and see");
}

static void command_help(Session *s, SmtpCommand *c)
{
    session_reply(s, "214 2.0.0 RFC 5321; ask the postmaster for more");
}

static void (*const handlers[_SMTP_VERB_MAX])(Session *s, SmtpCommand *c) = {
    [SMTP_HELO] = command_helo,
    [SMTP_EHLO] = command_ehlo,
    [SMTP_STARTTLS] = command_starttls,
    [SMTP_MAIL] = command_mail,
    [SMTP_RCPT] = command_rcpt,
    [SMTP_DATA] = command_data,
    [SMTP_RSET] = command_rset,
    [SMTP_NOOP] = command_noop,
    [SMTP_QUIT] = command_quit,
    [SMTP_VRFY] = command_vrfy,
    [SMTP_HELP] = command_help,
};

void session_run_command(Session *s, SmtpCommand *command)
{
    handlers[command->verb](s, command);
}
