/* SPDX-License-Identifier: Apache-2.0 */

/* Message data: each case is read whole, byte by byte, and in every split into two, with few and many pieces; the result is
 * always the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "data-reader.h"

#define TEXT(s) s, sizeof(s) - 1

typedef struct Case {
    const char *input;
    size_t n;
    DataStatus status;
    const char *message; /* what is to be stored, if it ends well */
    size_t n_message;
    const char *rest;    /* what is left in the input */
    unsigned hops;
    bool eight_bit;
} Case;

static const Case cases[] = {
    {TEXT(".\r\n"), DATA_END, TEXT(""), ""},
    {TEXT("a\r\n.\r\nQUIT\r\n"), DATA_END, TEXT("a\r\n"), "QUIT\r\n"},
    {TEXT("\r\n.\r\n"), DATA_END, TEXT("\r\n"), ""},
    {TEXT("..\r\n.\r\n"), DATA_END, TEXT(".\r\n"), ""},
    {TEXT("...\r\n..a.\r\n.\r\n"), DATA_END, TEXT("..\r\n.a.\r\n"), ""},
    {TEXT(".a\r\n.\r\n"), DATA_END, TEXT("a\r\n"), ""},
    {TEXT("a.\r\nb\r\n.\r\n"), DATA_END, TEXT("a.\r\nb\r\n"), ""},
    {TEXT("a\0b\r\n.\r\n"), DATA_END, TEXT("a\0b\r\n"), ""},
    {TEXT("S: \xc3\xbc\r\n.\r\n"), DATA_END, TEXT("S: \xc3\xbc\r\n"), "", .eight_bit = true},
    {TEXT("a\r\n.\r\n.\r\n"), DATA_END, TEXT("a\r\n"), ".\r\n"},
    {TEXT("never ends\r\n."), DATA_MORE, TEXT("never ends\r\n"), ""},
    {TEXT("never ends\r\n.\r"), DATA_MORE, TEXT("never ends\r\n"), ""},

    /* Everything that somebody could take for a line's end or the end of the data, and somebody else not. */
    {TEXT("a\n.\n"), DATA_BARE_LF, TEXT("a"), "\n.\n"},
    {TEXT("a\r\n.\n"), DATA_BARE_LF, TEXT("a\r\n"), ""},
    {TEXT("a\n.\r\n"), DATA_BARE_LF, TEXT("a"), "\n.\r\n"},
    {TEXT("a\r.\r\n"), DATA_BARE_CR, TEXT("a\r"), "\r\n"},
    {TEXT("a\r.\r"), DATA_BARE_CR, TEXT("a\r"), "\r"},
    {TEXT("a\r\r\n.\r\n"), DATA_BARE_CR, TEXT("a\r"), "\n.\r\n"},
    {TEXT("a\r\n.\r.\r\n"), DATA_BARE_CR, TEXT("a\r\n"), "\r\n"},
    {TEXT("a\r\n.\r\r\n"), DATA_BARE_CR, TEXT("a\r\n"), "\n"},
    {TEXT("\n"), DATA_BARE_LF, TEXT(""), ""},
    {TEXT("a\r\n\n"), DATA_BARE_LF, TEXT("a\r\n"), ""},
    {TEXT(".\n"), DATA_BARE_LF, TEXT(""), ""},

    /* hops */
    {TEXT("Received: a\r\n b\r\nreceived: c\r\nReceived-SPF: x\r\nX-Received: y\r\n\r\nReceived: z\r\n.\r\n"), DATA_END,
            TEXT("Received: a\r\n b\r\nreceived: c\r\nReceived-SPF: x\r\nX-Received: y\r\n\r\nReceived: z\r\n"), "", .hops = 2},
    {TEXT(".Received:a\r\n.\r\n"), DATA_END, TEXT("Received:a\r\n"), "", .hops = 1},
};

typedef struct Result {
    DataStatus status;
    char message[512];
    size_t size;
    size_t used;
} Result;

static void feed(DataReader *d, Result *result, const char *input, size_t n, size_t max)
{
    struct iovec pieces[16];
    size_t used = 0;

    while (used < n && result->status == DATA_MORE) {
        size_t k, n_pieces;

        result->status = data_reader_feed(d, input + used, n - used, pieces, max, &n_pieces, &k);
        assert_true(n_pieces <= max);
        assert_true(k > 0 || result->status != DATA_MORE);
        for (size_t i = 0; i < n_pieces; i++) {
            assert_true(pieces[i].iov_len > 0 && result->size + pieces[i].iov_len <= sizeof(result->message));
            memcpy(result->message + result->size, pieces[i].iov_base, pieces[i].iov_len);
            result->size += pieces[i].iov_len;
        }
        used += k;
    }
    result->used += used;
}

static void check(const Case *c, size_t index, const DataReader *d, const Result *r)
{
    if (r->status != c->status)
        fail_msg("case %zu: status %d", index, r->status);
    assert_int_equal(r->size, c->n_message);
    assert_memory_equal(r->message, c->message, r->size);
    assert_int_equal(d->size, r->size);
    assert_int_equal(d->hops, c->hops);
    assert_int_equal(d->eight_bit, c->eight_bit);
    if (c->status == DATA_END)
        assert_int_equal(c->n - r->used, strlen(c->rest));
}

static void test_split(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        for (size_t split = 0; split <= cases[i].n; split++)
            for (size_t max = 1; max <= 16; max += 15) {
                DataReader d = DATA_READER_INIT;
                Result r = {.status = DATA_MORE};

                feed(&d, &r, cases[i].input, split, max);
                feed(&d, &r, cases[i].input + split, cases[i].n - split, max);
                check(&cases[i], i, &d, &r);
            }
}

static void test_bytewise(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        DataReader d = DATA_READER_INIT;
        Result r = {.status = DATA_MORE};

        for (size_t k = 0; k < cases[i].n; k++)
            feed(&d, &r, cases[i].input + k, 1, 1);
        check(&cases[i], i, &d, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_bytewise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
