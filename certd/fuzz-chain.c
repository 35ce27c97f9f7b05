/* SPDX-License-Identifier: Apache-2.0 */

/* Any file that somebody installs as a chain. The key is that of its first certificate, which stands for the one in the store. */

#include <time.h>

#include "certificate.h"
#include "chain.h"
#include "fuzz.h"
#include "openssl-cleanup.h"

static void check_order(STACK_OF(X509) *given, EVP_PKEY *key)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    const char *reason = NULL;

    if (chain_order(given, key, &chain, &reason) < 0) {
        FUZZ_CHECK(reason && !chain);
        return;
    }
    FUZZ_CHECK(sk_X509_num(chain) > 0 && sk_X509_num(chain) <= sk_X509_num(given));
    FUZZ_CHECK(EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(chain, 0)), key) == 1);
    for (int i = 1; i < sk_X509_num(chain); i++)
        FUZZ_CHECK(X509_NAME_cmp(X509_get_issuer_name(sk_X509_value(chain, i - 1)),
                           X509_get_subject_name(sk_X509_value(chain, i)))
                == 0);
    FUZZ_CHECK(chain_check(chain, NULL, time(NULL), true, &reason) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *given = NULL;
    const char *reason = NULL;
    EVP_PKEY *key;

    if (chain_parse((const char *) data, size, &given, &reason) < 0) {
        FUZZ_CHECK(reason && !given);
        return 0;
    }
    FUZZ_CHECK(sk_X509_num(given) > 0 && sk_X509_num(given) <= CERTIFICATE_CHAIN_MAX);
    key = X509_get0_pubkey(sk_X509_value(given, 0));
    if (key)
        check_order(given, key);
    return 0;
}
