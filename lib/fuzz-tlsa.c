/* SPDX-License-Identifier: Apache-2.0 */

/* A TLSA record set as a hostile zone can publish it: each record is two bytes of length and that much data. What is usable arms
 * a session, and OpenSSL has to be of the same opinion: a set that is usable by ours alone would keep mail from a host for ever. */

#include "fuzz.h"

#include "resolve.h"
#include "tls.h"

#define RECORDS_MAX 8

static SSL_CTX *context(void)
{
    static SSL_CTX *ctx;

    if (!ctx)
        FUZZ_CHECK(tls_client_context_new(&ctx, NULL) >= 0);
    return ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"example.com", NULL};
    TlsaRecord records[RECORDS_MAX];
    size_t n = 0, n_usable = 0;
    SSL *ssl;

    while (size > 2 && n < RECORDS_MAX) {
        size_t length = MIN((size_t) (data[0] << 8 | data[1]), size - 2);
        ResolveRecord record = {.data = (uint8_t *) data + 2, .size = length};

        if (resolve_parse_tlsa(&record, &records[n]) >= 0) {
            FUZZ_CHECK(records[n].data + records[n].size == record.data + length);
            if (tlsa_usable(&records[n])) {
                FUZZ_CHECK(records[n].usage == 2 || records[n].usage == 3);
                n_usable++;
            }
            n++;
        }
        data += 2 + length;
        size -= 2 + length;
    }
    ssl = SSL_new(context());
    FUZZ_CHECK(ssl);
    FUZZ_CHECK((tls_dane_arm(ssl, "mx.example.com", names, records, n) >= 0) == (n_usable > 0));
    /* Without a handshake nobody is authenticated. */
    FUZZ_CHECK(!tls_verify_succeeded(tls_dane_result(ssl)));
    SSL_free(ssl);
    return 0;
}
