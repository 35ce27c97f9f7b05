/* SPDX-License-Identifier: Apache-2.0 */

/* A zone has a file NAME.anchors in the state directory: the seed in comments, then what libunbound wrote. It is replaced as a
 * whole and made durable. What cannot be read as such is never believed. */

#include "anchors.h"

#include <fcntl.h>
#include <inttypes.h>

#define SEED_MARK "; seed: "

struct Anchors {
    AnchorZone zones[ANCHOR_ZONES_MAX];
    size_t n_zones;
    char *state, *work; /* NULL: not followed */
    char **trusted;
    char *files[ANCHOR_ZONES_MAX + 1]; /* the working copies */
    char *names[ANCHOR_ZONES_MAX + 1]; /* of the zones; not owned */
    uint64_t hold_down_usec;
    bool laid_out; /* the working copies are what anchors_begin() made, and libunbound after it */
};

Anchors *anchors_free(Anchors *a)
{
    if (!a)
        return NULL;
    for (size_t i = 0; i < a->n_zones; i++) {
        free(a->zones[i].zone);
        free(a->zones[i].seed);
        free(a->zones[i].text);
        anchor_file_free(a->zones[i].file);
        free(a->files[i]);
    }
    conf_strv_free(a->trusted);
    free(a->state);
    free(a->work);
    free(a);
    return NULL;
}

size_t anchors_zones(const Anchors *a)
{
    return a->n_zones;
}

const AnchorZone *anchors_zone(const Anchors *a, size_t i)
{
    return &a->zones[i];
}

bool anchors_followed(const Anchors *a)
{
    return a->state != NULL;
}

char *const *anchors_trusted(const Anchors *a)
{
    return a->trusted;
}

/* ---- files ---- */

/* directory/NAME.anchors; no zone is called as the root's file. */
static int zone_path(const char *directory, const char *zone, char **ret)
{
    if (asprintf(ret, "%s/%s%s.anchors", directory, *zone ? "zone-" : "root", zone) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int read_whole(const char *path, char **ret)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_free_ char *text = NULL;
    size_t n = 0;

    if (fd < 0)
        return negative_errno();
    text = malloc(ANCHOR_FILE_MAX + 1);
    if (!text)
        return -ENOMEM;
    while (n <= ANCHOR_FILE_MAX) {
        ssize_t k = read(fd, text + n, ANCHOR_FILE_MAX + 1 - n);

        if (k < 0)
            return negative_errno();
        if (k == 0)
            break;
        n += (size_t) k;
    }
    if (n > ANCHOR_FILE_MAX)
        return -EBADMSG;
    text[n] = '\0';
    if (strlen(text) != n)
        return -EBADMSG;
    *ret = TAKE_PTR(text);
    return 0;
}

static int write_all(int fd, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        ssize_t n = write(fd, text, size);

        if (n < 0)
            return negative_errno();
        text += n;
        size -= (size_t) n;
    }
    return 0;
}

static int sync_directory(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}

/* Old or new, never a part. directory: of path, to be durable there; NULL: it need not last. */
static int replace(const char *path, const char *text, const char *directory)
{
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -EBADF;
    int r;

    if (asprintf(&temporary, "%s.tmp", path) < 0)
        return -ENOMEM;
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return negative_errno();
    r = write_all(fd, text);
    if (r >= 0 && directory && fsync(fd) < 0)
        r = negative_errno();
    if (r >= 0 && rename(temporary, path) < 0)
        r = negative_errno();
    if (r < 0) {
        (void) unlink(temporary);
        return r;
    }
    return directory ? sync_directory(directory) : 0;
}

/* ---- zones ---- */

/* Appends a line to *text. */
static int append_line(char **text, const char *line)
{
    _cleanup_free_ char *longer = NULL;

    if (asprintf(&longer, "%s%s\n", *text ?: "", line) < 0) {
        longer = NULL;
        return -ENOMEM;
    }
    free(*text);
    *text = TAKE_PTR(longer);
    return 0;
}

static int add_seed(Anchors *a, const char *record)
{
    _cleanup_free_ char *zone = NULL;
    int r;

    r = dns_anchor_owner(record, &zone);
    if (r < 0)
        return r;
    for (size_t i = 0; i < a->n_zones; i++)
        if (streq(a->zones[i].zone, zone))
            return append_line(&a->zones[i].seed, record);
    if (a->n_zones >= ANCHOR_ZONES_MAX || strchr(zone, '/'))
        return -E2BIG;
    a->zones[a->n_zones++] = (AnchorZone) {.zone = TAKE_PTR(zone)};
    return append_line(&a->zones[a->n_zones - 1].seed, record);
}

