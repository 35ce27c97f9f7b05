/* SPDX-License-Identifier: Apache-2.0 */

/* Mail-flow policy. It must never open a relay: a domain that is not listed is refused, and an empty list accepts nothing. */

#include "policy.h"

#include "address.h"

const MailFlow *policy_select(const SmtpdConf *conf, const ConnectionFacts *facts)
{
    return facts->listener->flow;
}

bool policy_client(const MailFlow *flow, TlsVerify verified)
{
    if (!flow->verify_client || tls_verify_succeeded(verified))
        return true;
    /* Who may come in the clear may come without a certificate. */
    return verified == TLS_VERIFY_NO_CERTIFICATE && flow->tls != MAIL_FLOW_TLS_REQUIRED;
}

RecipientVerdict policy_recipient(const MailFlow *flow, const Listener *listener, const char *domain, const char **ret_domain)
{
    if (!domain) {
        if (!listener->default_domain)
            return RECIPIENT_NO_DEFAULT_DOMAIN;
        *ret_domain = listener->default_domain;
        return RECIPIENT_ACCEPT;
    }
    for (char **d = flow->domains; d && *d; d++)
        if (domain_matches(domain, *d)) {
            *ret_domain = domain;
            return RECIPIENT_ACCEPT;
        }
    return RECIPIENT_RELAY_DENIED;
}
