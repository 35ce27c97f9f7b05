/* SPDX-License-Identifier: Apache-2.0 */

/* certd.conf: the defaults of a fresh host, lists that add up over drop-ins, and mistakes that are named. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "certd-conf.h"

static char root[64];

static void put(const char *file, const char *content)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *f = NULL;

    assert_true(asprintf(&path, "%s/etc/postern/%s", root, file) > 0);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
}

static int setup(void **state)
{
    _cleanup_free_ char *command = NULL;

    strcpy(root, "/tmp/test-certd-conf-XXXXXX");
    return mkdtemp(root) && asprintf(&command, "mkdir -p %s/etc/postern/certd.conf.d", root) > 0 ? system(command) : -1;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;

    return asprintf(&command, "rm -r %s", root) > 0 ? system(command) : -1;
}

static CertdConf *load(void)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    CertdConf *c = NULL;

    assert_int_equal(conf_report_new(&report), 0);
    assert_int_equal(certd_conf_load(&c, root, report), 0);
    assert_int_equal(conf_report_size(report), 0);
    return c;
}

static void test_default(void **state)
{
    _cleanup_(certd_conf_freep) CertdConf *c = load();
    const ServiceConf *smtpd = certd_conf_service(c, ROLE_SMTPD), *deliverd = certd_conf_service(c, ROLE_DELIVERD | ROLE_SELF);

    assert_string_equal(smtpd->name, "smtpd");
    assert_int_equal(smtpd->side, TLS_SIDE_SERVER);
    assert_true(service_conf_may_use(smtpd, "demonstration"));
    assert_int_equal(deliverd->side, TLS_SIDE_CLIENT);
    assert_false(service_conf_may_use(deliverd, "demonstration"));
    assert_null(certd_conf_service(c, ROLE_ROOT | ROLE_SELF | ROLE_DNSD));
    assert_int_equal(c->rate, 2000);
    assert_int_equal(c->burst, 4000);
}

static void test_drop_ins(void **state)
{
    _cleanup_(certd_conf_freep) CertdConf *c = NULL;
    const ServiceConf *smtpd;

    put("certd.conf", "[Service smtpd]\nCertificates=a b\n[Signing]\nRatePerSecond=10\n");
    put("certd.conf.d/10-more.conf", "[Service deliverd]\nCertificates=out\n[Service smtpd]\nCertificates=c\n");
    c = load();
    smtpd = certd_conf_service(c, ROLE_SMTPD);
    assert_true(service_conf_may_use(smtpd, "a") && service_conf_may_use(smtpd, "b") && service_conf_may_use(smtpd, "c"));
    assert_false(service_conf_may_use(smtpd, "demonstration"));
    assert_true(service_conf_may_use(certd_conf_service(c, ROLE_DELIVERD), "out"));
    assert_int_equal(c->rate, 10);
}

/* Said explicitly, nothing is nothing. */
static void test_empty(void **state)
{
    _cleanup_(certd_conf_freep) CertdConf *c = NULL;

    put("certd.conf", "[Service smtpd]\nCertificates=\n");
    c = load();
    assert_false(service_conf_may_use(certd_conf_service(c, ROLE_SMTPD), "demonstration"));
}

static void test_wrong(void **state)
{
    static const struct {
        const char *text, *expected;
    } mistakes[] = {
        {"[Service httpd]\nCertificates=a\n", "certd.conf:2"},
        {"[Service smtpd]\nCertificates=../../etc/passwd\n", "no name of a certificate"},
        {"[Signing]\nRatePerSecond=0\n", "RatePerSecond"},
        {"[Signing]\nRateBurst=many\n", "RateBurst"},
        {"[Signing]\nRatePerSeconds=1\n", "did you mean 'RatePerSecond'"},
    };

    for (size_t i = 0; i < ELEMENTSOF(mistakes); i++) {
        _cleanup_(conf_report_freep) ConfReport *report = NULL;
        _cleanup_(certd_conf_freep) CertdConf *c = NULL;

        put("certd.conf", mistakes[i].text);
        assert_int_equal(conf_report_new(&report), 0);
        (void) certd_conf_load(&c, root, report);
        assert_int_equal(conf_report_size(report), 1);
        if (!strstr(conf_report_get(report, 0, NULL), mistakes[i].expected))
            fail_msg("'%s' does not say '%s'", conf_report_get(report, 0, NULL), mistakes[i].expected);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_default),
        TEST(test_drop_ins),
        TEST(test_empty),
        TEST(test_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
