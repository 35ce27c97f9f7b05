/* SPDX-License-Identifier: Apache-2.0 */

/* The operations on certificates. Each makes a new entry out of the old one and has the store put it in place, or fails and
 * leaves everything as it was. It must never touch what belongs to the loop. */

#include "operation.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "certificate-request.h"
#include "key-spec.h"
#include "openssl-cleanup.h"

int operation_new(Operation **ret, OperationKind kind, Store *store)
{
    Operation *o = calloc(1, sizeof(Operation));

    if (!o)
        return -ENOMEM;
    o->kind = kind;
    o->store = store;
    o->days = SELF_SIGNED_DAYS_DEFAULT;
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
    free(o->common_name);
    free(o->organization);
    free(o->unit);
    free(o->city);
    free(o->state);
    free(o->country);
    strv_free(o->names);
    free(o->key_type);
    free(o->text);
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
    r = key_spec_generate(o->key_type ?: KEY_SPEC_DEFAULT, &e.key, &o->reason);
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

static int run_rename(Operation *o)
{
    return store_rename(o->store, o->name, o->new_name, &o->reason);
}

static int run_delete(Operation *o)
{
    return store_remove(o->store, o->name, &o->reason);
}

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
        [OPERATION_RENAME] = run_rename,
        [OPERATION_DELETE] = run_delete,
        [OPERATION_FORBID_EXPORT] = run_forbid_export,
    };
    int r;

    r = kinds[o->kind](o);
    ERR_clear_error();
    return r;
}
