/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies of an SMTP or LMTP server (RFC 5321, section 4.2), and what EHLO's reply offers (section 4.1.1.1). Pure; everything has
 * a limit. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 5321 allows 512 bytes with CRLF; some servers do not care. */
#define SMTP_REPLY_LINE_MAX 2048
#define SMTP_REPLY_LINES_MAX 256

typedef struct SmtpReply { /* code 0: no reply (connection lost …), text says what happened */
    int code;
    char text[512]; /* enhanced code and the text of all lines in one, control characters replaced, UTF-8; cut with "…" */
} SmtpReply;

/* All zero at the start. */
typedef struct SmtpReplyParser {
    SmtpReply reply;
    unsigned n_lines;
    size_t used;          /* of reply.text */
    size_t enhanced_size; /* "5.7.1 " of the first line, not repeated in text */
} SmtpReplyParser;

/* Takes one line with its LF; a CR before it belongs to the end. Returns 1 when the reply is complete (p->reply, and p starts
 * anew with the next line), 0 when more lines follow, -EBADMSG for what is no reply line or has another code than the line
 * before, -E2BIG for too many lines. *ret_text, *ret_size: the line's text as it stands, into line. */
int smtp_reply_line(SmtpReplyParser *p, const char *line, size_t size, const char **ret_text, size_t *ret_size);

typedef enum SmtpExtension {
    SMTP_EXTENSION_8BITMIME = 1u << 0,
    SMTP_EXTENSION_PIPELINING = 1u << 1,
    SMTP_EXTENSION_REQUIRETLS = 1u << 2,
    SMTP_EXTENSION_SIZE = 1u << 3,
    SMTP_EXTENSION_SMTPUTF8 = 1u << 4,
    SMTP_EXTENSION_STARTTLS = 1u << 5,
} SmtpExtension;

typedef struct SmtpEhlo {
    uint32_t extensions;
    uint64_t size_max; /* 0: not said */
} SmtpEhlo;

/* text: of one line of the reply, other than the first. Unknown extensions are passed over. */
void smtp_ehlo_line(SmtpEhlo *e, const char *text, size_t size);
