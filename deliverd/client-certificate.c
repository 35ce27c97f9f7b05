/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's side of Certificate=. It must never hold mail up for longer than it takes certd to answer once, and never fail a
 * session for want of the certificate. Runs in the sandbox: nothing here opens a file. */

#include "client-certificate.h"

#include <systemd/sd-event.h>

#include "certificate-report.h"
#include "tls-contexts.h"
#include "tls.h"

/* Signatures that were not made in a row, until the certificate is withheld; one or two may be in the way of a limit. */
#define UNSIGNED_MAX 3
/* For how long. Twice as long if it was in vain, up to the second. */
#define WITHHELD_USEC (60 * USEC_PER_SEC)
#define WITHHELD_MAX_USEC (3600 * USEC_PER_SEC)

struct ClientCertificate {
    WorkerLink *link;
    PeerClient *certd;
    ClientCertificateChanged changed;
    void *userdata;
    RemoteKeys *keys; /* this and the next one: with the first source, until the end, as sessions may need them */
    TlsContexts *contexts;
    char *source; /* certificate-client.h; NULL: nothing was set yet */
    bool pending;
    bool withheld; /* there is one, but certd does not sign with it */
    sd_event_source *withheld_source;
    uint64_t withheld_usec;       /* how long it was, or is */
    uint64_t withheld_until_usec; /* monotonic */
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
    c->withheld = false;
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
    sd_event_source_disable_unref(c->withheld_source);
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
    c->withheld = false;
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
    return c->source && !c->withheld ? tls_contexts_get(c->contexts, c->source) : NULL;
}

unsigned client_certificate_unsigned(const ClientCertificate *c)
{
    return c->contexts ? tls_contexts_unsigned(c->contexts).n : 0;
}

/* Whether certd signs again, only the next server that asks for the certificate shows. */
static int on_withheld(sd_event_source *source, uint64_t usec, void *userdata)
{
    ClientCertificate *c = userdata;

    if (!c->withheld)
        return 0;
    c->withheld = false;
    report(c, "certd does not give it");
    c->changed(c->userdata);
    return 0;
}

static int withhold(ClientCertificate *c)
{
    sd_event *event = peer_client_event(c->certd);
    uint64_t now;
    int r;

    r = sd_event_now(event, CLOCK_MONOTONIC, &now);
    if (r < 0)
        return r;
    if (c->withheld_usec == 0 || now > c->withheld_until_usec + WITHHELD_MAX_USEC)
        c->withheld_usec = WITHHELD_USEC;
    else
        c->withheld_usec = MIN(2 * c->withheld_usec, WITHHELD_MAX_USEC);
    c->withheld_until_usec = now + c->withheld_usec;
    c->withheld_source = sd_event_source_disable_unref(c->withheld_source);
    r = sd_event_add_time(event, &c->withheld_source, CLOCK_MONOTONIC, c->withheld_until_usec, 0, on_withheld, c);
    if (r < 0)
        return r;
    c->withheld = true;
    return 0;
}

void client_certificate_failed(ClientCertificate *c)
{
    if (!client_certificate_context(c) || tls_contexts_unsigned(c->contexts).n_in_row < UNSIGNED_MAX)
        return;
    /* Without a timer it is tried with the certificate again. */
    if (withhold(c) < 0)
        return;
    report(c, "certd does not sign with it");
    c->changed(c->userdata);
}
