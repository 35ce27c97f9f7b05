/* SPDX-License-Identifier: Apache-2.0 */

/* Who gets which alerts, and what alertd.conf may not say. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "alertd-conf.h"

static void test_relay(void **state)
{
    static const struct {
        const char *text, *host; /* host NULL: refused */
        uint16_t port;
    } cases[] = {
        {"Relay.Example.org", "relay.example.org", 25},
        {"relay.example.org:587", "relay.example.org", 587},
        {"192.0.2.1", "192.0.2.1", 25},
        {"192.0.2.1:2525", "192.0.2.1", 2525},
        {"[2001:db8::1]", "2001:db8::1", 25},
        {"[2001:db8::1]:2525", "2001:db8::1", 2525},
        {"2001:db8::1", NULL, 0},
        {"[192.0.2.1]", NULL, 0},
        {"[2001:db8::1", NULL, 0},
        {"[2001:db8::1]x", NULL, 0},
        {"relay:0", NULL, 0},
        {"relay:65536", NULL, 0},
        {"relay:", NULL, 0},
        {"relay:-1", NULL, 0},
        {":25", NULL, 0},
        {"a b", NULL, 0},
        {"", NULL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        AlertRelay relay = {0};
        int r = alert_relay_parse(cases[i].text, &relay);

        assert_int_equal(r, cases[i].host ? 0 : -EINVAL);
        if (!cases[i].host)
            continue;
        assert_string_equal(relay.host, cases[i].host);
        assert_int_equal(relay.port, cases[i].port);
        free(relay.host);
    }
}

/* ---- files ---- */
static char root[] = "/tmp/test-alertd-conf-XXXXXX";
static const char *const directories[] = {"/etc", "/etc/postern"};

static int setup(void **state)
{
    if (!mkdtemp(root))
        return -errno;
    for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s", root, directories[i]) < 0 || mkdir(path, 0755) < 0)
            return -errno;
    }
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"/etc/postern/alertd.conf", "/etc/postern", "/etc", ""};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s", root, names[i]) >= 0)
            (void) remove(path);
    }
    return 0;
}

static int load(const char *text, AlertConfig **ret, ConfReport **ret_report)
{
    _cleanup_free_ char *path = NULL;
    FILE *f;

    assert_true(asprintf(&path, "%s/etc/postern/alertd.conf", root) > 0);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(conf_report_new(ret_report), 0);
    return alert_config_load(ret, root, *ret_report);
}

static void test_defaults(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(alert_config_freep) AlertConfig *c = NULL;

    assert_int_equal(load("[Alertd]\nHostName=Mail.Example.org\n", &c, &report), 0);
    assert_int_equal(conf_report_size(report), 1); /* nobody is mailed */
    assert_string_equal(c->host_name, "mail.example.org");
    assert_string_equal(c->from, "postern-alertd@mail.example.org");
    assert_null(c->relay.host);
    assert_int_equal(c->suppress.initial_usec, 300 * USEC_PER_SEC);
    assert_int_equal(c->suppress.maximum_usec, 3600 * USEC_PER_SEC);
}

static void assert_selected(const AlertConfig *c, AlertSeverity s, AlertType t, const char *const *expected)
{
    _cleanup_(conf_strv_freep) char **addresses = NULL;
    size_t n = 0;

    assert_int_equal(alert_config_select(c, s, t, &addresses), 0);
    for (; expected[n]; n++) {
        assert_non_null(addresses[n]);
        assert_string_equal(addresses[n], expected[n]);
    }
    assert_null(addresses[n]);
}

static void test_select(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(alert_config_freep) AlertConfig *c = NULL;

    assert_int_equal(load("[Alertd]\nRelay=192.0.2.1:2525\nInitialInterval=0\n"
                          "[Recipient all]\nAddress=all@example.org\n"
                          "[Recipient loud]\nAddress=loud@example.org\nSeverities=critical Warning\n"
                          "[Recipient certificates]\nAddress=certs@example.org\nTypes=Certificate\n"
                          "[Recipient twice]\nAddress=all@example.org\nTypes=Queue\n",
                             &c, &report), 0);
    assert_int_equal(conf_report_size(report), 0);
    assert_int_equal(c->suppress.initial_usec, 0);
    assert_string_equal(c->relay.host, "192.0.2.1");
    assert_selected(c, ALERT_INFO, ALERT_SYSTEM, (const char *const[]) {"all@example.org", NULL});
    assert_selected(c, ALERT_CRITICAL, ALERT_QUEUE, (const char *const[]) {"all@example.org", "loud@example.org", NULL});
    assert_selected(c, ALERT_WARNING, ALERT_CERTIFICATE,
            (const char *const[]) {"all@example.org", "loud@example.org", "certs@example.org", NULL});
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"[Alertd]\nRelay=relay:x\n", "alertd.conf:2"},
        {"[Alertd]\nFrom=nobody\n", "alertd.conf:2"},
        {"[Alertd]\nInitialInterval=soon\n", "alertd.conf:2"},
        {"[Recipient a]\nAddress=a@b@c\n", "alertd.conf:2"},
        {"[Recipient a]\nAddress=a@b\nSeverities=Critical Terrible\n", "alertd.conf:3"},
        {"[Recipient a]\nAddress=a@b\nTypes=Mail\n", "alertd.conf:3"},
        {"[Recipient a]\nTypes=Queue\n", "has no Address="},
        {"[Recipient]\nAddress=a@b\n", "[Recipient operators]"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(conf_report_freep) ConfReport *report = NULL;
        _cleanup_(alert_config_freep) AlertConfig *c = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(load(cases[i].text, &c, &report), -EBADMSG);
        assert_null(c);
        assert_int_equal(conf_report_text(report, &text), 0);
        if (!strstr(text, cases[i].complaint))
            fail_msg("\"%s\" not in \"%s\"", cases[i].complaint, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
