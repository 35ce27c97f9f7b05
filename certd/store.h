/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The key store: a directory with a file NAME.pem (store-entry.h, mode 0600) for each certificate. A file is written beside and
 * renamed, so that whoever is killed at any instant leaves the old or the new; reading is all or nothing. A pair NAME.crt (PEM,
 * leaf first) and NAME.key that somebody puts there is taken over when the store is read, as is NAME.crt alone for the key that
 * is there.
 *
 * What is in memory belongs to the loop. The files may be changed by another thread; a lock keeps that and store_load() apart. */

#include "certificate.h"
#include "cleanup.h"
#include "store-entry.h"

#define STORE_CERTIFICATES_MAX 256

typedef struct Store Store;

/* Opens the directory, which must be this user's alone. */
int store_new(Store **ret, const char *path);
Store *store_free(Store *s);
/* Before the first store_load(): keys are encrypted with it from now on, those that are plain on disk when they are read. From
 * secure_malloc(), handed over; NULL: keys are written plain. */
void store_set_passphrase(Store *s, char *passphrase);
/* Before the first store_load(). They must outlive the store. */
void store_set_tokens(Store *s, Tokens *tokens);

DEFINE_CLEANUP(Store, store_free);

/* Reads all anew. Returns 1 if something changed, 0 if not; on failure the store is as before and *reterr_reason says which file
 * and why (malloc'ed, may be NULL for want of memory). */
int store_load(Store *s, char **reterr_reason);

/* The certificate is the store's until the next store_load(). NULL if there is none. */
Certificate *store_find(const Store *s, const char *name);
/* The one that has this key: name's present one, or one that it replaced, or that had this name before it was renamed, at most
 * STORE_RETIRED_USEC ago, for handshakes that began before. */
#define STORE_RETIRED_USEC (60 * USEC_PER_SEC)
Certificate *store_find_key(const Store *s, const char *name, const uint8_t spki_sha256[32]);
/* The directory, for what else certd keeps in it; the store's. */
int store_dir_fd(const Store *s);
bool store_has_passphrase(const Store *s);
/* Each key of the store is encrypted on disk, and the next one will be. */
bool store_keys_encrypted(const Store *s);
/* tokens_get_key(), or -ENODEV when there are no tokens. On any thread. */
int store_token_key(Store *s, const char *uri, EVP_PKEY **ret, const char **reterr_reason);
/* Sorted by name: pass i from 0 until it returns NULL. */
Certificate *store_get(const Store *s, size_t i);

/* ---- on disk; on any thread; not visible before store_load() ---- */

/* Each is durable when it returns 0. On failure nothing has changed and *reterr_reason says why (static). -ENOENT, -EEXIST,
 * -E2BIG (too many certificates), those of certificate_new(), those of the file system. */
bool store_exists(Store *s, const char *name);
int store_read(Store *s, const char *name, StoreEntry *ret, const char **reterr_reason);
typedef enum StorePut {
    STORE_PUT_NEW,     /* there must be none of this name */
    STORE_PUT_REPLACE, /* or there is */
} StorePut;
int store_put(Store *s, const char *name, const StoreEntry *e, StorePut mode, const char **reterr_reason);
int store_rename(Store *s, const char *from, const char *to, const char **reterr_reason);
int store_remove(Store *s, const char *name, const char **reterr_reason);

/* store_put() of a key and its certificate, in the place of what is there. */
int store_write(Store *s, const char *name, EVP_PKEY *key, X509 *certificate);
