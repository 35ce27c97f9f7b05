/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the administrator wants for a destination: sections [Destination default], [Destination .suffix] and [Destination
 * example.com] of deliverd.conf. Each setting is taken from the most specific section that has it. Pure but for the
 * allocation. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "tls.h"

#define DESTINATION_SECTIONS_MAX 1024
#define DESTINATION_UNSET (-1)

/* When a destination that only prefers TLS is tried again in the clear, on a new connection, after TLS has failed. */
typedef enum PlaintextFallback {
    FALLBACK_ALWAYS,
    FALLBACK_BEFORE_220, /* only if STARTTLS was not answered with 220 */
    FALLBACK_AFTER_220,  /* only if the handshake failed */
    FALLBACK_NEVER,
} PlaintextFallback;
const char *plaintext_fallback_to_string(PlaintextFallback f);

/* One section as written: int fields are DESTINATION_UNSET, pointers NULL where it says nothing or "Default". */
typedef struct DestinationSection {
    char *pattern; /* "default", ".suffix" or a domain */
    int tls;       /* TlsLevel */
    int dane;      /* DaneLevel */
    int fallback;  /* PlaintextFallback */
    int mta_sts;            /* bool */
    int verify_insecure_mx; /* bool */
    char **pins, **authorities; /* in the normal form of tls-pin.h, NULL-ended */
    int require_fqdn; /* bool */
    unsigned max_connections; /* 0: unset */
    unsigned max_recipients;  /* the same */
    uint64_t recipient_period; /* µs; the same */
    char *route;   /* as written: host[:port], [address]:port; checked by route_parse() */
} DestinationSection;

typedef struct DestinationTable {
    DestinationSection *sections;
    size_t n_sections;
} DestinationTable;

/* The section of that pattern, made when it is new. NULL when there are too many or memory is short. Pointers stay valid until
 * the next new one. */
DestinationSection *destination_table_get(DestinationTable *t, const char *pattern);
void destination_table_clear(DestinationTable *t);

/* The settings in force for a domain. */
typedef struct DestinationPolicy {
    TlsLevel tls;
    DaneLevel dane;
    PlaintextFallback fallback;
    bool mta_sts;            /* a policy of the destination holds (RFC 8461) */
    bool verify_insecure_mx; /* a host's name verifies it even if an insecure MX answer gave it */
    /* Where the level verifies, beside what it wants; elsewhere for the journal: */
    const char *const *pins, *const *authorities; /* the table's; NULL: none */
    bool require_fqdn;
    unsigned max_connections;
    unsigned max_recipients;   /* started within … 0: any number */
    uint64_t recipient_period; /* … µs */
    const char *route; /* the table's; NULL: by MX */
} DestinationPolicy;

#define DESTINATION_MAX_CONNECTIONS_DEFAULT 20
#define DESTINATION_RECIPIENT_PERIOD_DEFAULT (3600 * USEC_PER_SEC)

/* domain: normalized. Defaults: TLS=Preferred, DANE=Opportunistic, PlaintextFallback=always, VerifyInsecureMX=yes,
 * MTASTS=yes. Without TLS there is neither DANE nor STS. */
DestinationPolicy destination_policy(const DestinationTable *t, const char *domain);

/* Patterns of the sections that settings were taken from; NULL: it is the default of the program. */
typedef struct DestinationSources {
    const char *tls, *dane, *mta_sts, *route;
} DestinationSources;

/* The same, where what over says comes before all sections (NULL: it says nothing). */
DestinationPolicy destination_policy_with(const DestinationTable *t, const char *domain, const DestinationSection *over,
        DestinationSources *ret_sources);

/* "mx.example.com", "mx.example.com:2525", "192.0.2.1:25", "[2001:db8::1]:25": host without brackets, port (25 if not given).
 * -EINVAL. */
int route_parse(const char *s, char **ret_host, uint16_t *ret_port);
