/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One SMTP session, as a server: from the accepted socket to its end. Runs on the event loop of a sandboxed worker and parses
 * what anybody sends.
 *
 * Order is a table (session-rules.h), permissions are a pure function (policy.h), messages go into a sink (message-sink.h). 250
 * to a message is sent after a successful commit and never otherwise. */

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <systemd/sd-event.h>

#include "message-sink.h"
#include "smtpd-conf.h"

typedef struct Session Session;

typedef union PeerAddress {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} PeerAddress;

/* What the sessions of a worker share. It outlives them. */
typedef struct SessionHost {
    sd_event *event;
    MessagePool *pool;
    /* The context for a listener's certificate_source, or NULL while it was not fetched. The session takes its own reference. */
    SSL_CTX *(*tls_context)(const char *source, void *userdata);
    /* Whom clients are verified by, or NULL while nobody knows. The same. */
    X509_STORE *(*authorities)(void *userdata);
    /* Adds to a counter; name is static. */
    void (*count)(const char *name, uint64_t delta, void *userdata);
    /* The session is over, always called from the loop: free it. */
    void (*closed)(Session *s, void *userdata);
    void *userdata;
} SessionHost;

/* Greets the client. fd: a connected non-blocking socket, the session's own on success only. listener is one of conf's; conf is
 * referenced. tag: the host's own, see session_tag(). */
int session_new(Session **ret, const SessionHost *host, SmtpdConf *conf, const Listener *listener, int fd,
        const PeerAddress *peer, void *tag);
Session *session_free(Session *s);
DEFINE_CLEANUP(Session, session_free);

void *session_tag(const Session *s);
const PeerAddress *session_peer(const Session *s);

/* The service stops: a session without a transaction is told 421 and ends, one with a transaction after it. */
void session_drain(Session *s);
/* Ends it whatever it does (a commit under way still gets its answer): 421. */
void session_abort(Session *s);
