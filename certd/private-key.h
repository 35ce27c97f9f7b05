/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private keys as text: PEM, PKCS#8, plain or encrypted with a passphrase (PBES2: PBKDF2 with HMAC-SHA-256, AES-256-CBC; RFC
 * 8018), which is what `openssl pkey` reads. The text of a plain key is the caller's to keep in secure memory. Pure. */

#include <openssl/bio.h>
#include <openssl/evp.h>

#include "cleanup.h"

/* An encrypted key may ask for so many iterations and no more: they are done at each start. */
#define PRIVATE_KEY_ITERATIONS_MAX 1000000

/* Whether the first key in a text that ends with a NUL is an encrypted one. */
bool private_key_is_encrypted(const char *pem);

/* The first key of the text. passphrase: NULL if there is none. -EBADMSG with *reterr_reason (static): no key, one that the
 * passphrase does not open, one that is encrypted in another way. */
int private_key_read(const char *pem, size_t size, const char *passphrase, EVP_PKEY **ret, const char **reterr_reason);

/* Appends the key, encrypted unless passphrase is NULL. bio is in secure memory then. -EIO if OpenSSL fails. */
int private_key_write(BIO *bio, EVP_PKEY *key, const char *passphrase);
