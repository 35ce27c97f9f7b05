/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A stored message on its way to a server: read in blocks, dots at line starts doubled (RFC 5321, section 4.5.2), the final dot
 * behind it. */

#include <stdint.h>

#include "stream.h"

typedef struct SmtpBody {
    int fd; /* not owned */
    uint64_t offset, end;
    bool line_start; /* the next byte is the first of a line */
    bool complete;   /* the final dot is in the stream's output */
} SmtpBody;

void smtp_body_init(SmtpBody *b, int fd, uint64_t offset, uint64_t size);

/* Fills the stream's output up to a fixed measure; to be called again when it has drained and b is not complete. -ENODATA if the
 * file ends early, -EIO if it cannot be read: the final dot was not sent, and the connection must end here. */
int smtp_body_send(SmtpBody *b, Stream *s);
