/* SPDX-License-Identifier: Apache-2.0 */

/* A server's replies, byte for byte as a hostile one can send them: what is kept must be a string fit for a log and D-Bus. */

#include "fuzz.h"
#include "smtp-reply.h"

#include <string.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SmtpReplyParser parser = {0};
    SmtpEhlo ehlo = {0};
    const char *p = (const char *) data, *end = p + size;

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t) (end - p)), *text;
        size_t n = newline ? (size_t) (newline - p) + 1 : (size_t) (end - p), text_size;
        int r = smtp_reply_line(&parser, p, n, &text, &text_size);

        if (r < 0)
            break;
        FUZZ_CHECK(text_size <= n);
        FUZZ_CHECK(parser.reply.code >= 200 && parser.reply.code <= 599);
        FUZZ_CHECK(strnlen(parser.reply.text, sizeof(parser.reply.text)) < sizeof(parser.reply.text));
        for (const char *s = parser.reply.text; *s;) {
            size_t width = text_utf8_char(s, strlen(s));

            FUZZ_CHECK(width > 0 && (unsigned char) *s >= ' ');
            s += width;
        }
        smtp_ehlo_line(&ehlo, text, text_size);
        p += n;
    }
    return 0;
}
