/* SPDX-License-Identifier: Apache-2.0 */

/* Words for people who have to do something. No message content, and of messages only the id. */

#include "delivery-alert.h"

static const struct {
    AlertType type;
    const char *key;           /* before ":DOMAIN" */
    const char *before, *after; /* the domain, in the summary */
    const char *what, *advice;
} matters[] = {
    [FAILURE_TLS] = {
        .type = ALERT_SYSTEM,
        .key = "tls",
        .before = "A required TLS connection to ",
        .after = " failed",
        .what = "TLS is required, and no connection could be secured as far as that",
        .advice = "What is required for it stands in its [Destination] section of deliverd.conf, in the TLSA records of its mail "
                  "servers or in its MTA-STS policy, or in the message. Which authorities verify servers: posternctl ca list.",
    },
    [FAILURE_STS] = {
        .type = ALERT_MESSAGE_DELIVERY,
        .key = "sts",
        .before = "MTA-STS failed with every mail server of ",
        .after = "",
        .what = "none of its mail servers is as its MTA-STS policy says, or it could not be told whether there is a policy",
        .advice = "Most often the destination has moved to other mail servers, or one of them has a wrong certificate, while the "
                  "policy stayed as it was; its postmaster should know. MTASTS=no in its [Destination] section of deliverd.conf "
                  "delivers without, to whoever can change what passes as well.",
    },
    [FAILURE_DANE] = {
        .type = ALERT_MESSAGE_DELIVERY,
        .key = "dane",
        .before = "DANE failed with every mail server of ",
        .after = "",
        .what = "none of its mail servers could be authenticated by its TLSA records",
        .advice = "Most often the destination has replaced a certificate without its TLSA record, or its DNSSEC signatures have "
                  "expired; its postmaster should know.",
    },
};

static char *join(const char *a, const char *b, const char *c)
{
    char *s;

    return asprintf(&s, "%s%s%s", a, b, c) < 0 ? NULL : s;
}

void delivery_alert_done(DeliveryAlert *a)
{
    free(a->key);
    free(a->summary);
    free(a->body);
    *a = (DeliveryAlert) {};
}

int delivery_alert_compose(const DeliveryAlertFacts *f, DeliveryAlert *ret)
{
    _cleanup_(delivery_alert_done) DeliveryAlert a = {};
    char waiting[64];

    if (f->kind >= ELEMENTSOF(matters) || !matters[f->kind].key)
        return -EINVAL;
    a.type = matters[f->kind].type;
    a.key = join(matters[f->kind].key, ":", f->domain);
    a.summary = join(matters[f->kind].before, f->domain, matters[f->kind].after);
    (void) snprintf(waiting, sizeof(waiting), "%u %s", f->waiting, f->waiting == 1 ? "message waits" : "messages wait");
    if (!a.key || !a.summary)
        return -ENOMEM;
    if (asprintf(&a.body,
                "%s for %s, since %s.\n\nThe last failure, in attempt %u for message %s:\n\n    %s\n\n"
                "Nothing is delivered in a less secure way. Delivery is tried again with growing intervals until QueueLifetime= "
                "in deliverd.conf is over; it succeeds without a restart when the fault is mended. %s\n\nTo try at once:\n\n"
                "    posternctl queue flush %s\n",
                waiting, f->domain, matters[f->kind].what, f->attempts, f->id, f->reason, matters[f->kind].advice,
                f->domain) < 0) {
        a.body = NULL;
        return -ENOMEM;
    }
    *ret = a;
    a = (DeliveryAlert) {};
    return 0;
}
