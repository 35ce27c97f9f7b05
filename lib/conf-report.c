/* SPDX-License-Identifier: Apache-2.0 */

/* Complaints about a configuration. Their text can quote the files, so it is made printable here, once, for the terminal, the
 * journal and D-Bus. Bounded: a file that is wrong in every line is not worth more than COMPLAINTS_MAX lines. */

#include "conf.h"

#include <stdarg.h>

#include "text.h"

#define COMPLAINTS_MAX 64
#define COMPLAINT_LENGTH_MAX 1024

typedef struct Complaint {
    ConfSeverity severity;
    char *text;
} Complaint;

struct ConfReport {
    Complaint complaints[COMPLAINTS_MAX + 1]; /* the last says that there were more */
    size_t n;
    bool has_errors;
};

int conf_report_new(ConfReport **ret)
{
    ConfReport *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    *ret = r;
    return 0;
}

ConfReport *conf_report_free(ConfReport *r)
{
    if (!r)
        return NULL;
    for (size_t i = 0; i < r->n; i++)
        free(r->complaints[i].text);
    free(r);
    return NULL;
}

static int report_append(ConfReport *r, ConfSeverity severity, const char *raw)
{
    char text[COMPLAINT_LENGTH_MAX];
    char *copy;

    (void) text_make_printable(text, sizeof(text), raw, SIZE_MAX);
    copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    r->complaints[r->n++] = (Complaint) {.severity = severity, .text = copy};
    return 0;
}

int conf_report_add(ConfReport *r, ConfSeverity severity, const char *file, unsigned line, const char *format, ...)
{
    _cleanup_free_ char *message = NULL, *raw = NULL;
    va_list ap;
    int n;

    if (severity == CONF_ERROR)
        r->has_errors = true; /* whatever else happens */
    if (r->n > COMPLAINTS_MAX)
        return 0;
    if (r->n == COMPLAINTS_MAX)
        return report_append(r, severity, "There are more complaints; correct these first");

    va_start(ap, format);
    n = vasprintf(&message, format, ap);
    va_end(ap);
    if (n < 0) {
        message = NULL;
        return -ENOMEM;
    }
    if (!file)
        return report_append(r, severity, message);
    n = line > 0 ? asprintf(&raw, "%s:%u: %s", file, line, message) : asprintf(&raw, "%s: %s", file, message);
    if (n < 0) {
        raw = NULL;
        return -ENOMEM;
    }
    return report_append(r, severity, raw);
}

bool conf_report_has_errors(const ConfReport *r)
{
    return r->has_errors;
}

size_t conf_report_size(const ConfReport *r)
{
    return r->n;
}

const char *conf_report_get(const ConfReport *r, size_t i, ConfSeverity *ret_severity)
{
    if (ret_severity)
        *ret_severity = r->complaints[i].severity;
    return r->complaints[i].text;
}

int conf_report_text(const ConfReport *r, char **ret)
{
    char *text, *p;
    size_t size = 1;

    for (size_t i = 0; i < r->n; i++)
        size += strlen(r->complaints[i].text) + 1;
    text = p = malloc(size);
    if (!text)
        return -ENOMEM;
    *p = '\0';
    for (size_t i = 0; i < r->n; i++) {
        if (i > 0)
            *p++ = '\n';
        p = stpcpy(p, r->complaints[i].text);
    }
    *ret = text;
    return 0;
}
