/* SPDX-License-Identifier: Apache-2.0 */

/* A whole DNS message of a hostile server: type in the first byte, the message after it. What is accepted must be within the
 * limits of resolve.h. */

#include "fuzz.h"

#include "answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;

    if (size < 1)
        return 0;
    if (answer_parse(data + 1, size - 1, "a.lab", data[0], DNSSEC_INSECURE, &a) < 0)
        return 0;
    FUZZ_CHECK(a->n_hops >= 1 && a->n_hops <= RESOLVE_HOPS_MAX && a->n_records <= RESOLVE_RECORDS_MAX);
    FUZZ_CHECK(streq(a->hops[a->n_hops - 1].name, a->canonical));
    answer_settle(a);
    return 0;
}
