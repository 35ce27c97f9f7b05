/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a PKCS#12 file demands before any of it can be read: how many iterations of a hash function turn the passphrase into keys.
 * The file says, so it is looked at first. Only the ways in which PKCS#12 files are encrypted have a cost; others are refused by
 * name. Pure. */

#include <openssl/pkcs12.h>
#include <stdint.h>

#include "cleanup.h"

typedef struct Pkcs12Cost {
    int error;          /* 0; -EOPNOTSUPP, -EBADMSG */
    const char *reason; /* of an error; static */
    uint64_t iterations;
    bool needs_legacy; /* OpenSSL's legacy provider */
} Pkcs12Cost;

/* Of a key or a part of the file: PBES2 with PBKDF2 (RFC 8018), or one of PKCS#12's own ways (RFC 7292 appendix B). */
Pkcs12Cost pkcs12_cost_of_encryption(const X509_ALGOR *algorithm);

/* Of the MAC, which there has to be: PKCS#12's own way or PBMAC1 (RFC 9579). */
Pkcs12Cost pkcs12_cost_of_mac(const PKCS12 *p);
