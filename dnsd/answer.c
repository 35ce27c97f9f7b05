/* SPDX-License-Identifier: Apache-2.0 */

/* Reads DNS messages with glibc's ns_*() functions. What is in them was written by strangers: nothing here trusts a length, and
 * every list has a limit. It judges by what it is given and must never ask anybody. */

#include "answer.h"

#include <arpa/nameser.h>
#include <ctype.h>

#include "dns-name.h"

/* The types read, and where in their data a name stands that may be compressed (RFC 3597, section 4); -1: none. */
static const struct {
    uint16_t type;
    int name_offset;
} types[] = {
    {DNS_TYPE_DNAME, 0},
    {DNS_TYPE_A, -1},
    {DNS_TYPE_CNAME, 0},
    {DNS_TYPE_PTR, 0},
    {DNS_TYPE_MX, 2},
    {DNS_TYPE_TXT, -1},
    {DNS_TYPE_AAAA, -1},
    {DNS_TYPE_TLSA, -1},
};

static int type_index(uint16_t type)
{
    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (types[i].type == type)
            return (int) i;
    return -ENOENT;
}

bool answer_type_supported(uint16_t type)
{
    return type != DNS_TYPE_DNAME && type_index(type) >= 0;
}

/* ---- from the message ---- */

static int owner_name(const ns_rr *rr, char **ret)
{
    const char *text = ns_rr_name(*rr);

    return dns_name_normalize(*text ? text : ".", ret);
}

/* Unpacks the name at p inside message into wire; returns its length in wire form and how many bytes it took at p. */
static int unpack_name(const ns_msg *message, const uint8_t *p, uint8_t wire[NS_MAXCDNAME], size_t *ret_taken)
{
    size_t n = 0;
    int taken;

    taken = ns_name_unpack(ns_msg_base(*message), ns_msg_end(*message), p, wire, NS_MAXCDNAME);
    if (taken < 0)
        return -EBADMSG;
    while (n < NS_MAXCDNAME && wire[n] > 0)
        n += 1u + wire[n];
    if (n >= NS_MAXCDNAME)
        return -EBADMSG;
    *ret_taken = (size_t) taken;
    return (int) n + 1;
}

/* Copies the data of rr with the name in it uncompressed. */
static int copy_record(const ns_msg *message, const ns_rr *rr, int name_offset, ResolveRecord *ret)
{
    uint8_t wire[NS_MAXCDNAME];
    size_t size = ns_rr_rdlen(*rr), taken;
    const uint8_t *data = ns_rr_rdata(*rr);
    uint8_t *copy;
    int n;

    if (name_offset < 0) {
        copy = malloc(MAX(size, 1u));
        if (!copy)
            return -ENOMEM;
        memcpy(copy, data, size);
        *ret = (ResolveRecord) {.data = copy, .size = size};
        return 0;
    }
    if (size < (size_t) name_offset + 1)
        return -EBADMSG;
    n = unpack_name(message, data + name_offset, wire, &taken);
    if (n < 0)
        return n;
    if (taken != size - (size_t) name_offset)
        return -EBADMSG;
    copy = malloc((size_t) name_offset + (size_t) n);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, data, (size_t) name_offset);
    memcpy(copy + name_offset, wire, (size_t) n);
    *ret = (ResolveRecord) {.data = copy, .size = (size_t) name_offset + (size_t) n};
    return 0;
}

static void lower_ttl(ResolveAnswer *a, uint32_t ttl)
{
    /* RFC 2181, section 8: with the highest bit set it counts as zero. */
    a->ttl = MIN(a->ttl, ttl > INT32_MAX ? 0 : ttl);
}

static int add_hop(ResolveAnswer *a, char *name, DnssecState state)
{
    if (!a->hops) {
        a->hops = calloc(RESOLVE_HOPS_MAX, sizeof(ResolveHop));
        if (!a->hops)
            return -ENOMEM;
    }
    if (a->n_hops >= RESOLVE_HOPS_MAX)
        return -ELOOP;
    for (size_t i = 0; i < a->n_hops; i++)
        if (streq(a->hops[i].name, name))
            return -ELOOP;
    a->hops[a->n_hops++] = (ResolveHop) {.name = name, .state = state};
    return 0;
}

