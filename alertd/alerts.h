/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All alerts that alertd holds: those to be mailed now, those held back and counted, those to be tried again. What is here is
 * also in the spool. */

#include "sender.h"
#include "spool.h"

/* How long it is tried to mail an alert. */
#define ALERT_LIFETIME_USEC (UINT64_C(5) * 24 * 3600 * USEC_PER_SEC)
#define ALERT_RETRY_MIN_USEC (30 * USEC_PER_SEC)
#define ALERT_RETRY_MAX_USEC (900 * USEC_PER_SEC)
#define ALERT_MATTERS_MAX 1024
/* One daemon, or one who took it over, must not crowd out the alerts of the others. */
#define ALERT_ORIGIN_MAX (SPOOL_ITEMS_MAX / 2)

typedef struct Alerts Alerts;

typedef struct AlertsStatistics {
    uint64_t raised;
    uint64_t held;      /* of these held back and counted */
    uint64_t mailed;    /* mails, per recipient */
    uint64_t refused;   /* recipients given up */
    uint64_t failures;  /* attempts that are to be repeated */
} AlertsStatistics;

typedef struct AlertsOps {
    /* A recipient was given up, or (temporary) will be tried again: for the log. reason in words. */
    void (*failed)(const SpoolItem *item, bool temporary, unsigned n_recipients, const char *reason, void *userdata);
    /* Mailed to n_recipients. */
    void (*mailed)(const SpoolItem *item, unsigned n_recipients, void *userdata);
    /* The alert could not be stored and is mailed from memory. */
    void (*not_stored)(const SpoolItem *item, int error, void *userdata);
} AlertsOps;

/* spool and sender outlive it; config is borrowed until the next alerts_configure(). */
int alerts_new(Alerts **ret, sd_event *event, Spool *spool, Sender *sender, const AlertConfig *config, const AlertsOps *ops,
        void *userdata);
Alerts *alerts_free(Alerts *a);
DEFINE_CLEANUP(Alerts, alerts_free);
void alerts_configure(Alerts *a, const AlertConfig *config);

/* Takes over what a former run left in the spool. */
int alerts_recover(Alerts *a, unsigned *ret_recovered, unsigned *ret_broken);

typedef struct AlertsRaise {
    AlertSeverity severity;
    AlertType type;
    const char *key, *summary, *body;
    const char *origin; /* role name */
} AlertsRaise;

/* done: when the alert is durable, or counted in one that is, or mailed although it could not be stored, or needs no mail (0); or
 * with what prevented that. Called from the loop, or at once if nothing has to be stored. -ENOBUFS: the spool is full; -EDQUOT:
 * this origin has its share. */
int alerts_raise(Alerts *a, const AlertsRaise *raise, SpoolDone done, void *userdata);

unsigned alerts_pending(const Alerts *a);
const AlertsStatistics *alerts_statistics(const Alerts *a);
/* Each that is held or to be mailed. */
void alerts_each(const Alerts *a, void (*each)(const SpoolItem *item, void *userdata), void *userdata);
