/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kinds of keys that certd makes, by the names that people give them ("ecdsa-p256"). */

#include <openssl/evp.h>

#include "cleanup.h"

#define KEY_SPEC_DEFAULT "ecdsa-p256"

/* Makes a key; takes seconds for RSA. -EOPNOTSUPP with *reterr_reason (static) for what is unknown or too weak. */
int key_spec_generate(const char *spec, EVP_PKEY **ret, const char **reterr_reason);
