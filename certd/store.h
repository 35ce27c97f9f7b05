/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The key store: a directory with NAME.key (PEM, PKCS#8, mode 0600) and NAME.crt (PEM, leaf first) for each certificate. Writing
 * is atomic and durable, reading is all or nothing. A key without a certificate is one whose certificate did not arrive yet, or
 * whose writing was interrupted; it is left alone. */

#include "certificate.h"
#include "cleanup.h"

#define STORE_CERTIFICATES_MAX 256

typedef struct Store Store;

/* Opens the directory, which must be this user's alone. */
int store_new(Store **ret, const char *path);
Store *store_free(Store *s);
DEFINE_CLEANUP(Store, store_free);

/* Reads all anew. Returns 1 if something changed, 0 if not; on failure the store is as before and *reterr_reason says which file
 * and why (malloc'ed, may be NULL for want of memory). */
int store_load(Store *s, char **reterr_reason);

/* The certificate is the store's until the next store_load(). NULL if there is none. */
Certificate *store_find(const Store *s, const char *name);
/* The one that has this key: name's present one, or the one that it replaced at most STORE_RETIRED_USEC ago, for handshakes that
 * began before. */
#define STORE_RETIRED_USEC (60 * USEC_PER_SEC)
Certificate *store_find_key(const Store *s, const char *name, const uint8_t spki_sha256[32]);
/* Sorted by name: pass i from 0 until it returns NULL. */
Certificate *store_get(const Store *s, size_t i);

/* Writes a pair to stable storage; not visible before store_load(). Replaces what is there. */
int store_write(Store *s, const char *name, EVP_PKEY *key, X509 *certificate);
