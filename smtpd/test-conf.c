/* SPDX-License-Identifier: Apache-2.0 */

/* smtpd.conf: defaults, what is set, what is refused and how. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "smtpd-conf.h"

static int load(const char *text, SmtpdConf **ret, char **ret_report)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(conf_freep) Conf *source = NULL;
    _cleanup_close_ int fd = memfd_create("smtpd.conf", MFD_CLOEXEC);
    int r;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(conf_report_new(&report), 0);
    r = conf_read_snapshot(&source, fd, report);
    if (r >= 0)
        r = smtpd_conf_load(ret, source, report);
    assert_int_equal(conf_report_text(report, ret_report), 0);
    return r;
}

static void test_defaults(void **state)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
    _cleanup_free_ char *report = NULL;
    const Listener *l;

    assert_int_equal(load("", &c, &report), 0);
    assert_string_equal(report, "");
    assert_non_null(c->host_name);
    assert_true(c->workers >= 1);
    assert_null(smtpd_conf_listener(c, "public"));

    assert_int_equal(smtpd_conf_require_listener(c, "public"), 1);
    assert_int_equal(smtpd_conf_require_listener(c, "public"), 0);
    l = smtpd_conf_listener(c, "public");
    assert_null(l->certificate);
    assert_string_equal(l->certificate_source, "@listener:public");
    assert_string_equal(l->flow->name, "default");
    assert_int_equal(l->flow->tls, MAIL_FLOW_TLS_NO);
    assert_null(l->flow->domains);
    assert_false(l->flow->verify_client);
    assert_int_equal(l->flow->max_message_size, 50 << 20);
}

static void test_settings(void **state)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
    _cleanup_free_ char *report = NULL;
    const Listener *l;

    assert_int_equal(load("[Smtpd]\nHostName=GW.example.net\nWorkers=3\nStopTimeout=10s\n"
                          "[Listener public]\nMailFlow=strict\nCertificate=mx\nMaxConnections=7\n"
                          "[MailFlow strict]\nTLS=required\nDomains=example.com .example.net\nDomains=example.org\nMaxMessageSize=1M\nVerifyClient=yes\n",
                             &c, &report), 0);
    assert_string_equal(report, "");
    assert_string_equal(c->host_name, "gw.example.net");
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->stop_timeout, 10 * USEC_PER_SEC);
    l = smtpd_conf_listener(c, "public");
    assert_int_equal(l->max_connections, 7);
    assert_int_equal(l->flow->tls, MAIL_FLOW_TLS_REQUIRED);
    assert_string_equal(l->flow->domains[0], "example.com");
    assert_string_equal(l->flow->domains[1], ".example.net");
    assert_string_equal(l->flow->domains[2], "example.org");
    assert_null(l->flow->domains[3]);
    assert_int_equal(l->flow->max_message_size, 1 << 20);
    assert_true(l->flow->verify_client);
    assert_string_equal(l->certificate, "mx");
    assert_string_equal(l->certificate_source, "mx");
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"[MailFlow default]\nTLS=Sometimes\n", "TLS"},
        {"[Listener public]\nMailFlow=absent\n", "[MailFlow absent]"},
        {"[Listener]\nCertificate=x\n", "needs a name"},
        {"[Listener public]\nCertificate=@listener:public\n", "name of a certificate"},
        {"[Listener public]\nCertificate=12345678901234567890123456789012345678901234567890123456789012345\n", "at most 64"},
        {"[Smtpd x]\nWorkers=1\n", "no name"},
        {"[Smtpd]\nWorkers=0\n", "Workers"},
        {"[MailFlow default]\nMaxMessageSize=2T\n", "MaxMessageSize"},
        {"[MailFlow default]\nDomains=exa mple..com\n", "Domains"},
        {"[MailFlow default]\nVerifyClient=yes\n", "needs TLS"},
        {"[MailFlow default]\nTLS=Required\nVerifyClient=perhaps\n", "VerifyClient"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
        _cleanup_free_ char *report = NULL;

        assert_int_equal(load(cases[i].text, &c, &report), -EBADMSG);
        assert_null(c);
        if (!strstr(report, cases[i].complaint))
            fail_msg("%s: %s", cases[i].text, report);
    }
}

static void test_unknown(void **state)
{
    _cleanup_(smtpd_conf_unrefp) SmtpdConf *c = NULL;
    _cleanup_free_ char *report = NULL;

    assert_int_equal(load("[MailFlow default]\nMaxRecipient=100\n", &c, &report), 0);
    assert_non_null(strstr(report, "MaxRecipients"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
