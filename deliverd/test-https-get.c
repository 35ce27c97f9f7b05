/* SPDX-License-Identifier: Apache-2.0 */

/* Policies over HTTPS, from a server in a thread that says exactly what a case wants. The numbers in the names are the rows of
 * "How delivery decides", section 2. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "https-get.h"
#include "test-certificate.h"
#include "test-rows.h"
#include "tls.h"

#define HOST "mta-sts.example.com"
#define SIZE_MAX_OF_BODY 1000
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define BODY "version: STSv1\n"
#define WHOLE "Content-Length: 15\r\n\r\n" BODY

/* Who the server is. */
typedef enum Who {
    GOOD,
    OTHER_NAME,  /* for the domain, not for the policy host */
    COMMON_NAME, /* the policy host's name as common name only */
    PATTERN,     /* *.example.com, which matches */
    EXPIRED,
    STRANGER,    /* of an authority that is not enabled */
    N_WHO,
} Who;

static const TestCertificateSpec specs[N_WHO] = {
    [GOOD] = {.cn = "x", .san = "DNS:" HOST},
    [OTHER_NAME] = {.cn = "x", .san = "DNS:example.com"},
    [COMMON_NAME] = {.cn = HOST},
    [PATTERN] = {.cn = "x", .san = "DNS:*.example.com"},
    [EXPIRED] = {.cn = "x", .san = "DNS:" HOST, .from_days = -9, .to_days = -2},
    [STRANGER] = {.cn = "x", .san = "DNS:" HOST},
};
static TestCertificate *root, *stranger, *certificates[N_WHO];

static int make_cast(void **state)
{
    /* The server goes on writing when the client has had enough. */
    (void) signal(SIGPIPE, SIG_IGN);
    root = test_certificate_new(&(TestCertificateSpec) {.cn = "Authority", .constraints = "critical,CA:TRUE"}, NULL);
    stranger = test_certificate_new(&(TestCertificateSpec) {.cn = "Stranger", .constraints = "critical,CA:TRUE"}, NULL);
    for (int i = 0; i < N_WHO; i++)
        certificates[i] = test_certificate_new(specs + i, i == STRANGER ? stranger : root);
    return 0;
}

static int free_cast(void **state)
{
    for (int i = 0; i < N_WHO; i++)
        certificates[i] = test_certificate_free(certificates[i]);
    root = test_certificate_free(root);
    stranger = test_certificate_free(stranger);
    return 0;
}

typedef struct Server {
    int fd;
    SSL_CTX *tls;
    Who who;
    const char *answer;
    size_t padding;   /* so many bytes more */
    bool stalls;      /* says nothing until the client has gone */
    char request[2000], name[300]; /* what came, and SNI */
} Server;

static bool write_all(SSL *ssl, const char *data, size_t size)
{
    return size == 0 || SSL_write(ssl, data, (int) size) == (int) size;
}

/* In its thread, so that nothing is asserted here. */
static void *serve(void *userdata)
{
    static const char padding[500];
    Server *s = userdata;
    SSL *ssl = SSL_new(s->tls);
    int n = 0;

    (void) SSL_set_fd(ssl, s->fd);
    if (SSL_accept(ssl) == 1) {
        (void) snprintf(s->name, sizeof(s->name), "%s", SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) ?: "");
        while (!strstr(s->request, "\r\n\r\n") && n < (int) sizeof(s->request) - 1) {
            int k = SSL_read(ssl, s->request + n, (int) sizeof(s->request) - 1 - n);

            if (k <= 0)
                break;
            n += k;
        }
        if (s->stalls)
            (void) SSL_read(ssl, s->request, 1);
        else if (write_all(ssl, s->answer, strlen(s->answer)))
            for (size_t left = s->padding; left > 0 && write_all(ssl, padding, MIN(left, sizeof(padding)));)
                left -= MIN(left, sizeof(padding));
        (void) SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    return NULL;
}

/* A connected pair over the loopback. Older libraries connect even what is connected already. The fetcher's sandbox has an answer
 * for that (SANDBOX_CONNECTED); without it the kernel has one for a socket that was connected without waiting. */
static void connect_pair(int *ret_client, int *ret_server)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(sa);

    assert_int_equal(bind(listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *) &sa, &size), 0);
    *ret_client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(connect(*ret_client, (struct sockaddr *) &sa, size) == 0 || errno == EINPROGRESS);
    assert_int_equal(poll(&(struct pollfd) {.fd = *ret_client, .events = POLLOUT}, 1, 10000), 1);
    *ret_server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*ret_server >= 0);
}

typedef struct Got {
    bool done;
    char body[SIZE_MAX_OF_BODY + 1], reason[600];
} Got;

static void on_done(const char *body, size_t size, const char *reason, void *userdata)
{
    Got *g = userdata;

    g->done = true;
    assert_int_equal(body == NULL, reason != NULL);
    if (body)
        (void) snprintf(g->body, sizeof(g->body), "%.*s", (int) size, body);
    else
        (void) snprintf(g->reason, sizeof(g->reason), "%s", reason);
}

