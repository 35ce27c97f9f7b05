/* SPDX-License-Identifier: Apache-2.0 */

/* The scanner for "TLS-Required: No". A header block is a run of fields, each a name, a colon and text up to a line's end that no
 * white space follows (RFC 5322, section 2.2); the first line that is none ends it. It must never take a line of the body for a
 * field: who can write there, a forwarded message for one, is not the sender. */

#include "tls-required.h"

#include <ctype.h>
#include <string.h>

#include "cleanup.h"

enum Place {
    LINE_START = 0,
    IN_NAME,
    BEHIND_NAME, /* white space before the colon: obsolete, but a field */
    IN_TEXT,     /* of a field that does not matter */
    IN_VALUE,    /* of ours */
    BODY,
};

enum Value {
    VALUE_EMPTY = 0,
    VALUE_N,
    VALUE_NO,
    VALUE_NO_MORE, /* white space behind it */
    VALUE_OTHER,
};

static const char name[] = "tls-required";

#define NOT_THIS_NAME (sizeof(name))

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static enum Place at_line_start(TlsRequired *t, char c)
{
    if (is_space(c))
        return t->ours ? IN_VALUE : t->matched > 0 ? IN_TEXT : BODY;
    if (c <= ' ' || c >= 0x7f || c == ':')
        return BODY;
    t->ours = false;
    t->matched = tolower((unsigned char) c) == name[0] ? 1 : NOT_THIS_NAME;
    return IN_NAME;
}

static enum Place in_name(TlsRequired *t, char c)
{
    const bool whole = t->matched == strlen(name);

    if (is_space(c)) {
        t->matched = NOT_THIS_NAME;
        return BEHIND_NAME;
    }
    if (c < ' ' || c >= 0x7f)
        return BODY;
    if (c != ':') {
        const bool fits = t->matched < strlen(name) && tolower((unsigned char) c) == name[t->matched];

        t->matched = fits ? t->matched + 1 : NOT_THIS_NAME;
        return IN_NAME;
    }
    if (!whole)
        return IN_TEXT;
    t->ours = true;
    t->n_fields += t->n_fields < 2;
    t->value = VALUE_EMPTY;
    return IN_VALUE;
}

static enum Place in_value(TlsRequired *t, char c)
{
    const bool space = is_space(c) || c == '\r' || c == '\n';

    switch ((enum Value) t->value) {
    case VALUE_EMPTY:
        t->value = space ? VALUE_EMPTY : tolower((unsigned char) c) == 'n' ? VALUE_N : VALUE_OTHER;
        break;
    case VALUE_N:
        t->value = tolower((unsigned char) c) == 'o' ? VALUE_NO : VALUE_OTHER;
        break;
    case VALUE_NO:
    case VALUE_NO_MORE:
        t->value = space ? VALUE_NO_MORE : VALUE_OTHER;
        break;
    case VALUE_OTHER:
        break;
    }
    return c == '\n' ? LINE_START : IN_VALUE;
}

static enum Place next_place(TlsRequired *t, char c)
{
    switch ((enum Place) t->place) {
    case LINE_START:
        return at_line_start(t, c);
    case IN_NAME:
        return in_name(t, c);
    case BEHIND_NAME:
        return c == ':' ? IN_TEXT : is_space(c) ? BEHIND_NAME : BODY;
    case IN_TEXT:
        return c == '\n' ? LINE_START : IN_TEXT;
    case IN_VALUE:
        return in_value(t, c);
    case BODY:
        break;
    }
    return BODY;
}

void tls_required_feed(TlsRequired *t, const char *text, size_t n)
{
    const char *end = text + n;

    while (text < end && t->place != BODY) {
        if (t->place == IN_TEXT) { /* most of a header */
            text = memchr(text, '\n', (size_t) (end - text));
            if (!text)
                return;
        }
        t->place = next_place(t, *text++);
    }
}

bool tls_required_is_no(const TlsRequired *t)
{
    return t->n_fields == 1 && (t->value == VALUE_NO || t->value == VALUE_NO_MORE);
}
