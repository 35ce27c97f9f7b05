/* SPDX-License-Identifier: Apache-2.0 */

/* The client side of dnsd, and the parsers of the records mail needs. Whatever dnsd sends is checked against limits before it is
 * believed: records come from the network in the end. This file must never ask the DNS itself. */

#include "resolve.h"

#include <arpa/inet.h>

#include "dns-name.h"

#define RESOLVE_TIMEOUT_USEC (20 * USEC_PER_SEC)
#define RESOLVE_REASON_MAX 1024

static const char *const state_names[] = {
    [DNSSEC_SECURE] = "secure",
    [DNSSEC_INSECURE] = "insecure",
    [DNSSEC_BOGUS] = "bogus",
    [DNSSEC_INDETERMINATE] = "indeterminate",
    [DNSSEC_ERROR] = "error",
};

const char *dnssec_state_to_string(DnssecState s)
{
    return (size_t) s < ELEMENTSOF(state_names) ? state_names[s] : NULL;
}

int dnssec_state_from_string(const char *s, DnssecState *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(state_names); i++)
        if (streq(s, state_names[i])) {
            *ret = (DnssecState) i;
            return 0;
        }
    return -EINVAL;
}

ResolveAnswer *resolve_answer_free(ResolveAnswer *a)
{
    if (!a)
        return NULL;
    for (size_t i = 0; i < a->n_hops; i++) {
        free(a->hops[i].name);
        free(a->hops[i].dname);
    }
    for (size_t i = 0; i < a->n_records; i++)
        free(a->records[i].data);
    free(a->hops);
    free(a->records);
    free(a->canonical);
    free(a->reason);
    free(a);
    return NULL;
}

/* A name in an answer must be in normal form already: everybody compares these with strcmp(). */
static int copy_name(const char *name, char **ret)
{
    _cleanup_free_ char *normal = NULL;
    int r;

    if (*name == '\0')
        normal = strdup("");
    else {
        r = dns_name_normalize(name, &normal);
        if (r < 0)
            return r == -ENOMEM ? r : -EBADMSG;
    }
    if (!normal)
        return -ENOMEM;
    if (!streq(normal, name))
        return -EBADMSG;
    *ret = TAKE_PTR(normal);
    return 0;
}

static int read_hops(sd_bus_message *m, ResolveAnswer *a)
{
    const char *name, *state;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(ss)");
    if (r < 0)
        return r;
    a->hops = calloc(RESOLVE_HOPS_MAX, sizeof(ResolveHop));
    if (!a->hops)
        return -ENOMEM;
    while ((r = sd_bus_message_read(m, "(ss)", &name, &state)) > 0) {
        if (a->n_hops >= RESOLVE_HOPS_MAX)
            return -EBADMSG;
        ResolveHop *hop = &a->hops[a->n_hops];
        if (dnssec_state_from_string(state, &hop->state) < 0)
            return -EBADMSG;
        r = copy_name(name, &hop->name);
        if (r < 0)
            return r;
        a->n_hops++;
    }
    if (r < 0)
        return r;
    return sd_bus_message_exit_container(m);
}

static int read_records(sd_bus_message *m, ResolveAnswer *a)
{
    _cleanup_free_ ResolveRecord *shrunk = NULL;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "ay");
    if (r < 0)
        return r;
    a->records = calloc(RESOLVE_RECORDS_MAX, sizeof(ResolveRecord));
    if (!a->records)
        return -ENOMEM;
    while ((r = sd_bus_message_at_end(m, /* complete= */ 0)) == 0) {
        const void *data;
        size_t size;

        r = sd_bus_message_read_array(m, 'y', &data, &size);
        if (r < 0)
            return r;
        if (a->n_records >= RESOLVE_RECORDS_MAX || size > UINT16_MAX)
            return -EBADMSG;
        ResolveRecord *record = &a->records[a->n_records];
        record->data = malloc(MAX(size, 1u));
        if (!record->data)
            return -ENOMEM;
        if (size > 0)
            memcpy(record->data, data, size);
        record->size = size;
        a->n_records++;
    }
    if (r < 0)
        return r;
    /* Most answers have one or two records and are kept for a while. */
    shrunk = realloc(a->records, MAX(a->n_records, 1u) * sizeof(ResolveRecord));
    if (shrunk)
        a->records = TAKE_PTR(shrunk);
    return sd_bus_message_exit_container(m);
}

/* What cannot be is refused, so that nobody has to think of it: records of a bogus name, a chain that does not end in the
 * canonical name. */
static bool answer_is_coherent(const ResolveAnswer *a)
{
    if (a->n_hops == 0 || !streq(a->hops[a->n_hops - 1].name, a->canonical))
        return false;
    if (a->n_records > 0 && (a->state == DNSSEC_BOGUS || a->state == DNSSEC_ERROR || a->rcode != DNS_RCODE_NOERROR))
        return false;
    for (size_t i = 0; i < a->n_hops; i++)
        if (a->state == DNSSEC_SECURE && a->hops[i].state != DNSSEC_SECURE)
            return false;
    return true;
}

