/* SPDX-License-Identifier: Apache-2.0 */

/* The keys of deliverd.conf. A wrong value of what protects mail is an error, and an empty one means the default, never "off". */

#include "deliverd-conf.h"

#include <stddef.h>

#include "address.h"
#include "tls-pin.h"
#include "worker.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const ConfEnum tls_levels[] = {
    {"Default", DESTINATION_UNSET},
    {"No", TLS_LEVEL_NO},
    {"Preferred", TLS_LEVEL_PREFERRED},
    {"Required", TLS_LEVEL_REQUIRED},
    {"Preferred-Verify", TLS_LEVEL_PREFERRED_VERIFY},
    {"Required-Verify", TLS_LEVEL_REQUIRED_VERIFY},
    {"Required-Verify-Hosted", TLS_LEVEL_REQUIRED_VERIFY_HOSTED},
    {},
};

static const ConfEnum dane_levels[] = {
    {"Default", DESTINATION_UNSET},
    {"None", DANE_NONE},
    {"Opportunistic", DANE_OPPORTUNISTIC},
    {"Mandatory", DANE_MANDATORY},
    {},
};

static const ConfEnum fallbacks[] = {
    {"always", FALLBACK_ALWAYS},
    {"before-220", FALLBACK_BEFORE_220},
    {"after-220", FALLBACK_AFTER_220},
    {"never", FALLBACK_NEVER},
    {},
};

/* As conf_parse_enum(), but what is empty says nothing, so that the less specific section counts. */
static int parse_level(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    if (*a->value)
        return conf_parse_enum(a, field, ltype, ret_reason);
    *(int *) field = DESTINATION_UNSET;
    return 0;
}

static int parse_route(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    _cleanup_free_ char *host = NULL;
    uint16_t port;
    int r;

    r = *a->value ? route_parse(a->value, &host, &port) : 0;
    if (r < 0) {
        *ret_reason = strdup("expected a host name or an IP address, and a port behind ':' if it is not 25; IPv6 addresses in brackets");
        return r;
    }
    return conf_parse_string(a, field, NULL, ret_reason);
}

/* As conf_parse_bool(), but the field is an int that can also say nothing. */
static int parse_bool_or_unset(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    bool value;
    int r;

    if (!*a->value) {
        *(int *) field = DESTINATION_UNSET;
        return 0;
    }
    r = conf_parse_bool(a, &value, NULL, ret_reason);
    if (r >= 0)
        *(int *) field = value;
    return r;
}

static int limit_pins(char *const *l, char **ret_reason)
{
    size_t n = 0;

    while (l && l[n])
        n++;
    if (n <= TLS_PINS_MAX)
        return 0;
    *ret_reason = strdup("there are too many of them");
    return -E2BIG;
}

static int word_pin(const char *word, char **ret, char **ret_reason)
{
    int r = tls_pin_parse(word, NULL, ret);

    if (r == -EINVAL)
        *ret_reason = strdup("expected \"cert-sha256:\" or \"spki-sha256:\" and the 64 hexadecimal digits of a fingerprint");
    return r;
}

static int word_authority(const char *word, char **ret, char **ret_reason)
{
    int r = tls_pin_parse(word, "cert-sha256:", ret);

    if (r == -EINVAL)
        *ret_reason = strdup("expected the SHA-256 fingerprint of an authority, as \"posternctl ca list --json\" shows it");
    return r;
}

static int parse_pins(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char ***l = field;
    int r = conf_parse_list(a, l, word_pin, ret_reason);

    return r < 0 ? r : limit_pins(*l, ret_reason);
}

static int parse_authorities(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char ***l = field;
    int r = conf_parse_list(a, l, word_authority, ret_reason);

    return r < 0 ? r : limit_pins(*l, ret_reason);
}

/* As conf_parse_bool(), but empty means yes. */
static int parse_bool_yes(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    bool value = true;
    int r;

    if (*a->value) {
        r = conf_parse_bool(a, &value, NULL, ret_reason);
        if (r < 0)
            return r;
    }
    *(bool *) field = value;
    return 0;
}

