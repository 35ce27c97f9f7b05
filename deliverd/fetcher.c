/* SPDX-License-Identifier: Apache-2.0 */

/* Fetches MTA-STS policies: a process of its own, as HTTPS brings more code than mail needs, and none of it should see mail. It
 * gets a domain and a connected socket, and gives a policy back, parsed. Everything that opens a file is done before
 * sandbox_enter(); there is no byte from the network before it. It logs nothing about policies: the manager does. */

#include "fetcher.h"

#include <sys/queue.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "bus-error.h"
#include "daemon.h"
#include "https-get.h"
#include "log.h"
#include "sandbox.h"
#include "server-authorities.h"
#include "sts-codec.h"
#include "worker.h"

/* More at once than the manager has under way. */
#define FETCHES_MAX 256
#define POLICY_PATH "/.well-known/mta-sts.txt"

typedef struct Fetcher Fetcher;

typedef struct Fetch {
    Fetcher *fetcher;
    sd_bus_message *call;
    StsFetchCall arguments;
    HttpsGet *get; /* NULL while it waits for certd's first answer */
    TAILQ_ENTRY(Fetch) entries;
} Fetch;

struct Fetcher {
    sd_event *event;
    WorkerLink *link;
    PeerClient *certd;
    ServerAuthorities *authorities;
    HttpsClient *https;
    TAILQ_HEAD(, Fetch) fetches;
    unsigned n_fetches;
    bool stopping;
};

/* ---- fetches ---- */

static Fetch *fetch_free(Fetch *f)
{
    if (!f)
        return NULL;
    f->get = https_get_free(f->get);
    sts_fetch_call_done(&f->arguments);
    f->call = sd_bus_message_unref(f->call);
    free(f);
    return NULL;
}
DEFINE_CLEANUP(Fetch, fetch_free);

static void remove_fetch(Fetch *f)
{
    Fetcher *fetcher = f->fetcher;

    TAILQ_REMOVE(&fetcher->fetches, f, entries);
    fetcher->n_fetches--;
    fetch_free(f);
}

static void exit_if_drained(Fetcher *f)
{
    if (f->stopping && f->n_fetches == 0)
        (void) sd_event_exit(f->event, 0);
}

/* Without any answer the manager would wait until its deadline. */
static void fail(Fetch *f, int error)
{
    (void) sd_bus_reply_method_errno(f->call, error, NULL);
    remove_fetch(f);
}

static int answer(Fetch *f, const char *body, size_t size, const char *reason)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    char text[STS_REASON_MAX];
    const char *wrong = "";
    int r;

    if (reason)
        return sts_fetch_reply_failed(f->call, reason);
    r = sts_policy_parse(body, size, &policy, &wrong);
    if (r >= 0)
        return sts_fetch_reply(f->call, policy);
    if (r != -EBADMSG)
        return r;
    (void) snprintf(text, sizeof(text), "the policy is malformed: %s", wrong);
    return sts_fetch_reply_failed(f->call, text);
}

static void on_got(const char *body, size_t size, const char *reason, void *userdata)
{
    Fetch *f = userdata;
    Fetcher *fetcher = f->fetcher;
    int r;

    worker_link_count(fetcher->link, reason ? "FailedPolicyFetches" : "PolicyFetches", 1);
    r = answer(f, body, size, reason);
    if (r < 0)
        fail(f, r);
    else
        remove_fetch(f);
    exit_if_drained(fetcher);
}

static int fetch_begin(Fetch *f)
{
    X509_STORE *authorities = server_authorities_store(f->fetcher->authorities);
    _cleanup_free_ char *host = NULL;
    int r;

    /* Nobody can be verified: that is not the policy host's fault. */
    if (!authorities)
        return -ENOKEY;
    if (asprintf(&host, "mta-sts.%s", f->arguments.domain) < 0) {
        host = NULL;
        return -ENOMEM;
    }
    const HttpsRequest request = {.host = host, .path = POLICY_PATH, .authorities = authorities, .size_max = STS_POLICY_MAX,
            .timeout_usec = f->arguments.timeout_usec};
    r = https_get_new(&f->get, f->fetcher->https, &request, f->arguments.socket_fd, on_got, f);
    if (r >= 0)
        (void) TAKE_FD(f->arguments.socket_fd);
    return r;
}

