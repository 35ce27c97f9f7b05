/* SPDX-License-Identifier: Apache-2.0 */

/* From DNS answers to hosts, addresses and TLSA records. No clock, no network, no log. Wherever an answer could not be told for
 * sure the mail waits: nothing here turns a failure to look something up into permission to do without it. */

#include "decision.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>

MxPlan *mx_plan_free(MxPlan *p)
{
    if (!p)
        return NULL;
    for (size_t i = 0; i < p->n_hosts; i++)
        free(p->hosts[i].name);
    free(p->hosts);
    free(p->expansion);
    free(p->reason);
    free(p);
    return NULL;
}

const char *failure_kind_to_string(FailureKind k)
{
    static const char *const names[] = {
        [FAILURE_NONE] = "none",
        [FAILURE_DNS] = "dns",
        [FAILURE_CONNECT] = "connect",
        [FAILURE_SMTP] = "smtp",
        [FAILURE_TLS] = "tls",
        [FAILURE_STS] = "sts",
        [FAILURE_DANE] = "dane",
    };

    return k < ELEMENTSOF(names) ? names[k] : "unknown";
}

/* An answer that says something, be it that there is nothing. */
static bool conclusive(const ResolveAnswer *a)
{
    return (a->state == DNSSEC_SECURE || a->state == DNSSEC_INSECURE) &&
           (a->rcode == DNS_RCODE_NOERROR || a->rcode == DNS_RCODE_NXDOMAIN);
}

static void describe_answer(char *buffer, size_t n, const char *what, const char *name, const ResolveAnswer *a)
{
    (void) snprintf(buffer, n, "%s lookup of %s: %s%s%s", what, name, dnssec_state_to_string(a->state),
            a->reason && *a->reason ? ": " : "", a->reason ? a->reason : "");
}

static int mx_ends(MxPlan *p, MxOutcome outcome, const char *enhanced, const char *format, ...) _printf_(4, 5);

static int mx_ends(MxPlan *p, MxOutcome outcome, const char *enhanced, const char *format, ...)
{
    va_list ap;
    int n;

    p->outcome = outcome;
    p->enhanced = enhanced;
    va_start(ap, format);
    n = vasprintf(&p->reason, format, ap);
    va_end(ap);
    if (n < 0)
        p->reason = NULL;
    return n < 0 ? -ENOMEM : 0;
}

static int mx_add(MxPlan *p, uint16_t preference, char *name)
{
    MxHost *grown = reallocarray(p->hosts, p->n_hosts + 1, sizeof(*grown));

    if (!grown) {
        free(name);
        return -ENOMEM;
    }
    p->hosts = grown;
    p->hosts[p->n_hosts++] = (MxHost) {.preference = preference, .name = name};
    return 0;
}

/* splitmix64: a good order from a poor seed. */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int compare_preference(const void *a, const void *b)
{
    const MxHost *x = a, *y = b;

    return (x->preference > y->preference) - (x->preference < y->preference);
}

/* RFC 5321, section 5.1: by preference, at random among equals. glibc's qsort() of few elements is a merge sort, but it does not
 * promise so: equal ones may come out in any order, which is as good. */
static void mx_sort(MxPlan *p, uint64_t seed)
{
    for (size_t i = p->n_hosts; i > 1; i--) {
        size_t j = next_random(&seed) % i;
        MxHost swap = p->hosts[i - 1];

        p->hosts[i - 1] = p->hosts[j];
        p->hosts[j] = swap;
    }
    if (p->n_hosts > 1)
        qsort(p->hosts, p->n_hosts, sizeof(*p->hosts), compare_preference);
    while (p->n_hosts > DECISION_HOSTS_MAX)
        free(p->hosts[--p->n_hosts].name);
}

static int mx_read(MxPlan *p, const char *domain, const ResolveAnswer *answer)
{
    bool null_mx = false;

    for (size_t i = 0; i < answer->n_records; i++) {
        _cleanup_free_ char *exchange = NULL;
        uint16_t preference;
        int r;

        r = resolve_parse_mx(answer->records + i, &preference, &exchange);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            continue;
        if (!*exchange) {
            null_mx = true;
            continue;
        }
        r = mx_add(p, preference, TAKE_PTR(exchange));
        if (r < 0)
            return r;
    }
    if (p->n_hosts > 0)
        return 0;
    if (null_mx)
        return mx_ends(p, MX_FAIL, "5.1.10", "%s does not accept mail (null MX)", domain);
    return mx_ends(p, MX_DEFER, "4.4.4", "MX records of %s are malformed", domain);
}

int decision_mx(const char *domain, const ResolveAnswer *answer, uint64_t seed, MxPlan **ret)
{
    _cleanup_(mx_plan_freep) MxPlan *p = calloc(1, sizeof(*p));
    char why[512];
    int r;

    if (!p)
        return -ENOMEM;
    if (!conclusive(answer)) {
        describe_answer(why, sizeof(why), "MX", domain, answer);
        r = mx_ends(p, MX_DEFER, "4.4.3", "%s", why);
    } else if (answer->rcode == DNS_RCODE_NXDOMAIN)
        r = mx_ends(p, MX_FAIL, "5.1.2", "the domain %s does not exist", domain);
    else {
        p->secure = answer->state == DNSSEC_SECURE;
        if (answer->n_hops > 1 && answer->canonical) {
            p->expansion = strdup(answer->canonical);
            if (!p->expansion)
                return -ENOMEM;
        }
        if (answer->n_records == 0) {
            char *copy = strdup(domain);

            p->implicit = true;
            r = copy ? mx_add(p, 0, copy) : -ENOMEM;
        } else
            r = mx_read(p, domain, answer);
    }
    if (r < 0)
        return r;
    mx_sort(p, seed);
    *ret = TAKE_PTR(p);
    return 0;
}

