/* SPDX-License-Identifier: Apache-2.0 */

/* certd's client for the lists of authorities. Nothing here waits for certd, and what it gives is taken whole or not at all: half
 * a list would refuse peers that are good. It must never open a file, nor add an authority that certd did not give. */

#include "authorities-client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "bus-error.h"
#include "openssl-cleanup.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_PEER_INTERFACE "org.postern.Cert1.Peer"

#define DIGEST_SIZE 32

struct AuthoritiesClient {
    PeerClient *certd;
    OSSL_LIB_CTX *libctx;
    AuthoritiesChanged changed;
    void *userdata;
    PeerCall *fetch;
    bool again; /* they have changed while they were fetched */
    X509_STORE *store;
    unsigned count;
    uint8_t digest[DIGEST_SIZE]; /* of what store was made from */
};

DEFINE_OPENSSL_CLEANUP(X509_STORE, x509_store_freep, X509_STORE_free);

static const PeerMethod get_method = {
    .path = CERTD_PATH,
    .interface = CERTD_PEER_INTERFACE,
    .member = "GetAuthorities",
    .repeatable = true,
};

/* All of it and not more, wherever the descriptor's offset is: other workers have the same. */
static int read_whole(int fd, char **ret, size_t *ret_size)
{
    _cleanup_free_ char *data = NULL;
    struct stat st;
    size_t size;

    if (fstat(fd, &st) < 0)
        return negative_errno();
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    if (st.st_size > AUTHORITIES_SIZE_MAX)
        return -EFBIG;
    size = (size_t) st.st_size;
    data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, data + done, size - done, (off_t) done);

        if (n <= 0)
            return n < 0 ? negative_errno() : -EBADMSG;
        done += (size_t) n;
    }
    *ret = TAKE_PTR(data);
    *ret_size = size;
    return 0;
}

static int parse_store(OSSL_LIB_CTX *libctx, const char *pem, size_t size, X509_STORE **ret, unsigned *ret_count)
{
    _cleanup_(x509_store_freep) X509_STORE *store = X509_STORE_new();
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    unsigned count = 0;

    if (!bio || !store)
        return -ENOMEM;
    ERR_clear_error();
    for (;; count++) {
        _cleanup_(x509_freep) X509 *x = X509_new_ex(libctx, NULL);

        if (!x)
            return -ENOMEM;
        if (!PEM_read_bio_X509(bio, &x, NULL, NULL))
            break;
        if (count >= AUTHORITIES_MAX)
            return -E2BIG;
        if (X509_STORE_add_cert(store, x) != 1)
            return -ENOMEM;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return -EBADMSG;
    *ret = TAKE_PTR(store);
    *ret_count = count;
    return 0;
}

/* Returns 1 if it is a new one, 0 if they are those that are there. */
static int client_set(AuthoritiesClient *c, int fd)
{
    _cleanup_free_ char *pem = NULL;
    uint8_t digest[DIGEST_SIZE];
    X509_STORE *store;
    unsigned count;
    size_t size;
    int r;

    r = read_whole(fd, &pem, &size);
    if (r < 0)
        return r;
    if (EVP_Q_digest(c->libctx, "SHA256", NULL, pem, size, digest, NULL) != 1)
        return -EIO;
    if (c->store && memcmp(digest, c->digest, sizeof(digest)) == 0)
        return 0;
    r = parse_store(c->libctx, pem, size, &store, &count);
    ERR_clear_error();
    if (r < 0)
        return r;
    X509_STORE_free(c->store);
    c->store = store;
    c->count = count;
    memcpy(c->digest, digest, sizeof(digest));
    return 1;
}

static int client_read(AuthoritiesClient *c, sd_bus_message *reply)
{
    uint64_t generation;
    int r, fd;

    r = sd_bus_message_read(reply, "th", &generation, &fd);
    return r < 0 ? r : client_set(c, fd);
}

static int client_fetch(AuthoritiesClient *c);

static void get_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    AuthoritiesClient *c = userdata;
    bool unavailable = error && sd_bus_error_has_name(error, BUS_ERROR_UNAVAILABLE);
    const char *reason;
    int r;

    c->fetch = NULL;
    /* The deadline of the call is the pause between the attempts. */
    if (c->again || unavailable) {
        c->again = false;
        (void) client_fetch(c);
    }
    if (unavailable)
        return;
    if (reply) {
        r = client_read(c, reply);
        reason = "certd answered with something that is no list of authorities";
    } else {
        r = sd_bus_error_get_errno(error) > 0 ? -sd_bus_error_get_errno(error) : -EIO;
        reason = error->message ?: error->name;
    }
    if (r != 0)
        c->changed(c, MIN(r, 0), r < 0 ? reason : NULL, c->userdata);
}

static int client_fetch(AuthoritiesClient *c)
{
    if (c->fetch) {
        c->again = true;
        return 0;
    }
    return peer_client_call(c->certd, &c->fetch, &get_method, NULL, get_done, c);
}

/* A fetch that waits for the link, or was sent over the one before, is sent by the peer client. */
static void on_connected(PeerClient *certd, void *userdata)
{
    AuthoritiesClient *c = userdata;

    if (!c->fetch)
        (void) client_fetch(c);
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    (void) client_fetch(userdata);
    return 0;
}

int authorities_client_new(AuthoritiesClient **ret, PeerClient *certd, OSSL_LIB_CTX *libctx, AuthoritiesChanged changed,
        void *userdata)
{
    _cleanup_(authorities_client_freep) AuthoritiesClient *c = NULL;
    int r;

    c = calloc(1, sizeof(AuthoritiesClient));
    if (!c)
        return -ENOMEM;
    c->certd = certd;
    c->libctx = libctx;
    c->changed = changed;
    c->userdata = userdata;
    r = peer_client_match(certd, CERTD_PEER_INTERFACE, "AuthoritiesChanged", on_changed, c);
    if (r < 0)
        return r;
    r = peer_client_keep_connected(certd, on_connected, c);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

AuthoritiesClient *authorities_client_free(AuthoritiesClient *c)
{
    if (!c)
        return NULL;
    peer_client_forget(c->certd, c);
    peer_call_cancel(c->fetch);
    X509_STORE_free(c->store);
    free(c);
    return NULL;
}

X509_STORE *authorities_client_store(const AuthoritiesClient *c)
{
    return c->store;
}

unsigned authorities_client_count(const AuthoritiesClient *c)
{
    return c->count;
}
