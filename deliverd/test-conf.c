/* SPDX-License-Identifier: Apache-2.0 */

/* deliverd.conf: defaults, the most specific destination, and what is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "deliverd-conf.h"

/* As a worker reads it. */
static int load(const char *text, DeliverdConf **ret, ConfReport *report)
{
    _cleanup_close_ int fd = memfd_create("deliverd.conf", MFD_CLOEXEC);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return deliverd_conf_read_snapshot(ret, fd, report);
}

static DeliverdConf *load_valid(const char *text)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    DeliverdConf *c = NULL;

    assert_int_equal(conf_report_new(&report), 0);
    assert_int_equal(load(text, &c, report), 0);
    assert_int_equal(conf_report_size(report), 0);
    return c;
}

static void test_defaults(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid("");
    DestinationPolicy p = destination_policy(&c->destinations, "example.com");

    assert_int_equal(p.tls, TLS_LEVEL_PREFERRED);
    assert_int_equal(p.dane, DANE_OPPORTUNISTIC);
    assert_int_equal(p.fallback, FALLBACK_ALWAYS);
    assert_null(p.route);
    assert_true(p.verify_insecure_mx);
    assert_true(p.mta_sts);
    assert_int_equal(p.max_recipients, 0);
    assert_int_equal(p.recipient_period, 3600 * USEC_PER_SEC);
    assert_true(c->alert_on_tls_failure);
    assert_int_equal(c->queue_lifetime, 5 * 24 * 3600 * USEC_PER_SEC);
    assert_non_null(c->host_name);
}

static void test_destinations(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid(
            "[Deliverd]\nRetryInterval=2s\nHostName=GW.Example.Org\n"
            "[Destination default]\nTLS=Required\nRoute=relay.example.net:2525\nRecipientPeriod=1min\n"
            "[Destination .example.com]\nDANE=Mandatory\nPlaintextFallback=never\n"
            "[Destination .sub.example.com]\nTLS=Preferred\n"
            "[Destination sub.example.com]\nDANE=None\nTLS=Default\nMaxConnections=3\nMaxRecipients=100\n"
            "[Destination clear.example]\nTLS=No\n"
            "[Destination empty.example]\nTLS=No\nTLS=\n");
    const struct {
        const char *domain;
        TlsLevel tls;
        DaneLevel dane;
        PlaintextFallback fallback;
        unsigned max_connections, max_recipients;
    } cases[] = {
        {"other.example", TLS_LEVEL_REQUIRED, DANE_OPPORTUNISTIC, FALLBACK_ALWAYS, 20},
        {"example.com", TLS_LEVEL_REQUIRED, DANE_OPPORTUNISTIC, FALLBACK_ALWAYS, 20},
        {"a.example.com", TLS_LEVEL_REQUIRED, DANE_MANDATORY, FALLBACK_NEVER, 20},
        {"a.sub.example.com", TLS_LEVEL_PREFERRED, DANE_MANDATORY, FALLBACK_NEVER, 20},
        {"sub.example.com", TLS_LEVEL_REQUIRED, DANE_NONE, FALLBACK_NEVER, 3, 100},
        {"clear.example", TLS_LEVEL_NO, DANE_NONE, FALLBACK_ALWAYS, 20},
        {"empty.example", TLS_LEVEL_REQUIRED, DANE_OPPORTUNISTIC, FALLBACK_ALWAYS, 20},
    };

    assert_int_equal(c->retry_interval, 2 * USEC_PER_SEC);
    assert_string_equal(c->host_name, "gw.example.org");
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        DestinationPolicy p = destination_policy(&c->destinations, cases[i].domain);

        print_message("%s\n", cases[i].domain);
        assert_int_equal(p.tls, cases[i].tls);
        assert_int_equal(p.dane, cases[i].dane);
        assert_int_equal(p.fallback, cases[i].fallback);
        assert_int_equal(p.max_connections, cases[i].max_connections);
        assert_int_equal(p.max_recipients, cases[i].max_recipients);
        assert_int_equal(p.recipient_period, 60 * USEC_PER_SEC);
        assert_string_equal(p.route, "relay.example.net:2525");
    }
}

