/* SPDX-License-Identifier: Apache-2.0 */

/* Reads dnsd.conf. Trust anchors decide what is believed, so a missing or wrong one is an error and never a warning. It must not
 * look anything up: a configuration is judged without the network. */

#include "dnsd-conf.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "dns-name.h"

/* Of the package dns-root-data, which follows the root's key. */
#define TRUST_ANCHOR_FILE_DEFAULT "/usr/share/dns/root.key"
#define FORWARD_CA_FILE_DEFAULT "/etc/ssl/certs/ca-certificates.crt"
#define ANCHOR_LINE_MAX 4096

DnsConfig *dns_config_free(DnsConfig *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->n_stubs; i++) {
        free(c->stubs[i].zone);
        conf_strv_free(c->stubs[i].servers);
        conf_strv_free(c->stubs[i].anchors);
    }
    free(c->trust_anchor_file);
    conf_strv_free(c->trust_anchors);
    conf_strv_free(c->file_anchors);
    conf_strv_free(c->forward);
    free(c->forward_ca_file);
    free(c->self_test_secure);
    free(c->self_test_bogus);
    free(c);
    return NULL;
}

static size_t strv_length(char *const *l)
{
    size_t n = 0;

    while (l && l[n])
        n++;
    return n;
}

static int strv_push(char ***l, const char *s, size_t max)
{
    size_t n = strv_length(*l);
    char **grown, *copy;

    if (n >= max)
        return -E2BIG;
    grown = reallocarray(*l, n + 2, sizeof(char *));
    if (!grown)
        return -ENOMEM;
    *l = grown;
    grown[n] = NULL;
    copy = strdup(s);
    if (!copy)
        return -ENOMEM;
    grown[n] = copy;
    grown[n + 1] = NULL;
    return 0;
}

static int complain(char **ret_reason, int error, const char *reason)
{
    *ret_reason = strdup(reason);
    return error;
}

int dns_anchor_owner(const char *anchor, char **ret)
{
    _cleanup_free_ char *copy = NULL, *owner = NULL;
    char *save = NULL, *word;
    int r;

    copy = strdup(anchor);
    if (!copy)
        return -ENOMEM;
    word = strtok_r(copy, " \t", &save);
    if (!word)
        return -EINVAL;
    r = dns_name_normalize(word, &owner);
    if (r < 0)
        return r;
    /* [TTL] [class] type, the first two in either order (RFC 1035, section 5.1). */
    for (unsigned i = 0; i < 3; i++) {
        word = strtok_r(NULL, " \t", &save);
        if (!word)
            return -EINVAL;
        if (strcasecmp(word, "DS") == 0 || strcasecmp(word, "DNSKEY") == 0) {
            if (!strtok_r(NULL, " \t", &save))
                return -EINVAL;
            *ret = TAKE_PTR(owner);
            return 0;
        }
        if (strcasecmp(word, "IN") != 0 && strspn(word, "0123456789") != strlen(word))
            return -EINVAL;
    }
    return -EINVAL;
}

bool dns_server_valid(const char *s)
{
    const char *at = strchr(s, '@');
    size_t n = at ? (size_t) (at - s) : strlen(s);
    uint8_t address[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];

    if (n >= sizeof(text))
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    if (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1)
        return false;
    if (at) {
        char *end;
        unsigned long port = strtoul(at + 1, &end, 10);

        return isdigit((unsigned char) at[1]) && *end == '\0' && port > 0 && port <= UINT16_MAX;
    }
    return true;
}

/* A host name as certificates have it: no escapes, nothing that means something in libunbound's configuration. */
static bool host_name_valid(const char *s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    _cleanup_free_ char *name = NULL;

    return *s && strspn(s, allowed) == strlen(s) && dns_name_normalize(s, &name) >= 0 && *name;
}

bool dns_forwarder_valid(const char *s)
{
    _cleanup_free_ char *address = NULL;
    const char *hash = strchr(s, '#');

    if (!hash)
        return dns_server_valid(s);
    address = strndup(s, (size_t) (hash - s));
    return address && dns_server_valid(address) && host_name_valid(hash + 1);
}

