/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a message: read whole and read in small pieces "TLS-Required: No" must be found alike, and never where the name does
 * not stand at the start of a line, or behind an empty line. */

#include "fuzz.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "tls-required.h"

static bool stands_in_header(const char *text, size_t size)
{
    static const char name[] = "TLS-Required:";

    for (size_t i = 0; i + strlen(name) <= size; i++) {
        if (i > 0 && text[i - 1] != '\n')
            continue;
        if (text[i] == '\r' || text[i] == '\n')
            return false;
        if (strncasecmp(text + i, name, strlen(name)) == 0)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data + 1;
    TlsRequired whole = TLS_REQUIRED_INIT, split = TLS_REQUIRED_INIT;

    if (size == 0)
        return 0;
    size--;
    tls_required_feed(&whole, text, size);
    for (size_t i = 0, step = 1 + data[0] % 16; i < size; i += step)
        tls_required_feed(&split, text + i, MIN(step, size - i));
    FUZZ_CHECK(tls_required_is_no(&whole) == tls_required_is_no(&split));
    FUZZ_CHECK(!tls_required_is_no(&whole) || stands_in_header(text, size));
    return 0;
}
