/* SPDX-License-Identifier: Apache-2.0 */

/* Reads what libunbound writes: a line for each key, its state in comments behind it. What does not look just like that is
 * refused as a whole, since trust depends on it; it must never guess. */

#include "anchor-file.h"

#include <openssl/evp.h>

#include "dns-name.h"
#include "dnsd-conf.h"

#define KEY_TAG_MARK ";{id = "
#define STATE_MARK ";;state="
#define SINCE_MARK ";;lastchange="
#define SUCCESS_MARK ";;last_success: "

const char *anchor_state_to_string(AnchorState s)
{
    static const char *const names[] = {
        [ANCHOR_PENDING] = "pending",
        [ANCHOR_VALID] = "valid",
        [ANCHOR_MISSING] = "missing",
        [ANCHOR_REVOKED] = "revoked",
    };

    return names[s];
}

AnchorFile *anchor_file_free(AnchorFile *f)
{
    if (!f)
        return NULL;
    for (size_t i = 0; i < f->n_keys; i++)
        free(f->keys[i].record);
    free(f);
    return NULL;
}

bool anchor_key_trusted(const AnchorKey *k)
{
    return k->state == ANCHOR_VALID || k->state == ANCHOR_MISSING;
}

/* The sum over the key's data, from its base64 text in words up to the end. */
static int key_tag(unsigned flags, unsigned protocol, unsigned algorithm, char *save, unsigned *ret)
{
    char text[6000];
    uint8_t key[4 + sizeof(text) / 4 * 3] = {(uint8_t) (flags >> 8), (uint8_t) flags, (uint8_t) protocol, (uint8_t) algorithm};
    uint32_t sum = 0;
    size_t n = 0;
    int size;

    for (char *word = strtok_r(NULL, " \t()", &save); word; word = strtok_r(NULL, " \t()", &save)) {
        if (n + strlen(word) >= sizeof(text))
            return -EBADMSG;
        n += strlen(strcpy(text + n, word));
    }
    text[n] = '\0';
    /* What is padding comes out as zeros, which add nothing. */
    size = EVP_DecodeBlock(key + 4, (const uint8_t *) text, (int) n);
    if (size <= 0)
        return -EBADMSG;
    for (size_t i = 0; i < 4 + (size_t) size; i++)
        sum += i & 1 ? key[i] : (uint32_t) key[i] << 8;
    *ret = (sum + (sum >> 16)) & UINT16_MAX;
    return 0;
}

int anchor_record_tag(const char *record, unsigned *ret)
{
    _cleanup_free_ char *copy = strdup(record);
    unsigned numbers[3] = {};
    char *save = NULL, *word;
    bool is_key;

    if (!copy)
        return -ENOMEM;
    word = strtok_r(copy, " \t", &save);
    while (word && strcasecmp(word, "DS") != 0 && strcasecmp(word, "DNSKEY") != 0)
        word = strtok_r(NULL, " \t", &save);
    if (!word)
        return -EBADMSG;
    is_key = strcasecmp(word, "DNSKEY") == 0;
    for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
        word = strtok_r(NULL, " \t", &save);
        if (!word || strspn(word, "0123456789") != strlen(word))
            return -EBADMSG;
        numbers[i] = (unsigned) strtoul(word, NULL, 10);
    }
    if (is_key)
        return key_tag(numbers[0], numbers[1], numbers[2], save, ret);
    *ret = numbers[0];
    return 0;
}

/* The number behind mark in line. */
static int read_number(const char *line, const char *mark, uint64_t max, uint64_t *ret)
{
    const char *p = strstr(line, mark);
    unsigned long long v;
    char *end;

    if (!p)
        return -EBADMSG;
    p += strlen(mark);
    if (*p < '0' || *p > '9')
        return -EBADMSG;
    errno = 0;
    v = strtoull(p, &end, 10);
    if (errno != 0 || v > max)
        return -EBADMSG;
    *ret = v;
    return 0;
}

static int read_key(AnchorFile *f, const char *line, const char *zone)
{
    _cleanup_free_ char *owner = NULL, *record = NULL;
    uint64_t tag, state, since;
    int r;

    if (f->n_keys >= ANCHOR_KEYS_MAX)
        return -EBADMSG;
    record = strndup(line, strcspn(line, ";"));
    if (!record)
        return -ENOMEM;
    r = dns_anchor_owner(record, &owner);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    if (!streq(owner, zone) || read_number(line, KEY_TAG_MARK, UINT16_MAX, &tag) < 0
            || read_number(line, STATE_MARK, ANCHOR_REVOKED, &state) < 0 || state < ANCHOR_PENDING
            || read_number(line, SINCE_MARK, UINT32_MAX, &since) < 0)
        return -EBADMSG;
    f->keys[f->n_keys++] = (AnchorKey) {.record = TAKE_PTR(record), .tag = (unsigned) tag, .state = (AnchorState) state,
            .since_usec = since * USEC_PER_SEC};
    return 0;
}

static int read_line(AnchorFile *f, const char *line, const char *zone)
{
    uint64_t success;

    if (strncmp(line, SUCCESS_MARK, strlen(SUCCESS_MARK)) == 0) {
        if (read_number(line, SUCCESS_MARK, UINT32_MAX, &success) < 0)
            return -EBADMSG;
        f->success_usec = success * USEC_PER_SEC;
        return 0;
    }
    return *line == ';' || *line == '\0' ? 0 : read_key(f, line, zone);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const AnchorKey *) a)->record, ((const AnchorKey *) b)->record);
}

int anchor_file_parse(const char *text, const char *zone, AnchorFile **ret)
{
    _cleanup_(anchor_file_freep) AnchorFile *f = calloc(1, sizeof(*f));
    _cleanup_free_ char *copy = strdup(text);
    char *save = NULL;
    bool trusted = false;

    if (!f || !copy)
        return -ENOMEM;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int r = read_line(f, line, zone);

        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < f->n_keys; i++)
        trusted = trusted || anchor_key_trusted(&f->keys[i]);
    if (!trusted)
        return -EBADMSG;
    /* libunbound's order is that of its last answer, and means nothing. */
    qsort(f->keys, f->n_keys, sizeof(f->keys[0]), compare_keys);
    *ret = TAKE_PTR(f);
    return 0;
}

static bool trusts(const AnchorFile *f, const char *record)
{
    for (size_t i = 0; f && i < f->n_keys; i++)
        if (anchor_key_trusted(&f->keys[i]) && streq(f->keys[i].record, record))
            return true;
    return false;
}

static bool trusts_all_of(const AnchorFile *a, const AnchorFile *b)
{
    for (size_t i = 0; b && i < b->n_keys; i++)
        if (anchor_key_trusted(&b->keys[i]) && !trusts(a, b->keys[i].record))
            return false;
    return true;
}

bool anchor_file_same_trust(const AnchorFile *a, const AnchorFile *b)
{
    return trusts_all_of(a, b) && trusts_all_of(b, a);
}
