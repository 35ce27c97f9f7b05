/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private keys in PKCS#11 tokens (smart cards, hardware security modules), used where they are: OpenSSL's pkcs11 provider makes an
 * EVP_PKEY of a token's key, nothing comes out of the token but signatures. A key is named by its URI (RFC 7512), without a PIN:
 * that is a credential, one for all tokens. */

#include <openssl/evp.h>

#include "cleanup.h"

#define TOKEN_URI_MAX 512

typedef struct Tokens Tokens;

/* Loads the provider, and by it the module, which is a shared library: before the sandbox is entered. pin: copied; NULL if the
 * tokens want none. -EOPNOTSUPP if this host's OpenSSL cannot, -ENODEV if the module cannot be loaded, with *reterr_reason
 * (static). */
int tokens_new(Tokens **ret, const char *module, const char *pin, const char **reterr_reason);
Tokens *tokens_free(Tokens *t);
DEFINE_CLEANUP(Tokens, tokens_free);

/* "pkcs11:token=…;object=…", of printable ASCII, without attributes that hold a PIN or name a module. -EINVAL with *reterr_reason
 * (static; of the certificate that has it: "names more …"). */
int token_uri_check(const char *uri, const char **reterr_reason);

/* The private key that uri names, which must be one, and have its public key beside it (the same CKA_ID). It must not outlive t. May be called from any thread. -ENODEV if there is
 * none, with *reterr_reason (static). */
int tokens_get_key(Tokens *t, const char *uri, EVP_PKEY **ret, const char **reterr_reason);
