/* SPDX-License-Identifier: Apache-2.0 */

/* Sections of destinations and which of them counts for a domain. Reads no files and asks nobody. */

#include "destination.h"

#include <arpa/inet.h>

#include "address.h"
#include "conf.h"

static const char *const fallback_names[] = {
    [FALLBACK_ALWAYS] = "always",
    [FALLBACK_BEFORE_220] = "before-220",
    [FALLBACK_AFTER_220] = "after-220",
    [FALLBACK_NEVER] = "never",
};

const char *plaintext_fallback_to_string(PlaintextFallback f)
{
    return f < ELEMENTSOF(fallback_names) ? fallback_names[f] : "unknown";
}

DestinationSection *destination_table_get(DestinationTable *t, const char *pattern)
{
    DestinationSection *grown, *s;
    char *copy;

    for (size_t i = 0; i < t->n_sections; i++)
        if (streq(t->sections[i].pattern, pattern))
            return t->sections + i;
    if (t->n_sections >= DESTINATION_SECTIONS_MAX)
        return NULL;
    grown = reallocarray(t->sections, t->n_sections + 1, sizeof(*grown));
    if (!grown)
        return NULL;
    t->sections = grown;
    copy = strdup(pattern);
    if (!copy)
        return NULL;
    s = grown + t->n_sections++;
    *s = (DestinationSection) {
        .pattern = copy,
        .tls = DESTINATION_UNSET,
        .dane = DESTINATION_UNSET,
        .fallback = DESTINATION_UNSET,
        .mta_sts = DESTINATION_UNSET,
        .verify_insecure_mx = DESTINATION_UNSET,
        .require_fqdn = DESTINATION_UNSET,
    };
    return s;
}

void destination_table_clear(DestinationTable *t)
{
    for (size_t i = 0; i < t->n_sections; i++) {
        free(t->sections[i].pattern);
        free(t->sections[i].route);
        conf_strv_free(t->sections[i].pins);
        conf_strv_free(t->sections[i].authorities);
    }
    free(t->sections);
    *t = (DestinationTable) {};
}

/* How well a section fits: 0 not at all, more for longer suffixes, most for the domain itself. */
static size_t specificity(const DestinationSection *s, const char *domain)
{
    if (streq(s->pattern, "default"))
        return 1;
    if (s->pattern[0] == '.')
        return domain_matches(domain, s->pattern) ? 1 + strlen(s->pattern) : 0;
    return streq(s->pattern, domain) ? SIZE_MAX : 0;
}

/* How specific the section is that each setting was taken from. */
typedef struct Best {
    size_t tls, dane, fallback, mta_sts, verify_insecure_mx, pins, authorities, require_fqdn;
    size_t max_connections, max_recipients, recipient_period, route;
} Best;

/* True, and the mark is set, if what a section of specificity n says is the best so far. */
static bool better(bool says, size_t n, size_t *best)
{
    if (!says || n <= *best)
        return false;
    *best = n;
    return true;
}

static void consider(const DestinationSection *s, size_t n, Best *best, DestinationPolicy *p, DestinationSources *sources)
{
    if (better(s->tls != DESTINATION_UNSET, n, &best->tls)) {
        p->tls = (TlsLevel) s->tls;
        sources->tls = s->pattern;
    }
    if (better(s->dane != DESTINATION_UNSET, n, &best->dane)) {
        p->dane = (DaneLevel) s->dane;
        sources->dane = s->pattern;
    }
    if (better(s->fallback != DESTINATION_UNSET, n, &best->fallback))
        p->fallback = (PlaintextFallback) s->fallback;
    if (better(s->mta_sts != DESTINATION_UNSET, n, &best->mta_sts)) {
        p->mta_sts = s->mta_sts;
        sources->mta_sts = s->pattern;
    }
    if (better(s->verify_insecure_mx != DESTINATION_UNSET, n, &best->verify_insecure_mx))
        p->verify_insecure_mx = s->verify_insecure_mx;
    if (better(s->pins && *s->pins, n, &best->pins))
        p->pins = (const char *const *) s->pins;
    if (better(s->authorities && *s->authorities, n, &best->authorities))
        p->authorities = (const char *const *) s->authorities;
    if (better(s->require_fqdn != DESTINATION_UNSET, n, &best->require_fqdn))
        p->require_fqdn = s->require_fqdn;
    if (better(s->max_connections > 0, n, &best->max_connections))
        p->max_connections = s->max_connections;
    if (better(s->max_recipients > 0, n, &best->max_recipients))
        p->max_recipients = s->max_recipients;
    if (better(s->recipient_period > 0, n, &best->recipient_period))
        p->recipient_period = s->recipient_period;
    if (better(s->route, n, &best->route)) {
        p->route = s->route;
        sources->route = s->pattern;
    }
}

