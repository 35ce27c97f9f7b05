/* SPDX-License-Identifier: Apache-2.0 */

/* The settings of smtpd. What is not set is zero after parsing and gets its default at the end, so an empty assignment
 * resets to the default. It must never repair a wrong security setting silently: that is an error, and nothing is applied. */

#include "smtpd-conf.h"

#include <limits.h>

#include "certificate-client.h"
#include "worker.h"

#define DEFAULT_FLOW "default"

static const ConfEnum tls_names[] = {
    {"No", MAIL_FLOW_TLS_NO},
    {"Preferred", MAIL_FLOW_TLS_PREFERRED},
    {"Required", MAIL_FLOW_TLS_REQUIRED},
    {},
};

static const ConfRange workers_range = {1, 64};
static const ConfRange connections_range = {1, 100000};
static const ConfRange pool_range = {1, 256};
static const ConfRange stop_range = {USEC_PER_SEC, 600 * USEC_PER_SEC};
static const ConfRange timeout_range = {USEC_PER_SEC, 24 * 3600 * USEC_PER_SEC};
static const ConfRange message_range = {64 * 1024, UINT64_C(1) << 30}; /* RFC 5321 section 4.5.3.1.7; LimitFSIZE= of the unit */
static const ConfRange recipients_range = {100, SMTPD_RECIPIENTS_MAX};  /* RFC 5321 section 4.5.3.1.8 */
static const ConfRange hops_range = {10, 1000};
static const ConfRange errors_range = {1, 10000};
static const ConfRange idle_range = {10, 100000};
static const ConfRange line_range = {512, 8192}; /* RFC 5321 section 4.5.3.1.4 */

static const ConfKey smtpd_conf_keys[] = {
    {"Smtpd", "HostName", conf_parse_domain, offsetof(SmtpdConf, host_name)},
    {"Smtpd", "MessagePool", conf_parse_unsigned, offsetof(SmtpdConf, message_pool), &pool_range},
    {"Smtpd", "StopTimeout", conf_parse_usec, offsetof(SmtpdConf, stop_timeout), &stop_range},
    {"Smtpd", "Workers", conf_parse_unsigned, offsetof(SmtpdConf, workers), &workers_range},

    {"Listener", "Certificate", conf_parse_certificate, offsetof(Listener, certificate)},
    {"Listener", "DefaultDomain", conf_parse_domain, offsetof(Listener, default_domain)},
    {"Listener", "MailFlow", conf_parse_string, offsetof(Listener, flow_name)},
    {"Listener", "MaxConnections", conf_parse_unsigned, offsetof(Listener, max_connections), &connections_range},
    {"Listener", "MaxConnectionsPerClient", conf_parse_unsigned, offsetof(Listener, max_connections_per_client),
            &connections_range},

    {"MailFlow", "CommandTimeout", conf_parse_usec, offsetof(MailFlow, command_timeout), &timeout_range},
    {"MailFlow", "DataTimeout", conf_parse_usec, offsetof(MailFlow, data_timeout), &timeout_range},
    {"MailFlow", "Domains", conf_parse_domains, offsetof(MailFlow, domains)},
    {"MailFlow", "MaxErrors", conf_parse_unsigned, offsetof(MailFlow, max_errors), &errors_range},
    {"MailFlow", "MaxHops", conf_parse_unsigned, offsetof(MailFlow, max_hops), &hops_range},
    {"MailFlow", "MaxIdleCommands", conf_parse_unsigned, offsetof(MailFlow, max_idle_commands), &idle_range},
    {"MailFlow", "MaxLineLength", conf_parse_unsigned, offsetof(MailFlow, max_line_length), &line_range},
    {"MailFlow", "MaxMessageSize", conf_parse_size, offsetof(MailFlow, max_message_size), &message_range},
    {"MailFlow", "MaxRecipients", conf_parse_unsigned, offsetof(MailFlow, max_recipients), &recipients_range},
    {"MailFlow", "SessionTimeout", conf_parse_usec, offsetof(MailFlow, session_timeout), &timeout_range},
    {"MailFlow", "TLS", conf_parse_enum, offsetof(MailFlow, tls), tls_names},
    {"MailFlow", "VerifyClient", conf_parse_bool, offsetof(MailFlow, verify_client)},
};

