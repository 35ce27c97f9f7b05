/* SPDX-License-Identifier: Apache-2.0 */

/* The store on disk. All access goes through the directory's descriptor, so that it works in the sandbox and nobody can move the
 * store away from under certd. Key bytes pass through secure memory only. */

#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <time.h>

#include "openssl-cleanup.h"
#include "secure-memory.h"

#define RETIRED_MAX 64
#define KEY_SUFFIX ".key"
#define CERTIFICATE_SUFFIX ".crt"
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
    free(s);
    return NULL;
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
                r == -ENOENT ? "is missing" : r == -EACCES ? "is not readable by certd" : "cannot be opened");
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

static int load_one(int dir_fd, const char *name, Certificate **ret, char **reterr_reason)
{
    _cleanup_(secure_freep) char *key = NULL, *chain = NULL;
    const char *reason = NULL;
    size_t key_size = 0, chain_size = 0;
    int r;

    r = read_file(dir_fd, name, CERTIFICATE_SUFFIX, false, &chain, &chain_size, reterr_reason);
    if (r < 0)
        return r;
    r = read_file(dir_fd, name, KEY_SUFFIX, true, &key, &key_size, reterr_reason);
    if (r < 0)
        return r;
    r = certificate_new(ret, name, key, key_size, chain, chain_size, &reason);
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
    if (!has_suffix(file, CERTIFICATE_SUFFIX, &stem) || stem > CERTIFICATE_NAME_MAX)
        return 0;
    memcpy(name, file, stem);
    name[stem] = '\0';
    if (!certificate_name_valid(name))
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

static Certificate *list_find(const CertificateList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i]->name, name))
            return l->items[i];
    return NULL;
}

/* Keeps the key of a certificate that was replaced, for the handshakes that began with it. One that was deleted is gone at
 * once. */
static void store_retire(Store *s, Certificate *c)
{
    certificate_unref(s->retired[RETIRED_MAX - 1].certificate);
    memmove(&s->retired[1], &s->retired[0], sizeof(s->retired) - sizeof(s->retired[0]));
    s->retired[0] = (Retired) {.certificate = certificate_ref(c), .until_usec = now_monotonic() + STORE_RETIRED_USEC};
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

int store_load(Store *s, char **reterr_reason)
{
    _cleanup_(list_done) CertificateList fresh = {}, old = {};
    int r;

    r = load_list(s->dir_fd, &fresh, reterr_reason);
    if (r < 0)
        return r;
    if (list_equal(&fresh, &s->list))
        return 0;
    old = s->list;
    s->list = fresh;
    fresh = (CertificateList) {};
    for (size_t i = 0; i < old.n; i++) {
        Certificate *now = list_find(&s->list, old.items[i]->name);

        if (now && memcmp(now->spki_sha256, old.items[i]->spki_sha256, sizeof(now->spki_sha256)) != 0)
            store_retire(s, old.items[i]);
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

    if (!c || has_key(c, name, spki_sha256))
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

/* ---- writing ---- */

/* Old or new, never a part: a temporary file, made durable, takes the name's place, and the directory is made durable, too. */
static int write_file(int dir_fd, const char *name, const char *suffix, const char *data, size_t size)
{
    char file[CERTIFICATE_NAME_MAX + sizeof(KEY_SUFFIX)],
            temporary[CERTIFICATE_NAME_MAX + sizeof("." KEY_SUFFIX TEMPORARY_SUFFIX)];
    _cleanup_close_ int fd = -EBADF;
    int r = 0;

    (void) snprintf(file, sizeof(file), "%s%s", name, suffix);
    (void) snprintf(temporary, sizeof(temporary), ".%s%s" TEMPORARY_SUFFIX, name, suffix);
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
    return fsync(dir_fd) < 0 ? negative_errno() : 0;
}

int store_write(Store *s, const char *name, EVP_PKEY *key, X509 *certificate)
{
    _cleanup_(bio_freep) BIO *key_bio = NULL, *certificate_bio = NULL;
    char *key_data, *certificate_data;
    long key_size, certificate_size;
    int r;

    if (!certificate_name_valid(name))
        return -EINVAL;
    key_bio = BIO_new(BIO_s_secmem());
    certificate_bio = BIO_new(BIO_s_mem());
    if (!key_bio || !certificate_bio || PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1
            || PEM_write_bio_X509(certificate_bio, certificate) != 1)
        return -ENOMEM;
    key_size = BIO_get_mem_data(key_bio, &key_data);
    certificate_size = BIO_get_mem_data(certificate_bio, &certificate_data);
    /* The key first: a certificate appears together with its key or not at all. */
    r = write_file(s->dir_fd, name, KEY_SUFFIX, key_data, (size_t) key_size);
    if (r < 0)
        return r;
    return write_file(s->dir_fd, name, CERTIFICATE_SUFFIX, certificate_data, (size_t) certificate_size);
}
