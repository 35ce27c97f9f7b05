/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker that was taken over could answer. (What an honest one says is in test-worker.c.) */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attempt-codec.h"
#include "probe-codec.h"
#include "test-carrier.h"
#include "worker.h"

static int read_result(sd_bus_message *m, AttemptResult **ret)
{
    int r;

    assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
    assert_true(sd_bus_message_rewind(m, true) >= 0);
    r = attempt_result_read(m, 2, ret);
    sd_bus_message_unref(m);
    return r;
}

/* Stage and reply of the transaction and of two recipients. */
static sd_bus_message *result(uint32_t stage, int code, int first, int second)
{
    sd_bus_message *m = carrier_new(ATTEMPT_INTERFACE);

    assert_true(sd_bus_message_append(m, "a{sv}", 3, "Stage", "u", stage, "Reply", "(is)", code, "text", "Recipients", "a(is)", 2, first,
            "a", second, "b") >= 0);
    return m;
}

static void test_results(void **state)
{
    static const struct {
        uint32_t stage;
        int code, first, second, error;
    } table[] = {
        {SMTP_STAGE_DONE, 250, 250, 550, 0},
        {SMTP_STAGE_CONNECT, 0, 0, 0, 0},
        {SMTP_STAGE_FINAL, 554, 554, 450, 0},
        {SMTP_STAGE_DONE, 250, 550, 550, -EBADMSG}, /* done, and nobody has it */
        {SMTP_STAGE_DONE + 1, 250, 250, 250, -EBADMSG},
        {UINT32_MAX, 250, 250, 250, -EBADMSG},
        {SMTP_STAGE_MAIL, 600, 0, 0, -EBADMSG},
        {SMTP_STAGE_MAIL, -1, 0, 0, -EBADMSG},
        {SMTP_STAGE_RCPT, 550, 199, 0, -EBADMSG},
        {SMTP_STAGE_RCPT, 550, 550, 100000, -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(attempt_result_freep) AttemptResult *r = NULL;
        int error = read_result(result(table[i].stage, table[i].code, table[i].first, table[i].second), &r);

        if (error != table[i].error)
            fail_msg("case %zu: %d", i, error);
        assert_true((error == 0) == (r != NULL));
    }
}

static void test_malformed(void **state)
{
    char *text = malloc(ATTEMPT_STRING_MAX + 2);
    sd_bus_message *carriers[9];
    size_t n = 0;

    assert_non_null(text);
    memset(text, 'x', ATTEMPT_STRING_MAX + 1);
    text[ATTEMPT_STRING_MAX + 1] = 0;
    for (size_t i = 0; i < ELEMENTSOF(carriers); i++)
        carriers[i] = carrier_new(ATTEMPT_INTERFACE);
    /* No dictionary at all; a value of another type. */
    assert_true(sd_bus_message_append(carriers[n++], "s", "what?") >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "Stage", "s", "done") >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "Recipients", "as", 1, "a") >= 0);
    /* More recipients than were asked for, fewer, longer texts, a string twice. */
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "Recipients", "a(is)", 3, 250, "a", 250, "b", 250, "c") >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "Recipients", "a(is)", 1, 250, "a") >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "Reply", "(is)", 250, text) >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 1, "TlsReason", "s", text) >= 0);
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 2, "TlsGroup", "s", "a", "TlsGroup", "s", "b") >= 0);
    /* A verification that does not exist. */
    assert_true(sd_bus_message_append(carriers[n++], "a{sv}", 2, "TlsVerify", "u", _TLS_VERIFY_MAX, "TlsUsed", "b", 1) >= 0);
    assert_int_equal(n, ELEMENTSOF(carriers));
    for (size_t i = 0; i < n; i++) {
        AttemptResult *r = NULL;

        if (read_result(carriers[i], &r) >= 0)
            fail_msg("case %zu", i);
        assert_null(r);
    }
    free(text);
}

/* Authenticated without TLS cannot be. A key from the future is passed over. */
static void test_verified_needs_tls(void **state)
{
    for (int used = 0; used <= 1; used++) {
        _cleanup_(attempt_result_freep) AttemptResult *r = NULL;
        sd_bus_message *m = carrier_new(ATTEMPT_INTERFACE);

        assert_true(sd_bus_message_append(m, "a{sv}", 3, "TlsVerify", "u", TLS_VERIFY_DANE, "TlsUsed", "b", used, "Future", "a{ss}", 1, "a", "b") >= 0);
        assert_int_equal(read_result(m, &r), used ? 0 : -EBADMSG);
        r = attempt_result_free(r);
        m = carrier_new(ATTEMPT_INTERFACE);
        assert_true(sd_bus_message_append(m, "a{sv}", 2, "StsVerify", "u", TLS_VERIFY_PKIX, "TlsUsed", "b", used) >= 0);
        assert_int_equal(read_result(m, &r), used ? 0 : -EBADMSG);
    }
}

