/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* May the sender of a call on the system bus have it? The bus says who he is, root may, and about everybody else polkit is asked.
 * Nothing waits: the call is held, and the answer comes later. Without polkit all is as if it had refused. */

#include <systemd/sd-bus.h>

#include "cleanup.h"

/* Calls whose sender is being looked up, which takes the bus a moment. */
#define BUS_AUTHORIZER_CALLS_MAX 128
#define BUS_AUTHORIZER_CALLS_PER_SENDER_MAX 8
/* Calls that polkit is asked about, which may take as long as somebody types a password. A user has few of them, so that he keeps
 * no other user out; root is never among them. */
#define BUS_AUTHORIZER_QUESTIONS_MAX 64
#define BUS_AUTHORIZER_QUESTIONS_PER_UID_MAX 4

/* How long the bus and polkit may take, and polkit when the caller allows it to ask somebody. */
#define BUS_AUTHORIZER_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define BUS_AUTHORIZER_INTERACTIVE_TIMEOUT_USEC (120 * USEC_PER_SEC)

typedef struct BusAuthorizer BusAuthorizer;

/* refusal: NULL if the sender may; else it is to be his answer: org.freedesktop.DBus.Error.AccessDenied,
 * InteractiveAuthorizationRequired (he could be asked, had he allowed it or had he an agent), org.postern.Error.LimitExceeded.
 * The authorizer may be freed in it. */
typedef void (*BusAuthorized)(sd_bus_message *call, const sd_bus_error *refusal, void *userdata);

/* bus: a connection to the system bus, which must outlive it. */
int bus_authorizer_new(BusAuthorizer **ret, sd_bus *bus, BusAuthorized authorized, void *userdata);
/* Drops what waits, unanswered. */
BusAuthorizer *bus_authorizer_free(BusAuthorizer *a);
DEFINE_CLEANUP(BusAuthorizer, bus_authorizer_free);

/* action: of polkit, static; NULL: only root may. authorized() is called later, never in here. Negative errno, with error set or
 * not, if it could not even begin. */
int bus_authorizer_ask(BusAuthorizer *a, sd_bus_message *call, const char *action, sd_bus_error *reterr_error);
