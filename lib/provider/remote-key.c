/* SPDX-License-Identifier: Apache-2.0 */

/* Remote keys: how they are made, and how a signature waits for its signer. It must never block, and never call into a signature
 * that was cancelled.
 *
 * A signature lives on the heap, owned by the async job that waits for it. The job is resumed by anything that drives its
 * connection, also by mere socket events, so it pauses again until there is an answer. */

#include "remote-key.h"

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include "openssl-cleanup.h"
#include "provider.h"

struct RemoteSignature {
    RemoteKey *key;
    const RemoteSigner *signer;
    ASYNC_WAIT_CTX *wait;
    void *data; /* the signer's */
    bool started; /* false inside of RemoteSigner.start(): an answer from there needs no wake-up */
    bool done;
    int error;
    uint8_t *signature;
    size_t size;
};

struct RemoteKeys {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *standard;
    OSSL_PROVIDER *remote;
};

/* Set while remote_signature_abort() drives a connection: the job that wakes up gives up. */
static _Thread_local bool aborting;

static RemoteSignature *remote_signature_free(RemoteSignature *s)
{
    if (!s)
        return NULL;
    if (s->started && !s->done)
        s->signer->cancel(s, s->signer->userdata);
    remote_key_unref(s->key);
    free(s->signature);
    free(s);
    return NULL;
}
DEFINE_CLEANUP(RemoteSignature, remote_signature_free);

void remote_signature_set_data(RemoteSignature *s, void *data)
{
    s->data = data;
}

void *remote_signature_data(const RemoteSignature *s)
{
    return s->data;
}

void remote_signature_done(RemoteSignature *s, int error, const uint8_t *signature, size_t size)
{
    ASYNC_callback_fn wake = NULL;
    void *argument = NULL;

    if (s->done)
        return;
    s->done = true;
    s->error = error > 0 ? -error : error;
    if (s->error == 0) {
        if (size == 0 || size > REMOTE_KEY_SIGNATURE_MAX)
            s->error = -EBADMSG;
        else if (!(s->signature = malloc(size)))
            s->error = -ENOMEM;
        else {
            memcpy(s->signature, signature, size);
            s->size = size;
        }
    }
    if (!s->started)
        return;
    /* The callback may run the handshake to its end at once, and s is freed with it: it is the last thing here. */
    if (ASYNC_WAIT_CTX_get_callback(s->wait, &wake, &argument) == 1 && wake)
        (void) wake(argument);
}

void remote_signature_abort(SSL *ssl)
{
    if (!ssl || !SSL_waiting_for_async(ssl))
        return;
    aborting = true;
    (void) SSL_do_handshake(ssl);
    aborting = false;
    ERR_clear_error();
}

/* A RemoteKeySign whose userdata is the RemoteSigner: pauses the current async job until it has signed. Returns -EWOULDBLOCK
 * outside of a job, -ECANCELED after remote_signature_abort(), -EMSGSIZE, or the signer's error. */
static int sign_in_job(RemoteKey *k, uint16_t scheme, const uint8_t *message, size_t message_size, uint8_t *signature,
        size_t size, size_t *ret_size)
{
    _cleanup_(remote_signature_freep) RemoteSignature *s = NULL;
    ASYNC_JOB *job = ASYNC_get_current_job();
    ASYNC_callback_fn wake = NULL;
    void *argument = NULL;
    int r;

    if (message_size > REMOTE_KEY_MESSAGE_MAX)
        return -EMSGSIZE;
    /* Without a job we would have to block, without a callback nobody would ever resume the job. */
    if (!job || ASYNC_WAIT_CTX_get_callback(ASYNC_get_wait_ctx(job), &wake, &argument) != 1 || !wake)
        return -EWOULDBLOCK;

    s = calloc(1, sizeof(RemoteSignature));
    if (!s)
        return -ENOMEM;
    s->key = remote_key_ref(k);
    s->signer = k->userdata;
    s->wait = ASYNC_get_wait_ctx(job);
    r = s->signer->start(s, k->name, k->spki_sha256, scheme, message, message_size, s->signer->userdata);
    if (r < 0)
        return r;
    s->started = true;
    while (!s->done && !aborting)
        if (ASYNC_pause_job() != 1)
            return -EIO;
    if (aborting)
        return -ECANCELED;
    if (s->error < 0)
        return s->error;
    if (s->size > size)
        return -ENOBUFS;
    memcpy(signature, s->signature, s->size);
    *ret_size = s->size;
    return 0;
}

RemoteKeys *remote_keys_free(RemoteKeys *k)
{
    if (!k)
        return NULL;
    if (k->remote)
        (void) OSSL_PROVIDER_unload(k->remote);
    if (k->standard)
        (void) OSSL_PROVIDER_unload(k->standard);
    OSSL_LIB_CTX_free(k->libctx);
    free(k);
    return NULL;
}

int remote_keys_new(RemoteKeys **ret)
{
    _cleanup_(remote_keys_freep) RemoteKeys *k = NULL;

    if (!ASYNC_is_capable())
        return -EOPNOTSUPP;
    k = calloc(1, sizeof(RemoteKeys));
    if (!k || !(k->libctx = OSSL_LIB_CTX_new()))
        return -ENOMEM;
    /* The default provider comes first and is preferred for everything: with ours in front, libssl would take it for ephemeral
     * keys and peers' certificates, too, and find no shared cipher. */
    if (OSSL_PROVIDER_add_builtin(k->libctx, REMOTE_KEY_PROVIDER, remote_provider_init) != 1
            || !(k->standard = OSSL_PROVIDER_load(k->libctx, "default"))
            || !(k->remote = OSSL_PROVIDER_load(k->libctx, REMOTE_KEY_PROVIDER))
            || EVP_set_default_properties(k->libctx, "?provider!=" REMOTE_KEY_PROVIDER) != 1)
        return -EIO;
    *ret = TAKE_PTR(k);
    return 0;
}

OSSL_LIB_CTX *remote_keys_libctx(RemoteKeys *k)
{
    return k->libctx;
}

static EVP_PKEY *remote_key_to_pkey(RemoteKeys *k, RemoteKey *key)
{
    void *pointer = key;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_ptr(REMOTE_KEY_PARAM, &pointer, sizeof(RemoteKey)),
        OSSL_PARAM_construct_end(),
    };
    _cleanup_(evp_pkey_ctx_freep) EVP_PKEY_CTX *context = NULL;
    EVP_PKEY *pkey = NULL;

    context = EVP_PKEY_CTX_new_from_name(k->libctx, remote_key_algorithms[key->type], "provider=" REMOTE_KEY_PROVIDER);
    if (context && EVP_PKEY_fromdata_init(context) == 1)
        (void) EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params);
    return pkey;
}

/* The public key is made anew in our library context: the certificate may be of another. */
int remote_key_new(RemoteKeys *k, EVP_PKEY **ret, X509 *certificate, const char *name, const RemoteSigner *signer)
{
    _cleanup_(remote_key_unrefp) RemoteKey *key = NULL;
    unsigned char *spki = NULL;
    EVP_PKEY *pkey;
    int size, r;

    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (size <= 0)
        return -EBADMSG;
    r = remote_key_from_spki(&key, k->libctx, name, spki, (size_t) size, sign_in_job, (void *) signer);
    OPENSSL_free(spki);
    if (r < 0)
        return r;
    pkey = remote_key_to_pkey(k, key);
    if (!pkey)
        return -EIO;
    *ret = pkey;
    return 0;
}
