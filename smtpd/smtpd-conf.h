/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* smtpd.conf as an object. A session holds a reference, so that it ends under the configuration it began with. */

#include <stdint.h>

#include "conf.h"

#define SMTPD_LISTENERS_MAX 64
/* The certificate of a listener that none is assigned to. */
#define SMTPD_CERTIFICATE_DEFAULT "demonstration"
#define SMTPD_MAIL_FLOWS_MAX 64
#define SMTPD_RECIPIENTS_MAX 1000 /* deliverd takes no more: ENVELOPE_RECIPIENTS_MAX, SMTP_CLIENT_RECIPIENTS_MAX */

/* Spec R3. */
typedef enum MailFlowTls {
    MAIL_FLOW_TLS_NO,        /* STARTTLS is not offered */
    MAIL_FLOW_TLS_PREFERRED, /* offered */
    MAIL_FLOW_TLS_REQUIRED,  /* without it no mail is taken */
} MailFlowTls;

const char *mail_flow_tls_to_string(MailFlowTls tls); /* "Required", as in the file */

/* [MailFlow NAME]: what a connection is allowed. */
typedef struct MailFlow {
    char *name;
    MailFlowTls tls;
    bool verify_client;        /* clients are asked for a certificate: policy_client() */
    char **domains;            /* mail is taken for these only, ".suffix" for all below; NULL-ended, or NULL: for none */
    uint64_t max_message_size; /* bytes */
    uint64_t command_timeout;  /* µs: for a command to arrive */
    uint64_t data_timeout;     /* µs: for the next piece of a message to arrive */
    uint64_t session_timeout;  /* µs: a session altogether */
    unsigned max_recipients;   /* per message */
    unsigned max_hops;         /* Received fields */
    unsigned max_errors;       /* refused commands per session */
    unsigned max_idle_commands; /* commands between two messages */
    unsigned max_line_length;  /* of a command, with CRLF */
} MailFlow;

/* [Listener NAME]: NAME is FileDescriptorName= of a socket unit. */
typedef struct Listener {
    char *name;
    char *certificate;        /* of certd; NULL: what is assigned to the listener there, else that of the first start */
    char *certificate_source; /* … for tls_contexts_follow() */
    char *flow_name;
    const MailFlow *flow; /* never NULL in a loaded configuration */
    char *default_domain; /* completes "<postmaster>", or NULL */
    unsigned max_connections;
    unsigned max_connections_per_client;
} Listener;

typedef struct SmtpdConf {
    unsigned n_ref;
    char *host_name;       /* of the greeting and of Received fields */
    unsigned workers;
    uint64_t stop_timeout; /* µs */
    unsigned message_pool; /* message descriptors a worker keeps ready */
    Listener *listeners[SMTPD_LISTENERS_MAX];
    size_t n_listeners;
    MailFlow *flows[SMTPD_MAIL_FLOWS_MAX];
    size_t n_flows;
} SmtpdConf;

SmtpdConf *smtpd_conf_ref(SmtpdConf *c);
SmtpdConf *smtpd_conf_unref(SmtpdConf *c); /* NULL */
DEFINE_CLEANUP(SmtpdConf, smtpd_conf_unref);

/* Makes the object of what was read, with defaults for what was not, and checks what concerns several settings. Returns 0,
 * -EBADMSG when report has errors, or another errno. */
int smtpd_conf_load(SmtpdConf **ret, const Conf *source, ConfReport *report);

/* The listener of that name, or NULL. */
const Listener *smtpd_conf_listener(const SmtpdConf *c, const char *name);

/* Sees to it that there is a listener of that name: without a section it gets the defaults. Returns 1 if it was added. */
int smtpd_conf_require_listener(SmtpdConf *c, const char *name);

/* Reads and checks the files below root, for --check-config. */
int smtpd_conf_check(const char *root, ConfReport *report);
