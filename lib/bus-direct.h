/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An sd-bus connection over a socket, with no broker between: how daemons, managers and workers talk. */

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* The sender, path and interface of the signals "Connected" and "Disconnected" that sd-bus makes itself. */
#define BUS_LOCAL_SENDER "org.freedesktop.DBus.Local"
#define BUS_LOCAL_PATH "/org/freedesktop/DBus/Local"
#define BUS_LOCAL_INTERFACE "org.freedesktop.DBus.Local"

/* Starts a connection on fd and attaches it to event (NULL: the caller drives it, as bus-group.h does); fd is consumed, on failure too. Exactly one end is the server. Descriptors
 * may be sent. Nothing is dispatched before the loop runs, so the caller adds its vtables and matches afterwards. End it with
 * sd_bus_close_unref(). */
int bus_direct_new(sd_bus **ret, sd_event *event, int fd, bool server, const char *description);

/* Calls handler once when the connection is up (authenticated), or gone. The slot is the bus's. */
int bus_direct_match_connected(sd_bus *bus, sd_bus_message_handler_t handler, void *userdata);
int bus_direct_match_disconnected(sd_bus *bus, sd_bus_message_handler_t handler, void *userdata);

/* Whether the other end of the socket fd has closed it. At the end of a connection it tells a peer that left from one that broke
 * the protocol. sd-bus has closed its own descriptor by then, so keep a second one for this. */
bool bus_direct_peer_left(int fd);
