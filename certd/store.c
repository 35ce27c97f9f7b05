/* SPDX-License-Identifier: Apache-2.0 */

/* The store on disk. All access goes through the directory's descriptor, so that it works in the sandbox and nobody can move the
 * store away from under certd. Key bytes pass through secure memory only. */

#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "openssl-cleanup.h"
#include "secure-memory.h"

#define RETIRED_MAX 64
#define KEY_SUFFIX ".key"
#define CERTIFICATE_SUFFIX ".crt"
#define ENTRY_SUFFIX ".pem"
#define TEMPORARY_SUFFIX ".tmp"

typedef struct CertificateList {
    Certificate **items;
    size_t n;
} CertificateList;

typedef struct Retired {
    Certificate *certificate;
    uint64_t until_usec;
} Retired;

struct Store {
    int dir_fd;
    pthread_mutex_t lock; /* over the files */
    CertificateList list;
    Retired retired[RETIRED_MAX]; /* newest first; unused ones are NULL */
};

static void closedirp(DIR **d)
{
    if (*d)
        (void) closedir(*d);
}

static uint64_t now_monotonic(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static void unlockp(pthread_mutex_t **lock)
{
    (void) pthread_mutex_unlock(*lock);
}

static pthread_mutex_t *lock_files(Store *s)
{
    (void) pthread_mutex_lock(&s->lock);
    return &s->lock;
}

#define _cleanup_unlock_ _cleanup_(unlockp) _unused_

static void list_done(CertificateList *l)
{
    for (size_t i = 0; i < l->n; i++)
        certificate_unref(l->items[i]);
    free(l->items);
    *l = (CertificateList) {};
}

int store_new(Store **ret, const char *path)
{
    _cleanup_(store_freep) Store *s = NULL;
    struct stat st;

    s = calloc(1, sizeof(Store));
    if (!s)
        return -ENOMEM;
    (void) pthread_mutex_init(&s->lock, NULL);
    s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return negative_errno();
    if (fstat(s->dir_fd, &st) < 0)
        return negative_errno();
    if (st.st_uid != geteuid() || st.st_mode & (S_IRWXG | S_IRWXO))
        return -EPERM;
    *ret = TAKE_PTR(s);
    return 0;
}

Store *store_free(Store *s)
{
    if (!s)
        return NULL;
    list_done(&s->list);
    for (size_t i = 0; i < RETIRED_MAX; i++)
        certificate_unref(s->retired[i].certificate);
    (void) close_fd(s->dir_fd);
    (void) pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

int store_dir_fd(const Store *s)
{
    return s->dir_fd;
}

/* ---- reading ---- */

static int reason_set(char **reterr_reason, const char *name, const char *suffix, const char *reason)
{
    if (asprintf(reterr_reason, "%s%s %s", name, suffix, reason) < 0)
        *reterr_reason = NULL;
    return 0;
}

/* Reads a whole file into secure memory, whether it needs that or not. *ret is for secure_freep(). */
static int read_file(int dir_fd, const char *name, const char *suffix, bool private_file, char **ret, size_t *ret_size,
        char **reterr_reason)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(KEY_SUFFIX)];
    _cleanup_close_ int fd = -EBADF;
    _cleanup_(secure_freep) char *buffer = NULL;
    size_t done = 0;
    struct stat st;
    int r;

    (void) snprintf(file, sizeof(file), "%s%s", name, suffix);
    fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = negative_errno();
        (void) reason_set(reterr_reason, name, suffix,
                r == -ENOENT           ? "is missing"
                        : r == -EACCES ? "is not readable by certd"
                                       : "cannot be opened");
        return r;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > CERTIFICATE_PEM_MAX) {
        (void) reason_set(reterr_reason, name, suffix, S_ISREG(st.st_mode) ? "is too large" : "is no regular file");
        return -EFBIG;
    }
    if (private_file && st.st_mode & (S_IRWXG | S_IRWXO)) {
        (void) reason_set(reterr_reason, name, suffix, "is accessible to others; it must have mode 0600");
        return -EPERM;
    }
    buffer = secure_malloc((size_t) st.st_size + 1);
    if (!buffer) {
        (void) reason_set(reterr_reason, name, suffix, "does not fit into the memory for keys");
        return -ENOMEM;
    }
    while (done < (size_t) st.st_size) {
        ssize_t n = read(fd, buffer + done, (size_t) st.st_size - done);

        if (n < 0) {
            (void) reason_set(reterr_reason, name, suffix, "cannot be read");
            return negative_errno();
        }
        if (n == 0)
            break;
        done += (size_t) n;
    }
    buffer[done] = '\0';
    *ret = TAKE_PTR(buffer);
    *ret_size = done;
    return 0;
}

