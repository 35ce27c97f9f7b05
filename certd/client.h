/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who asks for a certificate or a signature, and what he may have: the one place that decides it. A client is a service of the
 * suite, by the role of its connection, or a user's program, by its uid on the programs' socket. It may use what certd.conf permits
 * its service and what is assigned to a use of its. */

#include <systemd/sd-bus.h>

#include "certd-manager.h"

typedef struct Client {
    Manager *manager;
    PeerServer *server;
    PeerCaller *caller;
    const ServiceConf *service; /* NULL: a program */
    const char *name;           /* "smtpd", "user:www-data"; of the configuration or of the assignments: until they change */
} Client;

/* Whom m comes from; -EACCES if that is nobody that handshakes are signed for. */
int client_from_message(Client *ret, Manager *m, sd_bus_message *message);
/* Also, for a minute, what a service was assigned until lately: handshakes that began with it shall end well. */
bool client_may_use(const Client *c, const char *certificate);
/* tls_signable() for the side that the client may sign for; a program may be both. */
int client_check_message(const Client *c, const uint8_t *message, size_t size, TlsSignable *ret, const char **reterr_reason);
/* For people: whether certd.conf gives a service the certificate. That of the first start, which smtpd may use if nothing else is
 * said, counts until a listener has another. */
bool client_shows_service(const Manager *m, const ServiceConf *s, const char *certificate);
/* Whose limits apply, so that programs do not get in the way of mail. */
Jobs *client_jobs(const Client *c);
TokenBucket *client_refusals(const Client *c);
int client_priority(const Client *c);
