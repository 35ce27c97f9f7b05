/* SPDX-License-Identifier: Apache-2.0 */

/* Hands alerts to alertd and keeps them until it has them in its spool. It must never hinder mail: it does not block, it
 * does not fail visibly, and what waits is bounded. */

#include "alert.h"

#include <strings.h>
#include <sys/queue.h>

#include "bus-error.h"
#include "text.h"

/* alertd may be away for long; a lost link alone does not end the call. */
#define ALERT_CALL_USEC (24 * 3600 * USEC_PER_SEC)
/* After alertd said that it has no room. */
#define ALERT_RETRY_USEC (30 * USEC_PER_SEC)

typedef struct AlertQueue AlertQueue;

typedef struct Alert {
    TAILQ_ENTRY(Alert) entry;
    AlertQueue *queue;
    PeerCall *call; /* NULL while it waits to be tried again */
    AlertSeverity severity;
    AlertType type;
    char key[ALERT_KEY_MAX];
    char summary[ALERT_SUMMARY_MAX];
    char body[];
} Alert;

struct AlertQueue {
    PeerClient *alertd;
    sd_event_source *retry_source;
    TAILQ_HEAD(, Alert) alerts; /* oldest first */
    unsigned n;
};

static const char *const severity_names[] = {
    [ALERT_INFO] = "Info",
    [ALERT_WARNING] = "Warning",
    [ALERT_CRITICAL] = "Critical",
};

static const struct {
    const char *name, *title;
} type_names[] = {
    [ALERT_SYSTEM] = {"System", "System"},
    [ALERT_MESSAGE_DELIVERY] = {"MessageDelivery", "Message Delivery"},
    [ALERT_CERTIFICATE] = {"Certificate", "Certificate"},
    [ALERT_QUEUE] = {"Queue", "Queue"},
};

const char *alert_severity_to_string(AlertSeverity s)
{
    return (size_t) s < ELEMENTSOF(severity_names) ? severity_names[s] : NULL;
}

int alert_severity_from_string(const char *s, AlertSeverity *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(severity_names); i++)
        if (strcasecmp(severity_names[i], s) == 0) {
            *ret = (AlertSeverity) i;
            return 0;
        }
    return -EINVAL;
}

const char *alert_type_to_string(AlertType t)
{
    return (size_t) t < ELEMENTSOF(type_names) ? type_names[t].name : NULL;
}

const char *alert_type_to_title(AlertType t)
{
    return (size_t) t < ELEMENTSOF(type_names) ? type_names[t].title : NULL;
}

int alert_type_from_string(const char *s, AlertType *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(type_names); i++)
        if (strcasecmp(type_names[i].name, s) == 0) {
            *ret = (AlertType) i;
            return 0;
        }
    return -EINVAL;
}

static Alert *alert_free(Alert *a)
{
    if (!a)
        return NULL;
    if (a->queue) {
        TAILQ_REMOVE(&a->queue->alerts, a, entry);
        a->queue->n--;
    }
    peer_call_cancel(a->call);
    free(a);
    return NULL;
}

static void queue_destroy(void *data)
{
    AlertQueue *q = data;
    Alert *a;

    if (!q)
        return;
    while ((a = TAILQ_FIRST(&q->alerts)))
        alert_free(a);
    sd_event_source_disable_unref(q->retry_source);
    free(q);
}

static int alert_build(sd_bus_message *m, void *userdata)
{
    const Alert *a = userdata;

    return sd_bus_message_append(m, "sssss", alert_severity_to_string(a->severity), alert_type_to_string(a->type),
            a->key, a->summary, a->body);
}

/* Errors that will not be the same answer when it is asked again. */
static bool worth_a_retry(const sd_bus_error *error)
{
    static const char *const passing[] = {BUS_ERROR_UNAVAILABLE, BUS_ERROR_NO_SPACE, BUS_ERROR_QUEUE_FULL,
            BUS_ERROR_LIMIT_EXCEEDED};

    for (size_t i = 0; i < ELEMENTSOF(passing); i++)
        if (sd_bus_error_has_name(error, passing[i]))
            return true;
    return false;
}

