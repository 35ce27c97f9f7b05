/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a session: greeting, lines in, replies out, timeouts, TLS, the end. It must never read a command while a reply to
 * the one before is still to be found, and never act on bytes that came in the clear once TLS was asked for. */

#include "session-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <sys/random.h>

#include "address.h"
#include "catalog-ids.h"

/* Replies that the client does not read are no reason to run more of its commands. */
#define OUTPUT_PENDING_MAX (16 * 1024)
#define HANDSHAKE_TIMEOUT_USEC (60 * USEC_PER_SEC)
/* When the service stops a client in the middle of a transaction has to go on with it. */
#define DRAIN_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define GOING_DOWN "421 4.3.2 Service is going down, try again later"

void session_count(Session *s, const char *name, uint64_t delta)
{
    s->host->count(name, delta, s->host->userdata);
}

void session_reset_transaction(Session *s)
{
    Transaction *t = &s->transaction;

    (void) message_request_cancel(t->request);
    (void) message_sink_free(t->sink);
    for (size_t i = 0; i < t->n_recipients; i++)
        free(t->recipients[i]);
    free(t->recipients);
    free(t->sender);
    free(t->received);
    *t = (Transaction) {};
}

/* The client is gone, or is to be. A commit under way goes on: what it did is worth a log line. */
static void lose(Session *s)
{
    s->stream = stream_free(s->stream);
    if (s->state != SESSION_COMMITTING)
        s->state = SESSION_CLOSED;
}

void session_reply(Session *s, const char *text)
{
    if (s->stream && (stream_write(s->stream, text, strlen(text)) < 0 || stream_write(s->stream, "\r\n", 2) < 0))
        lose(s);
}

void session_end(Session *s, const char *text)
{
    if (text)
        session_reply(s, text);
    if (s->stream)
        stream_finish(TAKE_PTR(s->stream));
    if (s->state != SESSION_COMMITTING)
        s->state = SESSION_CLOSED;
}

void session_refuse(Session *s, const char *text)
{
    session_reply(s, text);
    session_count(s, "RefusedCommands", 1);
    if (++s->n_errors >= s->flow->max_errors && s->state == SESSION_COMMANDS)
        session_end(s, "421 4.7.0 Too many errors");
}

void session_set_timeout(Session *s, uint64_t usec)
{
    uint64_t now = 0;

    if (!s->stream)
        return;
    if (s->draining && usec > 0)
        usec = MIN(usec, DRAIN_TIMEOUT_USEC);
    if (usec > 0 && sd_event_now(s->host->event, CLOCK_MONOTONIC, &now) >= 0)
        usec = now < s->end ? MIN(usec, s->end - now) : 1;
    stream_set_timeout(s->stream, usec);
}

char *session_client_text(const Session *s)
{
    char *text;

    if (asprintf(&text, "%s%s[%s]", s->helo ?: "", s->helo ? " " : "", s->peer_text) < 0)
        return NULL;
    return text;
}

static const char *session_tls_result(const Session *s)
{
    if (!s->encrypted)
        return s->tls_failure ? "failed" : "none";
    return tls_verify_succeeded(s->verified) ? "verified" : "encrypted";
}

size_t session_fields(Session *s, LogField fields[static SESSION_FIELDS_MAX])
{
    static const char *const wanted[] = {"no", "preferred", "required"};
    const LogField all[] = {
        {"POSTERN_SESSION_ID", s->id},
        {"POSTERN_LISTENER", s->listener->name},
        {"POSTERN_MAIL_FLOW", s->flow->name},
        {"POSTERN_PEER", s->peer_text},
        {"POSTERN_HELO", s->helo},
        {"POSTERN_TLS_WANTED", wanted[s->flow->tls]},
        {"POSTERN_TLS_RESULT", session_tls_result(s)},
        {"POSTERN_TLS_VERSION", s->encrypted ? s->tls.version : NULL},
        {"POSTERN_TLS_CIPHER", s->encrypted ? s->tls.cipher : NULL},
        {"POSTERN_TLS_GROUP", s->encrypted ? s->tls.group : NULL},
        {"POSTERN_TLS_VERIFY", s->encrypted ? tls_verify_to_string(s->verified) : NULL},
    };
    static_assert(ELEMENTSOF(all) <= SESSION_FIELDS_MAX);

    memcpy(fields, all, sizeof(all));
    return ELEMENTSOF(all);
}

