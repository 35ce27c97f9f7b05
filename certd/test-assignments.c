/* SPDX-License-Identifier: Apache-2.0 */

/* Assignments: which uses there are, one certificate for those that have one, the file and all that may be wrong with it, and a
 * rename that was cut short. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "assignments.h"
#include "demo-certificate.h"

typedef struct Fixture {
    char directory[64];
    Store *store;
    Assignments *a;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(Fixture));

    strcpy(f->directory, "/tmp/test-assignments-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    assert_int_equal(store_new(&f->store, f->directory), 0);
    assert_int_equal(assignments_new(&f->a), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Fixture *f = *state;
    int r;

    store_free(f->store);
    assignments_free(f->a);
    assert_true(asprintf(&command, "rm -r %s", f->directory) > 0);
    r = system(command);
    free(f);
    /* Leak checkers look into the process at its end. */
    (void) prctl(PR_SET_DUMPABLE, 1);
    return r;
}

static void test_uses(void **state)
{
    static const struct {
        const char *text;
        int kind; /* negative: none */
        const char *name;
    } cases[] = {
        {"delivery", USE_DELIVERY, ""},
        {"listener:public", USE_LISTENER, "public"},
        {"listener:in/side@2", USE_LISTENER, "in/side@2"},
        {"user:www-data", USE_USER, "www-data"},
        {"user:_apt", USE_USER, "_apt"},
        {"user:me@example.com", USE_USER, "me@example.com"},
        {"", -1, NULL},
        {"Delivery", -1, NULL},
        {"delivery:", -1, NULL},
        {"delivery ", -1, NULL},
        {"listener", -1, NULL},
        {"listener:", -1, NULL},
        {"listener:a:b", -1, NULL},
        {"listener:a b", -1, NULL},
        {"listener:a\nb", -1, NULL},
        {"listener:ü", -1, NULL},
        {"listener:12345678901234567890123456789012345678901234567890123456789012345", -1, NULL},
        {"user:", -1, NULL},
        {"user:33", -1, NULL},
        {"user:-x", -1, NULL},
        {"user:a/b", -1, NULL},
        {"service:smtpd", -1, NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *name;
        UseKind kind;
        int r = use_parse(cases[i].text, &kind, &name);

        if (cases[i].kind < 0) {
            if (r != -EINVAL)
                fail_msg("'%s' is no use", cases[i].text);
            continue;
        }
        assert_int_equal(r, 0);
        assert_int_equal(kind, cases[i].kind);
        assert_string_equal(name, cases[i].name);
    }
}

static void test_a_listener_has_one_certificate(void **state)
{
    Assignments *a = ((Fixture *) *state)->a;

    assert_null(assignments_find(a, "listener:public"));
    assert_int_equal(assignments_add(a, "old", "listener:public", 0), 1);
    assert_int_equal(assignments_add(a, "old", "listener:public", 0), 0);
    assert_int_equal(assignments_add(a, "old", "listener:inside", 0), 1);
    assert_int_equal(assignments_add(a, "new", "listener:public", 0), 1);
    assert_string_equal(assignments_find(a, "listener:public"), "new");
    assert_string_equal(assignments_find(a, "listener:inside"), "old");
    assert_int_equal(a->n, 2);
    assert_true(assignments_permit(a, "new", USE_LISTENER, 0));
    assert_true(assignments_permit(a, "old", USE_LISTENER, 0));
    assert_false(assignments_permit(a, "new", USE_DELIVERY, 0));
    assert_int_equal(assignments_remove(a, "old", "listener:public"), -ENOENT);
    assert_int_equal(assignments_remove(a, "new", "listener:public"), 0);
    assert_null(assignments_find(a, "listener:public"));
}

static void test_a_user_has_several(void **state)
{
    Assignments *a = ((Fixture *) *state)->a;

    assert_int_equal(assignments_add(a, "one", "user:www-data", 33), 1);
    assert_int_equal(assignments_add(a, "two", "user:www-data", 33), 1);
    assert_int_equal(assignments_add(a, "one", "user:haproxy", 104), 1);
    assert_true(assignments_permit(a, "one", USE_USER, 33));
    assert_true(assignments_permit(a, "two", USE_USER, 33));
    assert_false(assignments_permit(a, "two", USE_USER, 104));
    assert_false(assignments_permit(a, "two", USE_USER, 0));
    assert_false(assignments_permit(a, "two", USE_LISTENER, 33));
    assert_string_equal(assignments_user(a, 104), "user:haproxy");
    assert_null(assignments_user(a, 105));
    assert_null(assignments_find(a, "user:www-data"));

    /* A login that has got another uid. */
    assert_int_equal(assignments_add(a, "one", "user:haproxy", 105), 1);
    assert_null(assignments_user(a, 104));
    assert_int_equal(a->n, 3);
}

static void test_rename_and_forget(void **state)
{
    Assignments *a = ((Fixture *) *state)->a;
    const Assignment *each = NULL;

    assert_int_equal(assignments_add(a, "mx", "listener:public", 0), 1);
    assert_int_equal(assignments_add(a, "mx", "delivery", 0), 1);
    assert_int_equal(assignments_add(a, "nn", "user:www-data", 33), 1);
    assignments_rename(a, "mx", "zz");
    assert_null(assignments_next(a, "mx", NULL));
    each = assignments_next(a, "zz", NULL);
    assert_string_equal(each->use, "delivery");
    each = assignments_next(a, "zz", each);
    assert_string_equal(each->use, "listener:public");
    assert_null(assignments_next(a, "zz", each));
    assert_int_equal(assignments_forget(a, "zz"), 2);
    assert_int_equal(assignments_forget(a, "zz"), 0);
    assert_string_equal(a->items[0].certificate, "nn");
}

static void test_limits(void **state)
{
    Assignments *a = ((Fixture *) *state)->a;
    char use[32];

    for (unsigned i = 0; i < ASSIGNMENTS_MAX; i++) {
        (void) snprintf(use, sizeof(use), "listener:l%u", i);
        assert_int_equal(assignments_add(a, "mx", use, 0), 1);
    }
    assert_int_equal(assignments_add(a, "mx", "delivery", 0), -E2BIG);
    assert_int_equal(assignments_add(a, "new", "listener:l7", 0), 1);
    assert_int_equal(assignments_add(a, "../mx", "delivery", 0), -EINVAL);
    assert_int_equal(assignments_add(a, "mx", "deliver", 0), -EINVAL);
    assert_int_equal(assignments_write(a, store_dir_fd(((Fixture *) *state)->store)), 0);
}

static void put_file(const Fixture *f, const char *text, size_t size)
{
    _cleanup_fclose_ FILE *file = NULL;
    _cleanup_free_ char *path = NULL;

    assert_true(asprintf(&path, "%s/" ASSIGNMENTS_FILE, f->directory) > 0);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
}

static void test_file(void **state)
{
    _cleanup_(assignments_freep) Assignments *read = NULL, *none = NULL;
    _cleanup_free_ char *reason = NULL;
    Fixture *f = *state;

    assert_int_equal(assignments_load(&none, f->store, &reason), 0);
    assert_int_equal(none->n, 0);
    assert_int_equal(assignments_add(f->a, "mx", "listener:public", 0), 1);
    assert_int_equal(assignments_add(f->a, "mx", "delivery", 0), 1);
    assert_int_equal(assignments_add(f->a, "web", "user:www-data", 33), 1);
    assert_int_equal(assignments_write(f->a, store_dir_fd(f->store)), 0);
    assert_int_equal(assignments_load(&read, f->store, &reason), 0);
    assert_true(assignments_equal(f->a, read));
    assert_false(assignments_equal(f->a, none));
    assert_true(assignments_permit(read, "web", USE_USER, 33));
}

static void test_wrong_files(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"mx\n", "assignments:1: "},
        {"# x\n\nmx listener:public delivery\n", "assignments:3: "},
        {"mx listener:public\n../x delivery\n", "assignments:2: "},
        {"mx listener:\n", "assignments:1: "},
        {"mx  delivery\n", "assignments:1: "},
        {"web user:www-data\n", "assignments:1: "},
        {"web user:www-data -1\n", "assignments:1: "},
        {"web user:www-data 4294967295\n", "assignments:1: "},
        {"web user:www-data 33 33\n", "assignments:1: "},
        {"mx delivery\nnew delivery\n", "assignments:2: delivery is assigned twice"},
        {"web user:www-data 33\nweb user:www-data 34\n", "assignments:2: "},
        {":renaming mx\n", "assignments:1: "},
        {":renaming mx ../x\n", "assignments:1: "},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *reason = NULL;
        Assignments *read = NULL;

        put_file(f, cases[i].text, strlen(cases[i].text));
        assert_int_equal(assignments_load(&read, f->store, &reason), -EBADMSG);
        assert_null(read);
        if (strncmp(reason, cases[i].reason, strlen(cases[i].reason)) != 0)
            fail_msg("%s: %s", cases[i].text, reason);
    }
}

