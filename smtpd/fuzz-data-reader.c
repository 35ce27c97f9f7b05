/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as message data: read whole and read in small pieces it must come to the same, and no CR or LF that is not a line's
 * end may get through. */

#include "fuzz.h"

#include "cleanup.h"
#include "data-reader.h"

static DataStatus read_all(const char *input, size_t size, size_t step, size_t max, char *message, DataReader *d, size_t *ret_used)
{
    DataStatus status = DATA_MORE;
    size_t used = 0, written = 0;

    *d = DATA_READER_INIT;
    while (used < size && status == DATA_MORE) {
        struct iovec pieces[8];
        size_t n, k;

        status = data_reader_feed(d, input + used, MIN(step, size - used), pieces, max, &n, &k);
        for (size_t i = 0; i < n; i++) {
            memcpy(message + written, pieces[i].iov_base, pieces[i].iov_len);
            written += pieces[i].iov_len;
        }
        used += k;
    }
    FUZZ_CHECK(written == d->size && written <= used);
    *ret_used = used;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *whole = malloc(size + 1), *split = malloc(size + 1);
    DataReader a, b;
    size_t used_a, used_b;
    DataStatus status;

    if (!whole || !split || size == 0)
        return 0;
    status = read_all((const char *) data + 1, size - 1, size, 8, whole, &a, &used_a);
    FUZZ_CHECK(read_all((const char *) data + 1, size - 1, 1 + data[0] % 16, 1, split, &b, &used_b) == status);
    FUZZ_CHECK(a.size == b.size && a.hops == b.hops && a.eight_bit == b.eight_bit);
    /* Where a refusal stops is not promised. */
    FUZZ_CHECK(used_a == used_b || status == DATA_BARE_CR || status == DATA_BARE_LF);
    FUZZ_CHECK(memcmp(whole, split, a.size) == 0);
    if (status != DATA_END)
        return 0;

    for (size_t i = 0; i < a.size; i++)
        FUZZ_CHECK((whole[i] == '\n') == (i > 0 && whole[i - 1] == '\r'));
    FUZZ_CHECK(a.size == 0 || whole[a.size - 1] == '\n');
    return 0;
}
