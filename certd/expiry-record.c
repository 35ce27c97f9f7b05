/* SPDX-License-Identifier: Apache-2.0 */

/* The file of what was told. It is certd's own; damaged it is worth nothing, and must never hinder certd. */

#include "expiry-record.h"

#include <fcntl.h>

#define TEMPORARY ".expiry.new"
/* Fingerprint, days, "unused", blanks, line end. */
#define LINE_MAX_LENGTH (2 * EXPIRY_ID_SIZE + 16)

void expiry_record_done(ExpiryRecord *r)
{
    free(r->items);
    *r = (ExpiryRecord) {};
}

static ExpiryRecordItem *find(const ExpiryRecord *r, const uint8_t id[EXPIRY_ID_SIZE])
{
    for (size_t i = 0; i < r->n; i++)
        if (memcmp(r->items[i].id, id, EXPIRY_ID_SIZE) == 0)
            return &r->items[i];
    return NULL;
}

ExpiryTold expiry_record_find(const ExpiryRecord *r, const uint8_t id[EXPIRY_ID_SIZE])
{
    const ExpiryRecordItem *item = find(r, id);

    return item ? item->told : (ExpiryTold) {};
}

int expiry_record_set(ExpiryRecord *r, const uint8_t id[EXPIRY_ID_SIZE], ExpiryTold told)
{
    ExpiryRecordItem *item = find(r, id), *more;

    if (item) {
        item->told = told;
        return 0;
    }
    if (told.stage == EXPIRY_FAR)
        return 0;
    if (r->n >= EXPIRY_RECORD_MAX)
        return -E2BIG;
    more = reallocarray(r->items, r->n + 1, sizeof(ExpiryRecordItem));
    if (!more)
        return -ENOMEM;
    r->items = more;
    item = &r->items[r->n++];
    memcpy(item->id, id, EXPIRY_ID_SIZE);
    item->told = told;
    return 0;
}

bool expiry_record_equal(const ExpiryRecord *a, const ExpiryRecord *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (memcmp(a->items[i].id, b->items[i].id, EXPIRY_ID_SIZE) != 0 || a->items[i].told.stage != b->items[i].told.stage
                || a->items[i].told.used != b->items[i].told.used)
            return false;
    return true;
}

/* ---- the file ---- */

static int parse_id(const char *hex, uint8_t id[EXPIRY_ID_SIZE])
{
    for (size_t i = 0; i < EXPIRY_ID_SIZE; i++)
        if (strspn(hex + 2 * i, "0123456789abcdef") < 2 || sscanf(hex + 2 * i, "%2hhx", &id[i]) != 1)
            return -EBADMSG;
    return 0;
}

static int parse_line(ExpiryRecord *r, const char *line)
{
    char hex[2 * EXPIRY_ID_SIZE + 1], word[8];
    uint8_t id[EXPIRY_ID_SIZE];
    ExpiryTold told;
    unsigned days;

    if (sscanf(line, "%64s %u %7s", hex, &days, word) != 3 || strlen(hex) != 2 * EXPIRY_ID_SIZE || parse_id(hex, id) < 0
            || expiry_stage_from_days(days, &told.stage) < 0)
        return -EBADMSG;
    told.used = streq(word, "used");
    if (!told.used && !streq(word, "unused"))
        return -EBADMSG;
    return expiry_record_set(r, id, told);
}

int expiry_record_read(ExpiryRecord *r, int dir_fd)
{
    _cleanup_fclose_ FILE *f = NULL;
    char line[LINE_MAX_LENGTH];
    int fd, k = 0;

    fd = openat(dir_fd, EXPIRY_RECORD_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : negative_errno();
    f = fdopen(fd, "re");
    if (!f) {
        (void) close_fd(fd);
        return -ENOMEM;
    }
    while (k >= 0 && fgets(line, sizeof(line), f))
        k = parse_line(r, line);
    if (k >= 0 && ferror(f))
        k = -EIO;
    if (k < 0)
        expiry_record_done(r);
    return k;
}

static int put_all(const ExpiryRecord *r, int fd)
{
    for (size_t i = 0; i < r->n; i++) {
        const ExpiryRecordItem *item = &r->items[i];
        char hex[2 * EXPIRY_ID_SIZE + 1], *p = hex;

        if (item->told.stage == EXPIRY_FAR)
            continue;
        for (size_t k = 0; k < EXPIRY_ID_SIZE; k++)
            p += sprintf(p, "%02x", item->id[k]);
        if (dprintf(fd, "%s %u %s\n", hex, expiry_stage_days(item->told.stage), item->told.used ? "used" : "unused") < 0)
            return negative_errno();
    }
    return fsync(fd) < 0 ? negative_errno() : 0;
}

int expiry_record_write(const ExpiryRecord *r, int dir_fd)
{
    _cleanup_close_ int fd = -EBADF;
    int k;

    (void) unlinkat(dir_fd, TEMPORARY, 0);
    fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return negative_errno();
    k = put_all(r, fd);
    if (k >= 0 && renameat(dir_fd, TEMPORARY, dir_fd, EXPIRY_RECORD_FILE) < 0)
        k = negative_errno();
    if (k < 0)
        (void) unlinkat(dir_fd, TEMPORARY, 0);
    return k;
}
