/* SPDX-License-Identifier: Apache-2.0 */

/* Replies line by line. A server may be hostile: a reply has one code, few lines of bounded length, and what is kept of its text
 * is fit to be logged. */

#include "smtp-reply.h"

#include <ctype.h>
#include <strings.h>

#include "cleanup.h"
#include "text.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Length of "class.subject.detail " (RFC 3463) at the start of text, 0 if there is none. */
static size_t enhanced_size(const char *text, size_t size)
{
    size_t i = 0;

    for (unsigned part = 0; part < 3; part++) {
        size_t start = i;

        while (i < size && is_digit(text[i]) && i - start < 3)
            i++;
        if (i == start || i == size || text[i] != (part < 2 ? '.' : ' '))
            return 0;
        i++;
    }
    return text[0] == '2' || text[0] == '4' || text[0] == '5' ? i : 0;
}

/* Joins the lines with spaces. */
static void append_text(SmtpReplyParser *p, const char *text, size_t size)
{
    size_t enhanced = enhanced_size(text, size), room;

    if (p->n_lines == 1)
        p->enhanced_size = enhanced;
    else if (enhanced > 0 && enhanced == p->enhanced_size && strncmp(p->reply.text, text, enhanced) == 0) {
        text += enhanced;
        size -= enhanced;
    }
    room = sizeof(p->reply.text) - p->used;
    if (size == 0 || room < 8)
        return;
    if (p->used > 0) {
        p->reply.text[p->used++] = ' ';
        room--;
    }
    p->used += text_make_printable(p->reply.text + p->used, room, text, size);
}

int smtp_reply_line(SmtpReplyParser *p, const char *line, size_t size, const char **ret_text, size_t *ret_size)
{
    const char *text;
    size_t text_size;
    int code;

    if (size == 0 || line[size - 1] != '\n')
        return -EBADMSG;
    size--;
    if (size > 0 && line[size - 1] == '\r')
        size--;
    if (size < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]))
        return -EBADMSG;
    if (size > 3 && line[3] != ' ' && line[3] != '-')
        return -EBADMSG;
    code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
    if (p->n_lines == 0)
        *p = (SmtpReplyParser){.reply = {.code = code}};
    else if (p->reply.code != code)
        return -EBADMSG;
    if (p->n_lines == SMTP_REPLY_LINES_MAX)
        return -E2BIG;
    p->n_lines++;
    text = size > 4 ? line + 4 : "";
    text_size = size > 4 ? size - 4 : 0;
    append_text(p, text, text_size);
    *ret_text = text;
    *ret_size = text_size;
    if (size > 3 && line[3] == '-')
        return 0;
    p->n_lines = 0;
    return 1;
}

void smtp_ehlo_line(SmtpEhlo *e, const char *text, size_t size)
{
    static const struct {
        const char *keyword;
        SmtpExtension extension;
    } table[] = {
        {"8BITMIME", SMTP_EXTENSION_8BITMIME},
        {"PIPELINING", SMTP_EXTENSION_PIPELINING},
        {"REQUIRETLS", SMTP_EXTENSION_REQUIRETLS},
        {"SIZE", SMTP_EXTENSION_SIZE},
        {"SMTPUTF8", SMTP_EXTENSION_SMTPUTF8},
        {"STARTTLS", SMTP_EXTENSION_STARTTLS},
    };
    size_t n = 0;

    while (n < size && (isalnum((unsigned char) text[n]) || text[n] == '-'))
        n++;
    if (n < size && text[n] != ' ')
        return;
    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        if (strlen(table[i].keyword) != n || strncasecmp(table[i].keyword, text, n) != 0)
            continue;
        e->extensions |= table[i].extension;
        if (table[i].extension != SMTP_EXTENSION_SIZE)
            return;
        e->size_max = 0;
        for (size_t k = n + 1; k < size && is_digit(text[k]); k++) {
            if (e->size_max > (UINT64_MAX - 9) / 10) {
                e->size_max = 0;
                return;
            }
            e->size_max = e->size_max * 10 + (uint64_t) (text[k] - '0');
        }
        return;
    }
}