static int read_probe(const SmtpProbe *probe, unsigned times, AttemptResult **ret)
{
    sd_bus_message *m = carrier_new(ATTEMPT_INTERFACE);

    assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
    while (times-- > 0)
        assert_true(probe_append(m, probe) >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    return read_result(m, ret);
}

/* What a probe saw arrives, if it is what a probe can see. */
static void test_probe(void **state)
{
    SmtpProbe p = {
        .greeting = {220, "mx.example.com ESMTP"},
        .extensions = SMTP_EXTENSION_SIZE,
        .has_peer = true,
        .peer = {.subject = "CN=a", .issuer = "CN=b", .common_name = "a", .names = {"mx.example.com", "192.0.2.1"}, .n_names = 2,
                .n_names_left_out = 3, .not_before_usec = 4, .not_after_usec = 5, .fingerprint = "c", .key_fingerprint = "d", .n_sent = 6,
                .authority = "CN=e", .tlsa = -1},
    };
    _cleanup_(attempt_result_freep) AttemptResult *r = NULL;
    AttemptResult *none = NULL;

    assert_int_equal(read_probe(&p, 1, &r), 0);
    assert_memory_equal(r->result.probe, &p, sizeof(p));
    assert_int_equal(read_probe(&p, 2, &none), -EBADMSG);
    p.greeting.code = 1;
    assert_int_equal(read_probe(&p, 1, &none), -EBADMSG);
    p.greeting.code = 220;
    /* A field that was not ended, and so reads on into the next. */
    memset(p.peer.subject, 'x', sizeof(p.peer.subject));
    assert_int_equal(read_probe(&p, 1, &none), -EBADMSG);
    assert_null(none);
}

/* What a request says arrives. */
static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    AttemptRequest **got = userdata;

    if (sd_bus_message_is_method_call(m, ATTEMPT_INTERFACE, "Deliver") > 0)
        assert_int_equal(attempt_request_read(m, got), 0);
    return 0;
}

static void test_request(void **state)
{
    static const char *const names[] = {"mx.example.com", NULL}, *const recipients[] = {"a@example.com"},
                      *const pins[] = {"cert-sha256:a", "spki-sha256:b", NULL}, *const authorities[] = {"cert-sha256:c", NULL};
    const SmtpRequest request = {
        .helo = "gw.example.org",
        .server_name = "mx.example.com",
        .sts_name = "mx2.example.com",
        .want = SMTP_TLS_VERIFY,
        .reference = {.names = names, .rule = TLS_NAMES_DNS, .pins = pins, .pins_and_chain = true, .authorities = authorities,
                .qualified = true},
        .sender = "",
        .recipients = recipients,
        .n_recipients = 1,
        .require_tls = true,
        .probe = true,
    };
    _cleanup_(attempt_request_freep) AttemptRequest *got = NULL;
    sd_bus_slot *slot = NULL;
    sd_bus *worker = NULL;

    worker = carrier_connect();
    assert_true(sd_bus_add_filter(worker, NULL, on_call, &got) >= 0);
    assert_true(attempt_call(carrier_bus(), &slot, &request, STDIN_FILENO, STDOUT_FILENO, on_call, NULL) >= 0);
    while (!got)
        assert_true(sd_event_run(sd_bus_get_event(worker), UINT64_MAX) >= 0);
    assert_string_equal(got->request.server_name, "mx.example.com");
    assert_string_equal(got->request.sts_name, "mx2.example.com");
    assert_int_equal(got->request.want, SMTP_TLS_VERIFY);
    assert_int_equal(got->request.reference.rule, TLS_NAMES_DNS);
    assert_string_equal(got->request.reference.names[0], "mx.example.com");
    assert_null(got->request.reference.names[1]);
    assert_string_equal(got->request.reference.pins[0], pins[0]);
    assert_string_equal(got->request.reference.pins[1], pins[1]);
    assert_null(got->request.reference.pins[2]);
    assert_string_equal(got->request.reference.authorities[0], authorities[0]);
    assert_true(got->request.reference.pins_and_chain);
    assert_true(got->request.reference.qualified);
    assert_true(got->request.require_tls);
    assert_true(got->request.probe);
    assert_false(got->request.smtputf8);
    assert_true(got->socket_fd > 2 && got->message_fd > 2);
    sd_bus_slot_unref(slot);
    sd_bus_close_unref(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_results, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_malformed, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_verified_needs_tls, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_probe, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_request, carrier_setup, carrier_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
