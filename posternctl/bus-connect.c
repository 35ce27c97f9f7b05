/* SPDX-License-Identifier: Apache-2.0 */

/* Connections and calls. Everything waits: posternctl has nothing else to do. It must never start a daemon only to tell how it
 * is. */

#include "bus-connect.h"

#include <stdarg.h>

#include "polkit-agent.h"

#define RUNTIME_DIRECTORY "/run/postern"
#define SYSTEMD_SOCKET "/run/systemd/private"
/* Includes ssh, which may ask for a passphrase. */
#define CONNECT_TIMEOUT_USEC (90 * USEC_PER_SEC)
/* Somebody types a password; more than the daemons wait for polkit. */
#define INTERACTIVE_TIMEOUT_USEC (150 * USEC_PER_SEC)

const BusService service_smtpd = {"smtpd", "org.postern.Smtp1", "/org/postern/Smtp1", "org.postern.Smtp1"};
const BusService service_deliverd = {"deliverd", "org.postern.Delivery1", "/org/postern/Delivery1", "org.postern.Delivery1"};
const BusService service_certd = {"certd", "org.postern.Cert1", "/org/postern/Cert1", "org.postern.Cert1"};
const BusService service_dnsd = {"dnsd", "org.postern.Dns1", "/org/postern/Dns1", "org.postern.Dns1"};
const BusService service_alertd = {"alertd", "org.postern.Alert1", "/org/postern/Alert1", "org.postern.Alert1"};
const BusService service_systemd = {"systemd", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager"};

const BusService *const bus_services[] = {
    &service_smtpd,
    &service_deliverd,
    &service_certd,
    &service_dnsd,
    &service_alertd,
    NULL,
};

typedef struct Link {
    const BusService *service;
    sd_bus *bus;
} Link;

struct BusConnection {
    char *host;
    const char *directory; /* of peer sockets, from the environment; NULL: not by hand */
    sd_bus *system;
    bool without_system; /* there is none, and we are root */
    Link links[8];       /* to peer sockets */
};

int bus_connection_new(BusConnection **ret, const char *host)
{
    _cleanup_(bus_connection_freep) BusConnection *b = calloc(1, sizeof(BusConnection));

    if (!b)
        return -ENOMEM;
    if (host) {
        b->host = strdup(host);
        if (!b->host)
            return -ENOMEM;
    } else
        b->directory = secure_getenv("POSTERN_RUNTIME_DIR");
    *ret = TAKE_PTR(b);
    return 0;
}

BusConnection *bus_connection_free(BusConnection *b)
{
    if (!b)
        return NULL;
    for (size_t i = 0; i < ELEMENTSOF(b->links); i++)
        (void) sd_bus_close_unref(b->links[i].bus);
    (void) sd_bus_close_unref(b->system);
    free(b->host);
    free(b);
    return NULL;
}

bool bus_connection_is_by_hand(const BusConnection *b)
{
    return b->directory;
}

/* ---- making connections ---- */

static int connect_socket(const char *path, sd_bus **ret)
{
    _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
    _cleanup_free_ char *address = NULL;
    int r;

    if (asprintf(&address, "unix:path=%s", path) < 0)
        return -ENOMEM;
    r = sd_bus_new(&bus);
    if (r < 0)
        return r;
    r = sd_bus_set_address(bus, address);
    if (r < 0)
        return r;
    r = sd_bus_negotiate_fds(bus, true);
    if (r < 0)
        return r;
    r = sd_bus_start(bus);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(bus);
    return 0;
}

static int socket_path(const BusConnection *b, const BusService *service, char **ret)
{
    char *path;

    if (service == &service_systemd)
        path = strdup(SYSTEMD_SOCKET);
    else if (asprintf(&path, "%s/%s", b->directory ?: RUNTIME_DIRECTORY, service->name) < 0)
        path = NULL;
    if (!path)
        return -ENOMEM;
    *ret = path;
    return 0;
}

static int link_get(BusConnection *b, const BusService *service, sd_bus **ret)
{
    _cleanup_free_ char *path = NULL;
    Link *l = b->links;
    int r;

    while (l->service && l->service != service)
        if (++l == b->links + ELEMENTSOF(b->links))
            return -ENOBUFS;
    if (!l->service) {
        r = socket_path(b, service, &path);
        if (r < 0)
            return r;
        r = connect_socket(path, &l->bus);
        if (r < 0)
            return r;
        l->service = service;
    }
    *ret = l->bus;
    return 0;
}

static int system_get(BusConnection *b, sd_bus **ret)
{
    int r;

    if (!b->system) {
        r = b->host ? sd_bus_open_system_remote(&b->system, b->host)
                    : sd_bus_open_system_with_description(&b->system, "posternctl");
        if (r < 0)
            return r;
        (void) sd_bus_set_method_call_timeout(b->system, CONNECT_TIMEOUT_USEC);
    }
    *ret = b->system;
    return 0;
}

/* *ret_destination: NULL on a direct connection. */
static int connection_get(BusConnection *b, const BusService *service, sd_bus **ret, const char **ret_destination,
        Failure *failure)
{
    int r;

    if (!b->directory && !b->without_system) {
        r = system_get(b, ret);
        if (r >= 0) {
            *ret_destination = service->bus_name;
            return 0;
        }
        if (b->host)
            return failure_set(failure, STATUS_NOT_RUNNING, "Cannot connect to %s: %s", b->host, strerror(-r));
        if (geteuid() != 0)
            return failure_set(failure, STATUS_NOT_RUNNING,
                    "There is no system bus (%s), and only root can do without (try sudo)", strerror(-r));
        b->without_system = true;
    }
    *ret_destination = NULL;
    r = link_get(b, service, ret);
    return r < 0 ? failure_set_bus(failure, service->name, NULL, r) : 0;
}

/* ---- calls ---- */

int bus_call_new(BusConnection *b, const BusMethod *method, sd_bus_message **ret, Failure *failure)
{
    const BusService *s = method->service;
    const char *destination = NULL;
    sd_bus *bus = NULL;
    int r;

    r = connection_get(b, s, &bus, &destination, failure);
    if (r < 0)
        return r;
    r = sd_bus_message_new_method_call(bus, ret, destination, method->object ?: s->object, method->interface ?: s->interface,
            method->member);
    if (r < 0)
        return failure_set_bus(failure, s->name, NULL, r);
    if (method->no_start)
        (void) sd_bus_message_set_auto_start(*ret, false);
    return 0;
}

int bus_call_can_pass_files(const BusConnection *b, sd_bus_message *m, Failure *failure)
{
    if (!b->host && sd_bus_can_send(sd_bus_message_get_bus(m), SD_BUS_TYPE_UNIX_FD) > 0)
        return 0;
    return failure_set(failure, EXIT_FAILURE,
            "Files and passphrases cannot be handed to another host; run posternctl there, by ssh");
}

/* ---- a call that is watched ---- */

typedef struct Watched {
    const BusMethod *method;
    const BusWatch *watch;
    uint64_t call;
    sd_bus_message *reply;
} Watched;

/* Anybody on the bus can send a signal to anybody: only the service's counts. */
static bool is_of_service(sd_bus_message *m, const BusService *service)
{
    _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
    const char *sender = sd_bus_message_get_sender(m), *owner;

    if (!sender)
        return true; /* a direct connection */
    return sd_bus_get_name_creds(sd_bus_message_get_bus(m), service->bus_name, SD_BUS_CREDS_UNIQUE_NAME, &creds) >= 0
            && sd_bus_creds_get_unique_name(creds, &owner) >= 0 && streq(owner, sender);
}

static int on_watched(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Watched *w = userdata;

    return is_of_service(m, w->method->service) ? w->watch->happened(m, w->call, w->watch->userdata) : 0;
}

static int on_watched_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    ((Watched *) userdata)->reply = sd_bus_message_ref(m);
    return 1;
}

