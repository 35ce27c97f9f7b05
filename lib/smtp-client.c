/* SPDX-License-Identifier: Apache-2.0 */

/* One SMTP transaction as a client. The dialogue is the table at the end: what each step sends, which reply it waits for, how
 * long, and what follows. Functions of a step only change the state; the end is reported once, when the stream's handler is about
 * to return.
 *
 * It must never send MAIL where TLS or authentication was wanted and is not there, never send the final dot behind a message that
 * is not whole, and never report a recipient as taken without a reply that says so. */

#include "smtp-client.h"

#include <inttypes.h>

#include "smtp-client-internal.h"

static const char *const stage_names[] = {
    [SMTP_STAGE_CONNECT] = "connect",
    [SMTP_STAGE_GREETING] = "greeting",
    [SMTP_STAGE_EHLO] = "ehlo",
    [SMTP_STAGE_STARTTLS_OFFER] = "starttls-offer",
    [SMTP_STAGE_STARTTLS] = "starttls",
    [SMTP_STAGE_HANDSHAKE] = "handshake",
    [SMTP_STAGE_VERIFY] = "verify",
    [SMTP_STAGE_REQUIRETLS] = "requiretls",
    [SMTP_STAGE_MAIL] = "mail",
    [SMTP_STAGE_RCPT] = "rcpt",
    [SMTP_STAGE_DATA] = "data",
    [SMTP_STAGE_FINAL] = "final",
    [SMTP_STAGE_DONE] = "done",
};

const char *smtp_stage_to_string(SmtpStage s)
{
    return (size_t) s < ELEMENTSOF(stage_names) ? stage_names[s] : NULL;
}

/* ---- the end ---- */

static void end(SmtpClient *c, SmtpStage stage, const SmtpReply *reply, bool quit)
{
    if (c->ended)
        return;
    c->ended = true;
    c->quit = quit;
    c->result.stage = stage;
    c->result.reply = *reply;
}

/* For our own reasons; code 0, or what a server would have answered. */
static void end_because(SmtpClient *c, SmtpStage stage, int code, const char *text, bool quit)
{
    SmtpReply reply = {.code = code};

    (void) snprintf(reply.text, sizeof(reply.text), "%s", text);
    end(c, stage, &reply, quit);
}

/* Who has no refusal of its own shares the fate of the transaction, whose reply is 2xx only at SMTP_STAGE_DONE. */
static void answer_recipients(SmtpClient *c)
{
    for (size_t i = 0; i < c->request.n_recipients; i++)
        if (i >= c->n_answered || c->replies[i].code / 100 == 2)
            c->replies[i] = c->result.reply;
    c->result.recipients = c->replies;
}

/* The last thing that is done with the client. */
static void report(SmtpClient *c)
{
    Stream *s = TAKE_PTR(c->stream);
    bool quit = c->quit;

    answer_recipients(c);
    c->done(c, &c->result, c->userdata);
    if (quit && stream_write(s, "QUIT\r\n", 6) >= 0)
        stream_finish(s);
    else
        (void) stream_free(s);
}

/* ---- steps ---- */

static const Step steps[STEP_FINAL + 1];

static void enter(SmtpClient *c, StepName name)
{
    c->step = name;
    smtp_client_set_timeout(c, steps[name].timeout_usec);
    if (steps[name].send && steps[name].send(c) < 0)
        end_because(c, steps[name].stage, 0, "out of memory", false);
}

static void greeted(SmtpClient *c, const SmtpReply *reply)
{
    if (c->probe)
        c->probe->greeting = *reply;
    enter(c, STEP_EHLO);
}

static int send_ehlo(SmtpClient *c)
{
    c->ehlo = (SmtpEhlo){0};
    return stream_printf(c->stream, "EHLO %s\r\n", c->request.helo);
}

static int send_helo(SmtpClient *c)
{
    c->ehlo = (SmtpEhlo){0};
    return stream_printf(c->stream, "HELO %s\r\n", c->request.helo);
}

/* All is as it was wanted. A message follows, unless it was only to be seen that one could. */
static void begin_transaction(SmtpClient *c, const SmtpReply *reply)
{
    if (c->probe)
        end(c, SMTP_STAGE_DONE, reply, true);
    else
        enter(c, STEP_MAIL);
}

static bool requires_tls(const SmtpClient *c)
{
    return c->request.want >= SMTP_TLS_REQUIRED;
}

/* RFC 8689: only servers that promise the same may have such a message (section 4.2.1). A bounce is not lost for that: where they
 * do not, it goes without the promise (section 5). */
static bool lacks_requiretls(const SmtpClient *c)
{
    return c->request.require_tls && *c->request.sender && !(c->ehlo.extensions & SMTP_EXTENSION_REQUIRETLS);
}

