/* SPDX-License-Identifier: Apache-2.0 */

/* The table of all verbs. */

#include "verbs.h"

static const VerbOption cert_tlsa_options[] = {
    {"host", "NAME", "the mail server's name in its MX record; can be repeated"},
    {"port", "NUMBER", "instead of 25"},
    {},
};

const Verb posternctl_verbs[] = {
    {NULL, "status", "", "how the daemons, the queue and the certificates are", 0, 0, true, NULL, verb_status},

    {"queue", "list", "", "messages in the queue", 0, 0, true, NULL, verb_queue_list},
    {"queue", "show", "ID...", "one message: its recipients, and why it waits", 1, VERB_ARGUMENTS_ANY, false, NULL,
            verb_queue_show},
    {"queue", "flush", "[DOMAIN]", "try everything that waits, or what waits for a domain, at once", 0, 1, false, NULL,
            verb_queue_flush},

    {"dns", "query", "NAME [TYPE]", "look a name up with its DNSSEC state; TYPE is MX if not given", 1, 2, false, NULL,
            verb_dns_query},

    {"alert", "list", "", "alerts that are to be mailed or are being counted", 0, 0, true, NULL, verb_alert_list},

    {"cert", "list", "", "certificates", 0, 0, true, NULL, verb_cert_list},
    {"cert", "show", "NAME...", "what there is to know of a certificate", 1, VERB_ARGUMENTS_ANY, false, NULL, verb_cert_show},
    {"cert", "tlsa", "NAME", "DNS records to publish for a certificate", 1, 1, false, cert_tlsa_options, verb_cert_tlsa},
    {},
};
