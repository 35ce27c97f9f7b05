/* SPDX-License-Identifier: Apache-2.0 */

/* Policies to files and back. A file is replaced as a whole, by one job at a time, so that the last word on a domain is the last
 * on disk, too. All access goes through the directory's descriptor, under names that are normalized domains: nothing in them
 * leads elsewhere. */

#include "sts-store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "address.h"

/* No domain begins with a dot; there is one writer at a time. */
#define TEMPORARY ".new"
#define TIME_FORMAT "%Y-%m-%dT%H:%M:%SZ"
#define TIME_SIZE sizeof("9999-12-31T23:59:59Z")

/* What is to be written; a NULL text: removed. */
typedef struct Change {
    struct Change *next;
    char *domain, *text;
    int result;
} Change;

struct StsStore {
    Jobs *jobs;
    int dir_fd;
    StsStoreOps ops;
    void *userdata;
    Change *waiting;
    Change *batch; /* the job's, while there is one */
    bool running;
};

void sts_cached_done(StsCached *c)
{
    sts_policy_unref(c->policy);
    *c = (StsCached) {};
}

/* ---- text ---- */

static void print_time(FILE *f, const char *key, uint64_t usec)
{
    const time_t seconds = (time_t) (usec / USEC_PER_SEC);
    char text[TIME_SIZE];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), TIME_FORMAT, &tm) > 0)
        (void) fprintf(f, "%s: %s\n", key, text);
}

int sts_cached_to_text(const StsCached *c, const char *domain, char **ret)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int r;

    if (!f)
        return -ENOMEM;
    (void) fprintf(f, "domain: %s\nid: %s\n", domain, c->id);
    print_time(f, "fetched", c->fetched_usec);
    if (*c->failed_id)
        (void) fprintf(f, "failed-id: %s\n", c->failed_id);
    if (c->failed_usec > 0)
        print_time(f, "failed", c->failed_usec);
    (void) fprintf(f, "version: STSv1\nmode: %s\nmax_age: %u\n", sts_mode_to_string(c->policy->mode), c->policy->max_age);
    for (size_t i = 0; i < c->policy->n_mx; i++)
        (void) fprintf(f, "mx: %s\n", c->policy->mx[i]);
    r = ferror(f) ? -ENOMEM : 0;
    if (fclose(f) != 0 || r < 0) {
        free(text);
        return -ENOMEM;
    }
    *ret = text;
    return 0;
}

/* The value of the first line with the key, as far as it fits. False: there is none, or it does not fit. */
static bool field(const char *text, const char *key, char *value, size_t size)
{
    const size_t length = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        size_t n;

        if (strncmp(line, key, length) != 0 || strncmp(line + length, ": ", 2) != 0)
            continue;
        line += length + 2;
        n = strcspn(line, "\n");
        if (n >= size)
            return false;
        memcpy(value, line, n);
        value[n] = '\0';
        return true;
    }
    return false;
}

static int parse_time(const char *text, uint64_t *ret)
{
    struct tm tm = {};
    const char *end = strptime(text, TIME_FORMAT, &tm);
    time_t seconds;

    /* Nothing was written in a leap second. */
    if (!end || *end || tm.tm_sec > 59)
        return -EBADMSG;
    seconds = timegm(&tm);
    if (seconds <= 0)
        return -EBADMSG;
    *ret = (uint64_t) seconds * USEC_PER_SEC;
    return 0;
}

static bool is_id(const char *s)
{
    return *s && s[strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

int sts_cached_parse(const char *text, const char *domain, StsCached *ret)
{
    _cleanup_(sts_cached_done) StsCached c = {};
    char value[ADDRESS_DOMAIN_MAX + 1];
    const char *reason;
    int r;

    if (!field(text, "domain", value, sizeof(value)) || !streq(value, domain))
        return -EBADMSG;
    if (!field(text, "id", c.id, sizeof(c.id)) || !is_id(c.id))
        return -EBADMSG;
    if (!field(text, "fetched", value, sizeof(value)) || parse_time(value, &c.fetched_usec) < 0)
        return -EBADMSG;
    if (field(text, "failed", value, sizeof(value)) && parse_time(value, &c.failed_usec) < 0)
        return -EBADMSG;
    if (field(text, "failed-id", c.failed_id, sizeof(c.failed_id)) && !is_id(c.failed_id))
        return -EBADMSG;
    r = sts_policy_parse(text, strlen(text), &c.policy, &reason);
    if (r < 0)
        return r;
    *ret = c;
    c = (StsCached) {};
    return 0;
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, data + done, size - done);

        if (n < 0)
            return negative_errno();
        done += (size_t) n;
    }
    return 0;
}

static int write_temporary(int dir_fd, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return negative_errno();
    r = write_all(fd, text, strlen(text));
    return r >= 0 && fsync(fd) < 0 ? negative_errno() : r;
}

static int carry_out(int dir_fd, const Change *c)
{
    int r;

    if (!c->text)
        return unlinkat(dir_fd, c->domain, 0) < 0 && errno != ENOENT ? negative_errno() : 0;
    r = write_temporary(dir_fd, c->text);
    if (r >= 0 && renameat(dir_fd, TEMPORARY, dir_fd, c->domain) < 0)
        r = negative_errno();
    if (r < 0)
        (void) unlinkat(dir_fd, TEMPORARY, 0);
    return r;
}

static int write_changes(int dir_fd, Change *changes)
{
    for (Change *c = changes; c; c = c->next)
        c->result = carry_out(dir_fd, c);
    return fsync(dir_fd) < 0 ? negative_errno() : 0;
}

/* On a thread; the batch is its own. */
static int run_batch(void *data)
{
    StsStore *s = data;

    return write_changes(s->dir_fd, s->batch);
}

