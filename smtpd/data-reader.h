/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bytes behind DATA: finds the end, takes the dot-stuffing out, and watches what must not be there (RFC 5321 sections 2.3.8,
 * 4.5.2). Pure and streaming: it points into its input and copies nothing; all it remembers between two pieces is where in a line
 * it is.
 *
 * A bare CR or a bare LF ends it at once: where two servers disagree on what a line is, one's message is the other's
 * commands (SMTP smuggling). NUL and 8-bit bytes pass. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef enum DataStatus {
    DATA_MORE,    /* all of the input is used, or the pieces are full: come again */
    DATA_END,     /* the final dot was seen; what follows in the input are commands */
    DATA_BARE_CR, /* refused; the input from here on means nothing */
    DATA_BARE_LF,
} DataStatus;

typedef struct DataReader {
    uint64_t size;      /* message bytes so far, after unstuffing */
    uint64_t lines;     /* line ends so far, the final dot's not counted */
    unsigned hops;      /* Received fields in the header */
    bool eight_bit;     /* a byte above 127 was seen */
    unsigned position;  /* private: where in a line, as in data-reader.c */
    unsigned matched;   /* private: how much of "Received:" this line has begun with */
    bool in_body;       /* private: the empty line was seen */
} DataReader;

#define DATA_READER_INIT ((DataReader) {})

/* Reads n bytes. Sets pieces[0..*ret_n) to the parts of input that belong to the message, in order (max ≥ 1 of them at most), and
 * *ret_used to the bytes of input that are done with. Call it again with the rest until *ret_used has reached n or the status is
 * not DATA_MORE. */
DataStatus data_reader_feed(DataReader *d, const char *input, size_t n, struct iovec *pieces, size_t max, size_t *ret_n,
        size_t *ret_used);
