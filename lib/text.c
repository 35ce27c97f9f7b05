/* SPDX-License-Identifier: Apache-2.0 */

/* What peers and files say, made harmless before it is shown. A terminal must never see an escape sequence from here, the journal
 * never a line break (a forged entry) or bytes that it would hide as "blob data", sd-bus never a string it has to refuse. */

#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

size_t text_utf8_char(const char *s, size_t n)
{
    const uint8_t *u = (const uint8_t *) s;
    uint32_t c, min;
    size_t length;

    if (u[0] < 0x80)
        return 1;
    if ((u[0] & 0xe0) == 0xc0)
        length = 2, min = 0x80, c = u[0] & 0x1f;
    else if ((u[0] & 0xf0) == 0xe0)
        length = 3, min = 0x800, c = u[0] & 0x0f;
    else if ((u[0] & 0xf8) == 0xf0)
        length = 4, min = 0x10000, c = u[0] & 0x07;
    else
        return 0;
    if (n < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3f);
    }
    if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return length;
}

static bool is_control(const char *s, size_t length)
{
    const uint8_t *u = (const uint8_t *) s;

    if (length == 1)
        return u[0] < 0x20 || u[0] == 0x7f;
    return length == 2 && u[0] == 0xc2 && u[1] < 0xa0; /* C1: U+0080 to U+009F */
}

size_t text_make_printable(char *dst, size_t size, const char *src, size_t n)
{
    const size_t mark = strlen(ELLIPSIS);
    size_t used = 0, fallback = 0; /* fallback: the last end of a character behind which the mark fits */

    n = strnlen(src, n);
    while (n > 0) {
        size_t length = text_utf8_char(src, n);
        bool shown = length > 0 && !is_control(src, length);
        size_t width = shown ? length : 1;

        if (used + mark < size)
            fallback = used;
        if (used + width >= size) {
            memcpy(dst + fallback, ELLIPSIS, mark);
            used = fallback + mark;
            break;
        }
        if (shown)
            memcpy(dst + used, src, length);
        else
            dst[used] = '?';
        used += width;
        length = length > 0 ? length : 1;
        src += length;
        n -= length;
    }
    dst[used] = '\0';
    return used;
}
