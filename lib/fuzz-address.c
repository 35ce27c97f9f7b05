/* SPDX-License-Identifier: Apache-2.0 */

/* An address and a domain of any bytes. The first byte says whether SMTPUTF8 holds. What was accepted is in its one form: parsing
 * it again changes nothing. */

#include "fuzz.h"

#include "address.h"

static void check_domain(const char *domain)
{
    _cleanup_free_ char *again = NULL;

    FUZZ_CHECK(strlen(domain) <= ADDRESS_DOMAIN_MAX);
    if (*domain == '[')
        return;
    FUZZ_CHECK(domain_normalize(domain, &again) >= 0);
    FUZZ_CHECK(streq(domain, again));
    FUZZ_CHECK(domain_matches(domain, again));
}

static void check_address(const char *local, const char *domain, bool smtputf8)
{
    _cleanup_free_ char *address = NULL, *local_again = NULL, *domain_again = NULL;
    int r;

    FUZZ_CHECK(strlen(local) <= ADDRESS_LOCAL_MAX);
    FUZZ_CHECK(asprintf(&address, "%s@%s", local, domain) > 0);
    FUZZ_CHECK(streq(address_domain(address), domain));
    r = address_parse(address, strlen(address), smtputf8, &local_again, &domain_again);
    if (r == -ENAMETOOLONG) /* A-labels can be longer than what was given */
        return;
    FUZZ_CHECK(r >= 0 && streq(local, local_again) && streq(domain, domain_again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *local = NULL, *domain = NULL, *text = NULL, *normal = NULL;
    bool smtputf8;

    if (size == 0)
        return 0;
    smtputf8 = data[0] & 1;
    if (address_parse((const char *) data + 1, size - 1, smtputf8, &local, &domain) >= 0) {
        check_domain(domain);
        check_address(local, domain, smtputf8);
    }
    text = strndup((const char *) data + 1, size - 1);
    FUZZ_CHECK(text);
    if (domain_normalize(text, &normal) >= 0)
        check_domain(normal);
    return 0;
}
