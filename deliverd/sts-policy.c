/* SPDX-License-Identifier: Apache-2.0 */

/* MTA-STS policies and records. No clock, no network, no log: whoever fetched a policy says when. What is malformed is no policy;
 * a policy that cannot be had is never permission to forget the one that has not expired. */

#include "sts-policy.h"

#include <arpa/inet.h>

#include "address.h"

StsPolicy *sts_policy_ref(StsPolicy *p)
{
    p->n_ref++;
    return p;
}

StsPolicy *sts_policy_unref(StsPolicy *p)
{
    if (!p || --p->n_ref > 0)
        return NULL;
    for (size_t i = 0; i < p->n_mx; i++)
        free(p->mx[i]);
    free(p->mx);
    free(p);
    return NULL;
}

static const char *const mode_names[] = {
    [STS_MODE_NONE] = "none",
    [STS_MODE_TESTING] = "testing",
    [STS_MODE_ENFORCE] = "enforce",
};

const char *sts_mode_to_string(StsMode m)
{
    return m < ELEMENTSOF(mode_names) ? mode_names[m] : "unknown";
}

int sts_mode_from_string(const char *s, StsMode *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(mode_names); i++)
        if (streq(s, mode_names[i])) {
            *ret = (StsMode) i;
            return 0;
        }
    return -EINVAL;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A part of a text that is not NUL-ended. */
typedef struct Span {
    const char *at;
    size_t size;
} Span;

