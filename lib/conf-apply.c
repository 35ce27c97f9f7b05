/* SPDX-License-Identifier: Apache-2.0 */

/* Applies assignments to a daemon's structures through its table of keys. A wrong value is an error and the target must be thrown
 * away; an unknown name is a warning with the nearest known one, since a newer or older version may know it. */

#include "conf.h"

#include <ctype.h>
#include <strings.h>

#include "conf-internal.h"

#define NAME_LENGTH_MAX 64

/* Optimal string alignment distance without case: insertions, deletions, substitutions, and swaps of neighbours ("TSL"). */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_LENGTH_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    size_t n = strlen(a), m = strlen(b);

    if (n > NAME_LENGTH_MAX || m > NAME_LENGTH_MAX)
        return UINT32_MAX;
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned) j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *spare = before;

        row[0] = (unsigned) i;
        for (size_t j = 1; j <= m; j++) {
            int ca = tolower((unsigned char) a[i - 1]), cb = tolower((unsigned char) b[j - 1]);

            row[j] = MIN(MIN(last[j] + 1, row[j - 1] + 1), last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == tolower((unsigned char) b[j - 2]) && tolower((unsigned char) a[i - 2]) == cb)
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

/* Nearness worth a guess: a third of the name may differ, one letter always. */
static bool nearer(const char *wrong, const char *candidate, unsigned *best)
{
    unsigned d = distance(wrong, candidate);

    if (d > MAX(strlen(wrong) / 3, 1u) || d >= *best)
        return false;
    *best = d;
    return true;
}

static const ConfKey *find_key(const ConfKey *keys, size_t n, const ConfAssignment *a)
{
    for (size_t i = 0; i < n; i++)
        if (streq(keys[i].section, a->section) && streq(keys[i].key, a->key))
            return &keys[i];
    return NULL;
}

static bool section_known(const ConfKey *keys, size_t n, const char *section)
{
    for (size_t i = 0; i < n; i++)
        if (streq(keys[i].section, section))
            return true;
    return false;
}

static int warn_section(const ConfKey *keys, size_t n, const ConfAssignment *a, ConfReport *report)
{
    const char *nearest = NULL;
    unsigned best = UINT32_MAX;

    for (size_t i = 0; i < n; i++)
        if (nearer(a->section, keys[i].section, &best))
            nearest = keys[i].section;
    if (nearest)
        return conf_report_add(report, CONF_WARNING, a->file, a->line, "Unknown section [%s], ignored; did you mean [%s]?",
                a->section, nearest);
    return conf_report_add(report, CONF_WARNING, a->file, a->line, "Unknown section [%s], ignored", a->section);
}

static int warn_key(const ConfKey *keys, size_t n, const ConfAssignment *a, ConfReport *report)
{
    const char *space = a->name ? " " : "", *name = a->name ?: "", *nearest = NULL, *elsewhere = NULL;
    unsigned best = UINT32_MAX;

    for (size_t i = 0; i < n; i++)
        if (!streq(keys[i].section, a->section))
            elsewhere = streq(keys[i].key, a->key) ? keys[i].section : elsewhere;
        else if (nearer(a->key, keys[i].key, &best))
            nearest = keys[i].key;
    if (nearest)
        return conf_report_add(report, CONF_WARNING, a->file, a->line,
                "Unknown key '%s' in [%s%s%s], ignored; did you mean '%s'?", a->key, a->section, space, name, nearest);
    if (elsewhere)
        return conf_report_add(report, CONF_WARNING, a->file, a->line,
                "Unknown key '%s' in [%s%s%s], ignored; it belongs in [%s]", a->key, a->section, space, name, elsewhere);
    return conf_report_add(report, CONF_WARNING, a->file, a->line, "Unknown key '%s' in [%s%s%s], ignored", a->key, a->section,
            space, name);
}

static int apply_one(const ConfAssignment *a, const ConfKey *key, void *object, ConfReport *report)
{
    _cleanup_free_ char *reason = NULL;
    int r;

    r = key->parse(a, (char *) object + key->offset, key->ltype, &reason);
    if (r >= 0 || r == -ENOMEM)
        return r;
    return conf_report_add(report, CONF_ERROR, a->file, a->line, "Wrong value '%s' of '%s' in [%s%s%s]: %s",
            a->value, a->key, a->section, a->name ? " " : "", a->name ?: "", reason ?: strerror(-r));
}

/* Where a run of assignments of one section goes. */
typedef struct Run {
    const ConfAssignment *first;
    void *object; /* NULL: the section is unknown or refused, and that was said */
} Run;

static bool run_covers(const Run *run, const ConfAssignment *a)
{
    return run->first && streq(run->first->section, a->section) && streq(run->first->name ?: "", a->name ?: "");
}

static int run_start(Run *run, const ConfKey *keys, size_t n_keys, ConfSection section, void *target, const ConfAssignment *a,
        ConfReport *report)
{
    _cleanup_free_ char *reason = NULL;

    *run = (Run) {.first = a};
    if (!section_known(keys, n_keys, a->section))
        return warn_section(keys, n_keys, a, report);
    if (!section && a->name)
        return conf_report_add(report, CONF_ERROR, a->file, a->line, "[%s] has no name; write it without '%s'", a->section,
                a->name);
    run->object = section ? section(target, a->section, a->name, &reason) : target;
    if (run->object)
        return 0;
    return conf_report_add(report, CONF_ERROR, a->file, a->line, "[%s%s%s]: %s",
            a->section, a->name ? " " : "", a->name ?: "", reason ?: "the section is not possible here");
}

int conf_apply(const Conf *c, const ConfKey *keys, size_t n_keys, ConfSection section, void *target, ConfReport *report)
{
    Run run = {};
    int r;

    for (size_t i = 0; i < c->n_assignments; i++) {
        const ConfAssignment *a = &c->assignments[i];
        const ConfKey *key;

        if (!run_covers(&run, a)) {
            r = run_start(&run, keys, n_keys, section, target, a, report);
            if (r < 0)
                return r;
        }
        if (!run.object)
            continue;
        key = find_key(keys, n_keys, a);
        r = key ? apply_one(a, key, run.object, report) : warn_key(keys, n_keys, a, report);
        if (r < 0)
            return r;
    }
    return conf_report_has_errors(report) ? -EBADMSG : 0;
}
