/* SPDX-License-Identifier: Apache-2.0 */

/* getopt_long() over the words in front of the verb, then over those behind it, with the verb's own options first. */

#include "invocation.h"

#include <getopt.h>

#define LONG_OPTIONS_MAX 64
/* Values of getopt_long(): letters of common options are themselves, others are numbers by place. */
#define COMMON_FIRST 1024
#define OWN_FIRST 2048

typedef struct Options {
    struct option options[LONG_OPTIONS_MAX];
    size_t n;
    char letters[32];
} Options;

static bool options_have(const Options *o, const char *name)
{
    for (size_t i = 0; i < o->n; i++)
        if (streq(o->options[i].name, name))
            return true;
    return false;
}

static void options_add(Options *o, const char *name, int has_argument, int value)
{
    if (o->n + 1 < LONG_OPTIONS_MAX && !options_have(o, name))
        o->options[o->n++] = (struct option) {name, has_argument, NULL, value};
}

/* in_front: stop at the first word that is no option. */
static Options options_make(const Verb *verb, bool in_front)
{
    Options o = {};
    size_t letters = 0;

    if (in_front)
        o.letters[letters++] = '+';
    o.letters[letters++] = ':';
    for (size_t i = 0; verb && verb->options && verb->options[i].name; i++)
        options_add(&o, verb->options[i].name, verb->options[i].argument ? required_argument : no_argument, OWN_FIRST + (int) i);
    for (size_t i = 0; verb_common_options[i].help; i++) {
        const CommonOption *c = &verb_common_options[i];

        if (c->name)
            options_add(&o, c->name, !c->argument ? no_argument : c->optional ? optional_argument : required_argument,
                    COMMON_FIRST + (int) i);
        if (c->letter && letters + 2 < sizeof(o.letters)) {
            o.letters[letters++] = c->letter;
            if (c->argument && !c->optional)
                o.letters[letters++] = ':';
        }
    }
    return o;
}

static int apply_json(Invocation *i, const char *value, Failure *failure)
{
    i->json_auto = !value;
    if (!value || output_json_from_string(value, &i->json) >= 0)
        return 0;
    return failure_set(failure, STATUS_USAGE, "--json= is short, pretty or off, not '%s'", value);
}

static int apply_common(Invocation *i, int c, const char *value, Failure *failure)
{
    const char *name = c >= COMMON_FIRST ? verb_common_options[c - COMMON_FIRST].name : "";

    if (c == 'H' || streq(name, "host"))
        i->host = value;
    else if (c == 'j')
        i->json_auto = true;
    else if (streq(name, "json"))
        return apply_json(i, value, failure);
    else if (c == 'l' || streq(name, "full"))
        i->full = true;
    else if (streq(name, "no-legend"))
        i->legend = false;
    else if (streq(name, "no-pager"))
        i->pager = false;
    else if (c == 'h' || streq(name, "help"))
        i->help = true;
    else
        i->version = true;
    return 0;
}

static int apply_own(Invocation *i, const VerbOption *option, const char *value, Failure *failure)
{
    if (i->n_given == INVOCATION_OPTIONS_MAX)
        return failure_set(failure, STATUS_USAGE, "There are too many options");
    i->given[i->n_given++] = (InvocationOption) {option, value ?: ""};
    return 0;
}

/* optopt: a letter; of a long option its value, 0 if there is none like it. */
static int complain(int c, const char *word, Failure *failure)
{
    const char letter[] = {'-', (char) optopt, '\0'};
    const bool is_long = optopt == 0 || optopt >= COMMON_FIRST;
    const int n = is_long ? (int) strcspn(word, "=") : 2;

    if (!is_long)
        word = letter;
    if (c == ':')
        return failure_set(failure, STATUS_USAGE, "Option %.*s needs a value", n, word);
    if (optopt >= COMMON_FIRST)
        return failure_set(failure, STATUS_USAGE, "Option %.*s takes no value", n, word);
    return failure_set(failure, STATUS_USAGE, "There is no option %.*s here, or it is short for more than one", n, word);
}

/* Returns how many words were options or their values; with in_front those up to the first other word, else the other words are
 * moved behind them. words[0] is none of them. */
static int parse_options(Invocation *i, int n, char *words[], const Verb *verb, bool in_front, Failure *failure)
{
    const Options o = options_make(verb, in_front);
    int c, r;

    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((c = getopt_long(n, words, o.letters, o.options, NULL)) >= 0) {
        if (c == '?' || c == ':')
            return complain(c, words[optind - 1], failure);
        r = c >= OWN_FIRST ? apply_own(i, &verb->options[c - OWN_FIRST], optarg, failure) : apply_common(i, c, optarg, failure);
        if (r < 0)
            return r;
    }
    return optind - 1;
}

static int check_arguments(const Invocation *i, Failure *failure)
{
    const Verb *v = i->verb;

    if (i->n_arguments >= v->arguments_min && i->n_arguments <= v->arguments_max)
        return 0;
    return failure_set(failure, STATUS_USAGE, "It is: posternctl %s%s%s%s%s", v->group ?: "", v->group ? " " : "", v->name,
            *v->arguments ? " " : "", v->arguments);
}

/* The verb's words are found one after the other, with options of all verbs between them. */
static int find_verb(const Verb *verbs, Invocation *i, int *n, char ***words, Failure *failure)
{
    for (;;) {
        const char *word;
        int r;

        r = parse_options(i, *n, *words, NULL, true, failure);
        if (r < 0)
            return r;
        *n -= r;
        *words += r;
        if (*n <= 1) {
            i->verb = verb_default(verbs, i->group);
            return 0;
        }
        word = (*words)[1];
        if (!i->group && verb_is_group(verbs, word)) {
            i->group = word;
            (*n)--;
            (*words)++;
            continue;
        }
        i->verb = verb_find(verbs, i->group, word);
        if (!i->verb)
            return failure_set(failure, STATUS_USAGE, "There is no command '%s%s%s'; posternctl --help shows all", i->group ?: "",
                    i->group ? " " : "", word);
        (*n)--;
        (*words)++;
        return 0;
    }
}

int invocation_parse(const Verb *verbs, int argc, char *argv[], Invocation *ret, Failure *failure)
{
    Invocation i = {.legend = true, .pager = true};
    bool named;
    int r;

    r = find_verb(verbs, &i, &argc, &argv, failure);
    if (r < 0)
        return r;
    named = i.verb && argc >= 1 && streq(argv[0], i.verb->name);
    if (i.verb) {
        r = parse_options(&i, argc, argv, i.verb, false, failure);
        if (r < 0)
            return r;
        i.arguments = argv + r + 1;
        i.n_arguments = (size_t) (argc - r - 1);
    }
    if (i.help && !named)
        i.verb = NULL;
    if (!i.help && !i.version) {
        if (!i.verb)
            return failure_set(failure, STATUS_USAGE, "A command is missing; posternctl%s%s --help shows them",
                    i.group ? " " : "", i.group ?: "");
        r = check_arguments(&i, failure);
        if (r < 0)
            return r;
    }
    *ret = i;
    return 0;
}

const char *invocation_option_next(const Invocation *i, const char *name, size_t *position)
{
    while (*position < i->n_given) {
        const InvocationOption *given = &i->given[(*position)++];

        if (streq(given->option->name, name))
            return given->value;
    }
    return NULL;
}

const char *invocation_option(const Invocation *i, const char *name)
{
    const char *value = NULL, *next;
    size_t position = 0;

    while ((next = invocation_option_next(i, name, &position)))
        value = next;
    return value;
}
