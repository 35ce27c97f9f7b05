/* SPDX-License-Identifier: Apache-2.0 */

/* The store: what its files (store-file.h) mean (store-entry.h), and what of them is in memory. It must never write a plain key
 * when it has a passphrase, nor go on with a part of what there is. */

#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "openssl-cleanup.h"
#include "secure-memory.h"
#include "store-file.h"

#define RETIRED_MAX 64

typedef struct Item {
    Certificate *certificate;
    StoreFileStamp stamp; /* of its file */
} Item;

typedef struct CertificateList {
    Item *items;
    size_t n;
} CertificateList;

typedef struct Retired {
    Certificate *certificate;
    uint64_t until_usec;
} Retired;

struct Store {
    int dir_fd;
    char *passphrase; /* of the keys on disk, in secure memory; NULL: they are plain */
    KeyAccess access; /* with it; the tokens are not ours */
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
        certificate_unref(l->items[i].certificate);
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

void store_set_passphrase(Store *s, char *passphrase)
{
    secure_freep(&s->passphrase);
    s->access.passphrase = s->passphrase = passphrase;
}

void store_set_tokens(Store *s, Tokens *tokens)
{
    s->access.tokens = tokens;
}

int store_token_key(Store *s, const char *uri, EVP_PKEY **ret, const char **reterr_reason)
{
    if (!s->access.tokens) {
        *reterr_reason = "has its key in a token, and certd.conf names no module for tokens ([Tokens] Module=)";
        return -ENODEV;
    }
    return tokens_get_key(s->access.tokens, uri, ret, reterr_reason);
}

Store *store_free(Store *s)
{
    if (!s)
        return NULL;
    list_done(&s->list);
    for (size_t i = 0; i < RETIRED_MAX; i++)
        certificate_unref(s->retired[i].certificate);
    (void) close_fd(s->dir_fd);
    secure_freep(&s->passphrase);
    (void) pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

int store_dir_fd(const Store *s)
{
    return s->dir_fd;
}

/* ---- loading ---- */

/* The chain of NAME.crt with the key that is in file. */
static int merge_chain(const Store *s, const char *name, const char *file, size_t size, const char *chain, size_t chain_size, BIO **ret,
        char **reterr_reason)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    const char *reason = "does not fit into memory";
    int r;

    r = store_entry_parse(&e, file, size, chain, chain_size, &s->access, &reason);
    if (r >= 0)
        r = store_entry_format(&e, &s->access, ret);
    if (r < 0)
        *reterr_reason = store_file_reason(name, "", reason);
    return r;
}

/* NAME.crt with NAME.key, or with the key of NAME.pem, becomes NAME.pem. When that cannot be written, the files stay and are
 * read again the next time: 0. */
static int take_over(Store *s, const char *name, BIO **ret, char **reterr_reason)
{
    bool renewed = !store_file_exists(s->dir_fd, name, KEY_SUFFIX) && store_file_exists(s->dir_fd, name, ENTRY_SUFFIX);
    _cleanup_(secure_freep) char *file = NULL, *chain = NULL;
    size_t size = 0, chain_size = 0;
    char *text;
    long n;
    int r;

    r = store_file_read(s->dir_fd, name, CERTIFICATE_SUFFIX, false, &chain, &chain_size, reterr_reason);
    if (r < 0)
        return r;
    r = store_file_read(s->dir_fd, name, renewed ? ENTRY_SUFFIX : KEY_SUFFIX, true, &file, &size, reterr_reason);
    if (r < 0)
        return r;
    r = merge_chain(s, name, file, size, chain, chain_size, ret, reterr_reason);
    if (r < 0)
        return r;
    n = BIO_get_mem_data(*ret, &text);
    return store_file_replace(s->dir_fd, name, text, (size_t) n, s->passphrase) >= 0;
}

/* A file whose key is plain, from before there was a passphrase, is written anew; if it cannot be, it stays as it is. */
static void encrypt(const Store *s, const char *name, const char *text, size_t size, Certificate *c)
{
    _cleanup_(store_entry_done) StoreEntry e = {};
    _cleanup_(bio_freep) BIO *bio = NULL;
    const char *reason;
    char *data;
    long n;

    if (store_entry_parse(&e, text, size, text, size, &s->access, &reason) < 0 || store_entry_format(&e, &s->access, &bio) < 0)
        return;
    n = BIO_get_mem_data(bio, &data);
    c->key_encrypted = store_file_replace(s->dir_fd, name, data, (size_t) n, true) >= 0;
}

static int load_one(Store *s, const char *name, Certificate **ret, char **reterr_reason)
{
    _cleanup_(certificate_unrefp) Certificate *c = NULL;
    _cleanup_(secure_freep) char *file = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    bool pair = store_file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX), in_place = true;
    const char *reason = NULL;
    size_t size = 0;
    char *text;
    int r;

