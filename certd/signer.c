/* SPDX-License-Identifier: Apache-2.0 */

/* The signing requests. It signs only for a client that may use the key, only for that client's side of a handshake, and only
 * what tls_signable() recognizes. Everything else is an error to the caller, a line in the journal and an alert: who asks for it
 * is broken or not its own master.
 *
 * A connection that asks too fast is slowed: its requests wait in its queue, in order, for the tokens of its bucket. */

#include "signer.h"

#include <openssl/sha.h>
#include <sys/queue.h>

#include "alert.h"
#include "bus-error.h"
#include "catalog-ids.h"
#include "client.h"
#include "log.h"

/* A request that could not be answered at once. */
typedef struct SignRequest {
    TAILQ_ENTRY(SignRequest) entry; /* while delayed */
    Manager *manager;
    Jobs *jobs;
    PeerPending *pending;
    Certificate *certificate;
    const SignatureScheme *scheme;
    const uint8_t *message; /* inside of the call */
    size_t size;
    uint64_t due_usec;
    uint8_t signature[CERTIFICATE_SIGNATURE_MAX];
    size_t signature_size;
} SignRequest;

/* What is kept for each connection. */
typedef struct SignerLink {
    Manager *manager;
    TokenBucket bucket;
    TAILQ_HEAD(, SignRequest) delayed; /* by due_usec */
    sd_event_source *timer;
    bool slowed; /* and that was logged */
} SignerLink;

static SignRequest *request_free(SignRequest *r)
{
    if (!r)
        return NULL;
    certificate_unref(r->certificate);
    peer_pending_free(r->pending);
    free(r);
    return NULL;
}
DEFINE_CLEANUP(SignRequest, request_free);

static int request_new(SignRequest **ret, const Client *client, sd_bus_message *call, const SignRequest *from, sd_bus_error *error)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = NULL;
    SignRequest *request;
    int r;

    r = peer_pending_new(&pending, client->server, call, from->size, error);
    if (r < 0)
        return r;
    request = malloc(sizeof(SignRequest));
    if (!request)
        return -ENOMEM;
    *request = (SignRequest) {
        .manager = client->manager,
        .jobs = client_jobs(client),
        .pending = TAKE_PTR(pending),
        .certificate = certificate_ref(from->certificate),
        .scheme = from->scheme,
        .message = from->message,
        .size = from->size,
    };
    *ret = request;
    return 0;
}

static SignerLink *link_free(SignerLink *l)
{
    SignRequest *r;

    if (!l)
        return NULL;
    while ((r = TAILQ_FIRST(&l->delayed))) {
        TAILQ_REMOVE(&l->delayed, r, entry);
        request_free(r);
    }
    sd_event_source_disable_unref(l->timer);
    free(l);
    return NULL;
}
DEFINE_CLEANUP(SignerLink, link_free);

static void link_destroy(void *data)
{
    link_free(data);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata);

/* The client's state, made at its first request. */
static int link_get(SignerLink **ret, const Client *client)
{
    _cleanup_(link_freep) SignerLink *l = NULL;
    Manager *manager = client->manager;
    int r;

    *ret = peer_caller_data(client->caller);
    if (*ret)
        return 0;
    l = calloc(1, sizeof(SignerLink));
    if (!l)
        return -ENOMEM;
    TAILQ_INIT(&l->delayed);
    l->manager = manager;
    token_bucket_init(&l->bucket, manager->conf->rate, manager->conf->burst);
    r = sd_event_add_time(manager->event, &l->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_due, l);
    if (r >= 0)
        r = sd_event_source_set_priority(l->timer, client_priority(client));
    if (r < 0)
        return r;
    peer_caller_attach(client->caller, l, link_destroy);
    *ret = TAKE_PTR(l);
    return 0;
}

/* ---- may it? ---- */

