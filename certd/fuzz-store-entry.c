/* SPDX-License-Identifier: Apache-2.0 */

/* Any file of the store, and any chain beside it. What is read is written so that it is read again as the same, every other time with
 * its key encrypted. */

#include "fuzz.h"
#include "openssl-cleanup.h"
#include "private-key.h"
#include "store-entry.h"

static const KeyAccess with_passphrase = {.passphrase = "corpus"}, without = {};

static char *copy(const uint8_t *data, size_t size)
{
    char *s = malloc(size + 1);

    FUZZ_CHECK(s);
    if (size > 0)
        memcpy(s, data, size);
    s[size] = '\0';
    return s;
}

static void check_certificate(const char *file, size_t size, Certificate **ret)
{
    const char *reason = NULL;

    if (store_entry_parse_certificate(ret, "entry", file, size, &with_passphrase, &reason) < 0)
        FUZZ_CHECK(reason && !*ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(certificate_unrefp) Certificate *before = NULL, *after = NULL;
    _cleanup_(store_entry_done) StoreEntry e = {};
    _cleanup_free_ char *file = copy(data, size), *written = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    const char *reason = NULL;
    char *text;
    long n;

    check_certificate(file, size, &before);
    if (store_entry_parse(&e, file, size, file, size, &with_passphrase, &reason) < 0) {
        FUZZ_CHECK(reason && !e.key && !before);
        return 0;
    }
    FUZZ_CHECK(before && e.key && sk_X509_num(e.chain) > 0 && sk_X509_num(e.chain) <= CERTIFICATE_CHAIN_MAX);
    if (store_entry_format(&e, size % 2 ? &with_passphrase : &without, &bio) < 0)
        return 0;
    n = BIO_get_mem_data(bio, &text);
    written = copy((const uint8_t *) text, (size_t) n);
    check_certificate(written, (size_t) n, &after);
    FUZZ_CHECK(after && certificate_equal(before, after) && after->key_encrypted == size % 2);
    return 0;
}
