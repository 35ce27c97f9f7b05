/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a fuzz target, lib/fuzz-NAME.c and others, defines: libFuzzer calls it under -Dfuzzers=true, fuzz-replay.c over the corpus
 * in every test run. A broken invariant ends the process by FUZZ_CHECK(). */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)       \
    do {                            \
        if (!(condition))           \
            abort();                \
    } while (0)
