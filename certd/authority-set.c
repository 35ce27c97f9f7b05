/* SPDX-License-Identifier: Apache-2.0 */

/* The lists of authorities. It must never trust one that was disabled, nor read half a file as a whole one: the file says first
 * how much there is to come. */

#include "authority-set.h"

#include <inttypes.h>
#include <time.h>

#define FILE_HEADING "# Lists of certificate authorities of postern-certd(8). They are changed by \"posternctl ca\".\n"
#define ENABLED "enabled"
#define DISABLED "disabled"

static const char *const list_names[_AUTHORITY_LIST_MAX] = {
    [AUTHORITY_LIST_SYSTEM] = "system",
    [AUTHORITY_LIST_CUSTOM] = "custom",
};

const char *authority_list_to_string(AuthorityListId id)
{
    return list_names[id];
}

int authority_list_from_string(const char *s, AuthorityListId *ret)
{
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++)
        if (streq(s, list_names[id])) {
            *ret = id;
            return 0;
        }
    return -EINVAL;
}

int authority_set_new(AuthoritySet **ret)
{
    AuthoritySet *s = calloc(1, sizeof(AuthoritySet));

    if (!s)
        return -ENOMEM;
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++)
        s->lists[id].enabled = true;
    *ret = s;
    return 0;
}

AuthoritySet *authority_set_free(AuthoritySet *s)
{
    if (!s)
        return NULL;
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++) {
        authority_list_done(&s->lists[id].authorities);
        free(s->lists[id].disabled);
    }
    free(s);
    return NULL;
}

/* ---- what is disabled ---- */

static size_t find_disabled(const AuthoritySetList *l, const char *fingerprint)
{
    size_t i = 0;

    while (i < l->n_disabled && !streq(l->disabled[i], fingerprint))
        i++;
    return i;
}

/* In the custom list nothing is remembered of what is not there: it was removed by name. */
static void forget_removed(AuthoritySetList *l)
{
    for (size_t i = 0; i < l->n_disabled;)
        if (authority_list_find(&l->authorities, l->disabled[i]))
            i++;
        else
            memmove(l->disabled[i], l->disabled[--l->n_disabled], AUTHORITY_FINGERPRINT_SIZE);
}

void authority_set_settle(AuthoritySet *s)
{
    forget_removed(&s->lists[AUTHORITY_LIST_CUSTOM]);
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++) {
        AuthoritySetList *l = &s->lists[id];

        authority_list_sort(&l->authorities);
        for (size_t i = 0; i < l->authorities.n; i++)
            l->authorities.items[i]->enabled = find_disabled(l, l->authorities.items[i]->fingerprint) == l->n_disabled;
    }
}

static int add_disabled(AuthoritySetList *l, const char *fingerprint)
{
    void *disabled;

    if (l->n_disabled >= AUTHORITIES_LIST_MAX)
        return -E2BIG;
    disabled = reallocarray(l->disabled, l->n_disabled + 1, sizeof(*l->disabled));
    if (!disabled)
        return -ENOMEM;
    l->disabled = disabled;
    memcpy(l->disabled[l->n_disabled++], fingerprint, AUTHORITY_FINGERPRINT_SIZE);
    return 1;
}

int authority_set_enable(AuthoritySet *s, AuthorityListId id, const char *fingerprint, bool enable)
{
    AuthoritySetList *l = &s->lists[id];
    size_t i = find_disabled(l, fingerprint);

    if (enable == (i == l->n_disabled))
        return 0;
    if (!enable)
        return add_disabled(l, fingerprint);
    memmove(l->disabled[i], l->disabled[--l->n_disabled], AUTHORITY_FINGERPRINT_SIZE);
    return 1;
}

/* ---- looking ---- */

int authority_set_resolve(const AuthoritySet *s, AuthorityListId id, const char *typed, char ret[AUTHORITY_FINGERPRINT_SIZE])
{
    char prefix[AUTHORITY_FINGERPRINT_SIZE];
    const Authority *found = NULL;

    if (!authority_fingerprint_parse(typed, prefix))
        return -EINVAL;
    for (AuthorityListId k = 0; k < _AUTHORITY_LIST_MAX; k++) {
        const AuthorityList *l = &s->lists[k].authorities;

        for (size_t i = 0; (id == _AUTHORITY_LIST_MAX || id == k) && i < l->n; i++) {
            if (strncmp(l->items[i]->fingerprint, prefix, strlen(prefix)) != 0)
                continue;
            if (found && !streq(found->fingerprint, l->items[i]->fingerprint))
                return -ENOTUNIQ;
            found = l->items[i];
        }
    }
    if (!found)
        return -ENOENT;
    memcpy(ret, found->fingerprint, AUTHORITY_FINGERPRINT_SIZE);
    return 0;
}

