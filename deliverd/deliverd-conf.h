/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* deliverd.conf as an object; manager and workers read the same, the workers from a snapshot. */

#include "conf.h"
#include "destination.h"

typedef struct DeliverdConf {
    unsigned n_ref;    /* a delivery under way keeps the configuration it began with */
    char *host_name;   /* in EHLO and bounces */
    char *certificate; /* of certd, shown to servers that ask for one; NULL: what is assigned to delivery there */
    unsigned workers;
    unsigned max_connections;    /* at a time, altogether */
    uint64_t retry_interval;     /* µs: after the first failure; doubles … */
    uint64_t max_retry_interval; /* … up to this */
    uint64_t queue_lifetime;     /* µs: after that a message bounces */
    uint64_t delivery_timeout;   /* µs: one attempt with one host altogether */
    uint64_t stop_timeout;       /* µs: attempts may go on that long when the service stops */
    uint64_t max_messages;       /* in the queue */
    uint64_t min_free_space;     /* bytes */
    bool skip_loopback;          /* never connect to 127.0.0.0/8 or ::1 by MX: spares loops in odd zones */
    bool alert_on_tls_failure;   /* spec D6 */
    DestinationTable destinations;
} DeliverdConf;

/* Reads deliverd.conf and its drop-ins below root. *ret_files (optional) for conf_snapshot(). Returns 0 or negative errno,
 * -EBADMSG when report has errors. */
int deliverd_conf_load(DeliverdConf **ret, Conf **ret_files, const char *root, ConfReport *report);
/* In a worker; fd stays the caller's. */
int deliverd_conf_read_snapshot(DeliverdConf **ret, int fd, ConfReport *report);
DeliverdConf *deliverd_conf_ref(DeliverdConf *c);
DeliverdConf *deliverd_conf_unref(DeliverdConf *c);
DEFINE_CLEANUP(DeliverdConf, deliverd_conf_unref);

/* For --check-config. */
int deliverd_conf_check(const char *root, ConfReport *report);
