/* SPDX-License-Identifier: Apache-2.0 */

/* Certificates and the signatures made with their keys. It must never hand out a key in any form; what is exported from a
 * Certificate is public. */

#include "certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <time.h>

#include "openssl-cleanup.h"
#include "self-signed.h"

/* OpenSSL must not ask a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
    return -1;
}

static STACK_OF(X509) *parse_chain(const char *pem, size_t size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();

    if (!bio || !chain)
        return NULL;
    for (;;) {
        _cleanup_(x509_freep) X509 *x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

        if (!x)
            break;
        if (sk_X509_num(chain) >= CERTIFICATE_CHAIN_MAX || sk_X509_push(chain, x) <= 0)
            return NULL;
        (void) TAKE_PTR(x);
    }
    /* Nothing but the end of the file may have ended the loop. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || sk_X509_num(chain) == 0)
        return NULL;
    return TAKE_PTR(chain);
}

static int bio_to_string(BIO *bio, char **ret, size_t *ret_size)
{
    char *data, *s;
    long n = BIO_get_mem_data(bio, &data);

    if (n < 0)
        return -EIO;
    s = malloc((size_t) n + 1);
    if (!s)
        return -ENOMEM;
    if (n > 0) /* an empty subject */
        memcpy(s, data, (size_t) n);
    s[n] = '\0';
    *ret = s;
    if (ret_size)
        *ret_size = (size_t) n;
    return 0;
}

/* Anew, so that comments and whatever else stood in the file are not served. */
static int chain_to_pem(const STACK_OF(X509) *chain, char **ret, size_t *ret_size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio)
        return -ENOMEM;
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (PEM_write_bio_X509(bio, sk_X509_value(chain, i)) != 1)
            return -EIO;
    return bio_to_string(bio, ret, ret_size);
}

static int subject_to_string(const X509 *x, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

    /* Escaped ASCII only: it goes to the bus and to logs. */
    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(x), 0,
            (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return -ENOMEM;
    return bio_to_string(bio, ret, NULL);
}

static int time_to_usec(const ASN1_TIME *t, uint64_t *ret)
{
    struct tm tm;
    time_t seconds;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return -EBADMSG;
    seconds = timegm(&tm);
    *ret = seconds < 0 ? 0 : (uint64_t) seconds * USEC_PER_SEC;
    return 0;
}

/* What is derived from the leaf. */
static int certificate_set_leaf(Certificate *c, X509 *leaf)
{
    unsigned char *der = NULL, *spki = NULL;
    int n, r;

    n = i2d_X509(leaf, &der);
    if (n <= 0)
        return -EBADMSG;
    c->leaf = der;
    c->leaf_size = (size_t) n;
    n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
    if (n <= 0)
        return -EBADMSG;
    (void) SHA256(spki, (size_t) n, c->spki_sha256);
    OPENSSL_free(spki);
    c->self_signed = X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0
            && X509_verify(leaf, X509_get0_pubkey(leaf)) == 1;
    r = subject_to_string(leaf, &c->subject);
    if (r < 0)
        return r;
    r = time_to_usec(X509_get0_notBefore(leaf), &c->not_before_usec);
    if (r < 0)
        return r;
    return time_to_usec(X509_get0_notAfter(leaf), &c->not_after_usec);
}

static int prepare_signature(PreparedSignature *p, const SignatureScheme *scheme, EVP_PKEY *key)
{
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *context; /* md's */

    if (!md)
        return -ENOMEM;
    if (EVP_DigestSignInit_ex(md, &context, scheme->digest, NULL, NULL, key, NULL) != 1)
        return -EIO;
    if (scheme->pss
            && (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1
                    || EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) != 1))
        return -EIO;
    p->scheme = scheme;
    p->context = TAKE_PTR(md);
    return 0;
}

static int certificate_prepare(Certificate *c)
{
    const SignatureScheme *scheme;
    size_t n = 0;

    for (size_t i = 0; (scheme = signature_scheme_get(i)); i++) {
        int r;

        if (!((scheme->key_types | scheme->tls13) & (1u << c->key_type)))
            continue;
        if (n == ELEMENTSOF(c->prepared))
            return -E2BIG;
        r = prepare_signature(&c->prepared[n++], scheme, c->key);
        if (r < 0)
            return r;
    }
    return 0;
}

/* That the public parts are equal says nothing of the private one: a file may be damaged, and a signature with such a key can
 * give the key away. */
static bool key_signs_for(EVP_PKEY *key, X509 *leaf)
{
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    static const uint8_t message[] = "a test of the key";
    uint8_t signature[CERTIFICATE_SIGNATURE_MAX];
    size_t n = sizeof(signature);

    return sign && verify && EVP_DigestSignInit(sign, NULL, signing_digest(key), NULL, key) == 1
            && EVP_DigestSign(sign, signature, &n, message, sizeof(message)) == 1
            && EVP_DigestVerifyInit(verify, NULL, signing_digest(key), NULL, X509_get0_pubkey(leaf)) == 1
            && EVP_DigestVerify(verify, signature, n, message, sizeof(message)) == 1;
}

