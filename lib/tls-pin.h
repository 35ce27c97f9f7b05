/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificates and keys that an administrator names by their SHA-256 fingerprint. Pure. In normal form a pin is "cert-sha256:"
 * (of the whole certificate) or "spki-sha256:" (of its public key, which a renewed certificate may keep) and 64 lower-case digits. */

#include <openssl/x509.h>

#include "cleanup.h"

/* In one list. */
#define TLS_PINS_MAX 16

/* As somebody writes it: hexadecimal digits, also with colons between the bytes. Without a prefix it is default_prefix, which is
 * "cert-sha256:"; NULL: it needs one. *ret is malloc'ed. -EINVAL, -ENOMEM. */
int tls_pin_parse(const char *text, const char *default_prefix, char **ret);

/* pin: in normal form. */
bool tls_pin_matches(X509 *x, const char *pin);
/* Any of a NULL-ended list. */
bool tls_pins_match(X509 *x, const char *const *pins);
