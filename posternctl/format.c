/* SPDX-License-Identifier: Apache-2.0 */

/* Forms for people. Nothing here may be read back by a program: that is what JSON is for. */

#include "format.h"

#include <inttypes.h>
#include <locale.h>
#include <time.h>
#include <wchar.h>

#include "cleanup.h"
#include "text.h"

#define SECONDS_PER_DAY UINT64_C(86400)

const char *format_time(char buffer[FORMAT_TIME_MAX], uint64_t usec)
{
    time_t seconds = (time_t) (usec / USEC_PER_SEC);
    struct tm tm;

    if (usec == 0 || usec > (uint64_t) INT64_MAX || !localtime_r(&seconds, &tm)
            || strftime(buffer, FORMAT_TIME_MAX, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
        return strcpy(buffer, "-");
    return buffer;
}

const char *format_size(char buffer[FORMAT_SIZE_MAX], uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    uint64_t unit = 1;
    size_t i = 0;

    while (bytes / unit >= 1024) {
        unit *= 1024;
        i++;
    }
    if (i == 0)
        (void) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 "B", bytes);
    else
        (void) snprintf(buffer, FORMAT_SIZE_MAX, "%" PRIu64 ".%" PRIu64 "%c", bytes / unit,
                bytes % unit / (unit / 1024) * 10 / 1024, units[i]);
    return buffer;
}

const char *format_distance(char buffer[FORMAT_SPAN_MAX], uint64_t usec, uint64_t now)
{
    static const struct {
        uint64_t seconds;
        const char *one, *many;
    } units[] = {
        {SECONDS_PER_DAY, "day", "days"},
        {3600, "h", "h"},
        {60, "min", "min"},
        {1, "s", "s"},
    };
    const uint64_t seconds = (usec > now ? usec - now : now - usec) / USEC_PER_SEC;

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        const uint64_t n = seconds / units[i].seconds;
        const char *name = n == 1 ? units[i].one : units[i].many;

        if (n == 0)
            continue;
        (void) snprintf(buffer, FORMAT_SPAN_MAX, "%s%" PRIu64 " %s%s", usec > now ? "in " : "", n, name,
                usec > now ? "" : " ago");
        return buffer;
    }
    return strcpy(buffer, "now");
}

char *format_printable(const char *s)
{
    const size_t size = strlen(s) + 4; /* it gets no longer */
    char *copy = malloc(size);

    if (copy)
        (void) text_make_printable(copy, size, s, SIZE_MAX);
    return copy;
}

/* ---- widths ---- */

static locale_t utf8_locale(void)
{
    static locale_t locale;

    if (!locale)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
    return locale;
}

static size_t char_width(const char *s, size_t length)
{
    mbstate_t state = {};
    wchar_t c;
    int width;

    if (mbrtowc(&c, s, length, &state) != length)
        return 1;
    width = wcwidth(c);
    return width < 0 ? 1 : (size_t) width;
}

size_t format_fit(const char *s, size_t columns, size_t *ret_width)
{
    const locale_t utf8 = utf8_locale(), old = utf8 ? uselocale(utf8) : (locale_t) 0;
    size_t used = 0, n = 0, left = strlen(s);

    while (left > 0) {
        size_t length = MAX(text_utf8_char(s + n, left), (size_t) 1), width = char_width(s + n, length);

        if (used + width > columns)
            break;
        used += width;
        n += length;
        left -= length;
    }
    if (old)
        (void) uselocale(old);
    if (ret_width)
        *ret_width = used;
    return n;
}

size_t format_width(const char *s)
{
    size_t width;

    (void) format_fit(s, SIZE_MAX, &width);
    return width;
}