/* Finds the CNAME of the last hop: 1 with its target, 0 if it has none. */
static int find_alias(ns_msg *message, ResolveAnswer *a, char **ret_target)
{
    const char *name = a->hops[a->n_hops - 1].name;

    for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
        _cleanup_free_ char *owner = NULL;
        uint8_t wire[NS_MAXCDNAME];
        size_t taken;
        ns_rr rr;
        int r;

        if (ns_parserr(message, ns_s_an, i, &rr) < 0)
            return -EBADMSG;
        if (ns_rr_type(rr) != ns_t_cname || ns_rr_class(rr) != ns_c_in)
            continue;
        r = owner_name(&rr, &owner);
        if (r < 0)
            return r;
        if (!streq(owner, name))
            continue;
        r = unpack_name(message, ns_rr_rdata(rr), wire, &taken);
        if (r < 0)
            return r;
        if (taken != ns_rr_rdlen(rr))
            return -EBADMSG;
        r = dns_name_from_wire(wire, (size_t) r, ret_target, &taken);
        if (r < 0)
            return r;
        lower_ttl(a, ns_rr_ttl(rr));
        return 1;
    }
    return 0;
}

/* Notes which DNAME, if any, the alias of the last hop was made from (RFC 6672, section 2.3): below one there is nothing else. */
static int find_dname(ns_msg *message, ResolveAnswer *a)
{
    ResolveHop *hop = &a->hops[a->n_hops - 1];

    for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
        _cleanup_free_ char *owner = NULL;
        ns_rr rr;
        int r;

        if (ns_parserr(message, ns_s_an, i, &rr) < 0)
            return -EBADMSG;
        if (ns_rr_type(rr) != ns_t_dname || ns_rr_class(rr) != ns_c_in)
            continue;
        r = owner_name(&rr, &owner);
        if (r < 0)
            return r;
        if (*owner && !streq(hop->name, owner) && dns_name_within(hop->name, owner)) {
            hop->dname = TAKE_PTR(owner);
            return 0;
        }
    }
    return 0;
}

static int read_chain(ns_msg *message, ResolveAnswer *a, const char *name, uint16_t type, DnssecState state)
{
    _cleanup_free_ char *next = NULL;
    int r;

    next = strdup(name);
    if (!next)
        return -ENOMEM;
    for (;;) {
        r = add_hop(a, next, state);
        if (r < 0)
            return r;
        (void) TAKE_PTR(next);
        r = type == DNS_TYPE_CNAME ? 0 : find_alias(message, a, &next);
        if (r > 0) {
            r = find_dname(message, a);
            if (r < 0)
                return r;
            continue;
        }
        break;
    }
    if (r < 0)
        return r;
    a->canonical = strdup(a->hops[a->n_hops - 1].name);
    return a->canonical ? 0 : -ENOMEM;
}

static int read_records(ns_msg *message, ResolveAnswer *a, uint16_t type)
{
    int name_offset = types[type_index(type)].name_offset;

    for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
        _cleanup_free_ char *owner = NULL;
        ResolveRecord *grown;
        ns_rr rr;
        int r;

        if (ns_parserr(message, ns_s_an, i, &rr) < 0)
            return -EBADMSG;
        if (ns_rr_type(rr) != type || ns_rr_class(rr) != ns_c_in)
            continue;
        r = owner_name(&rr, &owner);
        if (r < 0)
            return r;
        if (!streq(owner, a->canonical))
            continue;
        if (a->n_records >= RESOLVE_RECORDS_MAX)
            return -E2BIG;
        grown = reallocarray(a->records, a->n_records + 1, sizeof(ResolveRecord));
        if (!grown)
            return -ENOMEM;
        a->records = grown;
        r = copy_record(message, &rr, name_offset, &a->records[a->n_records]);
        if (r < 0)
            return r;
        a->n_records++;
        lower_ttl(a, ns_rr_ttl(rr));
    }
    return 0;
}

/* How long "there is none" holds: the SOA's own TTL or its last field, whichever is less (RFC 2308, section 5). Without SOA: not
 * at all. */
static int read_negative_ttl(ns_msg *message, ResolveAnswer *a)
{
    for (int i = 0; i < ns_msg_count(*message, ns_s_ns); i++) {
        ns_rr rr;

        if (ns_parserr(message, ns_s_ns, i, &rr) < 0)
            return -EBADMSG;
        if (ns_rr_type(rr) != ns_t_soa || ns_rr_class(rr) != ns_c_in || ns_rr_rdlen(rr) < 22)
            continue;
        lower_ttl(a, ns_rr_ttl(rr));
        lower_ttl(a, ns_get32(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4));
        return 0;
    }
    a->ttl = 0;
    return 0;
}

static void drop_records(ResolveAnswer *a)
{
    for (size_t i = 0; i < a->n_records; i++)
        free(a->records[i].data);
    free(TAKE_PTR(a->records));
    a->n_records = 0;
}

static bool usable(DnssecState s)
{
    return s != DNSSEC_BOGUS && s != DNSSEC_ERROR;
}

