/* SPDX-License-Identifier: Apache-2.0 */

/* DANE for SMTP (RFC 7672) on top of OpenSSL's own verification. What is decided here: which records count, which names, and that
 * a peer is authenticated only if a record matched: "no error" alone is not enough. */

#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { USAGE_DANE_TA = 2, USAGE_DANE_EE = 3 };
enum { SELECTOR_CERTIFICATE = 0, SELECTOR_KEY = 1 };
enum { MATCHING_FULL = 0, MATCHING_SHA256 = 1, MATCHING_SHA512 = 2 };

static bool is_der(uint8_t selector, const uint8_t *data, size_t size)
{
    const unsigned char *p = data;
    bool parsed;

    if (size == 0 || size > UINT16_MAX)
        return false;
    if (selector == SELECTOR_CERTIFICATE) {
        X509 *x = d2i_X509(NULL, &p, (long) size);

        /* The key too must be one that OpenSSL can use: DANE-TA needs it. */
        parsed = x && X509_get0_pubkey(x);
        X509_free(x);
    } else {
        EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long) size);

        parsed = key;
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
    return parsed && p == data + size;
}

bool tlsa_usable(const TlsaRecord *r)
{
    /* PKIX-TA and PKIX-EE promise more than SMTP can check (RFC 7672, section 3.1.3). */
    if (r->usage != USAGE_DANE_TA && r->usage != USAGE_DANE_EE)
        return false;
    if (r->selector != SELECTOR_CERTIFICATE && r->selector != SELECTOR_KEY)
        return false;
    switch (r->mtype) {
    case MATCHING_FULL:
        return is_der(r->selector, r->data, r->size);
    case MATCHING_SHA256:
        return r->size == 32;
    case MATCHING_SHA512:
        return r->size == 64;
    default:
        return false;
    }
}

int tls_dane_arm(SSL *ssl, const char *base_domain, const char *const *names, const TlsaRecord *records, size_t n)
{
    size_t n_usable = 0;

    /* Sets SNI and the first reference name. */
    if (SSL_dane_enable(ssl, base_domain) <= 0)
        return -EINVAL;
    /* DANE-EE: the record binds name and key, whatever the certificate says (RFC 7672, section 3.1.1). */
    (void) SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    /* DANE-TA: a wildcard is a whole label (section 3.2.3). OpenSSL itself looks at the common name only if there is no DNS
     * name. */
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    for (; names && *names; names++)
        if (SSL_add1_host(ssl, *names) != 1)
            return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const TlsaRecord *r = &records[i];
        int added;

        if (!tlsa_usable(r))
            continue;
        added = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->mtype, r->data, r->size);
        ERR_clear_error();
        if (added < 0)
            return -ENOMEM;
        n_usable += (size_t) added;
    }
    return n_usable > 0 ? 0 : -EINVAL;
}

TlsVerify tls_dane_result(SSL *ssl)
{
    TlsVerify v;

    if (!SSL_get0_peer_certificate(ssl))
        return TLS_VERIFY_NO_CERTIFICATE;
    v = tls_verify_from_error(SSL_get_verify_result(ssl), (size_t) MAX(sk_X509_num(SSL_get_peer_cert_chain(ssl)), 0));
    if (v != TLS_VERIFY_PKIX)
        return v;
    /* Not armed, or nothing matched although nothing failed. */
    return SSL_get0_dane_authority(ssl, NULL, NULL) < 0 ? TLS_VERIFY_TLSA_MISMATCH : TLS_VERIFY_DANE;
}
