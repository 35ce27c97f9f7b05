/* SPDX-License-Identifier: Apache-2.0 */

/* What may be said about servers and trust anchors, and what stops the start. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "dnsd-conf.h"
#include "resolver.h"

#define LAB_DS "lab. IN DS 1808 13 2 a9df05d88f2703b816fe28a8fe82b11b483f04e5e3307ad3598ab69cc1894316"

static void test_anchor_owner(void **state)
{
    static const struct {
        const char *anchor, *owner; /* owner NULL: refused */
    } cases[] = {
        {LAB_DS, "lab"},
        {". 172800 IN DNSKEY 257 3 8 AwEAAa", ""},
        {"Lab.\tIN  3600 ds 1 13 2 ab", "lab"},
        {"lab DS 1 13 2 ab", "lab"},
        {"lab. IN DS", NULL},
        {"lab. IN A 192.0.2.1", NULL},
        {"lab. CH DS 1 13 2 ab", NULL},
        {"la..b DS 1 13 2 ab", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *owner = NULL;

        assert_int_equal(dns_anchor_owner(cases[i].anchor, &owner), cases[i].owner ? 0 : -EINVAL);
        if (cases[i].owner)
            assert_string_equal(owner, cases[i].owner);
    }
}

static void test_server(void **state)
{
    assert_true(dns_server_valid("192.0.2.1"));
    assert_true(dns_server_valid("192.0.2.1@5353"));
    assert_true(dns_server_valid("2001:db8::1@53"));
    assert_false(dns_server_valid("192.0.2.1@0"));
    assert_false(dns_server_valid("192.0.2.1@65536"));
    assert_false(dns_server_valid("192.0.2.1@"));
    assert_false(dns_server_valid("192.0.2.1@+1"));
    assert_false(dns_server_valid("192.0.2.1:53"));
    assert_false(dns_server_valid("ns.example"));
    assert_false(dns_server_valid(""));
    assert_false(dns_server_valid("192.0.2.1#dns.example"));
    assert_true(dns_forwarder_valid("192.0.2.1"));
    assert_true(dns_forwarder_valid("192.0.2.1#dns.example"));
    assert_true(dns_forwarder_valid("2001:db8::1@853#dns.example"));
    assert_false(dns_forwarder_valid("192.0.2.1@853#"));
    assert_false(dns_forwarder_valid("192.0.2.1@853#."));
    assert_false(dns_forwarder_valid("192.0.2.1@853#a\"b"));
    assert_false(dns_forwarder_valid("192.0.2.1@853#a#b"));
    assert_false(dns_forwarder_valid("#dns.example"));
}

/* ---- files ---- */
static char root[] = "/tmp/test-dnsd-conf-XXXXXX";

static int write_file(const char *name, const char *text)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *f = NULL;

    if (asprintf(&path, "%s/%s", root, name) < 0)
        return -ENOMEM;
    f = fopen(path, "we");
    if (!f)
        return -errno;
    return fputs(text, f) < 0 ? -EIO : 0;
}

static int setup(void **state)
{
    static const char *const directories[] = {"", "/etc", "/etc/postern", "/anchors"};

    if (!mkdtemp(root))
        return -errno;
    for (size_t i = 1; i < ELEMENTSOF(directories); i++) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s", root, directories[i]) < 0 || mkdir(path, 0755) < 0)
            return -errno;
    }
    return write_file("anchors/lab", "; of the laboratory\n\n" LAB_DS " ; key 1808\n");
}

static int teardown(void **state)
{
    static const char *const names[] = {"etc/postern/dnsd.conf", "etc/postern", "etc", "anchors/lab", "anchors/bad", "anchors", ""};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", root, names[i]) >= 0)
            (void) remove(path);
    }
    return 0;
}

static int load(const char *text, DnsConfig **ret, ConfReport **ret_report)
{
    assert_int_equal(write_file("etc/postern/dnsd.conf", text), 0);
    assert_int_equal(conf_report_new(ret_report), 0);
    return dns_config_load(ret, root, *ret_report);
}

