/* SPDX-License-Identifier: Apache-2.0 */

/* Facts of a certificate that a stranger made. What cannot be read is left empty: it decides nothing. */

#include "tls-peer.h"

#include <openssl/sha.h>
#include <time.h>

#include "certificate-names.h"
#include "openssl-cleanup.h"
#include "text.h"

static void write_name(char buffer[TLS_PEER_TEXT_MAX], const X509_NAME *name)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long n;

    if (!bio || X509_NAME_print_ex(bio, name, 0, (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return;
    n = BIO_get_mem_data(bio, &text);
    (void) text_make_printable(buffer, TLS_PEER_TEXT_MAX, text, (size_t) MAX(n, 0L));
}

static uint64_t time_to_usec(const ASN1_TIME *t)
{
    struct tm tm;
    time_t seconds;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    seconds = timegm(&tm);
    return seconds < 0 ? 0 : (uint64_t) seconds * USEC_PER_SEC;
}

static void write_digest(char buffer[65], const unsigned char *der, int n)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (n < 0)
        return;
    (void) SHA256(der, (size_t) n, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void) snprintf(buffer + 2 * i, 3, "%02x", digest[i]);
}

static void write_fingerprints(X509 *x, TlsPeer *p)
{
    unsigned char *der = NULL, *key = NULL;
    const int der_size = i2d_X509(x, &der), key_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &key);

    write_digest(p->fingerprint, der, der_size);
    write_digest(p->key_fingerprint, key, key_size);
    OPENSSL_free(der);
    OPENSSL_free(key);
}

static int write_names(X509 *x, TlsPeer *p)
{
    _cleanup_free_ char *common = NULL;
    char **names;
    int r;

    r = certificate_names_common(x, &common);
    if (r == -ENOMEM)
        return r;
    if (r >= 0)
        (void) text_make_printable(p->common_name, sizeof(p->common_name), common, SIZE_MAX);
    r = certificate_names_alternative(x, &names);
    if (r < 0)
        return r;
    for (char **name = names; *name; name++)
        if (p->n_names < TLS_PEER_NAMES_MAX)
            (void) text_make_printable(p->names[p->n_names++], TLS_PEER_TEXT_MAX, *name, SIZE_MAX);
        else
            p->n_names_left_out++;
    (void) certificate_names_free(names);
    return 0;
}

static void write_match(SSL *ssl, const TlsaRecord *records, size_t n, TlsPeer *p)
{
    uint8_t usage, selector, mtype;
    const unsigned char *data;
    X509 *authority = NULL;
    size_t size;

    if (SSL_get0_dane_authority(ssl, &authority, NULL) < 0
            || SSL_get0_dane_tlsa(ssl, &usage, &selector, &mtype, &data, &size) < 0)
        return;
    for (size_t i = 0; i < n && p->tlsa < 0; i++)
        if (records[i].usage == usage && records[i].selector == selector && records[i].mtype == mtype && records[i].size == size
                && memcmp(records[i].data, data, size) == 0)
            p->tlsa = (int32_t) i;
    if (authority && authority != SSL_get0_peer_certificate(ssl))
        write_name(p->authority, X509_get_subject_name(authority));
}

/* The end of the chain, unless that is the certificate itself. */
static void write_authority(SSL *ssl, TlsPeer *p)
{
    const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    const int n = chain ? sk_X509_num(chain) : 0;

    if (n > 1)
        write_name(p->authority, X509_get_subject_name(sk_X509_value(chain, n - 1)));
}

int tls_peer_read(SSL *ssl, const TlsaRecord *records, size_t n, TlsPeer *ret)
{
    X509 *x = SSL_get0_peer_certificate(ssl);
    TlsPeer p = {.tlsa = -1};
    int r;

    if (!x)
        return -ENOENT;
    write_name(p.subject, X509_get_subject_name(x));
    write_name(p.issuer, X509_get_issuer_name(x));
    p.not_before_usec = time_to_usec(X509_get0_notBefore(x));
    p.not_after_usec = time_to_usec(X509_get0_notAfter(x));
    write_fingerprints(x, &p);
    p.n_sent = (uint32_t) MAX(sk_X509_num(SSL_get_peer_cert_chain(ssl)), 0);
    r = write_names(x, &p);
    if (r < 0)
        return r;
    if (SSL_get_verify_result(ssl) == X509_V_OK) {
        if (n > 0)
            write_match(ssl, records, n, &p);
        else
            write_authority(ssl, &p);
    }
    *ret = p;
    return 0;
}
