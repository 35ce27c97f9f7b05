/* SPDX-License-Identifier: Apache-2.0 */

/* Values of configuration keys. Each parser leaves the field as it was when the value is wrong, and says in one sentence what
 * would be right. Pure. */

#include "conf.h"

#include <ctype.h>
#include <stdarg.h>
#include <strings.h>

#include "address.h"
#include "certificate-name.h"

#define WHITESPACE " \t"

/* Sets *ret_reason and returns error, so that `return because(…)` reads as a sentence. */
static int because(int error, char **ret_reason, const char *format, ...) _printf_(3, 4);

static int because(int error, char **ret_reason, const char *format, ...)
{
    char *reason = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&reason, format, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    *ret_reason = reason;
    return error;
}

char **conf_strv_free(char **l)
{
    for (char **s = l; s && *s; s++)
        free(*s);
    free(l);
    return NULL;
}

static size_t strv_length(char *const *l)
{
    size_t n = 0;

    while (l && l[n])
        n++;
    return n;
}

/* Appends one string, which becomes the list's. */
static int strv_consume(char ***l, char *s)
{
    size_t n = strv_length(*l);
    char **grown;

    grown = realloc(*l, (n + 2) * sizeof(char *));
    if (!grown)
        return -ENOMEM;
    grown[n] = s;
    grown[n + 1] = NULL;
    *l = grown;
    return 0;
}

int conf_parse_string(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char **f = field, *copy = NULL;

    if (*a->value != '\0') {
        copy = strdup(a->value);
        if (!copy)
            return -ENOMEM;
    }
    free(*f);
    *f = copy;
    return 0;
}

int conf_parse_list(const ConfAssignment *a, char ***field, ConfWord parse, char **ret_reason)
{
    _cleanup_(conf_strv_freep) char **added = NULL;
    const char *p = a->value;
    int r;

    if (*p == '\0') { /* resets */
        *field = conf_strv_free(*field);
        return 0;
    }
    while (*(p += strspn(p, WHITESPACE)) != '\0') {
        _cleanup_free_ char *word = NULL, *element = NULL;
        size_t n = strcspn(p, WHITESPACE);

        word = strndup(p, n);
        if (!word)
            return -ENOMEM;
        r = parse(word, &element, ret_reason);
        if (r < 0)
            return r;
        r = strv_consume(&added, element);
        if (r < 0)
            return r;
        (void) TAKE_PTR(element);
        p += n;
    }
    for (char **s = added; s && *s; s++) {
        r = strv_consume(field, *s);
        if (r < 0) {
            memmove(added, s, (strv_length(s) + 1) * sizeof(char *)); /* those before are the field's */
            return r;
        }
    }
    free(TAKE_PTR(added));
    return 0;
}

static int word_any(const char *word, char **ret, char **ret_reason)
{
    char *copy = strdup(word);

    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

int conf_parse_strv(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    return conf_parse_list(a, field, word_any, ret_reason);
}

int conf_parse_bool(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    static const ConfEnum names[] = {
        {"yes", true}, {"no", false}, {"true", true}, {"false", false}, {"on", true}, {"off", false}, {"1", true}, {"0", false},
        {"", false},
    };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcasecmp(a->value, names[i].name) == 0) {
            *(bool *) field = names[i].value;
            return 0;
        }
    return because(-EINVAL, ret_reason, "expected 'yes' or 'no'");
}

/* Digits only: no sign, no space, no other base. Returns the number of characters, 0 if there are none; -ERANGE. */
static int parse_digits(const char *s, uint64_t *ret)
{
    uint64_t v = 0;
    int n = 0;

    for (; isdigit((unsigned char) s[n]); n++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t) (s[n] - '0'), &v))
            return -ERANGE;
    *ret = v;
    return n;
}

static bool in_range(uint64_t v, const ConfRange *range, uint64_t max)
{
    return v <= max && (!range || (v >= range->min && v <= range->max));
}

