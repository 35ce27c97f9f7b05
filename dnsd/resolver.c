/* SPDX-License-Identifier: Apache-2.0 */

/* The only file that knows libunbound. The library resolves and validates in its own thread and signals on a descriptor that is
 * in our loop; its verdict is taken as it is and never improved on. */

#include "resolver.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <unbound.h>

#include "answer.h"
#include "dns-name.h"

#define CLASS_IN 1

struct Resolver {
    unsigned n_ref;
    struct ub_ctx *ctx;
    sd_event_source *io;
    char **zones; /* that have an anchor or are declared insecure: what is below them is judged, all else cannot be */
};

struct ResolverQuery {
    Resolver *resolver;
    int id;
    char *name;
    uint16_t type;
    ResolveAnswer *failure; /* made ahead, so that there is an answer even when memory is short */
    ResolverDone done;
    void *userdata;
};

static Resolver *resolver_free(Resolver *r)
{
    sd_event_source_disable_unref(r->io);
    if (r->ctx)
        ub_ctx_delete(r->ctx);
    conf_strv_free(r->zones);
    free(r);
    return NULL;
}

Resolver *resolver_ref(Resolver *r)
{
    r->n_ref++;
    return r;
}

Resolver *resolver_unref(Resolver *r)
{
    if (!r || --r->n_ref > 0)
        return NULL;
    return resolver_free(r);
}

/* ---- settings ---- */

/* Sized for the pending lookups dnsd allows, not for libunbound's modest idea of a library. Caches have a limit. Answers of the
 * root's key sentinel and the like are of no use to mail. */
static int set_options(struct ub_ctx *ctx, const DnsConfig *c)
{
    char message_cache[24], record_cache[24], small_cache[24], queries[12], ports[12];
    const struct {
        const char *option, *value;
    } options[] = {
        {"do-ip6:", c->ipv6 ? "yes" : "no"},
        {"harden-below-nxdomain:", "yes"},
        {"harden-dnssec-stripped:", "yes"},
        {"harden-glue:", "yes"},
        {"infra-host-ttl:", "60"}, /* a server that was away is asked again after a minute, not after a quarter of an hour */
        {"infra-keep-probing:", "yes"},
        {"key-cache-size:", small_cache},
        {"msg-cache-size:", message_cache},
        {"neg-cache-size:", small_cache},
        {"num-queries-per-thread:", queries},
        {"outgoing-num-tcp:", "32"},
        {"outgoing-range:", ports},
        {"prefetch-key:", "yes"},
        {"qname-minimisation:", "yes"},
        {"rrset-cache-size:", record_cache},
        {"trust-anchor-signaling:", "no"},
        {"unblock-lan-zones:", "yes"}, /* private networks have their own servers here, as stubs */
    };

    /* Records take about twice the memory of the messages that consist of them. */
    (void) snprintf(message_cache, sizeof(message_cache), "%" PRIu64, c->cache_size / 4);
    (void) snprintf(record_cache, sizeof(record_cache), "%" PRIu64, c->cache_size / 2);
    (void) snprintf(small_cache, sizeof(small_cache), "%" PRIu64, c->cache_size / 8);
    (void) snprintf(queries, sizeof(queries), "%u", c->pending_max * 2);
    (void) snprintf(ports, sizeof(ports), "%u", MIN(c->pending_max, 256u));
    for (size_t i = 0; i < ELEMENTSOF(options); i++) {
        int e = ub_ctx_set_option(ctx, options[i].option, options[i].value);

        if (e != 0)
            return e;
    }
    return 0;
}

