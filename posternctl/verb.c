/* SPDX-License-Identifier: Apache-2.0 */

/* The table of verbs, looked up and printed. It must know no verb by name. */

#include "verb.h"

#include "pager.h"

#define HELP_COLUMN 36

const CommonOption verb_common_options[] = {
    {"host", 'H', "[USER@]HOST", false, "of another host, by ssh"},
    {"json", 0, "short|pretty|off", true, "JSON instead of text"},
    {NULL, 'j', NULL, false, "JSON, pretty on a terminal"},
    {"full", 'l', NULL, false, "do not shorten what is too wide"},
    {"no-legend", 0, NULL, false, "without headings and sums"},
    {"no-pager", 0, NULL, false, "do not show long text in a pager"},
    {"help", 'h', NULL, false, "print this, or that of a command"},
    {"version", 0, NULL, false, "print the version"},
    {},
};

void context_page(Context *context)
{
    if (context->pager == 0)
        context->pager = pager_open(&context->output);
}

static bool same_group(const Verb *v, const char *group)
{
    return v->group && group ? streq(v->group, group) : !v->group && !group;
}

const Verb *verb_find(const Verb *verbs, const char *group, const char *name)
{
    for (const Verb *v = verbs; v->name; v++)
        if (same_group(v, group) && streq(v->name, name))
            return v;
    return NULL;
}

const Verb *verb_default(const Verb *verbs, const char *group)
{
    for (const Verb *v = verbs; v->name; v++)
        if (same_group(v, group) && v->is_default)
            return v;
    return NULL;
}

bool verb_is_group(const Verb *verbs, const char *name)
{
    for (const Verb *v = verbs; v->name; v++)
        if (v->group && streq(v->group, name))
            return true;
    return false;
}

/* ---- help ---- */

static void print_entry(FILE *f, int used, const char *help)
{
    if (used >= HELP_COLUMN)
        (void) fprintf(f, "\n%*s%s\n", HELP_COLUMN, "", help);
    else
        (void) fprintf(f, "%*s%s\n", HELP_COLUMN - used, "", help);
}

static void print_verb(FILE *f, const Verb *v)
{
    const int used = fprintf(f, "  %s%s%s%s%s ", v->group ?: "", v->group ? " " : "", v->name,
            *v->arguments ? " " : "", v->arguments);

    print_entry(f, used, v->help);
}

static void print_verbs(FILE *f, const Verb *verbs, const char *group)
{
    (void) fprintf(f, "\nCommands:\n");
    for (const Verb *v = verbs; v->name; v++) {
        if (group && !same_group(v, group))
            continue;
        if (!group && v > verbs && !same_group(v, v[-1].group))
            (void) fputc('\n', f);
        print_verb(f, v);
    }
}

static void print_common(FILE *f)
{
    (void) fprintf(f, "\nOptions of all commands:\n");
    for (const CommonOption *o = verb_common_options; o->help; o++) {
        int used = fprintf(f, o->letter ? "  -%c" : "    ", o->letter);

        if (o->name)
            used += fprintf(f, " --%s", o->name);
        if (o->argument)
            used += fprintf(f, o->optional ? "[=%s]" : "=%s", o->argument);
        print_entry(f, used, o->help);
    }
}

static void print_own(FILE *f, const Verb *verb)
{
    if (!verb->options)
        return;
    (void) fprintf(f, "\nOptions:\n");
    for (const VerbOption *o = verb->options; o->name; o++)
        print_entry(f, fprintf(f, "     --%s%s%s", o->name, o->argument ? "=" : "", o->argument ?: ""), o->help);
}

void verb_help(FILE *f, const Verb *verbs, const char *group, const Verb *verb)
{
    if (verb) {
        (void) fprintf(f, "posternctl%s%s %s [OPTION]...%s%s\n\n%c%s.\n", verb->group ? " " : "", verb->group ?: "", verb->name,
                *verb->arguments ? " " : "", verb->arguments, verb->help[0] & ~0x20, verb->help + 1);
        print_own(f, verb);
    } else {
        (void) fprintf(f, "posternctl [OPTION]... %s%sCOMMAND [ARGUMENT]...\n\n"
                "Look at the mail gateway postern, and control it.\n", group ?: "", group ? " " : "");
        print_verbs(f, verbs, group);
    }
    print_common(f);
    (void) fprintf(f, "\nSee posternctl(1).\n");
}
