/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where and how results are shown: text for people, with colour on a terminal only and in a pager if it is long; or JSON. */

#include <json.h>
#include <stdint.h>
#include <stdio.h>

#include "cleanup.h"

typedef enum OutputJson {
    OUTPUT_JSON_OFF,
    OUTPUT_JSON_SHORT,  /* on one line */
    OUTPUT_JSON_PRETTY, /* on many */
} OutputJson;
/* "off", "short", "pretty" */
int output_json_from_string(const char *s, OutputJson *ret);

typedef enum Colour {
    COLOUR_NONE,
    COLOUR_BOLD,
    COLOUR_GREEN,
    COLOUR_YELLOW,
    COLOUR_RED,
    _COLOUR_MAX,
} Colour;

typedef struct Output {
    FILE *file;
    OutputJson json;
    bool legend;   /* headings, and lines that say how many */
    bool colour;
    bool terminal; /* something big or binary is not written there */
    bool pager;    /* wanted */
    size_t width;  /* of the terminal in columns; 0: do not shorten */
} Output;

/* Pure: whether a file gets colours. no_color: https://no-color.org; both may be NULL. */
bool output_wants_colour(bool terminal, const char *no_color, const char *term);

/* Standard output as it is. full: nothing is shortened. */
Output output_standard(OutputJson json, bool legend, bool pager, bool full);

/* The escape sequence that begins or, with COLOUR_NONE, ends a colour; "" where there are none. */
const char *output_colour(const Output *o, Colour colour);

/* Takes the value over, NULL for want of memory included. */
int output_value(const Output *o, json_object *value);

/* The line below a list: "3 messages.", "No messages." Only for people who want a legend. */
void output_sum(const Output *o, uint64_t n, const char *one, const char *many);

/* Whether all that was written has arrived. */
int output_finish(const Output *o);

static inline void json_putp(json_object **o)
{
    (void) json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)
