/* SPDX-License-Identifier: Apache-2.0 */

/* The whole SMTP client against a server that says anything at any time. The first byte chooses what is wanted; in the rest a NUL
 * byte stands for "now wait for what the client does". Such a server cannot do a TLS handshake, so where TLS is required no
 * envelope may ever be seen, and nobody may be reported as having got the message without a reply that says so. */

#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "smtp-client.h"

#define MESSAGE "Subject: x\r\n\r\n.\r\n"

typedef struct Attempt {
    bool done;
    SmtpTlsWant want;
    size_t n_recipients;
} Attempt;

/* What lives as long as the process. */
static sd_event *event;
static SSL_CTX *tls;
static int message_fd = -EBADF;

static void prepare(void)
{
    if (event)
        return;
    (void) signal(SIGPIPE, SIG_IGN);
    FUZZ_CHECK(sd_event_new(&event) >= 0);
    FUZZ_CHECK(tls_client_context_new(&tls, NULL) >= 0);
    message_fd = memfd_create("message", MFD_CLOEXEC);
    FUZZ_CHECK(write(message_fd, MESSAGE, strlen(MESSAGE)) == (ssize_t) strlen(MESSAGE));
}

static void on_done(SmtpClient *c, const SmtpResult *result, void *userdata)
{
    Attempt *a = userdata;
    bool taken = false;

    FUZZ_CHECK(!a->done);
    a->done = true;
    FUZZ_CHECK(!result->tls_used && result->verify == TLS_VERIFY_NONE);
    for (size_t i = 0; i < a->n_recipients; i++)
        taken = taken || result->recipients[i].code / 100 == 2;
    FUZZ_CHECK(taken == (result->stage == SMTP_STAGE_DONE));
    if (a->want >= SMTP_TLS_REQUIRED)
        FUZZ_CHECK(result->stage <= SMTP_STAGE_HANDSHAKE);
}

static void run_until_idle(void)
{
    while (sd_event_run(event, 0) > 0)
        ;
}

/* What the client has said since the last time: nothing secret where TLS is required. */
static void listen_to(int fd, const Attempt *a)
{
    char said[64 * 1024];
    ssize_t n;

    while ((n = read(fd, said, sizeof(said))) > 0)
        if (a->want >= SMTP_TLS_REQUIRED)
            FUZZ_CHECK(!memmem(said, (size_t) n, "MAIL FROM", 9) && !memmem(said, (size_t) n, "RCPT TO", 7));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const recipients[] = {"a@example.com", "b@example.com", "c@example.com"};
    static const uint8_t digest[32];
    static const TlsaRecord record = {3, 1, 1, digest, sizeof(digest)};
    _cleanup_(smtp_client_freep) SmtpClient *client = NULL;
    _cleanup_close_ int server = -EBADF;
    SmtpRequest request;
    Attempt a = {};
    int fds[2];

    if (size == 0)
        return 0;
    prepare();
    a.want = data[0] % (SMTP_TLS_DANE + 1);
    a.n_recipients = 1 + data[0] / 16 % ELEMENTSOF(recipients);
    request = (SmtpRequest){
        .helo = "gw.example.org",
        .want = a.want,
        .tls = tls,
        .dane_base = "mx.example.com",
        .tlsa = &record,
        .n_tlsa = 1,
        .sender = "alice@example.org",
        .recipients = recipients,
        .n_recipients = a.n_recipients,
        .message_fd = message_fd,
        .message_size = strlen(MESSAGE),
    };
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    server = fds[0];
    FUZZ_CHECK(smtp_client_new(&client, event, fds[1], &request, on_done, &a) >= 0);
    run_until_idle();
    for (data++, size--; size > 0 && !a.done;) {
        const uint8_t *pause = memchr(data, '\0', size);
        size_t n = pause ? (size_t) (pause - data) : size;

        /* A full socket loses the rest: the client has stopped to read. */
        if (write(server, data, n) < 0)
            break;
        run_until_idle();
        listen_to(server, &a);
        data += pause ? n + 1 : n;
        size -= pause ? n + 1 : n;
    }
    FUZZ_CHECK(shutdown(server, SHUT_WR) == 0);
    run_until_idle();
    listen_to(server, &a);
    FUZZ_CHECK(a.done);
    client = smtp_client_free(client);
    close_fdp(&server);
    server = -EBADF;
    run_until_idle();
    return 0;
}