/* Spec R6: who was told to use TLS and went away without having left a message gets one line that says why. */
static void log_tls_refusal(Session *s)
{
    _cleanup_free_ char *client = session_client_text(s);
    const char *reason = s->tls_failure ?: "the client did not issue STARTTLS";
    LogField fields[SESSION_FIELDS_MAX + 1];
    size_t n;

    if (!s->told_to_use_tls || s->encrypted || s->accepted_recipient)
        return;
    n = session_fields(s, fields);
    fields[n++] = (LogField) {"POSTERN_REASON", reason};
    session_count(s, "RefusedWithoutTls", 1);
    log_event(LOG_NOTICE, TLS_REQUIRED_REFUSED_ID, fields, n, "%s: TLS is required and was not established by %s: %s", s->id,
            client ?: s->peer_text, reason);
}

static void log_tls_failure(Session *s)
{
    _cleanup_free_ char *client = session_client_text(s);
    LogField fields[SESSION_FIELDS_MAX + 1];
    size_t n = session_fields(s, fields);

    fields[n++] = (LogField) {"POSTERN_REASON", s->tls_failure};
    log_event(LOG_INFO, NULL, fields, n, "%s: TLS handshake with %s failed: %s", s->id, client ?: s->peer_text, s->tls_failure);
}

static void log_mistrust(Session *s)
{
    _cleanup_free_ char *client = session_client_text(s);
    const char *reason = tls_verify_explain(s->verified);
    LogField fields[SESSION_FIELDS_MAX + 1];
    size_t n = session_fields(s, fields);

    fields[n++] = (LogField) {"POSTERN_REASON", reason};
    log_event(LOG_NOTICE, CLIENT_NOT_VERIFIED_ID, fields, n, "%s: client certificate not verified, %s is refused: %s", s->id,
            client ?: s->peer_text, reason);
}

void session_settle(Session *s)
{
    if (s->state != SESSION_CLOSED)
        return;
    s->host->closed(s, s->host->userdata);
}

static const char *command_refusal(const Session *s, const SmtpCommand *command, SmtpSyntax syntax)
{
    /* RFC 3207, section 4.1. */
    if (*s->mistrust && command->verb != SMTP_QUIT)
        return s->mistrust;
    return session_rule(s->stage, command->verb, s->flow->tls, s->encrypted) ?: session_syntax_reply(command->verb, syntax);
}

/* A line without its LF that must have had a CR before it. */
static void take_line(Session *s, const char *line, size_t n)
{
    SmtpCommand command;
    const char *refusal;
    SmtpSyntax syntax;

    if (n == 0 || line[n - 1] != '\r') {
        session_end(s, "554 5.5.2 Lines end with CRLF, a bare LF is refused");
        return;
    }
    syntax = smtp_command_parse(line, n - 1, s->transaction.smtputf8, &command);
    stream_consume(s->stream, n + 1); /* line is gone now */

    refusal = command_refusal(s, &command, syntax);
    if (session_verb_is_idle(command.verb) && ++s->n_idle > s->flow->max_idle_commands)
        session_end(s, "421 4.7.0 Too many commands without a message");
    else if (command.verb == SMTP_FOREIGN)
        session_end(s, refusal);
    else if (refusal) {
        s->told_to_use_tls = s->told_to_use_tls || strncmp(refusal, "530 ", 4) == 0;
        session_refuse(s, refusal);
    } else
        session_run_command(s, &command);
    smtp_command_done(&command);
}

/* A session that is to end does so as soon as no message is under way. */
static bool end_if_drained(Session *s)
{
    if (!s->draining || s->state != SESSION_COMMANDS || s->stage > STAGE_READY)
        return false;
    session_end(s, GOING_DOWN);
    return true;
}

static void take_lines(Session *s)
{
    while (s->state == SESSION_COMMANDS && !end_if_drained(s)) {
        const char *line;
        ssize_t n;

        if (stream_output_pending(s->stream) > OUTPUT_PENDING_MAX) {
            stream_pause(s->stream, true); /* till STREAM_DRAINED */
            return;
        }
        n = stream_find_line(s->stream, s->flow->max_line_length);
        if (n == 0)
            break;
        if (n < 0) {
            session_end(s, "500 5.5.2 Line too long");
            return;
        }
        (void) stream_peek(s->stream, &line);
        take_line(s, line, (size_t) n - 1);
    }
    if (s->state == SESSION_COMMANDS)
        session_set_timeout(s, s->flow->command_timeout);
    else if (s->state == SESSION_SECURING)
        session_set_timeout(s, MIN(s->flow->command_timeout, HANDSHAKE_TIMEOUT_USEC));
}

void session_resume(Session *s)
{
    s->state = SESSION_COMMANDS;
    if (!s->stream) {
        s->state = SESSION_CLOSED;
        return;
    }
    if (end_if_drained(s))
        return;
    session_set_timeout(s, s->flow->command_timeout);
    stream_pause(s->stream, false); /* input that came meanwhile is announced */
}