int conf_parse_unsigned(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    const ConfRange *range = ltype;
    uint64_t max = range ? MIN(range->max, UINT32_MAX) : UINT32_MAX;
    uint64_t v = 0;
    int n;

    if (*a->value != '\0') {
        n = parse_digits(a->value, &v);
        if (n == 0 || (n > 0 && a->value[n] != '\0'))
            return because(-EINVAL, ret_reason, "expected a number");
        if (n < 0 || !in_range(v, range, max))
            return because(-ERANGE, ret_reason, "expected a number from %llu to %llu",
                    (unsigned long long) (range ? range->min : 0), (unsigned long long) max);
    }
    *(unsigned *) field = (unsigned) v;
    return 0;
}

/* "10M" for 10485760, for messages. */
static const char *format_size(uint64_t v, char buffer[static 24])
{
    const char *unit = "";

    for (const char *u = "KMGT"; v > 0 && v % 1024 == 0 && *u; u++) {
        v /= 1024;
        unit = (const char *[]) {['K'] = "K", ['M'] = "M", ['G'] = "G", ['T'] = "T"}[(unsigned char) *u];
    }
    (void) snprintf(buffer, 24, "%llu%s", (unsigned long long) v, unit);
    return buffer;
}

int conf_parse_size(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    static const char units[] = "KMGT";
    const ConfRange *range = ltype;
    char min[24], max[24];
    uint64_t v = 0;
    int n = 0;

    if (*a->value != '\0') {
        const char *unit;

        n = parse_digits(a->value, &v);
        if (n == 0)
            return because(-EINVAL, ret_reason, "expected a size in bytes, such as 4096, 64K or 10M");
        if (n > 0 && a->value[n] != '\0') {
            unit = strchr(units, toupper((unsigned char) a->value[n]));
            if (!unit || a->value[n + 1] != '\0')
                return because(-EINVAL, ret_reason, "expected a size in bytes, such as 4096, 64K or 10M");
            for (const char *u = units; u <= unit && n >= 0; u++)
                if (__builtin_mul_overflow(v, UINT64_C(1024), &v))
                    n = -ERANGE;
        }
        if (n < 0 || !in_range(v, range, UINT64_MAX))
            return because(-ERANGE, ret_reason, "expected a size from %s to %s",
                    format_size(range ? range->min : 0, min), format_size(range ? range->max : UINT64_MAX, max));
    }
    *(uint64_t *) field = v;
    return 0;
}

static const struct {
    const char *name;
    uint64_t usec;
} time_units[] = {
    /* The first of a size is the one that messages use. */
    {"w", 7 * 24 * 3600 * USEC_PER_SEC}, {"week", 7 * 24 * 3600 * USEC_PER_SEC}, {"weeks", 7 * 24 * 3600 * USEC_PER_SEC},
    {"d", 24 * 3600 * USEC_PER_SEC},     {"day", 24 * 3600 * USEC_PER_SEC},      {"days", 24 * 3600 * USEC_PER_SEC},
    {"h", 3600 * USEC_PER_SEC},          {"hour", 3600 * USEC_PER_SEC},          {"hours", 3600 * USEC_PER_SEC},
    {"min", 60 * USEC_PER_SEC},          {"m", 60 * USEC_PER_SEC},               {"minute", 60 * USEC_PER_SEC},
    {"minutes", 60 * USEC_PER_SEC},      {"s", USEC_PER_SEC},                    {"sec", USEC_PER_SEC},
    {"second", USEC_PER_SEC},            {"seconds", USEC_PER_SEC},              {"ms", USEC_PER_MSEC},
    {"msec", USEC_PER_MSEC},             {"us", 1},                              {"usec", 1},
};

static const char *format_usec(uint64_t v, char buffer[static 24])
{
    for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
        if (v == 0 || v % time_units[i].usec == 0) {
            (void) snprintf(buffer, 24, "%llu%s", (unsigned long long) (v / time_units[i].usec), v == 0 ? ""
                    : time_units[i].name);
            break;
        }
    return buffer;
}

/* The factor of the unit at the start of s, which is n letters long; none at all means seconds. 0 if unknown. */
static uint64_t find_time_unit(const char *s, size_t n)
{
    if (n == 0)
        return USEC_PER_SEC;
    for (size_t i = 0; i < ELEMENTSOF(time_units); i++)
        if (strlen(time_units[i].name) == n && strncmp(time_units[i].name, s, n) == 0)
            return time_units[i].usec;
    return 0;
}

