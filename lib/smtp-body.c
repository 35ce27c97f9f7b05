/* SPDX-License-Identifier: Apache-2.0 */

/* A stored message on its way out. The file is never in memory as a whole: one block on the stack, and what the stream's output
 * holds. */

#include "smtp-body.h"

#include <unistd.h>

#define BLOCK_SIZE (16 * 1024)
/* Output beyond this waits; every dot of a block may be doubled. */
#define PENDING_MAX (128 * 1024)

_Static_assert(PENDING_MAX + 2 * BLOCK_SIZE + 8 <= STREAM_OUTPUT_MAX, "a block must always fit");

void smtp_body_init(SmtpBody *b, int fd, uint64_t offset, uint64_t size)
{
    *b = (SmtpBody){.fd = fd, .offset = offset, .end = offset + size, .line_start = true};
}

static int write_stuffed(SmtpBody *b, Stream *s, const char *data, size_t size)
{
    const char *start = data, *stop = data + size, *newline;
    int r;

    if (b->line_start && *data == '.') {
        r = stream_write(s, ".", 1);
        if (r < 0)
            return r;
    }
    for (const char *p = data; p < stop && (newline = memchr(p, '\n', (size_t) (stop - p))); p = newline + 1) {
        if (newline + 1 == stop || newline[1] != '.')
            continue;
        r = stream_write(s, start, (size_t) (newline + 1 - start));
        if (r >= 0)
            r = stream_write(s, ".", 1);
        if (r < 0)
            return r;
        start = newline + 1;
    }
    b->line_start = stop[-1] == '\n';
    return stream_write(s, start, (size_t) (stop - start));
}

int smtp_body_send(SmtpBody *b, Stream *s)
{
    char block[BLOCK_SIZE];
    int r;

    while (b->offset < b->end && stream_output_pending(s) < PENDING_MAX) {
        ssize_t n;

        do
            n = pread(b->fd, block, MIN(sizeof(block), b->end - b->offset), (off_t) b->offset);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
            return n < 0 ? -EIO : -ENODATA;
        r = write_stuffed(b, s, block, (size_t) n);
        if (r < 0)
            return r;
        b->offset += (uint64_t) n;
    }
    if (b->offset < b->end || b->complete)
        return 0;
    r = b->line_start ? stream_write(s, ".\r\n", 3) : stream_write(s, "\r\n.\r\n", 5);
    if (r < 0)
        return r;
    b->complete = true;
    return 0;
}
