/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that change the store. What they ask for is done by a thread; the answer comes when it is on stable storage and the
 * services know of it. */

#include "operation-bus.h"

#include <fcntl.h>

#include "bus-error.h"
#include "certd-bus.h"
#include "client.h"
#include "log.h"
#include "operation.h"

#define OPTIONS_MAX 32

/* A call that waits for its operation. */
typedef struct OperationCall {
    Manager *manager;
    PeerPending *pending;
    Operation *operation;
} OperationCall;

static OperationCall *call_free(OperationCall *c)
{
    if (!c)
        return NULL;
    peer_pending_free(c->pending);
    operation_free(c->operation);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(OperationCall, call_free);

static const struct {
    int error;
    const char *name;
} errors[] = {
    {-E2BIG, BUS_ERROR_LIMIT_EXCEEDED},
    {-EACCES, BUS_ERROR_EXPORT_FORBIDDEN},
    {-EBADMSG, BUS_ERROR_CERTIFICATE_INVALID},
    {-EBUSY, BUS_ERROR_CERTIFICATE_IN_USE},
    {-EEXIST, BUS_ERROR_CERTIFICATE_EXISTS},
    {-EFBIG, BUS_ERROR_TOO_LARGE},
    {-EINVAL, BUS_ERROR_INVALID_ARGUMENT},
    {-EKEYEXPIRED, BUS_ERROR_CERTIFICATE_EXPIRED},
    {-EKEYREJECTED, BUS_ERROR_WRONG_KEY},
    {-ENODATA, BUS_ERROR_CERTIFICATE_INVALID},
    {-ENODEV, BUS_ERROR_UNAVAILABLE},
    {-ENOENT, BUS_ERROR_NO_SUCH_CERTIFICATE},
    {-ENOKEY, BUS_ERROR_WRONG_PASSPHRASE},
    {-ENOLINK, BUS_ERROR_CHAIN_INCOMPLETE},
    {-ENOSPC, BUS_ERROR_NO_SPACE},
    {-ENOTUNIQ, BUS_ERROR_CERTIFICATE_INVALID},
    {-ENXIO, BUS_ERROR_KEY_NOT_ASSIGNED},
    {-EOPNOTSUPP, BUS_ERROR_NOT_SUPPORTED},
    {-EPERM, BUS_ERROR_INVALID_ARGUMENT},
    {-ESRCH, BUS_ERROR_INVALID_ARGUMENT},
    {-ETIMEDOUT, BUS_ERROR_UNAVAILABLE},
    {-EUNATCH, BUS_ERROR_CERTIFICATE_INVALID},
};

static int operation_error(sd_bus_error *error, const Operation *o, int r)
{
    if (r == -ENOMEM)
        return r;
    for (size_t i = 0; i < ELEMENTSOF(errors); i++)
        if (errors[i].error == r)
            return sd_bus_error_setf(error, errors[i].name, "Certificate '%s'%s%s: %s.", o->name, o->use ? " for " : "", o->use ?: "",
                    o->reason ?: strerror(-r));
    return sd_bus_error_set_errnof(error, r, "Certificate '%s': %s: %m", o->name, o->reason ?: "it failed");
}

/* ---- the end of an operation ---- */

static int answer(sd_bus_message *call, const Operation *o)
{
    switch (o->kind) {
    case OPERATION_CREATE:
    case OPERATION_IMPORT:
        return sd_bus_reply_method_return(call, "s", o->name);
    case OPERATION_REQUEST:
        return sd_bus_reply_method_return(call, "s", o->text);
    case OPERATION_EXPORT:
        return sd_bus_reply_method_return(call, "h", o->result_fd);
    default:
        return sd_bus_reply_method_return(call, NULL);
    }
}

static int call_run(void *data)
{
    const OperationCall *c = data;

    return operation_run(c->operation);
}

/* The caller may be gone by now; what he asked for is done all the same. */
static void call_done(void *data, int result)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(call_freep) OperationCall *c = data;
    int r = result;

    if (r < 0)
        r = operation_error(&error, c->operation, r);
    else {
        r = manager_reload_store(c->manager);
        if (r < 0)
            r = sd_bus_error_setf(&error, BUS_ERROR_CONFIGURATION_INVALID,
                    "It is stored, but the store cannot be loaded; the journal says why.");
    }
    if (r < 0)
        (void) sd_bus_reply_method_errno(peer_pending_call(c->pending), r, &error);
    else
        (void) answer(peer_pending_call(c->pending), c->operation);
}

