/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An SmtpClient against a scripted server on the same loop. */

#include "smtp-client.h"
#include "stream.h"
#include "test-certificate.h"

#define HOST "mx.example.com"

typedef enum Action {
    GO_ON,
    START_TLS,
    READ_MESSAGE, /* up to the final dot, which is the next line of the script */
    CLOSE,
} Action;

/* The server waits for a line that starts with expect ("" at once, at the start) and says reply. NULL-ended by expect. */
typedef struct Line {
    const char *expect, *reply;
    Action action;
} Line;

typedef struct Fixture {
    sd_event *event;
    SSL_CTX *server_ctx, *client_ctx;
    TestCertificate *certificate;

    Stream *server;
    const Line *script; /* the next line */
    bool reading_message, closed;
    char *message; /* as received: dots stuffed, with the final dot */
    size_t message_size, message_allocated;
    char commands[16384]; /* all of them */

    SmtpClient *client;
    int message_fd;
    bool done;
    bool free_in_done;
    SmtpStage stage;
    SmtpReply reply;
    SmtpReply recipients[4];
    SmtpResult result;
    char tls_reason[256], version[16];
    SmtpProbe probe;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A message in a file, with something before and behind it that is not to be sent. */
void fixture_store(Fixture *f, const char *message, size_t size);
#define MESSAGE "Hi\r\n\r\n.dot\r\n"

/* To these four, with TLS if it is offered. */
extern const char *const fixture_recipients[4];
SmtpRequest fixture_request(Fixture *f);
/* Runs until the client is done and the server has seen the end. Without a message it is MESSAGE. */
void fixture_run(Fixture *f, const Line *script, SmtpRequest *q);
/* What tells the fixture of the end; userdata is the Fixture. */
void fixture_done(SmtpClient *c, const SmtpResult *result, void *userdata);
/* That it ended there, with a reply that begins like this. */
void fixture_expect(Fixture *f, SmtpStage stage, int code, const char *text);

/* ---- lines of scripts ---- */
#define EHLO(...) {"EHLO gw.example.org\r\n", "250-" HOST " hello\r\n" __VA_ARGS__ "250 HELP\r\n"}
#define GREET {"", "220 " HOST " ESMTP\r\n"}
#define TLS {"STARTTLS\r\n", "220 go\r\n", START_TLS}
#define QUIT {"QUIT\r\n", "221 bye\r\n", CLOSE}
#define RCPT {"RCPT TO:<", "250 OK\r\n"}
#define REST \
    {"MAIL FROM:<alice@example.org>", "250 OK\r\n"}, RCPT, RCPT, RCPT, RCPT, {"DATA\r\n", "354 go\r\n", READ_MESSAGE}, \
    {".\r\n", "250 2.0.0 queued as 1\r\n"}, QUIT
#define END {NULL, NULL}
