/* SPDX-License-Identifier: Apache-2.0 */

/* The link for signatures against a real server, and against one that says whatever the test wants, byte by byte. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus-error.h"
#include "peer-server.h"
#include "provider/call.h"
#include "sign-link.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_INTERFACE "org.postern.Cert1.Peer"
#define TIMEOUT_USEC (5 * USEC_PER_SEC)
#define SHORT_USEC (150 * USEC_PER_MSEC)
#define AGREED "DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n"

typedef struct Host {
    char directory[64], path[96];
    sd_event *event;
    int listen_fd;
    PeerServer *server; /* the real one, or */
    int fd;             /* the test's end of the connection */
    PeerClient *client;
    SignLink *link;
    SignCall *call; /* the last */
    sd_bus_message *held[8];
    unsigned n_held;

    unsigned n_done, n_unavailable;
    bool inside_call, free_in_done;
    char order[64]; /* the signatures, one behind the other */
    char error[128], text[128];
} Host;

static const uint8_t hash[32] = {0xaa};

/* ---- the real server: the signature is the message; what begins with '-' is refused, with '+' it waits ---- */

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *name, *message;
    const void *spki, *data;
    size_t n, size;
    Host *h = userdata;
    uint16_t scheme;

    assert_true(sd_bus_message_read(m, "s", &name) > 0);
    assert_true(sd_bus_message_read_array(m, 'y', &spki, &n) > 0);
    assert_true(sd_bus_message_read(m, "q", &scheme) > 0);
    assert_true(sd_bus_message_read_array(m, 'y', &data, &size) > 0);
    assert_string_equal(name, "mx");
    assert_int_equal(n, 32);
    assert_memory_equal(spki, hash, 32);
    assert_int_equal(scheme, 0x0403);
    message = data;
    if (*message == '-')
        return sd_bus_error_set(reterr_error, BUS_ERROR_KEY_NOT_ASSIGNED, "Not yours.");
    if (*message == '+' && h->n_held < ELEMENTSOF(h->held)) {
        h->held[h->n_held++] = sd_bus_message_ref(m);
        return 1;
    }
    assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
    assert_true(sd_bus_message_append_array(reply, 'y', data, size) >= 0);
    return sd_bus_send(NULL, reply, NULL);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Sign", "sayqay", "ay", method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("Changed", "t", 0),
    SD_BUS_VTABLE_END,
};
static const PeerAccess access_table[] = {{CERTD_INTERFACE, NULL, ROLE_SELF}, {}};
static PeerObject objects[] = {{CERTD_PATH, CERTD_INTERFACE, vtable, NULL}, {}};

static void start_server(Host *h)
{
    objects[0].userdata = h;
    assert_int_equal(peer_server_new(&h->server, h->event, TAKE_FD(h->listen_fd), "certd", access_table, objects), 0);
}

/* ---- the host ---- */

