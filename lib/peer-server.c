/* SPDX-License-Identifier: Apache-2.0 */

/* Serves a peer socket: accepts connections, knows each caller by the uid of its socket, lets through what the access
 * table allows, drops who breaks the rules. It must never block, never trust what a message says about its sender, and
 * never let one peer harm the daemon or the other peers. */

#include "peer-server.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "bus-direct.h"
#include "bus-error.h"
#include "bus-group.h"

/* Answers and signals that wait because the peer does not read. Its socket's buffer (about 200 kB) is full before the first
 * does. */
#define PEER_QUEUED_MAX 2048

/* Connections of uids without a role, all together: they are served only to be told so. */
#define PEER_STRANGERS_MAX 8

/* When a connection cannot be accepted, as without a descriptor left, trying again at once would only burn the processor. */
#define PEER_ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)

struct PeerPending {
    PeerCaller *caller; /* NULL: of the system bus, or gone */
    LIST_ENTRY(PeerPending) entry;
    sd_bus_message *call;
    size_t cost;
};

struct PeerCaller {
    PeerServer *server;
    PeerCaller *next;
    PeerCaller **link; /* where the pointer to this one is */
    sd_bus *bus;
    BusMember *member;
    int watch_fd; /* a second descriptor of the socket: tells a peer that left from one that is dropped */
    uid_t uid;
    RoleMask roles;
    const char *doomed; /* why it is dropped: closed already, freed from the loop, because a handler may be using it */
    void *data;
    void (*destroy)(void *data);
    LIST_HEAD(, PeerPending) pending;
    size_t pending_cost;
};

struct PeerServer {
    sd_event *event;
    sd_event_source *accept_source;
    sd_event_source *resume_source;
    sd_event_source *reap_source;
    BusGroup *group;
    int listen_fd;
    char *description;
    const PeerAccess *access;
    const PeerObject *objects;
    PeerCaller *callers;
    PeerAdmission admission;
    bool greets_strangers;
    PeerDropped dropped;
    void *dropped_userdata;
};

static const PeerAccess greeting[] = {
    {"org.freedesktop.DBus", "Hello", ROLE_ANYONE},
    {},
};

/* What busctl needs, and what only reads. Open to everyone who has a role. */
static const PeerAccess open_access[] = {
    {"org.freedesktop.DBus", "Hello", ROLE_ANYONE},
    {"org.freedesktop.DBus.Peer", NULL, ROLE_ANYONE},
    {"org.freedesktop.DBus.Introspectable", NULL, ROLE_ANYONE},
    {"org.freedesktop.DBus.Properties", "Get", ROLE_ANYONE},
    {"org.freedesktop.DBus.Properties", "GetAll", ROLE_ANYONE},
    {},
};

static PeerCaller *caller_free(PeerCaller *c)
{
    PeerPending *p;

    if (!c)
        return NULL;
    if (c->link) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
    }
    bus_member_free(c->member);
    (void) sd_bus_close_unref(c->bus);
    (void) close_fd(c->watch_fd);
    if (c->destroy)
        c->destroy(c->data);
    while ((p = LIST_FIRST(&c->pending))) {
        LIST_REMOVE(p, entry);
        p->caller = NULL;
    }
    free(c);
    return NULL;
}
DEFINE_CLEANUP(PeerCaller, caller_free);

static void server_report_dropped(PeerServer *s, uid_t uid, const char *reason)
{
    if (s->dropped)
        s->dropped(uid, reason, s->dropped_userdata);
}

/* Ends the connection at once, and what is held for it as soon as no handler can be running for it. */
static void caller_drop(PeerCaller *c, const char *reason)
{
    sd_bus_close(c->bus);
    c->doomed = reason;
    (void) sd_event_source_set_enabled(c->server->reap_source, SD_EVENT_ONESHOT);
}

static int on_reap(sd_event_source *source, void *userdata)
{
    PeerServer *s = userdata;
    PeerCaller *c, *next;

    for (c = s->callers; c; c = next) {
        const char *reason = c->doomed;
        uid_t uid = c->uid;

        next = c->next;
        if (!reason)
            continue;
        caller_free(c);
        server_report_dropped(s, uid, reason);
    }
    return 0;
}

