/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where keys live: OpenSSL's secure heap, locked, left out of dumps, with guard pages. And what OpenSSL frees elsewhere is
 * overwritten first, so that no buffer that a key passed through keeps it. */

#include <stdbool.h>
#include <stddef.h>

/* Before anything else of OpenSSL. *ret_locked: false if the memory could not be locked or guarded (RLIMIT_MEMLOCK); it works,
 * but may be swapped out. -EBUSY: something of OpenSSL was used before. */
int secure_memory_init(bool *ret_locked);

/* A buffer on the secure heap that is overwritten when it is freed. */
void *secure_malloc(size_t size);
void secure_freep(void *p);
