/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration file with anything in it, through the reader, every parser, and a snapshot, which must say the same as the
 * file. */

#include "fuzz.h"

#include <sys/mman.h>

#include "conf.h"

typedef struct Target {
    char *string, *domain;
    char **list, **domains;
    bool yes;
    unsigned number;
    uint64_t size, usec;
    int level;
} Target;

static const ConfRange range = {1, 1000000};
static const ConfEnum levels[] = {{"No", 0}, {"Preferred", 1}, {"Required", 2}, {}};

static const ConfKey keys[] = {
    {"S", "String", conf_parse_string, offsetof(Target, string)},
    {"S", "Domain", conf_parse_domain, offsetof(Target, domain)},
    {"S", "List", conf_parse_strv, offsetof(Target, list)},
    {"S", "Domains", conf_parse_domains, offsetof(Target, domains)},
    {"S", "Yes", conf_parse_bool, offsetof(Target, yes)},
    {"S", "Number", conf_parse_unsigned, offsetof(Target, number), &range},
    {"S", "Size", conf_parse_size, offsetof(Target, size), &range},
    {"S", "Time", conf_parse_usec, offsetof(Target, usec), &range},
    {"S", "Level", conf_parse_enum, offsetof(Target, level), levels},
};

static void *section(void *target, const char *name, const char *of, char **ret_reason)
{
    return of && *of == 'x' ? NULL : target; /* some are refused */
}

static void read_again(const Conf *c)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *again = NULL;
    _cleanup_close_ int fd = -EBADF;

    fd = conf_snapshot(c);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(conf_report_new(&report) >= 0);
    FUZZ_CHECK(conf_read_snapshot(&again, fd, report) >= 0);
    FUZZ_CHECK(conf_report_size(report) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *c = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    Target t = {};
    int r;

    fd = memfd_create("input", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t) size);
    FUZZ_CHECK(conf_report_new(&report) >= 0);
    r = conf_read_snapshot(&c, fd, report);
    FUZZ_CHECK((r >= 0) == (c != NULL));
    FUZZ_CHECK(r != -EBADMSG || conf_report_has_errors(report));
    if (r >= 0) {
        r = conf_apply(c, keys, ELEMENTSOF(keys), section, &t, report);
        FUZZ_CHECK((r >= 0) == !conf_report_has_errors(report));
        read_again(c);
    }
    FUZZ_CHECK(conf_report_text(report, &text) >= 0);
    free(t.string);
    free(t.domain);
    conf_strv_free(t.list);
    conf_strv_free(t.domains);
    return 0;
}