/* ---- the beginning ---- */

/* Takes the operation over. */
static int submit(Manager *manager, sd_bus_message *m, Operation **operation, sd_bus_error *error)
{
    _cleanup_(call_freep) OperationCall *c = calloc(1, sizeof(OperationCall));
    int r;

    if (!c)
        return -ENOMEM;
    c->manager = manager;
    r = peer_pending_new(&c->pending, manager->server, m, 0, error);
    if (r < 0)
        return r;
    c->operation = TAKE_PTR(*operation);
    r = jobs_submit(manager->operations, call_run, call_done, c);
    if (r < 0)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many changes of certificates are under way.");
    (void) TAKE_PTR(c);
    return 1;
}

/* The first argument of every method. */
static int begin(Operation **ret, OperationKind kind, Manager *manager, sd_bus_message *m)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    r = operation_new(&o, kind, manager->store);
    if (r < 0)
        return r;
    o->pkcs12 = manager->pkcs12;
    o->name = strdup(name);
    if (!o->name)
        return -ENOMEM;
    /* As they are now; the lists may be others when the operation runs. */
    o->trusted_fd = fcntl(authorities_trusted_fd(manager->authorities), F_DUPFD_CLOEXEC, 3);
    if (o->trusted_fd < 0)
        return negative_errno();
    *ret = TAKE_PTR(o);
    return 0;
}

static int refuse_if_permitted(Manager *manager, const char *name, sd_bus_error *error)
{
    for (size_t i = 0; i < SERVICES_MAX; i++)
        if (client_shows_service(manager, &manager->conf->services[i], name))
            return sd_bus_error_setf(error, BUS_ERROR_CERTIFICATE_IN_USE, "Certificate '%s' is assigned to %s in certd.conf.",
                    name, manager->conf->services[i].name);
    return 0;
}

/* The thread looks again, at what is on disk then; this one can say which use it is. */
static int refuse_if_assigned(Manager *manager, const char *name, sd_bus_error *error)
{
    const Assignment *a = assignments_next(manager->assignments, name, NULL);

    return a ? sd_bus_error_setf(error, BUS_ERROR_CERTIFICATE_IN_USE, "Certificate '%s' is assigned to %s.", name, a->use) : 0;
}

/* ---- options ---- */

typedef struct Option {
    const char *name;
    const char *type;
    size_t offset;
} Option;

static const Option create_options[] = {
    {"City", "s", offsetof(Operation, city)},
    {"CommonName", "s", offsetof(Operation, common_name)},
    {"Country", "s", offsetof(Operation, country)},
    {"Days", "u", offsetof(Operation, days)},
    {"ForbidExport", "b", offsetof(Operation, forbid_export)},
    {"Key", "s", offsetof(Operation, key_uri)},
    {"KeyType", "s", offsetof(Operation, key_type)},
    {"Names", "as", offsetof(Operation, names)},
    {"Organization", "s", offsetof(Operation, organization)},
    {"State", "s", offsetof(Operation, state)},
    {"Unit", "s", offsetof(Operation, unit)},
};

static const Option install_options[] = {
    {"Incomplete", "b", offsetof(Operation, incomplete)},
};

static const Option import_options[] = {
    {"ForbidExport", "b", offsetof(Operation, forbid_export)},
    {"Incomplete", "b", offsetof(Operation, incomplete)},
    {"Replace", "b", offsetof(Operation, replace)},
};

static int read_value(sd_bus_message *m, const Option *option, void *field)
{
    const char *s;
    int r, b;

    if (streq(option->type, "as"))
        return *(char ***) field ? -EINVAL : sd_bus_message_read_strv(m, field);
    if (streq(option->type, "u"))
        return sd_bus_message_read(m, "u", field);
    if (streq(option->type, "b")) {
        r = sd_bus_message_read(m, "b", &b);
        if (r >= 0)
            *(bool *) field = b;
        return r;
    }
    r = sd_bus_message_read(m, "s", &s);
    if (r < 0)
        return r;
    free(*(char **) field);
    *(char **) field = strdup(s);
    return *(char **) field ? 0 : -ENOMEM;
}

