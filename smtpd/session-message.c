/* SPDX-License-Identifier: Apache-2.0 */

/* A message's way through a session: a file is got, bytes go from the stream's buffer into it, deliverd is asked to take it, the
 * client is told. Here is the only place that says 250 to a message, and it must never do so on anything but deliverd's
 * answer. */

#include <inttypes.h>
#include <time.h>

#include "address.h"
#include "catalog-ids.h"
#include "received.h"
#include "session-internal.h"

/* Parts of the input that are written at once: the stream holds 16 KiB, so mostly all of it. */
#define PIECES_MAX 256

#define TRY_LATER "451 4.3.0 Not taken, try again later"
#define NO_SPACE "452 4.3.1 No space, try again later"

static const char *refusal_from_error(int error)
{
    return error == -ENOSPC || error == -EFBIG || error == -EDQUOT ? NO_SPACE : TRY_LATER;
}

static void log_trouble(Session *s, const char *id, const char *what, const char *reason)
{
    LogField fields[SESSION_FIELDS_MAX + 2];
    size_t n = session_fields(s, fields);

    fields[n++] = (LogField) {"POSTERN_QUEUE_ID", id};
    fields[n++] = (LogField) {"POSTERN_REASON", reason};
    log_event(LOG_WARNING, NULL, fields, n, "%s: %s: %s; %s was told to try again", id ?: s->id, what, reason, s->peer_text);
}

static int make_received(Session *s, char **ret)
{
    const Transaction *t = &s->transaction;
    _cleanup_free_ char *literal = NULL;
    int r;

    r = sockaddr_to_literal(&s->peer.sa, &literal);
    if (r < 0)
        return r;
    return received_format(
            &(ReceivedFacts) {
                    .helo = s->helo,
                    .peer_literal = literal,
                    .host = s->conf->host_name,
                    .id = message_sink_id(t->sink),
                    .recipient = t->n_recipients == 1 ? t->recipients[0] : NULL,
                    .esmtp = s->esmtp,
                    .smtputf8 = t->smtputf8,
                    .tls_version = s->encrypted ? s->tls.version : NULL,
                    .tls_cipher = s->tls.cipher,
                    .tls_group = s->tls.group,
                    .tls_client = s->verified == TLS_VERIFY_NONE        ? NULL
                            : tls_verify_succeeded(s->verified) ? "client certificate verified"
                                                                : "no client certificate",
                    .time = time(NULL),
            },
            ret);
}

/* The sink is there: the client may send. */
static void receive_begin(Session *s, MessageSink *sink)
{
    Transaction *t = &s->transaction;
    int r;

    t->sink = sink;
    t->reader = DATA_READER_INIT;
    t->tls_required = TLS_REQUIRED_INIT;
    r = make_received(s, &t->received);
    if (r < 0) {
        t->sink = message_sink_free(t->sink);
        log_trouble(s, NULL, "Failed to make a Received field", strerror(-r));
        session_reply(s, TRY_LATER);
        session_resume(s);
        return;
    }
    session_reply(s, "354 End data with <CR><LF>.<CR><LF>");
    if (s->state == SESSION_CLOSED)
        return;
    s->state = SESSION_RECEIVING;
    session_set_timeout(s, s->flow->data_timeout);
    stream_pause(s->stream, false);
}

static void on_message_opened(MessageSink *sink, int error, const char *reason, void *userdata)
{
    Session *s = userdata;

    s->transaction.request = NULL;
    if (sink)
        receive_begin(s, sink);
    else {
        log_trouble(s, NULL, "deliverd does not open a message", reason);
        session_reply(s, refusal_from_error(error)); /* not the client's fault */
        session_resume(s);
    }
    session_settle(s);
}

void session_begin_data(Session *s)
{
    Transaction *t = &s->transaction;
    MessageSink *sink;
    int r;

    r = message_pool_take(s->host->pool, &sink);
    if (r >= 0) {
        receive_begin(s, sink);
        return;
    }
    r = message_pool_request(s->host->pool, &t->request, on_message_opened, s);
    if (r < 0) {
        session_reply(s, TRY_LATER);
        return;
    }
    s->state = SESSION_OPENING;
    session_set_timeout(s, 0); /* the request has its own deadline */
    stream_pause(s->stream, true);
}

static void log_received(Session *s)
{
    const Transaction *t = &s->transaction;
    _cleanup_free_ char *client = session_client_text(s);
    const char *id = message_sink_id(t->sink);
    LogField fields[SESSION_FIELDS_MAX + 7];
    char size[24], recipients[16], tls[160] = "in the clear";
    size_t n = session_fields(s, fields);

    (void) snprintf(size, sizeof(size), "%" PRIu64, t->reader.size);
    (void) snprintf(recipients, sizeof(recipients), "%zu", t->n_recipients);
    if (s->encrypted) {
        bool group = s->tls.group && *s->tls.group;

        (void) snprintf(tls, sizeof(tls), "over %s (%s%s%s%s)", s->tls.version, s->tls.cipher, group ? ", " : "",
                group ? s->tls.group : "", tls_verify_succeeded(s->verified) ? ", client certificate verified" : "");
    }
    fields[n++] = (LogField) {"POSTERN_QUEUE_ID", id};
    fields[n++] = (LogField) {"POSTERN_SENDER", t->sender};
    fields[n++] = (LogField) {"POSTERN_SIZE", size};
    fields[n++] = (LogField) {"POSTERN_RECIPIENTS", recipients};
    fields[n++] = (LogField) {"POSTERN_PROTOCOL", t->envelope.protocol};
    fields[n++] = (LogField) {"POSTERN_MESSAGE_TLS", t->envelope.tls};
    log_event(LOG_INFO, MESSAGE_RECEIVED_ID, fields, n, "%s: received %s bytes from <%s> for %s recipient%s from %s %s", id, size,
            t->sender, recipients, t->n_recipients == 1 ? "" : "s", client ?: s->peer_text, tls);
}