static void test_files_that_are_refused_as_a_whole(void **state)
{
    _cleanup_free_ char *large = calloc(1, ASSIGNMENTS_FILE_MAX + 1), *reason = NULL, *also = NULL, *open = NULL, *command = NULL;
    Assignments *read = NULL;
    Fixture *f = *state;

    put_file(f, "mx delivery\n\0", 13);
    assert_int_equal(assignments_load(&read, f->store, &reason), -EBADMSG);
    assert_non_null(strstr(reason, "NUL"));
    memset(large, '\n', ASSIGNMENTS_FILE_MAX + 1);
    put_file(f, large, ASSIGNMENTS_FILE_MAX + 1);
    assert_int_equal(assignments_load(&read, f->store, &also), -EBADMSG);
    assert_non_null(strstr(also, "bytes"));
    put_file(f, "mx delivery\n", 12);
    assert_true(asprintf(&command, "chmod g+w %s/" ASSIGNMENTS_FILE, f->directory) > 0);
    assert_int_equal(system(command), 0);
    assert_int_equal(assignments_load(&read, f->store, &open), -EBADMSG);
    assert_non_null(strstr(open, "0600"));
}

/* Killed before the store was changed, or after: the assignments are where the certificate is. */
static void test_a_rename_that_was_cut_short(void **state)
{
    _cleanup_(assignments_freep) Assignments *before = NULL, *after = NULL;
    _cleanup_free_ char *reason = NULL;
    const char *why = NULL;
    Fixture *f = *state;

    assert_int_equal(demo_certificate_create(f->store, "mx.example.com"), 0);
    assert_int_equal(assignments_add(f->a, DEMONSTRATION_NAME, "listener:public", 0), 1);
    assignments_begin_rename(f->a, DEMONSTRATION_NAME, "other");
    assert_int_equal(assignments_write(f->a, store_dir_fd(f->store)), 0);

    assert_int_equal(assignments_load(&before, f->store, &reason), 0);
    assert_string_equal(assignments_find(before, "listener:public"), DEMONSTRATION_NAME);
    assert_string_equal(before->renamed_from, "");

    assert_int_equal(store_rename(f->store, DEMONSTRATION_NAME, "other", &why), 0);
    assert_int_equal(assignments_load(&after, f->store, &reason), 0);
    assert_string_equal(assignments_find(after, "listener:public"), "other");
    assert_string_equal(after->renamed_from, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_uses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_listener_has_one_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_user_has_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_and_forget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_are_refused_as_a_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rename_that_was_cut_short, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