/* "5min 30s", "90". -EINVAL, -ERANGE. */
static int parse_usec(const char *s, uint64_t *ret)
{
    uint64_t sum = 0;

    while (*s != '\0') {
        uint64_t v, unit;
        size_t letters = 0;
        int n;

        n = parse_digits(s, &v);
        if (n <= 0)
            return n < 0 ? n : -EINVAL;
        s += n;
        s += strspn(s, WHITESPACE);
        while (isalpha((unsigned char) s[letters]))
            letters++;
        unit = find_time_unit(s, letters);
        if (unit == 0)
            return -EINVAL;
        if (__builtin_mul_overflow(v, unit, &v) || __builtin_add_overflow(sum, v, &sum))
            return -ERANGE;
        s += letters;
        s += strspn(s, WHITESPACE);
    }
    *ret = sum;
    return 0;
}

int conf_parse_usec(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    const ConfRange *range = ltype;
    char min[24], max[24];
    uint64_t v = 0;
    int r;

    r = parse_usec(a->value, &v);
    if (r == -EINVAL)
        return because(r, ret_reason, "expected a time span such as 30s, 5min, 2h or 1d; a plain number is seconds");
    if (r < 0 || (*a->value != '\0' && !in_range(v, range, UINT64_MAX)))
        return because(-ERANGE, ret_reason, "expected a time span from %s to %s",
                format_usec(range ? range->min : 0, min), format_usec(range ? range->max : UINT64_MAX, max));
    *(uint64_t *) field = v;
    return 0;
}

static char *list_enum(const ConfEnum *names)
{
    char *text = NULL;
    size_t size;
    FILE *f;

    f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    for (const ConfEnum *e = names; e->name; e++)
        fprintf(f, "%s%s", e == names ? "" : e[1].name ? ", " : " or ", e->name);
    if (fclose(f) == EOF) {
        free(text);
        return NULL;
    }
    return text;
}

int conf_parse_enum(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    _cleanup_free_ char *expected = NULL;

    if (*a->value == '\0') {
        *(int *) field = 0;
        return 0;
    }
    for (const ConfEnum *e = ltype; e->name; e++)
        if (strcasecmp(e->name, a->value) == 0) {
            *(int *) field = e->value;
            return 0;
        }
    expected = list_enum(ltype);
    if (!expected)
        return -ENOMEM;
    return because(-EINVAL, ret_reason, "expected %s", expected);
}

static int word_domain(const char *word, char **ret, char **ret_reason)
{
    int r;

    r = domain_normalize(word, ret);
    if (r < 0 && r != -ENOMEM)
        return because(r, ret_reason, "'%s' is not a domain name", word);
    return r;
}

/* A domain, or ".suffix" for all below it. */
static int word_domain_pattern(const char *word, char **ret, char **ret_reason)
{
    _cleanup_free_ char *domain = NULL;
    char *pattern;
    int r;

    if (*word != '.')
        return word_domain(word, ret, ret_reason);
    r = word_domain(word + 1, &domain, ret_reason);
    if (r < 0)
        return r;
    if (asprintf(&pattern, ".%s", domain) < 0)
        return -ENOMEM;
    *ret = pattern;
    return 0;
}

int conf_parse_certificate(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    /* What certd cannot have would only fail in the workers. */
    if (*a->value == '\0' || certificate_name_valid(a->value))
        return conf_parse_string(a, field, NULL, ret_reason);
    return because(-EINVAL, ret_reason, "expected the name of a certificate (letters, digits, '.', '-' and '_', at most %d)",
            CERTIFICATE_NAME_MAX);
}

int conf_parse_domain(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    char **f = field, *domain = NULL;
    int r;

    if (*a->value != '\0') {
        r = word_domain(a->value, &domain, ret_reason);
        if (r < 0)
            return r;
    }
    free(*f);
    *f = domain;
    return 0;
}

int conf_parse_domains(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason)
{
    return conf_parse_list(a, field, word_domain_pattern, ret_reason);
}
