/* SPDX-License-Identifier: Apache-2.0 */

/* A file of the MTA-STS cache with any text in it: never a crash, and what is accepted says the same after it was written
 * again. */

#include "fuzz.h"

#include "sts-store.h"

#define DOMAIN "example.com"

static void check_same(const StsCached *a, const StsCached *b)
{
    FUZZ_CHECK(streq(a->id, b->id) && streq(a->failed_id, b->failed_id));
    FUZZ_CHECK(a->fetched_usec == b->fetched_usec && a->failed_usec == b->failed_usec);
    FUZZ_CHECK(a->policy->mode == b->policy->mode && a->policy->max_age == b->policy->max_age);
    FUZZ_CHECK(a->policy->n_mx == b->policy->n_mx);
    for (size_t i = 0; i < a->policy->n_mx; i++)
        FUZZ_CHECK(streq(a->policy->mx[i], b->policy->mx[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *) data, size), *again = NULL;
    _cleanup_(sts_cached_done) StsCached read = {}, reread = {};

    FUZZ_CHECK(text);
    if (sts_cached_parse(text, DOMAIN, &read) < 0)
        return 0;
    FUZZ_CHECK(sts_cached_to_text(&read, DOMAIN, &again) >= 0);
    FUZZ_CHECK(sts_cached_parse(again, DOMAIN, &reread) >= 0);
    check_same(&read, &reread);
    return 0;
}