    if (pair) {
        r = take_over(s, name, &bio, reterr_reason);
        if (r < 0)
            return r;
        in_place = r > 0;
        (void) BIO_write(bio, "", 1); /* the NUL at the end */
        size = (size_t) BIO_get_mem_data(bio, &text) - 1;
    } else {
        r = store_file_read(s->dir_fd, name, ENTRY_SUFFIX, true, &file, &size, reterr_reason);
        if (r < 0)
            return r;
        text = file;
    }
    r = store_entry_parse_certificate(&c, name, text, size, &s->access, &reason);
    if (r < 0) {
        *reterr_reason = store_file_reason(name, pair ? "" : ENTRY_SUFFIX, reason);
        return r;
    }
    if (!in_place)
        c->key_encrypted = false;
    else if (s->passphrase && !c->key_encrypted)
        encrypt(s, name, text, size, c);
    *ret = TAKE_PTR(c);
    return 0;
}

static bool has_suffix(const char *s, const char *suffix, size_t *ret_stem)
{
    size_t n = strlen(s), k = strlen(suffix);

    if (n <= k || !streq(s + n - k, suffix))
        return false;
    *ret_stem = n - k;
    return true;
}

static Item *list_find_item(const CertificateList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (streq(l->items[i].certificate->name, name))
            return &l->items[i];
    return NULL;
}

static Certificate *list_find(const CertificateList *l, const char *name)
{
    const Item *item = list_find_item(l, name);

    return item ? item->certificate : NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const Item *) a)->certificate->name, ((const Item *) b)->certificate->name);
}

static int list_add(CertificateList *l, Item item)
{
    Item *items = reallocarray(l->items, l->n + 1, sizeof(Item));

    if (!items)
        return -ENOMEM;
    l->items = items;
    l->items[l->n++] = item;
    return 0;
}

/* What has not changed since it was read is not read again: decrypting a key takes a millisecond. */
static int load_or_keep(Store *s, const char *name, Item *ret, char **reterr_reason)
{
    Item item = {.stamp = store_file_stamp(s->dir_fd, name, ENTRY_SUFFIX)};
    const Item *old = list_find_item(&s->list, name);
    int r;

    if (old && store_file_stamp_equal(&old->stamp, &item.stamp) && !store_file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX)
            && (old->certificate->key_encrypted || !s->passphrase))
        item.certificate = certificate_ref(old->certificate);
    else {
        r = load_one(s, name, &item.certificate, reterr_reason);
        if (r < 0)
            return r;
        if (old && certificate_equal(old->certificate, item.certificate)
                && old->certificate->key_encrypted == item.certificate->key_encrypted) {
            certificate_unref(item.certificate);
            item.certificate = certificate_ref(old->certificate);
        }
    }
    *ret = item;
    return 0;
}

static int load_entry(Store *s, CertificateList *l, const char *file, char **reterr_reason)
{
    char name[CERTIFICATE_NAME_MAX + 1];
    Item item = {};
    size_t stem;
    int r;

    /* What an interrupted change left behind. */
    if (file[0] == '.' && has_suffix(file, TEMPORARY_SUFFIX, &stem)) {
        (void) unlinkat(s->dir_fd, file, 0);
        return 0;
    }
    if ((!has_suffix(file, ENTRY_SUFFIX, &stem) && !has_suffix(file, CERTIFICATE_SUFFIX, &stem)) || stem > CERTIFICATE_NAME_MAX)
        return 0;
    memcpy(name, file, stem);
    name[stem] = '\0';
    if (!certificate_name_valid(name) || list_find(l, name))
        return 0;
    if (l->n >= STORE_CERTIFICATES_MAX) {
        *reterr_reason = store_file_reason(name, "", "is one certificate too many");
        return -E2BIG;
    }
    r = load_or_keep(s, name, &item, reterr_reason);
    if (r < 0)
        return r;
    r = list_add(l, item);
    if (r < 0)
        certificate_unref(item.certificate);
    return r;
}