/* One anchor an assignment; they accumulate. */
static int parse_anchor(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    _cleanup_free_ char *owner = NULL;
    char ***anchors = field;
    int r;

    if (*a->value == '\0') {
        *anchors = conf_strv_free(*anchors);
        return 0;
    }
    r = dns_anchor_owner(a->value, &owner);
    if (r < 0)
        return complain(ret_reason, r, "expected a DS or DNSKEY record as in a zone file: \"lab. IN DS 12345 13 2 …\"");
    r = strv_push(anchors, a->value, DNS_ANCHORS_MAX);
    if (r == -E2BIG)
        return complain(ret_reason, r, "more than 64 trust anchors");
    return r;
}

/* A list that ltype tells how to judge. */
typedef struct ServerSyntax {
    bool (*valid)(const char *s);
    const char *expected;
} ServerSyntax;

static const ServerSyntax server_syntax = {dns_server_valid,
        "expected addresses, each with an optional port: 192.0.2.1 2001:db8::1@5353"};
static const ServerSyntax forwarder_syntax = {dns_forwarder_valid,
        "expected addresses, each with an optional port and name: 192.0.2.1 2001:db8::1@853#dns.example"};

static int parse_servers(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    const ServerSyntax *syntax = ltype;
    _cleanup_free_ char *copy = NULL;
    char ***servers = field, *save = NULL;
    int r;

    if (*a->value == '\0') {
        *servers = conf_strv_free(*servers);
        return 0;
    }
    copy = strdup(a->value);
    if (!copy)
        return -ENOMEM;
    for (char *word = strtok_r(copy, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        if (!syntax->valid(word))
            return complain(ret_reason, -EINVAL, syntax->expected);
        r = strv_push(servers, word, DNS_SERVERS_MAX);
        if (r == -E2BIG)
            return complain(ret_reason, r, "more than 16 servers");
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_name(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char **name = field, *normal = NULL;
    int r = *a->value ? dns_name_normalize(a->value, &normal) : 0;

    if (r == -EINVAL)
        return complain(ret_reason, r, "expected a domain name, or nothing");
    if (r < 0)
        return r;
    free(*name);
    *name = normal;
    return 0;
}

static const ConfRange pending_range = {1, 4096};
static const ConfRange cache_range = {1024 * 1024, UINT64_C(4) * 1024 * 1024 * 1024};
/* A caller waits 20 s for the answer, so dnsd must have said before that it has none. */
static const ConfRange timeout_range = {1 * USEC_PER_SEC, 18 * USEC_PER_SEC};

static const ConfRange hold_down_range = {1 * USEC_PER_SEC, UINT64_C(365) * 24 * 3600 * USEC_PER_SEC};

static const ConfKey keys[] = {
    {"Dnsd", "CacheSize", conf_parse_size, offsetof(DnsConfig, cache_size), &cache_range},
    {"Dnsd", "Forward", parse_servers, offsetof(DnsConfig, forward), &forwarder_syntax},
    {"Dnsd", "ForwardCAFile", conf_parse_string, offsetof(DnsConfig, forward_ca_file)},
    {"Dnsd", "ForwardTLS", conf_parse_bool, offsetof(DnsConfig, forward_tls)},
    {"Dnsd", "IPv6", conf_parse_bool, offsetof(DnsConfig, ipv6)},
    {"Dnsd", "PendingMax", conf_parse_unsigned, offsetof(DnsConfig, pending_max), &pending_range},
    {"Dnsd", "PendingPerPeerMax", conf_parse_unsigned, offsetof(DnsConfig, pending_per_peer_max), &pending_range},
    {"Dnsd", "SelfTestBogus", parse_name, offsetof(DnsConfig, self_test_bogus)},
    {"Dnsd", "SelfTestSecure", parse_name, offsetof(DnsConfig, self_test_secure)},
    {"Dnsd", "Timeout", conf_parse_usec, offsetof(DnsConfig, timeout_usec), &timeout_range},
    {"Dnsd", "TrustAnchor", parse_anchor, offsetof(DnsConfig, trust_anchors)},
    {"Dnsd", "TrustAnchorFile", conf_parse_string, offsetof(DnsConfig, trust_anchor_file)},
    {"Dnsd", "TrustAnchorHoldDown", conf_parse_usec, offsetof(DnsConfig, trust_anchor_hold_down_usec), &hold_down_range},
    {"Dnsd", "TrustAnchorUpdate", conf_parse_bool, offsetof(DnsConfig, trust_anchor_update)},
    {"Stub", "Insecure", conf_parse_bool, offsetof(DnsStub, insecure)},
    {"Stub", "Server", parse_servers, offsetof(DnsStub, servers), &server_syntax},
    {"Stub", "TrustAnchor", parse_anchor, offsetof(DnsStub, anchors)},
};

static void *find_section(void *target, const char *section, const char *name, char **ret_reason)
{
    _cleanup_free_ char *zone = NULL;
    DnsConfig *c = target;

    if (!streq(section, "Stub"))
        return c;
    if (!name || dns_name_normalize(name, &zone) < 0) {
        *ret_reason = strdup("expected a zone name: [Stub example.lan]");
        return NULL;
    }
    for (size_t i = 0; i < c->n_stubs; i++)
        if (streq(c->stubs[i].zone, zone))
            return &c->stubs[i];
    if (c->n_stubs >= DNS_STUBS_MAX) {
        *ret_reason = strdup("more than 64 stub zones");
        return NULL;
    }
    c->stubs[c->n_stubs].zone = TAKE_PTR(zone);
    return &c->stubs[c->n_stubs++];
}

/* Adds the records of a file in zone-file form, a record a line, with comments. */
static int read_anchor_file(DnsConfig *c, const char *root, ConfReport *report)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *f = NULL;
    char line[ANCHOR_LINE_MAX];
    unsigned n = 0, found = 0;
    int r;

    if (asprintf(&path, "%s%s", root, c->trust_anchor_file) < 0)
        return -ENOMEM;
    f = fopen(path, "re");
    if (!f)
        return conf_report_add(report, CONF_ERROR, NULL, 0,
                "Cannot read TrustAnchorFile=%s: %m. Install dns-root-data, or name another file (empty: none)",
                c->trust_anchor_file);
    while (fgets(line, sizeof(line), f)) {
        _cleanup_free_ char *owner = NULL;

        n++;
        if (!strchr(line, '\n') && !feof(f))
            return conf_report_add(report, CONF_ERROR, path, n, "Line is longer than %zu bytes", sizeof(line) - 2);
        line[strcspn(line, ";\n")] = '\0';
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (dns_anchor_owner(line, &owner) < 0)
            return conf_report_add(report, CONF_ERROR, path, n, "Neither a DS nor a DNSKEY record");
        r = strv_push(&c->file_anchors, line, DNS_ANCHORS_MAX - strv_length(c->trust_anchors));
        if (r == -E2BIG)
            return conf_report_add(report, CONF_ERROR, path, n, "More than %d trust anchors", DNS_ANCHORS_MAX);
        if (r < 0)
            return r;
        found++;
    }
    if (found == 0)
        return conf_report_add(report, CONF_ERROR, path, 0, "No trust anchor in this file");
    return 0;
}

/* Who asks for encryption must never get less without a word. */
static int check_forwarders(const DnsConfig *c, const char *root, ConfReport *report)
{
    _cleanup_free_ char *path = NULL;
    int r = 0;

    if (c->forward_tls && !c->forward)
        r = conf_report_add(report, CONF_ERROR, NULL, 0, "ForwardTLS=yes encrypts nothing without Forward=");
    for (char **f = c->forward; r >= 0 && f && *f; f++) {
        if (c->forward_tls && !strchr(*f, '#'))
            r = conf_report_add(report, CONF_ERROR, NULL, 0,
                    "Forward=%s has no name to authenticate the server by, which ForwardTLS=yes needs: %s@853#dns.example", *f, *f);
        else if (!c->forward_tls && strchr(*f, '#'))
            r = conf_report_add(report, CONF_ERROR, NULL, 0,
                    "Forward=%s has the name of a certificate, but ForwardTLS=yes is missing: it would be asked in the clear", *f);
    }
    if (r < 0 || !c->forward_tls)
        return r;
    if (asprintf(&path, "%s%s", root, c->forward_ca_file ?: "") < 0)
        return -ENOMEM;
    if (!c->forward_ca_file || access(path, R_OK) < 0)
        return conf_report_add(report, CONF_ERROR, NULL, 0,
                "Cannot read ForwardCAFile=%s: %m. Install ca-certificates, or name another file", c->forward_ca_file ?: "");
    return 0;
}

static int check_stubs(DnsConfig *c, ConfReport *report)
{
    int r;

    for (size_t i = 0; i < c->n_stubs; i++) {
        DnsStub *s = &c->stubs[i];

        if (!s->servers) {
            r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Stub %s] has no Server=", s->zone);
            if (r < 0)
                return r;
        }
        if (s->insecure && s->anchors) {
            r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Stub %s] has both Insecure=yes and TrustAnchor=", s->zone);
            if (r < 0)
                return r;
        }
        for (char **a = s->anchors; a && *a; a++) {
            _cleanup_free_ char *owner = NULL;

            r = dns_anchor_owner(*a, &owner);
            if (r < 0)
                return r;
            if (!dns_name_within(owner, s->zone)) {
                r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Stub %s] has a TrustAnchor= of another zone, \"%s\"", s->zone,
                        owner);
                if (r < 0)
                    return r;
            }
            r = strv_push(&c->trust_anchors, *a, SIZE_MAX);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int dns_config_load(DnsConfig **ret, const char *root, ConfReport *report)
{
    _cleanup_(dns_config_freep) DnsConfig *c = NULL;
    _cleanup_(conf_freep) Conf *conf = NULL;
    int r;

    r = conf_read(&conf, root, "dnsd", report);
    if (r < 0)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->cache_size = 16 * 1024 * 1024;
    c->timeout_usec = 15 * USEC_PER_SEC;
    c->pending_max = 2048;
    /* deliverd asks for two address families at once in each of its 500 deliveries (MaxConnections=); each question that is refused
     * defers one of them. */
    c->pending_per_peer_max = 1024;
    c->ipv6 = true;
    c->trust_anchor_file = strdup(TRUST_ANCHOR_FILE_DEFAULT);
    c->forward_ca_file = strdup(FORWARD_CA_FILE_DEFAULT);
    c->self_test_secure = strdup(""); /* the root */
    c->self_test_bogus = strdup("dnssec-failed.org");
    if (!c->trust_anchor_file || !c->forward_ca_file || !c->self_test_secure || !c->self_test_bogus)
        return -ENOMEM;
    c->trust_anchor_update = true;
    c->trust_anchor_hold_down_usec = UINT64_C(30) * 24 * 3600 * USEC_PER_SEC; /* RFC 5011, section 2.4.1 */
    r = conf_apply(conf, keys, ELEMENTSOF(keys), find_section, c, report);
    if (r < 0)
        return r;
    if (c->trust_anchor_file && *c->trust_anchor_file) {
        r = read_anchor_file(c, root, report);
        if (r < 0)
            return r;
    }
    r = check_stubs(c, report);
    if (r < 0)
        return r;
    r = check_forwarders(c, root, report);
    if (r < 0)
        return r;
    if (!c->trust_anchors && !c->file_anchors) {
        r = conf_report_add(report, CONF_WARNING, NULL, 0,
                "No trust anchor at all: nothing can be validated, and DANE is never used");
        if (r < 0)
            return r;
    }
    if (conf_report_has_errors(report))
        return -EBADMSG;
    *ret = TAKE_PTR(c);
    return 0;
}
