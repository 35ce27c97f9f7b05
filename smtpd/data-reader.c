/* SPDX-License-Identifier: Apache-2.0 */

/* The reader of message data. It looks at each byte with memchr() and one pass for 8-bit, whole lines at a time; the states below
 * only matter at line ends and where a piece of input ends.
 *
 * It never has to hold a byte back: a CR is part of the message whatever follows (or everything is refused), and the one after a
 * leading dot is either part of the end or refused. */

#include "data-reader.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"

enum Position {
    LINE_START = 0,
    IN_LINE,
    AFTER_CR,
    AFTER_DOT,    /* a dot at the line's start, not part of the message */
    AFTER_DOT_CR, /* … and a CR: only the end can follow */
};

static const char received_name[] = "Received:";

/* Counts Received fields: their name may be split over pieces of input. text begins where this line was left. */
static void watch_header(DataReader *d, const char *text, size_t n)
{
    size_t left = strlen(received_name) - d->matched, k = MIN(left, n);

    if (d->in_body || d->matched == sizeof(received_name) || left == 0)
        return;
    if (strncasecmp(received_name + d->matched, text, k) != 0) {
        d->matched = sizeof(received_name); /* not this line */
        return;
    }
    d->matched += k;
    if (k == left)
        d->hops++;
}

static bool has_eight_bit(const char *p, size_t n)
{
    unsigned char all = 0;

    for (size_t i = 0; i < n; i++) /* no early end: this way the compiler makes vectors of it */
        all |= (unsigned char) p[i];
    return all & 0x80;
}

/* Reads line content up to the CR, which is left for the caller, or to the end. Returns the bytes used. */
static size_t read_text(DataReader *d, const char *p, size_t n, DataStatus *status)
{
    const char *lf = memchr(p, '\n', n), *cr;
    size_t line = lf ? (size_t) (lf - p) : n;

    cr = memchr(p, '\r', line);
    if (cr)
        line = (size_t) (cr - p);
    else if (lf)
        *status = DATA_BARE_LF;

    if (line > 0) {
        watch_header(d, p, line);
        d->eight_bit = d->eight_bit || has_eight_bit(p, line);
        d->position = IN_LINE;
    }
    return line;
}

static void begin_line(DataReader *d)
{
    d->lines++;
    d->matched = 0;
    d->position = LINE_START;
}

/* One byte where it matters. Returns whether it belongs to the message. */
static bool read_byte(DataReader *d, char c, DataStatus *status)
{
    switch ((enum Position) d->position) {
    case LINE_START:
        if (c == '.') {
            d->position = AFTER_DOT;
            return false;
        }
        if (c == '\r')
            d->in_body = true; /* an empty line, or everything is refused */
        break;
    case AFTER_CR:
        if (c != '\n') {
            *status = DATA_BARE_CR;
            return false;
        }
        begin_line(d);
        return true;
    case AFTER_DOT:
        if (c == '\r') {
            d->position = AFTER_DOT_CR;
            return false;
        }
        break;
    case AFTER_DOT_CR:
        *status = c == '\n' ? DATA_END : DATA_BARE_CR;
        return false;
    case IN_LINE:
        break;
    }

    if (c == '\n') {
        *status = DATA_BARE_LF;
        return false;
    }
    d->position = c == '\r' ? AFTER_CR : IN_LINE;
    return true;
}

DataStatus data_reader_feed(DataReader *d, const char *input, size_t n, struct iovec *pieces, size_t max, size_t *ret_n,
        size_t *ret_used)
{
    DataStatus status = DATA_MORE;
    size_t used = 0, from = 0, n_pieces = 0;

    while (used < n && status == DATA_MORE) {
        char c = input[used];
        bool text = c != '\r' && c != '\n' && (d->position == IN_LINE || d->position == AFTER_DOT ||
                                                      (d->position == LINE_START && c != '.'));

        if (text) {
            used += read_text(d, input + used, n - used, &status);
            continue;
        }
        if (read_byte(d, c, &status)) {
            used++;
            continue;
        }

        /* A byte that is not the message's ends a piece. */
        if (used > from) {
            pieces[n_pieces++] = (struct iovec) {(char *) input + from, used - from};
            d->size += used - from;
        }
        from = ++used;
        if (n_pieces == max)
            break;
    }

    if (used > from) {
        pieces[n_pieces++] = (struct iovec) {(char *) input + from, used - from};
        d->size += used - from;
    }
    *ret_n = n_pieces;
    *ret_used = used;
    return status;
}
