/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dnsd.conf(5): where to ask, what to trust, how much to hold. */

#include "conf.h"

#define DNS_STUBS_MAX 64
#define DNS_SERVERS_MAX 16
#define DNS_ANCHORS_MAX 64

/* [Stub ZONE]: a zone, usually of a private network, that certain servers answer for. */
typedef struct DnsStub {
    char *zone; /* normal form (dns-name.h); "" is the root */
    char **servers;
    char **anchors;
    bool insecure; /* the zone is not validated, whatever anchors stand above it */
} DnsStub;

typedef struct DnsConfig {
    char *trust_anchor_file; /* NULL: none */
    char **trust_anchors;    /* zone-file lines: of TrustAnchor=, and after loading those of the stubs, too */
    char **file_anchors;     /* after loading: those of the file */
    bool trust_anchor_update; /* those of the file follow their zones (RFC 5011) */
    uint64_t trust_anchor_hold_down_usec;
    char *self_test_secure, *self_test_bogus; /* normal form; NULL: not to be asked for */
    char **forward;          /* "address[@port]", with forward_tls "#name" behind it; none: from the root servers */
    bool forward_tls;
    char *forward_ca_file;   /* whose authorities say who a forwarder is */
    uint16_t relay_port;     /* of tls-relay.h, filled in by the manager; 0: only to check */
    uint64_t cache_size;     /* bytes */
    uint64_t timeout_usec;   /* for a lookup with all its hops */
    unsigned pending_max, pending_per_peer_max;
    bool ipv6;
    DnsStub stubs[DNS_STUBS_MAX];
    size_t n_stubs;
} DnsConfig;

/* Reads dnsd.conf and the trust anchor file below root. Complaints go to report; -EBADMSG if one is an error. */
int dns_config_load(DnsConfig **ret, const char *root, ConfReport *report);
DnsConfig *dns_config_free(DnsConfig *c);
DEFINE_CLEANUP(DnsConfig, dns_config_free);

/* The owner of a trust anchor in zone-file form ("lab. IN DS 12345 13 2 …", a DNSKEY likewise), in normal form. Checks what comes
 * before the data; the data itself is libunbound's to check. -EINVAL. Pure. */
int dns_anchor_owner(const char *anchor, char **ret);

/* "192.0.2.1", "192.0.2.1@5353", "2001:db8::1@53". Pure. */
bool dns_server_valid(const char *s);
/* The same with the name that the server's certificate must have: "192.0.2.1@853#dns.example". Pure. */
bool dns_forwarder_valid(const char *s);