static bool is_trusted_by(const AuthoritySetList *l, const char *fingerprint)
{
    const Authority *a = l->enabled ? authority_list_find(&l->authorities, fingerprint) : NULL;

    return a && a->enabled;
}

const Authority *authority_set_next_trusted(const AuthoritySet *s, size_t *position)
{
    const AuthoritySetList *system = &s->lists[AUTHORITY_LIST_SYSTEM], *custom = &s->lists[AUTHORITY_LIST_CUSTOM];

    while (*position < system->authorities.n + custom->authorities.n) {
        size_t i = (*position)++;
        bool in_system = i < system->authorities.n;
        const Authority *a = in_system ? system->authorities.items[i] : custom->authorities.items[i - system->authorities.n];

        if (!a->enabled || !(in_system ? system : custom)->enabled)
            continue;
        if (!in_system && is_trusted_by(system, a->fingerprint))
            continue; /* it was there before */
        return a;
    }
    return NULL;
}

/* ---- text ---- */

typedef struct Text {
    FILE *file;
    char *data;
    size_t size;
} Text;

static void text_done(Text *t)
{
    if (t->file)
        (void) fclose(t->file);
    free(t->data);
}

static int text_begin(Text *t)
{
    t->file = open_memstream(&t->data, &t->size);
    return t->file ? 0 : -ENOMEM;
}

static int text_end(Text *t, char **ret)
{
    bool failed = ferror(t->file);

    failed |= fclose(t->file) != 0;
    t->file = NULL;
    if (failed)
        return -ENOMEM;
    *ret = TAKE_PTR(t->data);
    return 0;
}

static const char *format_day(char buffer[32], uint64_t usec)
{
    time_t t = (time_t) (usec / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(buffer, 32, "%Y-%m-%d", &tm) == 0)
        return "-";
    return buffer;
}

int authority_set_export(const AuthoritySet *s, AuthorityListId id, char **ret)
{
    const AuthoritySetList *l = &s->lists[id];
    _cleanup_(text_done) Text t = {};

    if (text_begin(&t) < 0)
        return -ENOMEM;
    (void) fprintf(t.file, "# The %s list of certificate authorities: %zu, %s.\n", authority_list_to_string(id), l->authorities.n,
            l->enabled ? ENABLED : DISABLED);
    for (size_t i = 0; i < l->authorities.n; i++) {
        const Authority *a = l->authorities.items[i];
        char from[32], until[32];

        (void) fprintf(t.file, "\n# %s%s\n# Subject: %s\n# Valid: %s to %s\n# SHA-256: %s\n%s", a->name,
                a->enabled ? "" : " (disabled)", a->subject, format_day(from, a->not_before_usec),
                format_day(until, a->not_after_usec), a->fingerprint, a->pem);
    }
    return text_end(&t, ret);
}

int authority_set_trusted(const AuthoritySet *s, char **ret)
{
    _cleanup_(text_done) Text t = {};
    const Authority *a;
    size_t position = 0;

    if (text_begin(&t) < 0)
        return -ENOMEM;
    while ((a = authority_set_next_trusted(s, &position)))
        (void) fputs(a->pem, t.file);
    return text_end(&t, ret);
}

int authority_set_format(const AuthoritySet *s, char **ret)
{
    const AuthorityList *custom = &s->lists[AUTHORITY_LIST_CUSTOM].authorities;
    _cleanup_(text_done) Text t = {};

    if (text_begin(&t) < 0)
        return -ENOMEM;
    (void) fputs(FILE_HEADING, t.file);
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++)
        (void) fprintf(t.file, "List: %s %s %zu\n", authority_list_to_string(id), s->lists[id].enabled ? ENABLED : DISABLED,
                s->lists[id].n_disabled);
    (void) fprintf(t.file, "Certificates: %zu\n", custom->n);
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++)
        for (size_t i = 0; i < s->lists[id].n_disabled; i++)
            (void) fprintf(t.file, "Disabled: %s %s\n", authority_list_to_string(id), s->lists[id].disabled[i]);
    for (size_t i = 0; i < custom->n; i++)
        (void) fputs(custom->items[i]->pem, t.file);
    return text_end(&t, ret);
}