static bool file_exists(int dir_fd, const char *name, const char *suffix)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(KEY_SUFFIX)];
    struct stat st;

    (void) snprintf(file, sizeof(file), "%s%s", name, suffix);
    return fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- writing ---- */

static void remove_file(int dir_fd, const char *name, const char *suffix)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(KEY_SUFFIX)];

    (void) snprintf(file, sizeof(file), "%s%s", name, suffix);
    (void) unlinkat(dir_fd, file, 0);
}

/* Old or new, never a part: a temporary file, made durable, takes the name's place, and the directory is made durable, too. */
static int write_entry(int dir_fd, const char *name, const char *data, size_t size)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(ENTRY_SUFFIX)];
    char temporary[CERTIFICATE_NAME_MAX + sizeof("." ENTRY_SUFFIX TEMPORARY_SUFFIX)];
    _cleanup_close_ int fd = -EBADF;
    int r = 0;

    (void) snprintf(file, sizeof(file), "%s" ENTRY_SUFFIX, name);
    (void) snprintf(temporary, sizeof(temporary), ".%s" ENTRY_SUFFIX TEMPORARY_SUFFIX, name);
    (void) unlinkat(dir_fd, temporary, 0);
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return negative_errno();
    for (size_t done = 0; r >= 0 && done < size;) {
        ssize_t n = write(fd, data + done, size - done);

        if (n < 0)
            r = negative_errno();
        else
            done += (size_t) n;
    }
    if (r >= 0 && (fsync(fd) < 0 || renameat(dir_fd, temporary, dir_fd, file) < 0))
        r = negative_errno();
    if (r < 0) {
        (void) unlinkat(dir_fd, temporary, 0);
        return r;
    }
    if (fsync(dir_fd) < 0)
        return negative_errno();
    /* What it replaces in another form, the key first: a certificate without one belongs to the key of the file just written. */
    if (file_exists(dir_fd, name, CERTIFICATE_SUFFIX)) {
        remove_file(dir_fd, name, KEY_SUFFIX);
        remove_file(dir_fd, name, CERTIFICATE_SUFFIX);
        return fsync(dir_fd) < 0 ? negative_errno() : 0;
    }
    return 0;
}

/* ---- loading ---- */

/* The chain of NAME.crt with the key that is in file. */
static int merge_chain(const char *name, const char *file, size_t size, const char *chain, size_t chain_size, BIO **ret,
        char **reterr_reason)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    const char *reason = "does not fit into memory";
    int r;

    r = store_entry_parse(&e, file, size, chain, chain_size, &reason);
    if (r >= 0)
        r = store_entry_format(&e, ret);
    if (r < 0)
        (void) reason_set(reterr_reason, name, "", reason);
    return r;
}

/* NAME.crt with NAME.key, or with the key of NAME.pem, becomes NAME.pem. When that cannot be written, the files stay and are
 * read again the next time. */
static int take_over(int dir_fd, const char *name, BIO **ret, char **reterr_reason)
{
    bool renewed = !file_exists(dir_fd, name, KEY_SUFFIX) && file_exists(dir_fd, name, ENTRY_SUFFIX);
    _cleanup_(secure_freep) char *file = NULL, *chain = NULL;
    size_t size = 0, chain_size = 0;
    char *text;
    long n;
    int r;

    r = read_file(dir_fd, name, CERTIFICATE_SUFFIX, false, &chain, &chain_size, reterr_reason);
    if (r < 0)
        return r;
    r = read_file(dir_fd, name, renewed ? ENTRY_SUFFIX : KEY_SUFFIX, true, &file, &size, reterr_reason);
    if (r < 0)
        return r;
    r = merge_chain(name, file, size, chain, chain_size, ret, reterr_reason);
    if (r < 0)
        return r;
    n = BIO_get_mem_data(*ret, &text);
    (void) write_entry(dir_fd, name, text, (size_t) n);
    return 0;
}

