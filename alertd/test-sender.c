/* SPDX-License-Identifier: Apache-2.0 */

/* Which servers are tried for which recipients, and what their replies make of them. This file stands for the SMTP client and for
 * dnsd's answers; connections go to a port of the loopback where nobody has to listen. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route.h"
#include "sender.h"
#include "smtp-client.h"
#include "tls.h"

/* ---- in place of tls.c and smtp-client.c ---- */
int __wrap_tls_client_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx);
int __wrap_tls_client_context_new(SSL_CTX **ret, OSSL_LIB_CTX *libctx)
{
    *ret = SSL_CTX_new(TLS_client_method());
    return *ret ? 0 : -ENOMEM;
}

struct SmtpClient {
    SmtpClientDone done;
    void *userdata;
    SmtpTlsWant want;
    char server_name[64];
    char recipients[4][64];
    size_t n_recipients;
    char text[4096];
    bool open;
};

static SmtpClient clients[32];
static unsigned n_clients;

const char *smtp_stage_to_string(SmtpStage s)
{
    return "stage";
}

int smtp_client_new(SmtpClient **ret, sd_event *event, int fd, const SmtpRequest *request, SmtpClientDone done, void *userdata)
{
    SmtpClient *c = &clients[n_clients++];

    assert_true(n_clients <= ELEMENTSOF(clients));
    *c = (SmtpClient) {.done = done, .userdata = userdata, .want = request->want, .n_recipients = request->n_recipients, .open = true};
    snprintf(c->server_name, sizeof(c->server_name), "%s", request->server_name ? request->server_name : "");
    for (size_t i = 0; i < request->n_recipients; i++)
        snprintf(c->recipients[i], sizeof(c->recipients[i]), "%s", request->recipients[i]);
    assert_string_equal(request->sender, "from@host.lab");
    assert_string_equal(request->helo, "host.lab");
    assert_int_equal(pread(request->message_fd, c->text, sizeof(c->text) - 1, (off_t) request->message_offset), request->message_size);
    close(fd);
    *ret = c;
    return 0;
}

SmtpClient *smtp_client_free(SmtpClient *c)
{
    if (c)
        c->open = false;
    return NULL;
}

static void end_client(unsigned i, SmtpStage stage, int code, const int *codes)
{
    SmtpReply replies[4] = {0};
    SmtpResult result = {.stage = stage, .reply = {.code = code, .text = "said so"}, .recipients = replies, .tls_reason = "bad handshake"};

    for (size_t k = 0; codes && k < clients[i].n_recipients; k++)
        replies[k].code = codes[k];
    assert_true(clients[i].open);
    clients[i].open = false;
    clients[i].done(&clients[i], &result, clients[i].userdata);
}

/* ---- in place of route.c: mx1.DOMAIN and mx2.DOMAIN, unless the domain's name says otherwise ---- */
struct Route {
    sd_event_source *defer;
    RouteTarget targets[2];
    char hosts[2][64];
    size_t n;
    int error;
    RouteDone done;
    void *userdata;
};

static int on_route(sd_event_source *s, void *userdata)
{
    Route *r = userdata;

    r->done(r, r->error, "no way", r->userdata);
    return 0;
}

static sd_event *the_event;

static int route_new(Route **ret, size_t n, int error, const char *domain, RouteDone done, void *userdata)
{
    Route *r = calloc(1, sizeof(*r));

    *r = (Route) {.n = n, .error = error, .done = done, .userdata = userdata};
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *) &r->targets[i].address;

        if (n > 1)
            snprintf(r->hosts[i], sizeof(r->hosts[i]), "mx%zu.%.40s", i + 1, domain);
        else
            snprintf(r->hosts[i], sizeof(r->hosts[i]), "%.40s", domain);
        r->targets[i].host = r->hosts[i];
        *in = (struct sockaddr_in) {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    }
    assert_true(sd_event_add_defer(the_event, &r->defer, on_route, r) >= 0);
    *ret = r;
    return 0;
}

int route_new_domain(Route **ret, PeerClient *dnsd, const char *domain, RouteDone done, void *userdata)
{
    int error = streq(domain, "gone.lab") ? -EHOSTUNREACH : streq(domain, "away.lab") ? -EAGAIN : 0;

    return route_new(ret, error < 0 ? 0 : 2, error, domain, done, userdata);
}

