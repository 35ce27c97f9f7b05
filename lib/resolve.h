/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Asking dnsd: names and records with the DNSSEC state of every hop. Parsing of the records that mail needs is pure and separate
 * from the call. */

#include <netinet/in.h>
#include <stdint.h>

#include "cleanup.h"
#include "peer-client.h"

#define RESOLVE_HOPS_MAX 16
#define RESOLVE_RECORDS_MAX 256

typedef enum DnssecState {
    DNSSEC_SECURE,
    DNSSEC_INSECURE,
    DNSSEC_BOGUS,         /* must not be used */
    DNSSEC_INDETERMINATE, /* no trust anchor covers it, or it could not be told */
    DNSSEC_ERROR,         /* no answer at all: timeout, SERVFAIL without a bogus verdict, dnsd away */
} DnssecState;
const char *dnssec_state_to_string(DnssecState s);
int dnssec_state_from_string(const char *s, DnssecState *ret);

/* IANA "DNS CLASSes, RCODEs": the two that matter here. */
#define DNS_RCODE_NOERROR 0
#define DNS_RCODE_NXDOMAIN 3

enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_TLSA = 52,
};

typedef struct ResolveHop {
    char *name;  /* presentation form, lower case, no trailing dot */
    char *dname; /* in dnsd only: its alias was made from the DNAME of this name above; NULL: it has a CNAME of its own */
    DnssecState state;
} ResolveHop;

typedef struct ResolveRecord {
    uint8_t *data; /* RDATA in wire format, names uncompressed */
    size_t size;
} ResolveRecord;

typedef struct ResolveAnswer {
    DnssecState state; /* of the whole chain: the weakest */
    uint16_t rcode;
    uint32_t ttl;      /* seconds, the smallest */
    char *canonical;   /* the last name of the chain */
    ResolveHop *hops;  /* from the queried name to the canonical one, both included; a single one without CNAMEs */
    size_t n_hops;
    ResolveRecord *records; /* none: NODATA or NXDOMAIN, see rcode */
    size_t n_records;
    char *reason; /* why bogus or error; "" otherwise */
    bool own_fault; /* dnsd did not answer: an error that says nothing of the name */
} ResolveAnswer;

ResolveAnswer *resolve_answer_free(ResolveAnswer *a);
DEFINE_CLEANUP(ResolveAnswer, resolve_answer_free);
/* Parses a reply of Resolve(); limits enforced. */
int resolve_answer_read(sd_bus_message *reply, ResolveAnswer **ret);

/* answer is always given (state DNSSEC_ERROR with reason when dnsd is away) and is the callee's to free or keep. */
typedef void (*ResolveDone)(ResolveAnswer *answer, void *userdata);
typedef struct ResolveQuery ResolveQuery;
int resolve_start(PeerClient *dnsd, ResolveQuery **ret, const char *name, uint16_t type, ResolveDone done, void *userdata);
ResolveQuery *resolve_cancel(ResolveQuery *q);
DEFINE_CLEANUP(ResolveQuery, resolve_cancel);

/* RDATA parsers; -EBADMSG for malformed data. */
int resolve_parse_mx(const ResolveRecord *r, uint16_t *ret_preference, char **ret_exchange); /* "" for the root: null MX, RFC 7505 */
int resolve_parse_address(const ResolveRecord *r, uint16_t type, struct sockaddr_storage *ret); /* port 0 */
typedef struct TlsaRecord {
    uint8_t usage, selector, mtype; /* RFC 6698, section 2.1 */
    const uint8_t *data;            /* into the record */
    size_t size;
} TlsaRecord;
int resolve_parse_tlsa(const ResolveRecord *r, TlsaRecord *ret);
