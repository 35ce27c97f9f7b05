/* SPDX-License-Identifier: Apache-2.0 */

/* When people hear of a client certificate that is not there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certificate-report.h"

#define MINUTE CERTIFICATE_REPORT_INTERVAL_USEC

static void test_news(void **state)
{
    static const struct {
        uint64_t now;
        bool usable;
        CertificateNews news;
    } steps[] = {
        {1, true, CERTIFICATE_NEWS_NONE},               /* as it should be */
        {2, false, CERTIFICATE_NEWS_MISSING},           /* the first worker */
        {3, false, CERTIFICATE_NEWS_NONE},              /* the second one */
        {4, true, CERTIFICATE_NEWS_BACK},
        {5, true, CERTIFICATE_NEWS_NONE},
        {6, false, CERTIFICATE_NEWS_NONE},              /* so often only a liar says it */
        {7, true, CERTIFICATE_NEWS_NONE},               /* nobody heard that it was missing */
        {2 + MINUTE, false, CERTIFICATE_NEWS_MISSING},
        {2 + 9 * MINUTE, false, CERTIFICATE_NEWS_NONE}, /* once is enough, alertd repeats */
        {3 + 9 * MINUTE, true, CERTIFICATE_NEWS_BACK},
    };
    CertificateReport r = {};

    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        assert_int_equal(certificate_report_news(&r, steps[i].usable, steps[i].now), steps[i].news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_news),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