static const ConfRange workers_range = {1, 64}, connections_range = {1, 10000}, messages_range = {1, 10000000},
                       recipients_range = {1, 10000000}, period_range = {USEC_PER_SEC, DAY},
                       space_range = {0, UINT64_C(1) << 50},
                       retry_range = {USEC_PER_SEC, DAY}, lifetime_range = {MINUTE, 30 * DAY},
                       delivery_range = {10 * USEC_PER_SEC, DAY}, stop_range = {USEC_PER_SEC, 5 * MINUTE};

#define GENERAL(field) offsetof(DeliverdConf, field)
#define DESTINATION(field) offsetof(DestinationSection, field)

static const ConfKey keys[] = {
    {"Deliverd", "AlertOnTLSFailure", parse_bool_yes, GENERAL(alert_on_tls_failure), NULL},
    {"Deliverd", "Certificate", conf_parse_certificate, GENERAL(certificate), NULL},
    {"Deliverd", "DeliveryTimeout", conf_parse_usec, GENERAL(delivery_timeout), &delivery_range},
    {"Deliverd", "HostName", conf_parse_domain, GENERAL(host_name), NULL},
    {"Deliverd", "MaxConnections", conf_parse_unsigned, GENERAL(max_connections), &connections_range},
    {"Deliverd", "MaxMessages", conf_parse_size, GENERAL(max_messages), &messages_range},
    {"Deliverd", "MaxRetryInterval", conf_parse_usec, GENERAL(max_retry_interval), &retry_range},
    {"Deliverd", "MinFreeSpace", conf_parse_size, GENERAL(min_free_space), &space_range},
    {"Deliverd", "QueueLifetime", conf_parse_usec, GENERAL(queue_lifetime), &lifetime_range},
    {"Deliverd", "RetryInterval", conf_parse_usec, GENERAL(retry_interval), &retry_range},
    {"Deliverd", "SkipLoopback", conf_parse_bool, GENERAL(skip_loopback), NULL},
    {"Deliverd", "StopTimeout", conf_parse_usec, GENERAL(stop_timeout), &stop_range},
    {"Deliverd", "Workers", conf_parse_unsigned, GENERAL(workers), &workers_range},
    {"Destination", "DANE", parse_level, DESTINATION(dane), dane_levels},
    {"Destination", "MTASTS", parse_bool_or_unset, DESTINATION(mta_sts), NULL},
    {"Destination", "MaxConnections", conf_parse_unsigned, DESTINATION(max_connections), &connections_range},
    {"Destination", "MaxRecipients", conf_parse_unsigned, DESTINATION(max_recipients), &recipients_range},
    {"Destination", "PinnedCertificate", parse_pins, DESTINATION(pins), NULL},
    {"Destination", "PlaintextFallback", parse_level, DESTINATION(fallback), fallbacks},
    {"Destination", "RecipientPeriod", conf_parse_usec, DESTINATION(recipient_period), &period_range},
    {"Destination", "RequireFQDN", parse_bool_or_unset, DESTINATION(require_fqdn), NULL},
    {"Destination", "Route", parse_route, DESTINATION(route), NULL},
    {"Destination", "TLS", parse_level, DESTINATION(tls), tls_levels},
    {"Destination", "TrustedAuthority", parse_authorities, DESTINATION(authorities), NULL},
    {"Destination", "VerifyInsecureMX", parse_bool_or_unset, DESTINATION(verify_insecure_mx), NULL},
};

static int normalize_pattern(const char *name, char **ret)
{
    _cleanup_free_ char *domain = NULL;
    int r;

    if (streq(name, "default")) {
        domain = strdup(name);
        r = domain ? 0 : -ENOMEM;
    } else
        r = domain_normalize(name + (*name == '.'), &domain);
    if (r < 0)
        return r;
    if (*name == '.')
        return asprintf(ret, ".%s", domain) < 0 ? -ENOMEM : 0;
    *ret = TAKE_PTR(domain);
    return 0;
}

static void *conf_section(void *target, const char *section, const char *name, char **ret_reason)
{
    _cleanup_free_ char *pattern = NULL;
    DestinationSection *found;
    DeliverdConf *c = target;

    if (streq(section, "Deliverd")) {
        if (!name)
            return c;
        *ret_reason = strdup("the section [Deliverd] has no name");
        return NULL;
    }
    if (!name || normalize_pattern(name, &pattern) < 0) {
        *ret_reason = strdup("the name is a domain, \".suffix\" for all domains below it, or \"default\": [Destination example.com]");
        return NULL;
    }
    found = destination_table_get(&c->destinations, pattern);
    if (!found)
        *ret_reason = strdup("there are too many destinations");
    return found;
}

