/* SPDX-License-Identifier: Apache-2.0 */

/* Authorities' certificates, taken apart for people, and lists of them. What stands in a certificate came from outside: nothing
 * leaves here that is not fit to be shown. */

#include "authority.h"

#include <ctype.h>
#include <openssl/pem.h>
#include <strings.h>
#include <time.h>

#include "openssl-cleanup.h"
#include "text.h"

static int bio_to_string(BIO *bio, char **ret)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);

    *ret = strndup(n > 0 ? data : "", (size_t) MAX(n, 0));
    return *ret ? 0 : -ENOMEM;
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

/* Many authorities have no common name. */
static void set_name(Authority *a, const X509_NAME *subject)
{
    static const int nids[] = {NID_commonName, NID_organizationalUnitName, NID_organizationName};

    for (size_t i = 0; i < ELEMENTSOF(nids) && !a->name[0]; i++) {
        int position = X509_NAME_get_index_by_NID(subject, nids[i], -1);
        unsigned char *utf8;
        int n;

        if (position < 0)
            continue;
        n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, position)));
        if (n < 0)
            continue;
        (void) text_make_printable(a->name, sizeof(a->name), (const char *) utf8, (size_t) n);
        OPENSSL_free(utf8);
    }
    if (!a->name[0])
        (void) text_make_printable(a->name, sizeof(a->name), a->subject, strlen(a->subject));
}

static int set_subject(Authority *a, X509 *x)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    int r;

    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(x), 0,
                        (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return -ENOMEM;
    r = bio_to_string(bio, &a->subject);
    if (r >= 0)
        set_name(a, X509_get_subject_name(x));
    return r;
}

static int set_pem(Authority *a, X509 *x)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio || PEM_write_bio_X509(bio, x) != 1)
        return -ENOMEM;
    return bio_to_string(bio, &a->pem);
}

static int set_fingerprint(Authority *a, X509 *x)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n;
    char *p = a->fingerprint;

    if (X509_digest(x, EVP_sha256(), digest, &n) != 1)
        return -EBADMSG;
    for (unsigned i = 0; i < n; i++)
        p += sprintf(p, "%s%02X", i > 0 ? ":" : "", digest[i]);
    return 0;
}

int authority_new(Authority **ret, X509 *x)
{
    _cleanup_(authority_freep) Authority *a = calloc(1, sizeof(Authority));
    int r;

    if (!a)
        return -ENOMEM;
    a->enabled = true;
    r = set_fingerprint(a, x);
    if (r >= 0)
        r = set_subject(a, x);
    if (r >= 0)
        r = set_pem(a, x);
    if (r >= 0)
        r = time_to_usec(X509_get0_notBefore(x), &a->not_before_usec);
    if (r >= 0)
        r = time_to_usec(X509_get0_notAfter(x), &a->not_after_usec);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

Authority *authority_free(Authority *a)
{
    if (!a)
        return NULL;
    free(a->subject);
    free(a->pem);
    free(a);
    return NULL;
}

/* ---- lists ---- */

void authority_list_done(AuthorityList *l)
{
    for (size_t i = 0; i < l->n; i++)
        authority_free(l->items[i]);
    free(l->items);
    *l = (AuthorityList) {};
}

Authority *authority_list_find(const AuthorityList *l, const char *fingerprint)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i]->fingerprint, fingerprint))
            return l->items[i];
    return NULL;
}

int authority_list_add(AuthorityList *l, Authority *a)
{
    Authority **items;

    if (authority_list_find(l, a->fingerprint))
        return -EEXIST;
    if (l->n >= AUTHORITIES_LIST_MAX)
        return -E2BIG;
    items = reallocarray(l->items, l->n + 1, sizeof(Authority *));
    if (!items)
        return -ENOMEM;
    l->items = items;
    l->items[l->n++] = a;
    return 0;
}

size_t authority_list_size(const AuthorityList *l)
{
    size_t size = 0;

    for (size_t i = 0; i < l->n; i++)
        size += strlen(l->items[i]->pem);
    return size;
}

static int compare(const void *a, const void *b)
{
    const Authority *x = *(Authority *const *) a, *y = *(Authority *const *) b;
    int r = strcasecmp(x->name, y->name);

    return r ?: strcmp(x->fingerprint, y->fingerprint);
}

void authority_list_sort(AuthorityList *l)
{
    if (l->n > 1)
        qsort(l->items, l->n, sizeof(Authority *), compare);
}

bool authority_fingerprint_parse(const char *s, char ret[AUTHORITY_FINGERPRINT_SIZE])
{
    char text[AUTHORITY_FINGERPRINT_SIZE];
    size_t n = 0, digits = 0;

    for (; *s; s++) {
        if (*s == ':')
            continue;
        if (!isxdigit((unsigned char) *s) || digits >= 64)
            return false;
        if (digits > 0 && digits % 2 == 0)
            text[n++] = ':';
        text[n++] = (char) toupper((unsigned char) *s);
        digits++;
    }
    if (digits < AUTHORITY_PREFIX_MIN)
        return false;
    text[n++] = '\0';
    memcpy(ret, text, n);
    return true;
}
