/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Raising an alert: handed to alertd, which mails it. While alertd is away alerts wait here, the newest ALERT_PENDING_MAX of
 * them. */

#include "peer-client.h"

#define ALERT_PENDING_MAX 64

/* Longer texts are cut, characters that cannot be shown replaced; a body keeps its line breaks. Bytes with the NUL. */
#define ALERT_KEY_MAX 512
#define ALERT_SUMMARY_MAX 512
#define ALERT_BODY_MAX 8192

typedef enum AlertSeverity {
    ALERT_INFO,
    ALERT_WARNING,
    ALERT_CRITICAL,
} AlertSeverity;

typedef enum AlertType {
    ALERT_SYSTEM,
    ALERT_MESSAGE_DELIVERY,
    ALERT_CERTIFICATE,
    ALERT_QUEUE,
} AlertType;

const char *alert_severity_to_string(AlertSeverity s); /* "Critical" */
int alert_severity_from_string(const char *s, AlertSeverity *ret);
const char *alert_type_to_string(AlertType t); /* on the bus and in INI: "MessageDelivery" */
const char *alert_type_to_title(AlertType t);  /* for people: "Message Delivery" */
int alert_type_from_string(const char *s, AlertType *ret);

/* key: two alerts with the same key are one matter (suppression is alertd's). summary: one line for the subject; body: what
 * happened, since when, which domain, and what to do. Copies all. Of two that wait with the same type and key only the newer is
 * kept. The client keeps what waits, until it is freed. Never blocks, never fails visibly: alerts must not hinder mail. */
void alert_raise(PeerClient *alertd, AlertSeverity severity, AlertType type, const char *key, const char *summary,
        const char *body);
