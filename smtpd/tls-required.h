/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looks for the header field "TLS-Required: No" (RFC 8689, section 3) in a message that streams through. Pure; it keeps no text, only
 * where it is, so its size is fixed whatever the message.
 *
 * The field takes protection away, so whatever is doubtful counts as not said: another value, a second such field, one behind the
 * first header block. Case does not matter, the value may be folded, and white space around it is none of it. */

#include <stdbool.h>
#include <stddef.h>

typedef struct TlsRequired {
    unsigned place;    /* private: where in the header, as in tls-required.c */
    unsigned matched;  /* private: how much of the field's name this line has begun with */
    unsigned value;    /* private: how much of the value was seen */
    unsigned n_fields; /* private: fields of this name */
    bool ours;         /* private: the line belongs to such a field */
} TlsRequired;

#define TLS_REQUIRED_INIT ((TlsRequired) {})

/* The next n bytes of the message as it is stored (without dot-stuffing), in pieces of any size. Costs nothing once the header is
 * over. */
void tls_required_feed(TlsRequired *t, const char *text, size_t n);

/* What the message, as far as it was fed, says: TLS is not required, policies that the recipient's domain publishes are to be
 * ignored. */
bool tls_required_is_no(const TlsRequired *t);
