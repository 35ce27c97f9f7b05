/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tables of tests whose cases are rows of the delivery matrix. A case is called "22 what it is about", or "13, 22 …" if it
 * shows two; one without a number stands for none. Each row is a test of its own, test_dane_22_… or test_sts_5_…, which runs the
 * cases of its number: tests/rows counts them by these names. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether the case of that name is one of row n; of none for 0. */
static inline bool test_row_is(const char *name, unsigned long n)
{
    bool any = false;
    char *end;

    for (const char *p = name; *p >= '0' && *p <= '9'; p = end + strspn(end, ", ")) {
        if (strtoul(p, &end, 10) == n)
            return true;
        any = true;
        if (*end != ',')
            break;
    }
    return n == 0 && !any;
}

/* A test that runs run(n): test_dane_22_words(). */
#define TEST_ROW(section, n, words, run)                       \
    static void test_##section##_##n##_##words(void **state) \
    {                                                          \
        run(n);                                                \
    }
