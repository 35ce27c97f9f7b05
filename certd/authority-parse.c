/* SPDX-License-Identifier: Apache-2.0 */

/* Reads lists of authorities in PEM, line by line, since a person who edited one wants to know where it is wrong. It must never
 * pass over a certificate without a word: who trusts in a list must have all of it. */

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>

#include "authority.h"
#include "openssl-cleanup.h"
#include "text.h"

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
#define DASHES "-----"
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors' */

typedef struct Line {
    const char *text; /* not NUL-ended */
    size_t size;      /* without blanks and the line break at its end */
    const char *next;
    unsigned number;
} Line;

/* A certificate between its boundaries. */
typedef struct Block {
    const char *text;
    size_t size;
    unsigned line;
} Block;

static _printf_(2, 3) int refuse(char reason[AUTHORITY_REASON_MAX], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(reason, AUTHORITY_REASON_MAX, format, ap);
    va_end(ap);
    return -EBADMSG;
}

static bool next_line(Line *l, const char *end)
{
    const char *stop;

    if (l->next >= end)
        return false;
    l->text = l->next;
    stop = memchr(l->text, '\n', (size_t) (end - l->text)) ?: end;
    l->next = stop < end ? stop + 1 : end;
    l->size = (size_t) (stop - l->text);
    while (l->size > 0 && strchr(" \t\r", l->text[l->size - 1]))
        l->size--;
    l->number++;
    return true;
}

static bool line_is(const Line *l, const char *s)
{
    return l->size == strlen(s) && memcmp(l->text, s, l->size) == 0;
}

static bool line_begins(const Line *l, const char *s)
{
    return l->size >= strlen(s) && memcmp(l->text, s, strlen(s)) == 0;
}

static bool line_has(const Line *l, const char *s)
{
    return memmem(l->text, l->size, s, strlen(s));
}

static bool is_text(const Line *l)
{
    for (size_t i = 0; i < l->size; i++)
        if ((unsigned char) l->text[i] < ' ' && l->text[i] != '\t')
            return false;
    return true;
}

/* What stands between certificates. */
static int check_comment(const Line *l, char reason[AUTHORITY_REASON_MAX])
{
    char shown[64];

    (void) text_make_printable(shown, sizeof(shown), l->text, l->size);
    if (!is_text(l))
        return refuse(reason, "line %u is no text; a list of authorities is a text of certificates in PEM", l->number);
    if (line_is(l, END))
        return refuse(reason, "in line %u a certificate ends that has no beginning", l->number);
    if (line_has(l, "PRIVATE KEY"))
        return refuse(reason, "in line %u there is a private key; it does not belong into a list of authorities", l->number);
    if (line_begins(l, DASHES) || line_has(l, "BEGIN CERTIFICATE") || line_has(l, "END CERTIFICATE"))
        return refuse(reason, "line %u (\"%s\") is no boundary of a certificate; they begin with %s", l->number, shown, BEGIN);
    return 0;
}

/* From the line that begins it to the one that ends it. */
static int read_block(Line *l, const char *end, Block *ret, char reason[AUTHORITY_REASON_MAX])
{
    Block b = {.text = l->text, .line = l->number};

    while (next_line(l, end)) {
        if (line_is(l, END)) {
            b.size = (size_t) (l->next - b.text);
            *ret = b;
            return 0;
        }
        if (line_begins(l, DASHES))
            break;
    }
    return refuse(reason, "the certificate that begins in line %u does not end", b.line);
}

static int no_passphrase(char *buffer, int size, int writing, void *userdata)
{
    return -1;
}

static X509 *parse_block(const Block *b)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(b->text, (int) b->size);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

    ERR_clear_error();
    return x;
}

/* NULL if it is one. */
static const char *why_no_authority(X509 *x)
{
    uint32_t flags = X509_get_extension_flags(x);

    if (flags & EXFLAG_INVALID)
        return "one of its extensions is damaged";
    if (!(flags & EXFLAG_BCONS))
        return "it has no basicConstraints, which say that it is an authority's";
    if (!(flags & EXFLAG_CA))
        return "its basicConstraints say that it is no authority's (CA:FALSE)";
    if ((flags & EXFLAG_KUSAGE) && !(X509_get_key_usage(x) & KU_KEY_CERT_SIGN))
        return "its keyUsage does not allow it to sign certificates";
    return NULL;
}

/* Returns 1 if it is in the list now, 0 if it is passed over. */
static int take_block(const Block *b, AuthorityParse mode, AuthorityList *l, AuthorityParsed *parsed,
        char reason[AUTHORITY_REASON_MAX])
{
    _cleanup_(authority_freep) Authority *a = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    const char *why;
    int r;

    x = parse_block(b);
    r = x ? authority_new(&a, x) : -EBADMSG;
    if (r == -ENOMEM)
        return r;
    why = r < 0 ? NULL : why_no_authority(x);
    if (mode == AUTHORITY_PARSE_LENIENT && (r < 0 || why)) {
        parsed->passed_over++;
        return 0;
    }
    if (r < 0)
        return refuse(reason, "the certificate that begins in line %u is damaged", b->line);
    if (why)
        return refuse(reason, "the certificate that begins in line %u (%s) is no authority's: %s", b->line, a->name, why);
    r = authority_list_add(l, a);
    if (r == -EEXIST) {
        parsed->duplicates++;
        return 0;
    }
    if (r == -E2BIG)
        (void) refuse(reason, "there are more than %d certificates, which is the limit of a list", AUTHORITIES_LIST_MAX);
    if (r < 0)
        return r;
    (void) TAKE_PTR(a);
    return 1;
}

static int parse_text(const char *text, size_t size, AuthorityParse mode, AuthorityList *l, AuthorityParsed *parsed,
        char reason[AUTHORITY_REASON_MAX])
{
    const char *end = text + size;
    bool marked = size >= strlen(BYTE_ORDER_MARK) && memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;
    Line line = {.next = marked ? text + strlen(BYTE_ORDER_MARK) : text};
    int r;

    while (next_line(&line, end)) {
        Block b = {};

        if (!line_is(&line, BEGIN)) {
            r = mode == AUTHORITY_PARSE_STRICT ? check_comment(&line, reason) : 0;
            if (r < 0)
                return r;
            continue;
        }
        r = read_block(&line, end, &b, reason);
        if (r >= 0)
            r = take_block(&b, mode, l, parsed, reason);
        if (r < 0)
            return r;
    }
    return 0;
}

int authority_parse(const char *text, size_t size, AuthorityParse mode, AuthorityList *l, AuthorityParsed *ret,
        char reterr_reason[AUTHORITY_REASON_MAX])
{
    AuthorityParsed parsed = {};
    size_t n = l->n;
    int r;

    if (size > AUTHORITIES_LIST_SIZE_MAX) {
        (void) refuse(reterr_reason, "it is larger than %d MB, which is the limit of a list", AUTHORITIES_LIST_SIZE_MAX >> 20);
        return -EFBIG;
    }
    r = parse_text(text, size, mode, l, &parsed, reterr_reason);
    if (r >= 0 && mode == AUTHORITY_PARSE_STRICT && l->n == n && parsed.duplicates == 0) {
        (void) refuse(reterr_reason, "there is no certificate in it; they begin with a line %s", BEGIN);
        r = -ENODATA;
    }
    if (r < 0) {
        while (l->n > n)
            authority_free(l->items[--l->n]);
        return r;
    }
    *ret = parsed;
    return 0;
}
