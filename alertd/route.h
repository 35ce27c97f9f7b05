/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where to connect to: the addresses of a relay, or of a domain's mail servers in the order of their preference (RFC 5321,
 * section 5.1; RFC 7505), found through dnsd. Alerts are mailed opportunistically; what is bogus is not used all the same. */

#include <sys/socket.h>

#include "peer-client.h"

#define ROUTE_HOSTS_MAX 5
#define ROUTE_TARGETS_MAX 12

typedef struct RouteTarget {
    struct sockaddr_storage address; /* with port */
    const char *host;                /* the route's */
} RouteTarget;

typedef struct Route Route;

/* error: 0 with at least one target; -EAGAIN: later perhaps; -EHOSTUNREACH: this domain takes no mail. reason says why in words.
 * Called once, never from inside route_new_…(); the callee may free the route. */
typedef void (*RouteDone)(Route *r, int error, const char *reason, void *userdata);

/* Of the mail servers of domain, port 25. */
int route_new_domain(Route **ret, PeerClient *dnsd, const char *domain, RouteDone done, void *userdata);
/* Of a host, given by name or address. */
int route_new_host(Route **ret, PeerClient *dnsd, sd_event *event, const char *host, uint16_t port, RouteDone done,
        void *userdata);
Route *route_free(Route *r);
DEFINE_CLEANUP(Route, route_free);

/* host is an address rather than a name. Pure. */
bool route_host_is_literal(const char *host, struct sockaddr_storage *ret);

size_t route_targets(const Route *r, const RouteTarget **ret);
