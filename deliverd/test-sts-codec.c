/* SPDX-License-Identifier: Apache-2.0 */

/* What a fetcher that was taken over could answer, and that an honest one is understood. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus-error.h"
#include "sts-codec.h"
#include "test-carrier.h"
#include "worker.h"

static int read_back(sd_bus_message *m, StsPolicy **ret, char **reterr_reason)
{
    int r;

    assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
    assert_true(sd_bus_message_rewind(m, true) >= 0);
    r = sts_fetch_read(m, ret, reterr_reason);
    sd_bus_message_unref(m);
    return r;
}

static void test_answers(void **state)
{
    static const struct {
        const char *mode;
        uint32_t max_age;
        const char *mx[3];
        unsigned n;
        int error;
    } table[] = {
        {"enforce", 86400, {"mx.example.com", "*.example.net"}, 2, 0},
        {"testing", 0, {"mx.example.com"}, 1, 0},
        {"none", STS_MAX_AGE_MAX, {}, 0, 0},
        {"enforce", 86400, {}, 0, -EBADMSG},
        {"strict", 86400, {"mx.example.com"}, 1, -EBADMSG},
        {"enforce", STS_MAX_AGE_MAX + 1, {"mx.example.com"}, 1, -EBADMSG},
        {"enforce", 86400, {"MX.example.com"}, 1, -EBADMSG},
        {"enforce", 86400, {"mx.example.com."}, 1, -EBADMSG},
        {"enforce", 86400, {"mx.example.com", "a\nb"}, 2, -EBADMSG},
        {"enforce", 86400, {"*.*.example.com"}, 1, -EBADMSG},
        {"enforce", 86400, {"192.0.2.1"}, 1, -EBADMSG},
        {"enforce", 86400, {""}, 1, -EBADMSG},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
        _cleanup_free_ char *reason = NULL;
        sd_bus_message *m = carrier_new(FETCHER_INTERFACE);

        assert_true(sd_bus_message_append(m, "su", table[i].mode, table[i].max_age) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "s") >= 0);
        for (unsigned k = 0; k < table[i].n; k++)
            assert_true(sd_bus_message_append(m, "s", table[i].mx[k]) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_int_equal(read_back(m, &p, &reason), table[i].error);
        if (table[i].error < 0) {
            assert_null(p);
            continue;
        }
        assert_string_equal(sts_mode_to_string(p->mode), table[i].mode);
        assert_int_equal(p->max_age, table[i].max_age);
        assert_int_equal(p->n_mx, table[i].n);
        for (unsigned k = 0; k < table[i].n; k++)
            assert_string_equal(p->mx[k], table[i].mx[k]);
    }
}

static void test_too_many_hosts(void **state)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
    _cleanup_free_ char *reason = NULL;
    sd_bus_message *m = carrier_new(FETCHER_INTERFACE);

    assert_true(sd_bus_message_append(m, "su", "enforce", 5u) >= 0);
    assert_true(sd_bus_message_open_container(m, 'a', "s") >= 0);
    for (unsigned i = 0; i <= STS_MX_MAX; i++)
        assert_true(sd_bus_message_append(m, "s", "mx.example.com") >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    assert_int_equal(read_back(m, &p, &reason), -EBADMSG);
}

static void test_another_type(void **state)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;
    _cleanup_free_ char *reason = NULL;
    sd_bus_message *m = carrier_new(FETCHER_INTERFACE);

    assert_true(sd_bus_message_append(m, "sss", "enforce", "5", "mx.example.com") >= 0);
    assert_true(read_back(m, &p, &reason) < 0);
    assert_null(p);
}

static int read_error(const char *name, const char *text, char **reterr_reason)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = carrier_new(FETCHER_INTERFACE), *m = NULL;
    _cleanup_(sts_policy_unrefp) StsPolicy *p = NULL;

    assert_true(sd_bus_message_seal(call, 1, 0) >= 0);
    assert_true(sd_bus_message_new_method_errorf(call, &m, name, "%s", text) >= 0);
    return read_back(sd_bus_message_ref(m), &p, reterr_reason);
}

/* Only one error says that there is no policy; its text cannot forge a journal entry. */
static void test_errors(void **state)
{
    _cleanup_free_ char *reason = NULL, *none = NULL;

    assert_int_equal(read_error(BUS_ERROR_NO_STS_POLICY, "status 404\nMESSAGE=all is well\x1b[2J", &reason), -ENODATA);
    assert_string_equal(reason, "status 404?MESSAGE=all is well?[2J");
    assert_int_equal(read_error("System.Error.ENOKEY", "", &none), -ENOKEY);
    assert_int_equal(read_error("org.example.Strange", "", &none), -EIO);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_hosts, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_another_type, carrier_setup, carrier_teardown),
        cmocka_unit_test_setup_teardown(test_errors, carrier_setup, carrier_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