/* Whether text was made from the seed: it begins with it. */
static bool made_from(const char *text, const char *seed)
{
    const size_t mark = strlen(SEED_MARK);

    while (*seed) {
        size_t n = strcspn(seed, "\n") + 1;

        if (strncmp(text, SEED_MARK, mark) != 0 || strncmp(text + mark, seed, n) != 0)
            return false;
        text += mark + n;
        seed += n;
    }
    return strncmp(text, SEED_MARK, mark) != 0;
}

static int read_state(const Anchors *a, AnchorZone *z, ConfReport *report)
{
    _cleanup_free_ char *path = NULL, *text = NULL;
    int r;

    r = zone_path(a->state, z->zone, &path);
    if (r < 0)
        return r;
    r = read_whole(path, &text);
    if (r == -ENOENT)
        return 0;
    if (r >= 0 && !made_from(text, z->seed) && strncmp(text, SEED_MARK, strlen(SEED_MARK)) == 0)
        return 0;
    if (r >= 0)
        r = anchor_file_parse(text, z->zone, &z->file);
    if (r >= 0) {
        z->text = TAKE_PTR(text);
        return 0;
    }
    errno = -r;
    return r == -ENOMEM ? r
                        : conf_report_add(report, CONF_WARNING, path, 0,
                                  "The followed trust anchors cannot be read (%m), so those of TrustAnchorFile= hold; the file is made anew");
}

static int push(char **list, size_t *n, const char *record)
{
    list[*n] = strdup(record);
    if (!list[*n])
        return -ENOMEM;
    (*n)++;
    return 0;
}

int anchor_zone_seed(const AnchorZone *z, char ***ret)
{
    _cleanup_(conf_strv_freep) char **list = calloc(DNS_ANCHORS_MAX + 1, sizeof(char *));
    _cleanup_free_ char *copy = strdup(z->seed);
    char *save = NULL;
    size_t n = 0;

    if (!list || !copy)
        return -ENOMEM;
    for (char *line = strtok_r(copy, "\n", &save); line && n < DNS_ANCHORS_MAX; line = strtok_r(NULL, "\n", &save))
        if (push(list, &n, line) < 0)
            return -ENOMEM;
    *ret = TAKE_PTR(list);
    return 0;
}

static int push_seed(char **list, size_t *n, const AnchorZone *z)
{
    _cleanup_(conf_strv_freep) char **seed = NULL;
    int r;

    r = anchor_zone_seed(z, &seed);
    for (size_t i = 0; r >= 0 && seed[i]; i++)
        r = push(list, n, seed[i]);
    return r;
}

static int collect_trusted(Anchors *a)
{
    _cleanup_(conf_strv_freep) char **list = calloc((size_t) ANCHOR_ZONES_MAX * ANCHOR_KEYS_MAX + DNS_ANCHORS_MAX + 1, sizeof(char *));
    size_t n = 0;
    int r = 0;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < a->n_zones; i++) {
        const AnchorZone *z = &a->zones[i];

        if (!z->file)
            r = push_seed(list, &n, z);
        for (size_t k = 0; r >= 0 && z->file && k < z->file->n_keys; k++)
            if (anchor_key_trusted(&z->file->keys[k]))
                r = push(list, &n, z->file->keys[k].record);
        if (r < 0)
            return r;
    }
    conf_strv_free(a->trusted);
    a->trusted = TAKE_PTR(list);
    return 0;
}

static int prepare_following(Anchors *a, const char *state, const char *work, ConfReport *report)
{
    int r = 0;

    a->state = strdup(state);
    a->work = strdup(work);
    if (!a->state || !a->work)
        return -ENOMEM;
    for (size_t i = 0; r >= 0 && i < a->n_zones; i++) {
        a->names[i] = a->zones[i].zone;
        r = zone_path(work, a->zones[i].zone, &a->files[i]);
        if (r >= 0)
            r = read_state(a, &a->zones[i], report);
    }
    return r;
}