/* Once for each kind of refusal and a short while: a flood of refusals must not become a flood of log lines. */
static void report_refusal(const Client *client, const char *name, const char *reason)
{
    const LogField fields[] = {{"POSTERN_PEER", client->name}, {"POSTERN_CERTIFICATE", name}, {"POSTERN_REASON", reason}};
    _cleanup_free_ char *summary = NULL;
    Manager *manager = client->manager;
    uint64_t now;

    manager->n_refused++;
    (void) sd_event_now(manager->event, CLOCK_MONOTONIC, &now);
    if (!token_bucket_try(client_refusals(client), now))
        return;
    log_event(LOG_WARNING, SIGNATURE_REFUSED_ID, fields, ELEMENTSOF(fields),
            "Refused to sign for %s with the key of certificate '%s': %s", client->name, name, reason);
    if (asprintf(&summary, "%s asked certd for a signature that it must not have", client->name) >= 0)
        alert_raise(manager->alertd, ALERT_CRITICAL, ALERT_SYSTEM, client->name, summary,
                "certd signs TLS handshakes with the keys that a service or user is assigned, and nothing else. A request for anything else "
                "comes from a wrong configuration or from a program that was taken over.\n\n"
                "To see what was asked for: journalctl MESSAGE_ID=" SIGNATURE_REFUSED_ID "\n");
}

static int check_message(const Client *client, const SignRequest *r, char **reterr_reason)
{
    const char *reason = NULL;
    TlsSignable signable;

    if (client_check_message(client, r->message, r->size, &signable, &reason) < 0) {
        *reterr_reason = strdup(reason);
        return -EBADMSG;
    }
    if (!((signable.version == TLS_SIGNED_1_3 ? r->scheme->tls13 : r->scheme->key_types) & (1u << r->certificate->key_type))) {
        if (asprintf(reterr_reason, "%s is not for a key of type %s in this version of TLS", r->scheme->name,
                    key_type_to_string(r->certificate->key_type))
                < 0)
            *reterr_reason = NULL;
        return -EBADMSG;
    }
    if (signable.leaf
            && (signable.leaf_size != r->certificate->leaf_size
                    || memcmp(signable.leaf, r->certificate->leaf, signable.leaf_size) != 0)) {
        *reterr_reason = strdup("the handshake is one with another certificate");
        return -EBADMSG;
    }
    return 0;
}

/* Reads and judges a call. The results point into call and the store. */
static int request_check(const Client *client, sd_bus_message *call, SignRequest *r, sd_bus_error *error)
{
    const Store *store = client->manager->store;
    _cleanup_free_ char *reason = NULL;
    const void *spki, *message;
    size_t spki_size;
    const char *name;
    uint16_t scheme;
    int k;

    k = sd_bus_message_read(call, "s", &name);
    if (k >= 0)
        k = sd_bus_message_read_array(call, 'y', &spki, &spki_size);
    if (k >= 0)
        k = sd_bus_message_read(call, "q", &scheme);
    if (k >= 0)
        k = sd_bus_message_read_array(call, 'y', &message, &r->size);
    if (k < 0)
        return k;
    r->message = message;
    r->scheme = signature_scheme_from_id(scheme);
    if (spki_size != SHA256_DIGEST_LENGTH)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "The hash of the public key is not of 32 bytes.");
    if (r->size > SIGNER_MESSAGE_MAX)
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "The message is of more than %d bytes.", SIGNER_MESSAGE_MAX);
    if (!r->scheme)
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "Signature scheme 0x%04x is not supported.", scheme);
    if (!certificate_name_valid(name))
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "This is no name of a certificate.");
    if (!client_may_use(client, name)) {
        report_refusal(client, name, "the certificate is not assigned to it");
        return sd_bus_error_setf(error, BUS_ERROR_KEY_NOT_ASSIGNED, "Certificate '%s' is not assigned to %s.", name,
                client->name);
    }
    r->certificate = store_find_key(store, name, spki);
    if (!r->certificate)
        return sd_bus_error_setf(error, BUS_ERROR_NO_SUCH_CERTIFICATE,
                store_find(store, name) ? "Certificate '%s' has another key." : "There is no certificate '%s'.", name);
    if (check_message(client, r, &reason) < 0) {
        report_refusal(client, name, reason ?: "it is no TLS handshake");
        return sd_bus_error_setf(error, BUS_ERROR_NOT_A_HANDSHAKE, "This is not what TLS signs: %s.",
                reason ?: "it is no handshake");
    }
    return 0;
}