static void ehlo_accepted(SmtpClient *c, const SmtpReply *reply)
{
    bool offered = c->ehlo.extensions & SMTP_EXTENSION_STARTTLS;

    if (c->probe)
        c->probe->extensions = c->ehlo.extensions;
    if (c->result.tls_used) {
        if (lacks_requiretls(c))
            end_because(c, SMTP_STAGE_REQUIRETLS, 0, "", true);
        else
            begin_transaction(c, reply);
        return;
    }
    c->result.tls_offered = offered;
    if (offered && c->request.want != SMTP_TLS_NO)
        enter(c, STEP_STARTTLS);
    else if (requires_tls(c))
        end_because(c, SMTP_STAGE_STARTTLS_OFFER, 0, "", true);
    else
        begin_transaction(c, reply);
}

/* A server of before 1993, or one that hides behind a filter. */
static void ehlo_refused(SmtpClient *c, const SmtpReply *reply)
{
    if (reply->code / 100 != 5 || c->result.tls_used)
        end(c, SMTP_STAGE_EHLO, reply, true);
    else if (requires_tls(c))
        end(c, SMTP_STAGE_STARTTLS_OFFER, reply, true);
    else
        enter(c, STEP_HELO);
}

static int send_starttls(SmtpClient *c)
{
    return stream_write(c->stream, "STARTTLS\r\n", 10);
}

static void start_tls(SmtpClient *c, const SmtpReply *reply)
{
    SSL *ssl = SSL_new(c->request.tls);
    int r = ssl ? 0 : -ENOMEM;

    enter(c, STEP_HANDSHAKE);
    if (r >= 0 && c->request.want == SMTP_TLS_DANE)
        r = tls_dane_arm(ssl, c->request.dane_base, c->request.reference.names, c->request.tlsa, c->request.n_tlsa);
    else if (r >= 0) {
        r = tls_verify_arm(ssl, c->request.authorities);
        if (r >= 0 && c->request.server_name && SSL_set_tlsext_host_name(ssl, c->request.server_name) != 1)
            r = -ENOMEM;
    }
    if (r >= 0)
        r = stream_start_tls(c->stream, ssl, false);
    if (r >= 0)
        return;
    SSL_free(ssl);
    c->result.tls_reason = r == -EPROTO ? "unencrypted data after the reply to STARTTLS"
            : r == -EINVAL              ? "no usable TLSA record"
                                        : "out of memory";
    end_because(c, SMTP_STAGE_HANDSHAKE, 0, c->result.tls_reason, false);
}

static void secured(SmtpClient *c)
{
    SSL *ssl = stream_ssl(c->stream);

    c->result.tls_used = true;
    tls_facts(ssl, &c->result.tls);
    c->result.verify = c->request.want == SMTP_TLS_DANE ? tls_dane_result(ssl) : tls_verify_result(ssl, &c->request.reference);
    if (c->request.sts_name && c->request.want != SMTP_TLS_DANE)
        c->result.sts = tls_verify_result(ssl,
                &(TlsReference) {.names = (const char *const[]) {c->request.sts_name, NULL}, .rule = TLS_NAMES_DNS});
    if (c->probe)
        c->probe->has_peer = tls_peer_read(ssl, c->request.tlsa, c->request.want == SMTP_TLS_DANE ? c->request.n_tlsa : 0,
                &c->probe->peer) >= 0;
    if (c->request.want >= SMTP_TLS_VERIFY && !tls_verify_succeeded(c->result.verify)) {
        c->result.tls_reason = tls_verify_explain(c->result.verify);
        end_because(c, SMTP_STAGE_VERIFY, 0, c->result.tls_reason, true);
        return;
    }
    /* RFC 3207, section 4.2: what was said in the clear is forgotten. */
    enter(c, STEP_EHLO);
}

/* One recipient, or with PIPELINING (RFC 2920) as many as the output should hold. */
static int send_recipients(SmtpClient *c)
{
    bool ahead = c->ehlo.extensions & SMTP_EXTENSION_PIPELINING;

    while (c->n_sent < c->request.n_recipients
            && (ahead ? stream_output_pending(c->stream) < SMTP_CLIENT_AHEAD_MAX : c->n_sent == c->n_answered)) {
        int r = stream_printf(c->stream, "RCPT TO:<%s>\r\n", c->request.recipients[c->n_sent]);

        if (r < 0)
            return r;
        c->n_sent++;
    }
    return 0;
}

