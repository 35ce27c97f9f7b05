/* SPDX-License-Identifier: Apache-2.0 */

/* certd's client: certificates by name, and the signer behind their remote keys. Nothing here waits; a handshake's signature is a
 * call whose answer resumes it.
 *
 * RemoteSigner.start() runs on the small stack of an async job, so it must stay as shallow as it is: it hands pointers to the
 * link for signatures. What they point to stays as long as the signature does. */

#include "certificate-client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/queue.h>

#include "bus-error.h"
#include "openssl-cleanup.h"
#include "sign-link.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_PEER_INTERFACE "org.postern.Cert1.Peer"

#define FOLLOWED_MAX 64
#define PEM_SIZE_MAX (256 * 1024)
#define CHAIN_MAX 16

typedef struct Followed {
    TAILQ_ENTRY(Followed) entry;
    CertificateClient *client;
    char *source;
    const char *use; /* inside of source; NULL: source is the name */
    char *fallback;
    char *name; /* of what is fetched, or was last; NULL: not known */
    PeerCall *fetch; /* of the assignment, then of the certificate */
    bool again; /* it has changed while it was fetched */
    bool lost;  /* it is there, but certd did not answer when it was to sign: no changed() for good before it was fetched anew */
    char *served; /* the name that chain and key are of; NULL: not there */
    char *pem;  /* what chain was made from */
    size_t pem_size;
    STACK_OF(X509) *chain; /* leaf first */
    EVP_PKEY *key;
} Followed;

/* A signature under way. name is the remote key's. */
typedef struct Signing {
    TAILQ_ENTRY(Signing) entry;
    CertificateClient *client;
    RemoteSignature *signature;
    SignCall *call;
    const char *name;
} Signing;

struct CertificateClient {
    PeerClient *certd;
    SignLink *sign_link;
    RemoteKeys *keys;
    RemoteSigner signer;
    CertificateChanged changed;
    void *userdata;
    TAILQ_HEAD(, Followed) followed;
    unsigned n_followed;
    TAILQ_HEAD(, Signing) signing;
    CertificateUnsigned not_signed;
};

static const PeerMethod get_method = {
    .path = CERTD_PATH,
    .interface = CERTD_PEER_INTERFACE,
    .member = "GetCertificate",
    .repeatable = true,
};

static const PeerMethod assignment_method = {
    .path = CERTD_PATH,
    .interface = CERTD_PEER_INTERFACE,
    .member = "GetAssignment",
    .repeatable = true,
};

