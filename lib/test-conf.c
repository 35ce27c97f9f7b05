/* SPDX-License-Identifier: Apache-2.0 */

/* Configuration files in a directory of the test's own: order and masking of drop-ins, each complaint by its words, values by
 * table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "conf.h"

typedef struct Item {
    char name[32];
    unsigned number;
} Item;

typedef struct Target {
    char *string, *domain;
    char **list, **domains;
    bool yes;
    unsigned number;
    uint64_t size, usec;
    int level;
    Item items[4];
    size_t n_items;
} Target;

static const ConfRange number_range = {1, 1000};
static const ConfRange size_range = {1024, 100 * 1024 * 1024};
static const ConfRange usec_range = {USEC_PER_SEC, 7 * 24 * 3600 * USEC_PER_SEC};
static const ConfEnum levels[] = {{"No", 0}, {"Preferred", 1}, {"Required", 2}, {}};

static const ConfKey keys[] = {
    {"Test", "String", conf_parse_string, offsetof(Target, string)},
    {"Test", "Domain", conf_parse_domain, offsetof(Target, domain)},
    {"Test", "List", conf_parse_strv, offsetof(Target, list)},
    {"Test", "Domains", conf_parse_domains, offsetof(Target, domains)},
    {"Test", "Yes", conf_parse_bool, offsetof(Target, yes)},
    {"Test", "Number", conf_parse_unsigned, offsetof(Target, number), &number_range},
    {"Test", "Size", conf_parse_size, offsetof(Target, size), &size_range},
    {"Test", "Time", conf_parse_usec, offsetof(Target, usec), &usec_range},
    {"Test", "TLS", conf_parse_enum, offsetof(Target, level), levels},
    {"Item", "ItemNumber", conf_parse_unsigned, offsetof(Item, number)},
};

static void *section(void *target, const char *name, const char *of, char **ret_reason)
{
    Target *t = target;

    if (streq(name, "Test"))
        return of ? NULL : t;
    if (!of || strlen(of) >= sizeof(t->items[0].name)) {
        *ret_reason = strdup("an item needs a name");
        return NULL;
    }
    for (size_t i = 0; i < t->n_items; i++)
        if (streq(t->items[i].name, of))
            return &t->items[i];
    if (t->n_items == ELEMENTSOF(t->items))
        return NULL;
    strcpy(t->items[t->n_items].name, of);
    return &t->items[t->n_items++];
}

static void target_done(Target *t)
{
    free(t->string);
    free(t->domain);
    conf_strv_free(t->list);
    conf_strv_free(t->domains);
}

/* ---- a root ---- */

static char root[] = "/tmp/test-conf.XXXXXX";

static int setup(void **state)
{
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* An empty root before each test. */
static int clear(void **state)
{
    (void) teardown(state);
    return mkdir(root, 0700);
}

static void make_path(char path[static 512], const char *relative)
{
    (void) snprintf(path, 512, "%s%s", root, relative);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        (void) mkdir(path, 0700);
        *p = '/';
    }
}

static void put(const char *relative, const char *text)
{
    char path[512];
    FILE *f;

    make_path(path, relative);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void put_link(const char *relative, const char *to)
{
    char path[512];

    make_path(path, relative);
    assert_int_equal(symlink(to, path), 0);
}

/* Reads and applies; report as text with the root's path left out. */
static int load(Target *t, char **ret_complaints)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *c = NULL;
    char *text, *p;
    int r;

    assert_int_equal(conf_report_new(&report), 0);
    r = conf_read(&c, root, "test", report);
    if (r >= 0)
        r = conf_apply(c, keys, ELEMENTSOF(keys), section, t, report);
    assert_int_equal(r == -EBADMSG, conf_report_has_errors(report));
    assert_int_equal(conf_report_text(report, &text), 0);
    while ((p = strstr(text, root)))
        memmove(p, p + strlen(root), strlen(p + strlen(root)) + 1);
    *ret_complaints = text;
    return r;
}

static void expect(const char *main_file, int result, const char *complaints)
{
    _cleanup_free_ char *text = NULL;
    Target t = {};
    int r;

    put("/etc/postern/test.conf", main_file);
    r = load(&t, &text);
    target_done(&t);
    assert_string_equal(text, complaints);
    assert_int_equal(r, result);
}

static void test_nothing(void **state)
{
    _cleanup_free_ char *text = NULL;
    Target t = {};

    assert_int_equal(load(&t, &text), 0);
    assert_string_equal(text, "");
}

