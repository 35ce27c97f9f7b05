/* SPDX-License-Identifier: Apache-2.0 */

/* Parses what peers send as addresses. The domain decides where mail goes and which security holds for it, so it has one form
 * only; the local part belongs to its host and is never changed (RFC 5321, section 2.4). No name is looked up here. */

#include "address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <idn2.h>
#include <strings.h>

#include "text.h"

#define LABEL_MAX 63
#define IPV6_TAG "IPv6:"

/* ---- domains ---- */

/* Letters, digits, hyphens (not at the ends of a label), labels of 1 to 63, lower-cased in place. RFC 1123, section 2.1;
 * underscores are no host names. */
static bool normalize_ldh(char *s)
{
    size_t label = 0, total = 0;

    for (; *s != '\0'; s++, total++) {
        if (*s == '.') {
            if (label == 0 || s[-1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!isalnum((unsigned char) *s) && *s != '-')
            return false;
        if ((*s == '-' && label == 0) || ++label > LABEL_MAX)
            return false;
        *s = (char) tolower((unsigned char) *s);
    }
    return label > 0 && s[-1] != '-' && total <= ADDRESS_DOMAIN_MAX;
}

static bool is_ascii(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char) *s >= 0x80)
            return false;
    return true;
}

static int idn_errno(int code)
{
    switch (code) {
    case IDN2_OK:
        return 0;
    case IDN2_MALLOC:
        return -ENOMEM;
    case IDN2_TOO_BIG_DOMAIN:
    case IDN2_TOO_BIG_LABEL:
        return -ENAMETOOLONG;
    default:
        return -EINVAL;
    }
}

int domain_normalize(const char *s, char **ret)
{
    _cleanup_free_ char *domain = NULL;
    size_t n = strlen(s);
    int r;

    if (n > ADDRESS_DOMAIN_MAX * 4) /* U-labels are longer than A-labels at times; nothing that fits is longer than this */
        return -ENAMETOOLONG;
    if (is_ascii(s)) {
        domain = strdup(s);
        if (!domain)
            return -ENOMEM;
    } else {
        char *ascii = NULL;

        r = idn_errno(idn2_lookup_u8((const uint8_t *) s, (uint8_t **) &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL));
        if (r < 0)
            return r;
        domain = strdup(ascii);
        idn2_free(ascii);
        if (!domain)
            return -ENOMEM;
    }
    if (strlen(domain) > ADDRESS_DOMAIN_MAX)
        return -ENAMETOOLONG;
    if (!normalize_ldh(domain))
        return -EINVAL;
    *ret = TAKE_PTR(domain);
    return 0;
}

bool domain_matches(const char *domain, const char *pattern)
{
    size_t n = strlen(domain), m = strlen(pattern);

    if (*pattern != '.')
        return streq(domain, pattern);
    return n > m && streq(domain + n - m, pattern);
}

/* ---- mailboxes ---- */

/* RFC 5322, section 3.2.3 "atext"; beyond ASCII RFC 6531, section 3.3. */
static size_t atext_length(const char *s, size_t n, bool smtputf8)
{
    if ((unsigned char) *s >= 0x80)
        return smtputf8 ? text_utf8_char(s, n) : 0;
    return isalnum((unsigned char) *s) || (*s != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", *s)) ? 1 : 0;
}

/* Length of a Dot-string at the start of s; 0 if there is none. */
static size_t dot_string_length(const char *s, size_t n, bool smtputf8)
{
    size_t i = 0, good = 0;

    while (i < n) {
        size_t atom = 0, k;

        while (i < n && (k = atext_length(s + i, n - i, smtputf8)) > 0)
            i += k, atom += k;
        if (atom == 0)
            return 0; /* begins with, ends with, or has two dots */
        good = i;
        if (i == n || s[i] != '.')
            break;
        i++;
        if (i == n)
            return 0;
    }
    return good;
}

/* Length of a Quoted-string at the start of s, quotes included; 0 if there is none. RFC 5321: qtextSMTP is printable ASCII, as is
 * what a backslash quotes. */
static size_t quoted_string_length(const char *s, size_t n, bool smtputf8)
{
    size_t i = 1;

    if (n < 2 || s[0] != '"')
        return 0;
    while (i < n && s[i] != '"') {
        size_t k;

        if (s[i] == '\\') {
            if (i + 1 >= n || s[i + 1] < 0x20 || s[i + 1] > 0x7e)
                return 0;
            i += 2;
            continue;
        }
        if ((unsigned char) s[i] >= 0x80)
            k = smtputf8 ? text_utf8_char(s + i, n - i) : 0;
        else
            k = s[i] >= 0x20 && s[i] <= 0x7e ? 1 : 0;
        if (k == 0)
            return 0;
        i += k;
    }
    return i < n ? i + 1 : 0;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" in the form that inet_ntop() gives. General address literals are not used by anybody and
 * are refused. */
static int parse_literal(const char *s, size_t n, char **ret)
{
    char text[INET6_ADDRSTRLEN + sizeof(IPV6_TAG)], canonical[INET6_ADDRSTRLEN];
    struct in6_addr address;
    char *literal;
    bool v6;

    if (n < 2 || s[n - 1] != ']' || n - 2 >= sizeof(text))
        return -EINVAL;
    memcpy(text, s + 1, n - 2);
    text[n - 2] = '\0';
    if (memchr(text, '\0', n - 2))
        return -EINVAL;
    v6 = strncasecmp(text, IPV6_TAG, strlen(IPV6_TAG)) == 0;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, v6 ? text + strlen(IPV6_TAG) : text, &address) != 1)
        return -EINVAL;
    if (!inet_ntop(v6 ? AF_INET6 : AF_INET, &address, canonical, sizeof(canonical)))
        return -errno;
    if (asprintf(&literal, "[%s%s]", v6 ? IPV6_TAG : "", canonical) < 0)
        return -ENOMEM;
    *ret = literal;
    return 0;
}