static int error_to_errno(const sd_bus_error *error)
{
    static const struct {
        const char *name;
        int error;
    } table[] = {
        {BUS_ERROR_KEY_NOT_ASSIGNED, -EACCES},
        {BUS_ERROR_ACCESS_DENIED, -EACCES},
        {BUS_ERROR_UNKNOWN_CALLER, -EACCES},
        {BUS_ERROR_NO_SUCH_CERTIFICATE, -ENOENT},
        {BUS_ERROR_UNAVAILABLE, -EHOSTDOWN},
        {BUS_ERROR_NOT_A_HANDSHAKE, -EPERM},
        {BUS_ERROR_LIMIT_EXCEEDED, -EAGAIN},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (sd_bus_error_has_name(error, table[i].name))
            return table[i].error;
    return -EIO;
}

/* ---- signatures ---- */

static Signing *signing_free(Signing *s)
{
    if (!s)
        return NULL;
    TAILQ_REMOVE(&s->client->signing, s, entry);
    sign_call_cancel(s->call);
    free(s);
    return NULL;
}

static void followed_lost(CertificateClient *c, const char *name, const char *reason);

static void count_signature(CertificateClient *c, bool made)
{
    CertificateUnsigned *u = &c->not_signed;

    *u = (CertificateUnsigned) {.n = u->n + !made, .n_in_row = made ? 0 : u->n_in_row + 1};
}

static void sign_done(const uint8_t *data, size_t size, const sd_bus_error *error, void *userdata)
{
    Signing *s = userdata;
    RemoteSignature *signature = s->signature;
    CertificateClient *c = s->client;
    const char *name = s->name;

    s->call = NULL;
    signing_free(s);
    /* Before the handshake ends, so that whoever hears of its end knows why. */
    count_signature(c, !error);
    if (error && sd_bus_error_has_name(error, BUS_ERROR_UNAVAILABLE))
        followed_lost(c, name, error->message ?: error->name);
    /* The handshake may go on in here. */
    remote_signature_done(signature, error ? error_to_errno(error) : 0, data, size);
}

static int signer_start(RemoteSignature *signature, const char *name, const uint8_t spki_sha256[32], uint16_t scheme,
        const uint8_t *message, size_t size, void *userdata)
{
    const SignLinkRequest request = {
        .name = name,
        .spki_sha256 = spki_sha256,
        .scheme = scheme,
        .message = message,
        .size = size,
    };
    CertificateClient *c = userdata;
    Signing *s;
    int r;

    s = malloc(sizeof(Signing));
    if (!s) {
        count_signature(c, false);
        return -ENOMEM;
    }
    *s = (Signing) {.client = c, .signature = signature, .name = name};
    TAILQ_INSERT_TAIL(&c->signing, s, entry);
    r = sign_link_call(c->sign_link, &s->call, &request, sign_done, s);
    if (r < 0) {
        signing_free(s);
        count_signature(c, false);
        return r;
    }
    remote_signature_set_data(signature, s);
    return 0;
}

static void signer_cancel(RemoteSignature *signature, void *userdata)
{
    signing_free(remote_signature_data(signature));
}

/* ---- certificates ---- */

static void followed_clear(Followed *f)
{
    sk_X509_pop_free(f->chain, X509_free);
    f->chain = NULL;
    EVP_PKEY_free(f->key);
    f->key = NULL;
    free(f->served);
    f->served = NULL;
    free(f->pem);
    f->pem = NULL;
    f->pem_size = 0;
}

static Followed *followed_free(Followed *f)
{
    if (!f)
        return NULL;
    peer_call_cancel(f->fetch);
    followed_clear(f);
    free(f->source);
    free(f->fallback);
    free(f->name);
    free(f);
    return NULL;
}
DEFINE_CLEANUP(Followed, followed_free);

/* In the library context of the remote keys, so that the public keys are of the provider that the handshakes use. */
static int parse_chain(OSSL_LIB_CTX *libctx, const char *pem, size_t size, STACK_OF(X509) **ret)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = sk_X509_new_null();

    if (!bio || !chain)
        return -ENOMEM;
    ERR_clear_error();
    for (;;) {
        _cleanup_(x509_freep) X509 *x = X509_new_ex(libctx, NULL);

        if (!x)
            return -ENOMEM;
        if (!PEM_read_bio_X509(bio, &x, NULL, NULL))
            break;
        if (sk_X509_num(chain) >= CHAIN_MAX || sk_X509_push(chain, x) <= 0)
            return -EBADMSG;
        (void) TAKE_PTR(x);
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || sk_X509_num(chain) == 0)
        return -EBADMSG;
    ERR_clear_error();
    *ret = TAKE_PTR(chain);
    return 0;
}

/* Returns 1 if it is a new one, 0 if it is the one that is there. */
static int followed_set(Followed *f, const char *pem, size_t size)
{
    _cleanup_(x509_chain_freep) STACK_OF(X509) *chain = NULL;
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_free_ char *copy = NULL, *name = NULL;
    int r;

    /* With another name, the same certificate has to be signed for by that. */
    if (f->served && streq(f->served, f->name) && f->pem_size == size && memcmp(f->pem, pem, size) == 0)
        return 0;
    if (size > PEM_SIZE_MAX)
        return -EFBIG;
    r = parse_chain(remote_keys_libctx(f->client->keys), pem, size, &chain);
    if (r < 0)
        return r;
    r = remote_key_new(f->client->keys, &key, sk_X509_value(chain, 0), f->name, &f->client->signer);
    if (r < 0)
        return r;
    copy = malloc(size);
    name = strdup(f->name);
    if (!copy || !name)
        return -ENOMEM;
    memcpy(copy, pem, size);
    followed_clear(f);
    f->chain = TAKE_PTR(chain);
    f->key = TAKE_PTR(key);
    f->served = TAKE_PTR(name);
    f->pem = TAKE_PTR(copy);
    f->pem_size = size;
    return 1;
}

static int get_build(sd_bus_message *m, void *userdata)
{
    const Followed *f = userdata;

    return sd_bus_message_append(m, "s", f->name);
}

