/* SPDX-License-Identifier: Apache-2.0 */

/* Command lines: what is understood as what, and what the complaint about the others is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "invocation.h"
#include "verbs.h"

static int run_nothing(Context *context, char *const *arguments)
{
    return 0;
}

static const VerbOption dig_options[] = {
    {"deep", NULL, "deeply"},
    {"host", "NAME", "whose"},
    {"tool", "NAME", "with it"},
    {},
};

static const Verb verbs[] = {
    {NULL, "look", "[WHERE]", "look around", 0, 1, true, NULL, run_nothing},
    {"hole", "dig", "PLACE [DEPTH]", "dig one", 1, 2, false, dig_options, run_nothing},
    {"hole", "list", "", "all", 0, 0, true, NULL, run_nothing},
    {"bag", "pack", "THING...", "pack it", 1, VERB_ARGUMENTS_ANY, false, NULL, run_nothing},
    {},
};

#define WORDS_MAX 16

/* Words are parted by single blanks. */
typedef struct Line {
    char *text;
    char *words[WORDS_MAX];
    int n;
} Line;

static void line_done(Line *l)
{
    free(l->text);
}

static int parse(const Verb *table, Line *l, const char *text, Invocation *ret, Failure *failure)
{
    l->text = strdup(text);
    assert_non_null(l->text);
    for (char *save, *word = strtok_r(l->text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(l->n + 1 < WORDS_MAX);
        l->words[l->n++] = word;
    }
    return invocation_parse(table, l->n, l->words, ret, failure);
}

static void test_understood(void **state)
{
    static const struct {
        const char *line;
        const Verb *verb;
        size_t n_arguments;
        const char *first; /* argument */
        const char *host;
        const char *own_host;
    } table[] = {
        {"ctl", &verbs[0], 0, NULL, NULL, NULL},
        {"ctl look", &verbs[0], 0, NULL, NULL, NULL},
        {"ctl look there", &verbs[0], 1, "there", NULL, NULL},
        {"ctl hole", &verbs[2], 0, NULL, NULL, NULL},
        {"ctl hole list", &verbs[2], 0, NULL, NULL, NULL},
        {"ctl hole dig here", &verbs[1], 1, "here", NULL, NULL},
        {"ctl hole --host=a dig here", &verbs[1], 1, "here", "a", NULL},
        {"ctl --host a hole dig here 3", &verbs[1], 2, "here", "a", NULL},
        {"ctl hole dig --host a here", &verbs[1], 1, "here", NULL, "a"},
        {"ctl -Hb hole dig here --host=a", &verbs[1], 1, "here", "b", "a"},
        {"ctl hole dig here -H b --host a", &verbs[1], 1, "here", "b", "a"},
        {"ctl hole dig here --deep --too spade", &verbs[1], 1, "here", NULL, NULL},
        {"ctl hole dig -- --deep", &verbs[1], 1, "--deep", NULL, NULL},
        {"ctl bag pack a b c d", &verbs[3], 4, "a", NULL, NULL},
        {"ctl bag pack a --no-legend b", &verbs[3], 2, "a", NULL, NULL},
        {"ctl bag pack -", &verbs[3], 1, "-", NULL, NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(failure_done) Failure failure = {};
        _cleanup_(line_done) Line line = {};
        const char *own_host;
        Invocation in;

        if (parse(verbs, &line, table[i].line, &in, &failure) < 0)
            fail_msg("%s: %s", table[i].line, failure.text);
        assert_ptr_equal(in.verb, table[i].verb);
        assert_int_equal(in.n_arguments, table[i].n_arguments);
        assert_null(in.arguments[in.n_arguments]);
        if (table[i].first)
            assert_string_equal(in.arguments[0], table[i].first);
        assert_string_equal(in.host ?: "none", table[i].host ?: "none");
        own_host = invocation_option(&in, "host");
        assert_string_equal(own_host ?: "none", table[i].own_host ?: "none");
    }
}

static void test_not_understood(void **state)
{
    static const struct {
        const char *line, *text;
    } table[] = {
        {"ctl jump", "There is no command 'jump'; posternctl --help shows all"},
        {"ctl hole jump", "There is no command 'hole jump'; posternctl --help shows all"},
        {"ctl bag", "A command is missing; posternctl bag --help shows them"},
        {"ctl dig here", "There is no command 'dig'; posternctl --help shows all"},
        {"ctl look here there", "It is: posternctl look [WHERE]"},
        {"ctl hole dig", "It is: posternctl hole dig PLACE [DEPTH]"},
        {"ctl --deep hole dig here", "There is no option --deep here, or it is short for more than one"},
        {"ctl look -x", "There is no option -x here, or it is short for more than one"},
        {"ctl look --no", "There is no option --no here, or it is short for more than one"},
        {"ctl hole dig here --tool", "Option --tool needs a value"},
        {"ctl look -H", "Option -H needs a value"},
        {"ctl hole dig here --deep=3", "Option --deep takes no value"},
        {"ctl --json=much look", "--json= is short, pretty or off, not 'much'"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(failure_done) Failure failure = {};
        _cleanup_(line_done) Line line = {};
        Invocation in;

        if (parse(verbs, &line, table[i].line, &in, &failure) != -ECANCELED)
            fail_msg("%s was understood", table[i].line);
        assert_int_equal(failure.status, STATUS_USAGE);
        assert_string_equal(failure.text, table[i].text);
    }
}

static void test_options_of_all_verbs(void **state)
{
    _cleanup_(failure_done) Failure failure = {};
    _cleanup_(line_done) Line one = {}, two = {}, three = {};
    Invocation in;

    assert_int_equal(parse(verbs, &one, "ctl look --json=pretty --no-legend --no-pager -l", &in, &failure), 0);
    assert_int_equal(in.json, OUTPUT_JSON_PRETTY);
    assert_false(in.json_auto || in.legend || in.pager);
    assert_true(in.full);
    assert_int_equal(parse(verbs, &two, "ctl look -j", &in, &failure), 0);
    assert_true(in.json_auto && in.legend && in.pager);
    assert_int_equal(parse(verbs, &three, "ctl look --json", &in, &failure), 0);
    assert_true(in.json_auto);
}

static void test_repeated_options(void **state)
{
    _cleanup_(failure_done) Failure failure = {};
    _cleanup_(line_done) Line line = {};
    size_t position = 0;
    Invocation in;

    assert_int_equal(parse(verbs, &line, "ctl hole dig here --tool=a --deep --tool b", &in, &failure), 0);
    assert_string_equal(invocation_option(&in, "tool"), "b");
    assert_string_equal(invocation_option(&in, "deep"), "");
    assert_null(invocation_option(&in, "host"));
    assert_string_equal(invocation_option_next(&in, "tool", &position), "a");
    assert_string_equal(invocation_option_next(&in, "tool", &position), "b");
    assert_null(invocation_option_next(&in, "tool", &position));
}

static void test_too_many_options(void **state)
{
    _cleanup_(failure_done) Failure failure = {};
    char deep[] = "--deep", *words[INVOCATION_OPTIONS_MAX + 5] = {(char[]) {"ctl"}, (char[]) {"hole"}, (char[]) {"dig"}};
    Invocation in;

    for (size_t i = 0; i <= INVOCATION_OPTIONS_MAX; i++)
        words[3 + i] = deep;
    assert_int_equal(invocation_parse(verbs, 3 + INVOCATION_OPTIONS_MAX + 1, words, &in, &failure), -ECANCELED);
    assert_string_equal(failure.text, "There are too many options");
}

static void test_help(void **state)
{
    static const struct {
        const char *line, *group;
        const Verb *verb;
    } table[] = {
        {"ctl --help", NULL, NULL},
        {"ctl hole -h", "hole", NULL},
        {"ctl hole dig --help", "hole", &verbs[1]}, /* its arguments are not missed */
        {"ctl look -h", NULL, &verbs[0]},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(failure_done) Failure failure = {};
        _cleanup_(line_done) Line line = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        Invocation in;

        assert_int_equal(parse(verbs, &line, table[i].line, &in, &failure), 0);
        assert_true(in.help);
        assert_string_equal(in.group ?: "none", table[i].group ?: "none");
        assert_ptr_equal(in.verb, table[i].verb);
        verb_help(f, verbs, in.group, in.verb);
        assert_int_equal(fclose(f), 0);
        assert_non_null(strstr(text, "--no-pager"));
        assert_int_equal(strstr(text, "--tool=NAME") != NULL, in.verb == &verbs[1]);
        assert_int_equal(strstr(text, "bag pack") != NULL, !in.group && !in.verb);
    }
}

/* Of the real table: what the parser and --help rely on. */
static void test_the_table_of_verbs(void **state)
{
    for (const Verb *v = posternctl_verbs; v->name; v++) {
        assert_non_null(v->run);
        assert_true(v->help && *v->help && v->arguments);
        assert_true(v->arguments_min <= v->arguments_max);
        assert_ptr_equal(verb_find(posternctl_verbs, v->group, v->name), v);
        assert_false(!v->group && verb_is_group(posternctl_verbs, v->name));
        if (v->is_default) {
            assert_ptr_equal(verb_default(posternctl_verbs, v->group), v);
            assert_int_equal(v->arguments_min, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_understood),
        cmocka_unit_test(test_not_understood),
        cmocka_unit_test(test_options_of_all_verbs),
        cmocka_unit_test(test_repeated_options),
        cmocka_unit_test(test_too_many_options),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_the_table_of_verbs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
