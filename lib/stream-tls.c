/* SPDX-License-Identifier: Apache-2.0 */

/* TLS on a non-blocking socket: translates OpenSSL's ways of saying "later" and "no" into errno and epoll's words, and knows what
 * handshakes with a remote key need. It must never block, and never free an SSL whose handshake job is paused: the job's stack
 * holds references that only running it to its end gives back. */

#include "stream-tls.h"

#include <openssl/err.h>
#include <sys/epoll.h>

#include "provider/remote-key.h"

/* A handshake signs once; the bound is for the case that OpenSSL pauses again after an abort. */
#define ABORTS_MAX 8

struct TlsLink {
    SSL *ssl;
    TlsLinkWake wake;
    void *userdata;
    bool paused;      /* the handshake's job waits for a signature */
    bool established; /* nothing went wrong so far, so close_notify may be sent */
    char error[160];
};

static int on_signature(SSL *ssl, void *userdata)
{
    TlsLink *l = userdata;

    if (l->wake)
        l->wake(l->userdata);
    return 1;
}

int tls_link_new(TlsLink **ret, SSL *ssl, int fd, bool accept, TlsLinkWake wake, void *userdata)
{
    _cleanup_(tls_link_freep) TlsLink *l = NULL;

    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->wake = wake;
    l->userdata = userdata;
    if (SSL_set_fd(ssl, fd) != 1)
        return -ENOMEM;
    if (SSL_set_async_callback(ssl, on_signature) != 1 || SSL_set_async_callback_arg(ssl, l) != 1)
        return -ENOMEM;
    /* The output buffer moves when it grows, and a full socket is no reason to hold whole records back. */
    (void) SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (accept)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    l->ssl = ssl;
    *ret = TAKE_PTR(l);
    return 0;
}

TlsLink *tls_link_free(TlsLink *l)
{
    if (!l)
        return NULL;
    l->wake = NULL;
    for (unsigned i = 0; l->paused && i < ABORTS_MAX; i++) {
        uint32_t wants;

        remote_signature_abort(l->ssl);
        (void) tls_link_handshake(l, &wants);
    }
    /* Still paused: leaking it is the lesser evil, freeing it would be a use after free. */
    if (!l->paused)
        SSL_free(l->ssl);
    free(l);
    return NULL;
}

SSL *tls_link_ssl(const TlsLink *l)
{
    return l->ssl;
}

/* OpenSSL's own words; the first error queued is the cause, later ones are its consequences. */
static void explain(TlsLink *l, const char *fallback)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    (void) snprintf(l->error, sizeof(l->error), "%s", reason ? reason : fallback);
    ERR_clear_error();
}

/* Also 0: the peer has closed. */
static int explain_result(TlsLink *l, int result, bool handshake, uint32_t *ret_wants)
{
    int saved_errno = errno, kind = SSL_get_error(l->ssl, result);

    l->paused = kind == SSL_ERROR_WANT_ASYNC;
    switch (kind) {
    case SSL_ERROR_WANT_READ:
        *ret_wants = EPOLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_wants = EPOLLOUT;
        return -EAGAIN;
    case SSL_ERROR_WANT_ASYNC:
        *ret_wants = 0;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        l->established = false;
        if (ERR_peek_error() == 0 && saved_errno != 0 && saved_errno != EAGAIN) {
            (void) snprintf(l->error, sizeof(l->error), "%s", strerror(saved_errno));
            return handshake ? -EPROTO : -saved_errno;
        }
        explain(l, "connection closed by the peer");
        return handshake ? -EPROTO : 0;
    default:
        l->established = false;
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            /* Closing without close_notify is common among mail servers and harmless: SMTP says itself where things end. */
            return 0;
        }
        explain(l, "TLS failed");
        return -EPROTO;
    }
}

int tls_link_handshake(TlsLink *l, uint32_t *ret_wants)
{
    int r;

    ERR_clear_error();
    errno = 0;
    r = SSL_do_handshake(l->ssl);
    if (r == 1) {
        l->paused = false;
        l->established = true;
        /* Nothing pauses from here on: spare every read and write a job and its stack. */
        (void) SSL_clear_mode(l->ssl, SSL_MODE_ASYNC);
        return 0;
    }
    r = explain_result(l, r, true, ret_wants);
    if (r == 0) {
        (void) snprintf(l->error, sizeof(l->error), "connection closed by the peer");
        return -EPROTO;
    }
    return r;
}

ssize_t tls_link_read(TlsLink *l, void *buffer, size_t size, uint32_t *ret_wants)
{
    size_t n = 0;
    int r;

    ERR_clear_error();
    errno = 0;
    r = SSL_read_ex(l->ssl, buffer, size, &n);
    return r == 1 ? (ssize_t) n : explain_result(l, r, false, ret_wants);
}

ssize_t tls_link_write(TlsLink *l, const void *data, size_t size, uint32_t *ret_wants)
{
    size_t n = 0;
    int r;

    ERR_clear_error();
    errno = 0;
    r = SSL_write_ex(l->ssl, data, size, &n);
    if (r == 1)
        return (ssize_t) n;
    r = explain_result(l, r, false, ret_wants);
    return r == 0 ? -EPIPE : r;
}

bool tls_link_has_pending(const TlsLink *l)
{
    return SSL_has_pending(l->ssl) == 1;
}

void tls_link_close_notify(TlsLink *l)
{
    if (!l->established)
        return;
    ERR_clear_error();
    (void) SSL_shutdown(l->ssl);
    ERR_clear_error();
}

const char *tls_link_error(const TlsLink *l)
{
    return l->error;
}
