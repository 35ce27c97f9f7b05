/* SPDX-License-Identifier: Apache-2.0 */

/* The journal line and the alert about a certificate for outgoing TLS that is not there. Nothing here hinders mail. */

#include "certificate-report.h"

#include "catalog-ids.h"
#include "deliverd-manager.h"
#include "log.h"

int certificate_report_send(sd_bus *manager, const char *source, const char *name, bool usable, const char *reason)
{
    return sd_bus_call_method_async(manager, NULL, NULL, WORKER_PATH, CERTIFICATE_REPORT_INTERFACE, "CertificateState", NULL,
            NULL, "ssbs", source, name, usable, usable || !reason ? "" : reason);
}

CertificateNews certificate_report_news(CertificateReport *r, bool usable, uint64_t now)
{
    if (r->missing == !usable)
        return CERTIFICATE_NEWS_NONE;
    r->missing = !usable;
    if (usable) {
        CertificateNews news = r->told ? CERTIFICATE_NEWS_BACK : CERTIFICATE_NEWS_NONE;

        r->told = false;
        return news;
    }
    if (r->told_usec > 0 && now - r->told_usec < CERTIFICATE_REPORT_INTERVAL_USEC)
        return CERTIFICATE_NEWS_NONE;
    r->told = true;
    r->told_usec = now;
    return CERTIFICATE_NEWS_MISSING;
}

static void alert(Manager *m, const char *name, const char *reason)
{
    _cleanup_free_ char *key = NULL, *summary = NULL, *body = NULL;

    if (asprintf(&key, "client-certificate:%s", name) < 0
            || asprintf(&summary, "Mail goes out without the client certificate %s", name) < 0
            || asprintf(&body,
                    "The certificate %s, which %s, cannot be used:\n\n    %s\n\n"
                    "Mail is delivered without a client certificate meanwhile. Servers that require one refuse it, and it waits; "
                    "all others take it. The certificate is used again, without a restart, as soon as certd gives it.\n\n"
                    "It has to be in certd's store and assigned to delivery, or in Certificates= of [Service deliverd] in certd.conf, "
                    "and certd has to run:\n\n"
                    "    posternctl cert list\n"
                    "    systemctl status postern-certd.service postern-certd.socket\n",
                    name, m->conf->certificate ? "deliverd.conf names" : "is assigned to delivery", reason) < 0)
        return;
    alert_raise(m->alertd, ALERT_WARNING, ALERT_CERTIFICATE, key, summary, body);
}

static void tell(Manager *m, CertificateNews news, const char *name, const char *reason)
{
    const LogField fields[] = {{"POSTERN_CERTIFICATE", name}, {"POSTERN_REASON", reason}};

    switch (news) {
    case CERTIFICATE_NEWS_NONE:
        return;
    case CERTIFICATE_NEWS_MISSING:
        log_event(LOG_WARNING, CLIENT_CERTIFICATE_MISSING_ID, fields, ELEMENTSOF(fields),
                "Certificate %s cannot be used (%s): mail goes out without a client certificate until it can", name, reason);
        alert(m, name, reason);
        return;
    case CERTIFICATE_NEWS_BACK:
        log_event(LOG_INFO, NULL, fields, 1, "Certificate %s is shown to mail servers again", name);
        return;
    }
}

static int method_certificate_state(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Manager *m = worker_data(userdata);
    const char *source, *name, *reason;
    int usable, r;

    r = sd_bus_message_read(message, "ssbs", &source, &name, &usable, &reason);
    if (r < 0)
        return r;
    /* Another source is one of before a reload, and a worker that is not Ready() has nothing to say. */
    if (m && streq(source, m->conf->certificate ?: CERTIFICATE_OF_DELIVERY)) {
        uint64_t now = 0;

        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
        tell(m, certificate_report_news(&m->certificate, usable, now), *name ? name : "of delivery", reason);
    }
    return sd_bus_reply_method_return(message, NULL);
}

const sd_bus_vtable certificate_report_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("CertificateState", SD_BUS_ARGS("s", source, "s", name, "b", usable, "s", reason), SD_BUS_NO_RESULT,
            method_certificate_state, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
