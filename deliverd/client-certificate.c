/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's side of Certificate=. It must never hold mail up for longer than it takes certd to answer once, and never fail a
 * session for want of the certificate. Runs in the sandbox: nothing here opens a file. */

#include "client-certificate.h"

#include "certificate-report.h"
#include "tls-contexts.h"
#include "tls.h"

struct ClientCertificate {
    WorkerLink *link;
    PeerClient *certd;
    ClientCertificateChanged changed;
    void *userdata;
    RemoteKeys *keys; /* this and the next one: with the first source, until the end, as sessions may need them */
    TlsContexts *contexts;
    char *source; /* certificate-client.h; NULL: nothing was set yet */
    bool pending;
};

static void report(ClientCertificate *c, const char *reason)
{
    /* If it is lost, people hear of it with the next change, and mail is not concerned. */
    (void) certificate_report_send(worker_link_bus(c->link), c->source, tls_contexts_name(c->contexts, c->source) ?: "",
            client_certificate_context(c), reason);
}

static void on_context(TlsContexts *contexts, const char *source, int error, const char *reason, void *userdata)
{
    ClientCertificate *c = userdata;

    /* Sources of former configurations are still followed. */
    if (!c->source || !streq(source, c->source))
        return;
    c->pending = false;
    if (error != -ENODATA)
        report(c, reason);
    c->changed(c->userdata);
}

int client_certificate_new(ClientCertificate **ret, WorkerLink *link, PeerClient *certd, ClientCertificateChanged changed,
        void *userdata)
{
    ClientCertificate *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    *c = (ClientCertificate) {.link = link, .certd = certd, .changed = changed, .userdata = userdata};
    *ret = c;
    return 0;
}

ClientCertificate *client_certificate_free(ClientCertificate *c)
{
    if (!c)
        return NULL;
    tls_contexts_free(c->contexts);
    remote_keys_free(c->keys);
    free(c->source);
    free(c);
    return NULL;
}

/* What is made stays when a later step fails, and is used the next time. */
static int open_contexts(ClientCertificate *c)
{
    /* Not kept: certd would not sign for it, and then every server that only asks for a certificate would fail. */
    static const TlsContextsOps ops = {.make = tls_client_context_new, .keep = false, .changed = on_context};
    int r = 0;

    if (!c->keys)
        r = remote_keys_new(&c->keys);
    if (r >= 0 && !c->contexts)
        r = tls_contexts_new(&c->contexts, c->certd, c->keys, &ops, c);
    return r;
}

int client_certificate_set(ClientCertificate *c, const char *name)
{
    const char *source = name ?: CERTIFICATE_OF_DELIVERY;
    _cleanup_free_ char *copy = NULL;
    int r;

    if (c->source && streq(source, c->source))
        return 0;
    copy = strdup(source);
    if (!copy)
        return -ENOMEM;
    r = open_contexts(c);
    if (r >= 0)
        r = tls_contexts_follow(c->contexts, source, NULL);
    if (r < 0)
        return r;
    free(c->source);
    c->source = TAKE_PTR(copy);
    c->pending = r > 0;
    /* Back to a source that was followed before: nobody is going to say what is known already. */
    if (!c->pending && tls_contexts_error(c->contexts, source) != -ENODATA)
        report(c, "certd does not give it");
    c->changed(c->userdata);
    return 0;
}

bool client_certificate_pending(const ClientCertificate *c)
{
    return c->pending;
}

SSL_CTX *client_certificate_context(const ClientCertificate *c)
{
    return c->source ? tls_contexts_get(c->contexts, c->source) : NULL;
}
