/* SPDX-License-Identifier: Apache-2.0 */

/* Keeps the lists of authorities. A change is on stable storage before anybody hears of it; one that fails leaves the file and
 * what is in memory as they were. It must never write what it could not read again. */

#include "authorities.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "read-fd.h"

#define STATE_FILE "authorities"
#define TEMPORARY_FILE ".authorities.tmp"
/* What the lines before the certificates take at most. */
#define STATE_SIZE_MAX (AUTHORITIES_LIST_SIZE_MAX + 2 * AUTHORITIES_LIST_MAX * 128 + 1024)
/* Whoever makes the host's file anew touches it more than once. */
#define SETTLE_USEC (500 * USEC_PER_MSEC)
/* When too much is under way to read it. */
#define AGAIN_USEC (5 * USEC_PER_SEC)

struct Authorities {
    sd_event *event;
    Jobs *operations;
    int dir_fd;
    char *system_file;
    AuthoritiesNews news;
    void *userdata;
    sd_event_source *watch, *timer;
    AuthoritySet *set;
    uint64_t generation;
    int trusted_fd;

    /* The thread's. */
    char *system_text; /* of the host's file, as it was last good */
    size_t system_size;
};

/* What a thread makes: all that there is after a change. */
typedef struct Result {
    AuthoritySet *set;
    int trusted_fd;
    char problem[AUTHORITY_REASON_MAX]; /* with the host's file; "": none */
} Result;

typedef struct Job {
    Authorities *authorities;
    AuthoritiesChange *change;
    AuthoritiesDone done;
    void *userdata;
    Result result;
} Job;

static void result_done(Result *r)
{
    r->set = authority_set_free(r->set);
    r->trusted_fd = close_fd(r->trusted_fd);
}

static int say(char reason[AUTHORITY_REASON_MAX], const char *text)
{
    (void) snprintf(reason, AUTHORITY_REASON_MAX, "%s", text);
    return 0;
}

int authorities_change_new(AuthoritiesChange **ret, AuthoritiesChangeKind kind)
{
    AuthoritiesChange *c = calloc(1, sizeof(AuthoritiesChange));

    if (!c)
        return -ENOMEM;
    c->kind = kind;
    c->file_fd = -EBADF;
    *ret = c;
    return 0;
}

AuthoritiesChange *authorities_change_free(AuthoritiesChange *c)
{
    if (!c)
        return NULL;
    for (char **f = c->fingerprints; f && *f; f++)
        free(*f);
    free(c->fingerprints);
    (void) close_fd(c->file_fd);
    free(c);
    return NULL;
}

/* ---- reading ---- */

static int read_state(int dir_fd, AuthoritySet *set, char reason[AUTHORITY_REASON_MAX])
{
    _cleanup_close_ int fd = openat(dir_fd, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char detail[AUTHORITY_REASON_MAX] = "";
    _cleanup_free_ char *text = NULL;
    const char *why = NULL;
    size_t size = 0;
    int r;

    if (fd < 0 && errno == ENOENT)
        return 0;
    r = fd < 0 ? negative_errno() : read_fd_public(fd, STATE_SIZE_MAX, &text, &size, &why);
    if (r >= 0)
        r = authority_set_read(set, text, size, detail);
    if (r < 0)
        (void) snprintf(reason, AUTHORITY_REASON_MAX, "the file " STATE_FILE " of the state directory is broken: %.400s",
                *detail ? detail : why ?: strerror(-r));
    return r;
}

/* Returns 1 if there is a text, 0 if there is no file. */
static int read_system_file(const char *path, AuthorityList *list, char **ret, size_t *ret_size,
        char detail[AUTHORITY_REASON_MAX])
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_free_ char *text = NULL;
    AuthorityParsed parsed = {};
    const char *why = "";
    size_t size = 0;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : negative_errno();
    r = read_fd_public(fd, AUTHORITIES_LIST_SIZE_MAX, &text, &size, &why);
    if (r < 0)
        (void) say(detail, why);
    if (r >= 0)
        r = authority_parse(text, size, AUTHORITY_PARSE_LENIENT, list, &parsed, detail);
    if (r >= 0 && authority_list_size(list) > AUTHORITIES_LIST_SIZE_MAX) {
        authority_list_done(list);
        r = -EFBIG;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 1;
}

/* A host without the list is one that trusts nobody. With one that is broken it goes on with the one before. */
static int read_system(Authorities *a, AuthorityList *list, char problem[AUTHORITY_REASON_MAX])
{
    char detail[AUTHORITY_REASON_MAX] = "";
    AuthorityParsed parsed = {};
    char *text = NULL;
    size_t size = 0;
    int r;

    r = read_system_file(a->system_file, list, &text, &size, detail);
    if (r >= 0) {
        free(a->system_text);
        a->system_text = text;
        a->system_size = size;
        return 0;
    }
    if (r == -ENOMEM)
        return r;
    (void) snprintf(problem, AUTHORITY_REASON_MAX, "the host's list %.80s cannot be used: %.300s", a->system_file,
            *detail ? detail : strerror(-r));
    return a->system_text ? authority_parse(a->system_text, a->system_size, AUTHORITY_PARSE_LENIENT, list, &parsed, detail) : 0;
}

static int read_all(Authorities *a, Result *result, char reason[AUTHORITY_REASON_MAX])
{
    int r;

    r = authority_set_new(&result->set);
    if (r >= 0)
        r = read_state(a->dir_fd, result->set, reason);
    if (r >= 0)
        r = read_system(a, &result->set->lists[AUTHORITY_LIST_SYSTEM].authorities, result->problem);
    if (r >= 0)
        authority_set_settle(result->set);
    return r;
}

/* ---- writing ---- */

static int write_whole(int fd, const char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, data + done, size - done);

        if (n < 0)
            return negative_errno();
        done += (size_t) n;
    }
    return 0;
}

