/* SPDX-License-Identifier: Apache-2.0 */

/* The table of all verbs. The shell completion and posternctl(1) have the same, which tests compare. */

#include "verbs.h"

static const VerbOption cert_tlsa_options[] = {
    {"host", "NAME", "the mail server's name in its MX record; can be repeated"},
    {"port", "NUMBER", "instead of 25"},
    {"usage", "USAGE", "3 (default), for this certificate, or 2, for the authority that signed it; can be repeated"},
    {},
};

static const VerbOption cert_create_options[] = {
    {"common-name", "NAME", "of the subject; also the certificate's name, if none is given"},
    {"organization", "TEXT", "of the subject"},
    {"unit", "TEXT", "of the subject"},
    {"city", "TEXT", "of the subject"},
    {"state", "TEXT", "of the subject"},
    {"country", "XX", "of the subject: two letters"},
    {"name", "NAME", "host name or IP address that it is for; can be repeated"},
    {"days", "NUMBER", "how long it is valid (365)"},
    {"key-type", "TYPE", "ecdsa-p256 (default), ecdsa-p384, ed25519, ml-dsa-65, rsa-2048, …"},
    {"key", "URI", "use this key in a PKCS#11 token, instead of a new one"},
    {"forbid-export", NULL, "the key will not be exported, for good"},
    {},
};

static const VerbOption cert_request_options[] = {
    {"last", NULL, "the request that was made last, not a new one"},
    {"force", NULL, "replace FILE"},
    {},
};

static const VerbOption cert_install_options[] = {
    {"incomplete", NULL, "the chain need not end yet: intermediates follow"},
    {},
};

static const VerbOption cert_import_options[] = {
    {"passphrase-file", "FILE", "with the passphrase in it, - for standard input; else it is asked for"},
    {"replace", NULL, "what has this name already"},
    {"incomplete", NULL, "the chain need not end yet: intermediates follow"},
    {"forbid-export", NULL, "the key will not be exported, for good"},
    {},
};

static const VerbOption cert_export_options[] = {
    {"passphrase-file", "FILE", "with the passphrase in it, - for standard input; else it is asked for"},
    {"force", NULL, "replace FILE"},
    {},
};

static const VerbOption cert_export_pem_options[] = {
    {"force", NULL, "replace FILE"},
    {},
};

static const VerbOption cert_pointer_options[] = {
    {"force", NULL, "replace FILE"},
    {},
};

static const VerbOption cert_force_options[] = {
    {"force", NULL, "also while a service uses it"},
    {},
};

static const VerbOption ca_import_options[] = {
    {"replace", NULL, "the list becomes what is in FILE"},
    {},
};

static const VerbOption ca_export_options[] = {
    {"force", NULL, "replace FILE"},
    {},
};

static const VerbOption verify_options[] = {
    {"level", "LEVEL", "in place of TLS= of the destination"},
    {"dane", "LEVEL", "in place of DANE= of the destination"},
    {"mx", "HOST", "only this one of its servers"},
    {},
};

