/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The serving side of a peer socket: sd-bus without a broker, a caller known by the uid of its socket.
 *
 * Permissions are data: a call whose (interface, member) has no entry in the access table that covers one of the caller's roles
 * is answered AccessDenied; a caller without any role gets UnknownCaller for everything but Hello(). Checked in a filter that
 * runs before any handler. org.freedesktop.DBus.Hello, Peer, Introspectable and Properties.Get/GetAll/… are open to every known
 * role, so that busctl works. Vtables mark all their methods SD_BUS_VTABLE_UNPRIVILEGED: the table above decides, not sd-bus.
 *
 * Limits: PEER_CONNECTIONS_MAX in all, PEER_CONNECTIONS_PER_UID_MAX for each uid, PEER_PENDING_MAX for the calls of a connection
 * that wait for a later answer; a peer whose messages break the protocol or that does not read its answers is dropped, the daemon
 * lives on. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "role.h"

#define PEER_CONNECTIONS_MAX 320
/* Room for a daemon with 64 workers, each with two connections of its own (sign-link.h), and its manager. */
#define PEER_CONNECTIONS_PER_UID_MAX 144

typedef struct PeerServer PeerServer;

typedef struct PeerAccess {
    const char *interface;
    const char *member; /* NULL: every member of interface */
    RoleMask roles;
} PeerAccess;

typedef struct PeerObject {
    const char *path;
    const char *interface;
    const sd_bus_vtable *vtable;
    void *userdata;
} PeerObject;

/* listen_fd: a listening AF_UNIX stream socket, taken over on success only. access and objects are {}-ended and must outlive the
 * server. description: for logs ("certd"). */
int peer_server_new(PeerServer **ret, sd_event *event, int listen_fd, const char *description,
        const PeerAccess *access, const PeerObject *objects);
PeerServer *peer_server_free(PeerServer *s);
DEFINE_CLEANUP(PeerServer, peer_server_free);

/* Who is let in at a socket that every user of the host can reach: the server asks by uid when a connection comes, in the place of
 * role_from_uid(). */
typedef struct PeerAdmission {
    RoleMask (*roles)(uid_t uid, void *userdata); /* 0: closed at once, without a greeting, and reported as dropped */
    void *userdata;
    unsigned connections_max, connections_per_uid_max; /* in the place of those above */
    int64_t priority; /* of all that comes in, as sd_event_source_set_priority(); what is greater waits for what is less */
} PeerAdmission; /* copied */

/* Right after peer_server_new(). */
int peer_server_set_admission(PeerServer *s, const PeerAdmission *admission);
/* After a change of what roles() answers: gives every connection its roles anew, and drops those that have none any more. May be
 * called inside a handler. */
void peer_server_readmit(PeerServer *s);

/* Called when a peer is dropped for breaking the rules, so that the daemon can log it once. reason is static. */
typedef void (*PeerDropped)(uid_t uid, const char *reason, void *userdata);
void peer_server_set_dropped(PeerServer *s, PeerDropped dropped, void *userdata);

/* Who sent m, inside a handler. NULL if m did not come in through this server (system bus). */
typedef struct PeerCaller PeerCaller;
PeerCaller *peer_server_caller(PeerServer *s, sd_bus_message *m);
uid_t peer_caller_uid(const PeerCaller *c);
RoleMask peer_caller_roles(const PeerCaller *c);
/* State of a daemon that lives as long as the connection (one pointer); destroy is called with it at its end. */
void *peer_caller_data(const PeerCaller *c);
void peer_caller_attach(PeerCaller *c, void *data, void (*destroy)(void *data));

/* A call that is answered later: from the loop, when a job or a question of ours has ended. It holds the message. What waits is
 * bounded for each connection: every call counts with what it carries and PEER_PENDING_COST beside. */
#define PEER_PENDING_MAX (2 * 1024 * 1024)
#define PEER_PENDING_COST 2048
typedef struct PeerPending PeerPending;

/* For a handler that will return 1: size is that of its arguments, in bytes. When the connection has too many already, error is
 * set (LimitExceeded) and negative errno returned, for the handler to return. Calls over the system bus are
 * of authorized people and not counted. */
int peer_pending_new(PeerPending **ret, PeerServer *s, sd_bus_message *call, size_t size, sd_bus_error *reterr_error);
/* To be answered with sd_bus_reply_…(); the pending's own. When the connection has ended meanwhile, the answer goes nowhere. */
sd_bus_message *peer_pending_call(const PeerPending *p);
/* May come after the end of the connection and of the server. Does not answer. */
PeerPending *peer_pending_free(PeerPending *p);
DEFINE_CLEANUP(PeerPending, peer_pending_free);

/* Sends a signal to every connection that has one of roles. types/… as sd_bus_message_append(). */
int peer_server_emit(PeerServer *s, RoleMask roles, const char *path, const char *interface, const char *member,
        const char *types, ...);

unsigned peer_server_connections(const PeerServer *s);