static void get(Server *s, uint64_t timeout_usec, Got *got)
{
    _cleanup_(sd_event_unrefp) sd_event *event = NULL;
    _cleanup_(https_client_freep) HttpsClient *client = NULL;
    X509_STORE *store = X509_STORE_new();
    HttpsRequest request = {.host = HOST, .path = "/.well-known/mta-sts.txt", .authorities = store, .size_max = SIZE_MAX_OF_BODY,
            .timeout_usec = timeout_usec};
    const TestCertificate *const none[] = {NULL};
    HttpsGet *g = NULL;
    pthread_t thread;
    int fd;

    assert_int_equal(X509_STORE_add_cert(store, root->x509), 1);
    assert_true(sd_event_new(&event) >= 0);
    assert_int_equal(https_client_new(&client, event), 0);
    connect_pair(&fd, &s->fd);
    assert_int_equal(tls_server_context_new(&s->tls, NULL), 0);
    (void) SSL_CTX_clear_mode(s->tls, SSL_MODE_ASYNC);
    test_certificate_use(s->tls, certificates[s->who], none);
    assert_int_equal(pthread_create(&thread, NULL, serve, s), 0);
    assert_int_equal(https_get_new(&g, client, &request, fd, on_done, got), 0);
    while (!got->done)
        assert_true(sd_event_run(event, UINT64_MAX) >= 0);
    g = https_get_free(g);
    assert_int_equal(pthread_join(thread, NULL), 0);
    s->fd = close_fd(s->fd);
    SSL_CTX_free(s->tls);
    X509_STORE_free(store);
}

static const struct {
    const char *row;
    Who who;
    const char *answer;
    size_t padding;
    const char *reason; /* part of it; NULL: BODY */
} cases[] = {
    {"plain", GOOD, OK_HEAD WHOLE, 0, NULL},
    {"until the connection ends", GOOD, OK_HEAD "Connection: close\r\n\r\n" BODY, 0, NULL},
    {"in chunks", GOOD, OK_HEAD "Transfer-Encoding: chunked\r\n\r\nf\r\n" BODY "\r\n0\r\n\r\n", 0, NULL},
    {"8 moved", GOOD, "HTTP/1.1 301 Moved\r\nLocation: https://" HOST "/other\r\nContent-Length: 0\r\n\r\n", 0,
            "HTTP status 301"},
    {"8 found elsewhere", GOOD, "HTTP/1.1 302 Found\r\nLocation: https://www.example.com/\r\nContent-Length: 0\r\n\r\n", 0,
            "HTTP status 302"},
    {"8 not modified", GOOD, "HTTP/1.1 304 Not Modified\r\n\r\n", 0, "HTTP status 304"},
    {"8 another kind of success", GOOD, "HTTP/1.1 203 Non-Authoritative\r\nContent-Type: text/plain\r\n" WHOLE, 0,
            "HTTP status 203"},
    {"8 not there", GOOD, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n" WHOLE, 0, "HTTP status 404"},
    {"8 out of order", GOOD, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0, "HTTP status 503"},
    {"8 no HTTP", GOOD, "220 mx.example.com ESMTP\r\n", 0, ""},
    {"9 another name", OTHER_NAME, OK_HEAD WHOLE, 0, ""},
    {"9 the name as common name only", COMMON_NAME, OK_HEAD WHOLE, 0, ""},
    {"9 a wildcard", PATTERN, OK_HEAD WHOLE, 0, NULL},
    {"9 expired", EXPIRED, OK_HEAD WHOLE, 0, "expired"},
    {"9 of a stranger", STRANGER, OK_HEAD WHOLE, 0, "issuer"},
    {"10 larger than it may be, and it says so", GOOD, OK_HEAD "Content-Length: 1001\r\n\r\n", 1001, "too large"},
    {"10 larger than it may be, and it does not", GOOD, OK_HEAD "Connection: close\r\n\r\n", 5000, "too large"},
    {"11 a web page", GOOD, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" WHOLE, 0, "not text/plain"},
    {"11 no type", GOOD, "HTTP/1.1 200 OK\r\n" WHOLE, 0, "not text/plain"},
    {"11 a longer name", GOOD, "HTTP/1.1 200 OK\r\nContent-Type: text/plainer\r\n" WHOLE, 0, "not text/plain"},
    {"11 with a character set", GOOD, "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\n" WHOLE, 0, NULL},
};

static void run_rows(unsigned row)
{
    size_t n_run = 0;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        Server s = {.who = cases[i].who, .answer = cases[i].answer, .padding = cases[i].padding};
        Got got = {};

        if (!test_row_is(cases[i].row, row))
            continue;
        n_run++;
        print_message("row %s\n", cases[i].row);
        get(&s, 30 * USEC_PER_SEC, &got);
        print_message("  %s\n", got.reason);
        if (!cases[i].reason) {
            assert_string_equal(got.reason, "");
            assert_string_equal(got.body, BODY);
            assert_string_equal(s.name, HOST);
            assert_true(strncmp(s.request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n", 39) == 0);
        } else {
            assert_string_equal(got.body, "");
            assert_string_not_equal(got.reason, "");
            assert_non_null(strstr(got.reason, cases[i].reason));
        }
    }
    assert_true(n_run > 0);
}

TEST_ROW(sts, 8, status, run_rows)
TEST_ROW(sts, 9, certificate, run_rows)
TEST_ROW(sts, 10, size, run_rows)
TEST_ROW(sts, 11, type, run_rows)

static void test_forms(void **state)
{
    run_rows(0);
}

static void test_sts_10_time(void **state)
{
    Server s = {.who = GOOD, .stalls = true};
    Got got = {};

    get(&s, USEC_PER_SEC, &got);
    assert_string_equal(got.reason, "the policy host took longer than 1 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_sts_8_status),
        cmocka_unit_test(test_sts_9_certificate),
        cmocka_unit_test(test_sts_10_size),
        cmocka_unit_test(test_sts_10_time),
        cmocka_unit_test(test_sts_11_type),
    };

    return cmocka_run_group_tests(tests, make_cast, free_cast);
}
