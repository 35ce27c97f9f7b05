/* SPDX-License-Identifier: Apache-2.0 */

/* Properties of standard output. The same command gives the same text to a pipe whatever the terminal is like. */

#include "output.h"

#include <inttypes.h>
#include <sys/ioctl.h>

int output_json_from_string(const char *s, OutputJson *ret)
{
    static const char *const names[] = {
        [OUTPUT_JSON_OFF] = "off",
        [OUTPUT_JSON_SHORT] = "short",
        [OUTPUT_JSON_PRETTY] = "pretty",
    };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (streq(names[i], s)) {
            *ret = (OutputJson) i;
            return 0;
        }
    return -EINVAL;
}

bool output_wants_colour(bool terminal, const char *no_color, const char *term)
{
    return terminal && !(no_color && *no_color) && term && *term && !streq(term, "dumb");
}

static size_t terminal_width(void)
{
    struct winsize size = {};

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

Output output_standard(OutputJson json, bool legend, bool pager, bool full)
{
    const bool terminal = isatty(STDOUT_FILENO);

    return (Output) {
        .file = stdout,
        .json = json,
        .legend = legend,
        .colour = output_wants_colour(terminal, getenv("NO_COLOR"), getenv("TERM")),
        .terminal = terminal,
        .pager = pager && terminal && json == OUTPUT_JSON_OFF,
        .width = terminal && !full ? terminal_width() : 0,
    };
}

const char *output_colour(const Output *o, Colour colour)
{
    static const char *const sequences[_COLOUR_MAX] = {
        [COLOUR_NONE] = "\x1b[0m",
        [COLOUR_BOLD] = "\x1b[1m",
        [COLOUR_GREEN] = "\x1b[32m",
        [COLOUR_YELLOW] = "\x1b[33m",
        [COLOUR_RED] = "\x1b[1;31m",
    };

    return o->colour ? sequences[colour] : "";
}

int output_value(const Output *o, json_object *value)
{
    _cleanup_json_ json_object *owned = value;
    const int flags = o->json == OUTPUT_JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;
    const char *text = owned ? json_object_to_json_string_ext(owned, flags | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;

    if (!text)
        return -ENOMEM;
    (void) fprintf(o->file, "%s\n", text);
    return 0;
}

void output_sum(const Output *o, uint64_t n, const char *one, const char *many)
{
    if (o->json != OUTPUT_JSON_OFF || !o->legend)
        return;
    if (n == 0)
        (void) fprintf(o->file, "No %s.\n", many);
    else
        (void) fprintf(o->file, "\n%" PRIu64 " %s.\n", n, n == 1 ? one : many);
}

int output_finish(const Output *o)
{
    if (fflush(o->file) == 0 && !ferror(o->file))
        return 0;
    /* Whoever read it has seen enough. */
    return errno == EPIPE ? 0 : negative_errno();
}