/* Old or new, never a part. */
static int write_state(int dir_fd, const AuthoritySet *set)
{
    _cleanup_close_ int fd = -EBADF;
    _cleanup_free_ char *text = NULL;
    int r;

    r = authority_set_format(set, &text);
    if (r < 0)
        return r;
    (void) unlinkat(dir_fd, TEMPORARY_FILE, 0);
    fd = openat(dir_fd, TEMPORARY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return negative_errno();
    r = write_whole(fd, text, strlen(text));
    if (r >= 0 && (fsync(fd) < 0 || renameat(dir_fd, TEMPORARY_FILE, dir_fd, STATE_FILE) < 0))
        r = negative_errno();
    if (r < 0) {
        (void) unlinkat(dir_fd, TEMPORARY_FILE, 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? negative_errno() : 0;
}

/* Sealed: everybody gets the same, and nobody changes it. */
static int make_trusted_fd(const AuthoritySet *set, int *ret)
{
    _cleanup_close_ int fd = memfd_create("postern-authorities", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    _cleanup_free_ char *text = NULL;
    int r;

    if (fd < 0)
        return negative_errno();
    r = authority_set_trusted(set, &text);
    if (r >= 0)
        r = write_whole(fd, text, strlen(text));
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return negative_errno();
    *ret = TAKE_FD(fd);
    return 0;
}

/* ---- changes ---- */

static int refuse_fingerprint(AuthoritiesChange *c, const char *typed, int error)
{
    const char *why = error == -EINVAL     ? "is no fingerprint: it takes at least 8 hexadecimal digits of a SHA-256 hash"
                    : error == -ENOTUNIQ ? "is the beginning of more than one fingerprint; give more of it"
                                         : "is the fingerprint of no authority in the list";

    (void) snprintf(c->reason, sizeof(c->reason), "'%.100s' %s", typed, why);
    return error;
}

static int apply_enable(AuthoritiesChange *c, AuthoritySet *set)
{
    bool enable = c->kind == AUTHORITIES_ENABLE;

    if (!c->fingerprints || !*c->fingerprints)
        set->lists[c->list].enabled = enable;
    for (char **f = c->fingerprints; f && *f; f++) {
        char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
        int r;

        r = authority_set_resolve(set, c->list, *f, fingerprint);
        if (r < 0)
            return refuse_fingerprint(c, *f, r);
        r = authority_set_enable(set, c->list, fingerprint, enable);
        if (r == -E2BIG)
            (void) say(c->reason, "too many authorities are disabled; disable the list");
        if (r < 0)
            return r;
    }
    return 0;
}

static void list_remove(AuthorityList *l, const char *fingerprint)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i]->fingerprint, fingerprint)) {
            authority_free(l->items[i]);
            memmove(&l->items[i], &l->items[i + 1], (l->n - i - 1) * sizeof(l->items[0]));
            l->n--;
            return;
        }
}

static int apply_remove(AuthoritiesChange *c, AuthoritySet *set)
{
    AuthorityList *custom = &set->lists[AUTHORITY_LIST_CUSTOM].authorities;
    size_t n = custom->n;

    /* All are looked up before one goes, so that naming one twice is no error. */
    for (char **f = c->fingerprints; f && *f; f++) {
        char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
        int r = authority_set_resolve(set, AUTHORITY_LIST_CUSTOM, *f, fingerprint);

        if (r == -ENOENT && authority_set_resolve(set, AUTHORITY_LIST_SYSTEM, *f, fingerprint) >= 0) {
            (void) snprintf(c->reason, sizeof(c->reason),
                    "'%.100s' is in the system list, which is the host's: it can be disabled, not removed", *f);
            return -EROFS;
        }
        if (r < 0)
            return refuse_fingerprint(c, *f, r);
        free(*f);
        *f = strdup(fingerprint);
        if (!*f)
            return -ENOMEM;
    }
    for (char **f = c->fingerprints; f && *f; f++)
        list_remove(custom, *f);
    c->n_removed = (unsigned) (n - custom->n);
    return 0;
}

