/* SPDX-License-Identifier: Apache-2.0 */

/* Pointer files. The parser gets whatever somebody has put into a file; it takes DER only, the one encoding of what it says, and
 * must never look behind the end of it. It is linked into programs of others: no state, and nothing but OpenSSL's ASN.1. */

#include "key-pointer.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "openssl-cleanup.h"

/* The key is kept as it is: whether it is one is for whoever uses it, in its own library context. */
typedef struct PointerAsn1 {
    ASN1_INTEGER *version;
    ASN1_UTF8STRING *name;
    ASN1_TYPE *key;
} PointerAsn1;

ASN1_SEQUENCE(PointerAsn1) = {
    ASN1_SIMPLE(PointerAsn1, version, ASN1_INTEGER),
    ASN1_SIMPLE(PointerAsn1, name, ASN1_UTF8STRING),
    ASN1_SIMPLE(PointerAsn1, key, ASN1_ANY),
} static_ASN1_SEQUENCE_END(PointerAsn1)

static void pointer_asn1_freep(PointerAsn1 **p)
{
    ASN1_item_free((ASN1_VALUE *) *p, ASN1_ITEM_rptr(PointerAsn1));
}

static void openssl_freep(unsigned char **p)
{
    OPENSSL_free(*p);
}

/* Encodes p; negative errno or the size. */
static int encode(const PointerAsn1 *p, unsigned char **ret)
{
    int size = ASN1_item_i2d((const ASN1_VALUE *) p, ret, ASN1_ITEM_rptr(PointerAsn1));

    return size > 0 ? size : -ENOMEM;
}

static int name_copy(const ASN1_UTF8STRING *s, char name[static CERTIFICATE_NAME_MAX + 1])
{
    size_t n = (size_t) ASN1_STRING_length(s);

    if (n > CERTIFICATE_NAME_MAX || memchr(ASN1_STRING_get0_data(s), 0, n))
        return -EBADMSG;
    memcpy(name, ASN1_STRING_get0_data(s), n);
    name[n] = '\0';
    return certificate_name_valid(name) ? 0 : -EBADMSG;
}

int key_pointer_parse(const uint8_t *der, size_t size, KeyPointer *ret)
{
    _cleanup_(openssl_freep) unsigned char *again = NULL;
    _cleanup_(pointer_asn1_freep) PointerAsn1 *p = NULL;
    const unsigned char *end = der;
    KeyPointer pointer = {};
    int again_size, r;

    if (size > KEY_POINTER_SIZE_MAX)
        return -EBADMSG;
    (void) ERR_set_mark();
    p = (PointerAsn1 *) ASN1_item_d2i(NULL, &end, (long) size, ASN1_ITEM_rptr(PointerAsn1));
    (void) ERR_pop_to_mark();
    if (!p || end != der + size || p->key->type != V_ASN1_SEQUENCE)
        return -EBADMSG;
    again_size = encode(p, &again);
    if (again_size < 0)
        return again_size;
    /* BER has many forms of the same. */
    if ((size_t) again_size != size || memcmp(again, der, size) != 0)
        return -EBADMSG;
    if (ASN1_INTEGER_get(p->version) != KEY_POINTER_VERSION)
        return ASN1_INTEGER_get(p->version) > KEY_POINTER_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
    r = name_copy(p->name, pointer.name);
    if (r < 0)
        return r;
    /* It is the last member. */
    pointer.spki_size = (size_t) ASN1_STRING_length(p->key->value.sequence);
    pointer.spki = der + size - pointer.spki_size;
    *ret = pointer;
    return 0;
}

int key_pointer_to_der(const char *name, const uint8_t *spki, size_t spki_size, uint8_t **ret, size_t *ret_size)
{
    _cleanup_(openssl_freep) unsigned char *der = NULL;
    _cleanup_(pointer_asn1_freep) PointerAsn1 *p = NULL;
    const unsigned char *end = spki;
    uint8_t *copy;
    int size;

    if (!certificate_name_valid(name))
        return -EINVAL;
    if (spki_size > KEY_POINTER_SIZE_MAX / 2)
        return -EFBIG;
    p = (PointerAsn1 *) ASN1_item_new(ASN1_ITEM_rptr(PointerAsn1));
    if (!p || ASN1_INTEGER_set(p->version, KEY_POINTER_VERSION) != 1 || ASN1_STRING_set(p->name, name, (int) strlen(name)) != 1)
        return -ENOMEM;
    if (!d2i_ASN1_TYPE(&p->key, &end, (long) spki_size) || end != spki + spki_size || p->key->type != V_ASN1_SEQUENCE)
        return -EINVAL;
    size = encode(p, &der);
    if (size < 0)
        return size;
    copy = malloc((size_t) size);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, der, (size_t) size);
    *ret = copy;
    *ret_size = (size_t) size;
    return 0;
}

static int to_pem(const uint8_t *der, size_t size, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *text, *copy;
    long length;

    if (!bio || PEM_write_bio(bio, KEY_POINTER_LABEL, "", der, (long) size) <= 0)
        return -ENOMEM;
    length = BIO_get_mem_data(bio, &text);
    copy = strndup(text, (size_t) length);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int key_pointer_from_certificate(const char *name, const char *pem, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
    _cleanup_(openssl_freep) unsigned char *spki = NULL;
    _cleanup_(x509_freep) X509 *x509 = NULL;
    _cleanup_free_ uint8_t *der = NULL;
    size_t der_size;
    int size, r;

    if (!bio)
        return -ENOMEM;
    (void) ERR_set_mark();
    x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    (void) ERR_pop_to_mark();
    if (!x509)
        return -EBADMSG;
    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
    if (size <= 0)
        return -EBADMSG;
    r = key_pointer_to_der(name, spki, (size_t) size, &der, &der_size);
    return r < 0 ? r : to_pem(der, der_size, ret);
}
