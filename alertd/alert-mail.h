/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An alert as a mail message (RFC 5322, MIME). What daemons put into an alert may come from strangers (a reply, a certificate's
 * name), so nothing of it can end a header or a line where it should not. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

typedef struct AlertMail {
    const char *from;             /* address */
    const char *const *recipients; /* addresses, NULL-ended */
    const char *host;             /* this host's name */
    const char *id;               /* unique; of letters and digits */
    const char *severity, *type;  /* for people: "Warning", "Message Delivery" */
    const char *summary, *body;
    uint64_t first_usec, last_usec; /* CLOCK_REALTIME: when the first and the last alert that this mail stands for were raised */
    unsigned count;                 /* how many those are */
    uint64_t now_usec;
} AlertMail;

/* The message with CRLF line ends, 7-bit clean, no line over 998 bytes. */
int alert_mail_compose(const AlertMail *a, char **ret, size_t *ret_size);

/* "[Warning]-[mail.example]: (Message Delivery) summary", not encoded. malloc'ed. */
int alert_mail_subject(const AlertMail *a, char **ret);