typedef struct Reader {
    const char *next;
    unsigned line;
} Reader;

static int bad_line(const Reader *r, char reason[AUTHORITY_REASON_MAX])
{
    (void) snprintf(reason, AUTHORITY_REASON_MAX, "line %u is not as certd wrote it", r->line);
    return -EBADMSG;
}

/* Copies the next line; false at the end and for one that is too long or does not end. */
static bool read_line(Reader *r, char *line, size_t size)
{
    const char *stop = strchr(r->next, '\n');

    r->line++;
    if (!stop || (size_t) (stop - r->next) >= size)
        return false;
    memcpy(line, r->next, (size_t) (stop - r->next));
    line[stop - r->next] = '\0';
    r->next = stop + 1;
    return true;
}

static int read_list(Reader *r, AuthoritySet *s, AuthorityListId id, size_t *ret_disabled, char reason[AUTHORITY_REASON_MAX])
{
    char line[160], name[16], state[16];
    size_t n;

    if (!read_line(r, line, sizeof(line)) || sscanf(line, "List: %15s %15s %zu", name, state, &n) != 3
            || !streq(name, authority_list_to_string(id)) || (!streq(state, ENABLED) && !streq(state, DISABLED))
            || n > AUTHORITIES_LIST_MAX)
        return bad_line(r, reason);
    s->lists[id].enabled = streq(state, ENABLED);
    *ret_disabled = n;
    return 0;
}

static int read_disabled(Reader *r, AuthoritySet *s, AuthorityListId id, size_t n, char reason[AUTHORITY_REASON_MAX])
{
    char line[160], name[16], typed[AUTHORITY_FINGERPRINT_SIZE], fingerprint[AUTHORITY_FINGERPRINT_SIZE];
    int k;

    while (n-- > 0) {
        if (!read_line(r, line, sizeof(line)) || sscanf(line, "Disabled: %15s %95s", name, typed) != 2
                || !streq(name, authority_list_to_string(id)) || !authority_fingerprint_parse(typed, fingerprint)
                || strlen(fingerprint) + 1 != AUTHORITY_FINGERPRINT_SIZE)
            return bad_line(r, reason);
        k = authority_set_enable(s, id, fingerprint, false);
        if (k <= 0)
            return k < 0 ? k : bad_line(r, reason);
    }
    return 0;
}

int authority_set_read(AuthoritySet *s, const char *text, size_t size, char reterr_reason[AUTHORITY_REASON_MAX])
{
    size_t n_disabled[_AUTHORITY_LIST_MAX], n;
    AuthorityList *custom = &s->lists[AUTHORITY_LIST_CUSTOM].authorities;
    AuthorityParsed parsed = {};
    Reader reader = {.next = text};
    char line[160];
    int r = 0;

    if (strlen(text) != size || !read_line(&reader, line, sizeof(line)) || line[0] != '#')
        return bad_line(&reader, reterr_reason);
    for (AuthorityListId id = 0; r >= 0 && id < _AUTHORITY_LIST_MAX; id++)
        r = read_list(&reader, s, id, &n_disabled[id], reterr_reason);
    if (r < 0)
        return r;
    if (!read_line(&reader, line, sizeof(line)) || sscanf(line, "Certificates: %zu", &n) != 1)
        return bad_line(&reader, reterr_reason);
    for (AuthorityListId id = 0; r >= 0 && id < _AUTHORITY_LIST_MAX; id++)
        r = read_disabled(&reader, s, id, n_disabled[id], reterr_reason);
    if (r < 0)
        return r;
    if (*reader.next) {
        r = authority_parse(reader.next, size - (size_t) (reader.next - text), AUTHORITY_PARSE_STRICT, custom, &parsed,
                reterr_reason);
        if (r < 0)
            return r == -ENOMEM ? r : -EBADMSG;
    }
    if (custom->n != n || parsed.duplicates > 0) {
        (void) snprintf(reterr_reason, AUTHORITY_REASON_MAX, "there should be %zu certificates in it, and there are %zu", n,
                custom->n);
        return -EBADMSG;
    }
    authority_set_settle(s);
    return 0;
}
