/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line: which verb, with which arguments and options. Options stand anywhere behind the word that they belong to;
 * those of all verbs also in front of it. An option of a verb hides the one of the same name that all verbs have, behind the
 * verb: "posternctl --host=gate cert tlsa mx --host mx.example.com". Pure. */

#include "verb.h"

#define INVOCATION_OPTIONS_MAX 256

typedef struct InvocationOption {
    const VerbOption *option;
    const char *value; /* "" if it takes none */
} InvocationOption;

struct Invocation {
    const char *group; /* NULL: none was named */
    const Verb *verb;  /* NULL: only with help or version */
    bool help, version;
    const char *host;
    OutputJson json;
    bool json_auto; /* -j: by where it goes to */
    bool legend, pager, full;
    InvocationOption given[INVOCATION_OPTIONS_MAX];
    size_t n_given;
    char **arguments; /* NULL-ended, within argv */
    size_t n_arguments;
};

/* argv may be put in another order; *ret points into it. Sets failure (STATUS_USAGE) if it makes no sense. Cannot be called by
 * two threads at once (getopt). */
int invocation_parse(const Verb *verbs, int argc, char *argv[], Invocation *ret, Failure *failure);

/* The value of an option of the verb, the last one given; NULL if it was not given. */
const char *invocation_option(const Invocation *i, const char *name);
/* The next value of an option that adds up; *position is 0 at first. NULL at the end. */
const char *invocation_option_next(const Invocation *i, const char *name, size_t *position);