static int certificate_parse(Certificate *c, const char *chain_pem, size_t chain_size, const char **reterr_reason)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    int r;

    chain = parse_chain(chain_pem, chain_size);
    if (!chain) {
        *reterr_reason = "is no chain of certificates in PEM";
        return -EBADMSG;
    }
    if (key_type_from_pkey(c->key, &c->key_type) < 0) {
        *reterr_reason = "has a key of an unsupported type (ECDSA P-256, P-384, Ed25519, ML-DSA and RSA from 2048 bits are)";
        return -EOPNOTSUPP;
    }
    if (X509_check_private_key(sk_X509_value(chain, 0), c->key) != 1) {
        *reterr_reason = "has a private key that is not the certificate's";
        return -EKEYREJECTED;
    }
    r = certificate_prepare(c);
    if (r < 0) {
        *reterr_reason = "has a private key that OpenSSL does not sign with";
        return r;
    }
    if (!key_signs_for(c->key, sk_X509_value(chain, 0))) {
        *reterr_reason = "has a private key whose signatures the certificate does not verify: it is damaged";
        return -EBADMSG;
    }
    r = certificate_set_leaf(c, sk_X509_value(chain, 0));
    if (r >= 0)
        r = chain_to_pem(chain, &c->pem, &c->pem_size);
    if (r < 0)
        *reterr_reason = "has a certificate that cannot be taken apart";
    return r;
}

int certificate_new(Certificate **ret, const char *name, EVP_PKEY *key, const char *chain_pem, size_t chain_size,
        const char **reterr_reason)
{
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    int r;

    if (!certificate_name_valid(name)) {
        *reterr_reason = "has a name with other characters than letters, digits, '.', '-' and '_'";
        return -EINVAL;
    }
    if (chain_size > CERTIFICATE_PEM_MAX) {
        *reterr_reason = "is too large";
        return -EFBIG;
    }
    c = calloc(1, sizeof(Certificate));
    if (!c || !(c->name = strdup(name))) {
        *reterr_reason = "does not fit into memory";
        return -ENOMEM;
    }
    c->n_ref = 1;
    c->key = key;
    (void) EVP_PKEY_up_ref(key);
    ERR_clear_error();
    r = certificate_parse(c, chain_pem, chain_size, reterr_reason);
    ERR_clear_error();
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

Certificate *certificate_ref(Certificate *c)
{
    c->n_ref++;
    return c;
}

Certificate *certificate_unref(Certificate *c)
{
    if (!c || --c->n_ref > 0)
        return NULL;
    for (size_t i = 0; i < ELEMENTSOF(c->prepared); i++)
        EVP_MD_CTX_free(c->prepared[i].context);
    EVP_PKEY_free(c->key);
    OPENSSL_free(c->leaf);
    free(c->name);
    free(c->pem);
    free(c->key_uri);
    free(c->request);
    free(c->subject);
    free(c);
    return NULL;
}

bool certificate_is_demonstration(const Certificate *c)
{
    return c->self_signed && streq(c->name, DEMONSTRATION_NAME);
}

CertificateState certificate_state(const Certificate *c, uint64_t now_usec)
{
    if (now_usec > c->not_after_usec)
        return CERTIFICATE_EXPIRED;
    if (now_usec < c->not_before_usec)
        return CERTIFICATE_NOT_YET_VALID;
    if (certificate_is_demonstration(c) && !c->request)
        return CERTIFICATE_DEMONSTRATION;
    if (!c->self_signed)
        return CERTIFICATE_SIGNED;
    return c->request ? CERTIFICATE_REQUEST_PENDING : CERTIFICATE_SELF_SIGNED;
}

const char *certificate_state_to_string(CertificateState s)
{
    static const char *const names[_CERTIFICATE_STATE_MAX] = {
        [CERTIFICATE_SIGNED] = "signed",
        [CERTIFICATE_SELF_SIGNED] = "self-signed",
        [CERTIFICATE_REQUEST_PENDING] = "request-pending",
        [CERTIFICATE_DEMONSTRATION] = "demonstration",
        [CERTIFICATE_NOT_YET_VALID] = "not-yet-valid",
        [CERTIFICATE_EXPIRED] = "expired",
    };

    return names[s];
}

bool certificate_equal(const Certificate *a, const Certificate *b)
{
    return streq(a->name, b->name) && a->pem_size == b->pem_size && memcmp(a->pem, b->pem, a->pem_size) == 0
            && a->export_forbidden == b->export_forbidden && streq(a->request ?: "", b->request ?: "")
            && streq(a->key_uri ?: "", b->key_uri ?: "");
}

int certificate_tlsa(const Certificate *c, char **ret)
{
    char text[sizeof("3 1 1 ") + 2 * sizeof(c->spki_sha256)] = "3 1 1 ";
    char *p = text + strlen(text);

    for (size_t i = 0; i < sizeof(c->spki_sha256); i++)
        p += sprintf(p, "%02x", c->spki_sha256[i]);
    p = strdup(text);
    if (!p)
        return -ENOMEM;
    *ret = p;
    return 0;
}

int certificate_sign(const Certificate *c, const SignatureScheme *scheme, const uint8_t *message, size_t size, uint8_t *signature,
        size_t *ret_size)
{
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
    const PreparedSignature *prepared = NULL;
    size_t n = CERTIFICATE_SIGNATURE_MAX;

    if (!md)
        return -ENOMEM;
    for (size_t i = 0; i < ELEMENTSOF(c->prepared) && !prepared; i++)
        if (c->prepared[i].scheme == scheme)
            prepared = &c->prepared[i];
    if (!prepared || EVP_MD_CTX_copy_ex(md, prepared->context) != 1)
        return -EIO;
    /* The copy is for this message only: OpenSSL need not copy it once more to let it go on. */
    EVP_MD_CTX_set_flags(md, EVP_MD_CTX_FLAG_FINALISE);
    if (EVP_DigestSign(md, signature, &n, message, size) != 1)
        return -EIO;
    *ret_size = n;
    return 0;
}
