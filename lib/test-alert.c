/* SPDX-License-Identifier: Apache-2.0 */

/* Alerts against an alertd of the test's own: one that comes late, has no room, refuses. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "alert.h"
#include "bus-error.h"
#include "peer-server.h"

typedef struct Host {
    char directory[64];
    char path[96];
    sd_event *event;
    PeerServer *server;
    PeerClient *client;
    unsigned n;
    const char *answer; /* the error to answer with, NULL: none */
    char severity[32], type[32], key[64], summary[ALERT_SUMMARY_MAX], body[ALERT_BODY_MAX];
} Host;

static int method_raise(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    Host *h = userdata;
    const char *severity, *type, *key, *summary, *body;
    int r;

    r = sd_bus_message_read(m, "sssss", &severity, &type, &key, &summary, &body);
    if (r < 0)
        return r;
    (void) snprintf(h->severity, sizeof(h->severity), "%s", severity);
    (void) snprintf(h->type, sizeof(h->type), "%s", type);
    (void) snprintf(h->key, sizeof(h->key), "%s", key);
    (void) snprintf(h->summary, sizeof(h->summary), "%s", summary);
    (void) snprintf(h->body, sizeof(h->body), "%s", body);
    h->n++;
    if (h->answer)
        return sd_bus_reply_method_errorf(m, h->answer, "As the test says.");
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable alert_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Raise", "sssss", NULL, method_raise, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static const PeerAccess access_table[] = {{"org.postern.Alert1.Peer", NULL, ROLE_SELF}, {}};
static PeerObject objects[] = {{"/org/postern/Alert1", "org.postern.Alert1.Peer", alert_vtable, NULL}, {}};

static void host_start_alertd(Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    objects[0].userdata = h;
    assert_int_equal(peer_server_new(&h->server, h->event, fd, "alertd", access_table, objects), 0);
}

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));

    strcpy(h->directory, "/tmp/test-alert.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    (void) snprintf(h->path, sizeof(h->path), "%s/alertd", h->directory);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", h->directory, 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    assert_int_equal(peer_client_new(&h->client, h->event, "alertd"), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    peer_client_free(h->client);
    peer_server_free(h->server);
    sd_event_unref(h->event);
    (void) unlink(h->path);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static void host_wait(Host *h, unsigned n)
{
    while (h->n < n)
        assert_true(sd_event_run(h->event, 5 * USEC_PER_SEC) > 0);
}

/* Until nothing is left to do. */
static void host_settle(Host *h)
{
    while (sd_event_run(h->event, 100 * USEC_PER_MSEC) > 0)
        ;
}

static void test_names(void **state)
{
    AlertSeverity severity;
    AlertType type;

    for (unsigned i = ALERT_INFO; i <= ALERT_CRITICAL; i++) {
        assert_int_equal(alert_severity_from_string(alert_severity_to_string(i), &severity), 0);
        assert_int_equal(severity, i);
    }
    for (unsigned i = ALERT_SYSTEM; i <= ALERT_QUEUE; i++) {
        assert_int_equal(alert_type_from_string(alert_type_to_string(i), &type), 0);
        assert_int_equal(type, i);
    }
    assert_string_equal(alert_type_to_title(ALERT_MESSAGE_DELIVERY), "Message Delivery");
    assert_int_equal(alert_severity_from_string("Awful", &severity), -EINVAL);
    assert_int_equal(alert_type_from_string("", &type), -EINVAL);
}

static void test_raise(void **state)
{
    Host *h = *state;

    host_start_alertd(h);
    alert_raise(h->client, ALERT_CRITICAL, ALERT_MESSAGE_DELIVERY, "dane:example.com", "DANE failed", "It failed.\nDo something.\n");
    host_wait(h, 1);
    assert_string_equal(h->severity, "Critical");
    assert_string_equal(h->type, "MessageDelivery");
    assert_string_equal(h->key, "dane:example.com");
    assert_string_equal(h->summary, "DANE failed");
    assert_string_equal(h->body, "It failed.\nDo something.\n");
    host_settle(h);
    assert_int_equal(h->n, 1);
}

static void test_hostile_text(void **state)
{
    Host *h = *state;
    _cleanup_free_ char *body = malloc(3 * ALERT_BODY_MAX);

    memset(body, 'x', 3 * ALERT_BODY_MAX);
    memcpy(body, "\xff\x1b[31m\r\n", 8);
    body[3 * ALERT_BODY_MAX - 1] = 0;
    host_start_alertd(h);
    alert_raise(h->client, ALERT_INFO, ALERT_QUEUE, "k\xc0", "two\nlines", body);
    host_wait(h, 1);
    assert_string_equal(h->key, "k?");
    assert_string_equal(h->summary, "two?lines");
    assert_memory_equal(h->body, "??[31m?\nxx", 10);
    assert_true(strlen(h->body) < ALERT_BODY_MAX);
}

static void test_late_alertd_gets_the_newest(void **state)
{
    Host *h = *state;
    char key[32];

    for (unsigned i = 0; i < ALERT_PENDING_MAX + 10; i++) {
        (void) snprintf(key, sizeof(key), "key %u", i);
        alert_raise(h->client, ALERT_WARNING, ALERT_QUEUE, key, "summary", "body");
        alert_raise(h->client, ALERT_WARNING, ALERT_QUEUE, key, "again", "body");
    }
    host_start_alertd(h);
    host_wait(h, ALERT_PENDING_MAX);
    host_settle(h);
    assert_int_equal(h->n, ALERT_PENDING_MAX);
    assert_string_equal(h->key, key);
    assert_string_equal(h->summary, "again");
}

static void test_refused_is_dropped(void **state)
{
    Host *h = *state;

    host_start_alertd(h);
    h->answer = BUS_ERROR_ACCESS_DENIED;
    alert_raise(h->client, ALERT_WARNING, ALERT_QUEUE, "key", "summary", "body");
    host_settle(h);
    assert_int_equal(h->n, 1);
}

/* Freed with alerts in every state: waiting for the link, in flight, waiting for another try. */
static void test_free_with_pending(void **state)
{
    Host *h = *state;

    alert_raise(h->client, ALERT_WARNING, ALERT_QUEUE, "waiting", "summary", "body");
    host_start_alertd(h);
    h->answer = BUS_ERROR_NO_SPACE;
    host_settle(h);
    assert_int_equal(h->n, 1);
    alert_raise(h->client, ALERT_WARNING, ALERT_QUEUE, "in flight", "summary", "body");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_raise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_alertd_gets_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_with_pending, setup, teardown),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
