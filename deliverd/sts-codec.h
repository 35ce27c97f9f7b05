/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The fetch of an MTA-STS policy as manager and fetcher talk about it on their link. Both sides use this file.
 *
 *     org.postern.Delivery1.Fetcher.Fetch(s domain, t timeout_usec, h socket) → (s mode, u max_age, as mx)
 *
 * or the error NoStsPolicy with the reason, where it was the policy host's fault; any other error is ours. The fetcher reads from
 * the network: what it answers is as little to be trusted. */

#include <systemd/sd-bus.h>

#include "sts-policy.h"

#define FETCHER_INTERFACE "org.postern.Delivery1.Fetcher"
/* All of a fetch, from the addresses of the policy host to the last byte (RFC 8461, section 3.3 suggests a minute). */
#define STS_FETCH_TIMEOUT_USEC (60 * USEC_PER_SEC)
/* Longest reason. */
#define STS_REASON_MAX 512

/* ---- manager ---- */

/* Calls Fetch() of a fetcher; the socket is duplicated. done gets an error reply when the fetcher does not answer a little after
 * timeout_usec. Unreferencing *ret_slot means that nobody wants to know any more. */
int sts_fetch_call(sd_bus *bus, sd_bus_slot **ret_slot, const char *domain, uint64_t timeout_usec, int socket_fd,
        sd_bus_message_handler_t done, void *userdata);
/* -EBADMSG: the answer does not keep the rules. -ENODATA: there is no policy, and *reterr_reason (malloc'ed) says why, made fit to
 * be shown. -ENOKEY: certd does not give the enabled authorities. Another negative errno: the fetcher could not. */
int sts_fetch_read(sd_bus_message *reply, StsPolicy **ret, char **reterr_reason);

/* ---- fetcher ---- */

typedef struct StsFetchCall {
    char *domain; /* normalized */
    uint64_t timeout_usec;
    int socket_fd;
} StsFetchCall;

void sts_fetch_call_done(StsFetchCall *c); /* what is in it */
int sts_fetch_call_read(sd_bus_message *call, StsFetchCall *ret);
int sts_fetch_reply(sd_bus_message *call, const StsPolicy *policy);
int sts_fetch_reply_failed(sd_bus_message *call, const char *reason);
