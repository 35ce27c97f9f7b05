/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the store has of a certificate, as one file, so that one rename(2) changes all of it: lines of text ("Export:
 * forbidden", "Key: pkcs11:…"), the private key (private-key.h) if it is not in a token, the chain with the leaf first, the last
 * request; in PEM, which passes over such text. Pure but for the tokens. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certificate.h"
#include "cleanup.h"
#include "tokens.h"

/* What it takes to use the keys of entries. */
typedef struct KeyAccess {
    const char *passphrase; /* of those that are encrypted; NULL: there is none, and keys are written plain */
    Tokens *tokens;         /* NULL: there are none */
} KeyAccess;

typedef struct StoreEntry {
    EVP_PKEY *key;
    char *key_uri; /* in a token; NULL: the file has it */
    STACK_OF(X509) *chain;
    X509_REQ *request; /* or NULL */
    bool export_forbidden;
} StoreEntry;

/* Leaves e empty. */
void store_entry_done(StoreEntry *e);

/* Both leave the result untouched and say why (static) on failure; errors of private_key_read(), tokens_get_key() and
 * certificate_new(). Texts are NUL-ended at their size. The former takes all but the chain from file. */
int store_entry_parse(StoreEntry *ret, const char *file, size_t size, const char *chain, size_t chain_size, const KeyAccess *access,
        const char **reterr_reason);
int store_entry_parse_certificate(Certificate **ret, const char *name, const char *file, size_t size, const KeyAccess *access,
        const char **reterr_reason);

/* The text of the file in secure memory, for BIO_get_mem_data(); the key is encrypted if there is a passphrase. -EFBIG if it would
 * be too large to be read again. */
int store_entry_format(const StoreEntry *e, const KeyAccess *access, BIO **ret);
