/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection to a peer socket that is made when it is needed, and again, with a growing interval, whenever it is lost. What is
 * said over it is its owner's business (peer-client.h, sign-link.h). */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct PeerConnector PeerConnector;

/* Asks for a socket that is connected to name, and answers, now or later, with peer_connector_take_fd(). Negative errno: failed,
 * try again later. */
typedef int (*PeerFetch)(PeerConnector *c, const char *name, void *userdata);

typedef struct PeerConnectorOps {
    bool (*wanted)(void *userdata); /* whether a connection is needed now */
    /* There is one: a non-blocking socket, the owner's, on failure too. Negative errno: it is of no use, try again later. */
    int (*connected)(int fd, void *userdata);
} PeerConnectorOps;

/* name: see peer_socket_connect(). fetch: NULL connects to that. ops must outlive the connector. */
int peer_connector_new(PeerConnector **ret, sd_event *event, const char *name, PeerFetch fetch, void *fetch_userdata,
        const PeerConnectorOps *ops, void *userdata);
PeerConnector *peer_connector_free(PeerConnector *c);
DEFINE_CLEANUP(PeerConnector, peer_connector_free);

/* One more connection that is made in the same way, to the same peer. purpose: what comes after the colon of its name. */
int peer_connector_new_beside(PeerConnector **ret, const PeerConnector *other, const char *purpose, const PeerConnectorOps *ops,
        void *userdata);

/* The answer to a fetch: negative errno, or the socket. One that nobody waits for is closed. */
void peer_connector_take_fd(PeerConnector *c, int fd);
/* What a fetch waits for, handed over by it: let go when it is answered or the connector is freed, so that no answer comes to a
 * dead one. */
void peer_connector_set_fetch_slot(PeerConnector *c, sd_bus_slot *slot);

/* It is wanted now. Connects from the event loop, never in here. */
void peer_connector_need(PeerConnector *c);
/* The peer has answered: a connection that lasts for a while from here on was a good one, and the next attempt does not wait for
 * the failures before it. */
void peer_connector_up(PeerConnector *c);
/* The owner has closed it. */
void peer_connector_lost(PeerConnector *c, int error);

const char *peer_connector_name(const PeerConnector *c);

/* connect(2) to the peer's socket, /run/postern/NAME ($POSTERN_RUNTIME_DIR/NAME in tests), for managers that hand the descriptor
 * to a worker. AF_UNIX connects at once or fails. In "NAME:PURPOSE" the purpose only tells one connection from another. */
int peer_socket_connect(const char *name);
