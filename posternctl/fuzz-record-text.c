/* SPDX-License-Identifier: Apache-2.0 */

/* Records of any content: two bytes of type, then the data. What is written is one line of printable ASCII. */

#include "fuzz.h"

#include "record-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = NULL;
    ResolveRecord r;

    if (size < 2)
        return 0;
    r = (ResolveRecord) {(uint8_t *) data + 2, MIN(size - 2, (size_t) UINT16_MAX)};
    if (record_to_text((uint16_t) (data[0] << 8 | data[1]), &r, &text) < 0)
        return 0;
    for (const char *p = text; *p; p++)
        FUZZ_CHECK(*p >= ' ' && *p < 0x7f);
    return 0;
}
