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

DestinationPolicy destination_policy(const DestinationTable *t, const char *domain)
{
    size_t tls_best = 0, dane_best = 0, fallback_best = 0, sts_best = 0, insecure_best = 0, pins_best = 0,
           authorities_best = 0, fqdn_best = 0, connections_best = 0, route_best = 0;
    DestinationPolicy p = {
        .tls = TLS_LEVEL_PREFERRED,
        .dane = DANE_OPPORTUNISTIC,
        .fallback = FALLBACK_ALWAYS,
        .mta_sts = true,
        .verify_insecure_mx = true,
        .max_connections = DESTINATION_MAX_CONNECTIONS_DEFAULT,
    };

    for (size_t i = 0; i < t->n_sections; i++) {
        const DestinationSection *s = t->sections + i;
        size_t n = specificity(s, domain);

        if (s->tls != DESTINATION_UNSET && n > tls_best) {
            tls_best = n;
            p.tls = (TlsLevel) s->tls;
        }
        if (s->dane != DESTINATION_UNSET && n > dane_best) {
            dane_best = n;
            p.dane = (DaneLevel) s->dane;
        }
        if (s->fallback != DESTINATION_UNSET && n > fallback_best) {
            fallback_best = n;
            p.fallback = (PlaintextFallback) s->fallback;
        }
        if (s->mta_sts != DESTINATION_UNSET && n > sts_best) {
            sts_best = n;
            p.mta_sts = s->mta_sts;
        }
        if (s->verify_insecure_mx != DESTINATION_UNSET && n > insecure_best) {
            insecure_best = n;
            p.verify_insecure_mx = s->verify_insecure_mx;
        }
        if (s->pins && *s->pins && n > pins_best) {
            pins_best = n;
            p.pins = (const char *const *) s->pins;
        }
        if (s->authorities && *s->authorities && n > authorities_best) {
            authorities_best = n;
            p.authorities = (const char *const *) s->authorities;
        }
        if (s->require_fqdn != DESTINATION_UNSET && n > fqdn_best) {
            fqdn_best = n;
            p.require_fqdn = s->require_fqdn;
        }
        if (s->max_connections > 0 && n > connections_best) {
            connections_best = n;
            p.max_connections = s->max_connections;
        }
        if (s->route && n > route_best) {
            route_best = n;
            p.route = s->route;
        }
    }
    if (p.tls == TLS_LEVEL_NO) {
        p.dane = DANE_NONE;
        p.mta_sts = false;
    }
    return p;
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
