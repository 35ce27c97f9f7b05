/* SPDX-License-Identifier: Apache-2.0 */

/* The scripted server, the client, and what both saw. */

#include "test-smtp-client-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PATIENCE_USEC (20 * USEC_PER_SEC)

/* ---- the server ---- */

static void server_answer(Fixture *f)
{
    const Line *l = f->script++;

    assert_int_equal(stream_write(f->server, l->reply, strlen(l->reply)), 0);
    switch (l->action) {
    case GO_ON:
        break;
    case START_TLS:
        assert_int_equal(stream_start_tls(f->server, SSL_new(f->server_ctx), true), 0);
        break;
    case READ_MESSAGE:
        f->reading_message = true;
        break;
    case CLOSE:
        stream_finish(TAKE_PTR(f->server));
        break;
    }
}

static void server_take_message(Fixture *f, const char *data, size_t n)
{
    if (f->message_size + n > f->message_allocated) {
        f->message_allocated = 2 * (f->message_size + n);
        f->message = realloc(f->message, f->message_allocated);
        assert_non_null(f->message);
    }
    memcpy(f->message + f->message_size, data, n);
    f->message_size += n;
}

static void server_take_line(Fixture *f, const char *line, size_t n)
{
    if (f->reading_message) {
        server_take_message(f, line, n);
        if (n != 3 || memcmp(line, ".\r\n", 3) != 0)
            return;
        f->reading_message = false;
    } else
        (void) strncat(f->commands, line, MIN(n, sizeof(f->commands) - strlen(f->commands) - 1));
    if (!f->script->expect)
        return;
    if (strncmp(line, f->script->expect, strlen(f->script->expect)) != 0)
        fail_msg("server wants \"%s\", got \"%.*s\"", f->script->expect, (int) n, line);
    server_answer(f);
}

static void on_server(Stream *s, StreamEvent event, int error, void *userdata)
{
    Fixture *f = userdata;
    const char *data;
    ssize_t n;

    if (event == STREAM_READABLE)
        while (f->server && (n = stream_find_line(s, STREAM_INPUT_MAX)) > 0) {
            _cleanup_free_ char *line = NULL;

            (void) stream_peek(s, &data);
            line = strndup(data, (size_t) n);
            stream_consume(s, (size_t) n);
            server_take_line(f, line, (size_t) n);
        }
    if (event == STREAM_CLOSED)
        f->closed = true;
}

/* ---- the client ---- */

void fixture_done(SmtpClient *c, const SmtpResult *result, void *userdata)
{
    Fixture *f = userdata;

    assert_false(f->done);
    f->done = true;
    f->result = *result;
    f->reply = result->reply;
    for (size_t i = 0; i < ELEMENTSOF(f->recipients); i++)
        f->recipients[i] = result->recipients[i];
    (void) snprintf(f->tls_reason, sizeof(f->tls_reason), "%s", result->tls_reason);
    (void) snprintf(f->version, sizeof(f->version), "%s", result->tls.version);
    if (result->probe)
        f->probe = *result->probe;
    if (f->free_in_done)
        f->client = smtp_client_free(f->client);
}

int fixture_setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    (void) signal(SIGPIPE, SIG_IGN);
    f->message_fd = -EBADF;
    f->free_in_done = true;
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(tls_client_context_new(&f->client_ctx, NULL), 0);
    assert_int_equal(tls_server_context_new(&f->server_ctx, NULL), 0);
    f->certificate = test_certificate_new(&(TestCertificateSpec){.cn = HOST, .san = "DNS:" HOST}, NULL);
    test_certificate_use(f->server_ctx, f->certificate, NULL);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *f = *state;

    smtp_client_free(f->client);
    stream_free(f->server);
    /* A stream that still finishes in the background goes with the loop. */
    assert_int_equal(sd_event_exit(f->event, 0), 0);
    assert_true(sd_event_loop(f->event) >= 0);
    close_fdp(&f->message_fd);
    test_certificate_free(f->certificate);
    SSL_CTX_free(f->server_ctx);
    SSL_CTX_free(f->client_ctx);
    assert_null(sd_event_unref(f->event));
    free(f->message);
    free(f);
    return 0;
}

void fixture_store(Fixture *f, const char *message, size_t size)
{
    f->message_fd = memfd_create("message", MFD_CLOEXEC);
    assert_int_equal(write(f->message_fd, "JUNK", 4), 4);
    while (size > 0) {
        ssize_t n = write(f->message_fd, message, size);

        assert_true(n > 0);
        message += n;
        size -= (size_t) n;
    }
    /* What stands behind the message, its envelope, is not to be sent. */
    assert_int_equal(write(f->message_fd, "\r\nENVELOPE\r\n", 12), 12);
}

const char *const fixture_recipients[4] = {"a@example.com", "b@example.com", "c@example.com", "d@example.com"};

SmtpRequest fixture_request(Fixture *f)
{
    return (SmtpRequest){
        .helo = "gw.example.org",
        .server_name = HOST,
        .want = SMTP_TLS_IF_OFFERED,
        .tls = f->client_ctx,
        .sender = "alice@example.org",
        .recipients = fixture_recipients,
        .n_recipients = 4,
        .message_offset = 4,
        .message_size = 12,
    };
}

void fixture_run(Fixture *f, const Line *script, SmtpRequest *q)
{
    int fds[2];

    if (f->message_fd < 0) {
        fixture_store(f, MESSAGE, strlen(MESSAGE));
        q->message_size = strlen(MESSAGE);
    }
    q->message_fd = f->message_fd;
    f->script = script;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_new(&f->server, f->event, fds[0], on_server, f), 0);
    assert_int_equal(smtp_client_new(&f->client, f->event, fds[1], q, fixture_done, f), 0);
    if (streq(script->expect, ""))
        server_answer(f);
    while (!f->done || (f->server && !f->closed))
        assert_int_not_equal(sd_event_run(f->event, PATIENCE_USEC), 0);
}

void fixture_expect(Fixture *f, SmtpStage stage, int code, const char *text)
{
    if (f->result.stage != stage || f->reply.code != code || strncmp(f->reply.text, text, strlen(text)) != 0)
        fail_msg("%s: %d %s (%s)", smtp_stage_to_string(f->result.stage), f->reply.code, f->reply.text, f->tls_reason);
    if (stage != SMTP_STAGE_DONE)
        for (size_t i = 0; i < ELEMENTSOF(f->recipients); i++)
            assert_int_not_equal(f->recipients[i].code / 100, 2);
    /* Nothing that looks like a whole message without having been one. */
    if (stage < SMTP_STAGE_FINAL)
        assert_true(f->message_size < 3 || memcmp(f->message + f->message_size - 3, ".\r\n", 3) != 0);
}
