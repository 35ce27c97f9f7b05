/* SPDX-License-Identifier: Apache-2.0 */

/* The only file that knows libcurl. The library is told no more than it needs: it gets its socket, an address that it never
 * connects to, the authorities, and may speak HTTP/1.1 over TLS 1.2 or later and nothing else. It must never follow what a server
 * says to another place, nor read more than was asked for. */

#include "https-get.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <strings.h>

/* Of all header fields together. */
#define HEADERS_MAX (32 * 1024)
/* libcurl wants one, though the socket is connected already: of the range for documentation, so that a mistake shows. */
#define ANY_ADDRESS "::192.0.2.1:443"

struct HttpsClient {
    sd_event *event;
    CURLM *multi;
    sd_event_source *timer;
};

struct HttpsGet {
    HttpsClient *client;
    CURL *easy;
    struct curl_slist *connect_to;
    X509_STORE *authorities;
    char *host;
    uint64_t timeout_usec;
    int fd; /* until libcurl has it */
    char *body;
    size_t size, size_max, headers;
    bool too_large;
    char error[CURL_ERROR_SIZE];
    HttpsDone done;
    void *userdata;
};

/* ---- the end of a get ---- */

static bool is_plain_text(const char *type)
{
    static const char plain[] = "text/plain";

    return type && strncasecmp(type, plain, strlen(plain)) == 0 && strchr("; \t", type[strlen(plain)]);
}

static const char *explain(const HttpsGet *g, CURLcode code, char *buffer, size_t size)
{
    const char *type = NULL;
    long status = 0;

    (void) curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
    (void) curl_easy_getinfo(g->easy, CURLINFO_CONTENT_TYPE, &type);
    if (code == CURLE_OPERATION_TIMEDOUT)
        (void) snprintf(buffer, size, "the policy host took longer than %" PRIu64 " s", g->timeout_usec / USEC_PER_SEC);
    else if (status != 0 && status != 200)
        (void) snprintf(buffer, size, "the policy host answered with HTTP status %ld", status);
    else if (g->too_large || code == CURLE_FILESIZE_EXCEEDED)
        (void) snprintf(buffer, size, "what the policy host answered is too large");
    else if (code != CURLE_OK)
        (void) snprintf(buffer, size, "%s", *g->error ? g->error : curl_easy_strerror(code));
    else if (!is_plain_text(type))
        (void) snprintf(buffer, size, "the policy is of type \"%s\", not text/plain", type ?: "");
    else
        return NULL;
    return buffer;
}

static void finish(HttpsGet *g, CURLcode code)
{
    char buffer[CURL_ERROR_SIZE + 128];
    const char *reason = explain(g, code, buffer, sizeof(buffer));

    /* The connection is closed now, not when the library sees fit. */
    (void) curl_multi_remove_handle(g->client->multi, g->easy);
    g->done(reason ? NULL : g->body ?: "", reason ? 0 : g->size, reason, g->userdata);
}

/* One at a time: what is told may free any get. */
static void finish_all(HttpsClient *c)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(c->multi, &left))) {
        const CURLcode code = message->data.result;
        char *get = NULL;

        if (message->msg == CURLMSG_DONE && curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &get) == CURLE_OK && get)
            finish((HttpsGet *) get, code);
    }
}

/* ---- the loop ---- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    HttpsClient *c = userdata;
    int mask = 0, running;

    if (events & (EPOLLIN | EPOLLHUP))
        mask |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        mask |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        mask |= CURL_CSELECT_ERR;
    (void) curl_multi_socket_action(c->multi, fd, mask, &running);
    finish_all(c);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    HttpsClient *c = userdata;
    int running;

    (void) curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_all(c);
    return 0;
}

static uint32_t events_of(int what)
{
    return (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *data)
{
    HttpsClient *c = userdata;
    sd_event_source *source = data;

    if (what == CURL_POLL_REMOVE) {
        sd_event_source_disable_unref(source);
        (void) curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (source)
        return sd_event_source_set_io_events(source, events_of(what)) < 0 ? -1 : 0;
    if (sd_event_add_io(c->event, &source, fd, events_of(what), on_io, c) < 0)
        return -1;
    (void) curl_multi_assign(c->multi, fd, source);
    return 0;
}

static int want_timer(CURLM *multi, long msec, void *userdata)
{
    HttpsClient *c = userdata;

    if (msec < 0)
        return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
    if (sd_event_source_set_time_relative(c->timer, (uint64_t) msec * USEC_PER_MSEC) < 0)
        return -1;
    return sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

/* ---- what libcurl asks for ---- */

/* There is one socket, and it is given once. */
static curl_socket_t give_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address)
{
    HttpsGet *g = userdata;

    return g->fd < 0 ? CURL_SOCKET_BAD : TAKE_FD(g->fd);
}

static int tell_connected(void *userdata, curl_socket_t fd, curlsocktype purpose)
{
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* RFC 8461, section 3.3: the certificate is for the policy host by a dNSName. libcurl would take a common name, too. */
static CURLcode arm_tls(CURL *easy, void *context, void *userdata)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    HttpsGet *g = userdata;

    if (SSL_CTX_set1_verify_cert_store(context, g->authorities) != 1 || X509_VERIFY_PARAM_set1_host(param, g->host, 0) != 1)
        return CURLE_OUT_OF_MEMORY;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* The lists are what people enabled; an authority in them need not be a root. */
    if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) != 1)
        return CURLE_OUT_OF_MEMORY;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    /* Or somebody on the way could cut an answer short that has no length. */
    (void) SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return CURLE_OK;
}

