/* SPDX-License-Identifier: Apache-2.0 */

/* Clients and their permissions. Nothing here believes what a message says about its sender. */

#include "client.h"

int client_from_message(Client *ret, Manager *m, sd_bus_message *message)
{
    PeerServer *servers[] = {m->server, m->programs};

    for (size_t i = 0; i < ELEMENTSOF(servers); i++) {
        Client c = {.manager = m, .server = servers[i]};

        c.caller = c.server ? peer_server_caller(c.server, message) : NULL;
        if (!c.caller)
            continue;
        if (c.server == m->programs)
            c.name = assignments_user(m->assignments, peer_caller_uid(c.caller));
        else {
            c.service = certd_conf_service(m->conf, peer_caller_roles(c.caller));
            c.name = c.service ? c.service->name : NULL;
        }
        if (!c.name)
            return -EACCES;
        *ret = c;
        return 0;
    }
    return -EACCES;
}

static bool was_permitted(const Manager *m, const char *certificate, UseKind kind)
{
    uint64_t now;

    (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
    for (size_t i = 0; i < ELEMENTSOF(m->former); i++)
        if (now < m->former[i].until_usec && m->former[i].kind == kind && streq(m->former[i].certificate, certificate))
            return true;
    return false;
}

bool client_may_use(const Client *c, const char *certificate)
{
    const Manager *m = c->manager;

    if (!c->service)
        return assignments_permit(m->assignments, certificate, USE_USER, peer_caller_uid(c->caller));
    return service_conf_may_use(c->service, certificate) || assignments_permit(m->assignments, certificate, c->service->use, 0)
            || was_permitted(m, certificate, c->service->use);
}

static bool has_listener(const Assignments *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].kind == USE_LISTENER)
            return true;
    return false;
}

bool client_shows_service(const Manager *m, const ServiceConf *s, const char *certificate)
{
    if (!service_conf_may_use(s, certificate))
        return false;
    return s->use != USE_LISTENER || m->conf->smtpd_configured || !has_listener(m->assignments);
}

int client_check_message(const Client *c, const uint8_t *message, size_t size, TlsSignable *ret, const char **reterr_reason)
{
    const char *reason;

    if (c->service)
        return tls_signable(c->service->side, message, size, ret, reterr_reason);
    if (tls_signable(TLS_SIDE_CLIENT, message, size, ret, &reason) >= 0)
        return 0;
    return tls_signable(TLS_SIDE_SERVER, message, size, ret, reterr_reason);
}

Jobs *client_jobs(const Client *c)
{
    return c->service ? c->manager->jobs : c->manager->program_jobs;
}

TokenBucket *client_refusals(const Client *c)
{
    return c->service ? &c->manager->refusals : &c->manager->program_refusals;
}

int client_priority(const Client *c)
{
    return c->service ? SD_EVENT_PRIORITY_NORMAL : PROGRAMS_PRIORITY;
}
