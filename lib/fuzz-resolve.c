/* SPDX-License-Identifier: Apache-2.0 */

/* Record data as a hostile zone can publish it: the parsers must not read beyond it, and a name they accept must be one that is
 * its own normal form. */

#include "fuzz.h"

#include "dns-name.h"
#include "resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *exchange = NULL, *normal = NULL;
    ResolveRecord record = {.data = (uint8_t *) data, .size = size};
    struct sockaddr_storage address;
    uint16_t preference;
    TlsaRecord tlsa;

    if (size > UINT16_MAX)
        return 0;
    if (resolve_parse_mx(&record, &preference, &exchange) == 0 && *exchange)
        FUZZ_CHECK(dns_name_normalize(exchange, &normal) >= 0 && streq(normal, exchange));
    (void) resolve_parse_address(&record, DNS_TYPE_A, &address);
    (void) resolve_parse_address(&record, DNS_TYPE_AAAA, &address);
    if (resolve_parse_tlsa(&record, &tlsa) == 0)
        FUZZ_CHECK(tlsa.data + tlsa.size == data + size);
    return 0;
}