static unsigned count_expired(const AuthorityList *l, const AuthorityList *before)
{
    uint64_t now = (uint64_t) time(NULL) * USEC_PER_SEC;
    unsigned n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->items[i]->not_after_usec < now && !authority_list_find(before, l->items[i]->fingerprint);
    return n;
}

/* From list to list, but what is there already. */
static int list_merge(AuthoritiesChange *c, AuthorityList *to, AuthorityList *from)
{
    while (from->n > 0) {
        Authority *a = from->items[from->n - 1];
        int r = authority_list_add(to, a);

        if (r == -E2BIG)
            (void) snprintf(c->reason, sizeof(c->reason),
                    "with it there would be more than %d certificates in the list, which is its limit", AUTHORITIES_LIST_MAX);
        if (r < 0 && r != -EEXIST)
            return r;
        if (r == -EEXIST) {
            c->n_known++;
            authority_free(a);
        } else
            c->n_added++;
        from->n--;
    }
    return 0;
}

static int apply_import(AuthoritiesChange *c, AuthoritySet *set)
{
    AuthorityList *custom = &set->lists[AUTHORITY_LIST_CUSTOM].authorities;
    _cleanup_(authority_list_done) AuthorityList given = {};
    _cleanup_free_ char *text = NULL;
    AuthorityParsed parsed = {};
    const char *why = "";
    size_t size;
    int r;

    if (c->list != AUTHORITY_LIST_CUSTOM) {
        (void) say(c->reason, "the system list is the host's and read-only; import into the custom list");
        return -EROFS;
    }
    r = read_fd_public(c->file_fd, AUTHORITIES_LIST_SIZE_MAX, &text, &size, &why);
    if (r < 0) {
        (void) say(c->reason, why);
        return r;
    }
    r = authority_parse(text, size, AUTHORITY_PARSE_STRICT, &given, &parsed, c->reason);
    if (r < 0)
        return r;
    c->n_known = parsed.duplicates;
    c->n_expired = count_expired(&given, custom);
    for (size_t i = custom->n; c->replace && i > 0; i--)
        if (!authority_list_find(&given, custom->items[i - 1]->fingerprint)) {
            list_remove(custom, custom->items[i - 1]->fingerprint);
            c->n_removed++;
        }
    r = list_merge(c, custom, &given);
    if (r >= 0 && authority_list_size(custom) > AUTHORITIES_LIST_SIZE_MAX) {
        (void) snprintf(c->reason, sizeof(c->reason), "with it the list would be larger than %d MB, which is its limit",
                AUTHORITIES_LIST_SIZE_MAX >> 20);
        return -E2BIG;
    }
    return r;
}

/* On a thread, or at the start. */
static int run(Authorities *a, AuthoritiesChange *c, Result *ret)
{
    static int (*const apply[])(AuthoritiesChange *c, AuthoritySet *set) = {
        [AUTHORITIES_IMPORT] = apply_import,
        [AUTHORITIES_ENABLE] = apply_enable,
        [AUTHORITIES_DISABLE] = apply_enable,
        [AUTHORITIES_REMOVE] = apply_remove,
    };
    _cleanup_(result_done) Result result = {.trusted_fd = -EBADF};
    int r;

    r = read_all(a, &result, c->reason);
    if (r >= 0 && c->kind != AUTHORITIES_LOAD) {
        r = apply[c->kind](c, result.set);
        if (r >= 0) {
            authority_set_settle(result.set);
            r = write_state(a->dir_fd, result.set);
        }
    }
    if (r >= 0)
        r = make_trusted_fd(result.set, &result.trusted_fd);
    if (r < 0) {
        if (!*c->reason)
            (void) say(c->reason, strerror(-r));
        return r;
    }
    *ret = result;
    result = (Result) {.trusted_fd = -EBADF};
    return 0;
}

