/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Chains of certificates as authorities and people deliver them: in one file, PEM or DER, in any order. Put in the order in
 * which TLS sends them, and judged. Pure. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "cleanup.h"

/* All certificates of a file, as they come. At least one. -EBADMSG (nothing that can be taken apart), -E2BIG (more than
 * CERTIFICATE_CHAIN_MAX), with *reterr_reason (static). */
int chain_parse(const char *data, size_t size, STACK_OF(X509) **ret, const char **reterr_reason);

/* From the leaf, which is the one that has this key, upwards: each signed by the next. Duplicates are dropped; what nobody of
 * them was signed by is an error. Certificates are referenced. -EKEYREJECTED (no certificate is for the key), -EUNATCH (one does
 * not belong to the chain). */
int chain_order(STACK_OF(X509) *given, EVP_PKEY *key, STACK_OF(X509) **ret, const char **reterr_reason);

/* An ordered chain, at a time: -EKEYEXPIRED (any of it, or not valid yet), -EBADMSG (what signs is no authority), -ENOLINK (it
 * does not end: the last is neither self-signed nor signed by one of trusted, which may be NULL); the latter not if incomplete
 * is true. */
int chain_check(STACK_OF(X509) *chain, X509_STORE *trusted, time_t now, bool incomplete, const char **reterr_reason);
