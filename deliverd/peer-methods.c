/* SPDX-License-Identifier: Apache-2.0 */

/* OpenMessage, Commit, Discard. The caller is a process that parses what clients send: everything in a call is checked here
 * again, and nothing is answered for before it is durable. */

#include "peer-methods.h"

#include "address.h"
#include "bus-error.h"
#include "deliverd-manager.h"

static const struct {
    int error;
    const char *name, *message;
} bus_errors[] = {
    {-EDQUOT, BUS_ERROR_QUEUE_FULL, "The queue is full."},
    {-ENOSPC, BUS_ERROR_NO_SPACE, "The file system of the queue is full."},
    {-ETXTBSY, BUS_ERROR_STILL_WRITABLE, "The message is still open for writing somewhere."},
    {-ENOENT, BUS_ERROR_NO_SUCH_MESSAGE, "No message of this id is being received."},
    {-EINVAL, BUS_ERROR_INVALID_ARGUMENT, "The envelope is not valid, or another one was committed for this id."},
    {-ENODATA, BUS_ERROR_INVALID_ARGUMENT, "The message is empty."},
    {-E2BIG, BUS_ERROR_LIMIT_EXCEEDED, "The envelope is too large."},
    {-EBUSY, BUS_ERROR_LIMIT_EXCEEDED, "A commit of this message is under way."},
    {-ENOBUFS, BUS_ERROR_LIMIT_EXCEEDED, "Too many commits are under way."},
    {-ECANCELED, BUS_ERROR_UNAVAILABLE, "deliverd stops."},
    {-ESHUTDOWN, BUS_ERROR_UNAVAILABLE, "deliverd stops."},
};

static int set_error(sd_bus_error *error, int r)
{
    for (size_t i = 0; i < ELEMENTSOF(bus_errors); i++)
        if (bus_errors[i].error == r)
            return sd_bus_error_set(error, bus_errors[i].name, bus_errors[i].message);
    return sd_bus_error_setf(error, BUS_ERROR_UNAVAILABLE, "The queue failed: %s", strerror(-r));
}

/* The late answer to call. */
static void reply_error(sd_bus_message *call, int r)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    (void) set_error(&error, r);
    (void) sd_bus_reply_method_error(call, &error);
}

static void on_opened(const char *id, int fd, int error, void *userdata)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = userdata;

    if (error < 0)
        reply_error(peer_pending_call(pending), error);
    else
        (void) sd_bus_reply_method_return(peer_pending_call(pending), "sh", id, fd);
}

static int method_open_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = NULL;
    Manager *manager = userdata;
    int r;

    r = peer_pending_new(&pending, manager->server, m, 0, error);
    if (r < 0)
        return r;
    r = queue_open(manager->queue, on_opened, pending);
    if (r < 0)
        return set_error(error, r);
    (void) TAKE_PTR(pending); /* on_opened() has it, or had it */
    return 1;
}

/* ---- Commit ---- */

/* An address in its normal form: domain in lower-case A-labels. */
static int normalize_address(const char *address, bool smtputf8, char **ret)
{
    _cleanup_free_ char *local = NULL, *domain = NULL;
    int r;

    r = address_parse(address, strlen(address), smtputf8, &local, &domain);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    return asprintf(ret, "%s@%s", local, domain) < 0 ? -ENOMEM : 0;
}

static int read_text(sd_bus_message *m, char **field)
{
    const char *value;
    int r;

    r = sd_bus_message_read(m, "v", "s", &value);
    if (r < 0)
        return r;
    if (strlen(value) > ENVELOPE_VALUE_MAX || *field)
        return -EINVAL;
    if (!*value)
        return 0;
    *field = strdup(value);
    return *field ? 0 : -ENOMEM;
}

static int read_option(sd_bus_message *m, const char *key, Envelope *e)
{
    _cleanup_free_ char *body = NULL;
    const char *tls;
    int r, yes;

    if (streq(key, "peer"))
        return read_text(m, &e->peer);
    if (streq(key, "helo"))
        return read_text(m, &e->helo);
    if (streq(key, "session"))
        return read_text(m, &e->session);
    if (streq(key, "protocol"))
        return read_text(m, &e->protocol);
    if (streq(key, "body")) {
        r = read_text(m, &body);
        e->body_8bit = r >= 0 && body && streq(body, "8BITMIME");
        return r;
    }
    if (streq(key, "smtputf8")) {
        r = sd_bus_message_read(m, "v", "b", &yes);
        e->smtputf8 = r >= 0 && yes;
        return r;
    }
    if (streq(key, "tls")) {
        r = sd_bus_message_read(m, "v", "s", &tls);
        return r < 0 ? r : message_tls_from_string(tls, &e->tls);
    }
    /* Options of later versions are passed over. */
    return sd_bus_message_skip(m, "v");
}