static int send_mail(SmtpClient *c)
{
    const SmtpRequest *q = &c->request;
    uint32_t extensions = c->ehlo.extensions;
    char size[40] = "";
    int r;

    /* RFC 6152, section 3, RFC 6531, section 3.2 and RFC 1870, section 6: known before it is tried. */
    if (q->body_8bit && !(extensions & SMTP_EXTENSION_8BITMIME)) {
        end_because(c, SMTP_STAGE_MAIL, 554, "5.6.3 The message has 8-bit bytes, and the server does not offer 8BITMIME", true);
        return 0;
    }
    if (q->smtputf8 && !(extensions & SMTP_EXTENSION_SMTPUTF8)) {
        end_because(c, SMTP_STAGE_MAIL, 553, "5.6.7 The message is internationalized, and the server does not offer SMTPUTF8",
                true);
        return 0;
    }
    if (c->ehlo.size_max > 0 && q->message_size > c->ehlo.size_max) {
        end_because(c, SMTP_STAGE_MAIL, 552, "5.3.4 The message is larger than what the server takes", true);
        return 0;
    }
    if (extensions & SMTP_EXTENSION_SIZE)
        (void) snprintf(size, sizeof(size), " SIZE=%" PRIu64, q->message_size);
    r = stream_printf(c->stream, "MAIL FROM:<%s>%s%s%s%s\r\n", q->sender, size, q->body_8bit ? " BODY=8BITMIME" : "",
            q->smtputf8 ? " SMTPUTF8" : "", q->require_tls && extensions & SMTP_EXTENSION_REQUIRETLS ? " REQUIRETLS" : "");
    return r >= 0 && extensions & SMTP_EXTENSION_PIPELINING ? send_recipients(c) : r;
}

static void mail_accepted(SmtpClient *c, const SmtpReply *reply)
{
    enter(c, STEP_RCPT);
}

static void recipient_answered(SmtpClient *c, const SmtpReply *reply)
{
    if (c->n_answered == c->n_sent) {
        end_because(c, SMTP_STAGE_RCPT, 0, "the server answers what it was not asked", false);
        return;
    }
    c->replies[c->n_answered++] = *reply;
    if (reply->code / 100 == 2)
        c->n_accepted++;
    if (reply->code == SMTP_REPLY_CLOSING)
        end(c, SMTP_STAGE_RCPT, reply, true);
    else if (c->n_answered < c->request.n_recipients)
        enter(c, STEP_RCPT);
    else if (c->n_accepted > 0)
        enter(c, STEP_DATA);
    else
        end(c, SMTP_STAGE_RCPT, reply, true);
}

static int send_data(SmtpClient *c)
{
    return stream_write(c->stream, "DATA\r\n", 6);
}

static void data_accepted(SmtpClient *c, const SmtpReply *reply)
{
    enter(c, STEP_BODY);
}

static int send_body(SmtpClient *c)
{
    int r = smtp_body_send(&c->body, c->stream);

    if (r == -ENODATA || r == -EIO) {
        end_because(c, SMTP_STAGE_DATA, 0, "the message cannot be read", false);
        return 0;
    }
    return r;
}

static void body_drained(SmtpClient *c)
{
    enter(c, c->body.complete ? STEP_FINAL : STEP_BODY);
}

/* Before the final dot a reply can only mean that the server has had enough. */
static void body_refused(SmtpClient *c, const SmtpReply *reply)
{
    end(c, SMTP_STAGE_DATA, reply, false);
}

static void message_accepted(SmtpClient *c, const SmtpReply *reply)
{
    end(c, SMTP_STAGE_DONE, reply, true);
}

/* Deadlines: RFC 5321, section 4.5.3.2. It knows no STARTTLS; a peer that stalls there holds up what could go elsewhere. */
#define MINUTES(n) ((n) * 60 * USEC_PER_SEC)
static const Step steps[STEP_FINAL + 1] = {
    [STEP_CONNECT] = {SMTP_STAGE_CONNECT, 30 * USEC_PER_SEC},
    [STEP_GREETING] = {SMTP_STAGE_GREETING, MINUTES(5), 220, NULL, greeted, NULL},
    [STEP_EHLO] = {SMTP_STAGE_EHLO, MINUTES(5), 250, send_ehlo, ehlo_accepted, ehlo_refused},
    [STEP_HELO] = {SMTP_STAGE_EHLO, MINUTES(5), 250, send_helo, ehlo_accepted, NULL},
    [STEP_STARTTLS] = {SMTP_STAGE_STARTTLS, MINUTES(1), 220, send_starttls, start_tls, NULL},
    [STEP_HANDSHAKE] = {SMTP_STAGE_HANDSHAKE, MINUTES(1)},
    [STEP_MAIL] = {SMTP_STAGE_MAIL, MINUTES(5), SMTP_REPLY_2XX, send_mail, mail_accepted, NULL},
    [STEP_RCPT] = {SMTP_STAGE_RCPT, MINUTES(5), SMTP_REPLY_2XX, send_recipients, recipient_answered, recipient_answered},
    [STEP_DATA] = {SMTP_STAGE_DATA, MINUTES(2), 354, send_data, data_accepted, NULL},
    [STEP_BODY] = {SMTP_STAGE_DATA, MINUTES(3), SMTP_REPLY_NONE, send_body, NULL, body_refused},
    [STEP_FINAL] = {SMTP_STAGE_FINAL, MINUTES(10), SMTP_REPLY_2XX, NULL, message_accepted, NULL},
};

