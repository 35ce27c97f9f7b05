/* SPDX-License-Identifier: Apache-2.0 */

/* Methods and properties of dnsd. A call is answered when its lookup ends; nothing blocks. Names and types are checked here,
 * before anything is asked in their name. It must never answer what dnsd did not look up. */

#include "dnsd-bus.h"

#include "answer.h"
#include "bus-error.h"
#include "dns-name.h"
#include "dnsd-manager.h"
#include "polkit-action.h"

#define DNSD_PATH "/org/postern/Dns1"

/* ---- requests ---- */

struct BusRequest {
    BusCaller *caller;
    Waiter *waiter;
    sd_bus_message *call;
    TAILQ_ENTRY(BusRequest) requests;
};

static BusRequest *bus_request_free(BusRequest *q)
{
    if (!q)
        return NULL;
    if (q->caller) {
        TAILQ_REMOVE(&q->caller->requests, q, requests);
        q->caller->n_requests--;
    }
    waiter_cancel(q->waiter);
    sd_bus_message_unref(q->call);
    free(q);
    return NULL;
}
DEFINE_CLEANUP(BusRequest, bus_request_free);

void bus_caller_init(BusCaller *c)
{
    TAILQ_INIT(&c->requests);
    c->n_requests = 0;
}

void bus_caller_clear(BusCaller *c)
{
    while (!TAILQ_EMPTY(&c->requests))
        bus_request_free(TAILQ_FIRST(&c->requests));
}

static void destroy_caller(void *data)
{
    bus_caller_clear(data);
    free(data);
}

/* The state of the connection that m came in on. */
static int find_caller(Manager *m, sd_bus_message *message, BusCaller **ret)
{
    PeerCaller *peer = peer_server_caller(m->server, message);
    BusCaller *c;

    if (!peer) {
        *ret = &m->system_caller;
        return 0;
    }
    c = peer_caller_data(peer);
    if (!c) {
        c = malloc(sizeof(*c));
        if (!c)
            return -ENOMEM;
        bus_caller_init(c);
        peer_caller_attach(peer, c, destroy_caller);
    }
    *ret = c;
    return 0;
}

static int append_answer(sd_bus_message *m, const ResolveAnswer *a)
{
    int r;

    r = sd_bus_message_append(m, "squs", dnssec_state_to_string(a->state), a->rcode, a->ttl, a->canonical);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "(ss)");
    if (r < 0)
        return r;
    for (size_t i = 0; i < a->n_hops; i++) {
        r = sd_bus_message_append(m, "(ss)", a->hops[i].name, dnssec_state_to_string(a->hops[i].state));
        if (r < 0)
            return r;
    }
    r = sd_bus_message_close_container(m);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "ay");
    if (r < 0)
        return r;
    for (size_t i = 0; i < a->n_records; i++) {
        r = sd_bus_message_append_array(m, 'y', a->records[i].data, a->records[i].size);
        if (r < 0)
            return r;
    }
    r = sd_bus_message_close_container(m);
    if (r < 0)
        return r;
    return sd_bus_message_append(m, "s", a->reason);
}

static int send_answer(sd_bus_message *call, const ResolveAnswer *a)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &reply);
    if (r < 0)
        return r;
    r = append_answer(reply, a);
    if (r < 0)
        return r;
    return sd_bus_send(NULL, reply, NULL);
}

static void on_answer(const ResolveAnswer *answer, void *userdata)
{
    _cleanup_(bus_request_freep) BusRequest *q = userdata;
    int r;

    q->waiter = NULL;
    r = send_answer(q->call, answer);
    if (r < 0) /* a link that is gone takes its callers with it, so there is nobody to tell */
        (void) sd_bus_reply_method_errno(q->call, r, NULL);
}

