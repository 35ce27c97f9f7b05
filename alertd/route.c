/* SPDX-License-Identifier: Apache-2.0 */

/* One question for the mail servers, then one for each address family of each. Nothing is cached here: dnsd does that. */

#include "route.h"

#include <arpa/inet.h>

#include "resolve.h"

#define SMTP_PORT 25

typedef struct RouteHost {
    Route *route;
    char *name;
    unsigned preference;
    ResolveQuery *queries[2]; /* A, AAAA */
    struct sockaddr_storage addresses[ROUTE_TARGETS_MAX];
    size_t n_addresses;
} RouteHost;

struct Route {
    PeerClient *dnsd;
    char *domain; /* NULL: of a host */
    uint16_t port;
    ResolveQuery *query; /* for the mail servers */
    sd_event_source *defer;
    RouteHost hosts[ROUTE_HOSTS_MAX];
    size_t n_hosts;
    unsigned n_pending;
    char reason[512]; /* of the last answer that was no use */
    RouteTarget targets[ROUTE_TARGETS_MAX];
    size_t n_targets;
    RouteDone done;
    void *userdata;
};

Route *route_free(Route *r)
{
    if (!r)
        return NULL;
    resolve_cancel(r->query);
    for (size_t i = 0; i < r->n_hosts; i++) {
        for (size_t k = 0; k < ELEMENTSOF(r->hosts[i].queries); k++)
            resolve_cancel(r->hosts[i].queries[k]);
        free(r->hosts[i].name);
    }
    sd_event_source_disable_unref(r->defer);
    free(r->domain);
    free(r);
    return NULL;
}

size_t route_targets(const Route *r, const RouteTarget **ret)
{
    *ret = r->targets;
    return r->n_targets;
}

static void add_target(Route *r, const struct sockaddr_storage *address, const char *host)
{
    RouteTarget *t;

    if (r->n_targets >= ROUTE_TARGETS_MAX)
        return;
    t = &r->targets[r->n_targets++];
    *t = (RouteTarget) {.address = *address, .host = host};
    if (address->ss_family == AF_INET)
        ((struct sockaddr_in *) &t->address)->sin_port = htons(r->port);
    else
        ((struct sockaddr_in6 *) &t->address)->sin6_port = htons(r->port);
}

/* All addresses are known: targets in the order of the hosts. */
static void finish_addresses(Route *r)
{
    for (size_t i = 0; i < r->n_hosts; i++)
        for (size_t k = 0; k < r->hosts[i].n_addresses; k++)
            add_target(r, &r->hosts[i].addresses[k], r->hosts[i].name);
    if (r->n_targets > 0)
        r->done(r, 0, "", r->userdata);
    else
        r->done(r, -EAGAIN, *r->reason ? r->reason : "no address", r->userdata);
}

static bool usable(const ResolveAnswer *a)
{
    return a->state != DNSSEC_BOGUS && a->state != DNSSEC_ERROR;
}

static void take_addresses(RouteHost *h, const ResolveAnswer *a, uint16_t type)
{
    for (size_t i = 0; i < a->n_records && h->n_addresses < ROUTE_TARGETS_MAX; i++)
        if (resolve_parse_address(&a->records[i], type, &h->addresses[h->n_addresses]) >= 0)
            h->n_addresses++;
}

static void on_addresses(RouteHost *h, unsigned family, ResolveAnswer *answer)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = answer;
    Route *r = h->route;

    h->queries[family] = NULL;
    if (usable(a))
        take_addresses(h, a, family == 0 ? DNS_TYPE_A : DNS_TYPE_AAAA);
    else
        (void) snprintf(r->reason, sizeof(r->reason), "%s: %s", h->name, a->reason);
    if (--r->n_pending == 0)
        finish_addresses(r);
}

static void on_a(ResolveAnswer *answer, void *userdata)
{
    on_addresses(userdata, 0, answer);
}

static void on_aaaa(ResolveAnswer *answer, void *userdata)
{
    on_addresses(userdata, 1, answer);
}

static int add_host(Route *r, const char *name, unsigned preference)
{
    size_t at = r->n_hosts;
    char *copy;

    /* Sorted, the best first; beyond the limit the worst falls out. Equal preferences stay in the order dnsd gave, which
     * libunbound rotates. */
    while (at > 0 && r->hosts[at - 1].preference > preference)
        at--;
    if (at >= ROUTE_HOSTS_MAX)
        return 0;
    copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    if (r->n_hosts == ROUTE_HOSTS_MAX)
        free(r->hosts[--r->n_hosts].name);
    memmove(&r->hosts[at + 1], &r->hosts[at], (r->n_hosts - at) * sizeof(RouteHost));
    r->hosts[at] = (RouteHost) {.route = r, .name = copy, .preference = preference};
    r->n_hosts++;
    return 0;
}