static int load_list(Store *s, CertificateList *l, char **reterr_reason)
{
    _cleanup_(closedirp) DIR *dir = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct dirent *entry;
    int r;

    /* Not a duplicate of dir_fd: that would share its position. */
    fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return negative_errno();
    dir = fdopendir(fd);
    if (!dir)
        return negative_errno();
    (void) TAKE_FD(fd);
    while ((errno = 0, entry = readdir(dir))) {
        r = load_entry(s, l, entry->d_name, reterr_reason);
        if (r < 0)
            return r;
    }
    if (errno > 0)
        return negative_errno();
    if (l->n > 1)
        qsort(l->items, l->n, sizeof(Item), compare);
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
        if (memcmp(now->items[i].certificate->spki_sha256, c->spki_sha256, sizeof(c->spki_sha256)) == 0
                && !list_find(before, now->items[i].certificate->name))
            return true;
    return false;
}

static bool list_equal(const CertificateList *a, const CertificateList *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!certificate_equal(a->items[i].certificate, b->items[i].certificate))
            return false;
    return true;
}

static int load_files(Store *s, CertificateList *l, char **reterr_reason)
{
    _cleanup_unlock_ pthread_mutex_t *lock = lock_files(s);

    return load_list(s, l, reterr_reason);
}

int store_load(Store *s, char **reterr_reason)
{
    _cleanup_(list_done) CertificateList fresh = {}, old = {};
    int r;

    r = load_files(s, &fresh, reterr_reason);
    if (r < 0)
        return r;
    old = s->list;
    s->list = fresh;
    fresh = (CertificateList) {};
    for (size_t i = 0; i < old.n; i++) {
        Certificate *c = old.items[i].certificate, *now = list_find(&s->list, c->name);

        if (!now)
            store_forget(s, c->name);
        if (now ? memcmp(now->spki_sha256, c->spki_sha256, sizeof(c->spki_sha256)) != 0 : is_renamed(c, &old, &s->list))
            store_retire(s, c);
    }
    return !list_equal(&s->list, &old);
}

bool store_has_passphrase(const Store *s)
{
    return s->passphrase;
}

bool store_keys_encrypted(const Store *s)
{
    for (size_t i = 0; i < s->list.n; i++)
        if (!s->list.items[i].certificate->key_encrypted)
            return false;
    return s->passphrase;
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
    return i < s->list.n ? s->list.items[i].certificate : NULL;
}

/* ---- changes on disk ---- */

static bool entry_exists(const Store *s, const char *name)
{
    return store_file_exists(s->dir_fd, name, ENTRY_SUFFIX) || store_file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX);
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
    r = load_one(s, name, &c, &reason);
    if (r < 0)
        return r;
    return store_file_exists(s->dir_fd, name, CERTIFICATE_SUFFIX) ? -EIO : 0;
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
    r = store_file_read(s->dir_fd, name, ENTRY_SUFFIX, true, &file, &size, &reason);
    return r < 0 ? r : store_entry_parse(ret, file, size, file, size, &s->access, reterr_reason);
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
    r = store_entry_format(e, &s->access, &bio);
    if (r < 0)
        return r;
    (void) BIO_write(bio, "", 1);
    size = (size_t) BIO_get_mem_data(bio, &text) - 1;
    /* Nothing is ever written that could not be read. */
    r = store_entry_parse_certificate(&c, name, text, size, &s->access, reterr_reason);
    if (r < 0)
        return r;
    *reterr_reason = "the store cannot be written";
    return store_file_replace(s->dir_fd, name, text, size, false);
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