int anchors_new(Anchors **ret, const DnsConfig *config, const char *state, const char *work, ConfReport *report)
{
    _cleanup_(anchors_freep) Anchors *a = calloc(1, sizeof(*a));
    int r = 0;

    if (!a)
        return -ENOMEM;
    a->hold_down_usec = config->trust_anchor_hold_down_usec;
    for (char **line = config->file_anchors; line && *line; line++) {
        r = add_seed(a, *line);
        if (r == -E2BIG) {
            r = conf_report_add(report, CONF_ERROR, NULL, 0,
                    "TrustAnchorFile=%s has anchors of more than %d zones, or of one with a slash in its name: use TrustAnchor= for these",
                    config->trust_anchor_file, ANCHOR_ZONES_MAX);
            return r < 0 ? r : -EBADMSG;
        }
        if (r < 0)
            return r;
    }
    if (config->trust_anchor_update && state && work && a->n_zones > 0)
        r = prepare_following(a, state, work, report);
    if (r >= 0)
        r = collect_trusted(a);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

/* ---- a probe ---- */

/* Room for a file of the greatest size, beside those that are there. */
static int check_room(const char *directory)
{
    _cleanup_free_ char *path = NULL;
    int r = 0;
    int fd;

    if (asprintf(&path, "%s/room", directory) < 0)
        return -ENOMEM;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return negative_errno();
    if (fallocate(fd, 0, 0, (off_t) ANCHOR_FILE_MAX) < 0)
        r = negative_errno();
    (void) close_fd(fd);
    (void) unlink(path);
    return r;
}

int anchors_begin(Anchors *a, ResolverTrust *ret)
{
    int r;

    *ret = (ResolverTrust) {.anchors = a->trusted};
    a->laid_out = false;
    if (!a->state)
        return 0;
    for (size_t i = 0; i < a->n_zones; i++) {
        r = replace(a->files[i], a->zones[i].text ?: a->zones[i].seed, NULL);
        if (r < 0)
            return r;
    }
    r = check_room(a->work);
    if (r < 0)
        return r;
    a->laid_out = true;
    *ret = (ResolverTrust) {.followed_files = a->files, .followed_zones = a->names, .hold_down_usec = a->hold_down_usec};
    return 0;
}

static bool same_keys(const AnchorFile *a, const AnchorFile *b)
{
    if (!a || a->n_keys != b->n_keys)
        return false;
    for (size_t i = 0; i < a->n_keys; i++)
        if (!streq(a->keys[i].record, b->keys[i].record) || a->keys[i].state != b->keys[i].state)
            return false;
    return true;
}

/* Text with the seed before it. */
static int with_seed(const char *seed, const char *text, char **ret)
{
    _cleanup_free_ char *all = NULL;
    size_t size;
    FILE *f = open_memstream(&all, &size);

    if (!f)
        return -ENOMEM;
    for (; *seed; seed += strcspn(seed, "\n") + 1)
        (void) fprintf(f, SEED_MARK "%.*s\n", (int) strcspn(seed, "\n"), seed);
    (void) fputs(text, f);
    if (fclose(f) != 0)
        return -ENOMEM;
    *ret = TAKE_PTR(all);
    return 0;
}

/* 1: read into *ret_text and *ret_file. 0: the probe did not come to it, the copy is the seed as it was. */
static int read_copy(const Anchors *a, size_t i, char **ret_text, AnchorFile **ret_file)
{
    _cleanup_(anchor_file_freep) AnchorFile *file = NULL;
    _cleanup_free_ char *text = NULL;
    const AnchorZone *z = &a->zones[i];
    int r;

    r = read_whole(a->files[i], &text);
    if (r < 0)
        return r;
    if (streq(text, z->text ?: z->seed))
        return 0;
    r = anchor_file_parse(text, z->zone, &file);
    if (r >= 0)
        r = with_seed(z->seed, text, ret_text);
    if (r < 0)
        return r;
    *ret_file = TAKE_PTR(file);
    return 1;
}

static int take_zone(Anchors *a, size_t i, AnchorsChanged changed, void *userdata, bool *trust_changed)
{
    _cleanup_(anchor_file_freep) AnchorFile *file = NULL, *old = NULL;
    _cleanup_free_ char *text = NULL, *path = NULL;
    AnchorZone *z = &a->zones[i];
    int r;

    r = read_copy(a, i, &text, &file);
    if (r == -ENOMEM || r == 0)
        return r;
    if (r < 0)
        return -EBADMSG;
    if (!anchor_file_same_trust(z->file, file))
        *trust_changed = true;
    old = TAKE_PTR(z->file);
    free(z->text);
    z->file = TAKE_PTR(file);
    z->text = TAKE_PTR(text);
    if (!same_keys(old, z->file))
        changed(z->zone, old, z->file, userdata);
    r = zone_path(a->state, z->zone, &path);
    return r < 0 ? r : replace(path, z->text, a->state);
}

int anchors_take(Anchors *a, AnchorsChanged changed, void *userdata, bool *ret_trust_changed, const char **ret_damaged)
{
    bool trust_changed = false;
    const char *damaged = NULL;
    int r, result = 0;

    /* Otherwise they may be of another configuration. */
    for (size_t i = 0; a->laid_out && i < a->n_zones; i++) {
        r = take_zone(a, i, changed, userdata, &trust_changed);
        if (r == -EBADMSG)
            damaged = *a->zones[i].zone ? a->zones[i].zone : ".";
        else if (r < 0)
            result = r;
    }
    if (trust_changed) {
        r = collect_trusted(a);
        if (r < 0) /* what was trusted before still is */
            return r;
    }
    *ret_trust_changed = trust_changed;
    *ret_damaged = damaged;
    return result;
}
