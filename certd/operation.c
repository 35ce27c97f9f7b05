/* SPDX-License-Identifier: Apache-2.0 */

/* The operations on certificates. Each makes a new entry out of the old one and has the store put it in place, or fails and
 * leaves everything as it was. It must never touch what belongs to the loop. */

#include "operation.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "certificate-request.h"
#include "chain.h"
#include "key-spec.h"
#include "openssl-cleanup.h"
#include "operation-assign.h"
#include "read-fd.h"
#include "secure-memory.h"

#define FILE_MAX CERTIFICATE_PEM_MAX

int operation_new(Operation **ret, OperationKind kind, Store *store)
{
    Operation *o = calloc(1, sizeof(Operation));

    if (!o)
        return -ENOMEM;
    o->kind = kind;
    o->store = store;
    o->days = SELF_SIGNED_DAYS_DEFAULT;
    o->file_fd = o->passphrase_fd = o->trusted_fd = o->result_fd = -EBADF;
    *ret = o;
    return 0;
}

static void strv_free(char **l)
{
    for (char **s = l; s && *s; s++)
        free(*s);
    free(l);
}

Operation *operation_free(Operation *o)
{
    if (!o)
        return NULL;
    free(o->name);
    free(o->new_name);
    free(o->use);
    free(o->common_name);
    free(o->organization);
    free(o->unit);
    free(o->city);
    free(o->state);
    free(o->country);
    strv_free(o->names);
    free(o->key_type);
    free(o->key_uri);
    free(o->text);
    (void) close_fd(o->file_fd);
    (void) close_fd(o->passphrase_fd);
    (void) close_fd(o->trusted_fd);
    (void) close_fd(o->result_fd);
    free(o);
    return NULL;
}

/* Certificates are named after their common name if not otherwise; a wildcard has no file name. */
static int choose_name(Operation *o, const char *common_name)
{
    if (*o->name)
        return 0;
    if (!common_name || !certificate_name_valid(common_name)) {
        o->reason = "the certificate needs a name; the common name cannot be one";
        return -EINVAL;
    }
    free(o->name);
    o->name = strdup(common_name);
    return o->name ? 0 : -ENOMEM;
}

/* A new one, or the one that is in a token. */
static int get_key(Operation *o, StoreEntry *e)
{
    if (!o->key_uri)
        return key_spec_generate(o->key_type ?: KEY_SPEC_DEFAULT, &e->key, &o->reason);
    if (o->key_type) {
        o->reason = "a key that is in a token has its type already";
        return -EINVAL;
    }
    e->key_uri = strdup(o->key_uri);
    return e->key_uri ? store_token_key(o->store, o->key_uri, &e->key, &o->reason) : -ENOMEM;
}

static int run_create(Operation *o)
{
    const Subject subject = {
        .common_name = o->common_name,
        .organization = o->organization,
        .unit = o->unit,
        .city = o->city,
        .state = o->state,
        .country = o->country,
        .names = o->names,
    };
    _cleanup_(store_entry_done) StoreEntry e = {.export_forbidden = o->forbid_export};
    _cleanup_(x509_freep) X509 *x = NULL;
    int r;

    r = choose_name(o, o->common_name);
    if (r < 0)
        return r;
    r = get_key(o, &e);
    if (r < 0)
        return r;
    r = self_signed_make(&subject, e.key, o->days, &x, &o->reason);
    if (r < 0)
        return r;
    e.chain = sk_X509_new_null();
    if (!e.chain || sk_X509_push(e.chain, x) <= 0)
        return -ENOMEM;
    (void) TAKE_PTR(x);
    return store_put(o->store, o->name, &e, STORE_PUT_NEW, &o->reason);
}

static int request_to_text(X509_REQ *request, char **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long n;

    if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
        return -ENOMEM;
    n = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t) n);
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