/* Where settings come from, and what is said in their place for once. */
static void test_sources(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid(
            "[Destination default]\nTLS=Required\n[Destination .example.com]\nDANE=Mandatory\nRoute=relay.example.net\n"
            "[Destination a.example.com]\nTLS=Required-Verify\nMTASTS=no\n");
    DestinationSection over = {.pattern = (char *) "over", .tls = TLS_LEVEL_NO, .dane = DESTINATION_UNSET,
            .fallback = DESTINATION_UNSET, .mta_sts = DESTINATION_UNSET, .verify_insecure_mx = DESTINATION_UNSET,
            .require_fqdn = DESTINATION_UNSET};
    DestinationSources from;
    DestinationPolicy p;

    p = destination_policy_with(&c->destinations, "a.example.com", NULL, &from);
    assert_int_equal(p.tls, TLS_LEVEL_REQUIRED_VERIFY);
    assert_string_equal(from.tls, "a.example.com");
    assert_string_equal(from.dane, ".example.com");
    assert_string_equal(from.mta_sts, "a.example.com");
    assert_string_equal(from.route, ".example.com");
    p = destination_policy_with(&c->destinations, "other.example", NULL, &from);
    assert_string_equal(from.tls, "default");
    assert_null(from.dane);
    assert_null(from.mta_sts);
    assert_null(from.route);

    p = destination_policy_with(&c->destinations, "a.example.com", &over, &from);
    assert_int_equal(p.tls, TLS_LEVEL_NO);
    assert_int_equal(p.dane, DANE_NONE);
    assert_string_equal(from.tls, "over");
    assert_string_equal(from.dane, ".example.com");
    assert_string_equal(p.route, "relay.example.net");
}

static void test_verification(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid(
            "[Destination default]\nTLS=Preferred-Verify\nVerifyInsecureMX=no\n"
            "[Destination .example.com]\nTLS=Required-Verify\nVerifyInsecureMX=\n"
            "[Destination a.example.com]\nTLS=required-verify-hosted\nVerifyInsecureMX=yes\n");
    const struct {
        const char *domain;
        TlsLevel tls;
        bool verify_insecure_mx;
    } cases[] = {
        {"other.example", TLS_LEVEL_PREFERRED_VERIFY, false},
        {"b.example.com", TLS_LEVEL_REQUIRED_VERIFY, false},
        {"a.example.com", TLS_LEVEL_REQUIRED_VERIFY_HOSTED, true},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        DestinationPolicy p = destination_policy(&c->destinations, cases[i].domain);

        assert_int_equal(p.tls, cases[i].tls);
        assert_int_equal(p.verify_insecure_mx, cases[i].verify_insecure_mx);
    }
}