static void test_order(void **state)
{
    _cleanup_free_ char *text = NULL;
    Target t = {};

    put("/etc/postern/test.conf", "[Test]\nNumber=1\nList=main\n[Item a]\nItemNumber=1\n");
    put("/usr/lib/postern/test.conf.d/10-a.conf", "[Test]\nNumber=10\nList=usr\nString=overridden\n");
    put("/usr/local/lib/postern/test.conf.d/10-a.conf", "[Test]\nNumber=11\nList=local\n");
    put("/run/postern/test.conf.d/20-b.conf", "[Test]\nNumber=20\nList=run run\n[Item b]\nItemNumber=2\n[Item a]\nItemNumber=3\n");
    put("/etc/postern/test.conf.d/30-c.conf", "[Test]\nList=etc\n");
    put("/usr/lib/postern/test.conf.d/40-masked.conf", "[Test]\nNumber=40\n");
    put_link("/etc/postern/test.conf.d/40-masked.conf", "/dev/null");
    put("/etc/postern/test.conf.d/50-other.txt", "[Test]\nNumber=50\n");
    put("/etc/postern/test.conf.d/.60-hidden.conf", "[Test]\nNumber=60\n");

    assert_int_equal(load(&t, &text), 0);
    assert_string_equal(text, "");
    assert_int_equal(t.number, 20);
    assert_null(t.string);
    assert_string_equal(t.list[0], "main");
    assert_string_equal(t.list[1], "local");
    assert_string_equal(t.list[2], "run");
    assert_string_equal(t.list[3], "run");
    assert_string_equal(t.list[4], "etc");
    assert_null(t.list[5]);
    assert_int_equal(t.n_items, 2);
    assert_int_equal(t.items[0].number, 3);
    assert_int_equal(t.items[1].number, 2);
    target_done(&t);
}

static void test_values(void **state)
{
    _cleanup_free_ char *text = NULL;
    Target t = {};

    put("/etc/postern/test.conf",
            "\xef\xbb\xbf; a comment\n"
            "  # another\r\n"
            "[Test]\r\n"
            "  String = a value with spaces; and = signs  \r\n"
            "\tDomain=M\xc3\xbcller.Example\n"
            "List=one two\n"
            "List=\n"
            "List=\tthree  four\n"
            "Domains=A.example .B.example\n"
            "Yes=on\n"
            "Number=0012\n"
            "Size=10M\n"
            "Time=1h 5min30s\n"
            "TLS=required\n");
    assert_int_equal(load(&t, &text), 0);
    assert_string_equal(text, "");
    assert_string_equal(t.string, "a value with spaces; and = signs");
    assert_string_equal(t.domain, "xn--mller-kva.example");
    assert_string_equal(t.list[0], "three");
    assert_string_equal(t.list[1], "four");
    assert_null(t.list[2]);
    assert_string_equal(t.domains[0], "a.example");
    assert_string_equal(t.domains[1], ".b.example");
    assert_true(t.yes);
    assert_int_equal(t.number, 12);
    assert_int_equal(t.size, 10 * 1024 * 1024);
    assert_int_equal(t.usec, 3930 * USEC_PER_SEC);
    assert_int_equal(t.level, 2);
    target_done(&t);
}

static void test_reset(void **state)
{
    _cleanup_free_ char *text = NULL;
    Target t = {.yes = true, .number = 5, .size = 5, .usec = 5, .level = 2, .string = strdup("x")};

    put("/etc/postern/test.conf", "[Test]\nString=\nDomain=\nList=\nDomains=\nYes=\nNumber=\nSize=\nTime=\nTLS=\n");
    assert_int_equal(load(&t, &text), 0);
    assert_string_equal(text, "");
    assert_true(!t.yes && t.number == 0 && t.size == 0 && t.usec == 0 && t.level == 0 && !t.string && !t.domain && !t.list);
}

#define FILE_LINE(n) "/etc/postern/test.conf:" #n ": "