int resolve_answer_read(sd_bus_message *reply, ResolveAnswer **ret)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    const char *state, *canonical, *reason;
    int r;

    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    r = sd_bus_message_read(reply, "squs", &state, &a->rcode, &a->ttl, &canonical);
    if (r < 0)
        return r;
    if (dnssec_state_from_string(state, &a->state) < 0)
        return -EBADMSG;
    r = copy_name(canonical, &a->canonical);
    if (r < 0)
        return r;
    r = read_hops(reply, a);
    if (r < 0)
        return r;
    r = read_records(reply, a);
    if (r < 0)
        return r;
    r = sd_bus_message_read(reply, "s", &reason);
    if (r < 0)
        return r;
    a->reason = strndup(reason, RESOLVE_REASON_MAX);
    if (!a->reason)
        return -ENOMEM;
    if (!answer_is_coherent(a))
        return -EBADMSG;
    *ret = TAKE_PTR(a);
    return 0;
}

struct ResolveQuery {
    PeerCall *call;
    char *name;
    uint16_t type;
    ResolveAnswer *failure; /* made ahead, so that there is an answer even when memory is short */
    ResolveDone done;
    void *userdata;
};

ResolveQuery *resolve_cancel(ResolveQuery *q)
{
    if (!q)
        return NULL;
    peer_call_cancel(q->call);
    resolve_answer_free(q->failure);
    free(q->name);
    free(q);
    return NULL;
}

static int failure_new(const char *name, ResolveAnswer **ret)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;

    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->state = DNSSEC_ERROR;
    a->canonical = strdup(name);
    a->reason = strdup("");
    a->hops = calloc(1, sizeof(ResolveHop));
    if (!a->canonical || !a->reason || !a->hops)
        return -ENOMEM;
    a->hops[0] = (ResolveHop) {.name = strdup(name), .state = DNSSEC_ERROR};
    if (!a->hops[0].name)
        return -ENOMEM;
    a->n_hops = 1;
    *ret = TAKE_PTR(a);
    return 0;
}

static int build_call(sd_bus_message *m, void *userdata)
{
    ResolveQuery *q = userdata;

    return sd_bus_message_append(m, "sq", q->name, q->type);
}

static void call_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    _cleanup_(resolve_cancelp) ResolveQuery *q = userdata;
    ResolveAnswer *answer = NULL;
    const char *why;
    int r = 0;

    q->call = NULL;
    if (reply)
        r = resolve_answer_read(reply, &answer);
    if (!answer) {
        char *reason;

        if (r < 0)
            why = "dnsd sent an answer that makes no sense";
        else
            why = error && error->message ? error->message : "dnsd is not available";
        answer = TAKE_PTR(q->failure);
        answer->own_fault = true;
        reason = strdup(why);
        if (reason) {
            free(answer->reason);
            answer->reason = reason;
        }
    }
    q->done(answer, q->userdata);
}

int resolve_start(PeerClient *dnsd, ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *userdata)
{
    static const PeerMethod method = {
        .path = "/org/postern/Dns1",
        .interface = "org.postern.Dns1.Peer",
        .member = "Resolve",
        .timeout_usec = RESOLVE_TIMEOUT_USEC,
        .repeatable = true,
    };
    _cleanup_(resolve_cancelp) ResolveQuery *q = NULL;
    int r;

    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    *q = (ResolveQuery) {.type = type, .done = done, .userdata = userdata};
    r = dns_name_normalize(name, &q->name);
    if (r < 0)
        return r;
    r = failure_new(q->name, &q->failure);
    if (r < 0)
        return r;
    r = peer_client_call(dnsd, &q->call, &method, build_call, call_done, q);
    if (r < 0)
        return r;
    if (ret)
        *ret = q;
    (void) TAKE_PTR(q); /* call_done() frees it */
    return 0;
}

int resolve_parse_mx(const ResolveRecord *r, uint16_t *ret_preference, char **ret_exchange)
{
    _cleanup_free_ char *exchange = NULL;
    size_t size;
    int k;

    if (r->size < 3)
        return -EBADMSG;
    k = dns_name_from_wire(r->data + 2, r->size - 2, &exchange, &size);
    if (k < 0)
        return k;
    if (size != r->size - 2)
        return -EBADMSG;
    *ret_preference = (uint16_t) (r->data[0] << 8 | r->data[1]);
    *ret_exchange = TAKE_PTR(exchange);
    return 0;
}

int resolve_parse_address(const ResolveRecord *r, uint16_t type, struct sockaddr_storage *ret)
{
    struct sockaddr_storage ss = {0};

    if (type == DNS_TYPE_A && r->size == sizeof(struct in_addr)) {
        struct sockaddr_in *in = (struct sockaddr_in *) &ss;

        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, r->data, r->size);
    } else if (type == DNS_TYPE_AAAA && r->size == sizeof(struct in6_addr)) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &ss;

        in6->sin6_family = AF_INET6;
        memcpy(&in6->sin6_addr, r->data, r->size);
    } else
        return -EBADMSG;
    *ret = ss;
    return 0;
}

int resolve_parse_tlsa(const ResolveRecord *r, TlsaRecord *ret)
{
    /* Three octets and the association data, which RFC 6698 does not allow to be empty. */
    if (r->size < 4)
        return -EBADMSG;
    *ret = (TlsaRecord) {
        .usage = r->data[0],
        .selector = r->data[1],
        .mtype = r->data[2],
        .data = r->data + 3,
        .size = r->size - 3,
    };
    return 0;
}
