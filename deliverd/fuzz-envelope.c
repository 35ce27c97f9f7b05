/* SPDX-License-Identifier: Apache-2.0 */

/* A queue file's end and a state file of any bytes: never a crash, and what is accepted can be written again. */

#include "fuzz.h"

#include "envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(envelope_state_freep) EnvelopeState *s = NULL;
    _cleanup_(envelope_freep) Envelope *e = NULL;
    _cleanup_free_ char *text = NULL, *state_text = NULL;
    const char *bytes = (const char *) data;
    EnvelopeFooter footer;
    size_t n;

    if (size >= ENVELOPE_FOOTER_SIZE &&
            envelope_parse_footer(bytes + size - ENVELOPE_FOOTER_SIZE, size, &footer) >= 0 &&
            envelope_parse(bytes + footer.offset, &footer, &e) >= 0)
        FUZZ_CHECK(envelope_format(e, footer.offset, &text, &n) >= 0);
    if (envelope_state_parse(bytes, size, 8, &s) >= 0)
        FUZZ_CHECK(envelope_state_format(s, &state_text, &n) >= 0);
    return 0;
}
