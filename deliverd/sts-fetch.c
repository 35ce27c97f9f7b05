/* SPDX-License-Identifier: Apache-2.0 */

/* From a domain to a connection to its policy host, and the fetcher's answer. All of it has one deadline. What is our own fault (no
 * fetcher, no descriptors) is told apart from what is the policy host's: only the latter means that there is no policy. */

#include "sts-fetch.h"

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "address.h"
#include "decision.h"
#include "sts-codec.h"

#define HTTPS_PORT 443
/* One address; so that one that is dead leaves time for the others. */
#define CONNECT_TIMEOUT_USEC (10 * USEC_PER_SEC)

struct StsFetch {
    Manager *manager;
    StsFetch *previous, *next; /* manager->sts_fetches */
    char *domain, *host;
    uint64_t end_usec; /* CLOCK_MONOTONIC */
    ResolveQuery *queries[2];
    ResolveAnswer *answers[2]; /* A, AAAA */
    HostAddresses addresses;
    size_t address; /* the next to try */
    char reason[STS_REASON_MAX];
    int fd;
    bool waiting; /* connected, for a fetcher that is ready */
    bool theirs;  /* an address failed by no fault of this host */
    sd_event_source *io, *timeout, *deadline;
    sd_bus_slot *slot; /* the fetcher has it */
    StsFetchDone done;
    void *userdata;
};

/* ---- the end ---- */

static void stop_watching(StsFetch *f)
{
    f->io = sd_event_source_disable_unref(f->io);
    f->timeout = sd_event_source_disable_unref(f->timeout);
}

static void stop_connecting(StsFetch *f)
{
    stop_watching(f);
    f->fd = close_fd(f->fd);
}

StsFetch *sts_fetch_cancel(StsFetch *f)
{
    if (!f)
        return NULL;
    *(f->previous ? &f->previous->next : &f->manager->sts_fetches) = f->next;
    if (f->next)
        f->next->previous = f->previous;
    for (size_t i = 0; i < ELEMENTSOF(f->queries); i++) {
        resolve_cancel(f->queries[i]);
        resolve_answer_free(f->answers[i]);
    }
    stop_connecting(f);
    sd_event_source_disable_unref(f->deadline);
    sd_bus_slot_unref(f->slot);
    free(f->host);
    free(f->domain);
    free(f);
    return NULL;
}

/* Ends f and tells. */
static void complete(StsFetch *f, StsFetchOutcome outcome, StsPolicy *policy, const char *reason)
{
    char copy[STS_REASON_MAX]; /* of what may be f's */
    const StsFetchResult result = {.outcome = outcome, .policy = policy, .reason = copy};
    StsFetchDone done = f->done;
    void *userdata = f->userdata;

    (void) snprintf(copy, sizeof(copy), "%s", reason ?: "");
    sts_fetch_cancel(f);
    done(&result, userdata);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    StsFetch *f = userdata;

    if (f->waiting) {
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, "no fetching process is ready");
        return 0;
    }
    if (!*f->reason)
        (void) snprintf(f->reason, sizeof(f->reason), "%s could not be reached in time", f->host);
    complete(f, STS_FETCH_FAILED, NULL, f->reason);
    return 0;
}

/* ---- the fetcher ---- */

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    _cleanup_(sts_policy_unrefp) StsPolicy *policy = NULL;
    _cleanup_free_ char *reason = NULL;
    StsFetch *f = userdata;
    int r;

    r = sts_fetch_read(reply, &policy, &reason);
    if (r >= 0)
        complete(f, STS_FETCH_DONE, policy, NULL);
    else if (r == -ENODATA)
        complete(f, STS_FETCH_FAILED, NULL, reason);
    else if (r == -ENOKEY)
        complete(f, STS_FETCH_IMPOSSIBLE, NULL,
                "certd does not give the enabled authorities, by which its policy host has to be verified");
    else {
        (void) snprintf(f->reason, sizeof(f->reason), "the fetching process failed: %s", strerror(-r));
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, f->reason);
    }
    return 0;
}

static void hand_over(StsFetch *f)
{
    Worker *w = worker_pool_next(f->manager->fetchers, NULL);
    uint64_t now = 0;
    int r;

    /* At a start, and after one has died, mail does not have to wait for the next attempt. */
    f->waiting = !w;
    if (!w) {
        stop_watching(f);
        return;
    }
    (void) sd_event_now(f->manager->event, CLOCK_MONOTONIC, &now);
    r = sts_fetch_call(worker_bus(w), &f->slot, f->domain, f->end_usec > now ? f->end_usec - now : 1, f->fd, on_reply, f);
    if (r < 0) {
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, strerror(-r));
        return;
    }
    stop_connecting(f);
    /* From here on the fetcher keeps the time, and the call has an end of its own. */
    f->deadline = sd_event_source_disable_unref(f->deadline);
}

/* ---- the connection ---- */

static void next_address(StsFetch *f);

/* No address, no route or no leave of this host's to go there. */
static bool is_own_fault(int error)
{
    return error == EADDRNOTAVAIL || error == ENETUNREACH || error == EPERM || error == EACCES;
}

