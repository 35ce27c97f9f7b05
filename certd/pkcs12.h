/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* PKCS#12 (RFC 7292): a key and its chain in one file, encrypted with a passphrase. */

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "cleanup.h"

#define PKCS12_PASSPHRASE_MAX 1024

/* What a file may ask for, over all of its passphrase-derived keys: a few seconds. Programs ask for 2 thousand to 2 million. */
#define PKCS12_ITERATIONS_MAX 5000000

/* What reads RC2 and 40-bit RC4, with which files were encrypted until about 2020: a library context of its own, so that nothing
 * else ever uses these. It loads a module, so it has to be made before the sandbox is entered; where there is none, such files are
 * refused with that reason. iterations_max: PKCS12_ITERATIONS_MAX, but in a fuzzer. */
typedef struct Pkcs12Reader Pkcs12Reader;
int pkcs12_reader_new(Pkcs12Reader **ret, uint64_t iterations_max);
Pkcs12Reader *pkcs12_reader_free(Pkcs12Reader *r);
DEFINE_CLEANUP(Pkcs12Reader, pkcs12_reader_free);

/* The key, and all certificates in no order. Results are of the default library context. -EBADMSG (no PKCS#12, or damaged),
 * -ENOKEY (wrong passphrase), -EOPNOTSUPP (encrypted by what cannot be read here), -ENODATA (no private key in it), -ENOTUNIQ
 * (several), -E2BIG (more iterations, or more certificates, than is sensible), with *reterr_reason (static). */
int pkcs12_read(Pkcs12Reader *reader, const char *data, size_t size, const char *passphrase, EVP_PKEY **ret_key,
        STACK_OF(X509) **ret_chain, const char **reterr_reason);

/* A file that OpenSSL, GnuTLS, NSS and Java read: AES-256-CBC, PBKDF2 and HMAC with SHA-256. chain: the leaf first. */
int pkcs12_write(EVP_PKEY *key, STACK_OF(X509) *chain, const char *name, const char *passphrase, BIO **ret,
        const char **reterr_reason);
