/* SPDX-License-Identifier: Apache-2.0 */

/* Answers of dnsd from text, for tables. Whatever cannot be read fails the test. */

#include "test-answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

static void add_record(ResolveAnswer *a, const void *data, size_t size)
{
    a->records = realloc(a->records, (a->n_records + 1) * sizeof(*a->records));
    assert_non_null(a->records);
    a->records[a->n_records].data = malloc(size);
    assert_non_null(a->records[a->n_records].data);
    memcpy(a->records[a->n_records].data, data, size);
    a->records[a->n_records++].size = size;
}

void test_answer_add_mx(ResolveAnswer *a, unsigned preference, const char *name)
{
    uint8_t wire[300] = {(uint8_t) (preference >> 8), (uint8_t) preference};
    size_t n = 2;

    while (*name && !streq(name, ".")) {
        size_t label = strcspn(name, ".");

        wire[n++] = (uint8_t) label;
        memcpy(wire + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    wire[n++] = 0;
    add_record(a, wire, n);
}

static void add_word(ResolveAnswer *a, const char *word)
{
    unsigned x, y, z, n;
    char name[200];
    struct in6_addr v6;
    struct in_addr v4;
    uint8_t tlsa[600];

    if (sscanf(word, "%u.%u.%u/%u", &x, &y, &z, &n) == 4) {
        memset(tlsa, 0xab, sizeof(tlsa));
        tlsa[0] = (uint8_t) x;
        tlsa[1] = (uint8_t) y;
        tlsa[2] = (uint8_t) z;
        add_record(a, tlsa, 3 + n);
    } else if (sscanf(word, "%u=%199s", &x, name) == 2)
        test_answer_add_mx(a, x, name);
    else if (inet_pton(AF_INET, word, &v4) == 1)
        add_record(a, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, word, &v6) == 1)
        add_record(a, &v6, sizeof(v6));
    else if (streq(word, "bad"))
        add_record(a, "\3\1", 2);
    else if (streq(word, "nxdomain"))
        a->rcode = DNS_RCODE_NXDOMAIN;
    else
        assert_int_equal(dnssec_state_from_string(word, &a->state), 0);
}

ResolveAnswer *test_answer(const char *text, const char *name)
{
    ResolveAnswer *a = calloc(1, sizeof(*a));
    _cleanup_free_ char *copy = strdup(text);
    char *save = NULL;

    assert_non_null(a);
    a->hops = calloc(RESOLVE_HOPS_MAX, sizeof(*a->hops));
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *colon = strchr(word, '>');

        if (!colon) {
            add_word(a, word);
            continue;
        }
        *colon = '\0';
        a->hops[a->n_hops].name = strdup(word);
        assert_int_equal(dnssec_state_from_string(colon + 1, &a->hops[a->n_hops++].state), 0);
    }
    if (a->n_hops == 0) {
        a->hops[0] = (ResolveHop) {.name = strdup(name), .state = a->state};
        a->n_hops = 1;
    }
    a->canonical = strdup(a->hops[a->n_hops - 1].name);
    a->reason = strdup(a->state == DNSSEC_BOGUS ? "signature expired" : "");
    return a;
}