static void address_failed(StsFetch *f, int error)
{
    _cleanup_free_ char *address = NULL;

    f->theirs |= !is_own_fault(error);
    (void) sockaddr_to_string((const struct sockaddr *) (f->addresses.addresses + f->address - 1), &address);
    (void) snprintf(f->reason, sizeof(f->reason), "cannot connect to %s[%s]: %s", f->host, address ?: "", strerror(error));
    stop_connecting(f);
    next_address(f);
}

static int on_connected(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    StsFetch *f = userdata;
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error != 0)
        address_failed(f, error);
    else
        hand_over(f);
    return 0;
}

static int on_connect_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
    address_failed(userdata, ETIMEDOUT);
    return 0;
}

static int start_connecting(StsFetch *f, const struct sockaddr_storage *address)
{
    const socklen_t size = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int r;

    f->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0)
        return negative_errno();
    if (connect(f->fd, (const struct sockaddr *) address, size) < 0 && errno != EINPROGRESS)
        return negative_errno();
    r = sd_event_add_io(f->manager->event, &f->io, f->fd, EPOLLOUT, on_connected, f);
    if (r < 0)
        return r;
    return sd_event_add_time_relative(f->manager->event, &f->timeout, CLOCK_MONOTONIC, CONNECT_TIMEOUT_USEC, USEC_PER_SEC,
            on_connect_timeout, f);
}

static void next_address(StsFetch *f)
{
    int r;

    if (f->address >= f->addresses.n_addresses) {
        complete(f, f->address > 0 && !f->theirs ? STS_FETCH_IMPOSSIBLE : STS_FETCH_FAILED, NULL, f->reason);
        return;
    }
    r = start_connecting(f, f->addresses.addresses + f->address++);
    if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM)
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, strerror(-r));
    else if (r < 0)
        address_failed(f, -r);
}

/* ---- the addresses ---- */

static void on_address(StsFetch *f, size_t i, ResolveAnswer *answer)
{
    f->queries[i] = NULL;
    f->answers[i] = answer;
    if (!f->answers[0] || !f->answers[1])
        return;
    decision_addresses(f->host, HTTPS_PORT, f->answers[0], f->answers[1], &f->addresses);
    (void) snprintf(f->reason, sizeof(f->reason), "%s", f->addresses.reason);
    if (f->addresses.n_addresses == 0 && (f->answers[0]->own_fault || f->answers[1]->own_fault))
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, f->reason);
    else
        next_address(f);
}

static void on_a(ResolveAnswer *answer, void *userdata)
{
    on_address(userdata, 0, answer);
}

static void on_aaaa(ResolveAnswer *answer, void *userdata)
{
    on_address(userdata, 1, answer);
}

int sts_fetch_new(StsFetch **ret, Manager *m, const char *domain, StsFetchDone done, void *userdata)
{
    uint64_t now = 0;
    StsFetch *f;
    int r;

    if (!m->fetchers)
        return -EAGAIN;
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
    *f = (StsFetch) {.manager = m, .next = m->sts_fetches, .end_usec = now + STS_FETCH_TIMEOUT_USEC, .fd = -EBADF, .done = done,
            .userdata = userdata};
    if (m->sts_fetches)
        m->sts_fetches->previous = f;
    m->sts_fetches = f;
    f->domain = strdup(domain);
    if (asprintf(&f->host, "mta-sts.%s", domain) < 0)
        f->host = NULL;
    r = f->domain && f->host ? 0 : -ENOMEM;
    if (r >= 0)
        r = sd_event_add_time_relative(m->event, &f->deadline, CLOCK_MONOTONIC, STS_FETCH_TIMEOUT_USEC, USEC_PER_SEC,
                on_deadline, f);
    if (r >= 0)
        r = resolve_start(m->dnsd, &f->queries[0], f->host, DNS_TYPE_A, on_a, f);
    if (r >= 0)
        r = resolve_start(m->dnsd, &f->queries[1], f->host, DNS_TYPE_AAAA, on_aaaa, f);
    if (r < 0) {
        sts_fetch_cancel(f);
        return r;
    }
    *ret = f;
    return 0;
}

/* ---- fetchers come and go ---- */

static StsFetch *find_waiting(const Manager *m)
{
    StsFetch *f = m->sts_fetches;

    while (f && !f->waiting)
        f = f->next;
    return f;
}

void sts_fetches_worker_ready(Manager *m)
{
    StsFetch *f;

    while (worker_pool_next(m->fetchers, NULL) && (f = find_waiting(m)))
        hand_over(f);
}

static StsFetch *find_handed_over(const Manager *m)
{
    StsFetch *f = m->sts_fetches;

    while (f && !f->slot)
        f = f->next;
    return f;
}

void sts_fetches_worker_gone(Manager *m)
{
    StsFetch *f;

    while ((f = find_handed_over(m)))
        complete(f, STS_FETCH_IMPOSSIBLE, NULL, "the fetching process died");
}
