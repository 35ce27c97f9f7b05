/* SPDX-License-Identifier: Apache-2.0 */

/* The assignments' table and file. It must never let a line through that the calls would not: the file decides who may have
 * handshakes signed. */

#include "assignments.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

/* Not *.tmp: what is called so is removed whenever the store is read. */
#define TEMPORARY "." ASSIGNMENTS_FILE ".new"
#define HEADER                                                                                    \
    "# What certificates are used for. Written by postern-certd; to change it: posternctl cert assign, unassign.\n"
/* A name cannot have a colon. */
#define RENAMING ":renaming"

int assignments_new(Assignments **ret)
{
    Assignments *a = calloc(1, sizeof(Assignments));

    if (!a)
        return -ENOMEM;
    *ret = a;
    return 0;
}

Assignments *assignments_free(Assignments *a)
{
    if (!a)
        return NULL;
    free(a->items);
    free(a);
    return NULL;
}

/* ---- the table ---- */

static int compare(const void *a, const void *b)
{
    const Assignment *x = a, *y = b;
    int r = strcmp(x->certificate, y->certificate);

    return r != 0 ? r : strcmp(x->use, y->use);
}

static void sort(Assignments *a)
{
    if (a->n > 1)
        qsort(a->items, a->n, sizeof(Assignment), compare);
}

static void remove_at(Assignments *a, size_t i)
{
    memmove(&a->items[i], &a->items[i + 1], (a->n - i - 1) * sizeof(Assignment));
    a->n--;
}

static Assignment *find(const Assignments *a, const char *certificate, const char *use)
{
    for (size_t i = 0; i < a->n; i++)
        if ((!certificate || streq(a->items[i].certificate, certificate)) && streq(a->items[i].use, use))
            return &a->items[i];
    return NULL;
}

int assignments_add(Assignments *a, const char *certificate, const char *use, uid_t uid)
{
    Assignment *there, *items, fresh = {};
    const char *name;
    int r;

    if (!certificate_name_valid(certificate))
        return -EINVAL;
    r = use_parse(use, &fresh.kind, &name);
    if (r < 0)
        return r;
    strcpy(fresh.certificate, certificate); /* both fit: they are valid */
    strcpy(fresh.use, use);
    fresh.uid = fresh.kind == USE_USER ? uid : 0;

    there = find(a, fresh.kind == USE_USER ? certificate : NULL, use);
    if (there && streq(there->certificate, certificate) && there->uid == fresh.uid)
        return 0;
    if (there) {
        *there = fresh;
        sort(a);
        return 1;
    }
    if (a->n >= ASSIGNMENTS_MAX)
        return -E2BIG;
    items = reallocarray(a->items, a->n + 1, sizeof(Assignment));
    if (!items)
        return -ENOMEM;
    a->items = items;
    a->items[a->n++] = fresh;
    sort(a);
    return 1;
}

int assignments_remove(Assignments *a, const char *certificate, const char *use)
{
    Assignment *there = find(a, certificate, use);

    if (!there)
        return -ENOENT;
    remove_at(a, (size_t) (there - a->items));
    return 0;
}

size_t assignments_forget(Assignments *a, const char *certificate)
{
    size_t before = a->n;

    for (size_t i = a->n; i-- > 0;)
        if (streq(a->items[i].certificate, certificate))
            remove_at(a, i);
    return before - a->n;
}

void assignments_rename(Assignments *a, const char *from, const char *to)
{
    for (size_t i = 0; i < a->n; i++)
        if (streq(a->items[i].certificate, from))
            (void) snprintf(a->items[i].certificate, sizeof(a->items[i].certificate), "%s", to);
    sort(a);
}

void assignments_begin_rename(Assignments *a, const char *from, const char *to)
{
    (void) snprintf(a->renamed_from, sizeof(a->renamed_from), "%s", from);
    (void) snprintf(a->renamed_to, sizeof(a->renamed_to), "%s", to);
}

void assignments_settle(Assignments *a, bool renamed)
{
    if (renamed)
        assignments_rename(a, a->renamed_from, a->renamed_to);
    a->renamed_from[0] = a->renamed_to[0] = '\0';
}

const char *assignments_find(const Assignments *a, const char *use)
{
    const Assignment *there = find(a, NULL, use);

    return there && there->kind != USE_USER ? there->certificate : NULL;
}

bool assignments_permit(const Assignments *a, const char *certificate, UseKind kind, uid_t uid)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].kind == kind && (kind != USE_USER || a->items[i].uid == uid)
                && streq(a->items[i].certificate, certificate))
            return true;
    return false;
}

const Assignment *assignments_next(const Assignments *a, const char *certificate, const Assignment *after)
{
    for (size_t i = after ? (size_t) (after - a->items) + 1 : 0; i < a->n; i++)
        if (streq(a->items[i].certificate, certificate))
            return &a->items[i];
    return NULL;
}

const char *assignments_user(const Assignments *a, uid_t uid)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].kind == USE_USER && a->items[i].uid == uid)
            return a->items[i].use;
    return NULL;
}

bool assignments_equal(const Assignments *a, const Assignments *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (compare(&a->items[i], &b->items[i]) != 0 || a->items[i].uid != b->items[i].uid)
            return false;
    return true;
}

/* ---- reading ---- */

static int _printf_(3, 4) wrong(char **reterr_reason, unsigned line, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(&text, format, ap);
    va_end(ap);
    if (r < 0)
        text = NULL;
    if (!text || asprintf(reterr_reason, ASSIGNMENTS_FILE ":%u: %s", line, text) < 0)
        *reterr_reason = NULL;
    return -EBADMSG;
}

static int parse_uid(const char *text, uid_t *ret)
{
    unsigned long n;
    char *end;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n >= UINT32_MAX)
        return -EINVAL;
    *ret = (uid_t) n;
    return 0;
}

