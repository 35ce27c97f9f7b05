/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The message that tells a sender what was not delivered and why: a delivery status notification (RFC 3464) in a multipart/report
 * (RFC 6522). Pure: text from facts. It returns the headers of the original, never its body. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* More of the original's headers than this is cut at a line's end. */
#define BOUNCE_HEADERS_MAX (32 * 1024)

typedef struct BounceRecipient {
    const char *address;
    const char *status;     /* enhanced code, "5.1.1"; "4.…" is for those given up after the queue's lifetime */
    const char *diagnostic; /* the reply, or our reason in words */
    const char *remote;     /* name of the host that said so; NULL: we did */
} BounceRecipient;

typedef struct Bounce {
    const char *hostname; /* who reports */
    const char *id;       /* of the original */
    const char *sender;   /* of the original: the recipient of this */
    uint64_t arrival_usec, now_usec;
    const BounceRecipient *recipients;
    size_t n_recipients;
    const char *original; /* the original's first bytes; its headers end at the first empty line */
    size_t original_size;
} Bounce;

/* CRLF lines. *ret_8bit: the text has 8-bit bytes. */
int bounce_format(const Bounce *b, char **ret, size_t *ret_size, bool *ret_8bit);

/* The enhanced code of a reply (RFC 2034), "550 5.1.1 unknown" or without the code in front, if it agrees with code, else a
 * general one: "5.0.0". */
void bounce_status(int code, const char *text, char ret[static 16]);