static int ask_addresses(Route *r)
{
    int result = -EIO;

    for (size_t i = 0; i < r->n_hosts; i++) {
        RouteHost *h = &r->hosts[i];
        const struct {
            uint16_t type;
            ResolveDone done;
        } families[] = {{DNS_TYPE_A, on_a}, {DNS_TYPE_AAAA, on_aaaa}};

        for (size_t k = 0; k < ELEMENTSOF(families); k++) {
            int q = resolve_start(r->dnsd, &h->queries[k], h->name, families[k].type, families[k].done, h);

            if (q < 0)
                result = r->n_pending > 0 ? 0 : q;
            else {
                r->n_pending++;
                result = 0;
            }
        }
    }
    return result;
}

/* The mail servers in an answer. -EHOSTUNREACH: there shall be none. */
static int take_servers(Route *r, const ResolveAnswer *a)
{
    int k;

    if (a->rcode == DNS_RCODE_NXDOMAIN)
        return -EHOSTUNREACH;
    if (a->n_records == 0) /* implicit MX, RFC 5321, section 5.1 */
        return add_host(r, r->domain, 0);
    for (size_t i = 0; i < a->n_records; i++) {
        _cleanup_free_ char *exchange = NULL;
        uint16_t preference;

        if (resolve_parse_mx(&a->records[i], &preference, &exchange) < 0)
            continue;
        if (*exchange == '\0')
            return -EHOSTUNREACH;
        k = add_host(r, exchange, preference);
        if (k < 0)
            return k;
    }
    return r->n_hosts > 0 ? 0 : -EBADMSG;
}

static void on_servers(ResolveAnswer *answer, void *userdata)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = answer;
    Route *r = userdata;
    int k;

    r->query = NULL;
    if (!usable(a)) {
        (void) snprintf(r->reason, sizeof(r->reason), "mail servers of %s: %s", r->domain, a->reason);
        r->done(r, -EAGAIN, r->reason, r->userdata);
        return;
    }
    k = take_servers(r, a);
    if (k == -EHOSTUNREACH) {
        (void) snprintf(r->reason, sizeof(r->reason), "%s takes no mail", r->domain);
        r->done(r, k, r->reason, r->userdata);
        return;
    }
    if (k >= 0)
        k = ask_addresses(r);
    if (k < 0)
        r->done(r, -EAGAIN, "cannot ask dnsd", r->userdata);
}

int route_new_domain(Route **ret, PeerClient *dnsd, const char *domain, RouteDone done, void *userdata)
{
    _cleanup_(route_freep) Route *r = NULL;
    int k;

    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (Route) {.dnsd = dnsd, .port = SMTP_PORT, .done = done, .userdata = userdata};
    r->domain = strdup(domain);
    if (!r->domain)
        return -ENOMEM;
    k = resolve_start(dnsd, &r->query, domain, DNS_TYPE_MX, on_servers, r);
    if (k < 0)
        return k;
    *ret = TAKE_PTR(r);
    return 0;
}

static int on_known(sd_event_source *s, void *userdata)
{
    Route *r = userdata;

    r->defer = sd_event_source_disable_unref(r->defer);
    finish_addresses(r);
    return 0;
}

bool route_host_is_literal(const char *host, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *) ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret;

    *ret = (struct sockaddr_storage) {0};
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1)
        in->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1)
        in6->sin6_family = AF_INET6;
    else
        return false;
    return true;
}

int route_new_host(Route **ret, PeerClient *dnsd, sd_event *event, const char *host, uint16_t port, RouteDone done,
        void *userdata)
{
    _cleanup_(route_freep) Route *r = NULL;
    int k;

    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (Route) {.dnsd = dnsd, .port = port, .done = done, .userdata = userdata};
    k = add_host(r, host, 0);
    if (k < 0)
        return k;
    if (route_host_is_literal(host, &r->hosts[0].addresses[0])) {
        r->hosts[0].n_addresses = 1;
        k = sd_event_add_defer(event, &r->defer, on_known, r);
    } else
        k = ask_addresses(r);
    if (k < 0)
        return k;
    *ret = TAKE_PTR(r);
    return 0;
}
