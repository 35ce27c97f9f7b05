/* SPDX-License-Identifier: Apache-2.0 */

/* Errors in words. The text of a daemon's error may hold what a stranger chose (a name, a server's reply): it must never reach a
 * terminal as it is. */

#include "failure.h"

#include <stdarg.h>

#include "bus-error.h"
#include "text.h"

/* sentence: replaces the text of the error; %s is the daemon. NULL: the text that came with it is good. */
static const struct {
    const char *name;
    int status;
    const char *sentence;
} errors[] = {
    {BUS_ERROR_ACCESS_DENIED, STATUS_NOT_PERMITTED, NULL},
    {BUS_ERROR_INVALID_ARGUMENT, STATUS_USAGE, NULL},
    {BUS_ERROR_NO_REQUEST, STATUS_NOT_FOUND, NULL},
    {BUS_ERROR_NO_STS_POLICY, STATUS_NOT_FOUND, NULL},
    {BUS_ERROR_NO_SUCH_AUTHORITY, STATUS_NOT_FOUND, NULL},
    {BUS_ERROR_NO_SUCH_CERTIFICATE, STATUS_NOT_FOUND, NULL},
    {BUS_ERROR_NO_SUCH_MESSAGE, STATUS_NOT_FOUND, NULL},
    {BUS_ERROR_UNKNOWN_CALLER, STATUS_NOT_PERMITTED, "%s does not know you: only root may do this (try sudo)"},
    {SD_BUS_ERROR_ACCESS_DENIED, STATUS_NOT_PERMITTED, NULL},
    {SD_BUS_ERROR_DISCONNECTED, STATUS_NOT_RUNNING, "The connection to %s was lost"},
    {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, STATUS_NOT_PERMITTED,
            "%s does this for root, and for whom polkit authorizes, which has nobody here to ask for a password (try sudo)"},
    {SD_BUS_ERROR_NAME_HAS_NO_OWNER, STATUS_NOT_RUNNING, "%s is not running (systemctl start postern.target starts it)"},
    {SD_BUS_ERROR_NO_REPLY, STATUS_NOT_RUNNING, "%s does not answer"},
    {SD_BUS_ERROR_SERVICE_UNKNOWN, STATUS_NOT_RUNNING, "%s is not running (systemctl start postern.target starts it)"},
    {SD_BUS_ERROR_TIMEOUT, STATUS_NOT_RUNNING, "%s did not answer in time"},
    {SD_BUS_ERROR_UNKNOWN_METHOD, EXIT_FAILURE, "%s cannot do this: it is of another version than posternctl"},
};

/* What sd_bus_call() returns when there was no answer at all. */
static const struct {
    int error;
    const char *sentence;
} lost[] = {
    {-ECONNREFUSED, "%s is not running (systemctl start postern.target starts it)"},
    {-ECONNRESET, "The connection to %s was lost"},
    {-ENOENT, "%s is not running (systemctl start postern.target starts it)"},
    {-ENOTCONN, "The connection to %s was lost"},
    {-EPIPE, "The connection to %s was lost"},
    {-ETIMEDOUT, "%s did not answer in time"},
};

void failure_done(Failure *f)
{
    free(f->text);
    *f = (Failure) {};
}

/* Each line for itself: complaints about a configuration have several. In place, as nothing gets longer. */
static char *make_printable(char *text)
{
    size_t size = strlen(text) + 4, used = 0;
    char *copy = malloc(size);

    if (!copy)
        return NULL;
    for (const char *line = text;; line++) {
        size_t n = strcspn(line, "\n");

        used += text_make_printable(copy + used, size - used, line, n);
        line += n;
        if (*line == '\0')
            return copy;
        copy[used++] = '\n';
    }
}

int failure_set(Failure *f, int status, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int r;

    if (f->status != 0)
        return -ECANCELED;
    f->status = status;
    va_start(ap, format);
    r = vasprintf(&text, format, ap);
    va_end(ap);
    if (r < 0)
        text = NULL;
    else
        f->text = make_printable(text);
    return -ECANCELED;
}

int failure_status(const char *error_name)
{
    for (size_t i = 0; i < ELEMENTSOF(errors); i++)
        if (streq(errors[i].name, error_name))
            return errors[i].status;
    return EXIT_FAILURE;
}

/* The formats are all of the tables above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int failure_set_sentence(Failure *f, int status, const char *sentence, const char *service)
{
    return failure_set(f, status, sentence, service);
}
#pragma GCC diagnostic pop

int failure_set_bus(Failure *f, const char *service, const sd_bus_error *error, int r)
{
    if (error && error->name) {
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
            if (streq(errors[i].name, error->name) && errors[i].sentence)
                return failure_set_sentence(f, errors[i].status, errors[i].sentence, service);
        /* sd-bus turns what happened to the connection into errors of the system. */
        if (strncmp(error->name, "System.Error.", strlen("System.Error.")) != 0)
            return failure_set(f, failure_status(error->name), "%s", error->message ?: error->name);
    }
    for (size_t i = 0; i < ELEMENTSOF(lost); i++)
        if (lost[i].error == r)
            return failure_set_sentence(f, STATUS_NOT_RUNNING, lost[i].sentence, service);
    return failure_set(f, EXIT_FAILURE, "%s: %s", service, strerror(-r));
}
