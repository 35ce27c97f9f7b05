/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* alertd.conf(5): who gets which alerts, how often, and by which way. */

#include "alert.h"
#include "conf.h"
#include "suppress.h"

#define ALERT_RECIPIENTS_MAX 64
#define ALERT_RELAY_PORT_DEFAULT 25

/* [Recipient NAME] */
typedef struct AlertRecipient {
    char *name;
    char *address;
    unsigned severities, types; /* bits 1 << AlertSeverity, 1 << AlertType; 0: all */
} AlertRecipient;

typedef struct AlertRelay {
    char *host; /* a name or an address; NULL: none, the recipient's own mail servers */
    uint16_t port;
} AlertRelay;

typedef struct AlertConfig {
    char *from;
    char *host_name; /* of this host, in subjects and in EHLO */
    AlertRelay relay;
    SuppressConfig suppress;
    AlertRecipient recipients[ALERT_RECIPIENTS_MAX];
    size_t n_recipients;
} AlertConfig;

int alert_config_load(AlertConfig **ret, const char *root, ConfReport *report);
AlertConfig *alert_config_free(AlertConfig *c);
DEFINE_CLEANUP(AlertConfig, alert_config_free);

/* The addresses that want such alerts, each once; NULL-ended and malloc'ed, as conf_strv_free() takes it. */
int alert_config_select(const AlertConfig *c, AlertSeverity severity, AlertType type, char ***ret);

/* "host", "host:587", "192.0.2.1:25", "[2001:db8::1]:25". -EINVAL. Pure. */
int alert_relay_parse(const char *s, AlertRelay *ret);
