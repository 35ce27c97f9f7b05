/* SPDX-License-Identifier: Apache-2.0 */

/* What people read of a verification, from what deliverd tells. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify-text.h"

static char *show(void (*what)(const Output *o, json_object *value), const char *json, bool colour)
{
    _cleanup_json_ json_object *value = json_tokener_parse(json);
    char *text = NULL;
    size_t size;
    Output o = {.file = open_memstream(&text, &size), .colour = colour};

    assert_non_null(o.file);
    assert_non_null(value);
    what(&o, value);
    assert_int_equal(fclose(o.file), 0);
    return text;
}

static void test_steps(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{\"Step\":\"Destination\",\"Domain\":\"a.example\",\"TLS\":\"Required\",\"TLSFrom\":\".example\",\"DANE\":\"Opportunistic\","
         "\"MTASTS\":true,\"VerifyInsecureMX\":false,\"PlaintextFallback\":\"never\",\"Route\":\"relay\",\"RouteFrom\":\"default\"}",
         "a.example\n"
         "  Settings      TLS=Required (.example), DANE=Opportunistic (built in), MTASTS=yes (built in)\n"
         "                Route=relay (default)\n"
         "                VerifyInsecureMX=no\n"
         "                PlaintextFallback=never\n"},
        {"{\"Step\":\"MX\",\"Looked\":true,\"State\":\"secure\",\"Hosts\":[{\"Name\":\"mx1\",\"Preference\":10},{\"Name\":\"mx2\",\"Preference\":20}]}",
         "  MX            secure\n                10 mx1\n                20 mx2\n"},
        {"{\"Step\":\"MX\",\"Looked\":true,\"State\":\"secure\",\"Hosts\":[],\"Reason\":\"a.example does not accept mail (null MX)\"}",
         "  MX            secure\n                a.example does not accept mail (null MX)\n"},
        {"{\"Step\":\"MX\",\"Looked\":true,\"Implicit\":true,\"State\":\"insecure\",\"Hosts\":[{\"Name\":\"a.example\"}]}",
         "  MX            insecure, there is none: the domain itself is the host\n                a.example\n"},
        {"{\"Step\":\"STS\",\"Mode\":\"enforce\",\"Hosts\":[\"mx1\",\"*.b.example\"]}", "  MTA-STS       enforce, for mx1, *.b.example\n"},
        {"{\"Step\":\"STS\",\"Mode\":\"unknown\",\"Reason\":\"no answer\"}", "  MTA-STS       unknown: no answer\n"},
        {"{\"Step\":\"Host\",\"Host\":\"mx1\",\"Addresses\":[\"192.0.2.1\",\"192.0.2.2\"],\"AState\":\"secure\",\"AAAAState\":\"secure\","
         "\"TLSABase\":\"mx1\",\"TLSAState\":\"secure\",\"TLSA\":[{\"Record\":\"3 1 1 aa\",\"Usable\":true},"
         "{\"Record\":\"1 1 1 bb\",\"Usable\":false,\"Reason\":\"not for mail\"}],\"Wanted\":\"dane\",\"DANEBase\":\"mx1\",\"Names\":[\"a.example\"]}",
         "\nmx1\n"
         "  Addresses     192.0.2.1, 192.0.2.2 (A secure, AAAA secure)\n"
         "  TLSA          secure, at mx1\n"
         "                3 1 1 aa\n"
         "                1 1 1 bb is not usable: not for mail\n"
         "  Wanted        dane: TLS, authenticated by a TLSA record\n"
         "                for mx1, a.example\n"},
        {"{\"Step\":\"Connect\",\"Peer\":\"mx1[192.0.2.1]:25\",\"Wanted\":\"none\"}", "  Connection    mx1[192.0.2.1]:25, in the clear\n"},
        {"{\"Step\":\"Attempt\",\"Greeting\":\"220 \\u001b[31m\\nmx1\",\"TLSOffered\":true,\"TLSUsed\":true,\"TLSVersion\":\"TLSv1.3\","
         "\"TLSCipher\":\"AES\",\"TLSGroup\":\"x25519\",\"Verify\":\"tlsa-mismatch\",\"Verified\":false,\"VerifyReason\":\"no match\","
         "\"Certificate\":{\"Subject\":\"CN=mx1\",\"Issuer\":\"CN=ca\",\"Names\":[\"mx1\"],\"KeyFingerprint\":\"ff\"},\"Reason\":\"not verified\"}",
         "  Greeting      220 ?[31m?mx1\n"
         "  STARTTLS      offered\n"
         "  TLS           TLSv1.3, AES, x25519\n"
         "  Certificate   CN=mx1\n"
         "                issued by CN=ca\n"
         "                for mx1\n"
         "                valid from - until -\n"
         "                TLSA of its key would be 3 1 1 ff\n"
         "  Verified      no, tlsa-mismatch: no match\n"
         "  Failed        not verified\n"},
        {"{\"Step\":\"Attempt\",\"TLSOffered\":false,\"Verify\":\"dane\",\"Verified\":true,\"MatchedTLSA\":\"2 1 1\",\"Authority\":\"CN=ca\","
         "\"RequireTLS\":false}",
         "  STARTTLS      not offered\n  Verified      yes, dane: TLSA record 2 1 1, by CN=ca\n  REQUIRETLS    not offered\n"},
        {"{\"Step\":\"Verdict\",\"Deliverable\":true,\"Text\":\"in the clear\"}", "  Verdict       would take a message in the clear\n"},
        {"{\"Step\":\"Verdict\",\"Deliverable\":false,\"Text\":\"it is down\"}", "  Verdict       no message can go here: it is down\n"},
        {"{\"Step\":\"Future\"}", ""},
        {"{}", ""},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *text = show(verify_text_step, cases[i].json, false);

        assert_string_equal(text, cases[i].text);
    }
}

static void test_result(void **state)
{
    _cleanup_free_ char *good = show(verify_text_result, "{\"Outcome\":\"delivered\",\"Peer\":\"mx1[192.0.2.1]:25\",\"LogLine\":\"delivered\"}", false),
                        *bad = show(verify_text_result, "{\"Outcome\":\"deferred\",\"Reason\":\"mx1: no\"}", true);

    assert_string_equal(good, "\nA message\n  Outcome       would be delivered at mx1[192.0.2.1]:25\n  Log line      delivered\n");
    assert_non_null(strstr(bad, "\x1b[1;31mwould wait, and be tried again\x1b[0m"));
    assert_non_null(strstr(bad, "  Reason        mx1: no\n"));
}

/* Members of other types are as good as none. */
static void test_nonsense(void **state)
{
    static const char *const cases[] = {
        "{\"Step\":\"Destination\",\"Domain\":[],\"TLS\":3,\"PinnedCertificate\":\"a\"}",
        "{\"Step\":\"MX\",\"Looked\":\"x\",\"Hosts\":[1,null,\"a\",{}]}",
        "{\"Step\":\"Host\",\"Addresses\":{},\"TLSAState\":\"secure\",\"TLSA\":[null,3]}",
        "{\"Step\":\"Attempt\",\"Certificate\":7,\"TLSUsed\":1,\"Verify\":null}",
        "{\"Step\":5}",
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *text = show(verify_text_step, cases[i], false);

        assert_null(strchr(text, '\x1b'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
