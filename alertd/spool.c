/* SPDX-License-Identifier: Apache-2.0 */

/* Files of the spool. One thread writes, so that fsync does not hold up the loop and order is kept without further ado. It must
 * never touch a path outside its directory: everything goes through the directory's descriptor and names that it made itself. */

#include "spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "jobs.h"

/* Texts and recipients of the greatest length, each character as \uXXXX. */
#define SPOOL_FILE_MAX (256 * 1024)
#define SPOOL_PENDING_MAX 4096
#define TEMPORARY_SUFFIX ".tmp"

SpoolItem *spool_item_free(SpoolItem *i)
{
    if (!i)
        return NULL;
    for (char **r = i->recipients; r && *r; r++)
        free(*r);
    free(i->recipients);
    free(i->key);
    free(i->summary);
    free(i->body);
    free(i->origin);
    free(i);
    return NULL;
}

/* ---- text ---- */

static void add_string(json_object *o, const char *key, const char *value)
{
    (void) json_object_object_add(o, key, json_object_new_string(value));
}

static void add_number(json_object *o, const char *key, uint64_t value)
{
    (void) json_object_object_add(o, key, json_object_new_int64((int64_t) MIN(value, (uint64_t) INT64_MAX)));
}

int spool_item_format(const SpoolItem *i, char **ret)
{
    json_object *o = json_object_new_object(), *recipients = json_object_new_array();
    char *text = NULL;

    if (o && recipients) {
        add_string(o, "id", i->id);
        add_string(o, "severity", alert_severity_to_string(i->severity));
        add_string(o, "type", alert_type_to_string(i->type));
        add_string(o, "key", i->key);
        add_string(o, "summary", i->summary);
        add_string(o, "body", i->body);
        add_string(o, "origin", i->origin);
        add_number(o, "first", i->first_usec);
        add_number(o, "last", i->last_usec);
        add_number(o, "count", i->count);
        for (char **r = i->recipients; r && *r; r++)
            (void) json_object_array_add(recipients, json_object_new_string(*r));
        (void) json_object_object_add(o, "recipients", recipients);
        recipients = NULL;
        (void) json_object_object_add(o, "held", json_object_new_boolean(i->held));
        add_number(o, "due", i->due_usec);
        add_number(o, "interval", i->interval_usec);
        add_number(o, "attempts", i->attempts);
        text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
    }
    json_object_put(recipients);
    json_object_put(o);
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

static int get_string(json_object *o, const char *key, size_t max, char **ret)
{
    json_object *v;
    char *copy;

    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
        return -EBADMSG;
    if ((size_t) json_object_get_string_len(v) > max
            || strlen(json_object_get_string(v)) != (size_t) json_object_get_string_len(v))
        return -EBADMSG;
    copy = strdup(json_object_get_string(v));
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static int get_number(json_object *o, const char *key, uint64_t max, uint64_t *ret)
{
    json_object *v;
    int64_t n;

    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
        return -EBADMSG;
    n = json_object_get_int64(v);
    if (n < 0 || (uint64_t) n > max)
        return -EBADMSG;
    *ret = (uint64_t) n;
    return 0;
}

static int get_recipients(json_object *o, SpoolItem *i)
{
    json_object *v;
    size_t n;

    if (!json_object_object_get_ex(o, "recipients", &v) || !json_object_is_type(v, json_type_array))
        return -EBADMSG;
    n = json_object_array_length(v);
    if (n > SPOOL_RECIPIENTS_MAX)
        return -EBADMSG;
    i->recipients = calloc(n + 1, sizeof(char *));
    if (!i->recipients)
        return -ENOMEM;
    for (size_t k = 0; k < n; k++) {
        json_object *r = json_object_array_get_idx(v, k);

        if (!json_object_is_type(r, json_type_string))
            return -EBADMSG;
        i->recipients[k] = strdup(json_object_get_string(r));
        if (!i->recipients[k])
            return -ENOMEM;
    }
    return 0;
}

static int parse_texts(json_object *o, SpoolItem *i)
{
    _cleanup_free_ char *id = NULL, *severity = NULL, *type = NULL;
    const struct {
        const char *key;
        size_t max;
        char **field;
    } strings[] = {
        {"id", SPOOL_ID_SIZE - 1, &id},
        {"severity", 32, &severity},
        {"type", 32, &type},
        {"key", ALERT_KEY_MAX - 1, &i->key},
        {"summary", ALERT_SUMMARY_MAX - 1, &i->summary},
        {"body", ALERT_BODY_MAX - 1, &i->body},
        {"origin", SPOOL_ORIGIN_MAX, &i->origin},
    };
    int r;

    for (size_t k = 0; k < ELEMENTSOF(strings); k++) {
        r = get_string(o, strings[k].key, strings[k].max, strings[k].field);
        if (r < 0)
            return r;
    }
    if (strlen(id) != SPOOL_ID_SIZE - 1 || strspn(id, "0123456789abcdef") != SPOOL_ID_SIZE - 1)
        return -EBADMSG;
    memcpy(i->id, id, SPOOL_ID_SIZE);
    if (alert_severity_from_string(severity, &i->severity) < 0 || alert_type_from_string(type, &i->type) < 0)
        return -EBADMSG;
    return 0;
}

static int parse_numbers(json_object *o, SpoolItem *i)
{
    uint64_t count, attempts;
    json_object *held;
    const struct {
        const char *key;
        uint64_t max;
        uint64_t *field;
    } numbers[] = {
        {"first", INT64_MAX, &i->first_usec},
        {"last", INT64_MAX, &i->last_usec},
        {"count", UINT32_MAX, &count},
        {"due", INT64_MAX, &i->due_usec},
        {"interval", INT64_MAX, &i->interval_usec},
        {"attempts", UINT32_MAX, &attempts},
    };
    int r;

    for (size_t k = 0; k < ELEMENTSOF(numbers); k++) {
        r = get_number(o, numbers[k].key, numbers[k].max, numbers[k].field);
        if (r < 0)
            return r;
    }
    if (!json_object_object_get_ex(o, "held", &held) || !json_object_is_type(held, json_type_boolean))
        return -EBADMSG;
    i->held = json_object_get_boolean(held);
    i->count = (unsigned) count;
    i->attempts = (unsigned) attempts;
    return 0;
}

int spool_item_parse(const char *text, size_t size, SpoolItem **ret)
{
    _cleanup_(spool_item_freep) SpoolItem *i = NULL;
    json_tokener *tokener;
    json_object *o;
    int r;

    if (size > SPOOL_FILE_MAX)
        return -EBADMSG;
    i = calloc(1, sizeof(*i));
    tokener = json_tokener_new_ex(4);
    if (!i || !tokener) {
        json_tokener_free(tokener);
        return -ENOMEM;
    }
    o = json_tokener_parse_ex(tokener, text, (int) size);
    json_tokener_free(tokener);
    r = json_object_is_type(o, json_type_object) ? parse_texts(o, i) : -EBADMSG;
    if (r >= 0)
        r = parse_numbers(o, i);
    if (r >= 0)
        r = get_recipients(o, i);
    json_object_put(o);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(i);
    return 0;
}

/* ---- files ---- */

struct Spool {
    int fd; /* the directory */
    Jobs *jobs;
};

typedef struct Write {
    int directory;
    char id[SPOOL_ID_SIZE];
    char *text; /* NULL: remove the file */
    SpoolDone done;
    void *userdata;
} Write;

static Write *write_free(Write *w)
{
    if (!w)
        return NULL;
    free(w->text);
    free(w);
    return NULL;
}
DEFINE_CLEANUP(Write, write_free);

Spool *spool_free(Spool *s)
{
    if (!s)
        return NULL;
    jobs_free(s->jobs);
    close_fd(s->fd);
    free(s);
    return NULL;
}

static int remove_leftovers(Spool *s);

int spool_new(Spool **ret, sd_event *event, const char *directory)
{
    _cleanup_(spool_freep) Spool *s = NULL;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0)
        return -errno;
    r = remove_leftovers(s);
    if (r < 0)
        return r;
    r = jobs_new(&s->jobs, event, 1, SPOOL_PENDING_MAX);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

static int write_all(int fd, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t k = write(fd, text, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        text += k;
        n -= (size_t) k;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* On the thread. */
static int replace_file(const Write *w)
{
    char temporary[SPOOL_ID_SIZE + sizeof(TEMPORARY_SUFFIX)];
    _cleanup_close_ int fd = -EBADF;
    int r;

    (void) snprintf(temporary, sizeof(temporary), "%s%s", w->id, TEMPORARY_SUFFIX);
    fd = openat(w->directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, w->text);
    if (r >= 0 && renameat(w->directory, temporary, w->directory, w->id) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlinkat(w->directory, temporary, 0);
        return r;
    }
    return fsync(w->directory) < 0 ? -errno : 0;
}

static int write_run(void *data)
{
    Write *w = data;

    if (w->text)
        return replace_file(w);
    return unlinkat(w->directory, w->id, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void write_done(void *data, int result)
{
    _cleanup_(write_freep) Write *w = data;

    if (w->done)
        w->done(result, w->userdata);
}

static int submit(Spool *s, const char *id, char *text, SpoolDone done, void *userdata)
{
    _cleanup_(write_freep) Write *w = NULL;
    int r;

    w = calloc(1, sizeof(*w));
    if (!w) {
        free(text);
        return -ENOMEM;
    }
    *w = (Write) {.directory = s->fd, .text = text, .done = done, .userdata = userdata};
    memcpy(w->id, id, SPOOL_ID_SIZE);
    r = jobs_submit(s->jobs, write_run, write_done, w);
    if (r < 0)
        return r;
    (void) TAKE_PTR(w);
    return 0;
}

int spool_store(Spool *s, const SpoolItem *item, SpoolDone done, void *userdata)
{
    char *text;
    int r;

    r = spool_item_format(item, &text);
    if (r < 0)
        return r;
    return submit(s, item->id, text, done, userdata);
}

void spool_remove(Spool *s, const char *id)
{
    (void) submit(s, id, NULL, NULL, NULL);
}

int spool_assign_id(Spool *s, SpoolItem *item)
{
    uint64_t number;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return -errno;
    (void) snprintf(item->id, sizeof(item->id), "%016" PRIx64, number);
    return 0;
}

/* ---- at start ---- */

static void closedirp(DIR **d)
{
    if (*d)
        (void) closedir(*d);
}

static int open_directory(Spool *s, DIR **ret)
{
    int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d;

    if (fd < 0)
        return -errno;
    d = fdopendir(fd);
    if (!d) {
        int error = -errno;

        close_fd(fd);
        return error;
    }
    *ret = d;
    return 0;
}

static int remove_leftovers(Spool *s)
{
    _cleanup_(closedirp) DIR *d = NULL;
    int r;

    r = open_directory(s, &d);
    if (r < 0)
        return r;
    for (struct dirent *e; (e = readdir(d)); ) {
        size_t n = strlen(e->d_name), suffix = strlen(TEMPORARY_SUFFIX);

        if (n > suffix && streq(e->d_name + n - suffix, TEMPORARY_SUFFIX))
            (void) unlinkat(s->fd, e->d_name, 0);
    }
    return 0;
}

static int read_item(Spool *s, const char *name, SpoolItem **ret)
{
    _cleanup_(spool_item_freep) SpoolItem *i = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    size_t size = 0;
    int r;

    fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    text = malloc(SPOOL_FILE_MAX + 1);
    if (!text)
        return -ENOMEM;
    for (;;) {
        ssize_t k = read(fd, text + size, SPOOL_FILE_MAX + 1 - size);

        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        size += (size_t) k;
    }
    r = spool_item_parse(text, size, &i);
    if (r < 0)
        return r;
    if (!streq(i->id, name))
        return -EBADMSG;
    *ret = TAKE_PTR(i);
    return 0;
}

int spool_scan(Spool *s, SpoolEach each, void *userdata, unsigned *ret_broken)
{
    _cleanup_(closedirp) DIR *d = NULL;
    unsigned broken = 0;
    int r;

    r = open_directory(s, &d);
    if (r < 0)
        return r;
    for (struct dirent *e; (e = readdir(d)); ) {
        SpoolItem *item = NULL;

        if (e->d_name[0] == '.')
            continue;
        if (read_item(s, e->d_name, &item) < 0) {
            broken++;
            continue;
        }
        each(item, userdata);
    }
    *ret_broken = broken;
    return 0;
}