/* ---- signing ---- */

static int reply_signature(sd_bus_message *call, const uint8_t *signature, size_t size)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_append_array(reply, 'y', signature, size);
    if (r < 0)
        return r;
    return sd_bus_send(NULL, reply, NULL);
}

/* On a thread. */
static int request_run(void *data)
{
    SignRequest *r = data;

    return certificate_sign(r->certificate, r->scheme, r->message, r->size, r->signature, &r->signature_size);
}

/* The peer may be gone by now: then there is nobody to tell. */
static void request_done(void *data, int result)
{
    _cleanup_(request_freep) SignRequest *r = data;

    if (result < 0)
        (void) sd_bus_reply_method_errnof(peer_pending_call(r->pending), result, "Signing failed: %m");
    else {
        r->manager->n_signed++;
        (void) reply_signature(peer_pending_call(r->pending), r->signature, r->signature_size);
    }
}

static bool signs_in_thread(const Certificate *c)
{
    return c->key_uri || (c->key_type != KEY_EC_P256 && c->key_type != KEY_EC_P384 && c->key_type != KEY_ED25519);
}

/* Consumes request, delayed ones included. */
static void request_start(SignRequest *request)
{
    int r;

    if (!signs_in_thread(request->certificate)) {
        request_done(request, request_run(request));
        return;
    }
    r = jobs_submit(request->jobs, request_run, request_done, request);
    if (r < 0) {
        (void) sd_bus_reply_method_errorf(peer_pending_call(request->pending), BUS_ERROR_LIMIT_EXCEEDED,
                "Too many signatures are under way.");
        request_free(request);
    }
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
    SignerLink *l = userdata;
    SignRequest *r;
    uint64_t now;

    (void) sd_event_now(l->manager->event, CLOCK_MONOTONIC, &now);
    while ((r = TAILQ_FIRST(&l->delayed)) && r->due_usec <= now) {
        TAILQ_REMOVE(&l->delayed, r, entry);
        request_start(r);
    }
    if (!r)
        return 0;
    (void) sd_event_source_set_time(source, r->due_usec);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int link_delay(SignerLink *l, SignRequest *request, const Client *client)
{
    bool first = TAILQ_EMPTY(&l->delayed);

    TAILQ_INSERT_TAIL(&l->delayed, request, entry);
    l->manager->n_slowed++;
    if (!l->slowed) {
        l->slowed = true;
        log_warning("A connection of %s asks for more than %u signatures a second (RatePerSecond=), it is slowed", client->name,
                l->manager->conf->rate);
    }
    if (!first)
        return 0;
    (void) sd_event_source_set_time(l->timer, request->due_usec);
    return sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

int signer_method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Manager *manager = userdata;
    SignRequest here = {.manager = manager}, *request;
    uint64_t now, delay;
    TokenBucket bucket;
    SignerLink *l;
    Client client;
    int r;

    if (client_from_message(&client, manager, m) < 0)
        return sd_bus_error_set(error, BUS_ERROR_ACCESS_DENIED, "Only smtpd, deliverd and programs have handshakes to sign.");
    r = link_get(&l, &client);
    if (r < 0)
        return r;
    r = request_check(&client, m, &here, error);
    if (r < 0)
        return r;
    (void) sd_event_now(manager->event, CLOCK_MONOTONIC, &now);
    bucket = l->bucket;
    delay = token_bucket_take(&bucket, now);
    if (delay == 0 && !signs_in_thread(here.certificate)) {
        l->bucket = bucket;
        r = request_run(&here);
        if (r < 0)
            return sd_bus_error_set_errnof(error, r, "Signing failed: %m");
        manager->n_signed++;
        return reply_signature(m, here.signature, here.signature_size);
    }
    r = request_new(&request, &client, m, &here, error);
    if (r < 0)
        return r; /* and what is refused takes no token */
    l->bucket = bucket;
    if (delay > 0) {
        request->due_usec = now + delay;
        r = link_delay(l, request, &client);
        return r < 0 ? r : 1;
    }
    request_start(request);
    return 1;
}
