/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Received field a message gets here: trace information of RFC 5321 section 4.4, protocol names of RFC 3848 and 6531, the
 * "tls" and "group" clauses of RFC 8314 section 4.3. Pure. */

#include <stdbool.h>
#include <time.h>

#include "cleanup.h"

typedef struct ReceivedFacts {
    const char *helo;         /* as the client gave it, checked to be harmless */
    const char *peer_literal; /* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
    const char *host;         /* our name */
    const char *id;           /* queue id */
    const char *recipient;    /* the only one, or NULL: of several none is told the others */
    bool esmtp;               /* EHLO */
    bool smtputf8;
    const char *tls_version;  /* NULL: in the clear */
    const char *tls_cipher;
    const char *tls_group;    /* NULL or "": not known */
    const char *tls_client;   /* what its certificate says of the client, as a comment; NULL: it was not asked for one */
    time_t time;
} ReceivedFacts;

/* "SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS". Static storage. */
const char *received_protocol(bool esmtp, bool tls, bool smtputf8);

/* The whole field, folded, with its last CRLF; malloc'ed. Always UTC, so that no time zone has to be read. */
int received_format(const ReceivedFacts *facts, char **ret);
