/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The demonstration certificate: self-signed, ECDSA P-256, for this host's name, made at the first start so that TLS works at
 * once. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "store.h"

#define DEMO_CERTIFICATE_DAYS 365

/* The host's fully qualified name as far as it can be found without asking a network for long, or its plain name; "localhost" at
 * last. malloc'ed. May read /etc/hosts and the like: before the sandbox only. */
int demo_certificate_host(char **ret);

/* host: subject (if it is not too long for one) and SAN. -EINVAL if it is no host name. */
int demo_certificate_make(const char *host, EVP_PKEY **ret_key, X509 **ret_certificate);

/* Makes it and writes it to the store, which is to be loaded again. */
int demo_certificate_create(Store *s, const char *host);