static void verify_client(Session *s)
{
    if (!s->flow->verify_client)
        return;
    s->verified = tls_verify_result(stream_ssl(s->stream), NULL);
    if (tls_verify_succeeded(s->verified))
        session_count(s, "VerifiedSessions", 1);
    if (policy_client(s->flow, s->verified))
        return;
    (void) snprintf(s->mistrust, sizeof(s->mistrust), "554 5.7.1 Client certificate not verified: %s",
            tls_verify_explain(s->verified));
    session_count(s, "RefusedCertificates", 1);
    log_mistrust(s);
}

static void on_secured(Session *s)
{
    s->encrypted = true;
    s->state = SESSION_COMMANDS;
    s->stage = STAGE_FRESH; /* RFC 3207 section 4.2: nothing said in the clear holds any more */
    s->esmtp = false;
    tls_facts(stream_ssl(s->stream), &s->tls);
    session_count(s, "TlsSessions", 1);
    verify_client(s);
    free(s->helo);
    s->helo = NULL;
    session_set_timeout(s, s->flow->command_timeout);
}

static void on_closed(Session *s, int error)
{
    if (s->state == SESSION_SECURING) {
        const char *reason = stream_tls_error(s->stream);

        if (*reason == '\0')
            reason = error == -ETIMEDOUT ? "the client was too slow" : "the client closed the connection in the handshake";
        s->tls_failure = strdup(reason);
        session_count(s, "TlsFailures", 1);
        if (s->tls_failure && !s->told_to_use_tls)
            log_tls_failure(s);
    } else if (error == -ETIMEDOUT && s->state != SESSION_COMMITTING) {
        session_end(s, "421 4.4.2 Timeout, closing");
        return;
    }
    lose(s);
}

static void on_stream(Stream *stream, StreamEvent event, int error, void *userdata)
{
    Session *s = userdata;

    switch (event) {
    case STREAM_READABLE:
        if (s->state == SESSION_COMMANDS)
            take_lines(s);
        else if (s->state == SESSION_RECEIVING)
            session_receive(s);
        break;
    case STREAM_DRAINED:
        if (s->state == SESSION_COMMANDS)
            stream_pause(stream, false);
        break;
    case STREAM_SECURED:
        on_secured(s);
        break;
    case STREAM_CLOSED:
        on_closed(s, error);
        break;
    case STREAM_CONNECTED:
        break;
    }
    session_settle(s);
}

static int make_id(char id[static 17])
{
    uint64_t number;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return negative_errno();
    (void) snprintf(id, 17, "%016" PRIx64, number);
    return 0;
}

int session_new(Session **ret, const SessionHost *host, SmtpdConf *conf, const Listener *listener, int fd,
        const PeerAddress *peer, void *tag)
{
    _cleanup_(session_freep) Session *s = NULL;
    uint64_t now;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->host = host;
    s->conf = smtpd_conf_ref(conf);
    s->listener = listener;
    s->peer = *peer;
    s->tag = tag;
    s->flow = policy_select(conf, &(ConnectionFacts) {.peer = &peer->sa, .listener = listener});
    r = make_id(s->id);
    if (r < 0)
        return r;
    r = sockaddr_to_string(&peer->sa, &s->peer_text);
    if (r < 0)
        return r;
    r = sd_event_now(host->event, CLOCK_MONOTONIC, &now);
    if (r < 0)
        return r;
    s->end = now + s->flow->session_timeout;
    r = stream_new(&s->stream, host->event, fd, on_stream, s);
    if (r < 0)
        return r;

    session_count(s, "Sessions", 1);
    (void) stream_printf(s->stream, "220 %s ESMTP postern\r\n", conf->host_name);
    session_set_timeout(s, s->flow->command_timeout);
    *ret = TAKE_PTR(s);
    return 0;
}

Session *session_free(Session *s)
{
    if (!s)
        return NULL;
    if (s->peer_text)
        log_tls_refusal(s);
    session_reset_transaction(s);
    s->stream = stream_free(s->stream);
    s->conf = smtpd_conf_unref(s->conf);
    free(s->peer_text);
    free(s->helo);
    free(s->tls_failure);
    free(s);
    return NULL;
}

void *session_tag(const Session *s)
{
    return s->tag;
}

const PeerAddress *session_peer(const Session *s)
{
    return &s->peer;
}

void session_drain(Session *s)
{
    s->draining = true;
    if (s->state == SESSION_SECURING)
        session_end(s, NULL);
    else if (!end_if_drained(s) && s->state == SESSION_COMMANDS)
        session_set_timeout(s, s->flow->command_timeout);
    session_settle(s);
}

void session_abort(Session *s)
{
    session_end(s, s->state == SESSION_SECURING || s->state == SESSION_COMMITTING ? NULL : GOING_DOWN);
    session_settle(s);
}