const Verb posternctl_verbs[] = {
    {NULL, "status", "", "how the daemons, the queue and the certificates are", 0, 0, true, NULL, verb_status},
    {NULL, "verify", "DOMAIN", "try how a message to a domain would be delivered, without one", 1, 1, false, verify_options,
            verb_verify},

    {"queue", "list", "", "messages in the queue", 0, 0, true, NULL, verb_queue_list},
    {"queue", "show", "ID...", "one message: its recipients, and why it waits", 1, VERB_ARGUMENTS_ANY, false, NULL,
            verb_queue_show},
    {"queue", "flush", "[DOMAIN]", "try everything that waits, or what waits for a domain, at once", 0, 1, false, NULL,
            verb_queue_flush},

    {"dns", "query", "NAME [TYPE]", "look a name up with its DNSSEC state; TYPE is MX if not given", 1, 2, false, NULL,
            verb_dns_query},
    {"dns", "status", "", "whom dnsd asks, what it trusts, and whether DNSSEC works", 0, 0, true, NULL, verb_dns_status},
    {"dns", "test", "", "test now whether DNSSEC works", 0, 0, false, NULL, verb_dns_test},
    {"dns", "flush", "", "forget all answers that are cached", 0, 0, false, NULL, verb_dns_flush},

    {"sts", "list", "", "MTA-STS policies that are known", 0, 0, true, NULL, verb_sts_list},
    {"sts", "show", "DOMAIN", "the policy of a domain", 1, 1, false, NULL, verb_sts_show},
    {"sts", "refresh", "DOMAIN", "fetch it now", 1, 1, false, NULL, verb_sts_refresh},

    {"alert", "list", "", "alerts that are to be mailed or are being counted", 0, 0, true, NULL, verb_alert_list},

    {"cert", "list", "", "certificates", 0, 0, true, NULL, verb_cert_list},
    {"cert", "show", "NAME...", "what there is to know of a certificate", 1, VERB_ARGUMENTS_ANY, false, NULL, verb_cert_show},
    {"cert", "create", "[NAME]", "make a key and a self-signed certificate", 0, 1, false, cert_create_options, verb_cert_create},
    {"cert", "request", "NAME [FILE]", "make a certificate signing request", 1, 2, false, cert_request_options,
            verb_cert_request},
    {"cert", "install", "NAME FILE", "put the certificate that an authority signed in place", 2, 2, false, cert_install_options,
            verb_cert_install},
    {"cert", "add-intermediate", "NAME FILE", "add certificates of authorities to its chain", 2, 2, false, cert_install_options,
            verb_cert_add_intermediate},
    {"cert", "import", "FILE [NAME]", "take key and chain from a PKCS#12 file", 1, 2, false, cert_import_options,
            verb_cert_import},
    {"cert", "export", "NAME FILE", "write key and chain into a PKCS#12 file", 2, 2, false, cert_export_options,
            verb_cert_export},
    {"cert", "export-pem", "NAME [FILE]", "write the chain, which is public", 1, 2, false, cert_export_pem_options,
            verb_cert_export_pem},
    {"cert", "pointer", "NAME [FILE]", "write what other programs are given instead of the key", 1, 2, false, cert_pointer_options,
            verb_cert_pointer},
    {"cert", "assign", "NAME USE...", "use it for listener:NAME, delivery, user:LOGIN", 2, VERB_ARGUMENTS_ANY, false, NULL,
            verb_cert_assign},
    {"cert", "unassign", "NAME USE...", "do not use it for that any more", 2, VERB_ARGUMENTS_ANY, false, NULL, verb_cert_unassign},
    {"cert", "rename", "NAME NEW-NAME", "give it another name", 2, 2, false, cert_force_options, verb_cert_rename},
    {"cert", "delete", "NAME", "delete it and its key", 1, 1, false, cert_force_options, verb_cert_delete},
    {"cert", "forbid-export", "NAME", "do not export its key any more, for good", 1, 1, false, NULL, verb_cert_forbid_export},
    {"cert", "tlsa", "NAME", "DNS records to publish for a certificate", 1, 1, false, cert_tlsa_options, verb_cert_tlsa},

    {"ca", "lists", "", "the two lists of certificate authorities", 0, 0, true, NULL, verb_ca_lists},
    {"ca", "list", "[LIST]", "authorities of a list, or of both", 0, 1, false, NULL, verb_ca_list},
    {"ca", "show", "FINGERPRINT...", "what there is to know of an authority", 1, VERB_ARGUMENTS_ANY, false, NULL, verb_ca_show},
    {"ca", "enable", "LIST [FINGERPRINT...]", "enable a list, or authorities of it", 1, VERB_ARGUMENTS_ANY, false, NULL,
            verb_ca_enable},
    {"ca", "disable", "LIST [FINGERPRINT...]", "disable a list, or authorities of it", 1, VERB_ARGUMENTS_ANY, false, NULL,
            verb_ca_disable},
    {"ca", "import", "FILE", "add authorities to the custom list", 1, 1, false, ca_import_options, verb_ca_import},
    {"ca", "export", "LIST [FILE]", "write a list, to be edited and imported", 1, 2, false, ca_export_options, verb_ca_export},
    {"ca", "remove", "FINGERPRINT...", "remove authorities from the custom list", 1, VERB_ARGUMENTS_ANY, false, NULL,
            verb_ca_remove},
    {},
};