int mx_plan_keep(MxPlan *p, const char *domain, const char *host)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_hosts; i++)
        if (n == 0 && streq(p->hosts[i].name, host))
            p->hosts[n++] = p->hosts[i];
        else
            free(p->hosts[i].name);
    p->n_hosts = n;
    return n > 0 ? 0 : mx_ends(p, MX_DEFER, "4.4.4", "%s is no mail server of %s", host, domain);
}

int decision_mx_fixed(const char *host, bool secure, MxPlan **ret)
{
    _cleanup_(mx_plan_freep) MxPlan *p = calloc(1, sizeof(*p));
    char *copy;
    int r;

    if (!p)
        return -ENOMEM;
    p->secure = secure;
    copy = strdup(host);
    if (!copy)
        return -ENOMEM;
    r = mx_add(p, 0, copy);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(p);
    return 0;
}

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
    if (sa->ss_family == AF_INET6)
        ((struct sockaddr_in6 *) sa)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *) sa)->sin_port = htons(port);
}

static void add_addresses(HostAddresses *h, const ResolveAnswer *answer, uint16_t type, uint16_t port, size_t max)
{
    for (size_t i = 0; i < answer->n_records && h->n_addresses < max; i++) {
        struct sockaddr_storage *sa = h->addresses + h->n_addresses;

        if (resolve_parse_address(answer->records + i, type, sa) < 0)
            continue;
        set_port(sa, port);
        h->n_addresses++;
    }
}

/* RFC 7672, section 2.2.2 and 2.2.3: where TLSA records can be, from the chain of the address records. Intermediate aliases never
 * count. */
static void choose_bases(HostAddresses *h, const char *host, const ResolveAnswer *answer)
{
    if (answer->n_hops <= 1) {
        if (answer->state == DNSSEC_SECURE)
            h->bases[0] = host;
        return;
    }
    if (answer->hops[0].state != DNSSEC_SECURE)
        return;
    if (answer->state == DNSSEC_SECURE && answer->canonical) {
        h->bases[0] = answer->canonical;
        h->bases[1] = host;
    } else
        h->bases[0] = host;
}

void decision_addresses(const char *host, uint16_t port, const ResolveAnswer *a, const ResolveAnswer *aaaa, HostAddresses *ret)
{
    const bool a_fine = conclusive(a), aaaa_fine = conclusive(aaaa);

    *ret = (HostAddresses) {};
    /* Half of the places at most for IPv6, so that a host with many of them and a broken route is still reached. */
    if (aaaa_fine)
        add_addresses(ret, aaaa, DNS_TYPE_AAAA, port,
                a_fine && a->n_records > 0 ? DECISION_ADDRESSES_MAX / 2 : DECISION_ADDRESSES_MAX);
    if (a_fine)
        add_addresses(ret, a, DNS_TYPE_A, port, DECISION_ADDRESSES_MAX);
    if (ret->n_addresses == 0) {
        ret->none = a_fine && aaaa_fine;
        if (ret->none)
            (void) snprintf(ret->reason, sizeof(ret->reason), "%s has no address", host);
        else
            describe_answer(ret->reason, sizeof(ret->reason), a_fine ? "AAAA" : "A", host, a_fine ? aaaa : a);
        return;
    }
    /* Of two answers with records the secure one counts: asking for TLSA then can only demand more. */
    if (a_fine && a->n_records > 0)
        choose_bases(ret, host, a);
    if (!ret->bases[0] && aaaa_fine && aaaa->n_records > 0)
        choose_bases(ret, host, aaaa);
}

bool decision_literal(const char *host, uint16_t port, HostAddresses *ret)
{
    struct sockaddr_storage sa = {};

    if (inet_pton(AF_INET, host, &((struct sockaddr_in *) &sa)->sin_addr) == 1)
        sa.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *) &sa)->sin6_addr) == 1)
        sa.ss_family = AF_INET6;
    else
        return false;
    set_port(&sa, port);
    *ret = (HostAddresses) {.n_addresses = 1};
    ret->addresses[0] = sa;
    return true;
}

char *decision_tlsa_name(const char *base, uint16_t port)
{
    char *name;

    return asprintf(&name, "_%" PRIu16 "._tcp.%s", port, base) < 0 ? NULL : name;
}

TlsaOutcome decision_tlsa(const ResolveAnswer *answer)
{
    if (!conclusive(answer))
        return TLSA_ERROR;
    if (answer->state != DNSSEC_SECURE || answer->n_records == 0)
        return TLSA_NONE;
    for (size_t i = 0; i < answer->n_records; i++) {
        TlsaRecord record;

        if (resolve_parse_tlsa(answer->records + i, &record) < 0)
            return TLSA_ERROR;
    }
    return TLSA_FOUND;
}

void decision_tlsa_error(const ResolveAnswer *answer, const char *base, char *buffer, size_t size)
{
    if (conclusive(answer))
        (void) snprintf(buffer, size, "TLSA records of %s are malformed", base);
    else
        describe_answer(buffer, size, "TLSA", base, answer);
}