static int wait_watched(sd_bus *bus, const Watched *w)
{
    int r = 0;

    while (r >= 0 && !w->reply) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    return r;
}

/* As sd_bus_call(). */
static int call_watched(const BusMethod *method, const BusWatch *watch, sd_bus_message *m, uint64_t timeout, sd_bus_error *error,
        sd_bus_message **ret_reply)
{
    const BusService *s = method->service;
    _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *signals = NULL, *call = NULL;
    sd_bus *bus = sd_bus_message_get_bus(m);
    Watched w = {.method = method, .watch = watch};
    int r;

    r = sd_bus_match_signal(bus, &signals, NULL, method->object ?: s->object, method->interface ?: s->interface,
            watch->signal, on_watched, &w);
    if (r >= 0)
        r = sd_bus_call_async(bus, &call, m, on_watched_reply, &w, timeout);
    if (r >= 0)
        r = sd_bus_message_get_cookie(m, &w.call);
    if (r >= 0)
        r = wait_watched(bus, &w);
    if (r >= 0 && sd_bus_message_is_method_error(w.reply, NULL) > 0) {
        r = -sd_bus_message_get_errno(w.reply);
        (void) sd_bus_error_copy(error, sd_bus_message_get_error(w.reply));
    }
    if (r < 0) {
        (void) sd_bus_message_unref(w.reply);
        return r;
    }
    *ret_reply = w.reply;
    return 0;
}