static int parse_line(Assignments *a, char *text, unsigned line, char **reterr_reason)
{
    const char *words[3] = {}, *name;
    UseKind kind;
    uid_t uid = 0;
    size_t n = 0;
    char *word;
    int r;

    if (*text == '\0' || *text == '#')
        return 0;
    while ((word = strsep(&text, " "))) {
        if (n == ELEMENTSOF(words))
            return wrong(reterr_reason, line, "there is too much in this line");
        words[n++] = word;
    }
    if (n < 2)
        return wrong(reterr_reason, line, "a line has a certificate's name and a use");
    if (streq(words[0], RENAMING)) {
        if (n < 3 || !certificate_name_valid(words[1]) || !certificate_name_valid(words[2]))
            return wrong(reterr_reason, line, "a renaming has two names");
        assignments_begin_rename(a, words[1], words[2]);
        return 0;
    }
    if (!certificate_name_valid(words[0]))
        return wrong(reterr_reason, line, "this is no name of a certificate");
    if (use_parse(words[1], &kind, &name) < 0)
        return wrong(reterr_reason, line, "the use is none of listener:NAME, delivery, user:LOGIN");
    if (kind == USE_USER && (n < 3 || parse_uid(words[2], &uid) < 0))
        return wrong(reterr_reason, line, "the user's numeric id is missing");
    if (kind != USE_USER && n > 2)
        return wrong(reterr_reason, line, "there is too much in this line");
    if (find(a, kind == USE_USER ? words[0] : NULL, words[1]))
        return wrong(reterr_reason, line, "%s is assigned twice", words[1]);
    r = assignments_add(a, words[0], words[1], uid);
    if (r == -E2BIG)
        return wrong(reterr_reason, line, "there are more than %d assignments", ASSIGNMENTS_MAX);
    return r;
}

/* ret is for freep() and NUL-ended. */
static int read_whole(int fd, char **ret, size_t *ret_size)
{
    _cleanup_free_ char *buffer = malloc(ASSIGNMENTS_FILE_MAX + 2);
    size_t size = 0;

    if (!buffer)
        return -ENOMEM;
    while (size <= ASSIGNMENTS_FILE_MAX) {
        ssize_t n = read(fd, buffer + size, ASSIGNMENTS_FILE_MAX + 1 - size);

        if (n < 0)
            return negative_errno();
        if (n == 0)
            break;
        size += (size_t) n;
    }
    if (size > ASSIGNMENTS_FILE_MAX)
        return -EFBIG;
    buffer[size] = '\0';
    *ret = TAKE_PTR(buffer);
    *ret_size = size;
    return 0;
}

static int parse_text(Assignments *a, char *text, size_t size, char **reterr_reason)
{
    unsigned line = 0;
    char *next = text, *one;
    int r;

    if (strlen(text) != size)
        return wrong(reterr_reason, 1, "there are NUL bytes in the file");
    while ((one = strsep(&next, "\n"))) {
        r = parse_line(a, one, ++line, reterr_reason);
        if (r < 0)
            return r;
    }
    return 0;
}

int assignments_read(Assignments **ret, int dir_fd, char **reterr_reason)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct stat st;
    size_t size;
    int r;

    r = assignments_new(&a);
    if (r < 0)
        return r;
    fd = openat(dir_fd, ASSIGNMENTS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret = TAKE_PTR(a);
        return 0;
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode))
        return wrong(reterr_reason, 1, "this is no regular file");
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return wrong(reterr_reason, 1, "others can write the file; it must have mode 0600");
    r = read_whole(fd, &text, &size);
    if (r == -EFBIG)
        return wrong(reterr_reason, 1, "the file has more than %d bytes", ASSIGNMENTS_FILE_MAX);
    if (r >= 0)
        r = parse_text(a, text, size, reterr_reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

int assignments_load(Assignments **ret, Store *store, char **reterr_reason)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    int r;

    r = assignments_read(&a, store_dir_fd(store), reterr_reason);
    if (r < 0)
        return r;
    if (*a->renamed_from)
        assignments_settle(a, store_exists(store, a->renamed_to) && !store_exists(store, a->renamed_from));
    *ret = TAKE_PTR(a);
    return 0;
}

/* ---- writing ---- */

static int format(const Assignments *a, FILE *file)
{
    (void) fputs(HEADER, file);
    if (*a->renamed_from)
        (void) fprintf(file, RENAMING " %s %s\n", a->renamed_from, a->renamed_to);
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].kind == USE_USER)
            (void) fprintf(file, "%s %s %u\n", a->items[i].certificate, a->items[i].use, a->items[i].uid);
        else
            (void) fprintf(file, "%s %s\n", a->items[i].certificate, a->items[i].use);
    errno = 0;
    return fflush(file) != 0 || ferror(file) ? negative_errno() : 0;
}

static int write_temporary(const Assignments *a, int dir_fd)
{
    _cleanup_fclose_ FILE *file = NULL;
    int r, fd;

    (void) unlinkat(dir_fd, TEMPORARY, 0);
    fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return negative_errno();
    file = fdopen(fd, "w");
    if (!file) {
        (void) close_fd(fd);
        return -ENOMEM;
    }
    r = format(a, file);
    if (r < 0)
        return r;
    return fsync(fd) < 0 ? negative_errno() : 0;
}

int assignments_write(const Assignments *a, int dir_fd)
{
    int r;

    r = write_temporary(a, dir_fd);
    if (r >= 0 && renameat(dir_fd, TEMPORARY, dir_fd, ASSIGNMENTS_FILE) < 0)
        r = negative_errno();
    if (r < 0) {
        (void) unlinkat(dir_fd, TEMPORARY, 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? negative_errno() : 0;
}
