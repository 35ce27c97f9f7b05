/* SPDX-License-Identifier: Apache-2.0 */

/* The DER of a pointer file. What is read is a name and a part of the input, and there is one encoding of it. */

#include "cleanup.h"
#include "fuzz.h"
#include "key-pointer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ uint8_t *again = NULL;
    KeyPointer pointer;
    size_t again_size;

    if (key_pointer_parse(data, size, &pointer) < 0)
        return 0;
    FUZZ_CHECK(certificate_name_valid(pointer.name));
    FUZZ_CHECK(pointer.spki > data && pointer.spki + pointer.spki_size == data + size);
    if (pointer.spki_size > KEY_POINTER_SIZE_MAX / 2)
        return 0;
    FUZZ_CHECK(key_pointer_to_der(pointer.name, pointer.spki, pointer.spki_size, &again, &again_size) >= 0);
    FUZZ_CHECK(again_size == size && memcmp(again, data, size) == 0);
    return 0;
}
