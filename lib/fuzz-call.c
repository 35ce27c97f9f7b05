/* SPDX-License-Identifier: Apache-2.0 */

/* What certd says, as signatures are read. What comes out of it lies in it. */

#include "cleanup.h"
#include "fuzz.h"
#include "provider/call.h"

static bool is_inside(const void *p, size_t n, const uint8_t *data, size_t size)
{
    return (const uint8_t *) p >= data && (const uint8_t *) p + n <= data + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ssize_t end = call_greeting_end(data, size);
    CallReply reply;

    FUZZ_CHECK(end <= (ssize_t) size);
    FUZZ_CHECK(end <= 0 || (end >= 5 && memcmp(data + end - 2, "\r\n", 2) == 0));
    if (size >= CALL_HEADER_SIZE)
        FUZZ_CHECK(call_frame_size(data) <= CALL_REPLY_MAX);
    if (call_reply_parse(data, size, &reply) < 0)
        return 0;
    FUZZ_CHECK(!reply.error_name || is_inside(reply.error_name, strlen(reply.error_name) + 1, data, size));
    FUZZ_CHECK(!*reply.error_text || is_inside(reply.error_text, strlen(reply.error_text) + 1, data, size));
    FUZZ_CHECK(!reply.signature || is_inside(reply.signature, reply.signature_size, data, size));
    FUZZ_CHECK(!reply.signature || (reply.serial != 0 && !reply.error_name));
    return 0;
}
