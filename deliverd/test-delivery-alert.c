/* SPDX-License-Identifier: Apache-2.0 */

/* One alert for each destination and kind of failure, and what it says. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery-alert.h"

static void test_matters(void **state)
{
    static const struct {
        FailureKind kind;
        AlertType type;
        const char *key, *summary; /* NULL: no alert */
    } rows[] = {
        {FAILURE_NONE, 0, NULL, NULL},
        {FAILURE_DNS, 0, NULL, NULL},
        {FAILURE_CONNECT, 0, NULL, NULL},
        {FAILURE_SMTP, 0, NULL, NULL},
        {FAILURE_TLS, ALERT_SYSTEM, "tls:example.com", "A required TLS connection to example.com failed"},
        {FAILURE_STS, ALERT_MESSAGE_DELIVERY, "sts:example.com", "MTA-STS failed with every mail server of example.com"},
        {FAILURE_DANE, ALERT_MESSAGE_DELIVERY, "dane:example.com", "DANE failed with every mail server of example.com"},
        {FAILURE_DANE + 1, 0, NULL, NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const DeliveryAlertFacts facts = {.kind = rows[i].kind, .domain = "example.com", .waiting = 1, .id = "x", .attempts = 1,
                .reason = "why"};
        DeliveryAlert a = {};

        assert_int_equal(delivery_alert_compose(&facts, &a), rows[i].key ? 0 : -EINVAL);
        if (!rows[i].key) {
            assert_null(a.body);
            continue;
        }
        assert_int_equal(a.type, rows[i].type);
        assert_string_equal(a.key, rows[i].key);
        assert_string_equal(a.summary, rows[i].summary);
        delivery_alert_done(&a);
    }
}

static void test_body(void **state)
{
    static const char *const said[] = {"12 messages wait for example.com", "in attempt 3 for message 0123456789",
            "\n    mx.example.com: STARTTLS refused: 454\n", "posternctl queue flush example.com\n"};
    DeliveryAlertFacts facts = {.kind = FAILURE_TLS, .domain = "example.com", .waiting = 12, .id = "0123456789", .attempts = 3,
            .reason = "mx.example.com: STARTTLS refused: 454"};
    DeliveryAlert a = {};

    assert_int_equal(delivery_alert_compose(&facts, &a), 0);
    for (size_t i = 0; i < ELEMENTSOF(said); i++)
        assert_non_null(strstr(a.body, said[i]));
    delivery_alert_done(&a);
    facts.waiting = 1;
    assert_int_equal(delivery_alert_compose(&facts, &a), 0);
    assert_true(strncmp(a.body, "1 message waits for example.com, since ", 39) == 0);
    delivery_alert_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matters),
        cmocka_unit_test(test_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
