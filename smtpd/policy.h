/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a connection may do: the mail-flow policy that applies to it, and which recipients it takes mail for. Pure: connection
 * facts in, verdict out; the configuration is read-only. */

#include <sys/socket.h>

#include "smtpd-conf.h"
#include "tls-verify.h"

/* What is known of a connection when its policy is chosen. */
typedef struct ConnectionFacts {
    const struct sockaddr *peer;
    const Listener *listener;
} ConnectionFacts;

/* The policy of a connection, never NULL. It lives as long as conf. */
const MailFlow *policy_select(const SmtpdConf *conf, const ConnectionFacts *facts);

/* Whether a client may go on whose TLS session came to verified: with VerifyClient=yes a certificate that it shows has to be
 * valid, and with TLS=Required it has to show one. */
bool policy_client(const MailFlow *flow, TlsVerify verified);

typedef enum RecipientVerdict {
    RECIPIENT_ACCEPT,
    RECIPIENT_RELAY_DENIED,      /* a domain this policy does not take mail for */
    RECIPIENT_NO_DEFAULT_DOMAIN, /* "<postmaster>", and there is no domain to complete it with */
} RecipientVerdict;

/* domain: normalized, or NULL for "<postmaster>", which is then meant in *ret_domain (set on RECIPIENT_ACCEPT; lives as long as
 * listener or domain). */
RecipientVerdict policy_recipient(const MailFlow *flow, const Listener *listener, const char *domain, const char **ret_domain);
