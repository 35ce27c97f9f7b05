/* SPDX-License-Identifier: Apache-2.0 */

/* The envelope behind a queued message as text. What is read here was written by deliverd, but a disk can lie: every
 * length is checked against the bytes at hand and a checksum covers all. */

#include "envelope.h"

#include <ctype.h>
#include <inttypes.h>

#include "crc32c.h"

#define ENVELOPE_MAGIC "Postern-Envelope: 1\n"
#define FOOTER_MAGIC "Postern-Footer: 1 "
/* "Postern-Footer: 1 " and the two numbers with their spaces; the checksum covers them. */
#define FOOTER_SUMMED (sizeof(FOOTER_MAGIC) - 1 + 20 + 1 + 8 + 1)

Envelope *envelope_free(Envelope *e)
{
    if (!e)
        return NULL;
    for (size_t i = 0; i < e->n_recipients; i++)
        free(e->recipients[i]);
    free(e->recipients);
    free(e->sender);
    free(e->peer);
    free(e->helo);
    free(e->session);
    free(e->protocol);
    free(e);
    return NULL;
}

int envelope_add_recipient(Envelope *e, const char *address)
{
    _cleanup_free_ char *copy = NULL;
    char **grown;

    if (e->n_recipients >= ENVELOPE_RECIPIENTS_MAX)
        return -E2BIG;
    copy = strdup(address);
    if (!copy)
        return -ENOMEM;
    grown = reallocarray(e->recipients, e->n_recipients + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    e->recipients = grown;
    e->recipients[e->n_recipients++] = TAKE_PTR(copy);
    return 0;
}

static bool value_fine(const char *s)
{
    for (; *s; s++)
        if ((unsigned char) *s < ' ' || *s == 127)
            return false;
    return true;
}

static int envelope_check(const Envelope *e)
{
    const char *const optional[] = {e->peer, e->helo, e->session, e->protocol};

    if (!e->sender || e->n_recipients == 0 || e->n_recipients > ENVELOPE_RECIPIENTS_MAX || !value_fine(e->sender))
        return -EINVAL;
    for (size_t i = 0; i < ELEMENTSOF(optional); i++)
        if (optional[i] && (!value_fine(optional[i]) || strlen(optional[i]) > ENVELOPE_VALUE_MAX))
            return -EINVAL;
    for (size_t i = 0; i < e->n_recipients; i++)
        if (!value_fine(e->recipients[i]) || !*e->recipients[i])
            return -EINVAL;
    return 0;
}

static void print_optional(FILE *f, const char *key, const char *value)
{
    if (value)
        fprintf(f, "%s %s\n", key, value);
}

static void print_envelope(FILE *f, const Envelope *e)
{
    fprintf(f, ENVELOPE_MAGIC "arrival %" PRIu64 "\nbody %s\nsmtputf8 %s\n", e->arrival_usec,
            e->body_8bit ? "8BITMIME" : "7BIT", e->smtputf8 ? "yes" : "no");
    if (e->tls != MESSAGE_TLS_DEFAULT)
        fprintf(f, "tls %s\n", message_tls_to_string(e->tls));
    print_optional(f, "peer", e->peer);
    print_optional(f, "helo", e->helo);
    print_optional(f, "session", e->session);
    print_optional(f, "protocol", e->protocol);
    fprintf(f, "sender %s\n", e->sender);
    for (size_t i = 0; i < e->n_recipients; i++)
        fprintf(f, "recipient %s\n", e->recipients[i]);
}

int envelope_format(const Envelope *e, uint64_t message_size, char **ret, size_t *ret_size)
{
    _cleanup_free_ char *text = NULL;
    char footer[ENVELOPE_FOOTER_SIZE + 1];
    size_t size = 0;
    bool failed;
    FILE *f;
    int r;

    r = envelope_check(e);
    if (r < 0)
        return r;
    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    print_envelope(f, e);
    failed = fflush(f) != 0;
    if (!failed) {
        (void) snprintf(footer, sizeof(footer), FOOTER_MAGIC "%020" PRIu64 " %08zu ", message_size, size);
        fprintf(f, "%s%08" PRIx32 "\n", footer, crc32c(crc32c(0, text, size), footer, FOOTER_SUMMED));
    }
    failed |= ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return -ENOMEM;
    if (size > ENVELOPE_TEXT_MAX)
        return -E2BIG;
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

/* A number of exactly n digits of base, no sign, no space. */
static int parse_fixed(const char *s, size_t n, int base, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        int digit;

        if (s[i] >= '0' && s[i] <= '9')
            digit = s[i] - '0';
        else if (base == 16 && s[i] >= 'a' && s[i] <= 'f')
            digit = s[i] - 'a' + 10;
        else
            return -EBADMSG;
        if (__builtin_mul_overflow(value, (uint64_t) base, &value) || __builtin_add_overflow(value, (uint64_t) digit, &value))
            return -EBADMSG;
    }
    *ret = value;
    return 0;
}

int envelope_parse_footer(const char *footer, uint64_t file_size, EnvelopeFooter *ret)
{
    const char *p = footer + strlen(FOOTER_MAGIC);
    uint64_t offset, size, sum;

    if (file_size < ENVELOPE_FOOTER_SIZE || memcmp(footer, FOOTER_MAGIC, strlen(FOOTER_MAGIC)) != 0
            || p[20] != ' ' || p[29] != ' ' || p[38] != '\n')
        return -EBADMSG;
    if (parse_fixed(p, 20, 10, &offset) < 0 || parse_fixed(p + 21, 8, 10, &size) < 0 || parse_fixed(p + 30, 8, 16, &sum) < 0)
        return -EBADMSG;
    if (size > ENVELOPE_TEXT_MAX || offset > file_size || file_size - offset != size + ENVELOPE_FOOTER_SIZE)
        return -EBADMSG;
    *ret = (EnvelopeFooter) {.offset = offset, .size = (uint32_t) size, .checksum = (uint32_t) sum};
    return 0;
}

/* Takes the next line off text: without its newline, NUL-terminated in place. NULL at the end or when a line is not ended. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    if (!*line || !end)
        return NULL;
    *end = '\0';
    *text = end + 1;
    return line;
}

static int set_string(char **field, const char *value)
{
    char *copy;

    if (*field)
        return -EBADMSG;
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    *field = copy;
    return 0;
}

static int envelope_parse_line(Envelope *e, const char *key, const char *value)
{
    if (streq(key, "recipient"))
        return *value ? envelope_add_recipient(e, value) : -EBADMSG;
    if (streq(key, "sender"))
        return set_string(&e->sender, value);
    if (streq(key, "peer"))
        return set_string(&e->peer, value);
    if (streq(key, "helo"))
        return set_string(&e->helo, value);
    if (streq(key, "session"))
        return set_string(&e->session, value);
    if (streq(key, "protocol"))
        return set_string(&e->protocol, value);
    if (streq(key, "tls"))
        return message_tls_from_string(value, &e->tls);
    if (streq(key, "body"))
        e->body_8bit = streq(value, "8BITMIME");
    else if (streq(key, "smtputf8"))
        e->smtputf8 = streq(value, "yes");
    else if (streq(key, "arrival"))
        return *value && strlen(value) < 20 ? parse_fixed(value, strlen(value), 10, &e->arrival_usec) : -EBADMSG;
    /* Keys of later versions are passed over. */
    return 0;
}