static int call_once(const BusMethod *method, const BusWatch *watch, sd_bus_message *m, uint64_t timeout, sd_bus_error *error,
        sd_bus_message **ret_reply)
{
    return watch ? call_watched(method, watch, m, timeout, error, ret_reply)
                 : sd_bus_call(sd_bus_message_get_bus(m), m, timeout, error, ret_reply);
}

/* The agent would register with the polkit of this host. */
static bool is_remote(sd_bus *bus)
{
    const char *address;

    return sd_bus_get_address(bus, &address) < 0 || strncmp(address, "unixexec:", strlen("unixexec:")) == 0;
}

/* A copy of the call m, whose answer was that polkit would have to ask somebody, which allows that. */
static int interactive_copy(sd_bus_message *m, sd_bus_message **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
    int r;

    r = sd_bus_message_new_method_call(sd_bus_message_get_bus(m), &copy, sd_bus_message_get_destination(m),
            sd_bus_message_get_path(m), sd_bus_message_get_interface(m), sd_bus_message_get_member(m));
    if (r < 0)
        return r;
    r = sd_bus_message_rewind(m, true);
    if (r < 0)
        return r;
    r = sd_bus_message_copy(copy, m, true);
    if (r < 0)
        return r;
    r = sd_bus_message_set_allow_interactive_authorization(copy, true);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(copy);
    return 0;
}

/* Only then, so that nobody who may is bothered, and a script that may not is told at once. r: of the call that was refused. */
static int call_again_with_agent(const BusMethod *method, const BusWatch *watch, sd_bus_message *m, int r, sd_bus_error *error,
        sd_bus_message **ret_reply)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
    _cleanup_(polkit_agent_closep) pid_t agent = 0;

    if (is_remote(sd_bus_message_get_bus(m)) || interactive_copy(m, &copy) < 0)
        return r;
    agent = polkit_agent_open();
    if (agent <= 0)
        return r;
    sd_bus_error_free(error);
    return call_once(method, watch, copy, INTERACTIVE_TIMEOUT_USEC + method->timeout_sec * USEC_PER_SEC, error, ret_reply);
}

int bus_call_send_watching(const BusMethod *method, sd_bus_message *m, int r, const BusWatch *watch, sd_bus_message **ret_reply,
        Failure *failure)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    const uint64_t timeout = (method->timeout_sec > 0 ? method->timeout_sec : BUS_TIMEOUT_SEC) * USEC_PER_SEC;

    if (r >= 0)
        r = call_once(method, watch, m, timeout, &error, ret_reply);
    if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
        r = call_again_with_agent(method, watch, m, r, &error, ret_reply);
    return r < 0 ? failure_set_bus(failure, method->service->name, &error, r) : 0;
}

int bus_call_send(const BusMethod *method, sd_bus_message *m, int r, sd_bus_message **ret_reply, Failure *failure)
{
    return bus_call_send_watching(method, m, r, NULL, ret_reply, failure);
}

int bus_call(BusConnection *b, const BusMethod *method, sd_bus_message **ret_reply, Failure *failure, const char *types, ...)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    va_list ap;
    int r;

    r = bus_call_new(b, method, &m, failure);
    if (r < 0)
        return r;
    va_start(ap, types);
    r = *types ? sd_bus_message_appendv(m, types, ap) : 0;
    va_end(ap);
    return bus_call_send(method, m, r, ret_reply, failure);
}

int bus_reply_check(const BusMethod *method, int r, Failure *failure)
{
    if (r >= 0 || r == -ECANCELED)
        return r;
    if (r == -ENOMEM)
        return failure_set(failure, EXIT_FAILURE, "There is not enough memory");
    return failure_set(failure, EXIT_FAILURE, "The answer of %s to %s makes no sense: it is of another version than posternctl",
            method->service->name, method->member);
}
