/* SPDX-License-Identifier: Apache-2.0 */

/* Records come from strangers: what is written is what the master file format can hold, printable ASCII only. */

#include "record-text.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "dns-name.h"

#define DNS_TYPE_PTR 12

static const struct {
    const char *name;
    uint16_t type;
} types[] = {
    {"A", DNS_TYPE_A},
    {"AAAA", DNS_TYPE_AAAA},
    {"CNAME", DNS_TYPE_CNAME},
    {"MX", DNS_TYPE_MX},
    {"PTR", DNS_TYPE_PTR},
    {"TLSA", DNS_TYPE_TLSA},
    {"TXT", DNS_TYPE_TXT},
};

int record_type_from_string(const char *s, uint16_t *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        char number[16];

        (void) snprintf(number, sizeof(number), "TYPE%u", types[i].type);
        if (strcasecmp(s, types[i].name) == 0 || strcasecmp(s, number) == 0) {
            *ret = types[i].type;
            return 0;
        }
    }
    return -EINVAL;
}

static void write_hex(FILE *f, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        (void) fprintf(f, "%02X", data[i]);
}

static int write_name(FILE *f, const uint8_t *data, size_t size)
{
    _cleanup_free_ char *name = NULL;
    size_t used;
    int r;

    r = dns_name_from_wire(data, size, &name, &used);
    if (r < 0)
        return r;
    if (used != size)
        return -EBADMSG;
    (void) fprintf(f, "%s.", name);
    return 0;
}

static int write_mx(FILE *f, const ResolveRecord *r)
{
    _cleanup_free_ char *exchange = NULL;
    uint16_t preference;
    int k;

    k = resolve_parse_mx(r, &preference, &exchange);
    if (k >= 0)
        (void) fprintf(f, "%u %s.", preference, exchange);
    return k;
}

static int write_address(FILE *f, uint16_t type, const ResolveRecord *r)
{
    char text[INET6_ADDRSTRLEN];

    if (r->size != (type == DNS_TYPE_A ? sizeof(struct in_addr) : sizeof(struct in6_addr))
            || !inet_ntop(type == DNS_TYPE_A ? AF_INET : AF_INET6, r->data, text, sizeof(text)))
        return -EBADMSG;
    (void) fputs(text, f);
    return 0;
}

static int write_tlsa(FILE *f, const ResolveRecord *r)
{
    TlsaRecord t;
    int k;

    k = resolve_parse_tlsa(r, &t);
    if (k < 0)
        return k;
    (void) fprintf(f, "%u %u %u ", t.usage, t.selector, t.mtype);
    write_hex(f, t.data, t.size);
    return 0;
}

/* Strings, each behind its length (RFC 1035, section 3.3.14). */
static int write_txt(FILE *f, const ResolveRecord *r)
{
    for (size_t i = 0; i < r->size; i += 1u + r->data[i])
        if (i + 1 + r->data[i] > r->size)
            return -EBADMSG;
    for (size_t i = 0; i < r->size; i += 1u + r->data[i]) {
        (void) fputs(i == 0 ? "\"" : " \"", f);
        for (const uint8_t *p = r->data + i + 1, *end = p + r->data[i]; p < end; p++) {
            if (*p == '"' || *p == '\\')
                (void) fprintf(f, "\\%c", *p);
            else if (*p >= ' ' && *p < 0x7f)
                (void) fputc(*p, f);
            else
                (void) fprintf(f, "\\%03u", *p);
        }
        (void) fputc('"', f);
    }
    return r->size > 0 ? 0 : -EBADMSG;
}

static int write_record(FILE *f, uint16_t type, const ResolveRecord *r)
{
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        return write_address(f, type, r);
    case DNS_TYPE_CNAME:
    case DNS_TYPE_PTR:
        return write_name(f, r->data, r->size);
    case DNS_TYPE_MX:
        return write_mx(f, r);
    case DNS_TYPE_TLSA:
        return write_tlsa(f, r);
    case DNS_TYPE_TXT:
        return write_txt(f, r);
    default:
        return -EBADMSG;
    }
}

int record_to_text(uint16_t type, const ResolveRecord *r, char **ret)
{
    _cleanup_free_ char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int k;

    if (!f)
        return -ENOMEM;
    k = write_record(f, type, r);
    if (k < 0 && k != -ENOMEM) { /* nothing is written before all is known to be good */
        (void) fprintf(f, "\\# %zu ", r->size);
        write_hex(f, r->data, r->size);
        k = 0;
    }
    if (fclose(f) != 0 || k < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    return 0;
}