const char *mail_flow_tls_to_string(MailFlowTls tls)
{
    return tls_names[tls].name;
}

static Listener *listener_free(Listener *l)
{
    if (!l)
        return NULL;
    free(l->name);
    free(l->certificate);
    free(l->certificate_source);
    free(l->flow_name);
    free(l->default_domain);
    free(l);
    return NULL;
}

static MailFlow *mail_flow_free(MailFlow *f)
{
    if (!f)
        return NULL;
    free(f->name);
    (void) conf_strv_free(f->domains);
    free(f);
    return NULL;
}

SmtpdConf *smtpd_conf_ref(SmtpdConf *c)
{
    c->n_ref++;
    return c;
}

SmtpdConf *smtpd_conf_unref(SmtpdConf *c)
{
    if (!c || --c->n_ref > 0)
        return NULL;
    for (size_t i = 0; i < c->n_listeners; i++)
        (void) listener_free(c->listeners[i]);
    for (size_t i = 0; i < c->n_flows; i++)
        (void) mail_flow_free(c->flows[i]);
    free(c->host_name);
    free(c);
    return NULL;
}

static Listener *find_listener(const SmtpdConf *c, const char *name)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        if (streq(c->listeners[i]->name, name))
            return c->listeners[i];
    return NULL;
}

static MailFlow *find_flow(const SmtpdConf *c, const char *name)
{
    for (size_t i = 0; i < c->n_flows; i++)
        if (streq(c->flows[i]->name, name))
            return c->flows[i];
    return NULL;
}

static Listener *add_listener(SmtpdConf *c, const char *name)
{
    Listener *l;

    if (c->n_listeners == SMTPD_LISTENERS_MAX || !(l = calloc(1, sizeof(*l))))
        return NULL;
    l->name = strdup(name);
    if (!l->name)
        return listener_free(l);
    return c->listeners[c->n_listeners++] = l;
}

static MailFlow *add_flow(SmtpdConf *c, const char *name)
{
    MailFlow *f;

    if (c->n_flows == SMTPD_MAIL_FLOWS_MAX || !(f = calloc(1, sizeof(*f))))
        return NULL;
    f->name = strdup(name);
    if (!f->name)
        return mail_flow_free(f);
    return c->flows[c->n_flows++] = f;
}

/* ConfSection: the object behind [Smtpd], [Listener NAME] and [MailFlow NAME]. */
static void *section_object(void *target, const char *section, const char *name, char **ret_reason)
{
    SmtpdConf *c = target;
    void *object;

    if (streq(section, "Smtpd")) {
        if (name)
            *ret_reason = strdup("[Smtpd] has no name");
        return name ? NULL : c;
    }
    if (!name) {
        *ret_reason = strdup("the section needs a name, as in [Listener public] or [MailFlow default]");
        return NULL;
    }

    if (streq(section, "Listener"))
        object = find_listener(c, name) ?: add_listener(c, name);
    else
        object = find_flow(c, name) ?: add_flow(c, name);
    if (!object)
        *ret_reason = strdup("too many sections of this kind");
    return object;
}

static void default_unsigned(unsigned *field, unsigned value)
{
    if (*field == 0)
        *field = value;
}

static void default_u64(uint64_t *field, uint64_t value)
{
    if (*field == 0)
        *field = value;
}

static int default_string(char **field, const char *value)
{
    if (!*field)
        *field = strdup(value);
    return *field ? 0 : -ENOMEM;
}

static void complete_flow(MailFlow *f)
{
    default_u64(&f->max_message_size, 50 * 1024 * 1024);
    default_u64(&f->command_timeout, 300 * USEC_PER_SEC); /* RFC 5321 section 4.5.3.2.7 */
    default_u64(&f->data_timeout, 180 * USEC_PER_SEC);    /* … 4.5.3.2.5 */
    default_u64(&f->session_timeout, 3600 * USEC_PER_SEC);
    default_unsigned(&f->max_recipients, 1000);
    default_unsigned(&f->max_hops, 100);
    default_unsigned(&f->max_errors, 20);
    default_unsigned(&f->max_idle_commands, 100);
    default_unsigned(&f->max_line_length, 2048);
}

