/* SPDX-License-Identifier: Apache-2.0 */

/* usage: verify-peers AUTHORITIES.pem <peers >verdicts
 *
 * One SMTP attempt with STARTTLS after the other, by the client and the verification of the suite, for tests that compare its
 * verdict with those of other programs. A line a peer:
 *
 *     ADDRESS PORT dane BASE,NAME… USAGE:SELECTOR:MATCHING:HEX…
 *     ADDRESS PORT pkix NAME,NAME…
 *
 * and a line for each of them: "dane", "pkix", what else lib/tls-verify.h calls it; "unusable" if no record counts for SMTP,
 * or "-" and the stage at which the attempt ended before there was TLS. Records are filtered as deliverd does it. Never installed. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <signal.h>
#include <sys/socket.h>

#include "smtp-client.h"

#define NAMES_MAX 4
#define RECORDS_MAX 8
#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Peer {
    struct sockaddr_in address;
    bool dane;
    char *names[NAMES_MAX + 1]; /* into the line; NULL-ended */
    TlsaRecord records[RECORDS_MAX];
    size_t n_records, n_usable;
} Peer;

static void free_records(Peer *p)
{
    for (size_t i = 0; i < p->n_records; i++)
        OPENSSL_free((void *) p->records[i].data);
}

/* "3:1:1:0a…": one that is not usable is counted only. */
static int parse_record(Peer *p, const char *word)
{
    TlsaRecord *r = &p->records[p->n_records];
    int at = 0;
    long size;

    if (p->n_records == RECORDS_MAX || sscanf(word, "%hhu:%hhu:%hhu:%n", &r->usage, &r->selector, &r->mtype, &at) != 3 || at == 0)
        return -EINVAL;
    r->data = OPENSSL_hexstr2buf(word + at, &size);
    if (!r->data)
        return -EINVAL;
    r->size = (size_t) size;
    p->n_records++;
    if (tlsa_usable(r))
        p->n_usable++;
    return 0;
}

/* Cuts the line into pieces that *ret points to. */
static int parse_peer(char *line, Peer *ret)
{
    char *save = NULL, *more = NULL, *address = strtok_r(line, " \n", &save), *port = strtok_r(NULL, " \n", &save),
         *kind = strtok_r(NULL, " \n", &save), *names = strtok_r(NULL, " \n", &save);
    size_t n = 0;
    int r;

    *ret = (Peer){.address.sin_family = AF_INET};
    if (!names || inet_pton(AF_INET, address, &ret->address.sin_addr) != 1)
        return -EINVAL;
    ret->address.sin_port = htons((uint16_t) atoi(port));
    ret->dane = streq(kind, "dane");
    for (char *name = strtok_r(names, ",", &more); name && n < NAMES_MAX; name = strtok_r(NULL, ",", &more))
        ret->names[n++] = name;
    for (char *word = strtok_r(NULL, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        r = parse_record(ret, word);
        if (r < 0)
            return r;
    }
    return 0;
}

static void on_done(SmtpClient *c, const SmtpResult *result, void *userdata)
{
    bool *done = userdata;

    if (result->tls_used)
        printf("%s\n", tls_verify_to_string(result->verify));
    else
        printf("- %s\n", smtp_stage_to_string(result->stage));
    *done = true;
}

static int verify(sd_event *event, SSL_CTX *tls, X509_STORE *authorities, const Peer *p)
{
    static const char *const recipients[] = {"postmaster@chains.lab"};
    _cleanup_(smtp_client_freep) SmtpClient *client = NULL;
    _cleanup_close_ int fd = -EBADF;
    bool done = false;
    SmtpRequest q = {
        .helo = "client.lab",
        .server_name = p->names[0],
        .want = p->dane ? SMTP_TLS_DANE : SMTP_TLS_VERIFY,
        .tls = tls,
        .authorities = authorities,
        .reference = {.names = (const char *const *) p->names + (p->dane ? 1 : 0), .rule = TLS_NAMES_HOSTED},
        .dane_base = p->names[0],
        .tlsa = p->records,
        .n_tlsa = p->n_records,
        .sender = "",
        .recipients = recipients,
        .n_recipients = 1,
        .message_fd = -EBADF,
        .timeout_usec = PATIENCE_USEC,
    };
    int r;

    if (p->dane && p->n_usable == 0) {
        printf("unusable\n");
        return 0;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect(fd, (const struct sockaddr *) &p->address, sizeof(p->address)) < 0 && errno != EINPROGRESS))
        return negative_errno();
    r = smtp_client_new(&client, event, fd, &q, on_done, &done);
    if (r < 0)
        return r;
    (void) TAKE_FD(fd);
    while (!done && r >= 0)
        r = sd_event_run(event, UINT64_MAX);
    return r;
}

static int run(const char *authorities_path)
{
    _cleanup_free_ char *line = NULL;
    X509_STORE *authorities = X509_STORE_new();
    sd_event *event = NULL;
    SSL_CTX *tls = NULL;
    size_t allocated = 0;
    int r;

    if (!authorities || X509_STORE_load_file(authorities, authorities_path) != 1)
        return -EBADMSG;
    r = sd_event_new(&event);
    if (r >= 0)
        r = tls_client_context_new(&tls, NULL);
    while (r >= 0 && getline(&line, &allocated, stdin) > 0) {
        Peer p;

        r = parse_peer(line, &p);
        if (r >= 0)
            r = verify(event, tls, authorities, &p);
        free_records(&p);
    }
    SSL_CTX_free(tls);
    X509_STORE_free(authorities);
    sd_event_unref(event);
    return r;
}

int main(int argc, char *argv[])
{
    int r;

    (void) signal(SIGPIPE, SIG_IGN);
    if (argc != 2) {
        fprintf(stderr, "usage: %s AUTHORITIES.pem\n", argv[0]);
        return EXIT_FAILURE;
    }
    r = run(argv[1]);
    if (r < 0)
        fprintf(stderr, "verify-peers: %s\n", strerror(-r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