int route_new_host(Route **ret, PeerClient *dnsd, sd_event *event, const char *host, uint16_t port, RouteDone done, void *userdata)
{
    assert_int_equal(port, 2525);
    return route_new(ret, 1, 0, host, done, userdata);
}

Route *route_free(Route *r)
{
    if (!r)
        return NULL;
    sd_event_source_disable_unref(r->defer);
    free(r);
    return NULL;
}

size_t route_targets(const Route *r, const RouteTarget **ret)
{
    *ret = r->targets;
    return r->n;
}

bool route_host_is_literal(const char *host, struct sockaddr_storage *ret)
{
    return *host >= '0' && *host <= '9';
}

/* ---- fixture ---- */
typedef struct Fixture {
    Sender *sender;
    SpoolItem item;
    char *recipients[5];
    unsigned n_done;
    unsigned n_delivered, n_refused, n_left;
    char reason[128];
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    AlertConfig config = {.from = (char *) "from@host.lab", .host_name = (char *) "host.lab"};

    f = (Fixture) {0};
    f.item = (SpoolItem) {
        .id = "0123456789abcdef",
        .severity = ALERT_WARNING,
        .key = (char *) "k",
        .summary = (char *) "summary",
        .body = (char *) "body",
        .count = 1,
        .recipients = f.recipients,
    };
    n_clients = 0;
    assert_int_equal(sd_event_new(&the_event), 0);
    assert_int_equal(sender_new(&f.sender, the_event, NULL), 0);
    assert_int_equal(sender_configure(f.sender, &config), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    assert_int_equal(sender_active(f->sender), 0);
    sender_free(f->sender);
    sd_event_unref(the_event);
    return 0;
}

static void on_done(const SenderResult *result, void *userdata)
{
    Fixture *f = userdata;

    f->n_done++;
    f->n_delivered = result->n_delivered;
    f->n_refused = result->n_refused;
    for (f->n_left = 0; result->remaining[f->n_left]; f->n_left++)
        ;
    snprintf(f->reason, sizeof(f->reason), "%s", result->reason);
}

static void submit(Fixture *f, const char *const *recipients)
{
    SenderJob *j;

    for (size_t i = 0; recipients[i]; i++)
        f->recipients[i] = (char *) recipients[i];
    assert_int_equal(sender_submit(f->sender, &j, &f->item, on_done, f), 0);
    assert_int_equal(n_clients, 0);
}

static void wait_clients(unsigned n)
{
    while (n_clients < n)
        assert_true(sd_event_run(the_event, USEC_PER_SEC) > 0);
}

static void wait_done(Fixture *f)
{
    while (f->n_done == 0)
        assert_true(sd_event_run(the_event, USEC_PER_SEC) > 0);
}

static void test_by_domain(void **state)
{
    Fixture *f = *state;

    submit(f, (const char *const[]) {"a@one.lab", "b@two.lab", "c@one.lab", NULL});
    wait_clients(1);
    assert_string_equal(clients[0].server_name, "mx1.one.lab");
    assert_int_equal(clients[0].n_recipients, 2);
    assert_string_equal(clients[0].recipients[1], "c@one.lab");
    assert_int_equal(clients[0].want, SMTP_TLS_IF_OFFERED);
    assert_non_null(strstr(clients[0].text, "Subject: [Warning]-[host.lab]: (System) summary\r\n"));
    end_client(0, SMTP_STAGE_DONE, 250, (const int[]) {250, 550});
    wait_clients(2);
    assert_string_equal(clients[1].server_name, "mx1.two.lab");
    end_client(1, SMTP_STAGE_DONE, 250, (const int[]) {250});
    wait_done(f);
    assert_int_equal(f->n_delivered, 2);
    assert_int_equal(f->n_refused, 1);
    assert_int_equal(f->n_left, 0);
}

static void test_relay(void **state)
{
    AlertConfig config = {.from = (char *) "from@host.lab", .host_name = (char *) "host.lab", .relay = {(char *) "192.0.2.1", 2525}};
    Fixture *f = *state;

    assert_int_equal(sender_configure(f->sender, &config), 0);
    submit(f, (const char *const[]) {"a@one.lab", "b@two.lab", NULL});
    wait_clients(1);
    assert_string_equal(clients[0].server_name, "");
    assert_int_equal(clients[0].n_recipients, 2);
    end_client(0, SMTP_STAGE_DONE, 250, (const int[]) {250, 451});
    wait_done(f);
    assert_int_equal(f->n_delivered, 1);
    assert_int_equal(f->n_left, 1);
}

static void test_next_server(void **state)
{
    Fixture *f = *state;

    submit(f, (const char *const[]) {"a@one.lab", NULL});
    wait_clients(1);
    end_client(0, SMTP_STAGE_GREETING, 554, NULL);
    wait_clients(2);
    assert_string_equal(clients[1].server_name, "mx2.one.lab");
    end_client(1, SMTP_STAGE_CONNECT, 0, NULL);
    wait_done(f);
    assert_int_equal(f->n_left, 1);
    assert_string_equal(f->reason, "mx2.one.lab, stage: said so");
}

static void test_broken_tls_is_given_up(void **state)
{
    Fixture *f = *state;

    submit(f, (const char *const[]) {"a@one.lab", NULL});
    wait_clients(1);
    end_client(0, SMTP_STAGE_HANDSHAKE, 0, NULL);
    wait_clients(2);
    assert_string_equal(clients[1].server_name, "mx1.one.lab");
    assert_int_equal(clients[1].want, SMTP_TLS_NO);
    end_client(1, SMTP_STAGE_CONNECT, 0, NULL);
    wait_clients(3);
    assert_string_equal(clients[2].server_name, "mx2.one.lab");
    assert_int_equal(clients[2].want, SMTP_TLS_IF_OFFERED);
    end_client(2, SMTP_STAGE_DONE, 250, (const int[]) {250});
    wait_done(f);
    assert_int_equal(f->n_delivered, 1);
}

static void test_replies(void **state)
{
    static const struct {
        SmtpStage stage;
        int code, recipient;
        unsigned n_refused, n_left;
    } cases[] = {
        {SMTP_STAGE_MAIL, 451, 0, 0, 1},
        {SMTP_STAGE_MAIL, 550, 0, 1, 0},
        {SMTP_STAGE_RCPT, 550, 550, 1, 0},
        {SMTP_STAGE_RCPT, 450, 450, 0, 1},
        {SMTP_STAGE_DATA, 451, 250, 0, 1}, /* accepted and then not: nothing is delivered */
        {SMTP_STAGE_FINAL, 554, 250, 1, 0},
        {SMTP_STAGE_FINAL, 452, 250, 0, 1},
        {SMTP_STAGE_FINAL, 0, 250, 0, 1}, /* connection lost */
    };
    Fixture *f = *state;

    for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
        f->n_done = 0;
        n_clients = 0;
        submit(f, (const char *const[]) {"a@one.lab", NULL});
        wait_clients(1);
        end_client(0, cases[i].stage, cases[i].code, &cases[i].recipient);
        wait_done(f);
        assert_int_equal(f->n_delivered, 0);
        assert_int_equal(f->n_refused, cases[i].n_refused);
        assert_int_equal(f->n_left, cases[i].n_left);
    }
}

static void test_no_way(void **state)
{
    Fixture *f = *state;

    submit(f, (const char *const[]) {"a@gone.lab", "b@away.lab", "c@[192.0.2.1]", NULL});
    wait_done(f);
    assert_int_equal(f->n_refused, 2);
    assert_int_equal(f->n_left, 1);
    assert_int_equal(n_clients, 0);
}

static void test_few_at_a_time(void **state)
{
    SenderJob *j[SENDER_ACTIVE_MAX + 2];
    Fixture *f = *state;

    f->recipients[0] = (char *) "a@one.lab";
    for (size_t i = 0; i < ELEMENTSOF(j); i++)
        assert_int_equal(sender_submit(f->sender, &j[i], &f->item, on_done, f), 0);
    wait_clients(SENDER_ACTIVE_MAX);
    assert_true(sd_event_run(the_event, 0) >= 0);
    assert_int_equal(n_clients, SENDER_ACTIVE_MAX);
    sender_cancel(j[0]);
    assert_false(clients[0].open);
    wait_clients(SENDER_ACTIVE_MAX + 1);
    for (size_t i = 1; i < ELEMENTSOF(j); i++)
        sender_cancel(j[i]);
    assert_int_equal(f->n_done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_domain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_tls_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_few_at_a_time, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