static int followed_fetch(Followed *f);

static int get_read(Followed *f, sd_bus_message *reply)
{
    const void *pem;
    uint64_t generation;
    size_t size;
    int r;

    r = sd_bus_message_read(reply, "t", &generation);
    if (r >= 0)
        r = sd_bus_message_read_array(reply, 'y', &pem, &size);
    return r < 0 ? r : followed_set(f, pem, size);
}

/* The end of a fetch. r: as of followed_set(), or why there is no certificate. */
static void followed_fetched(Followed *f, int r, const char *reason, bool unavailable)
{
    CertificateClient *c = f->client;

    /* The deadline of the call, 20 s, is the pause between the attempts. */
    if (f->again || unavailable) {
        f->again = false;
        (void) followed_fetch(f);
    }
    /* While certd is away, the certificate that is there stays as it is. */
    if ((r == 0 && !f->lost) || (unavailable && f->pem))
        return;
    f->lost = false;
    if (r < 0)
        followed_clear(f);
    c->changed(c, f->source, r < 0 ? r : 0, r < 0 ? reason : NULL, c->userdata);
}

/* reason_wrong: of an answer that is none; r is what came of reading it. */
static void followed_answered(Followed *f, const sd_bus_error *error, int r, const char *reason_wrong)
{
    if (error)
        followed_fetched(f, error_to_errno(error), error->message ?: error->name,
                sd_bus_error_has_name(error, BUS_ERROR_UNAVAILABLE));
    else
        followed_fetched(f, r, reason_wrong, false);
}

static void get_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Followed *f = userdata;

    f->fetch = NULL;
    followed_answered(f, error, reply ? get_read(f, reply) : 0, "certd answered with something that is no certificate");
}

static int assignment_build(sd_bus_message *m, void *userdata)
{
    const Followed *f = userdata;

    return sd_bus_message_append(m, "s", f->use);
}

/* Returns 1 and the name is set, or 0 if nothing is assigned and nothing takes its place. */
static int assignment_read(Followed *f, sd_bus_message *reply)
{
    _cleanup_free_ char *copy = NULL;
    const char *name;
    int r;

    r = sd_bus_message_read(reply, "s", &name);
    if (r < 0)
        return r;
    if (*name == '\0')
        name = f->fallback;
    if (name && strlen(name) > CERTIFICATE_NAME_MAX)
        return -EBADMSG;
    if (name && !(copy = strdup(name)))
        return -ENOMEM;
    free(f->name);
    f->name = TAKE_PTR(copy);
    return f->name != NULL;
}

static void assignment_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Followed *f = userdata;
    int r;

    f->fetch = NULL;
    r = reply ? assignment_read(f, reply) : 0;
    if (reply && r > 0)
        r = peer_client_call(f->client->certd, &f->fetch, &get_method, get_build, get_done, f);
    else if (reply && r == 0) {
        followed_fetched(f, -ENODATA, "no certificate is assigned to it", false);
        return;
    }
    if (!reply || r < 0)
        followed_answered(f, error, r, "certd answered with something that is no name of a certificate");
}

static int followed_fetch(Followed *f)
{
    if (f->fetch) {
        f->again = true;
        return 0;
    }
    if (f->use)
        return peer_client_call(f->client->certd, &f->fetch, &assignment_method, assignment_build, assignment_done, f);
    return peer_client_call(f->client->certd, &f->fetch, &get_method, get_build, get_done, f);
}

/* A fetch that waits for the link, or was sent over the one before, is sent by the peer client. */
static void on_connected(PeerClient *certd, void *userdata)
{
    CertificateClient *c = userdata;
    Followed *f;

    TAILQ_FOREACH(f, &c->followed, entry)
        if (!f->fetch)
            (void) followed_fetch(f);
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    CertificateClient *c = userdata;
    Followed *f;

    TAILQ_FOREACH(f, &c->followed, entry)
        (void) followed_fetch(f);
    return 0;
}

