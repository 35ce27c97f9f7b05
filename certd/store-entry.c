/* SPDX-License-Identifier: Apache-2.0 */

/* The format of the store's files. Key bytes are in secure memory only. */

#include "store-entry.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "openssl-cleanup.h"
#include "private-key.h"

#define EXPORT_FORBIDDEN "Export: forbidden"
#define KEY_IN_TOKEN "Key: "

static void request_freep(X509_REQ **r)
{
    X509_REQ_free(*r);
}

void store_entry_done(StoreEntry *e)
{
    EVP_PKEY_free(e->key);
    free(e->key_uri);
    sk_X509_pop_free(e->chain, X509_free);
    X509_REQ_free(e->request);
    *e = (StoreEntry) {};
}

/* What stands behind start in a line that begins so, NULL if none does. */
static const char *find_line(const char *file, const char *start)
{
    const char *begin = strstr(file, "-----BEGIN ");

    /* Only in front of the first block: behind it might be whatever somebody's tool has written. */
    for (const char *p = file; p && (!begin || p < begin); p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, start, strlen(start)) == 0)
            return p + strlen(start);
    return NULL;
}

static bool has_line(const char *file, const char *line)
{
    const char *end = find_line(file, line);

    return end && (*end == '\n' || *end == '\0');
}

/* From the file, or from the token that it names; *ret_uri is NULL in the former case. */
static int read_key(const char *file, size_t size, const KeyAccess *access, EVP_PKEY **ret, char **ret_uri, const char **reterr_reason)
{
    const char *value = find_line(file, KEY_IN_TOKEN);
    _cleanup_free_ char *uri = NULL;
    int r;

    if (!value) {
        *ret_uri = NULL;
        return private_key_read(file, size, access->passphrase, ret, reterr_reason);
    }
    if (!access->tokens) {
        *reterr_reason = "has its key in a token, and certd.conf names no module for tokens ([Tokens] Module=)";
        return -EBADMSG;
    }
    uri = strndup(value, strcspn(value, "\r\n"));
    if (!uri) {
        *reterr_reason = "does not fit into memory";
        return -ENOMEM;
    }
    r = tokens_get_key(access->tokens, uri, ret, reterr_reason);
    if (r < 0)
        return r;
    *ret_uri = TAKE_PTR(uri);
    return 0;
}

static X509_REQ *parse_request(const char *file, size_t size)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(file, (int) size);
    X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;

    ERR_clear_error();
    return request;
}

int store_entry_parse_certificate(Certificate **ret, const char *name, const char *file, size_t size, const KeyAccess *access,
        const char **reterr_reason)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_free_ char *key_uri = NULL;
    _cleanup_(request_freep) X509_REQ *request = NULL;
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    char *text;
    long n;
    int r;

    r = read_key(file, size, access, &key, &key_uri, reterr_reason);
    if (r >= 0)
        r = certificate_new(&c, name, key, file, size, reterr_reason);
    if (r < 0)
        return r;
    /* In a token it is as good as encrypted: nobody can read it. */
    c->key_encrypted = key_uri || private_key_is_encrypted(file);
    c->key_uri = TAKE_PTR(key_uri);
    c->export_forbidden = has_line(file, EXPORT_FORBIDDEN);
    request = parse_request(file, size);
    if (request) {
        *reterr_reason = "does not fit into memory";
        bio = BIO_new(BIO_s_mem());
        if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
            return -ENOMEM;
        n = BIO_get_mem_data(bio, &text);
        c->request = strndup(text, (size_t) n);
        if (!c->request)
            return -ENOMEM;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

int store_entry_parse(StoreEntry *ret, const char *file, size_t size, const char *chain, size_t chain_size, const KeyAccess *access,
        const char **reterr_reason)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    _cleanup_(bio_freep) BIO *bio = NULL;
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    int r;

    r = read_key(file, size, access, &e.key, &e.key_uri, reterr_reason);
    /* It checks everything. */
    if (r >= 0)
        r = certificate_new(&c, "entry", e.key, chain, chain_size, reterr_reason);
    if (r < 0)
        return r;
    *reterr_reason = "does not fit into memory";
    bio = BIO_new_mem_buf(c->pem, (int) c->pem_size);
    e.chain = sk_X509_new_null();
    if (!bio || !e.chain)
        return -ENOMEM;
    for (X509 *x; (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        if (sk_X509_push(e.chain, x) <= 0) {
            X509_free(x);
            return -ENOMEM;
        }
    ERR_clear_error();
    e.request = parse_request(file, size);
    e.export_forbidden = has_line(file, EXPORT_FORBIDDEN);
    *ret = e;
    e = (StoreEntry) {};
    return 0;
}

int store_entry_format(const StoreEntry *e, const KeyAccess *access, BIO **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
    char *data;

    if (!bio || (e->export_forbidden && BIO_puts(bio, EXPORT_FORBIDDEN "\n") <= 0) )
        return -ENOMEM;
    if (e->key_uri ? BIO_printf(bio, KEY_IN_TOKEN "%s\n", e->key_uri) <= 0 : private_key_write(bio, e->key, access->passphrase) < 0)
        return -ENOMEM;
    for (int i = 0; i < sk_X509_num(e->chain); i++)
        if (PEM_write_bio_X509(bio, sk_X509_value(e->chain, i)) != 1)
            return -ENOMEM;
    if (e->request && PEM_write_bio_X509_REQ(bio, e->request) != 1)
        return -ENOMEM;
    if (BIO_get_mem_data(bio, &data) > CERTIFICATE_PEM_MAX)
        return -EFBIG;
    *ret = TAKE_PTR(bio);
    return 0;
}