static int choose_source(Listener *l)
{
    if (l->certificate)
        l->certificate_source = strdup(l->certificate);
    else if (asprintf(&l->certificate_source, CERTIFICATE_OF_USE "listener:%s", l->name) < 0)
        l->certificate_source = NULL;
    return l->certificate_source ? 0 : -ENOMEM;
}

static int complete_listener(SmtpdConf *c, Listener *l)
{
    int r;

    r = choose_source(l);
    if (r >= 0)
        r = default_string(&l->flow_name, DEFAULT_FLOW);
    if (r < 0)
        return r;
    default_unsigned(&l->max_connections, 1000);
    default_unsigned(&l->max_connections_per_client, 100);
    l->flow = find_flow(c, l->flow_name);
    return 0;
}

static int check_flow(const MailFlow *f, ConfReport *report)
{
    int r;

    if (!f->verify_client || f->tls != MAIL_FLOW_TLS_NO)
        return 0;
    r = conf_report_add(report, CONF_ERROR, NULL, 0, "[MailFlow %s] VerifyClient=yes needs TLS=Preferred or TLS=Required",
            f->name);
    return r < 0 ? r : -EBADMSG;
}

static int check_listener(const Listener *l, ConfReport *report)
{
    int r;

    if (l->flow)
        return 0;
    r = conf_report_add(report, CONF_ERROR, NULL, 0, "[Listener %s] MailFlow=%s: there is no section [MailFlow %s]", l->name,
            l->flow_name, l->flow_name);
    return r < 0 ? r : -EBADMSG;
}

static int complete(SmtpdConf *c, ConfReport *report)
{
    char host[HOST_NAME_MAX + 1];
    int r;

    if (gethostname(host, sizeof(host)) < 0)
        return negative_errno();
    r = default_string(&c->host_name, host);
    if (r < 0)
        return r;
    default_unsigned(&c->workers, worker_count_default());
    default_unsigned(&c->message_pool, 16);
    default_u64(&c->stop_timeout, 30 * USEC_PER_SEC);

    if (!find_flow(c, DEFAULT_FLOW) && !add_flow(c, DEFAULT_FLOW))
        return -ENOMEM;
    for (size_t i = 0; i < c->n_flows; i++) {
        complete_flow(c->flows[i]);
        r = check_flow(c->flows[i], report);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < c->n_listeners; i++) {
        r = complete_listener(c, c->listeners[i]);
        if (r >= 0)
            r = check_listener(c->listeners[i], report);
        if (r < 0)
            return r;
    }
    return 0;
}

int smtpd_conf_load(SmtpdConf **ret, const Conf *source, ConfReport *report)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->n_ref = 1;

    r = conf_apply(source, smtpd_conf_keys, ELEMENTSOF(smtpd_conf_keys), section_object, c, report);
    if (r < 0)
        return r;
    r = complete(c, report);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

const Listener *smtpd_conf_listener(const SmtpdConf *c, const char *name)
{
    return find_listener(c, name);
}

int smtpd_conf_require_listener(SmtpdConf *c, const char *name)
{
    Listener *l;
    int r;

    if (find_listener(c, name))
        return 0;
    if (c->n_listeners == SMTPD_LISTENERS_MAX)
        return -E2BIG;
    l = add_listener(c, name);
    if (!l)
        return -ENOMEM;
    r = complete_listener(c, l);
    return r < 0 ? r : 1;
}

int smtpd_conf_check(const char *root, ConfReport *report)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
    _cleanup_(conf_freep) Conf *source = NULL;
    int r;

    r = conf_read(&source, root, "smtpd", report);
    if (r < 0)
        return r;
    return smtpd_conf_load(&c, source, report);
}