static bool access_allows(const PeerAccess *table, const char *interface, const char *member, RoleMask roles)
{
    for (const PeerAccess *a = table; a->interface; a++)
        if ((a->roles & roles) && streq(a->interface, interface) && (!a->member || streq(a->member, member)))
            return true;
    return false;
}

/* Always 1: a message that wants no reply is refused as well, though sd-bus says 0 then. */
static int _printf_(3, 4) message_refuse(sd_bus_message *m, const char *name, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void) sd_bus_reply_method_errorfv(m, name, format, ap);
    va_end(ap);
    return 1;
}

/* Runs before every handler. Returns 0 to let the message through, 1 when it has been dealt with. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    PeerCaller *c = userdata;
    const char *interface, *member;
    uint64_t queued;
    uint8_t type;

    if (sd_bus_get_n_queued_write(c->bus, &queued) >= 0 && queued > PEER_QUEUED_MAX) {
        caller_drop(c, "does not read its answers");
        return 1;
    }
    if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
        return 0;
    interface = sd_bus_message_get_interface(m);
    member = sd_bus_message_get_member(m);
    /* A stranger is greeted, so that busctl gets as far as showing what it is told. */
    if (c->roles == 0 && !access_allows(greeting, interface ?: "", member, ROLE_ANYONE))
        return message_refuse(m, BUS_ERROR_UNKNOWN_CALLER, "A caller with uid %u is not known to %s; %s.%s was refused.",
                c->uid, c->server->description, interface ?: "", member);
    if (c->roles == 0)
        return 0;
    if (!interface || (!access_allows(open_access, interface, member, c->roles) &&
                              !access_allows(c->server->access, interface, member, c->roles)))
        return message_refuse(m, BUS_ERROR_ACCESS_DENIED, "A caller with uid %u (%s) may not call %s.%s of %s.",
                c->uid, role_to_string(c->roles), interface ?: "", member, c->server->description);
    return 0;
}

static void caller_ended(void *userdata)
{
    PeerCaller *c = userdata;

    if (c->doomed)
        return;
    if (bus_direct_peer_left(c->watch_fd))
        caller_free(c);
    else
        caller_drop(c, "broke the bus protocol");
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    caller_ended(userdata);
    return 1;
}

/* busctl and other clients of a message bus begin with this call, and go on only when they are given a name. */
static int method_hello(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    return sd_bus_reply_method_return(m, "s", ":1.1");
}

static const sd_bus_vtable hello_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Hello", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", name), method_hello, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

/* Whether one more connection of uid fits; the reason if it does not. */
static const char *server_refuses(const PeerServer *s, uid_t uid, RoleMask roles)
{
    unsigned all = 0, same = 0, strangers = 0;

    for (const PeerCaller *c = s->callers; c; c = c->next) {
        all++;
        same += c->uid == uid;
        strangers += c->roles == 0;
    }
    if (roles == 0 && !s->greets_strangers)
        return "nothing here is for it";
    if (roles == 0 && strangers >= PEER_STRANGERS_MAX)
        return "too many connections of unknown callers";
    if (same >= s->admission.connections_per_uid_max)
        return "too many connections of its uid";
    if (all >= s->admission.connections_max)
        return "too many connections";
    return NULL;
}

