/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Mail addresses and domains as SMTP has them (RFC 5321, sections 4.1.2, 4.1.3, 4.5.3.1; RFC 6531). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "cleanup.h"

#define ADDRESS_LOCAL_MAX 64
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_PATH_MAX 256

/* Parses a Mailbox ("user@example.com", "\"a b\"@[192.0.2.1]") of length n without angle brackets. On success copies the local
 * part as given and the domain in lower-case A-label form (IDN through libidn2 when smtputf8 is set; 8-bit bytes refused
 * otherwise). -EINVAL, or -ENAMETOOLONG. */
int address_parse(const char *s, size_t n, bool smtputf8, char **ret_local, char **ret_domain);

/* The domain of an accepted address: pointer behind the last '@', or NULL. */
const char *address_domain(const char *address);

/* Checks and normalizes a domain: letters, digits, hyphens, labels ≤ 63, lower case, A-labels, no trailing dot. */
int domain_normalize(const char *s, char **ret);
/* domain equals pattern, or pattern is ".suffix" and domain ends in it. Both normalized. */
bool domain_matches(const char *domain, const char *pattern);

/* "192.0.2.1" or "2001:db8::1" without port; static limits of INET6_ADDRSTRLEN. RFC 5321 literal form: "[192.0.2.1]",
 * "[IPv6:2001:db8::1]". */
int sockaddr_to_string(const struct sockaddr *sa, char **ret);
int sockaddr_to_literal(const struct sockaddr *sa, char **ret);