static int set_stub(struct ub_ctx *ctx, const DnsStub *s)
{
    _cleanup_free_ char *local = NULL, *zone = NULL;
    int e;

    if (asprintf(&zone, "%s.", s->zone) < 0)
        return UB_NOMEM;
    for (char **server = s->servers; server && *server; server++) {
        e = ub_ctx_set_stub(ctx, zone, *server, /* isprime= */ 0);
        if (e != 0)
            return e;
    }
    /* libunbound answers some zones (test., home.arpa., …) itself, unless told that this one is to be asked for. */
    if (asprintf(&local, "%s transparent", zone) < 0)
        return UB_NOMEM;
    e = *s->zone ? ub_ctx_set_option(ctx, "local-zone:", local) : 0;
    if (e != 0)
        return e;
    return s->insecure ? ub_ctx_set_option(ctx, "domain-insecure:", zone) : 0;
}

/* There is a call for forwarders, but none to ask only these over TCP, as the relay for TLS wants. A configuration file can say it,
 * so there is one, in memory. All in it was checked to have no special characters. */
static int set_forwarders(struct ub_ctx *ctx, const DnsConfig *c)
{
    _cleanup_close_ int fd = -EBADF;
    char path[40];

    if (!c->forward)
        return 0;
    fd = memfd_create("forwarders", MFD_CLOEXEC);
    if (fd < 0 || dprintf(fd, "forward-zone:\n name: \".\"\n") < 0)
        return UB_NOMEM;
    if (c->forward_tls
            && dprintf(fd, " forward-tcp-upstream: yes\n forward-addr: \"127.0.0.1@%u\"\n", c->relay_port > 0 ? c->relay_port : 853u) < 0)
        return UB_NOMEM;
    for (char **server = c->forward; !c->forward_tls && *server; server++)
        if (dprintf(fd, " forward-addr: \"%s\"\n", *server) < 0)
            return UB_NOMEM;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return ub_ctx_config(ctx, path);
}

static int add_anchors(struct ub_ctx *ctx, char *const *anchors)
{
    for (; anchors && *anchors; anchors++) {
        int e = ub_ctx_add_ta(ctx, *anchors);

        if (e != 0)
            return e;
    }
    return 0;
}

/* The hold-down of RFC 5011, section 2.4.1. Not "permit-small-holddown:", which is about the times of probes that libunbound would
 * make in a server: with it, and records that live for less than 20 s, it divides by zero. */
static int follow_anchors(struct ub_ctx *ctx, const ResolverTrust *trust)
{
    char seconds[24];
    int e;

    if (!trust->followed_files)
        return 0;
    (void) snprintf(seconds, sizeof(seconds), "%" PRIu64, trust->hold_down_usec / USEC_PER_SEC);
    e = ub_ctx_set_option(ctx, "add-holddown:", seconds);
    for (char *const *file = trust->followed_files; e == 0 && *file; file++)
        e = ub_ctx_add_ta_autr(ctx, *file);
    return e;
}

static int configure(struct ub_ctx *ctx, const DnsConfig *c, const ResolverTrust *trust)
{
    int e;

    e = set_options(ctx, c);
    if (e == 0)
        e = add_anchors(ctx, c->trust_anchors);
    if (e == 0)
        e = add_anchors(ctx, trust->anchors);
    if (e == 0)
        e = follow_anchors(ctx, trust);
    if (e == 0 && c->forward_tls)
        e = ub_ctx_set_option(ctx, "do-not-query-localhost:", "no");
    if (e == 0)
        e = set_forwarders(ctx, c);
    if (e != 0)
        return e;
    for (size_t i = 0; i < c->n_stubs; i++) {
        e = set_stub(ctx, &c->stubs[i]);
        if (e != 0)
            return e;
    }
    e = ub_ctx_async(ctx, /* dothread= */ 1);
    if (e != 0)
        return e;
    /* Settings are checked when the context is finalized, and this call is the documented one that does it and nothing else
     * here. */
    return ub_ctx_zone_remove(ctx, "finalize.invalid.");
}

/* Its lines begin with "[time] libunbound[pid:thread] error: ". The first says it best. */
static char *first_complaint(const char *said)
{
    static const char *const marks[] = {"error: ", "warning: "};

    for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
        const char *text = strstr(said, marks[i]);

        if (text) {
            text += strlen(marks[i]);
            return strndup(text, strcspn(text, "\n"));
        }
    }
    return NULL;
}

