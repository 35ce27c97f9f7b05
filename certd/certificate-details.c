/* SPDX-License-Identifier: Apache-2.0 */

/* Takes a certificate apart for people. What stands in it came from outside: names that are no plain text are left out. */

#include "certificate-details.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "certificate-names.h"
#include "chain.h"
#include "openssl-cleanup.h"

void certificate_details_done(CertificateDetails *d)
{
    free(d->issuer);
    free(d->serial);
    free(d->sha256);
    free(d->sha1);
    free(d->tlsa);
    free(d->authority_tlsa);
    certificate_names_free(d->names);
    *d = (CertificateDetails) {};
}

static int to_hex(const uint8_t *data, size_t n, char **ret)
{
    char *text = calloc(1, 3 * n + 1), *p = text;

    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s%02X", i > 0 ? ":" : "", data[i]);
    *ret = text;
    return 0;
}

static int fingerprint(X509 *x, const EVP_MD *md, char **ret)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;

    return X509_digest(x, md, digest, &n) == 1 ? to_hex(digest, n, ret) : -EBADMSG;
}

static int serial_number(X509 *x, char **ret)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);

    return to_hex(ASN1_STRING_get0_data(serial), (size_t) ASN1_STRING_length(serial), ret);
}

static int issuer(X509 *x, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long n;

    if (!bio || X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0,
                        (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return -ENOMEM;
    n = BIO_get_mem_data(bio, &data);
    *ret = strndup(n > 0 ? data : "", (size_t) n);
    return *ret ? 0 : -ENOMEM;
}

/* "USAGE 1 1 …": the SHA-256 hash of the public key. */
static int tlsa_data(unsigned usage, X509 *x, char **ret)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    unsigned char *spki = NULL;
    char text[sizeof("2 1 1 ") + 2 * sizeof(digest)], *p = text;
    const int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);

    if (n <= 0)
        return -EBADMSG;
    (void) SHA256(spki, (size_t) n, digest);
    OPENSSL_free(spki);
    p += sprintf(p, "%u 1 1 ", usage);
    for (size_t i = 0; i < sizeof(digest); i++)
        p += sprintf(p, "%02x", digest[i]);
    p = strdup(text);
    if (!p)
        return -ENOMEM;
    *ret = p;
    return 0;
}

/* The data of a TLSA record for the authority that signed the certificate, if the chain that is served has it: others find it nowhere
 * else (RFC 7671, section 5.2.2). */
static int authority_tlsa(const Certificate *c, X509 *leaf, char **ret)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    const char *reason;
    int r;

    r = chain_parse(c->pem, c->pem_size, &chain, &reason);
    if (r < 0)
        return r;
    for (int i = 1; i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);

        if (X509_check_issued(x, leaf) != X509_V_OK || X509_verify(leaf, X509_get0_pubkey(x)) != 1)
            continue;
        ERR_clear_error();
        return tlsa_data(2, x, ret);
    }
    ERR_clear_error();
    return 0;
}

static uint32_t count_chain(const Certificate *c)
{
    uint32_t n = 0;

    for (const char *p = c->pem; (p = strstr(p, "-----BEGIN CERTIFICATE-----")); p++)
        n++;
    return n;
}

int certificate_details(const Certificate *c, CertificateDetails *ret)
{
    _cleanup_(certificate_details_done) CertificateDetails d = {.chain_length = count_chain(c)};
    _cleanup_(x509_freep) X509 *x = NULL;
    const unsigned char *der = c->leaf;

    x = d2i_X509(NULL, &der, (long) c->leaf_size);
    if (!x)
        return -EBADMSG;
    d.key_bits = (uint32_t) EVP_PKEY_get_bits(c->key);
    if (issuer(x, &d.issuer) < 0 || serial_number(x, &d.serial) < 0 || fingerprint(x, EVP_sha256(), &d.sha256) < 0
            || fingerprint(x, EVP_sha1(), &d.sha1) < 0 || certificate_tlsa(c, &d.tlsa) < 0
            || authority_tlsa(c, x, &d.authority_tlsa) < 0 || certificate_names_alternative(x, &d.names) < 0)
        return -ENOMEM;
    d.qualified = certificate_names_all_qualified(x);
    *ret = d;
    d = (CertificateDetails) {};
    return 0;
}
