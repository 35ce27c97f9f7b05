/* SPDX-License-Identifier: Apache-2.0 */

/* Journal entries through sd_journal_sendv(), or lines on stderr. One entry is built in one static buffer: no allocation, so that
 * a daemon that runs out of memory can still say so. Must never wait for anything but the journal, and never send a string that
 * was not made printable. */

#include "log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "text.h"

#define FIELDS_MAX 24
#define FIXED_FIELDS 5 /* MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, MESSAGE_ID, ERRNO */
#define NAME_MAX_LENGTH 64

static struct {
    const char *identifier;
    int max_level;
    bool to_journal; /* entries go there natively */
} log_state = {
    .identifier = "postern",
    .max_level = LOG_INFO,
};

typedef struct Entry {
    struct iovec iov[FIXED_FIELDS + FIELDS_MAX];
    int n;
    size_t used;
    char buffer[(FIXED_FIELDS + FIELDS_MAX) * (NAME_MAX_LENGTH + 1 + LOG_VALUE_MAX)];
} Entry;

static void entry_add(Entry *e, const char *name, const char *value)
{
    char *p = e->buffer + e->used;
    size_t n = strlen(name);

    if (n > NAME_MAX_LENGTH || e->n >= (int) ELEMENTSOF(e->iov) || *value == '\0')
        return;
    memcpy(p, name, n);
    p[n++] = '=';
    n += text_make_printable(p + n, LOG_VALUE_MAX, value, SIZE_MAX);
    e->iov[e->n++] = (struct iovec) {.iov_base = p, .iov_len = n};
    e->used += n;
}

static void entry_add_int(Entry *e, const char *name, int value)
{
    char text[16];

    (void) snprintf(text, sizeof(text), "%d", value);
    entry_add(e, name, text);
}

static int send_to_journal(int priority, int error, const char *message_id, const LogField *fields, size_t n_fields,
        const char *message)
{
    /* Not on the stack: OpenSSL's callbacks run on the 32 kB of an async job. */
    static _Thread_local Entry e;

    e.n = 0;
    e.used = 0;
    entry_add(&e, "MESSAGE", message);
    entry_add_int(&e, "PRIORITY", priority);
    entry_add(&e, "SYSLOG_IDENTIFIER", log_state.identifier);
    if (message_id)
        entry_add(&e, "MESSAGE_ID", message_id);
    if (error != 0)
        entry_add_int(&e, "ERRNO", error);
    for (size_t i = 0; i < n_fields; i++)
        if (fields[i].value)
            entry_add(&e, fields[i].name, fields[i].value);
    return sd_journal_sendv(e.iov, e.n);
}

static void log_message(int priority, int error, const char *message_id, const LogField *fields, size_t n_fields,
        const char *format, va_list ap)
        __attribute__((format(printf, 6, 0)));

static void log_message(int priority, int error, const char *message_id, const LogField *fields, size_t n_fields,
        const char *format, va_list ap)
{
    char raw[LOG_VALUE_MAX * 2], message[LOG_VALUE_MAX];

    (void) vsnprintf(raw, sizeof(raw), format, ap);
    (void) text_make_printable(message, sizeof(message), raw, sizeof(raw));
    if (message[0] == '\0') /* the journal refuses entries without text */
        memcpy(message, "(empty)", sizeof("(empty)"));
    if (log_state.to_journal && send_to_journal(priority, error, message_id, fields, n_fields, message) >= 0)
        return;
    /* One call a line, so that lines of several processes do not mix. */
    (void) dprintf(STDERR_FILENO, "%s: %s\n", log_state.identifier, message);
}

/* Whether stderr is a stream into the journal (systemd.exec(5), $JOURNAL_STREAM): then it wants entries natively. */
static bool stderr_is_journal(void)
{
    unsigned long long device, inode;
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
            st.st_dev == device && st.st_ino == inode;
}

int log_open(const char *identifier)
{
    log_state.identifier = identifier;
    log_state.to_journal = stderr_is_journal();
    if (!log_state.to_journal)
        return 0;
    /* libsystemd makes its socket with the first entry, and no other way. */
    return send_to_journal(LOG_DEBUG, 0, NULL, NULL, 0, "Starting, version " POSTERN_VERSION);
}

void log_set_max_level(int priority)
{
    log_state.max_level = LOG_PRI(priority);
}

int log_get_max_level(void)
{
    return log_state.max_level;
}

void log_event(int priority, const char *message_id, const LogField *fields, size_t n_fields, const char *format, ...)
{
    int saved = errno;
    va_list ap;

    if (LOG_PRI(priority) > log_state.max_level)
        return;
    va_start(ap, format);
    log_message(LOG_PRI(priority), 0, message_id, fields, n_fields, format, ap);
    va_end(ap);
    errno = saved;
}

int log_full_errno(int priority, int error, const char *format, ...)
{
    int saved = errno;
    va_list ap;

    error = abs(error);
    if (LOG_PRI(priority) <= log_state.max_level) {
        va_start(ap, format);
        if (error != 0)
            errno = error; /* for %m */
        log_message(LOG_PRI(priority), error, NULL, NULL, 0, format, ap);
        va_end(ap);
    }
    errno = saved;
    return -error;
}