static int load_one(int dir_fd, const char *name, Certificate **ret, char **reterr_reason)
{
    _cleanup_(secure_freep) char *file = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    const char *reason = NULL;
    size_t size = 0;
    char *text;
    int r;

    if (file_exists(dir_fd, name, CERTIFICATE_SUFFIX)) {
        r = take_over(dir_fd, name, &bio, reterr_reason);
        if (r < 0)
            return r;
        (void) BIO_write(bio, "", 1); /* the NUL at the end */
        size = (size_t) BIO_get_mem_data(bio, &text) - 1;
    } else {
        r = read_file(dir_fd, name, ENTRY_SUFFIX, true, &file, &size, reterr_reason);
        if (r < 0)
            return r;
        text = file;
    }
    r = store_entry_parse_certificate(ret, name, text, size, &reason);
    if (r < 0)
        (void) reason_set(reterr_reason, name, "", reason);
    return r;
}

static bool has_suffix(const char *s, const char *suffix, size_t *ret_stem)
{
    size_t n = strlen(s), k = strlen(suffix);

    if (n <= k || !streq(s + n - k, suffix))
        return false;
    *ret_stem = n - k;
    return true;
}

static Certificate *list_find(const CertificateList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i]->name, name))
            return l->items[i];
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp((*(Certificate *const *) a)->name, (*(Certificate *const *) b)->name);
}

static int list_add(CertificateList *l, Certificate *c)
{
    Certificate **items = reallocarray(l->items, l->n + 1, sizeof(Certificate *));

    if (!items)
        return -ENOMEM;
    l->items = items;
    l->items[l->n++] = c;
    return 0;
}

static int load_entry(int dir_fd, CertificateList *l, const char *file, char **reterr_reason)
{
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    char name[CERTIFICATE_NAME_MAX + 1];
    size_t stem;
    int r;

    /* What an interrupted store_write() left behind. */
    if (file[0] == '.' && has_suffix(file, TEMPORARY_SUFFIX, &stem)) {
        (void) unlinkat(dir_fd, file, 0);
        return 0;
    }
    if ((!has_suffix(file, ENTRY_SUFFIX, &stem) && !has_suffix(file, CERTIFICATE_SUFFIX, &stem)) || stem > CERTIFICATE_NAME_MAX)
        return 0;
    memcpy(name, file, stem);
    name[stem] = '\0';
    if (!certificate_name_valid(name) || list_find(l, name))
        return 0;
    if (l->n >= STORE_CERTIFICATES_MAX) {
        (void) reason_set(reterr_reason, name, "", "is one certificate too many");
        return -E2BIG;
    }
    r = load_one(dir_fd, name, &c, reterr_reason);
    if (r < 0)
        return r;
    r = list_add(l, c);
    if (r < 0)
        return r;
    (void) TAKE_PTR(c);
    return 0;
}

static int load_list(int dir_fd, CertificateList *l, char **reterr_reason)
{
    _cleanup_(closedirp) DIR *dir = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct dirent *entry;
    int r;

    /* Not a duplicate of dir_fd: that would share its position. */
    fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return negative_errno();
    dir = fdopendir(fd);
    if (!dir)
        return negative_errno();
    (void) TAKE_FD(fd);
    while ((errno = 0, entry = readdir(dir))) {
        r = load_entry(dir_fd, l, entry->d_name, reterr_reason);
        if (r < 0)
            return r;
    }
    if (errno > 0)
        return negative_errno();
    if (l->n > 1)
        qsort(l->items, l->n, sizeof(Certificate *), compare);
    return 0;
}