static int default_host_name(char **ret)
{
    char name[256];

    if (gethostname(name, sizeof(name)) < 0)
        return negative_errno();
    name[sizeof(name) - 1] = '\0';
    return domain_normalize(name, ret);
}

static void set_default(uint64_t *field, uint64_t value)
{
    if (*field == 0)
        *field = value;
}

static int apply_defaults(DeliverdConf *c)
{
    if (c->workers == 0)
        c->workers = worker_count_default();
    if (c->max_connections == 0)
        c->max_connections = 500;
    set_default(&c->retry_interval, 5 * MINUTE);
    set_default(&c->max_retry_interval, HOUR);
    set_default(&c->queue_lifetime, 5 * DAY);
    set_default(&c->delivery_timeout, HOUR);
    set_default(&c->stop_timeout, 20 * USEC_PER_SEC);
    set_default(&c->max_messages, 100000);
    set_default(&c->min_free_space, 64 * 1024 * 1024);
    return c->host_name ? 0 : default_host_name(&c->host_name);
}

static bool verifies(TlsLevel level)
{
    return level == TLS_LEVEL_REQUIRED_VERIFY || level == TLS_LEVEL_REQUIRED_VERIFY_HOSTED;
}

/* What single keys cannot see. */
static int check(const DeliverdConf *c, ConfReport *report)
{
    int r = 0;

    if (c->max_retry_interval < c->retry_interval)
        r = conf_report_add(report, CONF_WARNING, NULL, 0,
                "MaxRetryInterval= is smaller than RetryInterval=, which then has no effect");
    for (size_t i = 0; r >= 0 && i < c->destinations.n_sections; i++) {
        const DestinationSection *s = c->destinations.sections + i;
        const char *domain = *s->pattern == '.' ? s->pattern + 1 : s->pattern;
        DestinationPolicy p = destination_policy(&c->destinations, domain);

        if (s->dane == DANE_MANDATORY && p.tls == TLS_LEVEL_NO)
            r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Destination %s] has DANE=Mandatory, but TLS=No holds for it",
                    s->pattern);
        if (r >= 0 && (s->pins || s->authorities || s->require_fqdn > 0) && !verifies(p.tls))
            r = conf_report_add(report, CONF_WARNING, NULL, 0,
                    "[Destination %s] says more about certificates, but TLS=%s holds for it: it only changes what the journal says, "
                    "not who gets mail",
                    s->pattern, tls_level_to_string(p.tls));
    }
    return r;
}

static int apply(DeliverdConf **ret, const Conf *files, ConfReport *report)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->n_ref = 1;
    c->alert_on_tls_failure = true;
    r = conf_apply(files, keys, ELEMENTSOF(keys), conf_section, c, report);
    if (r < 0)
        return r;
    r = apply_defaults(c);
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

int deliverd_conf_load(DeliverdConf **ret, Conf **ret_files, const char *root, ConfReport *report)
{
    _cleanup_(conf_freep) Conf *files = NULL;
    int r;

    r = conf_read(&files, root, "deliverd", report);
    if (r < 0)
        return r;
    r = apply(ret, files, report);
    if (r >= 0 && ret_files)
        *ret_files = TAKE_PTR(files);
    return r;
}

int deliverd_conf_read_snapshot(DeliverdConf **ret, int fd, ConfReport *report)
{
    _cleanup_(conf_freep) Conf *files = NULL;
    int r;

    r = conf_read_snapshot(&files, fd, report);
    return r < 0 ? r : apply(ret, files, report);
}

DeliverdConf *deliverd_conf_ref(DeliverdConf *c)
{
    c->n_ref++;
    return c;
}

DeliverdConf *deliverd_conf_unref(DeliverdConf *c)
{
    if (!c || --c->n_ref > 0)
        return NULL;
    destination_table_clear(&c->destinations);
    free(c->host_name);
    free(c->certificate);
    free(c);
    return NULL;
}

int deliverd_conf_check(const char *root, ConfReport *report)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = NULL;

    return deliverd_conf_load(&c, NULL, root, report);
}