static void queue_retry_later(AlertQueue *q)
{
    int enabled = SD_EVENT_OFF;

    (void) sd_event_source_get_enabled(q->retry_source, &enabled);
    if (enabled != SD_EVENT_OFF)
        return;
    (void) sd_event_source_set_time_relative(q->retry_source, ALERT_RETRY_USEC);
    (void) sd_event_source_set_enabled(q->retry_source, SD_EVENT_ONESHOT);
}

static void on_raised(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Alert *a = userdata;

    a->call = NULL;
    if (error && worth_a_retry(error))
        queue_retry_later(a->queue);
    else
        alert_free(a);
}

static void alert_send(Alert *a)
{
    static const PeerMethod raise_method = {
        .path = "/org/postern/Alert1",
        .interface = "org.postern.Alert1.Peer",
        .member = "Raise",
        .timeout_usec = ALERT_CALL_USEC,
        .repeatable = true,
    };

    if (peer_client_call(a->queue->alertd, &a->call, &raise_method, alert_build, on_raised, a) < 0) {
        a->call = NULL;
        queue_retry_later(a->queue);
    }
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
    AlertQueue *q = userdata;
    Alert *a;

    TAILQ_FOREACH(a, &q->alerts, entry)
        if (!a->call)
            alert_send(a);
    return 0;
}

static AlertQueue *queue_get(PeerClient *alertd)
{
    AlertQueue *q = peer_client_data(alertd);

    if (q)
        return q;
    q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->alertd = alertd;
    TAILQ_INIT(&q->alerts);
    if (sd_event_add_time(peer_client_event(alertd), &q->retry_source, CLOCK_MONOTONIC, 0, 0, on_retry, q) < 0) {
        free(q);
        return NULL;
    }
    (void) sd_event_source_set_enabled(q->retry_source, SD_EVENT_OFF);
    peer_client_attach(alertd, q, queue_destroy);
    return q;
}

static size_t printable_lines(char *dst, size_t size, const char *src)
{
    size_t used = 0;

    dst[0] = '\0';
    /* Room for a cut line's mark, see text_make_printable(). */
    while (*src && size - used > sizeof("…") + 1) {
        size_t n = strcspn(src, "\n");

        used += text_make_printable(dst + used, size - used - 1, src, n);
        src += n;
        if (*src == '\n') {
            dst[used++] = '\n';
            src++;
        }
        dst[used] = '\0';
    }
    return used;
}

static Alert *alert_new(AlertSeverity severity, AlertType type, const char *key, const char *summary, const char *body)
{
    Alert *a, *fitted;
    size_t n;

    a = calloc(1, sizeof(*a) + ALERT_BODY_MAX);
    if (!a)
        return NULL;
    a->severity = severity;
    a->type = type;
    (void) text_make_printable(a->key, sizeof(a->key), key, strlen(key));
    (void) text_make_printable(a->summary, sizeof(a->summary), summary, strlen(summary));
    n = printable_lines(a->body, ALERT_BODY_MAX, body);
    fitted = realloc(a, sizeof(*a) + n + 1);
    return fitted ?: a;
}

void alert_raise(PeerClient *alertd, AlertSeverity severity, AlertType type, const char *key, const char *summary,
        const char *body)
{
    AlertQueue *q = queue_get(alertd);
    Alert *a, *other, *next;

    if (!q)
        return;
    a = alert_new(severity, type, key, summary, body);
    if (!a)
        return;
    for (other = TAILQ_FIRST(&q->alerts); other; other = next) {
        next = TAILQ_NEXT(other, entry);
        if (other->type == a->type && streq(other->key, a->key))
            alert_free(other);
    }
    if (q->n >= ALERT_PENDING_MAX)
        alert_free(TAILQ_FIRST(&q->alerts));
    a->queue = q;
    TAILQ_INSERT_TAIL(&q->alerts, a, entry);
    q->n++;
    alert_send(a);
}