int certificate_client_new(CertificateClient **ret, PeerClient *certd, RemoteKeys *keys, CertificateChanged changed,
        void *userdata)
{
    _cleanup_(certificate_client_freep) CertificateClient *c = NULL;
    int r;

    c = calloc(1, sizeof(CertificateClient));
    if (!c)
        return -ENOMEM;
    TAILQ_INIT(&c->followed);
    TAILQ_INIT(&c->signing);
    c->certd = certd;
    c->keys = keys;
    c->changed = changed;
    c->userdata = userdata;
    c->signer = (RemoteSigner) {.start = signer_start, .cancel = signer_cancel, .userdata = c};
    r = sign_link_new(&c->sign_link, certd, 0);
    if (r < 0)
        return r;
    r = peer_client_match(certd, CERTD_PEER_INTERFACE, "Changed", on_changed, c);
    if (r < 0)
        return r;
    r = peer_client_keep_connected(certd, on_connected, c);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

CertificateClient *certificate_client_free(CertificateClient *c)
{
    Followed *f;
    Signing *s;

    if (!c)
        return NULL;
    peer_client_forget(c->certd, c);
    while ((s = TAILQ_FIRST(&c->signing))) {
        RemoteSignature *signature = s->signature;

        signing_free(s);
        remote_signature_done(signature, -ECANCELED, NULL, 0);
    }
    while ((f = TAILQ_FIRST(&c->followed))) {
        TAILQ_REMOVE(&c->followed, f, entry);
        followed_free(f);
    }
    sign_link_free(c->sign_link);
    free(c);
    return NULL;
}

static Followed *find(const CertificateClient *c, const char *source)
{
    Followed *f;

    TAILQ_FOREACH(f, &c->followed, entry)
        if (streq(f->source, source))
            return f;
    return NULL;
}

/* certd let a signature wait until its deadline. The fetch ends when it is back. */
static void followed_lost(CertificateClient *c, const char *name, const char *reason)
{
    Followed *f;

    TAILQ_FOREACH(f, &c->followed, entry) {
        if (!f->served || !streq(f->served, name) || f->lost)
            continue;
        f->lost = true;
        (void) followed_fetch(f);
        c->changed(c, f->source, -EHOSTDOWN, reason, c->userdata);
    }
}

static int followed_new(Followed **ret, CertificateClient *c, const char *source, const char *fallback)
{
    bool by_use = strncmp(source, CERTIFICATE_OF_USE, strlen(CERTIFICATE_OF_USE)) == 0;
    _cleanup_(followed_freep) Followed *f = NULL;

    if (strlen(source) > (by_use ? CERTIFICATE_SOURCE_MAX : CERTIFICATE_NAME_MAX))
        return -ENAMETOOLONG;
    f = calloc(1, sizeof(Followed));
    if (!f || !(f->source = strdup(source)))
        return -ENOMEM;
    f->client = c;
    if (by_use)
        f->use = f->source + strlen(CERTIFICATE_OF_USE);
    else if (!(f->name = strdup(source)))
        return -ENOMEM;
    if (fallback && !(f->fallback = strdup(fallback)))
        return -ENOMEM;
    *ret = TAKE_PTR(f);
    return 0;
}

int certificate_client_follow(CertificateClient *c, const char *source, const char *fallback)
{
    _cleanup_(followed_freep) Followed *f = NULL;
    int r;

    if (find(c, source))
        return 0;
    if (c->n_followed >= FOLLOWED_MAX)
        return -E2BIG;
    r = followed_new(&f, c, source, fallback);
    if (r < 0)
        return r;
    r = followed_fetch(f);
    if (r < 0)
        return r;
    TAILQ_INSERT_TAIL(&c->followed, f, entry);
    c->n_followed++;
    (void) TAKE_PTR(f);
    return 0;
}

const char *certificate_client_name(const CertificateClient *c, const char *source)
{
    const Followed *f = find(c, source);

    return f ? f->name : NULL;
}

CertificateUnsigned certificate_client_unsigned(const CertificateClient *c)
{
    return c->not_signed;
}

int certificate_client_use(CertificateClient *c, const char *source, SSL_CTX *ctx)
{
    const Followed *f = find(c, source);

    if (!f || !f->pem)
        return -ENOENT;
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(f->chain, 0)) != 1)
        return -EIO;
    for (int i = 1; i < sk_X509_num(f->chain); i++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(f->chain, i)) != 1)
            return -EIO;
    /* Not by SSL_use_cert_and_key(), which crashes with keys of providers in some versions of OpenSSL. */
    return SSL_CTX_use_PrivateKey(ctx, f->key) == 1 ? 0 : -EIO;
}
