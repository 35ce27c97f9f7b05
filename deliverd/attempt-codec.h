/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One delivery attempt as manager and worker talk about it on their link: SmtpRequest there, SmtpResult back (lib/smtp-client.h).
 * Both sides use this file, so there is one place where the two agree.
 *
 *     org.postern.Delivery1.Worker.Deliver(a{sv} request, h socket, h message) → (a{sv} result)
 *
 * The worker is the one that talks to the network: what it answers is as little to be trusted as the network. Reading checks
 * every value and limit. */

#include <systemd/sd-bus.h>

#include "cleanup.h"
#include "smtp-client.h"

#define ATTEMPT_INTERFACE "org.postern.Delivery1.Worker"
#define ATTEMPT_TLSA_MAX RESOLVE_RECORDS_MAX
/* Longest host name, reason or other single string. */
#define ATTEMPT_STRING_MAX 1024

/* ---- manager ---- */

/* Calls Deliver() of a worker: bus is worker_bus(). request->tls, authorities and message_fd are ignored, the descriptors are duplicated.
 * Replies are not bounded in time: the worker has the deadlines of SMTP, and when it dies the bus says so. Unreferencing
 * *ret_slot means that nobody wants to know any more; the attempt itself goes on. */
int attempt_call(sd_bus *bus, sd_bus_slot **ret_slot, const SmtpRequest *request, int socket_fd, int message_fd,
        sd_bus_message_handler_t done, void *userdata);

/* Owns everything that result points to. */
typedef struct AttemptResult {
    SmtpResult result; /* stage SMTP_STAGE_DONE only with a recipient that was taken */
    SmtpReply *recipients;
    size_t n_recipients;
    char *version, *cipher, *group, *reason;
    SmtpProbe *probe;
} AttemptResult;

AttemptResult *attempt_result_free(AttemptResult *r);
DEFINE_CLEANUP(AttemptResult, attempt_result_free);
/* n_recipients: of the request. -EBADMSG when it does not fit. -ENOKEY: certd did not sign, -ENODATA: nor
 * say which authorities are enabled; neither is the server's fault. A worker that died or refused (an error reply) is an errno, too. */
int attempt_result_read(sd_bus_message *reply, size_t n_recipients, AttemptResult **ret);

/* ---- worker ---- */

typedef struct AttemptRequest {
    SmtpRequest request; /* tls and authorities are the worker's to fill in; strings and records are below */
    int socket_fd, message_fd; /* this structure's; -EBADF when taken */
    char *helo, *server_name, *insecure_name, *sts_name, *dane_base, *sender;
    char **names, **pins, **authorities, **recipients; /* NULL-ended */
    TlsaRecord *tlsa;
    uint8_t *tlsa_data;
} AttemptRequest;

AttemptRequest *attempt_request_free(AttemptRequest *r);
DEFINE_CLEANUP(AttemptRequest, attempt_request_free);
int attempt_request_read(sd_bus_message *call, AttemptRequest **ret);

/* Replies to the call. */
int attempt_reply(sd_bus_message *call, const SmtpResult *result, size_t n_recipients);