static void host_listen(Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    (void) unlink(h->path);
    h->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(sa.sun_path, h->path, strlen(h->path) + 1);
    assert_int_equal(bind(h->listen_fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(h->listen_fd, 8), 0);
}

static int setup(void **state)
{
    Host *h = calloc(1, sizeof(*h));

    strcpy(h->directory, "/tmp/test-sign-link.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    (void) snprintf(h->path, sizeof(h->path), "%s/certd", h->directory);
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", h->directory, 1), 0);
    assert_true(sd_event_new(&h->event) >= 0);
    h->fd = -EBADF;
    host_listen(h);
    assert_int_equal(peer_client_new(&h->client, h->event, "certd"), 0);
    assert_int_equal(sign_link_new(&h->link, h->client, TIMEOUT_USEC), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;

    sign_link_free(h->link);
    peer_client_free(h->client);
    for (size_t i = 0; i < h->n_held; i++)
        sd_bus_message_unref(h->held[i]);
    peer_server_free(h->server);
    (void) close_fd(h->fd);
    (void) close_fd(h->listen_fd);
    sd_event_unref(h->event);
    (void) unlink(h->path);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static void host_run(Host *h)
{
    assert_true(sd_event_run(h->event, 10 * USEC_PER_SEC) > 0);
}

static void host_wait(Host *h, const unsigned *counter, unsigned n)
{
    while (*counter < n)
        host_run(h);
    assert_int_equal(*counter, n);
}

/* All that there is to do now. */
static void host_settle(Host *h)
{
    while (sd_event_run(h->event, 20 * USEC_PER_MSEC) > 0)
        ;
}

static void on_done(const uint8_t *signature, size_t size, const sd_bus_error *error, void *userdata)
{
    Host *h = userdata;

    assert_false(h->inside_call);
    h->n_done++;
    h->error[0] = h->text[0] = 0;
    if (error) {
        assert_null(signature);
        (void) snprintf(h->error, sizeof(h->error), "%s", error->name);
        (void) snprintf(h->text, sizeof(h->text), "%s", error->message);
        h->n_unavailable += sd_bus_error_has_name(error, BUS_ERROR_UNAVAILABLE);
    } else if (strlen(h->order) + size < sizeof(h->order))
        strncat(h->order, (const char *) signature, size);
    if (h->free_in_done)
        h->link = sign_link_free(h->link);
}

static void ask(Host *h, const char *message)
{
    const SignLinkRequest request = {
        .name = "mx",
        .spki_sha256 = hash,
        .scheme = 0x0403,
        .message = (const uint8_t *) message,
        .size = strlen(message),
    };

    h->inside_call = true;
    assert_int_equal(sign_link_call(h->link, &h->call, &request, on_done, h), 0);
    h->inside_call = false;
}

static void link_anew(Host *h, uint64_t timeout_usec)
{
    sign_link_free(h->link);
    assert_int_equal(sign_link_new(&h->link, h->client, timeout_usec), 0);
}

/* ---- the test as the server ---- */

static void say(Host *h, const void *data, size_t size)
{
    assert_int_equal(send(h->fd, data, size, MSG_NOSIGNAL), size);
}

/* Takes the connection and its greeting. */
static void meet(Host *h)
{
    char greeting[CALL_GREETING_SIZE];

    (void) close_fd(h->fd);
    while ((h->fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
        host_run(h);
    assert_int_equal(recv(h->fd, greeting, sizeof(greeting), MSG_WAITALL), sizeof(greeting));
    assert_memory_equal(greeting, CALL_GREETING, sizeof(greeting));
}

static void agree(Host *h)
{
    meet(h);
    say(h, AGREED, strlen(AGREED));
    host_settle(h);
}

/* The next size bytes, which stay where they are. */
static void wait_input(Host *h, uint8_t *data, size_t size)
{
    while (recv(h->fd, data, size, MSG_PEEK | MSG_DONTWAIT) < (ssize_t) size)
        host_run(h);
}

/* Reads a call; returns its serial. */
static uint32_t hear(Host *h, const char *message)
{
    uint8_t frame[CALL_REPLY_MAX];
    uint32_t serial;
    size_t size;

    wait_input(h, frame, CALL_HEADER_SIZE);
    assert_true(call_frame_size(frame) > CALL_HEADER_SIZE);
    size = (size_t) call_frame_size(frame);
    wait_input(h, frame, size);
    assert_int_equal(recv(h->fd, frame, size, 0), size);
    assert_memory_equal(frame + size - strlen(message), message, strlen(message));
    memcpy(&serial, frame + 8, sizeof(serial));
    return serial;
}

static bool hears_nothing(Host *h)
{
    char byte;

    host_settle(h);
    return recv(h->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void put_uint32(uint8_t *data, uint32_t value)
{
    memcpy(data, &value, sizeof(value));
}

/* The answer to a call: a signature of up to 4 characters. */
static size_t answer(uint8_t frame[static 64], uint32_t serial, const char *signature)
{
    static const uint8_t fields[16] = {5, 1, 'u', 0, 0, 0, 0, 0, 8, 1, 'g', 0, 2, 'a', 'y', 0};
    size_t n = strlen(signature);

    memset(frame, 0, 64);
    frame[0] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B';
    frame[1] = 2;
    frame[3] = 1;
    put_uint32(frame + 4, (uint32_t) (4 + n));
    put_uint32(frame + 8, 1);
    put_uint32(frame + 12, sizeof(fields));
    memcpy(frame + 16, fields, sizeof(fields));
    put_uint32(frame + 20, serial);
    put_uint32(frame + 32, (uint32_t) n);
    memcpy(frame + 36, signature, n);
    return 36 + n;
}

static void say_answer(Host *h, uint32_t serial, const char *signature)
{
    uint8_t frame[64];

    say(h, frame, answer(frame, serial, signature));
}

/* ---- tests ---- */

static void test_signatures(void **state)
{
    Host *h = *state;

    start_server(h);
    ask(h, "a");
    ask(h, "b");
    host_wait(h, &h->n_done, 2);
    for (unsigned i = 0; i < 20; i++)
        ask(h, "c");
    assert_int_equal(peer_server_emit(h->server, ROLE_SELF, CERTD_PATH, CERTD_INTERFACE, "Changed", "t", (uint64_t) 1), 0);
    ask(h, "d");
    host_wait(h, &h->n_done, 23);
    assert_string_equal(h->order, "abccccccccccccccccccccd");
}

static void test_refused(void **state)
{
    Host *h = *state;

    start_server(h);
    ask(h, "-");
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->error, BUS_ERROR_KEY_NOT_ASSIGNED);
    assert_string_equal(h->text, "Not yours.");
    ask(h, "a");
    host_wait(h, &h->n_done, 2);
    assert_string_equal(h->order, "a");
}

/* As RSA signatures, which certd makes on threads. */
static void test_answered_in_another_order(void **state)
{
    Host *h = *state;

    start_server(h);
    ask(h, "+1");
    ask(h, "+2");
    ask(h, "3");
    host_wait(h, &h->n_done, 1);
    for (unsigned i = 2; i-- > 0;) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        assert_true(sd_bus_message_new_method_return(h->held[i], &reply) >= 0);
        assert_true(sd_bus_message_append_array(reply, 'y', i ? "2" : "1", 1) >= 0);
        assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
    }
    host_wait(h, &h->n_done, 3);
    assert_string_equal(h->order, "321");
}

static void test_server_comes_late(void **state)
{
    Host *h = *state;

    h->listen_fd = close_fd(h->listen_fd);
    (void) unlink(h->path);
    ask(h, "a");
    host_settle(h);
    host_listen(h);
    start_server(h);
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->order, "a");
}

/* In pieces, several at once, between others, and to nobody. */
static void test_pieces(void **state)
{
    uint8_t frames[4 * 64];
    Host *h = *state;
    uint32_t a, b;
    size_t n;

    meet(h);
    ask(h, "a");
    ask(h, "b");
    assert_true(hears_nothing(h));
    for (const char *c = AGREED; *c; c++) {
        say(h, c, 1);
        host_settle(h);
    }
    a = hear(h, "a");
    b = hear(h, "b");
    assert_true(a != 0 && b != 0 && a != b);
    n = answer(frames, 12345, "x");
    n += answer(frames + n, b, "B");
    n += answer(frames + n, b, "y");
    for (size_t i = 0; i < n; i++) {
        say(h, frames + i, 1);
        assert_true(sd_event_run(h->event, 0) >= 0);
    }
    host_wait(h, &h->n_done, 1);
    ask(h, "c");
    n = answer(frames, a, "A");
    n += answer(frames + n, hear(h, "c"), "C");
    say(h, frames, n);
    host_wait(h, &h->n_done, 3);
    assert_string_equal(h->order, "BAC");
}

/* What was under way is asked again over the next connection, in order; a late answer over it to what was asked before is not
 * one. */
static void test_lost(void **state)
{
    Host *h = *state;
    uint32_t a;

    agree(h);
    ask(h, "a");
    ask(h, "b");
    (void) hear(h, "a");
    agree(h); /* which closes the first */
    ask(h, "c");
    a = hear(h, "a");
    (void) hear(h, "b");
    (void) hear(h, "c");
    say_answer(h, a, "A");
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->order, "A");
}

/* Whoever says something else is left, and met again. */
static void test_broken_server(void **state)
{
    static const struct {
        bool agrees;
        const char *text;
    } wrong[] = {
        {false, "REJECTED EXTERNAL\r\n"},
        {true, "garbage, more than a header has"},
        {true, "l\2\1\1\377\377\377\377\1\0\0\0\377\377\377\377"},
    };
    Host *h = *state;

    ask(h, "a");
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        meet(h);
        if (wrong[i].agrees) {
            say(h, AGREED, strlen(AGREED));
            host_settle(h);
            (void) hear(h, "a");
        }
        say(h, wrong[i].text, wrong[i].agrees ? 16 : strlen(wrong[i].text));
    }
    agree(h);
    say_answer(h, hear(h, "a"), "A");
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->order, "A");
}

static void test_deadline(void **state)
{
    Host *h = *state;
    uint32_t serial;

    link_anew(h, SHORT_USEC);
    meet(h);
    ask(h, "a");
    host_wait(h, &h->n_unavailable, 1);
    assert_string_equal(h->text, "certd could not be reached in time (Sign).");
    link_anew(h, SHORT_USEC);
    agree(h);
    ask(h, "b");
    serial = hear(h, "b");
    host_wait(h, &h->n_unavailable, 2);
    assert_string_equal(h->text, "certd did not answer in time (Sign).");
    say_answer(h, serial, "B"); /* too late */
    ask(h, "c");
    say_answer(h, hear(h, "c"), "C");
    host_wait(h, &h->n_done, 3);
    assert_string_equal(h->order, "C");
    /* The timer that was left behind by what is answered ends nothing. */
    host_settle(h);
    ask(h, "d");
    (void) hear(h, "d");
    host_wait(h, &h->n_unavailable, 3);
    assert_int_equal(h->n_done, 4);
}

static void test_cancel(void **state)
{
    Host *h = *state;
    uint32_t serial;

    assert_null(sign_call_cancel(NULL));
    ask(h, "a"); /* never sent */
    (void) sign_call_cancel(h->call);
    ask(h, "b");
    agree(h);
    serial = hear(h, "b");
    (void) sign_call_cancel(h->call);
    say_answer(h, serial, "B");
    ask(h, "c");
    say_answer(h, hear(h, "c"), "C");
    host_wait(h, &h->n_done, 1);
    assert_string_equal(h->order, "C");
}

/* The callback frees the link, with more to be read, to be told, or to be sent. */
static void test_free_inside_done(void **state)
{
    uint8_t frames[2 * 64];
    Host *h = *state;
    uint32_t a;
    size_t n;

    h->free_in_done = true;
    agree(h);
    ask(h, "a");
    ask(h, "b");
    a = hear(h, "a");
    n = answer(frames, hear(h, "b"), "B");
    n += answer(frames + n, a, "A");
    say(h, frames, n);
    host_wait(h, &h->n_done, 1);
    assert_null(h->link);
    link_anew(h, SHORT_USEC);
    ask(h, "c");
    ask(h, "d");
    host_wait(h, &h->n_done, 2);
    assert_int_equal(h->n_unavailable, 1);
    host_settle(h);
    assert_int_equal(h->n_done, 2);
}

/* As many as there may be, to one that does not read: they wait, and nothing is lost or asked twice. */
static void test_many(void **state)
{
    static char message[1000];
    SignLinkRequest request = {.name = "mx", .spki_sha256 = hash, .message = (uint8_t *) message};
    Host *h = *state;
    SignCall *call;

    memset(message, 'x', sizeof(message) - 1);
    agree(h);
    for (unsigned i = 0; i < PEER_CALLS_MAX; i++)
        ask(h, message);
    assert_int_equal(sign_link_call(h->link, &call, &request, on_done, h), -ENOBUFS);
    host_settle(h);
    for (unsigned i = 0; i < PEER_CALLS_MAX; i++) {
        say_answer(h, hear(h, message), "y");
        if (i % 64 == 0)
            host_settle(h);
    }
    host_wait(h, &h->n_done, PEER_CALLS_MAX);
    assert_true(hears_nothing(h));
}

static void test_too_large(void **state)
{
    _cleanup_free_ uint8_t *message = calloc(1, 64 * 1024 + 1);
    SignLinkRequest request = {.name = "mx", .spki_sha256 = hash, .message = message, .size = 64 * 1024 + 1};
    Host *h = *state;
    SignCall *call;

    assert_int_equal(sign_link_call(h->link, &call, &request, on_done, h), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answered_in_another_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_inside_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