/* As configure(), with what libunbound complained about. It writes that to a stream; afterwards it shall write nowhere: daemons
 * log, libraries do not. */
static int configure_with_reason(struct ub_ctx *ctx, const DnsConfig *c, const ResolverTrust *trust, char **ret_reason)
{
    _cleanup_free_ char *said = NULL;
    size_t size = 0;
    FILE *f;
    int e;

    f = open_memstream(&said, &size);
    if (!f)
        return -ENOMEM;
    (void) ub_ctx_debugout(ctx, f);
    e = configure(ctx, c, trust);
    (void) ub_ctx_debugout(ctx, NULL);
    (void) fclose(f);
    if (e == UB_NOMEM)
        return -ENOMEM;
    /* An anchor whose algorithm it does not know is dropped by libunbound with a warning, and its zone would silently count as
     * unsigned. */
    if (e == 0 && !(said && strstr(said, "has no supported algorithms")))
        return 0;
    *ret_reason = first_complaint(said ? said : "");
    if (!*ret_reason)
        *ret_reason = strdup(ub_strerror(e));
    return -EINVAL;
}

static size_t count(char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

static int collect_owners(char **zones, size_t *n, char *const *anchors)
{
    for (; anchors && *anchors; anchors++) {
        int r = dns_anchor_owner(*anchors, &zones[*n]);

        if (r < 0)
            return r;
        (*n)++;
    }
    return 0;
}

static int collect_zone(char **zones, size_t *n, const char *zone)
{
    zones[*n] = strdup(zone);
    if (!zones[*n])
        return -ENOMEM;
    (*n)++;
    return 0;
}

static int collect_zones(Resolver *r, const DnsConfig *c, const ResolverTrust *trust)
{
    size_t n = 0;
    int k;

    r->zones = calloc(count(c->trust_anchors) + count(trust->anchors) + count(trust->followed_zones) + c->n_stubs + 1,
            sizeof(char *));
    if (!r->zones)
        return -ENOMEM;
    k = collect_owners(r->zones, &n, c->trust_anchors);
    if (k >= 0)
        k = collect_owners(r->zones, &n, trust->anchors);
    for (char *const *zone = trust->followed_zones; k >= 0 && zone && *zone; zone++)
        k = collect_zone(r->zones, &n, *zone);
    for (size_t i = 0; k >= 0 && i < c->n_stubs; i++)
        if (c->stubs[i].insecure)
            k = collect_zone(r->zones, &n, c->stubs[i].zone);
    return k;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    /* Callbacks may end the last lookup of an old context; it must outlive ub_process(). */
    _cleanup_(resolver_unrefp) Resolver *r = resolver_ref(userdata);

    (void) ub_process(r->ctx);
    return 0;
}

int resolver_new(Resolver **ret, sd_event *event, const DnsConfig *config, const ResolverTrust *trust, char **ret_reason)
{
    _cleanup_(resolver_unrefp) Resolver *r = NULL;
    int k;

    *ret_reason = NULL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->n_ref = 1;
    k = collect_zones(r, config, trust);
    if (k < 0)
        return k;
    r->ctx = ub_ctx_create();
    if (!r->ctx)
        return -ENOMEM;
    k = configure_with_reason(r->ctx, config, trust, ret_reason);
    if (k < 0)
        return k;
    if (event) {
        k = sd_event_add_io(event, &r->io, ub_fd(r->ctx), EPOLLIN, on_io, r);
        if (k < 0)
            return k;
        (void) sd_event_source_set_description(r->io, "libunbound");
    }
    *ret = TAKE_PTR(r);
    return 0;
}

/* ---- questions ---- */

ResolverQuery *resolver_cancel(ResolverQuery *q)
{
    if (!q)
        return NULL;
    if (q->id >= 0)
        (void) ub_cancel(q->resolver->ctx, q->id);
    resolver_unref(q->resolver);
    resolve_answer_free(q->failure);
    free(q->name);
    free(q);
    return NULL;
}

static bool judged(const Resolver *r, const char *name)
{
    for (char **zone = r->zones; zone && *zone; zone++)
        if (dns_name_within(name, *zone))
            return true;
    return false;
}

static int parse_result(const ResolverQuery *q, const struct ub_result *result, ResolveAnswer **ret)
{
    DnssecState state;
    int r;

    if (result->bogus)
        state = DNSSEC_BOGUS;
    else if (result->secure)
        state = DNSSEC_SECURE;
    else
        state = judged(q->resolver, q->name) ? DNSSEC_INSECURE : DNSSEC_INDETERMINATE;

    r = answer_parse(result->answer_packet, (size_t) MAX(result->answer_len, 0), q->name, q->type, state, ret);
    if (r >= 0 && result->bogus)
        r = answer_set_reason(*ret, result->why_bogus ? result->why_bogus : "DNSSEC validation failed");
    return r;
}

static const char *rcode_reason(int rcode)
{
    /* IANA "DNS RCODEs". */
    switch (rcode) {
    case 1:
        return "the question was refused as malformed (FORMERR)";
    case 2:
        return "no server for this name gave a usable answer (SERVFAIL)";
    case 4:
        return "the server does not do such questions (NOTIMP)";
    case 5:
        return "the server refused the question (REFUSED)";
    default:
        return "the server answered with an error";
    }
}

static const char *parse_reason(int error)
{
    switch (error) {
    case -ELOOP:
        return "the chain of aliases is too long or has no end";
    case -E2BIG:
        return "too many records";
    case -ENOMEM:
        return "out of memory";
    default:
        return "the answer is malformed";
    }
}

static void on_result(void *userdata, int error, struct ub_result *result)
{
    _cleanup_(resolver_cancelp) ResolverQuery *q = userdata;
    ResolveAnswer *answer = NULL;
    const char *why = NULL;
    int r;

    q->id = -1;
    if (error != 0 || !result)
        why = ub_strerror(error);
    else if (!result->bogus && result->rcode != DNS_RCODE_NOERROR && result->rcode != DNS_RCODE_NXDOMAIN)
        why = rcode_reason(result->rcode);
    else {
        r = parse_result(q, result, &answer);
        if (r < 0) {
            /* What is bogus stays bogus even if it cannot be read. */
            if (result->bogus)
                q->failure->state = q->failure->hops[0].state = DNSSEC_BOGUS;
            why = result->bogus && result->why_bogus ? result->why_bogus : parse_reason(r);
            answer = resolve_answer_free(answer);
        }
    }
    if (!answer) {
        answer = TAKE_PTR(q->failure);
        (void) answer_set_reason(answer, why);
    }
    if (result)
        ub_resolve_free(result);
    q->done(answer, q->userdata);
}

int resolver_ask(Resolver *r, ResolverQuery **ret, const char *name, uint16_t type, ResolverDone done, void *userdata)
{
    _cleanup_(resolver_cancelp) ResolverQuery *q = NULL;
    int e, k;

    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    *q = (ResolverQuery) {.resolver = resolver_ref(r), .id = -1, .type = type, .done = done, .userdata = userdata};
    q->name = strdup(*name ? name : ".");
    if (!q->name)
        return -ENOMEM;
    k = answer_new_failed(name, DNSSEC_ERROR, "", &q->failure);
    if (k < 0)
        return k;
    e = ub_resolve_async(r->ctx, q->name, type, CLASS_IN, q, on_result, &q->id);
    if (e != 0) {
        q->id = -1;
        return e == UB_NOMEM ? -ENOMEM : -EIO;
    }
    if (!*name)
        *q->name = '\0'; /* from here on the root is "" */
    *ret = TAKE_PTR(q);
    return 0;
}
