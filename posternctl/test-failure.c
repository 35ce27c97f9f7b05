/* SPDX-License-Identifier: Apache-2.0 */

/* Errors of the bus as a person and as a script get them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus-error.h"
#include "failure.h"

static void test_errors_of_the_bus(void **state)
{
    static const struct {
        const char *name, *message;
        int r, status;
        const char *text;
    } table[] = {
        {BUS_ERROR_NO_SUCH_MESSAGE, "There is no such message in the queue.", -EIO, STATUS_NOT_FOUND,
                "There is no such message in the queue."},
        {BUS_ERROR_INVALID_ARGUMENT, "This is no domain.", -EIO, STATUS_USAGE, "This is no domain."},
        {BUS_ERROR_WRONG_KEY, "Certificate 'mx': another key.", -EIO, EXIT_FAILURE, "Certificate 'mx': another key."},
        {SD_BUS_ERROR_SERVICE_UNKNOWN, "The name is not activatable", -EHOSTUNREACH, STATUS_NOT_RUNNING,
                "smtpd is not running (systemctl start postern.target starts it)"},
        {SD_BUS_ERROR_ACCESS_DENIED, "Only root may call Reload, not uid 1000.", -EACCES, STATUS_NOT_PERMITTED,
                "Only root may call Reload, not uid 1000."},
        {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "Reload needs interactive authorization.", -EACCES, STATUS_NOT_PERMITTED,
                "smtpd does this for root, and for whom polkit authorizes, which has nobody here to ask for a password (try sudo)"},
        {"System.Error.ETIMEDOUT", "Connection timed out", -ETIMEDOUT, STATUS_NOT_RUNNING, "smtpd did not answer in time"},
        {NULL, NULL, -ECONNREFUSED, STATUS_NOT_RUNNING, "smtpd is not running (systemctl start postern.target starts it)"},
        {NULL, NULL, -EMFILE, EXIT_FAILURE, "smtpd: Too many open files"},
        {"org.example.Unheard", NULL, -EIO, EXIT_FAILURE, "org.example.Unheard"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        _cleanup_(failure_done) Failure f = {};
        const sd_bus_error error = {.name = table[i].name, .message = table[i].message};

        assert_int_equal(failure_set_bus(&f, "smtpd", &error, table[i].r), -ECANCELED);
        assert_int_equal(f.status, table[i].status);
        assert_string_equal(f.text, table[i].text);
    }
}

static void test_the_first_reason_stays(void **state)
{
    _cleanup_(failure_done) Failure f = {};

    assert_int_equal(failure_set(&f, STATUS_USAGE, "first %d", 1), -ECANCELED);
    assert_int_equal(failure_set(&f, EXIT_FAILURE, "second"), -ECANCELED);
    assert_int_equal(f.status, STATUS_USAGE);
    assert_string_equal(f.text, "first 1");
}

static void test_text_of_strangers_is_harmless(void **state)
{
    _cleanup_(failure_done) Failure f = {};

    failure_set(&f, EXIT_FAILURE, "one\x1b[2J\ntwo\r\n\nthree");
    assert_string_equal(f.text, "one?[2J\ntwo?\n\nthree");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_of_the_bus),
        cmocka_unit_test(test_the_first_reason_stays),
        cmocka_unit_test(test_text_of_strangers_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
