/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What workers say of the certificate for outgoing TLS, and how people hear of it: once, however many workers miss it.
 *
 *     org.postern.Delivery1.WorkerManager.CertificateState(s source, s name, b usable, s reason)
 *
 * Both sides of the link use this file. */

#include <systemd/sd-bus.h>

#include "certificate-client.h"
#include "cleanup.h"

/* The source (certificate-client.h) when deliverd.conf names no certificate. */
#define CERTIFICATE_OF_DELIVERY CERTIFICATE_OF_USE "delivery"

#define CERTIFICATE_REPORT_INTERFACE "org.postern.Delivery1.WorkerManager"

typedef struct Manager Manager;

/* ---- worker ---- */

/* name: of the certificate that is assigned, "" as long as that is not known. reason: why it is not usable; otherwise ignored, may
 * be NULL. */
int certificate_report_send(sd_bus *manager, const char *source, const char *name, bool usable, const char *reason);

/* ---- manager ---- */

/* Part of the manager; zeroed when Certificate= changes. */
typedef struct CertificateReport {
    bool missing; /* what was last said */
    bool told;    /* … and people know */
    uint64_t told_usec;
} CertificateReport;

typedef enum CertificateNews {
    CERTIFICATE_NEWS_NONE,
    CERTIFICATE_NEWS_MISSING,
    CERTIFICATE_NEWS_BACK, /* only after MISSING */
} CertificateNews;

/* Whether people are to be told. A worker is as little to be trusted as the network, so they are told at most once in
 * CERTIFICATE_REPORT_INTERVAL_USEC. now: monotonic, µs. Pure but for *r. */
#define CERTIFICATE_REPORT_INTERVAL_USEC (60 * USEC_PER_SEC)
CertificateNews certificate_report_news(CertificateReport *r, bool usable, uint64_t now);

/* For WorkerPoolOps; worker_data() is the Manager. */
extern const sd_bus_vtable certificate_report_vtable[];
