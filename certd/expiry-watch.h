/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks when certificates expire, and says so in time: at the start, after every change, when the next threshold is reached, and
 * once a day. Which is when, is decided in expiry.h. */

#include "certd-manager.h"

typedef struct ExpiryWatch ExpiryWatch;

/* After the store is open, before the sandbox. The manager outlives it. */
int expiry_watch_new(ExpiryWatch **ret, Manager *m);
ExpiryWatch *expiry_watch_free(ExpiryWatch *w);
DEFINE_CLEANUP(ExpiryWatch, expiry_watch_free);

/* Now, and arms the timer for the next time. Logs; what fails is tried again then. NULL is fine. */
void expiry_watch_check(ExpiryWatch *w);