static int caller_new(PeerServer *s, int fd, uid_t uid, RoleMask roles)
{
    _cleanup_close_ int owned = fd;
    _cleanup_(caller_freep) PeerCaller *c = NULL;
    int r;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->server = s;
    c->uid = uid;
    c->roles = roles;
    c->watch_fd = fcntl(owned, F_DUPFD_CLOEXEC, 3);
    if (c->watch_fd < 0)
        return negative_errno();
    r = bus_direct_new(&c->bus, NULL, TAKE_FD(owned), true, s->description);
    if (r < 0)
        return r;
    r = sd_bus_add_filter(c->bus, NULL, on_message, c);
    if (r < 0)
        return r;
    r = bus_direct_match_disconnected(c->bus, on_disconnected, c);
    if (r < 0)
        return r;
    r = sd_bus_add_object_vtable(c->bus, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", hello_vtable, NULL);
    if (r < 0)
        return r;
    for (const PeerObject *o = s->objects; o->path; o++) {
        r = sd_bus_add_object_vtable(c->bus, NULL, o->path, o->interface, o->vtable, o->userdata);
        if (r < 0)
            return r;
    }
    r = bus_group_add(s->group, &c->member, c->bus, c->watch_fd, caller_ended, c);
    if (r < 0)
        return r;
    c->link = &s->callers;
    c->next = s->callers;
    if (c->next)
        c->next->link = &c->next;
    s->callers = c;
    (void) TAKE_PTR(c);
    return 0;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
    PeerServer *s = userdata;

    return sd_event_source_set_enabled(s->accept_source, SD_EVENT_ON);
}

static int server_pause_accepting(PeerServer *s)
{
    int r;

    r = sd_event_source_set_time_relative(s->resume_source, PEER_ACCEPT_PAUSE_USEC);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(s->resume_source, SD_EVENT_ONESHOT);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(s->accept_source, SD_EVENT_OFF);
}

/* Never fails: what is wrong with one connection is no matter of the loop's. */
static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata)
{
    PeerServer *s = userdata;
    _cleanup_close_ int fd = -EBADF;
    struct ucred cred;
    socklen_t length = sizeof(cred);
    const char *reason;
    RoleMask roles;

    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* Whatever else it is (no descriptors, no memory, not permitted): at once it would only be the same again. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            (void) server_pause_accepting(s);
        return 0;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0 || length != sizeof(cred))
        return 0;
    roles = s->admission.roles(cred.uid, s->admission.userdata);
    reason = server_refuses(s, cred.uid, roles);
    if (!reason && caller_new(s, TAKE_FD(fd), cred.uid, roles) < 0)
        reason = "no resources for its connection";
    if (reason)
        server_report_dropped(s, cred.uid, reason);
    return 0;
}

static RoleMask roles_of_suite(uid_t uid, void *userdata)
{
    return role_from_uid(uid);
}

