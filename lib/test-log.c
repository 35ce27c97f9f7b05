/* SPDX-License-Identifier: Apache-2.0 */

/* Lines on stderr where there is no journal. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log.h"

typedef struct Capture {
    int saved, file;
} Capture;

static Capture capture_start(void)
{
    char path[] = "/tmp/test-log.XXXXXX";
    Capture c = {.saved = dup(STDERR_FILENO), .file = mkstemp(path)};

    assert_true(c.saved >= 0 && c.file >= 0);
    assert_int_equal(unlink(path), 0);
    assert_true(dup2(c.file, STDERR_FILENO) >= 0);
    return c;
}

static void capture_end(Capture *c, char *buffer, size_t size)
{
    ssize_t n = pread(c->file, buffer, size - 1, 0);

    assert_true(dup2(c->saved, STDERR_FILENO) >= 0);
    (void) close(c->saved);
    (void) close(c->file);
    assert_true(n >= 0);
    buffer[n] = '\0';
}

static void test_lines(void **state)
{
    const LogField fields[] = {{"POSTERN_QUEUE_ID", "hidden"}, {"POSTERN_PEER", NULL}};
    char text[4096];
    Capture c;

    assert_int_equal(log_open("postern-test"), 0);
    c = capture_start();
    log_info("plain %d", 5);
    log_event(LOG_WARNING, "4846439538644545bc8dff4352962094", fields, ELEMENTSOF(fields), "from <%s>", "a\r\nb\x1b[0m");
    errno = EAGAIN;
    assert_int_equal(log_error_errno(-ENOENT, "Cannot open: %m"), -ENOENT);
    assert_int_equal(log_error_errno(ENOSPC, "Cannot write: %m"), -ENOSPC);
    assert_int_equal(errno, EAGAIN);
    log_debug("not shown");
    assert_int_equal(log_debug_errno(-EIO, "not shown either"), -EIO);
    capture_end(&c, text, sizeof(text));
    assert_string_equal(text,
            "postern-test: plain 5\n"
            "postern-test: from <a?\?b?[0m>\n"
            "postern-test: Cannot open: No such file or directory\n"
            "postern-test: Cannot write: No space left on device\n");
}

static void test_level(void **state)
{
    char text[256];
    Capture c;

    assert_int_equal(log_get_max_level(), LOG_INFO);
    log_set_max_level(LOG_ERR);
    c = capture_start();
    log_warning("no");
    log_error("yes");
    capture_end(&c, text, sizeof(text));
    log_set_max_level(LOG_INFO);
    assert_string_equal(text, "postern-test: yes\n");
}

static void test_long(void **state)
{
    char value[3 * LOG_VALUE_MAX], text[4 * LOG_VALUE_MAX];
    Capture c;

    memset(value, 'x', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    c = capture_start();
    log_info("%s", value);
    capture_end(&c, text, sizeof(text));
    assert_in_range(strlen(text), LOG_VALUE_MAX - 8, LOG_VALUE_MAX + 32);
    assert_non_null(strstr(text, "x\xe2\x80\xa6\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