static void test_mta_sts(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid(
            "[Destination default]\nMTASTS=no\n"
            "[Destination .example.com]\nMTASTS=yes\n"
            "[Destination b.example.com]\nTLS=No\n");

    assert_false(destination_policy(&c->destinations, "other.example").mta_sts);
    assert_true(destination_policy(&c->destinations, "a.example.com").mta_sts);
    assert_false(destination_policy(&c->destinations, "b.example.com").mta_sts);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_pins(void **state)
{
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = load_valid(
            "[Destination default]\nTLS=Required-Verify\nRequireFQDN=yes\n"
            "[Destination .example.com]\nTrustedAuthority=01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:"
            "01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF\n"
            "[Destination a.example.com]\nPinnedCertificate=cert-sha256:" HEX "\nPinnedCertificate=spki-sha256:" HEX "\nRequireFQDN=no\n"
            "[Destination b.example.com]\nPinnedCertificate=cert-sha256:" HEX "\nPinnedCertificate=\n");
    DestinationPolicy p = destination_policy(&c->destinations, "a.example.com");

    assert_string_equal(p.pins[0], "cert-sha256:" HEX);
    assert_string_equal(p.pins[1], "spki-sha256:" HEX);
    assert_null(p.pins[2]);
    assert_string_equal(p.authorities[0], "cert-sha256:" HEX);
    assert_null(p.authorities[1]);
    assert_false(p.require_fqdn);
    p = destination_policy(&c->destinations, "b.example.com");
    assert_null(p.pins);
    assert_non_null(p.authorities);
    assert_true(p.require_fqdn);
    p = destination_policy(&c->destinations, "other.example");
    assert_null(p.pins);
    assert_null(p.authorities);
}

/* What cannot have an effect is said, as it looks like security. */
static void test_pins_without_verification(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = NULL;

    assert_int_equal(conf_report_new(&report), 0);
    assert_int_equal(load("[Destination example.com]\nTLS=Required\nPinnedCertificate=cert-sha256:" HEX "\n", &c, report), 0);
    assert_int_equal(conf_report_size(report), 1);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "[Destination example.com]\nTLS=Perhaps\n",
        "[Destination example.com]\nDANE=Yes\n",
        "[Destination example.com]\nVerifyInsecureMX=perhaps\n",
        "[Destination example.com]\nMTASTS=perhaps\n",
        "[Destination example.com]\nTLS=Required-Verify\nPinnedCertificate=" HEX "\n",
        "[Destination example.com]\nTLS=Required-Verify\nPinnedCertificate=cert-sha256:0123\n",
        "[Destination example.com]\nTLS=Required-Verify\nTrustedAuthority=My Authority\n",
        "[Destination example.com]\nTLS=Required-Verify\nRequireFQDN=perhaps\n",
        "[Destination]\nTLS=No\n",
        "[Destination exa mple]\nTLS=No\n",
        "[Destination example.com]\nRoute=host:0\n",
        "[Destination example.com]\nTLS=No\nDANE=Mandatory\n",
        "[Deliverd x]\nWorkers=1\n",
        "[Deliverd]\nRetryInterval=0\n",
        "[Deliverd]\nWorkers=1000\n",
        "[Deliverd]\nHostName=-x-\n",
    };

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        _cleanup_(conf_report_freep) ConfReport *report = NULL;
        _cleanup_(deliverd_conf_unrefp) DeliverdConf *c = NULL;

        print_message("%s", bad[i]);
        assert_int_equal(conf_report_new(&report), 0);
        assert_int_equal(load(bad[i], &c, report), -EBADMSG);
        assert_null(c);
        assert_true(conf_report_size(report) > 0);
    }
}

static void test_route(void **state)
{
    const struct {
        const char *text;
        int r;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"mx.example.com", 0, "mx.example.com", 25},
        {"MX.example.com:2525", 0, "mx.example.com", 2525},
        {"192.0.2.1:26", 0, "192.0.2.1", 26},
        {"[2001:db8::1]:26", 0, "2001:db8::1", 26},
        {"[2001:db8::1]", 0, "2001:db8::1", 25},
        {"2001:db8::1", -EINVAL, NULL, 0},
        {"[mx.example.com]", -EINVAL, NULL, 0},
        {"mx.example.com:", -EINVAL, NULL, 0},
        {"mx.example.com:65536", -EINVAL, NULL, 0},
        {"mx.example.com:+5", -EINVAL, NULL, 0},
        {"[2001:db8::1", -EINVAL, NULL, 0},
        {":25", -EINVAL, NULL, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *host = NULL;
        uint16_t port = 0;

        print_message("%s\n", cases[i].text);
        assert_int_equal(route_parse(cases[i].text, &host, &port), cases[i].r);
        if (cases[i].r < 0)
            continue;
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_destinations),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_mta_sts),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_pins_without_verification),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_route),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
