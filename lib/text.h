/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text from outside, made fit to be shown: in the journal, on a terminal, in a D-Bus string. Pure. */

#include <stddef.h>

/* Copies at most n bytes of src (fewer if it ends with NUL before) to dst of size bytes (≥ 4) and ends it with NUL. Control
 * characters (C0, DEL, C1) and bytes that are not UTF-8 become '?'; what does not fit is cut at a character and replaced by "…".
 * Returns the length of dst. */
size_t text_make_printable(char *dst, size_t size, const char *src, size_t n);

/* Length of the valid UTF-8 character at s of n ≥ 1 bytes: 1 to 4, or 0 (RFC 3629: no surrogates, nothing overlong, nothing above
 * U+10FFFF). */
size_t text_utf8_char(const char *s, size_t n);
