/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Numbers as people read them, and text that is fit for a terminal. Pure, but for the local time zone. */

#include <stddef.h>
#include <stdint.h>

#define FORMAT_TIME_MAX 64
#define FORMAT_SIZE_MAX 48
#define FORMAT_SPAN_MAX 48

/* "Tue 2026-11-24 10:34:31 UTC" of microseconds since 1970; "-" for 0 and for what no calendar holds. Returns buffer. */
const char *format_time(char buffer[FORMAT_TIME_MAX], uint64_t usec);
/* "512B", "1.2M": one digit behind the point, to the base of 1024. */
const char *format_size(char buffer[FORMAT_SIZE_MAX], uint64_t bytes);
/* How far usec is from now, in its largest unit: "in 30 days", "5 min ago", "now". */
const char *format_distance(char buffer[FORMAT_SPAN_MAX], uint64_t usec, uint64_t now);

/* A malloc'ed copy without what would move a cursor or is no UTF-8; NULL when memory is short. */
char *format_printable(const char *s);

/* Columns of a terminal that s takes, which is printable and UTF-8: none for what combines, two for wide characters. Does not
 * depend on the locale of the process. */
size_t format_width(const char *s);
/* How many bytes of s fit in columns; *ret_width (may be NULL) of them are used. */
size_t format_fit(const char *s, size_t columns, size_t *ret_width);
