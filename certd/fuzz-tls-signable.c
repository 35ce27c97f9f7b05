/* SPDX-License-Identifier: Apache-2.0 */

/* Any message, for both sides. What is accepted must have the size and the start of what TLS signs. */

#include "cleanup.h"
#include "fuzz.h"
#include "tls-signable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (TlsSide side = TLS_SIDE_SERVER; side <= TLS_SIDE_CLIENT; side++) {
        const char *reason = NULL;
        TlsSignable s = {};

        if (tls_signable(side, data, size, &s, &reason) < 0) {
            FUZZ_CHECK(reason);
            continue;
        }
        FUZZ_CHECK(!s.leaf || (s.leaf >= data && s.leaf + s.leaf_size <= data + size));
        if (s.version == TLS_SIGNED_1_3)
            FUZZ_CHECK(data[0] == ' ' && (size == 130 || size == 146));
        else if (side == TLS_SIDE_SERVER)
            FUZZ_CHECK(data[64] == 3 && size <= 64 + 4 + 133);
        else
            FUZZ_CHECK(data[0] == 1 && s.leaf);
    }
    return 0;
}
