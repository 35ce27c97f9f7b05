/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What posternctl can do, as a table: "queue flush [DOMAIN]" is verb flush of group queue. The command line is parsed, --help is
 * printed and the shell completes by this table. */

#include "bus-connect.h"
#include "output.h"

typedef struct Invocation Invocation;

typedef struct VerbOption {
    const char *name;     /* "days" */
    const char *argument; /* "NUMBER"; NULL: it takes none */
    const char *help;
} VerbOption;

typedef struct Context {
    const Invocation *invocation;
    BusConnection *bus;
    Output output;
    Failure failure;
    pid_t pager; /* 0: none (yet) */
} Context;

/* For a verb that is about to show long text. */
void context_page(Context *context);

#define VERB_ARGUMENTS_ANY UINT32_MAX

typedef struct Verb {
    const char *group; /* NULL: a verb by itself */
    const char *name;
    const char *arguments; /* as --help shows them; "" */
    const char *help;
    unsigned arguments_min, arguments_max;
    bool is_default;           /* of its group, or of posternctl itself, when nothing is named */
    const VerbOption *options; /* {}-ended, or NULL */
    /* Returns 0, a positive exit status, or negative errno, with context->failure where there is more to say. */
    int (*run)(Context *context, char *const *arguments);
} Verb;

/* Those that every verb has; {}-ended, in the order of --help. */
typedef struct CommonOption {
    const char *name;
    char letter; /* 0: none */
    const char *argument;
    bool optional; /* the argument is */
    const char *help;
} CommonOption;
extern const CommonOption verb_common_options[];

/* verbs: {}-ended, those of a group together. NULL if there is none of that name. */
const Verb *verb_find(const Verb *verbs, const char *group, const char *name);
const Verb *verb_default(const Verb *verbs, const char *group);
bool verb_is_group(const Verb *verbs, const char *name);

/* --help: of everything, of a group, or of a verb with its options. */
void verb_help(FILE *f, const Verb *verbs, const char *group, const Verb *verb);
