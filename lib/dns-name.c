/* SPDX-License-Identifier: Apache-2.0 */

/* Names between text and wire. glibc's ns_name_*() do the work; this file gives them the suite's one text form. It must never
 * resolve anything. */

#include "dns-name.h"

#include <arpa/nameser.h>
#include <ctype.h>

/* From what ns_name_ntop() writes to our form, in place. It gives "." for the root and no trailing dot otherwise. */
static char *to_normal_form(char *text)
{
    if (streq(text, "."))
        *text = '\0';
    for (char *p = text; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    return text;
}

static int text_from_wire(const uint8_t wire[NS_MAXCDNAME], char **ret)
{
    char text[DNS_NAME_TEXT_MAX], *copy;

    if (ns_name_ntop(wire, text, sizeof(text)) < 0)
        return -EBADMSG;
    copy = strdup(to_normal_form(text));
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int dns_name_normalize(const char *s, char **ret)
{
    uint8_t wire[NS_MAXCDNAME];
    int r;

    if (strlen(s) >= DNS_NAME_TEXT_MAX || *s == '\0')
        return -EINVAL;
    for (const char *p = s; *p; p++)
        if (!isgraph((unsigned char) *p))
            return -EINVAL;
    if (ns_name_pton(s, wire, sizeof(wire)) < 0)
        return -EINVAL;
    r = text_from_wire(wire, ret);
    return r == -EBADMSG ? -EINVAL : r;
}

int dns_name_from_wire(const uint8_t *wire, size_t size, char **ret, size_t *ret_size)
{
    uint8_t copy[NS_MAXCDNAME];
    size_t n = 0;
    int r;

    /* A plain sequence of labels: a compression pointer has its two highest bits set and so is no length ≤ 63. */
    while (n < size && n < sizeof(copy) && wire[n] > 0 && wire[n] <= NS_MAXLABEL)
        n += 1u + wire[n];
    if (n >= size || n >= sizeof(copy) || wire[n] != 0)
        return -EBADMSG;
    n++;
    memcpy(copy, wire, n);

    r = text_from_wire(copy, ret);
    if (r < 0)
        return r;
    *ret_size = n;
    return 0;
}

bool dns_name_within(const char *name, const char *zone)
{
    size_t n = strlen(name), z = strlen(zone);

    if (z == 0)
        return true;
    if (n < z || !streq(name + n - z, zone))
        return false;
    /* The character before must be a dot that separates labels, not one escaped inside a label. An odd number of backslashes
     * escapes it. */
    if (n == z)
        return true;
    if (name[n - z - 1] != '.')
        return false;
    size_t backslashes = 0;
    for (size_t i = n - z - 1; i > 0 && name[i - 1] == '\\'; i--)
        backslashes++;
    return backslashes % 2 == 0;
}