static int method_resolve(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    _cleanup_(bus_request_freep) BusRequest *q = NULL;
    _cleanup_free_ char *name = NULL;
    const char *asked;
    Manager *m = userdata;
    BusCaller *caller;
    uint16_t type;
    int r;

    r = sd_bus_message_read(message, "sq", &asked, &type);
    if (r < 0)
        return r;
    if (!answer_type_supported(type))
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "Type %u is not one that mail needs", type);
    r = dns_name_normalize(asked, &name);
    if (r == -EINVAL)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT,
                "Not a domain name (internationalized ones are given as A-labels)");
    if (r < 0)
        return r;
    r = find_caller(m, message, &caller);
    if (r < 0)
        return r;
    if (caller->n_requests >= m->config->pending_per_peer_max)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many lookups of this caller are pending");

    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    r = lookups_ask(m->lookups, &q->waiter, name, type, on_answer, q);
    if (r == -ENOBUFS)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many lookups are pending");
    if (r < 0)
        return r;
    q->call = sd_bus_message_ref(message);
    q->caller = caller;
    TAILQ_INSERT_TAIL(&caller->requests, q, requests);
    caller->n_requests++;
    (void) TAKE_PTR(q); /* on_answer() frees it */
    return 1;
}

/* ---- tables ---- */

#define RESOLVE_ARGS SD_BUS_ARGS("s", name, "q", type)
#define RESOLVE_RESULT                                                                                                                      \
    SD_BUS_RESULT("s", state, "q", rcode, "u", ttl, "s", canonical, "a(ss)", chain, "aay", rdata, "s", reason)

static const sd_bus_vtable peer_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Resolve", RESOLVE_ARGS, RESOLVE_RESULT, method_resolve, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const sd_bus_vtable public_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Resolve", RESOLVE_ARGS, RESOLVE_RESULT, method_resolve, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Flush", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, bus_method_flush, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Test", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", result, "s", reason), bus_method_test,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("CacheSize", "t", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("ForwardTLS", "b", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("Forwarders", "as", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("Pending", "u", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("SelfTest", "s", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("SelfTestReason", "s", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("SelfTestUSec", "t", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("TrustAnchorKeys", "a(sust)", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("TrustAnchors", "as", bus_get_property, 0, 0),
    SD_BUS_PROPERTY("Asked", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Shared", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Refused", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Secure", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Insecure", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Bogus", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Indeterminate", "t", bus_get_counter, 0, 0),
    SD_BUS_PROPERTY("Errors", "t", bus_get_counter, 0, 0),
    SD_BUS_VTABLE_END,
};

const PeerAccess bus_access[] = {
    {"org.postern.Dns1.Peer", "Resolve", ROLE_DELIVERD | ROLE_ALERTD | ROLE_ROOT},
    {"org.postern.Dns1", NULL, ROLE_ROOT | ROLE_SELF},
    {"org.postern.Daemon1", NULL, ROLE_ROOT | ROLE_SELF},
    {},
};

const SystemBusAccess system_bus_access[] = {
    {"org.postern.Daemon1", "Describe", SYSTEM_BUS_PUBLIC},
    {"org.postern.Daemon1", "Reload", ACTION_MANAGE_DAEMONS},
    {"org.postern.Dns1", "Flush", ACTION_MANAGE_DAEMONS},
    {"org.postern.Dns1", "Resolve", ACTION_QUERY_DNS},
    {"org.postern.Dns1", "Test", ACTION_QUERY_DNS},
    {},
};

void bus_objects(Manager *m, PeerObject objects[DNSD_OBJECTS + 1], PeerObject system_objects[DNSD_SYSTEM_OBJECTS + 1])
{
    const PeerObject people[] = {
        {DNSD_PATH, "org.postern.Dns1", public_vtable, m},
        {DNSD_PATH, "org.postern.Daemon1", daemon_vtable, &m->control},
        {},
    };

    memcpy(system_objects, people, sizeof(people));
    objects[0] = (PeerObject) {DNSD_PATH, "org.postern.Dns1.Peer", peer_vtable, m};
    memcpy(objects + 1, people, sizeof(people));
}
