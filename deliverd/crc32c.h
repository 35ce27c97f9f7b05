/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): finds torn and damaged records, keeps nobody out. Pure. */

#include <stddef.h>
#include <stdint.h>

/* crc: 0 at the start, or the result for what came before. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
