/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The calling side of a peer socket. It connects when it is first needed, and again, with a growing interval, whenever the
 * link is lost, so a restarted peer is an event, not an error. Calls never block: while the link is down they wait until their
 * deadline; a call in flight when the link is lost fails with Unavailable, or is sent again if it is marked as repeatable.
 * At most PEER_CALLS_MAX calls are pending; more are refused at once with -ENOBUFS. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "peer-connector.h"

#define PEER_CALLS_MAX 4096
#define PEER_CALL_TIMEOUT_USEC (20 * USEC_PER_SEC)

typedef struct PeerClient PeerClient;
typedef struct PeerCall PeerCall;

/* The strings are static storage; the struct itself is copied. */
typedef struct PeerMethod {
    const char *path;
    const char *interface;
    const char *member;
    uint64_t timeout_usec; /* from peer_client_call() on, waiting for the link included; 0: PEER_CALL_TIMEOUT_USEC */
    bool repeatable;       /* calling it twice does no harm: sent again after a lost link */
} PeerMethod;

/* Appends the arguments to m. Called inside peer_client_call() when the link is up, later when it is not, and again for a
 * repeated call: what it uses lives as long as the call. Returns negative errno to give up. It must not make, cancel or free
 * calls. */
typedef int (*PeerCallBuild)(sd_bus_message *m, void *userdata);

/* The end of a call, always from the event loop, never from inside peer_client_call(): reply, or NULL and error (a named error of
 * the peer, or Unavailable). Both are the client's and die with the callback. */
typedef void (*PeerCallDone)(sd_bus_message *reply, const sd_bus_error *error, void *userdata);

/* name: "certd"; connects to /run/postern/NAME (or $POSTERN_RUNTIME_DIR/NAME in tests). */
int peer_client_new(PeerClient **ret, sd_event *event, const char *name);

/* The same without a path of its own: fetch is called when a connection is needed. For sandboxed workers. */
int peer_client_new_fetched(PeerClient **ret, sd_event *event, const char *name, PeerFetch fetch, void *userdata);

PeerClient *peer_client_free(PeerClient *c); /* pending calls are dropped without their done */
DEFINE_CLEANUP(PeerClient, peer_client_free);

/* Starts a call. build may be NULL (no arguments). *ret (optional) allows to cancel; it dies when done is called. */
int peer_client_call(PeerClient *c, PeerCall **ret, const PeerMethod *method, PeerCallBuild build, PeerCallDone done,
        void *userdata);
/* done will not be called any more. Accepts NULL. */
PeerCall *peer_call_cancel(PeerCall *call);
DEFINE_CLEANUP(PeerCall, peer_call_cancel);

/* Each time the link is up (again), from the event loop, e.g. to fetch state anew. Makes the client connect at once and stay
 * connected. Whoever asks is told, in the order in which they asked. */
typedef void (*PeerClientConnected)(PeerClient *c, void *userdata);
int peer_client_keep_connected(PeerClient *c, PeerClientConnected connected, void *userdata);

/* Handler for a signal of the peer, on this and every later link. Signals come only while there is a link: see keep_connected. */
int peer_client_match(PeerClient *c, const char *interface, const char *member, sd_bus_message_handler_t handler, void *userdata);

/* No callback of keep_connected() or match() that has this userdata is called any more. The link stays. */
void peer_client_forget(PeerClient *c, const void *userdata);

/* One thing of a library module that lives and dies with the client (lib/alert.c): destroy is called first when the client is
 * freed. */
void peer_client_attach(PeerClient *c, void *data, void (*destroy)(void *data));
void *peer_client_data(const PeerClient *c);
sd_event *peer_client_event(const PeerClient *c);

/* One more connection to the same peer, made in the same way, over which something else is said. */
int peer_client_connect_beside(PeerClient *c, PeerConnector **ret, const char *purpose, const PeerConnectorOps *ops,
        void *userdata);