/* Keeps the key of a certificate that was replaced or renamed, for handshakes that began with it. */
static void store_retire(Store *s, Certificate *c)
{
    certificate_unref(s->retired[RETIRED_MAX - 1].certificate);
    memmove(&s->retired[1], &s->retired[0], sizeof(s->retired) - sizeof(s->retired[0]));
    s->retired[0] = (Retired) {.certificate = certificate_ref(c), .until_usec = now_monotonic() + STORE_RETIRED_USEC};
}

/* One that was deleted is gone at once, with what it had replaced. */
static void store_forget(Store *s, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < RETIRED_MAX; i++)
        if (s->retired[i].certificate && streq(s->retired[i].certificate->name, name))
            certificate_unref(s->retired[i].certificate);
        else
            s->retired[n++] = s->retired[i];
    for (; n < RETIRED_MAX; n++)
        s->retired[n] = (Retired) {};
}

/* Whether the key has come under a name that was not there before. */
static bool is_renamed(const Certificate *c, const CertificateList *before, const CertificateList *now)
{
    for (size_t i = 0; i < now->n; i++)
        if (memcmp(now->items[i]->spki_sha256, c->spki_sha256, sizeof(c->spki_sha256)) == 0
                && !list_find(before, now->items[i]->name))
            return true;
    return false;
}

static bool list_equal(const CertificateList *a, const CertificateList *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!certificate_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static int load_files(Store *s, CertificateList *l, char **reterr_reason)
{
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);

    return load_list(s->dir_fd, l, reterr_reason);
}

int store_load(Store *s, char **reterr_reason)
{
    _cleanup_(list_done) CertificateList fresh = {}, old = {};
    int r;

    r = load_files(s, &fresh, reterr_reason);
    if (r < 0)
        return r;
    if (list_equal(&fresh, &s->list))
        return 0;
    old = s->list;
    s->list = fresh;
    fresh = (CertificateList) {};
    for (size_t i = 0; i < old.n; i++) {
        Certificate *c = old.items[i], *now = list_find(&s->list, c->name);

        if (!now)
            store_forget(s, c->name);
        if (now ? memcmp(now->spki_sha256, c->spki_sha256, sizeof(c->spki_sha256)) != 0 : is_renamed(c, &old, &s->list))
            store_retire(s, c);
    }
    return 1;
}

Certificate *store_find(const Store *s, const char *name)
{
    return list_find(&s->list, name);
}

static bool has_key(const Certificate *c, const char *name, const uint8_t spki_sha256[32])
{
    return streq(c->name, name) && memcmp(c->spki_sha256, spki_sha256, sizeof(c->spki_sha256)) == 0;
}

Certificate *store_find_key(const Store *s, const char *name, const uint8_t spki_sha256[32])
{
    Certificate *c = list_find(&s->list, name);

    if (c && has_key(c, name, spki_sha256))
        return c;
    for (size_t i = 0; i < RETIRED_MAX && s->retired[i].certificate; i++)
        if (has_key(s->retired[i].certificate, name, spki_sha256) && now_monotonic() < s->retired[i].until_usec)
            return s->retired[i].certificate;
    return NULL;
}

Certificate *store_get(const Store *s, size_t i)
{
    return i < s->list.n ? s->list.items[i] : NULL;
}

/* ---- changes on disk ---- */

static bool entry_exists(const Store *s, const char *name)
{
    return file_exists(s->dir_fd, name, ENTRY_SUFFIX) || file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX);
}

bool store_exists(Store *s, const char *name)
{
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);

    return certificate_name_valid(name) && entry_exists(s, name);
}

/* An entry that can be read, in its one file. */
static int settle(Store *s, const char *name, const char **reterr_reason)
{
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    _cleanup_free_ char *reason = NULL;
    int r;

    if (!certificate_name_valid(name) || !entry_exists(s, name)) {
        *reterr_reason = "there is no such certificate";
        return -ENOENT;
    }
    *reterr_reason = "the store cannot be read";
    r = load_one(s->dir_fd, name, &c, &reason);
    if (r < 0)
        return r;
    return file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX) ? -EIO : 0;
}