static uint64_t now_realtime(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static void take_result(Authorities *a, Result *r)
{
    authority_set_free(a->set);
    a->set = TAKE_PTR(r->set);
    (void) close_fd(a->trusted_fd);
    a->trusted_fd = TAKE_FD(r->trusted_fd);
    a->generation = MAX(now_realtime(), a->generation + 1);
    a->news(a, *r->problem ? r->problem : NULL, a->userdata);
}

int authorities_load(Authorities *a, char reterr_reason[AUTHORITY_REASON_MAX])
{
    _cleanup_(result_done) Result result = {.trusted_fd = -EBADF};
    AuthoritiesChange load = {.kind = AUTHORITIES_LOAD, .file_fd = -EBADF};
    int r;

    r = run(a, &load, &result);
    if (r < 0) {
        (void) say(reterr_reason, load.reason);
        return r;
    }
    take_result(a, &result);
    return 0;
}

static int job_run(void *data)
{
    Job *j = data;

    return run(j->authorities, j->change, &j->result);
}

static void job_done(void *data, int r)
{
    Job *j = data;

    if (r >= 0)
        take_result(j->authorities, &j->result);
    j->done(j->authorities, j->change, MIN(r, 0), j->userdata);
    result_done(&j->result);
    free(j);
}

int authorities_submit(Authorities *a, AuthoritiesChange *change, AuthoritiesDone done, void *userdata)
{
    Job *j = malloc(sizeof(Job));
    int r;

    if (!j)
        return -ENOMEM;
    *j = (Job) {.authorities = a, .change = change, .done = done, .userdata = userdata, .result.trusted_fd = -EBADF};
    r = jobs_submit(a->operations, job_run, job_done, j);
    if (r < 0)
        free(j);
    return r;
}

/* ---- the host's file ---- */

static void reload_done(Authorities *a, AuthoritiesChange *change, int result, void *userdata)
{
    if (result < 0 && result != -ECANCELED)
        a->news(a, change->reason, a->userdata);
    authorities_change_free(change);
}

static int reload_in(Authorities *a, uint64_t usec)
{
    int r = sd_event_source_set_time_relative(a->timer, usec);

    return r < 0 ? r : sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
    _cleanup_(authorities_change_freep) AuthoritiesChange *load = NULL;
    Authorities *a = userdata;
    int r;

    r = authorities_change_new(&load, AUTHORITIES_LOAD);
    if (r >= 0)
        r = authorities_submit(a, load, reload_done, NULL);
    if (r < 0)
        return reload_in(a, AGAIN_USEC);
    (void) TAKE_PTR(load);
    return 0;
}

int authorities_reload(Authorities *a)
{
    return reload_in(a, 0);
}

static int on_file(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
    Authorities *a = userdata;
    const char *name = strrchr(a->system_file, '/') + 1;

    if (!(event->mask & IN_Q_OVERFLOW) && (event->len == 0 || !streq(event->name, name)))
        return 0;
    return reload_in(a, SETTLE_USEC);
}

int authorities_watch(Authorities *a)
{
    _cleanup_free_ char *directory = strndup(a->system_file, (size_t) (strrchr(a->system_file, '/') - a->system_file));

    if (!directory)
        return -ENOMEM;
    a->watch = sd_event_source_disable_unref(a->watch);
    return sd_event_add_inotify(a->event, &a->watch, directory,
            IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR, on_file, a);
}

/* ---- all of it ---- */

int authorities_new(Authorities **ret, sd_event *event, Jobs *operations, const char *state_directory, const char *system_file,
        AuthoritiesNews news, void *userdata)
{
    _cleanup_(authorities_freep) Authorities *a = NULL;
    int r;

    if (system_file[0] != '/')
        return -EINVAL;
    a = calloc(1, sizeof(Authorities));
    if (!a)
        return -ENOMEM;
    a->trusted_fd = a->dir_fd = -EBADF;
    a->event = sd_event_ref(event);
    a->operations = operations;
    a->news = news;
    a->userdata = userdata;
    a->dir_fd = open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->dir_fd < 0)
        return negative_errno();
    a->system_file = strdup(system_file);
    if (!a->system_file)
        return -ENOMEM;
    r = sd_event_add_time(event, &a->timer, CLOCK_MONOTONIC, 0, 0, on_settled, a);
    if (r >= 0)
        r = sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

Authorities *authorities_free(Authorities *a)
{
    if (!a)
        return NULL;
    sd_event_source_disable_unref(a->watch);
    sd_event_source_disable_unref(a->timer);
    authority_set_free(a->set);
    (void) close_fd(a->trusted_fd);
    (void) close_fd(a->dir_fd);
    free(a->system_file);
    free(a->system_text);
    sd_event_unref(a->event);
    free(a);
    return NULL;
}

const AuthoritySet *authorities_get(const Authorities *a)
{
    return a->set;
}

uint64_t authorities_generation(const Authorities *a)
{
    return a->generation;
}

int authorities_trusted_fd(const Authorities *a)
{
    return a->trusted_fd;
}
