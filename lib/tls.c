/* SPDX-License-Identifier: Apache-2.0 */

/* TLS contexts of both SMTP sides, and what a session was. One place decides which versions, ciphers and groups mail of this
 * suite is encrypted with; nothing here reads a file or knows a key. */

#include "tls.h"

#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"

/* OpenSSL 3.5 has the hybrid group; '*' sends a key share for both, so that a peer without it needs no second round trip. */
static const char *const group_lists[] = {
    "*X25519MLKEM768:*X25519:P-256:P-384",
    "X25519:P-256:P-384",
};

/* Sending is opportunistic: a weak certificate protects better than none, and DANE vouches for exactly the key it names. Those
 * who send to us may be asked for more. */
#define SECURITY_LEVEL_CLIENT 1
#define SECURITY_LEVEL_SERVER 2

static const char *const tls_level_table[] = {
    [TLS_LEVEL_NO] = "No",
    [TLS_LEVEL_PREFERRED] = "Preferred",
    [TLS_LEVEL_REQUIRED] = "Required",
    [TLS_LEVEL_PREFERRED_VERIFY] = "Preferred-Verify",
    [TLS_LEVEL_REQUIRED_VERIFY] = "Required-Verify",
    [TLS_LEVEL_REQUIRED_VERIFY_HOSTED] = "Required-Verify-Hosted",
};

static const char *const dane_level_table[] = {
    [DANE_NONE] = "None",
    [DANE_OPPORTUNISTIC] = "Opportunistic",
    [DANE_MANDATORY] = "Mandatory",
};

const char *tls_level_to_string(TlsLevel l)
{
    return (size_t) l < ELEMENTSOF(tls_level_table) ? tls_level_table[l] : NULL;
}

const char *dane_level_to_string(DaneLevel l)
{
    return (size_t) l < ELEMENTSOF(dane_level_table) ? dane_level_table[l] : NULL;
}

static void context_freep(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

static int set_groups(SSL_CTX *ctx)
{
    for (size_t i = 0; i < ELEMENTSOF(group_lists); i++)
        if (SSL_CTX_set1_groups_list(ctx, group_lists[i]) == 1)
            return 0;
    return -EOPNOTSUPP;
}

static int context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx, const SSL_METHOD *method, int security_level)
{
    _cleanup_(context_freep) SSL_CTX *ctx = NULL;
    int r;

    ctx = SSL_CTX_new_ex(libctx, NULL, method);
    if (!ctx)
        return -ENOMEM;
    SSL_CTX_set_security_level(ctx, security_level);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return -EOPNOTSUPP;
    if (SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1)
        return -EOPNOTSUPP;
    r = set_groups(ctx);
    if (r < 0)
        return r;
    (void) SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    (void) SSL_CTX_set_mode(ctx, SSL_MODE_ASYNC | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
            | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* A record is then one system call, not two. */
    SSL_CTX_set_read_ahead(ctx, 1);
    /* No session outlives its connection here: tickets are the client's to keep. */
    (void) SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    *ret = TAKE_PTR(ctx);
    return 0;
}

int tls_server_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx)
{
    static const unsigned char session_context[] = "postern";
    _cleanup_(context_freep) SSL_CTX *ctx = NULL;
    int r;

    r = context_new(&ctx, libctx, TLS_server_method(), SECURITY_LEVEL_SERVER);
    if (r < 0)
        return r;
    (void) SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Two are for browsers, which race connections. */
    if (SSL_CTX_set_num_tickets(ctx, 1) != 1)
        return -ENOMEM;
    if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1)
        return -ENOMEM;
    tls_verify_prepare_server(ctx);
    *ret = TAKE_PTR(ctx);
    return 0;
}

/* Verification never fails a client's handshake: its result is asked for afterwards. So all levels share one context, the reason
 * is known in full, and the peer gets a QUIT instead of an alert that it cannot interpret. */
int tls_client_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx)
{
    _cleanup_(context_freep) SSL_CTX *ctx = NULL;
    int r;

    r = context_new(&ctx, libctx, TLS_client_method(), SECURITY_LEVEL_CLIENT);
    if (r < 0)
        return r;
    /* A resumed session would carry over what another decision had verified. */
    (void) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (SSL_CTX_dane_enable(ctx) != 1)
        return -EOPNOTSUPP;
    *ret = TAKE_PTR(ctx);
    return 0;
}

void tls_facts(SSL *ssl, TlsFacts *ret)
{
    int group = (int) SSL_get_negotiated_group(ssl);
    const char *name = group != 0 ? SSL_group_to_name(ssl, group) : NULL;

    *ret = (TlsFacts){
        .version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .group = name ? name : "",
        .resumed = SSL_session_reused(ssl) == 1,
    };
}
