/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's side of the enabled authorities. It must never hold mail up because certd is away: then who has to be verified is
 * not, and that mail waits in the queue. Runs in the sandbox: nothing here opens a file. */

#include "server-authorities.h"

#include "authorities-client.h"

struct ServerAuthorities {
    AuthoritiesClient *client;
    ServerAuthoritiesChanged changed;
    void *userdata;
    sd_event_source *wait; /* NULL: it is over */
};

static void end_wait(ServerAuthorities *a)
{
    a->wait = sd_event_source_disable_unref(a->wait);
}

static void on_changed(AuthoritiesClient *client, int error, const char *reason, void *userdata)
{
    ServerAuthorities *a = userdata;

    end_wait(a);
    a->changed(error, reason, a->userdata);
}

static int on_wait_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    ServerAuthorities *a = userdata;

    end_wait(a);
    a->changed(0, NULL, a->userdata);
    return 0;
}

int server_authorities_new(ServerAuthorities **ret, PeerClient *certd, ServerAuthoritiesChanged changed, void *userdata)
{
    _cleanup_(server_authorities_freep) ServerAuthorities *a = calloc(1, sizeof(*a));
    int r;

    if (!a)
        return -ENOMEM;
    a->changed = changed;
    a->userdata = userdata;
    r = sd_event_add_time_relative(peer_client_event(certd), &a->wait, CLOCK_MONOTONIC, SERVER_AUTHORITIES_WAIT_USEC, 0,
            on_wait_over, a);
    if (r < 0)
        return r;
    r = authorities_client_new(&a->client, certd, NULL, on_changed, a);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(a);
    return 0;
}

ServerAuthorities *server_authorities_free(ServerAuthorities *a)
{
    if (!a)
        return NULL;
    end_wait(a);
    authorities_client_free(a->client);
    free(a);
    return NULL;
}

bool server_authorities_pending(const ServerAuthorities *a)
{
    return a->wait;
}

X509_STORE *server_authorities_store(const ServerAuthorities *a)
{
    return authorities_client_store(a->client);
}
