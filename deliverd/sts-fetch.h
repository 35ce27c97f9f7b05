/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The manager's part of fetching an MTA-STS policy: the addresses of mta-sts.DOMAIN, a connection to one of them, and the call to
 * the fetcher that gets it. It never reads from the connection. */

#include "deliverd-manager.h"
#include "sts.h"

/* Starts one; the arguments are those of StsOps.fetch. -EAGAIN: there are no fetchers, nor will be. */
int sts_fetch_new(StsFetch **ret, Manager *m, const char *domain, StsFetchDone done, void *userdata);
/* done will not be called. Accepts NULL. */
StsFetch *sts_fetch_cancel(StsFetch *f);

/* A fetcher of m is ready: what waits for one is handed to it. */
void sts_fetches_worker_ready(Manager *m);
/* The fetcher of m is gone, and whatever it had to fetch fails. */
void sts_fetches_worker_gone(Manager *m);
