/* SPDX-License-Identifier: Apache-2.0 */

/* Any file that somebody imports, with the passphrase "secret" and with none. What is behind a MAC is not reached by chance, so the
 * corpus has files without one, and without encryption. */

#include "certificate.h"
#include "fuzz.h"
#include "openssl-cleanup.h"
#include "pkcs12.h"

/* Many short inputs find more than a few that take long. */
#define ITERATIONS 5000

static Pkcs12Reader *reader;

static void read_with(const char *passphrase, const uint8_t *data, size_t size)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    const char *reason = NULL;

    if (pkcs12_read(reader, (const char *) data, size, passphrase, &key, &chain, &reason) < 0) {
        FUZZ_CHECK(reason && !key && !chain);
        return;
    }
    FUZZ_CHECK(key && chain && sk_X509_num(chain) <= CERTIFICATE_CHAIN_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Made once; the process ends with it. */
    if (!reader)
        FUZZ_CHECK(pkcs12_reader_new(&reader, ITERATIONS) == 0);
    if (size > CERTIFICATE_PEM_MAX)
        return 0;
    read_with("secret", data, size);
    read_with("", data, size);
    return 0;
}