static const Option *option_find(const Option *options, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (streq(options[i].name, name))
            return &options[i];
    return NULL;
}

/* An option that is not known is an error: what was asked for with it would not be done. */
static int read_option(sd_bus_message *m, Operation *o, const Option *options, size_t n, sd_bus_error *error)
{
    const Option *option;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    option = option_find(options, n, name);
    if (!option)
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "There is no option '%s'.", name);
    r = sd_bus_message_enter_container(m, 'v', option->type);
    if (r >= 0)
        r = read_value(m, option, (char *) o + option->offset);
    if (r >= 0)
        r = sd_bus_message_exit_container(m);
    if (r < 0 && r != -ENOMEM)
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "Option '%s' is given twice or is not of type '%s'.", name,
                option->type);
    return r;
}

static int read_options(sd_bus_message *m, Operation *o, const Option *options, size_t n, sd_bus_error *error)
{
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    for (unsigned i = 0; (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0; i++) {
        if (i >= OPTIONS_MAX)
            return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "There are too many options.");
        r = read_option(m, o, options, n, error);
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* ---- methods ---- */

int operation_method_create(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, OPERATION_CREATE, userdata, m);
    if (r < 0)
        return r;
    r = read_options(m, o, create_options, ELEMENTSOF(create_options), error);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

int operation_method_request(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, OPERATION_REQUEST, userdata, m);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

/* The message's descriptor is its own: one that stays when it goes. */
static int read_descriptor(sd_bus_message *m, int *ret)
{
    int r, fd;

    r = sd_bus_message_read(m, "h", &fd);
    if (r < 0)
        return r;
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return negative_errno();
    *ret = fd;
    return 0;
}

static int install(OperationKind kind, sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, kind, userdata, m);
    if (r >= 0)
        r = read_descriptor(m, &o->file_fd);
    if (r >= 0)
        r = read_options(m, o, install_options, ELEMENTSOF(install_options), error);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

int operation_method_install(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return install(OPERATION_INSTALL, m, userdata, error);
}

int operation_method_add_intermediates(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return install(OPERATION_ADD_INTERMEDIATES, m, userdata, error);
}

int operation_method_import(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, OPERATION_IMPORT, userdata, m);
    if (r >= 0)
        r = read_descriptor(m, &o->file_fd);
    if (r >= 0)
        r = read_descriptor(m, &o->passphrase_fd);
    if (r >= 0)
        r = read_options(m, o, import_options, ELEMENTSOF(import_options), error);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

int operation_method_export(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, OPERATION_EXPORT, userdata, m);
    if (r >= 0)
        r = read_descriptor(m, &o->passphrase_fd);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

int operation_method_rename(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    const char *new_name;
    int r, force;

    r = begin(&o, OPERATION_RENAME, userdata, m);
    if (r < 0)
        return r;
    r = sd_bus_message_read(m, "sb", &new_name, &force);
    if (r < 0)
        return r;
    o->new_name = strdup(new_name);
    if (!o->new_name)
        return -ENOMEM;
    /* Assignments go along; certd.conf has to be changed by hand. */
    r = force ? 0 : refuse_if_permitted(userdata, o->name, error);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

int operation_method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r, force;

    r = begin(&o, OPERATION_DELETE, userdata, m);
    if (r < 0)
        return r;
    r = sd_bus_message_read(m, "b", &force);
    if (r < 0)
        return r;
    o->force = force;
    r = force ? 0 : refuse_if_permitted(userdata, o->name, error);
    if (r >= 0 && !force)
        r = refuse_if_assigned(userdata, o->name, error);
    return r < 0 ? r : submit(userdata, m, &o, error);
}

static int assign(OperationKind kind, sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    const char *use;
    int r;

    r = begin(&o, kind, userdata, m);
    if (r >= 0)
        r = sd_bus_message_read(m, "s", &use);
    if (r < 0)
        return r;
    o->use = strdup(use);
    return o->use ? submit(userdata, m, &o, error) : -ENOMEM;
}

int operation_method_assign(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return assign(OPERATION_ASSIGN, m, userdata, error);
}

int operation_method_unassign(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    return assign(OPERATION_UNASSIGN, m, userdata, error);
}

int operation_method_forbid_export(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    int r;

    r = begin(&o, OPERATION_FORBID_EXPORT, userdata, m);
    return r < 0 ? r : submit(userdata, m, &o, error);
}
