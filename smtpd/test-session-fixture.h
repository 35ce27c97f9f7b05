/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of sessions share: a session on a socket pair with its client's side, and a deliverd in the same process that
 * keeps what it is given. Everything fails by assertion. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer-server.h"
#include "session.h"
#include "stream.h"
#include "test-certificate.h"
#include "tls.h"

typedef enum DeliverdMode {
    DELIVERD_WELL,
    DELIVERD_NO_SPACE, /* Commit is answered NoSpace */
    DELIVERD_FULL,     /* messages cannot be written */
    DELIVERD_FAILS,    /* Commit is answered with some error */
    DELIVERD_HOLDS,    /* Commit is answered when the test says so */
    DELIVERD_REFUSES,  /* OpenMessage is answered Unavailable */
} DeliverdMode;

typedef struct Deliverd {
    char directory[32];
    PeerServer *server;
    DeliverdMode mode;
    unsigned n_opened, n_committed, n_discarded;
    sd_bus_message *held;
    char envelope[1024]; /* "sender|recipient,recipient|BODY|protocol" of the last */
} Deliverd;

typedef struct Fixture {
    sd_event *event;
    Deliverd deliverd;
    PeerObject objects[2];
    PeerClient *client;
    MessagePool *pool;
    SmtpdConf *conf;
    SSL_CTX *server_context, *client_context;
    X509_STORE *authorities;
    TestCertificate *certificate;
    SessionHost host;
    Session *session;
    Stream *stream; /* the client's side */
    bool secured, closed, session_over;
    char received[64 * 1024]; /* what the client was told and has not checked yet */
    size_t n_received;
    unsigned n_messages;
} Fixture;

int session_test_setup(void **state); /* *state is a Fixture */
int session_test_teardown(void **state);

void deliverd_start(Deliverd *d, sd_event *event, const PeerObject *objects);
void message_path(const Deliverd *d, const char *id, char path[static 64]);

/* ---- the client ---- */

/* listener: a section of the configuration in test-session-fixture.c. */
void connect_client(Fixture *f, const char *listener);
void say(Fixture *f, const char *text);
/* What the client is told next, exactly. */
void expect(Fixture *f, const char *text);
void expect_closed(Fixture *f);
void start_tls(Fixture *f);

/* Runs the loop until done, which gets the fixture and n. */
void run_until(Fixture *f, bool (*done)(const Fixture *f, size_t n), size_t n);
bool has_received(const Fixture *f, size_t n);
bool has_committed(const Fixture *f, size_t n);
bool has_counted(const Fixture *f, size_t n);
bool is_over(const Fixture *f, size_t n);

/* What deliverd has of a message; malloc'ed. */
char *read_message(const Fixture *f, const char *id, size_t *ret_size);

#define GREETING "220 gw.example.net ESMTP postern\r\n"
#define START "354 End data with <CR><LF>.<CR><LF>\r\n"
#define BYE "221 2.0.0 Bye\r\n"