static int run_request(Operation *o)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    X509_REQ *request;
    int r;

    r = store_read(o->store, o->name, &e, &o->reason);
    if (r < 0)
        return r;
    o->reason = "OpenSSL failed to make the request";
    r = certificate_request_make(sk_X509_value(e.chain, 0), e.key, &request);
    if (r < 0)
        return r;
    X509_REQ_free(e.request);
    e.request = request;
    r = request_to_text(request, &o->text);
    return r < 0 ? r : store_put(o->store, o->name, &e, STORE_PUT_REPLACE, &o->reason);
}

/* ---- certificates of others ---- */

static void trust_freep(X509_STORE **s)
{
    X509_STORE_free(*s);
}

/* What certd wrote itself: there is nothing to refuse in it. */
static int trust_add(X509_STORE *trusted, int fd)
{
    _cleanup_(bio_freep) BIO *bio = NULL;
    struct stat st;
    void *pem;
    X509 *x;

    if (fstat(fd, &st) < 0)
        return negative_errno();
    if (st.st_size == 0)
        return 0;
    if (st.st_size > INT_MAX)
        return -EFBIG;
    pem = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (pem == MAP_FAILED)
        return negative_errno();
    bio = BIO_new_mem_buf(pem, (int) st.st_size);
    while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        (void) X509_STORE_add_cert(trusted, x);
        X509_free(x);
    }
    ERR_clear_error();
    (void) munmap(pem, (size_t) st.st_size);
    return bio ? 0 : -ENOMEM;
}

/* Ordered and judged by the host's list of authorities and those that are enabled in certd. */
static int make_chain(Operation *o, STACK_OF(X509) *given, EVP_PKEY *key, STACK_OF(X509) **ret)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    _cleanup_(trust_freep) X509_STORE *trusted = X509_STORE_new();
    int r;

    if (!trusted)
        return -ENOMEM;
    (void) X509_STORE_set_default_paths(trusted);
    r = o->trusted_fd < 0 ? 0 : trust_add(trusted, o->trusted_fd);
    if (r < 0)
        return r;
    r = chain_order(given, key, &chain, &o->reason);
    if (r < 0)
        return r;
    r = chain_check(chain, trusted, time(NULL), o->incomplete, &o->reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(chain);
    return 0;
}

static int run_install(Operation *o)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *given = NULL, *chain = NULL;
    _cleanup_(store_entry_done) StoreEntry e = {};
    _cleanup_(secure_freep) char *file = NULL;
    size_t size;
    int r;

    r = read_fd(o->file_fd, FILE_MAX, &file, &size, &o->reason);
    if (r < 0)
        return r;
    r = chain_parse(file, size, &given, &o->reason);
    if (r < 0)
        return r;
    r = store_read(o->store, o->name, &e, &o->reason);
    if (r < 0)
        return r;
    /* What is added joins what is there. */
    while (o->kind == OPERATION_ADD_INTERMEDIATES && sk_X509_num(e.chain) > 0) {
        if (sk_X509_push(given, sk_X509_value(e.chain, 0)) <= 0)
            return -ENOMEM;
        (void) sk_X509_shift(e.chain);
    }
    r = make_chain(o, given, e.key, &chain);
    if (r < 0)
        return r;
    sk_X509_pop_free(e.chain, X509_free);
    e.chain = TAKE_PTR(chain);
    return store_put(o->store, o->name, &e, STORE_PUT_REPLACE, &o->reason);
}

/* ---- PKCS#12 ---- */

