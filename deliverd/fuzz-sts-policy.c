/* SPDX-License-Identifier: Apache-2.0 */

/* A policy file and a TXT record of any bytes: never a crash, and whatever is accepted is within the limits. */

#include "fuzz.h"

#include "sts-policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
    _cleanup_free_ uint8_t *copy = malloc(size + 1);
    ResolveRecord record = {copy, size};
    ResolveAnswer answer = {.state = DNSSEC_INSECURE, .records = &record, .n_records = 1};
    char id[STS_ID_MAX + 1];
    const char *reason = NULL;

    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    if (sts_policy_parse((const char *) data, size, &p, &reason) >= 0) {
        FUZZ_CHECK(p->max_age <= STS_MAX_AGE_MAX && p->n_mx <= STS_MX_MAX);
        FUZZ_CHECK(p->n_mx > 0 || p->mode == STS_MODE_NONE);
        for (size_t i = 0; i < p->n_mx; i++)
            FUZZ_CHECK(p->mx[i][0] == '*' || sts_policy_names(p, p->mx[i]));
    } else
        FUZZ_CHECK(reason);
    FUZZ_CHECK((sts_record_read(&answer, id) == STS_RECORD_FOUND) == (*id != '\0'));
    return 0;
}
