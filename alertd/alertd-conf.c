/* SPDX-License-Identifier: Apache-2.0 */

/* Reads alertd.conf. It must not look names up: a relay that does not resolve today is no wrong configuration. */

#include "alertd-conf.h"

#include <arpa/inet.h>
#include <limits.h>

#include "address.h"

AlertConfig *alert_config_free(AlertConfig *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->n_recipients; i++) {
        free(c->recipients[i].name);
        free(c->recipients[i].address);
    }
    free(c->from);
    free(c->host_name);
    free(c->relay.host);
    free(c);
    return NULL;
}

/* ---- values ---- */

static int complain(char **ret_reason, int error, const char *reason)
{
    *ret_reason = strdup(reason);
    return error;
}

static int parse_port(const char *s, uint16_t *ret)
{
    unsigned long port;
    char *end;

    if (*s < '0' || *s > '9')
        return -EINVAL;
    port = strtoul(s, &end, 10);
    if (*end || port == 0 || port > UINT16_MAX)
        return -EINVAL;
    *ret = (uint16_t) port;
    return 0;
}

int alert_relay_parse(const char *s, AlertRelay *ret)
{
    _cleanup_free_ char *host = NULL, *name = NULL;
    uint16_t port = ALERT_RELAY_PORT_DEFAULT;
    struct in6_addr address;
    const char *rest;

    if (*s == '[') {
        rest = strchr(s, ']');
        if (!rest)
            return -EINVAL;
        host = strndup(s + 1, (size_t) (rest - s) - 1);
        rest++;
        if (host && inet_pton(AF_INET6, host, &address) != 1)
            return -EINVAL;
    } else {
        rest = s + strcspn(s, ":");
        host = strndup(s, (size_t) (rest - s));
    }
    if (!host)
        return -ENOMEM;
    if (*rest == ':') {
        if (parse_port(rest + 1, &port) < 0)
            return -EINVAL;
    } else if (*rest)
        return -EINVAL;
    if (*s != '[' && inet_pton(AF_INET, host, &address) != 1) {
        if (domain_normalize(host, &name) < 0)
            return -EINVAL;
        free(host);
        host = TAKE_PTR(name);
    }
    *ret = (AlertRelay) {.host = TAKE_PTR(host), .port = port};
    return 0;
}

static int parse_relay(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    AlertRelay *relay = field, parsed = {0};
    int r;

    if (*a->value) {
        r = alert_relay_parse(a->value, &parsed);
        if (r == -EINVAL)
            return complain(ret_reason, r,
                    "expected a host with an optional port: relay.example.org:587, 192.0.2.1, [2001:db8::1]:25");
        if (r < 0)
            return r;
    }
    free(relay->host);
    *relay = parsed;
    return 0;
}

static int parse_address(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    _cleanup_free_ char *local = NULL, *domain = NULL, *address = NULL;
    char **s = field;
    int r;

    if (*a->value) {
        r = address_parse(a->value, strlen(a->value), /* smtputf8= */ false, &local, &domain);
        if (r == -EINVAL || r == -ENAMETOOLONG)
            return complain(ret_reason, r, "expected a mail address: operator@example.org");
        if (r < 0)
            return r;
        if (asprintf(&address, "%s@%s", local, domain) < 0)
            return -ENOMEM;
    }
    free(*s);
    *s = TAKE_PTR(address);
    return 0;
}

