/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Self-signed certificates, and whom they are for. Pure but for the clock and random numbers. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "cleanup.h"

#define SUBJECT_NAMES_MAX 100
#define SELF_SIGNED_DAYS_DEFAULT 365
#define SELF_SIGNED_DAYS_MAX 3650

/* Empty fields are NULL or "". All strings are the caller's. */
typedef struct Subject {
    const char *common_name; /* at most 64 characters, as the others (RFC 5280, appendix A.1) */
    const char *organization, *unit, *city, *state;
    const char *country; /* two letters (ISO 3166) */
    char **names; /* DNS names ("*.example.com" too) and IP addresses; NULL-ended, or NULL; the common name is added if it is one */
} Subject;

/* A host name as it may be in a certificate; its first label may be "*". */
bool subject_dns_name_valid(const char *name);

/* -EINVAL with *reterr_reason (static) if the subject cannot be one, among others for want of any name for the SAN; -EIO. */
int self_signed_make(const Subject *subject, EVP_PKEY *key, unsigned days, X509 **ret, const char **reterr_reason);

/* The digest that key signs with; NULL for keys that have their own (Ed25519, ML-DSA). */
const EVP_MD *signing_digest(EVP_PKEY *key);