DestinationPolicy destination_policy_with(const DestinationTable *t, const char *domain, const DestinationSection *over,
        DestinationSources *ret_sources)
{
    DestinationSources sources = {};
    Best best = {};
    DestinationPolicy p = {
        .tls = TLS_LEVEL_PREFERRED,
        .dane = DANE_OPPORTUNISTIC,
        .fallback = FALLBACK_ALWAYS,
        .mta_sts = true,
        .verify_insecure_mx = true,
        .max_connections = DESTINATION_MAX_CONNECTIONS_DEFAULT,
        .recipient_period = DESTINATION_RECIPIENT_PERIOD_DEFAULT,
    };

    /* First: no section is more specific than the domain's own, and what is as specific does not count any more. */
    if (over)
        consider(over, SIZE_MAX, &best, &p, &sources);
    for (size_t i = 0; i < t->n_sections; i++)
        consider(t->sections + i, specificity(t->sections + i, domain), &best, &p, &sources);
    if (p.tls == TLS_LEVEL_NO) {
        p.dane = DANE_NONE;
        p.mta_sts = false;
    }
    *ret_sources = sources;
    return p;
}

DestinationPolicy destination_policy(const DestinationTable *t, const char *domain)
{
    DestinationSources sources;

    return destination_policy_with(t, domain, NULL, &sources);
}

static int parse_port(const char *s, uint16_t *ret)
{
    char *end;
    unsigned long port;

    if (*s < '0' || *s > '9')
        return -EINVAL;
    errno = 0;
    port = strtoul(s, &end, 10);
    if (errno != 0 || *end || port == 0 || port > UINT16_MAX)
        return -EINVAL;
    *ret = (uint16_t) port;
    return 0;
}

int route_parse(const char *s, char **ret_host, uint16_t *ret_port)
{
    _cleanup_free_ char *host = NULL, *normal = NULL;
    uint16_t port = 25;
    struct in_addr v4;
    struct in6_addr v6;
    const char *rest;
    int r;

    if (*s == '[') {
        rest = strchr(s, ']');
        if (!rest)
            return -EINVAL;
        host = strndup(s + 1, (size_t) (rest - s - 1));
        rest++;
    } else {
        rest = s + strcspn(s, ":");
        host = strndup(s, (size_t) (rest - s));
    }
    if (!host)
        return -ENOMEM;
    if (*rest && *rest != ':')
        return -EINVAL;
    if (*rest) {
        r = parse_port(rest + 1, &port);
        if (r < 0)
            return r;
    }
    if (inet_pton(AF_INET, host, &v4) != 1 && !(*s == '[' && inet_pton(AF_INET6, host, &v6) == 1)) {
        if (*s == '[')
            return -EINVAL;
        r = domain_normalize(host, &normal);
        if (r < 0)
            return r == -ENOMEM ? r : -EINVAL;
    }
    *ret_host = normal ? TAKE_PTR(normal) : TAKE_PTR(host);
    *ret_port = port;
    return 0;
}
