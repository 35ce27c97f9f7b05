/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DNS records in the form of zone files. Pure. */

#include "resolve.h"

/* "MX" → 15, also "TYPE15" (RFC 3597); letters of any case. -EINVAL if dnsd looks no such type up. */
int record_type_from_string(const char *s, uint16_t *ret);

/* What stands behind the type: "10 mx.example.com.", malloc'ed. Malformed data is shown as of an unknown type (RFC 3597):
 * "\# 2 0A0B". -ENOMEM. */
int record_to_text(uint16_t type, const ResolveRecord *r, char **ret);
