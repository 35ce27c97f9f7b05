/* SPDX-License-Identifier: Apache-2.0 */

/* Makes Received fields. It must never put anything into one that was not checked before: a line break here would forge a
 * header. */

#include "received.h"

const char *received_protocol(bool esmtp, bool tls, bool smtputf8)
{
    if (smtputf8)
        return tls ? "UTF8SMTPS" : "UTF8SMTP";
    if (!esmtp)
        return "SMTP"; /* STARTTLS needs EHLO; a client that says HELO behind it has no name in RFC 3848 */
    return tls ? "ESMTPS" : "ESMTP";
}

/* RFC 5322 section 3.3. Not strftime(): its names would follow a locale. */
static int format_date(time_t time, char *ret, size_t size)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;

    if (!gmtime_r(&time, &tm))
        return negative_errno();
    (void) snprintf(ret, size, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
            tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return 0;
}

/* "\r\n\t(TLSv1.3, client certificate verified) tls TLS_AES_256_GCM_SHA384 group X25519" or "". */
static int format_tls(const ReceivedFacts *f, char **ret)
{
    bool group = f->tls_group && *f->tls_group;
    int r;

    if (!f->tls_version)
        r = asprintf(ret, "%s", "");
    else
        r = asprintf(ret, "\r\n\t(%s%s%s) tls %s%s%s", f->tls_version, f->tls_client ? ", " : "", f->tls_client ?: "",
                f->tls_cipher, group ? " group " : "", group ? f->tls_group : "");
    return r < 0 ? -ENOMEM : 0;
}

int received_format(const ReceivedFacts *f, char **ret)
{
    _cleanup_free_ char *tls = NULL, *field = NULL;
    char date[64];
    int r;

    r = format_date(f->time, date, sizeof(date));
    if (r < 0)
        return r;
    r = format_tls(f, &tls);
    if (r < 0)
        return r;

    if (asprintf(&field, "Received: from %s (%s)\r\n\tby %s with %s id %s%s%s%s%s;\r\n\t%s\r\n", f->helo, f->peer_literal,
                f->host, received_protocol(f->esmtp, f->tls_version != NULL, f->smtputf8), f->id,
                f->recipient ? "\r\n\tfor <" : "", f->recipient ? f->recipient : "", f->recipient ? ">" : "", tls, date) < 0) {
        field = NULL;
        return -ENOMEM;
    }
    *ret = TAKE_PTR(field);
    return 0;
}
