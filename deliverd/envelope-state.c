/* SPDX-License-Identifier: Apache-2.0 */

/* ID.state as text: which recipients are done and when each destination is tried again. Losing one means delivering twice, never
 * losing mail. */

#include <inttypes.h>

#include "crc32c.h"
#include "envelope.h"

#define STATE_MAGIC "Postern-State: 1\n"
#define STATE_END_SIZE 13 /* "end 1a2b3c4d\n" */
#define STATE_TEXT_MAX (1024 * 1024)

static const char *const status_names[] = {
    [RECIPIENT_PENDING] = "pending",
    [RECIPIENT_DELIVERED] = "delivered",
    [RECIPIENT_FAILED] = "failed",
};

const char *recipient_status_to_string(RecipientStatus s)
{
    return s < ELEMENTSOF(status_names) ? status_names[s] : "unknown";
}

EnvelopeState *envelope_state_free(EnvelopeState *s)
{
    if (!s)
        return NULL;
    for (size_t i = 0; i < s->n_destinations; i++) {
        free(s->destinations[i].domain);
        free(s->destinations[i].reason);
    }
    free(s->destinations);
    free(s->recipients);
    free(s);
    return NULL;
}

int envelope_state_new(EnvelopeState **ret, size_t n_recipients)
{
    _cleanup_(envelope_state_freep) EnvelopeState *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->recipients = calloc(n_recipients, sizeof(*s->recipients));
    if (!s->recipients)
        return -ENOMEM;
    s->n_recipients = n_recipients;
    *ret = TAKE_PTR(s);
    return 0;
}

static DestinationState *find(const EnvelopeState *s, const char *domain)
{
    for (size_t i = 0; i < s->n_destinations; i++)
        if (streq(s->destinations[i].domain, domain))
            return s->destinations + i;
    return NULL;
}

const DestinationState *envelope_state_get(const EnvelopeState *s, const char *domain)
{
    return find(s, domain);
}

static char *clean_copy(const char *s)
{
    char *copy = strndup(s, ENVELOPE_VALUE_MAX);

    for (char *p = copy; p && *p; p++)
        if ((unsigned char) *p < ' ' || *p == 127)
            *p = '?';
    return copy;
}

int envelope_state_set(EnvelopeState *s, const char *domain, unsigned attempts, uint64_t next_usec, const char *reason)
{
    _cleanup_free_ char *reason_copy = clean_copy(reason), *domain_copy = NULL;
    DestinationState *d = find(s, domain), *grown;

    if (!reason_copy)
        return -ENOMEM;
    if (!d) {
        if (s->n_destinations >= s->n_recipients)
            return -E2BIG;
        domain_copy = strdup(domain);
        if (!domain_copy)
            return -ENOMEM;
        grown = reallocarray(s->destinations, s->n_destinations + 1, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        s->destinations = grown;
        d = grown + s->n_destinations++;
        *d = (DestinationState) {.domain = TAKE_PTR(domain_copy)};
    }
    free(d->reason);
    d->reason = TAKE_PTR(reason_copy);
    d->attempts = attempts;
    d->next_usec = next_usec;
    return 0;
}

int envelope_state_format(const EnvelopeState *s, char **ret, size_t *ret_size)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bool failed;

    if (!f)
        return -ENOMEM;
    fputs(STATE_MAGIC, f);
    for (size_t i = 0; i < s->n_recipients; i++)
        if (s->recipients[i] != RECIPIENT_PENDING)
            fprintf(f, "recipient %zu %s\n", i, recipient_status_to_string(s->recipients[i]));
    for (size_t i = 0; i < s->n_destinations; i++) {
        const DestinationState *d = s->destinations + i;

        fprintf(f, "destination %s %u %" PRIu64 " %s\n", d->domain, d->attempts, d->next_usec, d->reason);
    }
    failed = fflush(f) != 0;
    if (!failed)
        fprintf(f, "end %08" PRIx32 "\n", crc32c(0, text, size));
    failed |= ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    *ret_size = size;
    return 0;
}

static int parse_recipient(EnvelopeState *s, const char *value)
{
    size_t index;
    int end = 0;

    if (sscanf(value, "%9zu %n", &index, &end) < 1 || end == 0 || index >= s->n_recipients)
        return -EBADMSG;
    for (size_t i = 0; i < ELEMENTSOF(status_names); i++)
        if (streq(value + end, status_names[i])) {
            s->recipients[index] = (RecipientStatus) i;
            return 0;
        }
    return -EBADMSG;
}

static int parse_destination(EnvelopeState *s, const char *value)
{
    char domain[512];
    unsigned attempts;
    uint64_t next;
    int end = 0;

    if (sscanf(value, "%511s %9u %19" SCNu64 "%n", domain, &attempts, &next, &end) < 3 || end == 0 || value[end] != ' ')
        return -EBADMSG;
    return envelope_state_set(s, domain, attempts, next, value + end + 1);
}

int envelope_state_parse(const char *text, size_t size, size_t n_recipients, EnvelopeState **ret)
{
    _cleanup_(envelope_state_freep) EnvelopeState *s = NULL;
    _cleanup_free_ char *copy = NULL;
    char end[STATE_END_SIZE + 1], *save = NULL;
    size_t body;
    int r;

    if (size < strlen(STATE_MAGIC) + STATE_END_SIZE || size > STATE_TEXT_MAX
            || memcmp(text, STATE_MAGIC, strlen(STATE_MAGIC)) != 0)
        return -EBADMSG;
    body = size - STATE_END_SIZE;
    (void) snprintf(end, sizeof(end), "end %08" PRIx32 "\n", crc32c(0, text, body));
    if (memcmp(text + body, end, STATE_END_SIZE) != 0 || memchr(text, '\0', body))
        return -EBADMSG;

    r = envelope_state_new(&s, n_recipients);
    if (r < 0)
        return r;
    copy = strndup(text + strlen(STATE_MAGIC), body - strlen(STATE_MAGIC));
    if (!copy)
        return -ENOMEM;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "recipient ", 10) == 0)
            r = parse_recipient(s, line + 10);
        else if (strncmp(line, "destination ", 12) == 0)
            r = parse_destination(s, line + 12);
        else
            r = -EBADMSG;
        if (r < 0)
            return r == -ENOMEM ? r : -EBADMSG;
    }
    *ret = TAKE_PTR(s);
    return 0;
}
