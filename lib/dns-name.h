/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Domain names as the DNS has them, in the one text form that the suite compares: lower case, no trailing dot, bytes that are not
 * printable or have a meaning escaped as in RFC 1035, section 5.1. The root is "". Unlike a mail domain (address.h) a label may
 * hold any byte. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* Longest text form with its NUL: 255 bytes of wire, each up to "\DDD". */
#define DNS_NAME_TEXT_MAX 1025

/* "Example.COM." → "example.com". -EINVAL: empty labels, a label over 63 or a name over 255 bytes, bad escapes, bytes that are
 * not ASCII. */
int dns_name_normalize(const char *s, char **ret);

/* Reads a name in wire format that must be uncompressed. *ret_size: how many bytes of wire it took. -EBADMSG for anything
 * else. */
int dns_name_from_wire(const uint8_t *wire, size_t size, char **ret, size_t *ret_size);

/* Both normalized: name is zone or below it. Everything is below the root (""). */
bool dns_name_within(const char *name, const char *zone);