int answer_parse(const uint8_t *message, size_t size, const char *name, uint16_t type, DnssecState state, ResolveAnswer **ret)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    ns_msg parsed;
    int r;

    if (type_index(type) < 0)
        return -EOPNOTSUPP;
    if (size > UINT16_MAX || ns_initparse(message, (int) size, &parsed) < 0)
        return -EBADMSG;
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->state = state;
    a->ttl = INT32_MAX;
    a->rcode = (uint16_t) ns_msg_getflag(parsed, ns_f_rcode);
    a->reason = strdup("");
    if (!a->reason)
        return -ENOMEM;
    r = read_chain(&parsed, a, name, type, state);
    if (r < 0)
        return r;
    if (usable(state) && a->rcode == DNS_RCODE_NOERROR) {
        r = read_records(&parsed, a, type);
        if (r < 0)
            return r;
    }
    if (a->n_records == 0) {
        r = read_negative_ttl(&parsed, a);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(a);
    return 0;
}

int answer_set_reason(ResolveAnswer *a, const char *reason)
{
    char *copy = strdup(reason);

    if (!copy)
        return -ENOMEM;
    for (char *p = copy; *p; p++)
        if ((unsigned char) *p < ' ' || (unsigned char) *p > '~')
            *p = '?';
    free(a->reason);
    a->reason = copy;
    return 0;
}

int answer_new_failed(const char *name, DnssecState state, const char *reason, ResolveAnswer **ret)
{
    _cleanup_(resolve_answer_freep) ResolveAnswer *a = NULL;
    _cleanup_free_ char *hop = NULL;
    int r;

    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->state = state;
    a->canonical = strdup(name);
    hop = strdup(name);
    if (!a->canonical || !hop)
        return -ENOMEM;
    r = add_hop(a, hop, state);
    if (r < 0)
        return r;
    (void) TAKE_PTR(hop);
    r = answer_set_reason(a, reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

/* ---- verdicts ---- */

/* From strong to weak. Bogus comes last: it says that somebody lies, an error only that somebody is silent. */
static unsigned weakness(DnssecState s)
{
    static const unsigned order[] = {
        [DNSSEC_SECURE] = 0,
        [DNSSEC_INSECURE] = 1,
        [DNSSEC_INDETERMINATE] = 2,
        [DNSSEC_ERROR] = 3,
        [DNSSEC_BOGUS] = 4,
    };

    return order[s];
}

uint16_t answer_hop_question(const ResolveAnswer *a, size_t i, uint16_t type, const char **ret_name)
{
    const ResolveHop *hop = &a->hops[i];

    *ret_name = i + 1 < a->n_hops && hop->dname ? hop->dname : hop->name;
    return i + 1 == a->n_hops ? type : hop->dname ? DNS_TYPE_DNAME : DNS_TYPE_CNAME;
}

/* own, asked for the CNAME or DNAME of a hop, gives just the alias that the chain went on with. */
static bool confirms_alias(const ResolveAnswer *own, const ResolveHop *hop, const char *target)
{
    _cleanup_free_ char *alias = NULL;
    size_t size, kept;

    if (own->n_hops != 1 || own->n_records != 1
            || dns_name_from_wire(own->records[0].data, own->records[0].size, &alias, &size) < 0)
        return false;
    if (!hop->dname)
        return streq(alias, target);
    /* The labels below the DNAME, with their dot, and then its target (RFC 6672, section 2.2). */
    kept = strlen(hop->name) - strlen(hop->dname);
    if (!*alias)
        return strlen(target) + 1 == kept && strncmp(target, hop->name, kept - 1) == 0;
    return strncmp(target, hop->name, kept) == 0 && streq(target + kept, alias);
}

static void judge_last(ResolveAnswer *a, ResolveAnswer *own)
{
    ResolveHop *hop = &a->hops[a->n_hops - 1];

    if (own->n_hops != 1) {
        hop->state = usable(own->state) ? DNSSEC_INDETERMINATE : own->state;
        return;
    }
    hop->state = own->state;
    a->rcode = own->rcode;
    a->ttl = MIN(a->ttl, own->ttl);
    drop_records(a);
    a->records = TAKE_PTR(own->records);
    a->n_records = own->n_records;
    own->n_records = 0;
}

void answer_judge_hop(ResolveAnswer *a, size_t i, ResolveAnswer *own)
{
    if (!usable(own->state) && *own->reason && !*a->reason) {
        free(a->reason);
        a->reason = own->reason;
        own->reason = NULL;
    }
    if (i + 1 == a->n_hops)
        judge_last(a, own);
    else if (usable(own->state) && !confirms_alias(own, &a->hops[i], a->hops[i + 1].name))
        a->hops[i].state = DNSSEC_INDETERMINATE;
    else
        a->hops[i].state = own->state;
}

void answer_settle(ResolveAnswer *a)
{
    for (size_t i = 0; i < a->n_hops; i++)
        if (weakness(a->hops[i].state) > weakness(a->state))
            a->state = a->hops[i].state;
    if (!usable(a->state))
        drop_records(a);
}