static int read_options(sd_bus_message *m, Envelope *e)
{
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const char *key;

        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0)
            r = read_option(m, key, e);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* smtputf8 comes behind the addresses, so these are taken as they are first. */
static int read_addresses(sd_bus_message *m, const char **ret_sender, Envelope *e)
{
    const char *address;
    int r;

    r = sd_bus_message_read(m, "s", ret_sender);
    if (r >= 0)
        r = sd_bus_message_enter_container(m, 'a', "s");
    while (r >= 0 && (r = sd_bus_message_read(m, "s", &address)) > 0)
        r = envelope_add_recipient(e, address);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int normalize(Envelope *e, const char *sender)
{
    int r;

    if (e->n_recipients == 0)
        return -EINVAL;
    if (*sender)
        r = normalize_address(sender, e->smtputf8, &e->sender);
    else {
        e->sender = strdup("");
        r = e->sender ? 0 : -ENOMEM;
    }
    for (size_t i = 0; r >= 0 && i < e->n_recipients; i++) {
        char *normal = NULL;

        r = normalize_address(e->recipients[i], e->smtputf8, &normal);
        if (r >= 0) {
            free(e->recipients[i]);
            e->recipients[i] = normal;
        }
    }
    return r;
}

static int read_envelope(sd_bus_message *m, Envelope **ret)
{
    _cleanup_(envelope_freep) Envelope *e = calloc(1, sizeof(*e));
    const char *sender;
    int r;

    if (!e)
        return -ENOMEM;
    r = read_addresses(m, &sender, e);
    if (r >= 0)
        r = read_options(m, e);
    if (r >= 0)
        r = normalize(e, sender);
    if (r < 0)
        return r;
    e->arrival_usec = manager_now();
    *ret = TAKE_PTR(e);
    return 0;
}

typedef struct Commit {
    Manager *manager;
    PeerPending *pending;
    Envelope *envelope; /* till the queue has it */
} Commit;

static Commit *commit_free(Commit *c)
{
    if (!c)
        return NULL;
    peer_pending_free(c->pending);
    envelope_free(c->envelope);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(Commit, commit_free);

static size_t envelope_weight(const Envelope *e)
{
    size_t n = strlen(e->sender);

    for (size_t i = 0; i < e->n_recipients; i++)
        n += strlen(e->recipients[i]) + sizeof(e->recipients[i]);
    return n;
}

static void on_committed(int error, void *userdata)
{
    _cleanup_(commit_freep) Commit *c = userdata;
    sd_bus_message *call = peer_pending_call(c->pending);

    if (error < 0) {
        reply_error(call, error);
        return;
    }
    c->manager->n_received++;
    (void) sd_bus_reply_method_return(call, NULL);
}

static int method_commit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(commit_freep) Commit *c = NULL;
    Manager *manager = userdata;
    const char *text;
    QueueId id;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    if (queue_id_parse(text, &id) < 0)
        return set_error(error, -ENOENT);
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->manager = manager;
    r = read_envelope(m, &c->envelope);
    if (r < 0)
        return set_error(error, r);
    r = peer_pending_new(&c->pending, manager->server, m, envelope_weight(c->envelope), error);
    if (r < 0)
        return r;
    r = queue_commit(manager->queue, &id, TAKE_PTR(c->envelope), on_committed, c);
    if (r >= 0) {
        (void) TAKE_PTR(c); /* on_committed() frees it */
        return 1;
    }
    /* The same commit again: its first answer was lost. */
    return r == -EALREADY ? sd_bus_reply_method_return(m, NULL) : set_error(error, r);
}

static int method_discard(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Manager *manager = userdata;
    const char *text;
    QueueId id;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    r = queue_id_parse(text, &id) < 0 ? -ENOENT : queue_discard(manager->queue, &id);
    return r < 0 ? set_error(error, r) : sd_bus_reply_method_return(m, NULL);
}

const sd_bus_vtable peer_methods_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("OpenMessage", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", id, "h", fd), method_open_message,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Commit", SD_BUS_ARGS("s", id, "s", sender, "as", recipients, "a{sv}", options), SD_BUS_NO_RESULT,
            method_commit, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Discard", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT, method_discard, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