/* A list of names into bits; lists accumulate. */
static int parse_mask(const ConfAssignment *a, unsigned *mask, int (*bit)(const char *word, unsigned *ret), const char *expected,
        char **ret_reason)
{
    _cleanup_free_ char *copy = NULL;
    char *save = NULL;

    if (*a->value == '\0') {
        *mask = 0;
        return 0;
    }
    copy = strdup(a->value);
    if (!copy)
        return -ENOMEM;
    for (char *word = strtok_r(copy, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        unsigned n;

        if (bit(word, &n) < 0)
            return complain(ret_reason, -EINVAL, expected);
        *mask |= 1u << n;
    }
    return 0;
}

static int severity_bit(const char *word, unsigned *ret)
{
    AlertSeverity s;

    if (alert_severity_from_string(word, &s) < 0)
        return -EINVAL;
    *ret = s;
    return 0;
}

static int type_bit(const char *word, unsigned *ret)
{
    AlertType t;

    if (alert_type_from_string(word, &t) < 0)
        return -EINVAL;
    *ret = t;
    return 0;
}

static int parse_severities(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    return parse_mask(a, field, severity_bit, "expected a list of Critical, Warning, Info", ret_reason);
}

static int parse_types(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    return parse_mask(a, field, type_bit, "expected a list of System, MessageDelivery, Certificate, Queue", ret_reason);
}

static const ConfRange interval_range = {0, UINT64_C(7) * 24 * 3600 * USEC_PER_SEC};

static const ConfKey keys[] = {
    {"Alertd", "From", parse_address, offsetof(AlertConfig, from)},
    {"Alertd", "HostName", conf_parse_domain, offsetof(AlertConfig, host_name)},
    {"Alertd", "InitialInterval", conf_parse_usec, offsetof(AlertConfig, suppress.initial_usec), &interval_range},
    {"Alertd", "MaximumInterval", conf_parse_usec, offsetof(AlertConfig, suppress.maximum_usec), &interval_range},
    {"Alertd", "Relay", parse_relay, offsetof(AlertConfig, relay)},
    {"Recipient", "Address", parse_address, offsetof(AlertRecipient, address)},
    {"Recipient", "Severities", parse_severities, offsetof(AlertRecipient, severities)},
    {"Recipient", "Types", parse_types, offsetof(AlertRecipient, types)},
};

static void *find_section(void *target, const char *section, const char *name, char **ret_reason)
{
    AlertConfig *c = target;
    char *copy;

    if (!streq(section, "Recipient"))
        return c;
    if (!name) {
        *ret_reason = strdup("expected a name of your choice: [Recipient operators]");
        return NULL;
    }
    for (size_t i = 0; i < c->n_recipients; i++)
        if (streq(c->recipients[i].name, name))
            return &c->recipients[i];
    if (c->n_recipients >= ALERT_RECIPIENTS_MAX) {
        *ret_reason = strdup("more than 64 recipients");
        return NULL;
    }
    copy = strdup(name);
    if (!copy) {
        *ret_reason = NULL;
        return NULL;
    }
    c->recipients[c->n_recipients].name = copy;
    return &c->recipients[c->n_recipients++];
}

/* ---- the whole ---- */

/* The host's own name where it is fit for mail. */
static int default_host_name(char **ret)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof(name)) >= 0 && domain_normalize(name, ret) >= 0)
        return 0;
    *ret = strdup("localhost");
    return *ret ? 0 : -ENOMEM;
}

static int fill_defaults(AlertConfig *c)
{
    int r;

    if (!c->host_name) {
        r = default_host_name(&c->host_name);
        if (r < 0)
            return r;
    }
    if (!c->from && asprintf(&c->from, "postern-alertd@%s", c->host_name) < 0) {
        c->from = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int check(const AlertConfig *c, ConfReport *report)
{
    int r;

    for (size_t i = 0; i < c->n_recipients; i++)
        if (!c->recipients[i].address) {
            r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Recipient %s] has no Address=", c->recipients[i].name);
            if (r < 0)
                return r;
        }
    if (c->n_recipients == 0) {
        r = conf_report_add(report, CONF_WARNING, NULL, 0, "No [Recipient …]: alerts go to the journal only, nobody is mailed");
        if (r < 0)
            return r;
    }
    return 0;
}

int alert_config_load(AlertConfig **ret, const char *root, ConfReport *report)
{
    _cleanup_(alert_config_freep) AlertConfig *c = NULL;
    _cleanup_(conf_freep) Conf *conf = NULL;
    int r;

    r = conf_read(&conf, root, "alertd", report);
    if (r < 0)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->suppress = (SuppressConfig) {.initial_usec = 300 * USEC_PER_SEC, .maximum_usec = 3600 * USEC_PER_SEC};
    r = conf_apply(conf, keys, ELEMENTSOF(keys), find_section, c, report);
    if (r < 0)
        return r;
    r = fill_defaults(c);
    if (r < 0)
        return r;
    r = check(c, report);
    if (r < 0)
        return r;
    if (conf_report_has_errors(report))
        return -EBADMSG;
    *ret = TAKE_PTR(c);
    return 0;
}

static bool wants(const AlertRecipient *r, AlertSeverity severity, AlertType type)
{
    return (r->severities == 0 || r->severities & (1u << severity)) && (r->types == 0 || r->types & (1u << type));
}

int alert_config_select(const AlertConfig *c, AlertSeverity severity, AlertType type, char ***ret)
{
    _cleanup_(conf_strv_freep) char **addresses = NULL;
    size_t n = 0;

    addresses = calloc(c->n_recipients + 1, sizeof(char *));
    if (!addresses)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_recipients; i++) {
        const AlertRecipient *r = &c->recipients[i];
        bool known = false;

        if (!wants(r, severity, type))
            continue;
        for (size_t k = 0; k < n && !known; k++)
            known = streq(addresses[k], r->address);
        if (known)
            continue;
        addresses[n] = strdup(r->address);
        if (!addresses[n])
            return -ENOMEM;
        n++;
    }
    *ret = TAKE_PTR(addresses);
    return 0;
}