/* Less than size ends the transfer. */
static size_t take_header(char *data, size_t unit, size_t n, void *userdata)
{
    HttpsGet *g = userdata;

    g->headers += unit * n;
    g->too_large |= g->headers > HEADERS_MAX;
    return g->too_large ? 0 : unit * n;
}

static size_t take_body(char *data, size_t unit, size_t n, void *userdata)
{
    const size_t size = unit * n;
    HttpsGet *g = userdata;
    long status = 0;
    char *grown;

    (void) curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return 0;
    g->too_large = size > g->size_max - g->size;
    if (g->too_large)
        return 0;
    grown = realloc(g->body, g->size + size + 1);
    if (!grown)
        return 0;
    g->body = grown;
    memcpy(g->body + g->size, data, size);
    g->size += size;
    g->body[g->size] = '\0';
    return size;
}

/* ---- a get ---- */

static bool set_limits(CURL *easy, const HttpsRequest *request)
{
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_HTTPGET, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP09_ALLOWED, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_FRESH_CONNECT, 1},
        {CURLOPT_FORBID_REUSE, 1},
        {CURLOPT_SSL_SESSIONID_CACHE, 0},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_MAXFILESIZE, (long) request->size_max},
        {CURLOPT_TIMEOUT_MS, (long) MAX(request->timeout_usec / USEC_PER_MSEC, UINT64_C(1))}, /* 0 would be: none */
    };
    static const struct {
        CURLoption option;
        const char *value;
    } strings[] = {
        {CURLOPT_PROTOCOLS_STR, "https"},
        {CURLOPT_PROXY, ""}, /* nor the environment's */
        {CURLOPT_NOPROXY, "*"},
        {CURLOPT_CAINFO, NULL}, /* the files of the host */
        {CURLOPT_CAPATH, NULL},
        {CURLOPT_USERAGENT, "postern"},
    };
    bool ok = true;

    for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
        ok &= curl_easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    for (size_t i = 0; i < ELEMENTSOF(strings); i++)
        ok &= curl_easy_setopt(easy, strings[i].option, strings[i].value) == CURLE_OK;
    return ok;
}

static bool set_callbacks(HttpsGet *g)
{
    CURL *e = g->easy;

    return curl_easy_setopt(e, CURLOPT_PRIVATE, g) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_ERRORBUFFER, g->error) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_CONNECT_TO, g->connect_to) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, give_socket) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, g) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, tell_connected) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, arm_tls) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, g) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_HEADERDATA, g) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK
           && curl_easy_setopt(e, CURLOPT_WRITEDATA, g) == CURLE_OK;
}

static bool set_url(CURL *easy, const char *host, const char *path)
{
    _cleanup_free_ char *url = NULL;

    if (asprintf(&url, "https://%s%s", host, path) < 0) {
        url = NULL;
        return false;
    }
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
}

HttpsGet *https_get_free(HttpsGet *g)
{
    if (!g)
        return NULL;
    if (g->easy) {
        (void) curl_multi_remove_handle(g->client->multi, g->easy);
        curl_easy_cleanup(g->easy);
    }
    curl_slist_free_all(g->connect_to);
    X509_STORE_free(g->authorities);
    (void) close_fd(g->fd);
    free(g->host);
    free(g->body);
    free(g);
    return NULL;
}

int https_get_new(HttpsGet **ret, HttpsClient *c, const HttpsRequest *request, int fd, HttpsDone done, void *userdata)
{
    _cleanup_(https_get_freep) HttpsGet *g = calloc(1, sizeof(*g));

    if (!g)
        return -ENOMEM;
    g->client = c;
    g->fd = -EBADF;
    g->size_max = request->size_max;
    g->timeout_usec = request->timeout_usec;
    g->done = done;
    g->userdata = userdata;
    g->host = strdup(request->host);
    g->connect_to = curl_slist_append(NULL, ANY_ADDRESS);
    if (!g->host || !g->connect_to || X509_STORE_up_ref(request->authorities) != 1)
        return -ENOMEM;
    g->authorities = request->authorities;
    g->easy = curl_easy_init();
    if (!g->easy)
        return -ENOMEM;
    /* A library without one of these is none that could be trusted with the rest. */
    if (!set_limits(g->easy, request) || !set_callbacks(g) || !set_url(g->easy, request->host, request->path))
        return -EOPNOTSUPP;
    if (curl_multi_add_handle(c->multi, g->easy) != CURLM_OK)
        return -ENOMEM;
    g->fd = fd;
    *ret = TAKE_PTR(g);
    return 0;
}

/* ---- the client ---- */

HttpsClient *https_client_free(HttpsClient *c)
{
    if (!c)
        return NULL;
    if (c->multi)
        (void) curl_multi_cleanup(c->multi);
    sd_event_source_disable_unref(c->timer);
    sd_event_unref(c->event);
    free(c);
    return NULL;
}

/* What OpenSSL reads from files when it is first used, and what libcurl finds out about the host. */
static int warm_up(void)
{
    CURL *easy = curl_easy_init();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    const bool ok = easy && context;

    SSL_CTX_free(context);
    curl_easy_cleanup(easy);
    return ok ? 0 : -ENOMEM;
}

int https_client_new(HttpsClient **ret, sd_event *event)
{
    _cleanup_(https_client_freep) HttpsClient *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    c->event = sd_event_ref(event);
    r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, 0, 1, on_timer, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = warm_up();
    if (r < 0)
        return r;
    c->multi = curl_multi_init();
    if (!c->multi || curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket) != CURLM_OK
            || curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK
            || curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer) != CURLM_OK
            || curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK)
        return -ENOMEM;
    *ret = TAKE_PTR(c);
    return 0;
}