int envelope_parse(const char *text, const EnvelopeFooter *f, Envelope **ret)
{
    _cleanup_(envelope_freep) Envelope *e = NULL;
    _cleanup_free_ char *copy = NULL;
    char footer[ENVELOPE_FOOTER_SIZE + 1], *p, *line;
    int r;

    (void) snprintf(footer, sizeof(footer), FOOTER_MAGIC "%020" PRIu64 " %08" PRIu32 " ", f->offset, f->size);
    if (crc32c(crc32c(0, text, f->size), footer, FOOTER_SUMMED) != f->checksum)
        return -EBADMSG;
    if (f->size < strlen(ENVELOPE_MAGIC) || memcmp(text, ENVELOPE_MAGIC, strlen(ENVELOPE_MAGIC)) != 0 ||
            memchr(text, '\0', f->size) || text[f->size - 1] != '\n')
        return -EBADMSG;
    copy = strndup(text, f->size);
    e = calloc(1, sizeof(*e));
    if (!copy || !e)
        return -ENOMEM;
    p = copy + strlen(ENVELOPE_MAGIC);
    while ((line = next_line(&p))) {
        char *value = strchr(line, ' ');

        if (!value)
            return -EBADMSG;
        *value++ = '\0';
        r = envelope_parse_line(e, line, value);
        if (r < 0)
            return r == -ENOMEM ? r : -EBADMSG;
    }
    r = envelope_check(e);
    if (r < 0)
        return -EBADMSG;
    *ret = TAKE_PTR(e);
    return 0;
}
