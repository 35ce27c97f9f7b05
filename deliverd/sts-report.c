/* SPDX-License-Identifier: Apache-2.0 */

/* Journal lines and alerts about MTA-STS policies. Reasons may quote a policy host; they have been made fit to be shown. */

#include "sts-report.h"

#include <time.h>

#include "catalog-ids.h"
#include "log.h"

static void print_day(char *buffer, size_t size, uint64_t usec)
{
    const time_t seconds = (time_t) (usec / USEC_PER_SEC);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(buffer, size, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        *buffer = '\0';
}

/* Row 25: before the policy expires, while somebody can still do something. One that asks for nothing is no loss. */
static void alert(Manager *m, const StsNews *news, const char *expires)
{
    _cleanup_free_ char *key = NULL, *summary = NULL, *body = NULL;

    if (asprintf(&key, "sts-policy:%s", news->domain) < 0
            || asprintf(&summary, "The MTA-STS policy of %s could not be renewed", news->domain) < 0
            || asprintf(&body,
                    "The policy of %s (mode %s) could not be fetched again:\n\n    %s\n\n"
                    "The one that is known holds until %s, and mail is delivered as it says. If it cannot be renewed until then, "
                    "mail for %s is delivered as if there was none.\n\n"
                    "Either the domain has given MTA-STS up, or its policy host has a fault, or somebody keeps us from reaching "
                    "it. It is tried again by itself; to see what is known, and to try at once:\n\n"
                    "    posternctl sts show %s\n    posternctl sts refresh %s\n",
                    news->domain, sts_mode_to_string(news->policy->mode), news->reason, expires, news->domain, news->domain,
                    news->domain) < 0)
        return;
    alert_raise(m->alertd, ALERT_WARNING, ALERT_MESSAGE_DELIVERY, key, summary, body);
}

static void report_fetched(const StsNews *news)
{
    const char *mode = news->policy ? sts_mode_to_string(news->policy->mode) : NULL;
    char expires[32] = "at once";

    if (news->policy)
        print_day(expires, sizeof(expires), news->expires_usec);
    const LogField fields[] = {
        {"POSTERN_DESTINATION", news->domain},
        {"POSTERN_STS", mode},
        {"POSTERN_STS_ID", news->id},
    };
    log_event(LOG_INFO, STS_POLICY_FETCHED_ID, fields, ELEMENTSOF(fields), "MTA-STS policy of %s %s, mode %s, until %s",
            news->domain, news->changed ? "fetched" : "renewed", mode ?: "any", expires);
}

static void report_not_fetched(Manager *m, const StsNews *news)
{
    const char *mode = news->policy ? sts_mode_to_string(news->policy->mode) : NULL;
    char expires[32] = "";

    if (news->policy)
        print_day(expires, sizeof(expires), news->expires_usec);
    const LogField fields[] = {
        {"POSTERN_DESTINATION", news->domain},
        {"POSTERN_STS", mode},
        {"POSTERN_STS_ID", *news->id ? news->id : NULL},
        {"POSTERN_REASON", news->reason},
    };
    log_event(LOG_WARNING, STS_POLICY_FAILED_ID, fields, ELEMENTSOF(fields),
            "MTA-STS policy of %s could not be fetched, %s%s: %s", news->domain,
            news->policy          ? "the one that is known holds until "
                    : news->own_fault ? "its mail waits"
                                      : "its mail goes as if there was none",
            expires, news->reason);
    if (news->policy && news->policy->mode != STS_MODE_NONE && !news->own_fault)
        alert(m, news, expires);
}

void report_sts(Manager *m, const StsNews *news)
{
    if (news->reason)
        report_not_fetched(m, news);
    else
        report_fetched(news);
}