static int parse_domain_part(const char *s, size_t n, bool smtputf8, char **ret)
{
    _cleanup_free_ char *text = NULL;

    if (n == 0 || memchr(s, '\0', n))
        return -EINVAL;
    if (*s == '[')
        return parse_literal(s, n, ret);
    text = strndup(s, n);
    if (!text)
        return -ENOMEM;
    if (!smtputf8 && !is_ascii(text))
        return -EINVAL;
    return domain_normalize(text, ret);
}

int address_parse(const char *s, size_t n, bool smtputf8, char **ret_local, char **ret_domain)
{
    _cleanup_free_ char *local = NULL, *domain = NULL;
    size_t length;
    int r;

    if (n == 0)
        return -EINVAL;
    if (n > ADDRESS_PATH_MAX)
        return -ENAMETOOLONG;
    length = *s == '"' ? quoted_string_length(s, n, smtputf8) : dot_string_length(s, n, smtputf8);
    if (length == 0 || length == n || s[length] != '@')
        return -EINVAL;
    if (length > ADDRESS_LOCAL_MAX)
        return -ENAMETOOLONG;
    r = parse_domain_part(s + length + 1, n - length - 1, smtputf8, &domain);
    if (r < 0)
        return r;
    local = strndup(s, length);
    if (!local)
        return -ENOMEM;
    *ret_local = TAKE_PTR(local);
    *ret_domain = TAKE_PTR(domain);
    return 0;
}

const char *address_domain(const char *address)
{
    const char *at = strrchr(address, '@');

    return at ? at + 1 : NULL;
}

/* ---- socket addresses ---- */

/* The numeric form; v4 addresses that came in through a v6 socket are v4. */
static int format_address(const struct sockaddr *sa, char buffer[static INET6_ADDRSTRLEN], bool *ret_v6)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) sa;

        *ret_v6 = false;
        return inet_ntop(AF_INET, &in->sin_addr, buffer, INET6_ADDRSTRLEN) ? 0 : -errno;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) sa;

        *ret_v6 = !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        if (*ret_v6)
            return inet_ntop(AF_INET6, &in6->sin6_addr, buffer, INET6_ADDRSTRLEN) ? 0 : -errno;
        return inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, buffer, INET6_ADDRSTRLEN) ? 0 : -errno;
    }
    return -EAFNOSUPPORT;
}

int sockaddr_to_string(const struct sockaddr *sa, char **ret)
{
    char buffer[INET6_ADDRSTRLEN];
    char *copy;
    bool v6;
    int r;

    r = format_address(sa, buffer, &v6);
    if (r < 0)
        return r;
    copy = strdup(buffer);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int sockaddr_to_literal(const struct sockaddr *sa, char **ret)
{
    char buffer[INET6_ADDRSTRLEN];
    char *text;
    bool v6;
    int r;

    r = format_address(sa, buffer, &v6);
    if (r < 0)
        return r;
    if (asprintf(&text, "[%s%s]", v6 ? IPV6_TAG : "", buffer) < 0)
        return -ENOMEM;
    *ret = text;
    return 0;
}
