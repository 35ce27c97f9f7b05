/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whom a certificate is for, by its own words. Pure. Whether a name is a certain host's is decided elsewhere, by OpenSSL. */

#include <openssl/x509.h>

#include "cleanup.h"

/* Of a certificate that somebody made to waste memory. */
#define CERTIFICATE_NAMES_MAX 256

/* DNS names and IP addresses of the subjectAltName, in their order; NULL-ended, never NULL itself; free with
 * certificate_names_free(). What is no plain ASCII is left out. -ENOMEM. */
int certificate_names_alternative(X509 *x, char ***ret);
char **certificate_names_free(char **names);

/* The last common name of the subject as UTF-8, malloc'ed. -ENOENT if there is none or it cannot be text. */
int certificate_names_common(X509 *x, char **ret);

/* Whether all DNS names that it is for are fully qualified, and there is one. Where there is no DNS name in the subjectAltName, the
 * common name counts (RFC 6125, section 6.4.4). */
bool certificate_names_all_qualified(X509 *x);

/* A host name of two labels or more, the last of them no number; a wildcard has two behind it. No final dot, as in certificates. */
bool certificate_names_is_qualified(const char *name);