static Change *change_free(Change *c)
{
    if (!c)
        return NULL;
    free(c->domain);
    free(c->text);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(Change, change_free);

static void changes_free(Change **changes)
{
    while (*changes) {
        Change *c = *changes;

        *changes = c->next;
        change_free(c);
    }
}

static void start_batch(StsStore *s);

static void on_batch_done(void *data, int result)
{
    StsStore *s = data;

    s->running = false;
    if (result == -ECANCELED) /* the daemon stops: sts_store_free() does it */
        return;
    if (result < 0)
        s->ops.trouble(NULL, result, s->userdata);
    for (const Change *c = s->batch; c; c = c->next)
        if (c->result < 0)
            s->ops.trouble(c->domain, c->result, s->userdata);
    changes_free(&s->batch);
    start_batch(s);
}

/* What cannot be started now goes with the next change, or at the end. */
static void start_batch(StsStore *s)
{
    if (s->running || !s->waiting)
        return;
    s->batch = TAKE_PTR(s->waiting);
    if (jobs_submit(s->jobs, run_batch, on_batch_done, s) < 0)
        s->waiting = TAKE_PTR(s->batch);
    else
        s->running = true;
}

/* Takes text. */
static int change(StsStore *s, const char *domain, char *text)
{
    _cleanup_(change_freep) Change *c = calloc(1, sizeof(*c));
    _cleanup_free_ char *normal = NULL;
    Change **last = &s->waiting;

    if (!c) {
        free(text);
        return -ENOMEM;
    }
    c->text = text;
    c->domain = strdup(domain);
    if (!c->domain)
        return -ENOMEM;
    if (domain_normalize(domain, &normal) < 0 || !streq(normal, domain))
        return -EINVAL;
    while (*last)
        if (streq((*last)->domain, domain)) {
            Change *old = *last;

            *last = old->next;
            change_free(old);
        } else
            last = &(*last)->next;
    *last = TAKE_PTR(c);
    start_batch(s);
    return 0;
}

int sts_store_put(StsStore *s, const char *domain, const StsCached *cached)
{
    char *text;
    int r;

    r = sts_cached_to_text(cached, domain, &text);
    return r < 0 ? r : change(s, domain, text);
}

int sts_store_remove(StsStore *s, const char *domain)
{
    return change(s, domain, NULL);
}

/* ---- reading ---- */

static int read_file(int dir_fd, const char *name, char **ret)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode) || st.st_size > STS_POLICY_MAX)
        return -EBADMSG;
    text = malloc((size_t) st.st_size + 1);
    if (!text)
        return -ENOMEM;
    for (ssize_t n; size < (size_t) st.st_size; size += (size_t) n) {
        n = read(fd, text + size, (size_t) st.st_size - size);
        if (n < 0)
            return negative_errno();
        if (n == 0)
            break;
    }
    text[size] = '\0';
    if (strlen(text) != size)
        return -EBADMSG;
    *ret = TAKE_PTR(text);
    return 0;
}

static int load_file(StsStore *s, const char *name)
{
    _cleanup_free_ char *domain = NULL, *text = NULL;
    _cleanup_(sts_cached_done) StsCached cached = {};
    int r;

    r = domain_normalize(name, &domain);
    if (r >= 0 && !streq(domain, name))
        r = -EINVAL;
    if (r >= 0)
        r = read_file(s->dir_fd, name, &text);
    if (r >= 0)
        r = sts_cached_parse(text, name, &cached);
    return r < 0 ? r : s->ops.found(name, &cached, s->userdata);
}

static void close_directory(DIR **d)
{
    if (*d)
        (void) closedir(*d);
}

/* It is the file that is bad, and will be; not that it cannot be read at this time. */
static bool is_of_no_use(int error)
{
    return error == -EBADMSG || error == -EINVAL || error == -ENAMETOOLONG || error == -ELOOP || error == -ENOBUFS;
}

int sts_store_load(StsStore *s)
{
    _cleanup_close_ int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(close_directory) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    if (!d)
        return negative_errno();
    (void) TAKE_FD(fd);
    (void) unlinkat(s->dir_fd, TEMPORARY, 0); /* of a write that was interrupted */
    while (errno = 0, (e = readdir(d))) {
        int r;

        if (streq(e->d_name, ".") || streq(e->d_name, ".."))
            continue;
        r = load_file(s, e->d_name);
        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            s->ops.trouble(e->d_name, r, s->userdata);
            if (is_of_no_use(r))
                (void) unlinkat(s->dir_fd, e->d_name, 0);
        }
    }
    return errno > 0 ? -errno : 0;
}

/* ---- life ---- */

int sts_store_new(StsStore **ret, Jobs *jobs, const char *state_directory, const StsStoreOps *ops, void *userdata)
{
    _cleanup_close_ int fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(sts_store_freep) StsStore *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    *s = (StsStore) {.jobs = jobs, .dir_fd = -EBADF, .ops = *ops, .userdata = userdata};
    if (fd < 0 || (mkdirat(fd, "sts", 0700) < 0 && errno != EEXIST) || fsync(fd) < 0)
        return negative_errno();
    s->dir_fd = openat(fd, "sts", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir_fd < 0)
        return negative_errno();
    *ret = TAKE_PTR(s);
    return 0;
}

StsStore *sts_store_free(StsStore *s)
{
    if (!s)
        return NULL;
    if (s->batch)
        (void) write_changes(s->dir_fd, s->batch);
    if (s->waiting)
        (void) write_changes(s->dir_fd, s->waiting);
    changes_free(&s->batch);
    changes_free(&s->waiting);
    (void) close_fd(s->dir_fd);
    free(s);
    return NULL;
}
