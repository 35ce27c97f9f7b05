/* SPDX-License-Identifier: Apache-2.0 */

/* Contexts with keys that are in certd. Nothing here waits, and a context that is replaced is never changed: sessions may run
 * with it. */

#include "tls-contexts.h"

typedef struct TlsContext {
    char *source;
    SSL_CTX *context;
    int error; /* of the last change */
} TlsContext;

struct TlsContexts {
    RemoteKeys *keys;
    CertificateClient *client;
    TlsContextsOps ops;
    void *userdata;
    TlsContext contexts[TLS_CONTEXTS_MAX];
    size_t n_contexts;
};

static TlsContext *find(TlsContexts *t, const char *source)
{
    for (size_t i = 0; i < t->n_contexts; i++)
        if (streq(t->contexts[i].source, source))
            return &t->contexts[i];
    return NULL;
}

static int renew(TlsContexts *t, TlsContext *c)
{
    SSL_CTX *context = NULL;
    int r;

    r = t->ops.make(&context, remote_keys_libctx(t->keys));
    if (r < 0)
        return r;
    r = certificate_client_use(t->client, c->source, context);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    SSL_CTX_free(c->context);
    c->context = context;
    return 0;
}

static void on_certificate(CertificateClient *client, const char *source, int error, const char *reason, void *userdata)
{
    TlsContexts *t = userdata;
    TlsContext *c = find(t, source);

    if (!c)
        return;
    if (error >= 0) {
        error = renew(t, c);
        reason = error < 0 ? strerror(-error) : NULL;
    }
    if (error < 0 && !t->ops.keep) {
        SSL_CTX_free(c->context);
        c->context = NULL;
    }
    c->error = error;
    t->ops.changed(t, source, error, reason, t->userdata);
}

int tls_contexts_new(TlsContexts **ret, PeerClient *certd, RemoteKeys *keys, const TlsContextsOps *ops, void *userdata)
{
    _cleanup_(tls_contexts_freep) TlsContexts *t = NULL;
    int r;

    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->keys = keys;
    t->ops = *ops;
    t->userdata = userdata;
    r = certificate_client_new(&t->client, certd, keys, on_certificate, t);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

TlsContexts *tls_contexts_free(TlsContexts *t)
{
    if (!t)
        return NULL;
    t->client = certificate_client_free(t->client);
    for (size_t i = 0; i < t->n_contexts; i++) {
        SSL_CTX_free(t->contexts[i].context);
        free(t->contexts[i].source);
    }
    free(t);
    return NULL;
}

int tls_contexts_follow(TlsContexts *t, const char *source, const char *fallback)
{
    _cleanup_free_ char *copy = NULL;
    int r;

    if (find(t, source))
        return 0;
    if (t->n_contexts == ELEMENTSOF(t->contexts))
        return -E2BIG;
    copy = strdup(source);
    if (!copy)
        return -ENOMEM;
    r = certificate_client_follow(t->client, copy, fallback);
    if (r < 0)
        return r;
    t->contexts[t->n_contexts++] = (TlsContext) {.source = TAKE_PTR(copy)};
    return 1;
}

SSL_CTX *tls_contexts_get(TlsContexts *t, const char *source)
{
    TlsContext *c = find(t, source);

    return c ? c->context : NULL;
}

int tls_contexts_error(TlsContexts *t, const char *source)
{
    TlsContext *c = find(t, source);

    return c ? c->error : -ENOENT;
}

const char *tls_contexts_name(TlsContexts *t, const char *source)
{
    return certificate_client_name(t->client, source);
}

CertificateUnsigned tls_contexts_unsigned(const TlsContexts *t)
{
    return certificate_client_unsigned(t->client);
}