/* The line that a prompt or an editor made: its end is not part of the passphrase. */
static int read_passphrase(Operation *o, char **ret)
{
    _cleanup_(secure_freep) char *s = NULL;
    size_t n;
    int r;

    r = read_fd(o->passphrase_fd, PKCS12_PASSPHRASE_MAX, &s, &n, &o->reason);
    if (r < 0)
        return r;
    if (n > 0 && s[n - 1] == '\n')
        s[--n] = '\0';
    if (strlen(s) != n) {
        o->reason = "the passphrase has a zero byte in it";
        return -EINVAL;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

static int name_after(Operation *o, X509 *leaf)
{
    char common_name[CERTIFICATE_NAME_MAX + 2];
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, common_name, sizeof(common_name));

    return choose_name(o, n > 0 ? common_name : NULL);
}

static int run_import(Operation *o)
{
    _cleanup_(store_entry_done) StoreEntry e = {.export_forbidden = o->forbid_export};
    _cleanup_(x509_chain_freep) STACK_OF(X509) *given = NULL;
    _cleanup_(secure_freep) char *file = NULL, *passphrase = NULL;
    size_t size;
    int r;

    r = read_fd(o->file_fd, FILE_MAX, &file, &size, &o->reason);
    if (r >= 0)
        r = read_passphrase(o, &passphrase);
    if (r >= 0)
        r = pkcs12_read(o->pkcs12, file, size, passphrase, &e.key, &given, &o->reason);
    if (r >= 0)
        r = make_chain(o, given, e.key, &e.chain);
    if (r >= 0)
        r = name_after(o, sk_X509_value(e.chain, 0));
    if (r < 0)
        return r;
    return store_put(o->store, o->name, &e, o->replace ? STORE_PUT_REPLACE : STORE_PUT_NEW, &o->reason);
}

/* Sealed: whoever gets it, nobody changes it. */
static int bio_to_memfd(BIO *bio, int *ret)
{
    _cleanup_close_ int fd = memfd_create("postern-export", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char *data;
    long size = BIO_get_mem_data(bio, &data);

    if (fd < 0)
        return negative_errno();
    for (long done = 0; done < size;) {
        ssize_t n = write(fd, data + done, (size_t) (size - done));

        if (n < 0)
            return negative_errno();
        done += n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return negative_errno();
    *ret = TAKE_FD(fd);
    return 0;
}

static int run_export(Operation *o)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    _cleanup_(secure_freep) char *passphrase = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    int r;

    r = store_read(o->store, o->name, &e, &o->reason);
    if (r < 0)
        return r;
    if (e.key_uri) {
        o->reason = "its key is in a token and does not leave it";
        return -EACCES;
    }
    if (e.export_forbidden) {
        o->reason = "the export of its key is forbidden";
        return -EACCES;
    }
    r = read_passphrase(o, &passphrase);
    if (r < 0)
        return r;
    if (!*passphrase) {
        o->reason = "a key is not exported without a passphrase";
        return -EINVAL;
    }
    r = pkcs12_write(e.key, e.chain, o->name, passphrase, &bio, &o->reason);
    return r < 0 ? r : bio_to_memfd(bio, &o->result_fd);
}

/* ---- permissions ---- */

static int run_forbid_export(Operation *o)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    int r;

    r = store_read(o->store, o->name, &e, &o->reason);
    if (r < 0)
        return r;
    e.export_forbidden = true;
    return store_put(o->store, o->name, &e, STORE_PUT_REPLACE, &o->reason);
}

int operation_run(Operation *o)
{
    static int (*const kinds[_OPERATION_KIND_MAX])(Operation *o) = {
        [OPERATION_CREATE] = run_create,
        [OPERATION_REQUEST] = run_request,
        [OPERATION_INSTALL] = run_install,
        [OPERATION_ADD_INTERMEDIATES] = run_install,
        [OPERATION_IMPORT] = run_import,
        [OPERATION_EXPORT] = run_export,
        [OPERATION_RENAME] = operation_rename,
        [OPERATION_DELETE] = operation_delete,
        [OPERATION_FORBID_EXPORT] = run_forbid_export,
        [OPERATION_ASSIGN] = operation_assign,
        [OPERATION_UNASSIGN] = operation_unassign,
    };
    int r;

    r = kinds[o->kind](o);
    ERR_clear_error();
    return r;
}
