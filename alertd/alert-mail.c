/* SPDX-License-Identifier: Apache-2.0 */

/* Composes the mail. Text is made printable first and encoded then (RFC 2047 in the subject, quoted-printable in the body), so
 * what leaves here is ASCII whatever came in. It must never put anything into a header that it has not looked at. */

#include "alert-mail.h"

#include <openssl/evp.h>
#include <time.h>

#include "text.h"

#define LINE_MAX_BYTES 998   /* RFC 5322, section 2.1.1, without CRLF */
#define ENCODED_WORD_BYTES 45 /* of text in an encoded word: 60 as base64, 72 with "=?UTF-8?B?" and "?=", of 75 allowed */
#define QUOTED_LINE_MAX 76   /* RFC 2045, section 6.7 */

static bool is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char) *s >= 0x80)
            return false;
    return true;
}

static int printable_copy(const char *s, char **ret)
{
    size_t n = strlen(s), size = n * 4 + 8;
    char *copy = malloc(size);

    if (!copy)
        return -ENOMEM;
    (void) text_make_printable(copy, size, s, n);
    *ret = copy;
    return 0;
}

/* ---- header ---- */

/* RFC 2047, section 5: words of whole characters, each on its own line of the folded header. */
static void put_encoded_words(FILE *f, const char *s)
{
    size_t n = strlen(s);
    bool first = true;

    while (n > 0) {
        unsigned char encoded[ENCODED_WORD_BYTES / 3 * 4 + 1];
        size_t k = 0;

        while (k < n) {
            size_t c = MAX(text_utf8_char(s + k, n - k), 1u);

            if (k + c > ENCODED_WORD_BYTES)
                break;
            k += c;
        }
        (void) EVP_EncodeBlock(encoded, (const unsigned char *) s, (int) k);
        fprintf(f, "%s=?UTF-8?B?%s?=", first ? "" : "\r\n ", encoded);
        first = false;
        s += k;
        n -= k;
    }
}

static void put_subject(FILE *f, const AlertMail *a, const char *summary)
{
    fprintf(f, "Subject: [%s]-[%s]: (%s)", a->severity, a->host, a->type);
    if (is_ascii(summary) && !strstr(summary, "=?"))
        fprintf(f, " %s\r\n", summary);
    else {
        fputs("\r\n ", f);
        put_encoded_words(f, summary);
        fputs("\r\n", f);
    }
}

typedef enum DateForm {
    DATE_RFC5322,
    DATE_PLAIN,
} DateForm;

static void put_date(FILE *f, DateForm form, uint64_t usec)
{
    time_t t = (time_t) (usec / USEC_PER_SEC);
    char text[64] = "";
    struct tm tm;

    if (!gmtime_r(&t, &tm))
        return;
    if (form == DATE_RFC5322)
        (void) strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    else
        (void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    fputs(text, f);
}

static void put_header(FILE *f, const AlertMail *a, const char *summary, bool quoted)
{
    fputs("Date: ", f);
    put_date(f, DATE_RFC5322, a->now_usec);
    fprintf(f, "\r\nFrom: Postern Alerts <%s>\r\nTo:", a->from);
    for (const char *const *to = a->recipients; *to; to++)
        fprintf(f, "%s <%s>", to == a->recipients ? "" : ",\r\n", *to);
    fputs("\r\n", f);
    put_subject(f, a, summary);
    fprintf(f, "Message-ID: <%s@%s>\r\n", a->id, a->host);
    /* RFC 3834: nobody shall answer this automatically. */
    fputs("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", f);
    fprintf(f, "Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n", quoted ? "utf-8" : "us-ascii",
            quoted ? "quoted-printable" : "7bit");
}

/* ---- body ---- */

/* The text before it is encoded, with "\n" as line end. */
static int write_text(const AlertMail *a, const char *summary, char **ret)
{
    size_t size;
    char *text = NULL;
    FILE *f;

    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    fprintf(f, "%s\n\n", summary);
    if (*a->body) {
        for (const char *line = a->body; line; ) {
            const char *end = strchr(line, '\n');
            _cleanup_free_ char *raw = strndup(line, end ? (size_t) (end - line) : strlen(line)), *printable = NULL;

            if (raw && printable_copy(raw, &printable) >= 0)
                fprintf(f, "%s\n", printable);
            line = end ? end + 1 : NULL;
        }
        fputc('\n', f);
    }
    fprintf(f, "Host:     %s\nSeverity: %s\nType:     %s\n", a->host, a->severity, a->type);
    fputs(a->count > 1 ? "Since:    " : "At:       ", f);
    put_date(f, DATE_PLAIN, a->first_usec);
    fputc('\n', f);
    if (a->count > 1) {
        fputs("Last:     ", f);
        put_date(f, DATE_PLAIN, a->last_usec);
        fprintf(f, "\nTimes:    %u since the last mail about it\n", a->count);
    }
    fputs("\nThe journal of this host has it, too: journalctl -t postern-alertd\n"
          "Who gets which alerts, and how often: postern-alertd.conf(5)\n", f);
    if (fclose(f) != 0) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    return 0;
}

static bool needs_quoting(const char *text)
{
    for (const char *line = text; *line; ) {
        size_t n = strcspn(line, "\n");

        if (n > LINE_MAX_BYTES)
            return true;
        line += n + (line[n] == '\n');
    }
    return !is_ascii(text);
}

static void put_plain(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputc('\r', f);
        fputc(*text, f);
    }
}

/* RFC 2045, section 6.7. Blanks at a line's end are encoded, as is anything else that is not plainly printable. */
static void put_quoted(FILE *f, const char *text)
{
    size_t column = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;
        bool plain = (c > ' ' && c < 0x7f && c != '=') || (c == ' ' && text[1] != '\n' && text[1] != '\0');
        size_t width = plain ? 1 : 3;

        if (c == '\n') {
            fputs("\r\n", f);
            column = 0;
            continue;
        }
        if (column + width > QUOTED_LINE_MAX - 1) {
            fputs("=\r\n", f);
            column = 0;
        }
        if (plain)
            fputc(c, f);
        else
            fprintf(f, "=%02X", c);
        column += width;
    }
}

int alert_mail_compose(const AlertMail *a, char **ret, size_t *ret_size)
{
    _cleanup_free_ char *summary = NULL, *text = NULL;
    char *message = NULL;
    bool quoted;
    size_t size;
    FILE *f;
    int r;

    r = printable_copy(a->summary, &summary);
    if (r < 0)
        return r;
    r = write_text(a, summary, &text);
    if (r < 0)
        return r;
    quoted = needs_quoting(text);
    f = open_memstream(&message, &size);
    if (!f)
        return -ENOMEM;
    put_header(f, a, summary, quoted);
    if (quoted)
        put_quoted(f, text);
    else
        put_plain(f, text);
    if (fclose(f) != 0) {
        free(message);
        return -ENOMEM;
    }
    *ret = message;
    *ret_size = size;
    return 0;
}

int alert_mail_subject(const AlertMail *a, char **ret)
{
    _cleanup_free_ char *summary = NULL;
    int r;

    r = printable_copy(a->summary, &summary);
    if (r < 0)
        return r;
    return asprintf(ret, "[%s]-[%s]: (%s) %s", a->severity, a->host, a->type, summary) < 0 ? -ENOMEM : 0;
}
