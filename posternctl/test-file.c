/* SPDX-License-Identifier: Apache-2.0 */

/* Files that are handed over and that are written: whole, or not at all. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "file.h"

static char directory[] = "/tmp/test-posternctl-file.XXXXXX";
static char path[128];

static int setup(void **state)
{
    if (!mkdtemp(directory))
        return -1;
    (void) snprintf(path, sizeof(path), "%s/file", directory);
    return 0;
}

static int teardown(void **state)
{
    (void) unlink(path);
    return rmdir(directory); /* nothing else is left */
}

static void check_content(const char *expected)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char buffer[64] = "";

    assert_true(file_read(fd, buffer, sizeof(buffer) - 1) >= 0);
    assert_string_equal(buffer, expected);
}

static void test_store(void **state)
{
    _cleanup_(failure_done) Failure failure = {}, second = {}, third = {};
    struct stat st;

    (void) umask(022);
    assert_int_equal(file_store(path, "one", 3, 0666, false, true, &failure), 0);
    check_content("one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    assert_int_equal(file_store(path, "two", 3, 0600, false, true, &failure), -ECANCELED);
    assert_non_null(strstr(failure.text, "/file exists already; --force replaces it"));
    check_content("one");
    assert_int_equal(file_check_absent(path, true, &failure), 0);
    assert_int_equal(file_check_absent("-", false, &failure), 0);
    assert_int_equal(file_check_absent("/nowhere/at/all", false, &failure), 0);
    assert_int_equal(file_check_absent(path, false, &failure), -ECANCELED);

    assert_int_equal(file_store(path, "three", 5, 0600, true, true, &second), 0);
    check_content("three");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    assert_int_equal(file_store("/nowhere/at/all", "x", 1, 0600, true, true, &third), -ECANCELED);
    assert_string_equal(third.text, "Cannot write /nowhere/at/all: No such file or directory");
}

static void test_load(void **state)
{
    _cleanup_(failure_done) Failure failure = {}, missing = {}, large = {};
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ char *data = calloc(1, FILE_SIZE_MAX + 1);
    char buffer[8] = "";

    assert_non_null(data);
    assert_int_equal(file_store(path, "load me", 7, 0600, true, true, &failure), 0);
    assert_int_equal(file_load(path, FILE_SIZE_MAX, &fd, &failure), 0);
    /* What happens to the file afterwards does not matter. */
    assert_int_equal(file_store(path, "another", 7, 0600, true, true, &failure), 0);
    assert_int_equal(pread(fd, buffer, 7, 0), 7);
    assert_string_equal(buffer, "load me");
    assert_true(write(fd, "x", 1) < 0);

    assert_int_equal(file_load("/nowhere/at/all", FILE_SIZE_MAX, &fd, &missing), -ECANCELED);
    assert_string_equal(missing.text, "Cannot open /nowhere/at/all: No such file or directory");

    assert_int_equal(file_store(path, data, FILE_SIZE_MAX + 1, 0600, true, true, &failure), 0);
    assert_int_equal(file_load(path, FILE_SIZE_MAX, &fd, &large), -ECANCELED);
    assert_non_null(strstr(large.text, "is too large"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_load),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