int peer_server_new(PeerServer **ret, sd_event *event, int listen_fd, const char *description,
        const PeerAccess *access, const PeerObject *objects)
{
    _cleanup_(peer_server_freep) PeerServer *s = NULL;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->listen_fd = -EBADF;
    s->event = sd_event_ref(event);
    s->access = access;
    s->objects = objects;
    s->greets_strangers = true;
    s->admission = (PeerAdmission) {
        .roles = roles_of_suite,
        .connections_max = PEER_CONNECTIONS_MAX,
        .connections_per_uid_max = PEER_CONNECTIONS_PER_UID_MAX,
        .priority = SD_EVENT_PRIORITY_NORMAL,
    };
    s->description = strdup(description);
    if (!s->description)
        return -ENOMEM;
    if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0)
        return negative_errno();
    r = sd_event_add_io(event, &s->accept_source, listen_fd, EPOLLIN, on_accept, s);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &s->resume_source, CLOCK_MONOTONIC, 0, 0, on_resume, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(s->resume_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    r = bus_group_new(&s->group, event);
    if (r < 0)
        return r;
    r = sd_event_add_defer(event, &s->reap_source, on_reap, s);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(s->reap_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    s->listen_fd = listen_fd;
    *ret = TAKE_PTR(s);
    return 0;
}

PeerServer *peer_server_free(PeerServer *s)
{
    if (!s)
        return NULL;
    while (s->callers)
        caller_free(s->callers);
    bus_group_free(s->group);
    sd_event_source_disable_unref(s->accept_source);
    sd_event_source_disable_unref(s->resume_source);
    sd_event_source_disable_unref(s->reap_source);
    sd_event_unref(s->event);
    (void) close_fd(s->listen_fd);
    free(s->description);
    free(s);
    return NULL;
}

int peer_server_set_admission(PeerServer *s, const PeerAdmission *admission)
{
    int r;

    s->admission = *admission;
    s->greets_strangers = false;
    r = bus_group_set_priority(s->group, admission->priority);
    return r < 0 ? r : sd_event_source_set_priority(s->accept_source, admission->priority);
}

void peer_server_readmit(PeerServer *s)
{
    for (PeerCaller *c = s->callers; c; c = c->next) {
        c->roles = s->admission.roles(c->uid, s->admission.userdata);
        if (c->roles == 0 && !s->greets_strangers && !c->doomed)
            caller_drop(c, "nothing here is for it any more");
    }
}

void peer_server_set_dropped(PeerServer *s, PeerDropped dropped, void *userdata)
{
    s->dropped = dropped;
    s->dropped_userdata = userdata;
}

PeerCaller *peer_server_caller(PeerServer *s, sd_bus_message *m)
{
    sd_bus *bus = sd_bus_message_get_bus(m);

    for (PeerCaller *c = s->callers; c; c = c->next)
        if (c->bus == bus)
            return c;
    return NULL;
}

uid_t peer_caller_uid(const PeerCaller *c)
{
    return c->uid;
}

RoleMask peer_caller_roles(const PeerCaller *c)
{
    return c->roles;
}

void *peer_caller_data(const PeerCaller *c)
{
    return c->data;
}

void peer_caller_attach(PeerCaller *c, void *data, void (*destroy)(void *data))
{
    c->data = data;
    c->destroy = destroy;
}

int peer_pending_new(PeerPending **ret, PeerServer *s, sd_bus_message *call, size_t size, sd_bus_error *reterr_error)
{
    PeerCaller *c = peer_server_caller(s, call);
    PeerPending *p;

    if (c && (size > PEER_PENDING_MAX - PEER_PENDING_COST || c->pending_cost > PEER_PENDING_MAX - PEER_PENDING_COST - size))
        return sd_bus_error_set(reterr_error, BUS_ERROR_LIMIT_EXCEEDED,
                "Too many calls of this connection wait for their answers.");
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->cost = PEER_PENDING_COST + size;
    p->call = sd_bus_message_ref(call);
    if (c) {
        p->caller = c;
        c->pending_cost += p->cost;
        LIST_INSERT_HEAD(&c->pending, p, entry);
    }
    *ret = p;
    return 0;
}

sd_bus_message *peer_pending_call(const PeerPending *p)
{
    return p->call;
}

PeerPending *peer_pending_free(PeerPending *p)
{
    if (!p)
        return NULL;
    if (p->caller) {
        p->caller->pending_cost -= p->cost;
        LIST_REMOVE(p, entry);
    }
    sd_bus_message_unref(p->call);
    free(p);
    return NULL;
}

static int caller_send_signal(PeerCaller *c, const char *path, const char *interface, const char *member, const char *types,
        va_list ap)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_signal(c->bus, &m, path, interface, member);
    if (r < 0)
        return r;
    if (types && *types) {
        r = sd_bus_message_appendv(m, types, ap);
        if (r < 0)
            return r;
    }
    return sd_bus_send(c->bus, m, NULL);
}

int peer_server_emit(PeerServer *s, RoleMask roles, const char *path, const char *interface, const char *member,
        const char *types, ...)
{
    int r = 0;

    for (PeerCaller *c = s->callers; c; c = c->next) {
        uint64_t queued;
        va_list ap;
        int k;

        /* One that is still authenticating asks for the state first thing when it is connected. */
        if (!(c->roles & roles) || sd_bus_is_ready(c->bus) <= 0)
            continue;
        va_start(ap, types);
        k = caller_send_signal(c, path, interface, member, types, ap);
        va_end(ap);
        if (k < 0 && k != -ENOTCONN && k != -ECONNRESET)
            r = k;
        if (sd_bus_get_n_queued_write(c->bus, &queued) >= 0 && queued > PEER_QUEUED_MAX)
            caller_drop(c, "does not read its signals");
    }
    return r;
}

unsigned peer_server_connections(const PeerServer *s)
{
    unsigned n = 0;

    for (const PeerCaller *c = s->callers; c; c = c->next)
        n++;
    return n;
}