/* ---- what comes in ---- */

static void replied(SmtpClient *c, const SmtpReply *reply)
{
    const Step *step = &steps[c->step];
    bool expected = step->expect == SMTP_REPLY_2XX ? reply->code / 100 == 2 : reply->code == step->expect;
    SmtpReply unexpected = {0};

    if (expected)
        step->accepted(c, reply);
    else if (reply->code / 100 <= 3) {
        /* Success of a kind that was not asked for: the two sides do not talk of the same thing any more. */
        (void) snprintf(unexpected.text, sizeof(unexpected.text), "unexpected reply %d", reply->code);
        end(c, step->stage, &unexpected, false);
    } else if (step->refused)
        step->refused(c, reply);
    else
        end(c, step->stage, reply, true);
}

static void read_replies(SmtpClient *c)
{
    while (!c->ended && c->step != STEP_HANDSHAKE) {
        ssize_t n = stream_find_line(c->stream, SMTP_REPLY_LINE_MAX);
        const char *line, *text;
        size_t text_size;
        bool first;
        int r;

        if (n == 0)
            return;
        if (n > 0) {
            (void) stream_peek(c->stream, &line);
            first = c->parser.n_lines == 0;
            r = smtp_reply_line(&c->parser, line, (size_t) n, &text, &text_size);
            if (r >= 0 && !first && c->step == STEP_EHLO)
                smtp_ehlo_line(&c->ehlo, text, text_size);
            stream_consume(c->stream, (size_t) n);
        } else
            r = -EBADMSG;
        if (r < 0)
            end_because(c, steps[c->step].stage, 0, "the server does not speak SMTP", false);
        else if (r > 0) {
            SmtpReply reply = c->parser.reply;

            replied(c, &reply);
        }
    }
}

static void lost(SmtpClient *c, int error)
{
    SmtpStage stage = steps[c->step].stage;
    const char *text;

    if (error == 0)
        text = "connection closed by the server";
    else if (error == -ETIMEDOUT)
        text = "timed out";
    else if (error == -EPROTO)
        text = stream_tls_error(c->stream);
    else
        text = strerrordesc_np(-error);
    if (!text)
        text = "connection lost";
    if (stage == SMTP_STAGE_HANDSHAKE)
        c->result.tls_reason = text;
    end_because(c, stage, 0, text, false);
}

static void on_stream(Stream *s, StreamEvent event, int error, void *userdata)
{
    SmtpClient *c = userdata;

    switch (event) {
    case STREAM_CONNECTED:
        enter(c, STEP_GREETING);
        break;
    case STREAM_SECURED:
        secured(c);
        break;
    case STREAM_READABLE:
        read_replies(c);
        break;
    case STREAM_DRAINED:
        if (c->step == STEP_BODY)
            body_drained(c);
        else if (c->step == STEP_RCPT && send_recipients(c) < 0)
            end_because(c, SMTP_STAGE_RCPT, 0, "out of memory", false);
        break;
    case STREAM_CLOSED:
        lost(c, error);
        break;
    }
    if (c->ended)
        report(c);
}

int smtp_client_new(SmtpClient **ret, sd_event *event, int fd, const SmtpRequest *request, SmtpClientDone done, void *userdata)
{
    _cleanup_(smtp_client_freep) SmtpClient *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->event = sd_event_ref(event);
    c->done = done;
    c->userdata = userdata;
    c->result.tls = (TlsFacts){.version = "", .cipher = "", .group = ""};
    c->result.tls_reason = "";
    r = smtp_client_copy_request(c, request);
    if (r < 0)
        return r;
    c->replies = calloc(c->request.n_recipients, sizeof(*c->replies));
    if (!c->replies)
        return -ENOMEM;
    if (request->probe) {
        c->result.probe = c->probe = calloc(1, sizeof(*c->probe));
        if (!c->probe)
            return -ENOMEM;
    }
    smtp_body_init(&c->body, request->message_fd, request->message_offset, request->message_size);
    r = stream_new_connecting(&c->stream, event, fd, on_stream, c);
    if (r < 0)
        return r;
    enter(c, STEP_CONNECT);
    *ret = TAKE_PTR(c);
    return 0;
}

SmtpClient *smtp_client_free(SmtpClient *c)
{
    if (!c)
        return NULL;
    stream_free(c->stream);
    smtp_client_free_request(c);
    free(c->replies);
    free(c->probe);
    sd_event_unref(c->event);
    free(c);
    return NULL;
}
