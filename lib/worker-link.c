/* SPDX-License-Identifier: Apache-2.0 */

/* The worker's side of its link to the manager. After the sandbox is entered it opens nothing: what a worker needs comes
 * as a descriptor. It must never wake an idle process: counters are sent only when there is something to send. */

#include "worker.h"

#include <fcntl.h>
#include <sys/prctl.h>

#include "bus-direct.h"

#define COUNTERS_INTERVAL_USEC USEC_PER_SEC

struct WorkerLink {
    sd_event *event;
    sd_event_source *counters_source;
    sd_bus *bus;
    WorkerLinkOps ops;
    void *userdata;
    bool stopped;
    struct {
        const char *name;
        uint64_t delta;
    } counters[WORKER_COUNTERS_MAX];
    size_t n_counters;
};

/* Once, whoever asks for it: the manager by Stop(), or by its end. */
static void link_stop(WorkerLink *l)
{
    if (l->stopped)
        return;
    l->stopped = true;
    if (l->ops.stop)
        l->ops.stop(l->userdata);
}

static int method_configure(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    WorkerLink *l = userdata;
    int fd, r;

    r = sd_bus_message_read(m, "h", &fd);
    if (r < 0)
        return r;
    if (l->ops.configure) {
        r = l->ops.configure(fd, l->userdata);
        if (r < 0)
            return r;
    }
    return sd_bus_reply_method_return(m, NULL);
}

static int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    int r = sd_bus_reply_method_return(m, NULL);

    link_stop(userdata);
    return r < 0 ? r : 1;
}

static const sd_bus_vtable link_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Configure", SD_BUS_ARGS("h", configuration), SD_BUS_NO_RESULT, method_configure,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Stop", NULL, NULL, method_stop, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static int on_manager_gone(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    link_stop(userdata);
    return 1;
}

static int link_call_manager(WorkerLink *l, const char *member, sd_bus_message **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(l->bus, &m, NULL, WORKER_PATH, WORKER_MANAGER_INTERFACE, member);
    if (r < 0)
        return r;
    r = sd_bus_message_set_expect_reply(m, false);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

static int link_send_counters(WorkerLink *l)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = link_call_manager(l, "Counters", &m);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "{st}");
    if (r < 0)
        return r;
    for (size_t i = 0; i < l->n_counters; i++) {
        if (l->counters[i].delta == 0)
            continue;
        r = sd_bus_message_append(m, "{st}", l->counters[i].name, l->counters[i].delta);
        if (r < 0)
            return r;
    }
    r = sd_bus_message_close_container(m);
    if (r < 0)
        return r;
    r = sd_bus_send(l->bus, m, NULL);
    if (r < 0)
        return r;
    for (size_t i = 0; i < l->n_counters; i++)
        l->counters[i].delta = 0;
    return 0;
}

static int on_counters(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void) link_send_counters(userdata); /* kept for the next time */
    return 0;
}

/* In ps and top: "smtpd-worker" instead of the "exe" of /proc/self/exe. */
static void set_process_name(void)
{
    const char *program = program_invocation_short_name;
    char name[16];

    if (strncmp(program, "postern-", strlen("postern-")) == 0)
        program += strlen("postern-");
    (void) snprintf(name, sizeof(name), "%.*s-worker", (int) MIN(strcspn(program, ":"), (size_t) 8), program);
    (void) prctl(PR_SET_NAME, name);
}

int worker_link_new(WorkerLink **ret, sd_event *event, const WorkerLinkOps *ops, void *userdata)
{
    _cleanup_(worker_link_freep) WorkerLink *l = NULL;
    int r;

    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->event = sd_event_ref(event);
    l->ops = *ops;
    l->userdata = userdata;
    if (fcntl(WORKER_LINK_FD, F_SETFD, FD_CLOEXEC) < 0)
        return negative_errno();
    r = bus_direct_new(&l->bus, event, WORKER_LINK_FD, false, "manager");
    if (r < 0)
        return r;
    r = bus_direct_match_disconnected(l->bus, on_manager_gone, l);
    if (r < 0)
        return r;
    r = sd_bus_add_object_vtable(l->bus, NULL, WORKER_PATH, WORKER_INTERFACE, link_vtable, l);
    if (r < 0)
        return r;
    if (ops->vtable) {
        r = sd_bus_add_object_vtable(l->bus, NULL, WORKER_PATH, ops->interface, ops->vtable, userdata);
        if (r < 0)
            return r;
    }
    r = sd_event_add_time(event, &l->counters_source, CLOCK_MONOTONIC, 0, 0, on_counters, l);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(l->counters_source, SD_EVENT_OFF);
    if (r < 0)
        return r;
    set_process_name();
    *ret = TAKE_PTR(l);
    return 0;
}

WorkerLink *worker_link_free(WorkerLink *l)
{
    if (!l)
        return NULL;
    if (l->bus)
        (void) link_send_counters(l);
    sd_bus_close_unref(l->bus);
    sd_event_source_disable_unref(l->counters_source);
    sd_event_unref(l->event);
    free(l);
    return NULL;
}

int worker_link_ready(WorkerLink *l)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = link_call_manager(l, "Ready", &m);
    if (r < 0)
        return r;
    return sd_bus_send(l->bus, m, NULL);
}

sd_bus *worker_link_bus(WorkerLink *l)
{
    return l->bus;
}

static int on_peer_connection(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    int fd, r;

    if (sd_bus_message_is_method_error(m, NULL)) {
        r = -sd_bus_message_get_errno(m);
        peer_connector_take_fd(userdata, r < 0 ? r : -EIO);
        return 1;
    }
    r = sd_bus_message_read(m, "h", &fd);
    if (r >= 0) {
        /* The message owns the one it came with. */
        r = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (r < 0)
            r = negative_errno();
    }
    peer_connector_take_fd(userdata, r);
    return 1;
}

static int fetch_from_manager(PeerConnector *c, const char *name, void *userdata)
{
    WorkerLink *l = userdata;
    sd_bus_slot *slot = NULL;
    int r;

    r = sd_bus_call_method_async(l->bus, &slot, NULL, WORKER_PATH, WORKER_MANAGER_INTERFACE, "ConnectPeer", on_peer_connection, c,
            "s", name);
    if (r < 0)
        return r;
    peer_connector_set_fetch_slot(c, slot);
    return 0;
}

int worker_link_peer(WorkerLink *l, const char *name, PeerClient **ret)
{
    return peer_client_new_fetched(ret, l->event, name, fetch_from_manager, l);
}

void worker_link_count(WorkerLink *l, const char *name, uint64_t delta)
{
    int enabled = SD_EVENT_OFF;
    size_t i;

    for (i = 0; i < l->n_counters; i++)
        if (l->counters[i].name == name || streq(l->counters[i].name, name))
            break;
    if (i == ELEMENTSOF(l->counters))
        return;
    if (i == l->n_counters) {
        l->counters[i].name = name;
        l->n_counters++;
    }
    l->counters[i].delta += delta;
    (void) sd_event_source_get_enabled(l->counters_source, &enabled);
    if (enabled != SD_EVENT_OFF)
        return;
    (void) sd_event_source_set_time_relative(l->counters_source, COUNTERS_INTERVAL_USEC);
    (void) sd_event_source_set_enabled(l->counters_source, SD_EVENT_ONESHOT);
}
