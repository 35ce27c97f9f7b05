/* SPDX-License-Identifier: Apache-2.0 */

/* The text of a bounce. What comes from the peer or from the original is held to one line or to complete lines, so that none of
 * it can pretend to be another part of the report. */

#include "bounce.h"

#include <inttypes.h>
#include <time.h>

static bool ascii(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) s[i] >= 128)
            return false;
    return true;
}

/* RFC 5322, section 3.3, in UTC; not by strftime(), whose names follow the locale. */
static void print_date(FILE *f, const char *field, uint64_t usec)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t) (usec / USEC_PER_SEC);
    struct tm tm = {};

    (void) gmtime_r(&t, &tm);
    fprintf(f, "%s: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n", field, days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
            1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* One line of text, whatever it holds. */
static void print_clean(FILE *f, const char *s)
{
    for (; *s; s++)
        fputc((unsigned char) *s < ' ' || *s == 127 ? '?' : *s, f);
}

static void print_field(FILE *f, const char *name, const char *value)
{
    fprintf(f, "%s", name);
    print_clean(f, value);
    fputs("\r\n", f);
}

static void print_head(FILE *f, const Bounce *b, bool utf8)
{
    fprintf(f, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", b->hostname);
    print_field(f, "To: ", b->sender);
    print_date(f, "Date", b->now_usec);
    fprintf(f, "Message-ID: <%s.%" PRIu64 "@%s>\r\n", b->id, b->now_usec, b->hostname);
    fputs("Subject: Undelivered mail returned to sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n", f);
    fprintf(f, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"=_%s\"\r\n",
            utf8 ? "global-delivery-status" : "delivery-status", b->id);
    if (utf8)
        fputs("Content-Transfer-Encoding: 8bit\r\n", f);
    fputs("\r\nThis is a report in several parts.\r\n", f);
}

static void print_explanation(FILE *f, const Bounce *b, bool utf8)
{
    fprintf(f, "--=_%s\r\nContent-Type: text/plain; charset=%s\r\n%s\r\n", b->id, utf8 ? "utf-8" : "us-ascii",
            utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    fprintf(f, "This is the mail system at %s.\r\n\r\nYour message could not be delivered to the recipients below. It will not be tried again.\r\n",
            b->hostname);
    for (size_t i = 0; i < b->n_recipients; i++) {
        const BounceRecipient *r = b->recipients + i;

        fputs("\r\n<", f);
        print_clean(f, r->address);
        fputs(">:\r\n    ", f);
        if (r->remote) {
            fputs("host ", f);
            print_clean(f, r->remote);
            fputs(" said: ", f);
        }
        print_clean(f, r->diagnostic);
        fputs("\r\n", f);
    }
    fputs("\r\n", f);
}

static void print_status(FILE *f, const Bounce *b, bool utf8)
{
    fprintf(f, "--=_%s\r\nContent-Type: message/%s\r\n%s\r\n", b->id, utf8 ? "global-delivery-status" : "delivery-status",
            utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    fprintf(f, "Reporting-MTA: dns; %s\r\nX-Postern-Queue-ID: %s\r\n", b->hostname, b->id);
    print_date(f, "Arrival-Date", b->arrival_usec);
    for (size_t i = 0; i < b->n_recipients; i++) {
        const BounceRecipient *r = b->recipients + i;

        fputs("\r\n", f);
        print_field(f, ascii(r->address, strlen(r->address)) ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ",
                r->address);
        print_field(f, "Action: failed\r\nStatus: ", r->status);
        if (r->remote)
            print_field(f, "Remote-MTA: dns; ", r->remote);
        print_field(f, r->remote ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-postern; ", r->diagnostic);
    }
    fputs("\r\n", f);
}

/* The complete lines before the first empty one. */
static size_t header_size(const char *s, size_t n)
{
    size_t end = 0;

    n = MIN(n, (size_t) BOUNCE_HEADERS_MAX);
    for (;;) {
        const char *newline = memchr(s + end, '\n', n - end);

        if (!newline)
            return end;
        if (newline == s + end || (newline == s + end + 1 && s[end] == '\r'))
            return end;
        end = (size_t) (newline - s) + 1;
    }
}

int bounce_format(const Bounce *b, char **ret, size_t *ret_size, bool *ret_8bit)
{
    const size_t headers = header_size(b->original, b->original_size);
    bool utf8 = !ascii(b->original, headers) || !ascii(b->sender, strlen(b->sender)), failed;
    char *text = NULL;
    size_t size = 0;
    FILE *f;

    for (size_t i = 0; i < b->n_recipients; i++)
        utf8 |= !ascii(b->recipients[i].address, strlen(b->recipients[i].address)) ||
                !ascii(b->recipients[i].diagnostic, strlen(b->recipients[i].diagnostic));
    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    print_head(f, b, utf8);
    print_explanation(f, b, utf8);
    print_status(f, b, utf8);
    fprintf(f, "--=_%s\r\nContent-Type: %s\r\n%s\r\n", b->id, utf8 ? "message/global-headers" : "text/rfc822-headers",
            utf8 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    (void) fwrite(b->original, 1, headers, f);
    fprintf(f, "\r\n--=_%s--\r\n", b->id);
    failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    *ret_size = size;
    *ret_8bit = utf8;
    return 0;
}

void bounce_status(int code, const char *text, char ret[static 16])
{
    unsigned class, subject, detail;
    int end = 0;

    if (code > 0 && strspn(text, "0123456789") == 3 && text[3] == ' ')
        text += 4;
    if (sscanf(text, "%1u.%3u.%3u%n", &class, &subject, &detail, &end) == 3 && (text[end] == ' ' || text[end] == '\0') &&
            (code == 0 || class == (unsigned) code / 100))
        (void) snprintf(ret, 16, "%u.%u.%u", class, subject, detail);
    else
        (void) snprintf(ret, 16, "%d.0.0", code / 100 == 5 ? 5 : 4);
}
