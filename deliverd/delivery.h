/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The deliveries of a message: one for each destination among its recipients, from commit to the last recipient's end. This is
 * where results become records: first what is done is written down, then it is forgotten. */

#include "deliverd-manager.h"
#include "delivery-run.h"

typedef struct Mail Mail;

typedef struct Delivery {
    Mail *mail;
    ScheduleEntry entry;
    char *domain;       /* normalized, or an address literal */
    size_t *recipients; /* indices in the envelope that are still pending */
    size_t n_recipients;
    unsigned attempts, hurried; /* failed ones; in a row that were not the destination's fault */
    char *reason;       /* of the last deferral */

    DeliveryRun *run;   /* while an attempt is under way: */
    DeliverdConf *conf;
    const char **addresses;
    int message_fd;
} Delivery;

struct Mail {
    Manager *manager;
    QueueMessage *message;
    Delivery *deliveries;
    size_t n_deliveries;
};

/* Groups what is pending in m by destination and schedules it; becomes m->userdata. A message without anything pending is
 * removed. */
int mail_new(Manager *manager, QueueMessage *m);
Mail *mail_free(Mail *mail);

/* The schedule gave d its place. */
void delivery_start(Delivery *d);