static void test_complaints(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *complaints;
    } table[] = {
        /* Names that are not known: warnings. */
        {"[Test]\nTSL=No\n", 0, FILE_LINE(2) "Unknown key 'TSL' in [Test], ignored; did you mean 'TLS'?"},
        {"[Test]\ntls=No\n", 0, FILE_LINE(2) "Unknown key 'tls' in [Test], ignored; did you mean 'TLS'?"},
        {"[Item x]\nNumber=1\n", 0, FILE_LINE(2) "Unknown key 'Number' in [Item x], ignored; it belongs in [Test]"},
        {"[Test]\nColour=red\n", 0, FILE_LINE(2) "Unknown key 'Colour' in [Test], ignored"},
        {"[Tset]\nNumber=1\nNumber=2\n", 0, FILE_LINE(2) "Unknown section [Tset], ignored; did you mean [Test]?"},
        {"[Unrelated]\nNumber=1\n", 0, FILE_LINE(2) "Unknown section [Unrelated], ignored"},
        /* Sections. */
        {"[Item]\nItemNumber=1\n", -EBADMSG, FILE_LINE(2) "[Item]: an item needs a name"},
        {"[Test x]\nNumber=1\n", -EBADMSG, FILE_LINE(2) "[Test x]: the section is not possible here"},
        {"[Test\nNumber=1\n", -EBADMSG, FILE_LINE(1) "Section header without ']'"},
        {"[Test] # x\nNumber=1\n", -EBADMSG, FILE_LINE(1) "Text behind the ']' of a section header; put it on a line of its own"},
        {"[]\n", -EBADMSG, FILE_LINE(1) "Section header is not [Section] or [Section name]"},
        {"Number=1\n", -EBADMSG, FILE_LINE(1) "Assignment before the first [Section]"},
        /* Lines. */
        {"[Test]\nNumber\n", -EBADMSG, FILE_LINE(2) "Line is not 'Key=Value', '[Section]' or a comment"},
        {"[Test]\nNumber: 1\n", -EBADMSG, FILE_LINE(2) "Line is not 'Key=Value', '[Section]' or a comment"},
        {"[Test]\n=1\n", -EBADMSG, FILE_LINE(2) "Line is not 'Key=Value', '[Section]' or a comment"},
        {"[Test]\nNumber=1 ; one\n", -EBADMSG, FILE_LINE(2) "' ;' within a line; a comment needs a line of its own"},
        {"[Test]\nList=a \\\n b\n", -EBADMSG,
                FILE_LINE(2) "Lines cannot be continued with '\\'; assign the rest of a list to the same key again\n"
                FILE_LINE(3) "Line is not 'Key=Value', '[Section]' or a comment"},
        {"[Test]\nString=a\x1b[0m\n", -EBADMSG, FILE_LINE(2) "Line contains a control character; remove it"},
        /* Values. */
        {"[Test]\nTLS=Maybe\n", -EBADMSG, FILE_LINE(2) "Wrong value 'Maybe' of 'TLS' in [Test]: expected No, Preferred or Required"},
        {"[Test]\nYes=maybe\n", -EBADMSG, FILE_LINE(2) "Wrong value 'maybe' of 'Yes' in [Test]: expected 'yes' or 'no'"},
        {"[Test]\nNumber=-1\n", -EBADMSG, FILE_LINE(2) "Wrong value '-1' of 'Number' in [Test]: expected a number"},
        {"[Test]\nNumber=1x\n", -EBADMSG, FILE_LINE(2) "Wrong value '1x' of 'Number' in [Test]: expected a number"},
        {"[Test]\nNumber=0\n", -EBADMSG, FILE_LINE(2) "Wrong value '0' of 'Number' in [Test]: expected a number from 1 to 1000"},
        {"[Test]\nNumber=99999999999999999999\n", -EBADMSG,
                FILE_LINE(2) "Wrong value '99999999999999999999' of 'Number' in [Test]: expected a number from 1 to 1000"},
        {"[Item x]\nItemNumber=4294967296\n", -EBADMSG,
                FILE_LINE(2) "Wrong value '4294967296' of 'ItemNumber' in [Item x]: expected a number from 0 to 4294967295"},
        {"[Test]\nSize=5X\n", -EBADMSG, FILE_LINE(2) "Wrong value '5X' of 'Size' in [Test]: expected a size in bytes, such as 4096, 64K or 10M"},
        {"[Test]\nSize=101M\n", -EBADMSG, FILE_LINE(2) "Wrong value '101M' of 'Size' in [Test]: expected a size from 1K to 100M"},
        {"[Test]\nSize=99999999999T\n", -EBADMSG, FILE_LINE(2) "Wrong value '99999999999T' of 'Size' in [Test]: expected a size from 1K to 100M"},
        {"[Test]\nTime=soon\n", -EBADMSG,
                FILE_LINE(2) "Wrong value 'soon' of 'Time' in [Test]: expected a time span such as 30s, 5min, 2h or 1d; a plain number is seconds"},
        {"[Test]\nTime=8d\n", -EBADMSG, FILE_LINE(2) "Wrong value '8d' of 'Time' in [Test]: expected a time span from 1s to 1w"},
        {"[Test]\nTime=5ms\n", -EBADMSG, FILE_LINE(2) "Wrong value '5ms' of 'Time' in [Test]: expected a time span from 1s to 1w"},
        {"[Test]\nTime=9999999999999w\n", -EBADMSG, FILE_LINE(2) "Wrong value '9999999999999w' of 'Time' in [Test]: expected a time span from 1s to 1w"},
        {"[Test]\nDomain=a b\n", -EBADMSG, FILE_LINE(2) "Wrong value 'a b' of 'Domain' in [Test]: 'a b' is not a domain name"},
        {"[Test]\nDomains=a.example -b\n", -EBADMSG, FILE_LINE(2) "Wrong value 'a.example -b' of 'Domains' in [Test]: '-b' is not a domain name"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        expect(table[i].text, table[i].result, table[i].complaints);
}

static void test_long_line(void **state)
{
    char text[CONF_LINE_MAX + 64];
    int n = snprintf(text, sizeof(text), "[Test]\nString=");

    memset(text + n, 'x', CONF_LINE_MAX - 7);
    strcpy(text + n + CONF_LINE_MAX - 7, "\nNumber=1\n");
    expect(text, 0, "");
    memcpy(text + n + CONF_LINE_MAX - 7, "x\nNumber=0", 11);
    expect(text, -EBADMSG, FILE_LINE(2) "Line of 191 bytes is too long, at most 190 are read; divide a list into several assignments of its key");
}

/* inih alone would cut the name at 49 bytes. */
static void test_long_section_name(void **state)
{
    expect("[Item xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\nItemNumber=1\n", -EBADMSG,
            FILE_LINE(2) "[Item xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]: an item needs a name");
}

static void test_too_many(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    char *text = malloc(CONF_ASSIGNMENTS_MAX * 16), *p = text;

    assert_non_null(text);
    p = stpcpy(p, "[Test]\n");
    for (unsigned i = 0; i < CONF_ASSIGNMENTS_MAX; i++)
        p = stpcpy(p, "Number=1\n");
    expect(text, 0, "");
    (void) stpcpy(p, "Number=1\nNumber=1\n");
    expect(text, -EBADMSG, FILE_LINE(4098) "Too many assignments in all files together");
    free(text);

    assert_int_equal(conf_report_new(&report), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(conf_report_add(report, i == 999 ? CONF_ERROR : CONF_WARNING, NULL, 0, "Complaint %u", i), 0);
    assert_int_equal(conf_report_size(report), 65);
    assert_string_equal(conf_report_get(report, 0, NULL), "Complaint 0");
    assert_string_equal(conf_report_get(report, 64, NULL), "There are more complaints; correct these first");
    assert_true(conf_report_has_errors(report)); /* not lost with its text */
}

static void test_files(void **state)
{
    _cleanup_free_ char *text = NULL, *text2 = NULL;
    char path[512];
    Target t = {};

    put_link("/etc/postern/test.conf", "/nonexistent/target");
    assert_int_equal(load(&t, &text), -EBADMSG);
    assert_string_equal(text, "/etc/postern/test.conf: Cannot be opened: No such file or directory");

    make_path(path, "/etc/postern/test.conf");
    assert_int_equal(unlink(path), 0);
    make_path(path, "/etc/postern/test.conf.d/dir.conf/x");
    assert_int_equal(load(&t, &text2), -EBADMSG);
    assert_string_equal(text2, "/etc/postern/test.conf.d/dir.conf: Is not a regular file");
}

static void test_printable(void **state)
{
    expect("[Test]\nTLS=\xff\xc2\x9b\n", -EBADMSG, FILE_LINE(2) "Wrong value '?\?' of 'TLS' in [Test]: expected No, Preferred or Required");
}

static void test_snapshot(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *c = NULL;
    _cleanup_close_ int fd = -EBADF;

    put("/etc/postern/test.conf", "[Test]\nNumber=1\nList=a\n[Item long name]\nItemNumber=7\n");
    put("/etc/postern/test.conf.d/a.conf", "[Test]\nList=b c\nString=\n");
    assert_int_equal(conf_report_new(&report), 0);
    assert_int_equal(conf_read(&c, root, "test", report), 0);
    fd = conf_snapshot(c);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);

    for (int i = 0; i < 2; i++) { /* whatever the offset is */
        _cleanup_(conf_freep) Conf *copy = NULL;
        Target t = {};

        assert_int_equal(conf_read_snapshot(&copy, fd, report), 0);
        assert_int_equal(conf_apply(copy, keys, ELEMENTSOF(keys), section, &t, report), 0);
        assert_int_equal(t.number, 1);
        assert_string_equal(t.list[2], "c");
        assert_string_equal(t.items[0].name, "long name");
        assert_int_equal(t.items[0].number, 7);
        target_done(&t);
    }
    assert_int_equal(conf_report_size(report), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing, clear),
        cmocka_unit_test_setup(test_order, clear),
        cmocka_unit_test_setup(test_values, clear),
        cmocka_unit_test_setup(test_reset, clear),
        cmocka_unit_test_setup(test_complaints, clear),
        cmocka_unit_test_setup(test_long_line, clear),
        cmocka_unit_test_setup(test_long_section_name, clear),
        cmocka_unit_test_setup(test_too_many, clear),
        cmocka_unit_test_setup(test_files, clear),
        cmocka_unit_test_setup(test_printable, clear),
        cmocka_unit_test_setup(test_snapshot, clear),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
