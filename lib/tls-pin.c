/* SPDX-License-Identifier: Apache-2.0 */

/* Fingerprints as text. They are compared whole: what is shorter than a SHA-256 digest is no pin, since somebody could make a
 * certificate that begins like it. */

#include "tls-pin.h"

#include <ctype.h>
#include <openssl/evp.h>

#define DIGEST_SIZE 32

static const char certificate_prefix[] = "cert-sha256:", key_prefix[] = "spki-sha256:";

static const char *read_prefix(const char **text)
{
    static const char *const prefixes[] = {certificate_prefix, key_prefix};

    for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
        if (strncasecmp(*text, prefixes[i], strlen(prefixes[i])) == 0) {
            *text += strlen(prefixes[i]);
            return prefixes[i];
        }
    return NULL;
}

int tls_pin_parse(const char *text, const char *default_prefix, char **ret)
{
    const char *prefix = read_prefix(&text) ?: default_prefix;
    char digits[2 * DIGEST_SIZE + 1];
    size_t n = 0;

    if (!prefix)
        return -EINVAL;
    for (const char *p = text; *p; p++) {
        if (*p == ':' && n > 0 && n % 2 == 0 && p[1] && p[-1] != ':')
            continue;
        if (!isxdigit((unsigned char) *p) || n == 2 * DIGEST_SIZE)
            return -EINVAL;
        digits[n++] = (char) tolower((unsigned char) *p);
    }
    if (n != 2 * DIGEST_SIZE)
        return -EINVAL;
    digits[n] = '\0';
    return asprintf(ret, "%s%s", prefix, digits) < 0 ? -ENOMEM : 0;
}

static bool digest_of(X509 *x, bool key, uint8_t digest[DIGEST_SIZE])
{
    unsigned char *der = NULL;
    unsigned size = 0;
    bool done;
    int n;

    if (!key)
        return X509_digest(x, EVP_sha256(), digest, &size) == 1 && size == DIGEST_SIZE;
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    done = n > 0 && EVP_Digest(der, (size_t) n, digest, &size, EVP_sha256(), NULL) == 1 && size == DIGEST_SIZE;
    OPENSSL_free(der);
    return done;
}

bool tls_pin_matches(X509 *x, const char *pin)
{
    const char *prefix = read_prefix(&pin);
    uint8_t digest[DIGEST_SIZE];
    char digits[2 * DIGEST_SIZE + 1];

    if (!prefix || !digest_of(x, prefix == key_prefix, digest))
        return false;
    for (size_t i = 0; i < sizeof(digest); i++)
        (void) sprintf(digits + 2 * i, "%02x", digest[i]);
    return streq(digits, pin);
}

bool tls_pins_match(X509 *x, const char *const *pins)
{
    for (; *pins; pins++)
        if (tls_pin_matches(x, *pins))
            return true;
    return false;
}