static Span span_trim(Span s)
{
    while (s.size > 0 && blank(*s.at)) {
        s.at++;
        s.size--;
    }
    while (s.size > 0 && blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

static bool span_is(Span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

/* Takes what is before the first c, or all; false at the end. */
static bool span_take(Span *rest, char c, Span *ret)
{
    const char *found;

    if (rest->size == 0)
        return false;
    found = memchr(rest->at, c, rest->size);
    *ret = (Span) {rest->at, found ? (size_t) (found - rest->at) : rest->size};
    rest->at += ret->size + (found != NULL);
    rest->size -= ret->size + (found != NULL);
    return true;
}

/* ---- policies ---- */

/* What the lines have said so far. */
typedef struct PolicyReader {
    StsPolicy *policy;
    bool version, mode, max_age;
    const char *reason;
} PolicyReader;

static int refuse(PolicyReader *r, const char *reason)
{
    r->reason = reason;
    return -EBADMSG;
}

static int read_version(PolicyReader *r, Span value)
{
    if (!span_is(value, "STSv1"))
        return refuse(r, "its version is not STSv1");
    r->version = true;
    return 0;
}

static int read_mode(PolicyReader *r, Span value)
{
    for (size_t i = 0; i < ELEMENTSOF(mode_names); i++)
        if (span_is(value, mode_names[i])) {
            r->policy->mode = (StsMode) i;
            r->mode = true;
            return 0;
        }
    return refuse(r, "its mode is none of enforce, testing, none");
}

static int read_max_age(PolicyReader *r, Span value)
{
    uint64_t n = 0;

    if (value.size < 1 || value.size > 10)
        return refuse(r, "its max_age is no number of seconds");
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return refuse(r, "its max_age is no number of seconds");
        n = n * 10 + (uint64_t) (value.at[i] - '0');
    }
    r->policy->max_age = (uint32_t) MIN(n, (uint64_t) STS_MAX_AGE_MAX);
    r->max_age = true;
    return 0;
}

static bool is_address(const char *s)
{
    uint8_t binary[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, s, binary) == 1 || inet_pton(AF_INET6, s, binary) == 1;
}

static int read_mx(PolicyReader *r, Span value)
{
    _cleanup_free_ char *text = strndup(value.at, value.size), *domain = NULL, *pattern = NULL;
    bool wildcard;
    char **grown;

    if (!text)
        return -ENOMEM;
    /* What could never be the name in a certificate of a mail host matches nothing. */
    if (is_address(text))
        return 0;
    if (r->policy->n_mx >= STS_MX_MAX)
        return refuse(r, "it names too many hosts");
    wildcard = strncmp(text, "*.", 2) == 0;
    switch (domain_normalize(text + (wildcard ? 2 : 0), &domain)) {
    case 0:
        break;
    case -ENOMEM:
        return -ENOMEM;
    default:
        return refuse(r, "one of its mx is no host name");
    }
    /* Nor what was written in other digits. */
    if (is_address(domain))
        return 0;
    if (asprintf(&pattern, "%s%s", wildcard ? "*." : "", domain) < 0) {
        pattern = NULL;
        return -ENOMEM;
    }
    grown = reallocarray(r->policy->mx, r->policy->n_mx + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    r->policy->mx = grown;
    grown[r->policy->n_mx++] = TAKE_PTR(pattern);
    return 0;
}

/* Section 3.2: of a key that stands twice the first counts, but for mx; unknown keys are for later versions. */
static int read_field(PolicyReader *r, Span line)
{
    Span key, value = line;

    if (!memchr(line.at, ':', line.size))
        return refuse(r, "a line is not \"key: value\"");
    (void) span_take(&value, ':', &key);
    key = span_trim(key);
    value = span_trim(value);
    if (span_is(key, "version"))
        return r->version ? 0 : read_version(r, value);
    if (span_is(key, "mode"))
        return r->mode ? 0 : read_mode(r, value);
    if (span_is(key, "max_age"))
        return r->max_age ? 0 : read_max_age(r, value);
    if (span_is(key, "mx"))
        return read_mx(r, value);
    return 0;
}

static int check_complete(PolicyReader *r)
{
    if (!r->version)
        return refuse(r, "it has no version");
    if (!r->mode)
        return refuse(r, "it has no mode");
    if (!r->max_age)
        return refuse(r, "it has no max_age");
    if (r->policy->n_mx == 0 && r->policy->mode != STS_MODE_NONE)
        return refuse(r, "it names no hosts");
    return 0;
}

int sts_policy_parse(const char *text, size_t size, StsPolicy **ret, const char **reterr_reason)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = calloc(1, sizeof(*policy));
    PolicyReader reader = {.policy = policy};
    Span rest = {text, size}, line;
    int r = 0;

    if (!policy)
        return -ENOMEM;
    policy->n_ref = 1;
    if (size > STS_POLICY_MAX)
        r = refuse(&reader, "it is too large");
    else if (memchr(text, '\0', size))
        r = refuse(&reader, "it is not text");
    while (r >= 0 && span_take(&rest, '\n', &line)) {
        if (line.size > 0 && line.at[line.size - 1] == '\r')
            line.size--;
        if (span_trim(line).size > 0)
            r = read_field(&reader, line);
    }
    if (r >= 0)
        r = check_complete(&reader);
    if (r < 0) {
        if (reader.reason)
            *reterr_reason = reader.reason;
        return r;
    }
    *ret = TAKE_PTR(policy);
    return 0;
}

static bool is_pattern(const char *mx)
{
    const char *name = strncmp(mx, "*.", 2) == 0 ? mx + 2 : mx;
    _cleanup_free_ char *normal = NULL;

    return !is_address(mx) && domain_normalize(name, &normal) >= 0 && streq(normal, name);
}

int sts_policy_new(StsMode mode, uint32_t max_age, const char *const *mx, size_t n_mx, StsPolicy **ret)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;

    if (mode >= ELEMENTSOF(mode_names) || max_age > STS_MAX_AGE_MAX || n_mx > STS_MX_MAX || (n_mx == 0 && mode != STS_MODE_NONE))
        return -EBADMSG;
    policy = calloc(1, sizeof(*policy));
    if (!policy)
        return -ENOMEM;
    *policy = (StsPolicy) {.n_ref = 1, .mode = mode, .max_age = max_age};
    policy->mx = calloc(MAX(n_mx, (size_t) 1), sizeof(*policy->mx));
    if (!policy->mx)
        return -ENOMEM;
    for (; policy->n_mx < n_mx; policy->n_mx++) {
        if (!is_pattern(mx[policy->n_mx]))
            return -EBADMSG;
        policy->mx[policy->n_mx] = strdup(mx[policy->n_mx]);
        if (!policy->mx[policy->n_mx])
            return -ENOMEM;
    }
    *ret = TAKE_PTR(policy);
    return 0;
}

bool sts_policy_names(const StsPolicy *p, const char *host)
{
    const char *parent = strchr(host, '.');

    for (size_t i = 0; i < p->n_mx; i++)
        if (p->mx[i][0] == '*' ? parent && parent != host && streq(parent + 1, p->mx[i] + 2) : streq(host, p->mx[i]))
            return true;
    return false;
}

/* ---- records ---- */

/* The strings of a TXT record are one text (RFC 7208, section 3.3, which RFC 8461 follows). False: malformed, or too long to be
 * an STS record. */
static bool txt_text(const ResolveRecord *record, char *buffer, size_t size, Span *ret)
{
    size_t n = 0;

    for (size_t at = 0; at < record->size;) {
        size_t length = record->data[at++];

        if (length > record->size - at || length > size - n)
            return false;
        memcpy(buffer + n, record->data + at, length);
        n += length;
        at += length;
    }
    *ret = (Span) {buffer, n};
    return true;
}

/* "v=STSv1; id=20260831T085700;" with or without further fields. */
static bool read_id(Span text, char *ret_id)
{
    Span field;

    while (span_take(&text, ';', &field)) {
        field = span_trim(field);
        if (field.size < 3 || memcmp(field.at, "id=", 3) != 0)
            continue;
        field.at += 3;
        field.size -= 3;
        if (field.size < 1 || field.size > STS_ID_MAX)
            return false;
        for (size_t i = 0; i < field.size; i++)
            if (!alphanumeric(field.at[i]))
                return false;
        memcpy(ret_id, field.at, field.size);
        ret_id[field.size] = '\0';
        return true;
    }
    return false;
}

StsRecord sts_record_read(const ResolveAnswer *txt, char *ret_id)
{
    size_t n_records = 0;
    bool valid = false;

    *ret_id = '\0';
    if ((txt->state != DNSSEC_SECURE && txt->state != DNSSEC_INSECURE) ||
            (txt->rcode != DNS_RCODE_NOERROR && txt->rcode != DNS_RCODE_NXDOMAIN))
        return STS_RECORD_UNKNOWN;
    for (size_t i = 0; i < txt->n_records; i++) {
        char buffer[1024];
        Span text, version;

        if (!txt_text(txt->records + i, buffer, sizeof(buffer), &text))
            continue;
        if (!span_take(&text, ';', &version) || !span_is((Span) {version.at, span_trim(version).size}, "v=STSv1"))
            continue;
        n_records++;
        valid = read_id(text, ret_id);
    }
    /* Section 3.1: of several none counts. */
    if (n_records == 1 && valid)
        return STS_RECORD_FOUND;
    *ret_id = '\0';
    return STS_RECORD_NONE;
}

/* ---- what follows ---- */

bool sts_unexpired(const StsFacts *f)
{
    /* A clock that was set back must not make a policy eternal: it counts from when it was fetched, in both directions. */
    const uint64_t age = f->now_usec > f->fetched_usec ? f->now_usec - f->fetched_usec : f->fetched_usec - f->now_usec;

    return f->cached && age < (uint64_t) f->max_age * USEC_PER_SEC;
}

/* A failure in the future is one of before the clock was set. */
bool sts_failed_just_now(const StsFacts *f)
{
    return f->failed_id && f->now_usec >= f->failed_usec && f->now_usec < f->failed_usec + STS_RETRY_USEC;
}

static bool failed_with_this(const StsFacts *f)
{
    return sts_failed_just_now(f) && streq(f->failed_id, f->id);
}

StsVerdict sts_decide(const StsFacts *f)
{
    const bool unexpired = sts_unexpired(f);
    const StsVerdict as_cached = {.use = unexpired ? STS_USE_CACHED : STS_USE_NONE};

    if (f->record == STS_RECORD_UNKNOWN)
        return (StsVerdict) {.use = unexpired ? STS_USE_CACHED : STS_USE_LATER};
    /* The record may be gone by an attacker's doing: what was promised holds until it expires. */
    if (f->record == STS_RECORD_NONE)
        return as_cached;
    if (unexpired && streq(f->cached_id, f->id))
        return (StsVerdict) {
            .use = STS_USE_CACHED,
            .refresh = f->now_usec >= f->fetched_usec + STS_REFRESH_USEC && !failed_with_this(f),
        };
    if (failed_with_this(f))
        return as_cached;
    return (StsVerdict) {.use = STS_USE_FETCHED};
}

/* FNV-1a: the same for a domain each time, so that it does not wander. */
static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261u;

    for (; *s; s++)
        h = (h ^ (uint8_t) *s) * 16777619u;
    return h;
}

uint64_t sts_refresh_due(const StsFacts *f, const char *domain)
{
    const uint64_t life = (uint64_t) f->max_age * USEC_PER_SEC, interval = MIN(STS_REFRESH_USEC, life / 2);
    const uint64_t spread = interval / 8 * (hash(domain) % 1024) / 1024;
    const uint64_t retry = MAX(STS_RETRY_USEC, MIN(STS_REFRESH_RETRY_USEC, life / 8));

    if (f->cached_mode == STS_MODE_NONE || !sts_unexpired(f))
        return UINT64_MAX;
    /* A failure of before the policy was fetched is mended. */
    if (f->failed_usec > f->fetched_usec && f->failed_usec <= f->now_usec)
        return MAX(f->fetched_usec + interval - spread, f->failed_usec + retry);
    return f->fetched_usec + interval - spread;
}