int store_read(Store *s, const char *name, StoreEntry *ret, const char **reterr_reason)
{
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);
    _cleanup_(secure_freep) char *file = NULL;
    _cleanup_free_ char *reason = NULL;
    size_t size = 0;
    int r;

    r = settle(s, name, reterr_reason);
    if (r < 0)
        return r;
    r = read_file(s->dir_fd, name, ENTRY_SUFFIX, true, &file, &size, &reason);
    return r < 0 ? r : store_entry_parse(ret, file, size, file, size, reterr_reason);
}

/* A store that is full could be written, but not be read any more. */
static bool has_room(const Store *s)
{
    _cleanup_(closedirp) DIR *dir = NULL;
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;
    size_t n = 0, stem;

    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        (void) close_fd(fd);
        return false;
    }
    while ((entry = readdir(dir)))
        n += has_suffix(entry->d_name, ENTRY_SUFFIX, &stem) || has_suffix(entry->d_name, CERTIFICATE_SUFFIX, &stem);
    return n < STORE_CERTIFICATES_MAX;
}

static int check_target(const Store *s, const char *name, const char **reterr_reason)
{
    if (!certificate_name_valid(name)) {
        *reterr_reason = "the name has other characters than letters, digits, '.', '-' and '_', or too many";
        return -EINVAL;
    }
    if (entry_exists(s, name)) {
        *reterr_reason = "there is a certificate of this name";
        return -EEXIST;
    }
    return 0;
}

int store_put(Store *s, const char *name, const StoreEntry *e, StorePut mode, const char **reterr_reason)
{
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    size_t size;
    char *text;
    int r;

    r = check_target(s, name, reterr_reason);
    if (r < 0 && (r != -EEXIST || mode == STORE_PUT_NEW))
        return r;
    if (r == 0 && !has_room(s)) {
        *reterr_reason = "the store is full";
        return -E2BIG;
    }
    *reterr_reason = "it is too large";
    r = store_entry_format(e, &bio);
    if (r < 0)
        return r;
    (void) BIO_write(bio, "", 1);
    size = (size_t) BIO_get_mem_data(bio, &text) - 1;
    /* Nothing is ever written that could not be read. */
    r = store_entry_parse_certificate(&c, name, text, size, reterr_reason);
    if (r < 0)
        return r;
    *reterr_reason = "the store cannot be written";
    return write_entry(s->dir_fd, name, text, size);
}

int store_rename(Store *s, const char *from, const char *to, const char **reterr_reason)
{
    char old[CERTIFICATE_NAME_MAX + sizeof(ENTRY_SUFFIX)], new[CERTIFICATE_NAME_MAX + sizeof(ENTRY_SUFFIX)];
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);
    int r;

    r = settle(s, from, reterr_reason);
    if (r >= 0)
        r = check_target(s, to, reterr_reason);
    if (r < 0)
        return r;
    (void) snprintf(old, sizeof(old), "%s" ENTRY_SUFFIX, from);
    (void) snprintf(new, sizeof(new), "%s" ENTRY_SUFFIX, to);
    *reterr_reason = "the store cannot be written";
    if (renameat(s->dir_fd, old, s->dir_fd, new) < 0 || fsync(s->dir_fd) < 0)
        return negative_errno();
    return 0;
}

int store_remove(Store *s, const char *name, const char **reterr_reason)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(ENTRY_SUFFIX)];
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);
    int r;

    r = settle(s, name, reterr_reason);
    if (r < 0)
        return r;
    (void) snprintf(file, sizeof(file), "%s" ENTRY_SUFFIX, name);
    *reterr_reason = "the store cannot be written";
    if (unlinkat(s->dir_fd, file, 0) < 0 || fsync(s->dir_fd) < 0)
        return negative_errno();
    return 0;
}

int store_write(Store *s, const char *name, EVP_PKEY *key, X509 *certificate)
{
    _cleanup_(store_entry_done) StoreEntry e = {.chain = sk_X509_new_null()};
    const char *reason;

    if (!e.chain || X509_up_ref(certificate) != 1)
        return -ENOMEM;
    if (sk_X509_push(e.chain, certificate) <= 0) {
        X509_free(certificate);
        return -ENOMEM;
    }
    (void) EVP_PKEY_up_ref(key);
    e.key = key;
    return store_put(s, name, &e, STORE_PUT_REPLACE, &reason);
}
