/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* certd.conf: which service may use which certificates, and how fast it may ask. */

#include "conf.h"
#include "role.h"
#include "tls-signable.h"
#include "use.h"

/* A service that TLS handshakes are signed for. The table of those there are is in certd-conf.c; a connection is one's by its
 * role. */
typedef struct ServiceConf {
    const char *name; /* as in [Service NAME] */
    Role role;
    TlsSide side;        /* it signs as this side only */
    UseKind use;         /* what is assigned to this, it may use, too */
    char **certificates; /* NULL-ended names, or NULL */
} ServiceConf;

#define SERVICES_MAX 2

typedef struct CertdConf {
    ServiceConf services[SERVICES_MAX];
    bool smtpd_configured; /* otherwise it has the demonstration certificate */
    unsigned rate;         /* signatures a second and connection */
    unsigned burst;
    char *token_module; /* path of a PKCS#11 module; NULL: no keys in tokens */
} CertdConf;

/* Reads certd.conf and its drop-ins below root. Returns 0 or negative errno, -EBADMSG when report has errors. */
int certd_conf_load(CertdConf **ret, const char *root, ConfReport *report);
CertdConf *certd_conf_free(CertdConf *c);
DEFINE_CLEANUP(CertdConf, certd_conf_free);

/* The service of a connection; NULL if its role is none's. */
const ServiceConf *certd_conf_service(const CertdConf *c, RoleMask roles);
bool service_conf_may_use(const ServiceConf *s, const char *certificate);

/* For --check-config. */
int certd_conf_check(const char *root, ConfReport *report);
