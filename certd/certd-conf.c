/* SPDX-License-Identifier: Apache-2.0 */

/* The keys of certd.conf. Who is a service, and which side of a handshake it signs for, is no setting: it is part of the boundary
 * between the daemons. */

#include "certd-conf.h"

#include <stddef.h>

#include "certificate.h"

#define RATE_DEFAULT 2000
#define BURST_DEFAULT 4000

static const ServiceConf services[SERVICES_MAX] = {
    {.name = "smtpd", .role = ROLE_SMTPD, .side = TLS_SIDE_SERVER, .use = USE_LISTENER},
    {.name = "deliverd", .role = ROLE_DELIVERD, .side = TLS_SIDE_CLIENT, .use = USE_DELIVERY},
};

static int parse_certificates(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char ***list = field;
    int r;

    r = conf_parse_strv(a, field, ltype, ret_reason);
    if (r < 0)
        return r;
    for (char **name = *list; name && *name; name++)
        if (!certificate_name_valid(*name)) {
            if (asprintf(ret_reason, "'%s' is no name of a certificate (letters, digits, '.', '-' and '_', at most %d)", *name,
                        CERTIFICATE_NAME_MAX)
                    < 0)
                *ret_reason = NULL;
            return -EINVAL;
        }
    return 0;
}

static int parse_module(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char **path = field;
    int r;

    r = conf_parse_string(a, field, ltype, ret_reason);
    if (r < 0 || !*path)
        return r;
    if (!**path) { /* the empty assignment takes it back */
        free(*path);
        *path = NULL;
    } else if (**path != '/') {
        *ret_reason = strdup("the module is a file, named by its absolute path");
        return -EINVAL;
    }
    return 0;
}

static const ConfRange rate_range = {1, 1000000};

#define COMMON_OFFSET(field) offsetof(CertdConf, field)
#define SERVICE_OFFSET(field) offsetof(ServiceConf, field)

static const ConfKey keys[] = {
    {"Service", "Certificates", parse_certificates, SERVICE_OFFSET(certificates), NULL},
    {"Signing", "RatePerSecond", conf_parse_unsigned, COMMON_OFFSET(rate), &rate_range},
    {"Signing", "RateBurst", conf_parse_unsigned, COMMON_OFFSET(burst), &rate_range},
    {"Tokens", "Module", parse_module, COMMON_OFFSET(token_module), NULL},
};

static void *conf_section(void *target, const char *section, const char *name, char **ret_reason)
{
    CertdConf *c = target;

    if (streq(section, "Signing") || streq(section, "Tokens")) {
        if (!name)
            return c;
        if (asprintf(ret_reason, "the section [%s] has no name", section) < 0)
            *ret_reason = NULL;
        return NULL;
    }
    for (size_t i = 0; name && i < SERVICES_MAX; i++)
        if (streq(c->services[i].name, name)) {
            if (c->services[i].role == ROLE_SMTPD)
                c->smtpd_configured = true;
            return &c->services[i];
        }
    *ret_reason = strdup("the services are [Service smtpd] and [Service deliverd]");
    return NULL;
}

static int apply_defaults(CertdConf *c)
{
    if (c->rate == 0)
        c->rate = RATE_DEFAULT;
    if (c->burst == 0)
        c->burst = BURST_DEFAULT;
    if (c->smtpd_configured)
        return 0;
    /* STARTTLS works on a fresh host. */
    for (size_t i = 0; i < SERVICES_MAX; i++) {
        if (c->services[i].role != ROLE_SMTPD)
            continue;
        c->services[i].certificates = calloc(2, sizeof(char *));
        if (!c->services[i].certificates || !(c->services[i].certificates[0] = strdup(DEMONSTRATION_NAME)))
            return -ENOMEM;
    }
    return 0;
}

int certd_conf_load(CertdConf **ret, const char *root, ConfReport *report)
{
    _cleanup_(certd_conf_freep) CertdConf *c = NULL;
    _cleanup_(conf_freep) Conf *files = NULL;
    int r;

    c = calloc(1, sizeof(CertdConf));
    if (!c)
        return -ENOMEM;
    memcpy(c->services, services, sizeof(services));
    r = conf_read(&files, root, "certd", report);
    if (r < 0)
        return r;
    r = conf_apply(files, keys, ELEMENTSOF(keys), conf_section, c, report);
    if (r < 0)
        return r;
    r = apply_defaults(c);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

CertdConf *certd_conf_free(CertdConf *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < SERVICES_MAX; i++)
        conf_strv_free(c->services[i].certificates);
    free(c->token_module);
    free(c);
    return NULL;
}

const ServiceConf *certd_conf_service(const CertdConf *c, RoleMask roles)
{
    for (size_t i = 0; i < SERVICES_MAX; i++)
        if (roles & c->services[i].role)
            return &c->services[i];
    return NULL;
}

bool service_conf_may_use(const ServiceConf *s, const char *certificate)
{
    for (char **name = s->certificates; name && *name; name++)
        if (streq(*name, certificate))
            return true;
    return false;
}

int certd_conf_check(const char *root, ConfReport *report)
{
    _cleanup_(certd_conf_freep) CertdConf *c = NULL;

    return certd_conf_load(&c, root, report);
}