/* The transaction is over, with this reply. */
static void finish_message(Session *s, const char *reply)
{
    session_reset_transaction(s);
    s->stage = STAGE_READY;
    session_reply(s, reply);
    session_resume(s);
}

static void on_committed(int error, const char *reason, void *userdata)
{
    Session *s = userdata;
    Transaction *t = &s->transaction;
    char reply[128];

    if (error < 0) {
        log_trouble(s, message_sink_id(t->sink), "deliverd did not take the message", reason);
        session_count(s, "RefusedMessages", 1);
        finish_message(s, refusal_from_error(error));
    } else {
        log_received(s);
        session_count(s, "Messages", 1);
        session_count(s, "Bytes", t->reader.size);
        session_count(s, "Recipients", t->n_recipients);
        s->n_idle = 0;
        (void) snprintf(reply, sizeof(reply), "250 2.0.0 Ok: queued as %s", message_sink_id(t->sink));
        finish_message(s, reply);
    }
    session_settle(s);
}

/* RFC 8689, section 4.1: where the sender said both, REQUIRETLS holds. */
static const char *message_tls(const Transaction *t)
{
    if (t->require_tls)
        return "required";
    return tls_required_is_no(&t->tls_required) ? "optional" : NULL;
}

static void commit(Session *s)
{
    Transaction *t = &s->transaction;
    int r;

    t->envelope = (MessageEnvelope) {
        .sender = t->sender,
        .recipients = (const char *const *) t->recipients,
        .n_recipients = t->n_recipients,
        .body = t->body == SMTP_BODY_8BITMIME || t->reader.eight_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
        .smtputf8 = t->smtputf8,
        .tls = message_tls(t),
        .peer = s->peer_text,
        .helo = s->helo,
        .session = s->id,
        .protocol = received_protocol(s->esmtp, s->encrypted, t->smtputf8),
    };
    s->state = SESSION_COMMITTING;
    session_set_timeout(s, 0); /* the commit has its own deadline */
    stream_pause(s->stream, true);
    r = message_sink_commit(t->sink, &t->envelope, on_committed, s);
    if (r < 0) {
        log_trouble(s, message_sink_id(t->sink), "Failed to ask deliverd to take the message", strerror(-r));
        finish_message(s, TRY_LATER);
    }
}

/* Writes what was read, unless the message is refused already. pieces[0] is left free for the Received field. */
static void store(Session *s, struct iovec *pieces, size_t n)
{
    Transaction *t = &s->transaction;
    int r;

    if (!t->refusal && t->reader.size > s->flow->max_message_size)
        t->refusal = "552 5.3.4 Message is too big";
    if (!t->refusal && t->reader.hops > s->flow->max_hops)
        t->refusal = "554 5.4.6 Too many hops, this is a mail loop";
    if (t->refusal)
        return;
    for (size_t i = 1; i <= n; i++)
        tls_required_feed(&t->tls_required, pieces[i].iov_base, pieces[i].iov_len);

    if (t->received)
        pieces[0] = (struct iovec) {t->received, strlen(t->received)};
    r = t->received ? message_sink_write(t->sink, pieces, n + 1) : message_sink_write(t->sink, pieces + 1, n);
    free(t->received);
    t->received = NULL;
    if (r < 0) {
        t->refusal = refusal_from_error(r);
        log_trouble(s, message_sink_id(t->sink), "Failed to write the message", strerror(-r));
    }
}

void session_receive(Session *s)
{
    Transaction *t = &s->transaction;
    struct iovec pieces[PIECES_MAX + 1];
    DataStatus status = DATA_MORE;
    const char *input;
    size_t n;

    while (status == DATA_MORE && (n = stream_peek(s->stream, &input)) > 0) {
        size_t used, n_pieces;

        status = data_reader_feed(&t->reader, input, n, pieces + 1, PIECES_MAX, &n_pieces, &used);
        if (n_pieces > 0 || status == DATA_END)
            store(s, pieces, n_pieces);
        stream_consume(s->stream, used);
    }

    switch (status) {
    case DATA_MORE:
        session_set_timeout(s, s->flow->data_timeout);
        break;
    case DATA_END:
        if (!t->refusal)
            commit(s);
        else {
            session_count(s, "RefusedMessages", 1);
            stream_pause(s->stream, true); /* resuming announces what stands behind the message */
            finish_message(s, t->refusal);
        }
        break;
    case DATA_BARE_CR:
        session_end(s, "554 5.5.2 Lines end with CRLF, a bare CR is refused");
        break;
    case DATA_BARE_LF:
        session_end(s, "554 5.5.2 Lines end with CRLF, a bare LF is refused");
        break;
    }
}
