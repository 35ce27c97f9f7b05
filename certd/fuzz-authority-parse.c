/* SPDX-License-Identifier: Apache-2.0 */

/* Any text as a list of authorities. What is taken from it can be written and read again, and is the same then; what is refused
 * leaves nothing behind and says why; and as certd's own file it is read whole or not at all. */

#include "authority-set.h"
#include "fuzz.h"

static void check_again(AuthoritySet *s)
{
    _cleanup_(authority_set_freep) AuthoritySet *again = NULL;
    _cleanup_free_ char *file = NULL, *export = NULL;
    char reason[AUTHORITY_REASON_MAX] = "";
    AuthorityList list = {};
    AuthorityParsed parsed;

    authority_set_settle(s);
    FUZZ_CHECK(authority_set_format(s, &file) == 0 && authority_set_new(&again) == 0);
    FUZZ_CHECK(authority_set_read(again, file, strlen(file), reason) == 0);
    FUZZ_CHECK(again->lists[AUTHORITY_LIST_CUSTOM].authorities.n == s->lists[AUTHORITY_LIST_CUSTOM].authorities.n);
    FUZZ_CHECK(authority_set_export(s, AUTHORITY_LIST_CUSTOM, &export) == 0);
    FUZZ_CHECK(authority_parse(export, strlen(export), AUTHORITY_PARSE_STRICT, &list, &parsed, reason) == 0);
    FUZZ_CHECK(list.n == s->lists[AUTHORITY_LIST_CUSTOM].authorities.n);
    authority_list_done(&list);
}

static void check_file(const char *text, size_t size)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL;
    char reason[AUTHORITY_REASON_MAX] = "";

    FUZZ_CHECK(authority_set_new(&s) == 0);
    FUZZ_CHECK(authority_set_read(s, text, size, reason) == 0 || *reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(authority_set_freep) AuthoritySet *s = NULL;
    char reason[AUTHORITY_REASON_MAX] = "", *text = malloc(size + 1);
    _cleanup_(authority_list_done) AuthorityList lenient = {};
    AuthorityParsed parsed = {};
    AuthorityList *list;

    FUZZ_CHECK(text && authority_set_new(&s) == 0);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    list = &s->lists[AUTHORITY_LIST_CUSTOM].authorities;
    if (authority_parse(text, size, AUTHORITY_PARSE_STRICT, list, &parsed, reason) < 0)
        FUZZ_CHECK(*reason && list->n == 0);
    else {
        FUZZ_CHECK(list->n > 0 && list->n <= AUTHORITIES_LIST_MAX && parsed.passed_over == 0);
        check_again(s);
    }
    (void) authority_parse(text, size, AUTHORITY_PARSE_LENIENT, &lenient, &parsed, reason);
    check_file(text, size);
    free(text);
    return 0;
}
