/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many sessions each client address has. Of IPv6 addresses a /64 network is one client: whoever has one address has them all.
 * Grows with the sessions that there are and no further. */

#include <netinet/in.h>

#include "cleanup.h"

typedef struct ClientCount ClientCount;

int client_count_new(ClientCount **ret);
ClientCount *client_count_free(ClientCount *c);
DEFINE_CLEANUP(ClientCount, client_count_free);

/* Counts one more for address, unless it has max already: -EUSERS. */
int client_count_add(ClientCount *c, const struct sockaddr *address, unsigned max);
/* One less; to be called once for each successful add. */
void client_count_remove(ClientCount *c, const struct sockaddr *address);
