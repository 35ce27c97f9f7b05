/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a message itself wants of TLS on its way (RFC 8689): as its envelope keeps it, and as it is called on the bus. */

typedef enum MessageTls {
    MESSAGE_TLS_DEFAULT,
    MESSAGE_TLS_REQUIRED, /* REQUIRETLS: only to verified hosts that promise the same */
    MESSAGE_TLS_OPTIONAL, /* TLS-Required: No. Rather delivered than secured: what the destination asks for does not hold */
} MessageTls;

/* "default", "required", "optional". */
const char *message_tls_to_string(MessageTls t);
/* -EINVAL. */
int message_tls_from_string(const char *s, MessageTls *ret);