/* certd has answered, or there is nothing to wait for any more. */
static void on_authorities(int error, const char *reason, void *userdata)
{
    Fetcher *fetcher = userdata;
    Fetch *f, *next;
    int r;

    if (error < 0)
        log_warning("The enabled authorities cannot be taken over, policy hosts are verified by those of before: %s", reason);
    for (f = TAILQ_FIRST(&fetcher->fetches); f; f = next) {
        next = TAILQ_NEXT(f, entries);
        if (f->get)
            continue;
        r = fetch_begin(f);
        if (r < 0)
            fail(f, r);
    }
    exit_if_drained(fetcher);
}

static int method_fetch(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(fetch_freep) Fetch *f = NULL;
    Fetcher *fetcher = userdata;
    int r;

    if (fetcher->stopping)
        return sd_bus_error_set(error, BUS_ERROR_UNAVAILABLE, "The fetcher is stopping");
    if (fetcher->n_fetches == FETCHES_MAX)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many fetches at once");
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->fetcher = fetcher;
    f->arguments.socket_fd = -EBADF;
    f->call = sd_bus_message_ref(m);
    r = sts_fetch_call_read(m, &f->arguments);
    if (r < 0)
        return r;
    if (!server_authorities_pending(fetcher->authorities)) {
        r = fetch_begin(f);
        if (r < 0)
            return r;
    }
    TAILQ_INSERT_TAIL(&fetcher->fetches, f, entries);
    fetcher->n_fetches++;
    (void) TAKE_PTR(f);
    return 1;
}

/* ---- life ---- */

static void end_fetches(Fetcher *fetcher)
{
    Fetch *f;

    while ((f = TAILQ_FIRST(&fetcher->fetches)))
        remove_fetch(f);
}

/* A policy that is not there when the service stops is fetched after the next start: nothing is waited for. */
static void link_stop(void *userdata)
{
    Fetcher *fetcher = userdata;

    fetcher->stopping = true;
    end_fetches(fetcher);
    exit_if_drained(fetcher);
}

static int on_terminate(void *userdata)
{
    link_stop(userdata);
    return 0;
}

static const sd_bus_vtable fetcher_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Fetch", SD_BUS_ARGS("s", domain, "t", timeout_usec, "h", socket),
            SD_BUS_RESULT("s", mode, "u", max_age, "as", mx), method_fetch, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const WorkerLinkOps link_ops = {
    .stop = link_stop,
    .interface = FETCHER_INTERFACE,
    .vtable = fetcher_vtable,
};

static Fetcher *fetcher_free(Fetcher *f)
{
    if (!f)
        return NULL;
    end_fetches(f);
    f->authorities = server_authorities_free(f->authorities);
    f->certd = peer_client_free(f->certd);
    f->https = https_client_free(f->https);
    f->link = worker_link_free(f->link);
    f->event = sd_event_unref(f->event);
    free(f);
    return NULL;
}
DEFINE_CLEANUP(Fetcher, fetcher_free);

static int fetcher_new(Fetcher **ret)
{
    _cleanup_(fetcher_freep) Fetcher *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    TAILQ_INIT(&f->fetches);
    tzset();
    r = daemon_event_new(&f->event, on_terminate, NULL, f);
    if (r < 0)
        return r;
    r = https_client_new(&f->https, f->event);
    if (r < 0)
        return r;
    r = worker_link_new(&f->link, f->event, &link_ops, f);
    if (r < 0)
        return r;
    r = worker_link_peer(f->link, "certd", &f->certd);
    if (r < 0)
        return r;
    r = server_authorities_new(&f->authorities, f->certd, on_authorities, f);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(f);
    return 0;
}

int fetcher_run(void)
{
    _cleanup_(fetcher_freep) Fetcher *f = NULL;
    int r;

    r = fetcher_new(&f);
    if (r < 0)
        return log_error_errno(r, "Failed to start the fetching process: %m");
    /* libcurl 7.88 connects the socket that it was told is connected. */
    r = sandbox_enter(SANDBOX_BASE | SANDBOX_CONNECTED);
    if (r < 0)
        return log_error_errno(r, "Failed to enter the sandbox: %m");
    r = worker_link_ready(f->link);
    if (r < 0)
        return log_error_errno(r, "Failed to report to the manager: %m");
    r = sd_event_loop(f->event);
    if (r < 0)
        return log_error_errno(r, "Event loop failed: %m");
    return 0;
}