static void test_load(void **state)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    _cleanup_(dns_config_freep) DnsConfig *c = NULL;

    assert_int_equal(load("[Dnsd]\nTrustAnchorFile=/anchors/lab\nForward=192.0.2.1 192.0.2.2@5353\nCacheSize=8M\nTimeout=5s\nIPv6=no\n"
                          "SelfTestBogus=\nSelfTestSecure=.\nTrustAnchorUpdate=no\n"
                          "[Stub Private.Example.]\nServer=10.0.0.1\nInsecure=yes\n"
                          "[Stub inner]\nServer=10.0.0.1@5353\nTrustAnchor=inner. IN DS 1 13 2 " /* of no key, but well formed */
                          "a9df05d88f2703b816fe28a8fe82b11b483f04e5e3307ad3598ab69cc1894316\n",
                             &c, &report), 0);
    assert_int_equal(conf_report_size(report), 0);
    assert_string_equal(c->forward[1], "192.0.2.2@5353");
    assert_int_equal(c->cache_size, 8 * 1024 * 1024);
    assert_int_equal(c->timeout_usec, 5 * USEC_PER_SEC);
    assert_false(c->ipv6);
    assert_int_equal(c->n_stubs, 2);
    assert_string_equal(c->self_test_secure, "");
    assert_null(c->self_test_bogus);
    assert_false(c->trust_anchor_update);
    assert_string_equal(c->stubs[0].zone, "private.example");
    assert_true(c->stubs[0].insecure);
    assert_non_null(c->file_anchors[0]);
    assert_null(c->file_anchors[1]);
    assert_non_null(c->trust_anchors[0]);
    assert_null(c->trust_anchors[1]);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"[Dnsd]\nTrustAnchorFile=/anchors/none\n", "dns-root-data"},
        {"[Dnsd]\nTrustAnchorFile=/anchors/bad\n", "bad:1: Neither a DS nor a DNSKEY"},
        {"[Dnsd]\nTrustAnchorFile=\nTrustAnchor=lab. IN A 192.0.2.1\n", "dnsd.conf:3"},
        {"[Dnsd]\nTrustAnchorFile=\nForward=ns.example\n", "dnsd.conf:3"},
        {"[Dnsd]\nTrustAnchorFile=\nTimeout=1h\n", "dnsd.conf:3"},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub a..b]\nServer=10.0.0.1\n", "zone name"},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub lab]\nInsecure=yes\n", "has no Server="},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub other]\nServer=10.0.0.1\nTrustAnchor=" LAB_DS "\n", "of another zone"},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub lab]\nServer=10.0.0.1\nInsecure=yes\nTrustAnchor=" LAB_DS "\n", "both"},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub lab]\nServer=10.0.0.1#ns.lab\n", "dnsd.conf:4"},
        {"[Dnsd]\nTrustAnchorFile=\nForwardTLS=yes\n", "without Forward="},
        {"[Dnsd]\nTrustAnchorFile=\nForwardTLS=yes\nForward=10.0.0.1#a.example 10.0.0.2\nForwardCAFile=/anchors/lab\n",
            "Forward=10.0.0.2 has no name"},
        {"[Dnsd]\nTrustAnchorFile=\nForward=10.0.0.1#a.example\n", "in the clear"},
        {"[Dnsd]\nTrustAnchorFile=\nForwardTLS=yes\nForward=10.0.0.1#a.example\nForwardCAFile=/anchors/none\n", "ca-certificates"},
        {"[Dnsd]\nTrustAnchorFile=\nSelfTestSecure=a..b\n", "dnsd.conf:3"},
        {"[Dnsd]\nTrustAnchorFile=\nTrustAnchorHoldDown=0\n", "dnsd.conf:3"},
    };

    assert_int_equal(write_file("anchors/bad", "example. IN A 192.0.2.1\n"), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(conf_report_freep) ConfReport *report = NULL;
        _cleanup_(dns_config_freep) DnsConfig *c = NULL;
        _cleanup_free_ char *text = NULL;

        assert_int_equal(load(cases[i].text, &c, &report), -EBADMSG);
        assert_null(c);
        assert_int_equal(conf_report_text(report, &text), 0);
        if (!strstr(text, cases[i].complaint))
            fail_msg("\"%s\" not in \"%s\"", cases[i].complaint, text);
    }
}

/* libunbound looks at an anchor's data only when it starts to work; a configuration check must make it do so. */
static void test_libunbound_checks(void **state)
{
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {"[Dnsd]\nTrustAnchorFile=/anchors/lab\n", 0},
        {"[Dnsd]\nTrustAnchorFile=\nForward=10.0.0.1 10.0.0.2@5353\n", 0},
        {"[Dnsd]\nTrustAnchorFile=\nForwardTLS=yes\nForward=10.0.0.1@853#dns.example 2001:db8::1#dns.example\n"
         "ForwardCAFile=/anchors/lab\n", 0},
        {"[Dnsd]\nTrustAnchorFile=\n[Stub test]\nServer=10.0.0.1@53\nInsecure=yes\n", 0},
        {"[Dnsd]\nTrustAnchorFile=\nTrustAnchor=lab. IN DS 1808 13 2 no-hexadecimal-number\n", -EINVAL},
        {"[Dnsd]\nTrustAnchorFile=\nTrustAnchor=lab. IN DS 1808 99 2 " /* nobody knows algorithm 99 */
         "a9df05d88f2703b816fe28a8fe82b11b483f04e5e3307ad3598ab69cc1894316\n", -EINVAL},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(conf_report_freep) ConfReport *report = NULL;
        _cleanup_(resolver_unrefp) Resolver *resolver = NULL;
        _cleanup_(dns_config_freep) DnsConfig *c = NULL;
        _cleanup_free_ char *reason = NULL;

        assert_int_equal(load(cases[i].text, &c, &report), 0);
        assert_int_equal(resolver_new(&resolver, NULL, c, &(const ResolverTrust) {.anchors = c->file_anchors}, &reason), cases[i].result);
        assert_true(!reason == (cases[i].result == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anchor_owner),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_libunbound_checks),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
