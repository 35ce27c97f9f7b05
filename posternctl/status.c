/* SPDX-License-Identifier: Apache-2.0 */

/* How the suite is, on one screen. It asks each daemon that runs, starts none, and tells what it could get when one does not
 * answer. */

#include <inttypes.h>

#include "cert.h"
#include "format.h"
#include "table.h"
#include "unit.h"
#include "verbs.h"

#define ASK_TIMEOUT_SEC 5
#define EXPIRES_SOON_USEC (30 * 24 * 3600 * USEC_PER_SEC)

typedef struct DaemonStatus {
    const BusService *service;
    Unit unit;
    bool answers;
    char *version;
    json_object *description; /* what Describe() gave: an object, or NULL */
    char *problem;            /* why it did not answer */
} DaemonStatus;

typedef struct Status {
    DaemonStatus daemons[8];
    size_t n_daemons;
    Table *certificates; /* NULL: certd did not answer */
    json_object *warnings;
} Status;

static void status_done(Status *s)
{
    for (size_t i = 0; i < s->n_daemons; i++) {
        DaemonStatus *d = &s->daemons[i];

        unit_done(&d->unit);
        free(d->version);
        free(d->problem);
        (void) json_object_put(d->description);
    }
    (void) table_free(s->certificates);
    (void) json_object_put(s->warnings);
    *s = (Status) {};
}

static int warn(Status *s, const char *format, ...) _printf_(2, 3);
static int warn(Status *s, const char *format, ...)
{
    _cleanup_free_ char *text = NULL;
    va_list ap;
    int r;

    va_start(ap, format);
    r = vasprintf(&text, format, ap);
    va_end(ap);
    if (r < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return json_object_array_add(s->warnings, json_object_new_string(text)) < 0 ? -ENOMEM : 0;
}

/* ---- asking ---- */

static int read_version(BusConnection *bus, DaemonStatus *d, Failure *failure)
{
    const BusMethod method = {d->service, "Get", "org.freedesktop.DBus.Properties", .timeout_sec = ASK_TIMEOUT_SEC,
            .no_start = true};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *version;
    int r;

    r = bus_call(bus, &method, &reply, failure, "ss", "org.postern.Daemon1", "Version");
    if (r >= 0)
        r = bus_reply_check(&method, sd_bus_message_read(reply, "v", "s", &version), failure);
    if (r < 0)
        return r;
    d->version = format_printable(version);
    return d->version ? 0 : -ENOMEM;
}

static int read_description(BusConnection *bus, DaemonStatus *d, Failure *failure)
{
    const BusMethod method = {d->service, "Describe", "org.postern.Daemon1", .timeout_sec = ASK_TIMEOUT_SEC, .no_start = true};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_json_ json_object *description = NULL;
    const char *json;
    int r;

    r = bus_call(bus, &method, &reply, failure, "");
    if (r >= 0)
        r = bus_reply_check(&method, sd_bus_message_read(reply, "s", &json), failure);
    if (r < 0)
        return r;
    description = json_tokener_parse(json);
    if (!json_object_is_type(description, json_type_object))
        return bus_reply_check(&method, -EBADMSG, failure);
    d->description = TAKE_PTR(description);
    return 0;
}

static bool unit_may_run(const Unit *u)
{
    return !u->state || streq(u->state, "active") || streq(u->state, "reloading") || streq(u->state, "deactivating");
}

/* That one does not answer is a result, not an error; but who may not ask gets no answer from the others either. */
static int ask(BusConnection *bus, DaemonStatus *d, Failure *failure)
{
    _cleanup_(failure_done) Failure own = {};
    int r;

    r = unit_read(bus, d->service, &d->unit);
    if (r < 0 || !unit_may_run(&d->unit))
        return r;
    r = read_version(bus, d, &own);
    if (r >= 0)
        r = read_description(bus, d, &own);
    d->answers = r >= 0;
    if (r >= 0 || r == -ENOMEM)
        return r;
    if (own.status == STATUS_NOT_PERMITTED)
        return failure_set(failure, own.status, "%s", own.text ?: "");
    d->problem = TAKE_PTR(own.text);
    return 0;
}

/* ---- judging ---- */

static const char *member_string(json_object *o, const char *name)
{
    json_object *value = json_object_object_get(o, name);

    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static int judge_daemons(Status *s)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < s->n_daemons; i++) {
        const DaemonStatus *d = &s->daemons[i];

        if (d->problem)
            r = warn(s, "%s", d->problem);
        else if (d->unit.state && streq(d->unit.state, "failed"))
            r = warn(s, "%s has failed: journalctl -u postern-%s says why", d->service->name, d->service->name);
        else if (!d->answers)
            r = warn(s, "%s does not run: systemctl start postern.target starts it", d->service->name);
    }
    return r;
}

static uint64_t member_number(json_object *o, const char *name)
{
    return json_object_get_uint64(json_object_object_get(o, name));
}

static uint64_t now_usec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* As soon as certd begins to tell. */
static bool expires_soon(json_object *certificate)
{
    const uint64_t not_after_usec = member_number(certificate, "NotAfterUSec"), now = now_usec();

    return not_after_usec > now && not_after_usec - now < EXPIRES_SOON_USEC;
}

/* "smtpd and deliverd"; malloc'ed; NULL: no service uses it. */
static char *services_of(json_object *certificate)
{
    json_object *services = json_object_object_get(certificate, "Services");
    _cleanup_free_ char *text = NULL;
    size_t size, n = json_object_is_type(services, json_type_array) ? json_object_array_length(services) : 0;
    FILE *f;

    if (n == 0 || !(f = open_memstream(&text, &size)))
        return NULL;
    for (size_t i = 0; i < n; i++)
        (void) fprintf(f, "%s%s", i == 0 ? "" : " and ", json_object_get_string(json_object_array_get_idx(services, i)));
    return fclose(f) == 0 ? TAKE_PTR(text) : NULL;
}

static int judge_certificates(Status *s)
{
    _cleanup_json_ json_object *certificates = NULL;
    int r;

    if (!s->certificates)
        return 0;
    r = table_to_json(s->certificates, &certificates);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(certificates); i++) {
        json_object *c = json_object_array_get_idx(certificates, i);
        const char *name = member_string(c, "Name"), *state = member_string(c, "State");
        _cleanup_free_ char *services = services_of(c);
        char distance[FORMAT_SPAN_MAX];

        if (!services)
            continue;
        if (streq(state, "demonstration"))
            r = warn(s, "%s may use the demonstration certificate '%s', which no peer can verify (unless by DANE): "
                    "install one of your own", services, name);
        else if (streq(state, "expired") || streq(state, "not-yet-valid"))
            r = warn(s, "certificate '%s' of %s is not valid: it is %s", name, services, state);
        if (r >= 0 && expires_soon(c))
            r = warn(s, "certificate '%s' of %s expires %s: have a new one signed (posternctl cert request %s)", name, services,
                    format_distance(distance, member_number(c, "NotAfterUSec"), now_usec()), name);
    }
    return r;
}

/* A certd that does not tell is not judged. */
static int judge_keys(Status *s)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < s->n_daemons; i++) {
        json_object *encrypted = s->daemons[i].service == &service_certd
                ? json_object_object_get(s->daemons[i].description, "KeysEncrypted")
                : NULL;

        if (json_object_is_type(encrypted, json_type_boolean) && !json_object_get_boolean(encrypted))
            r = warn(s, "private keys are not encrypted on disk: journalctl -u postern-certd-key -u postern-certd says why");
    }
    return r;
}

static int status_read(Status *s, BusConnection *bus, Failure *failure)
{
    int r = 0;

    s->warnings = json_object_new_array();
    if (!s->warnings)
        return -ENOMEM;
    for (size_t i = 0; r >= 0 && bus_services[i]; i++) {
        DaemonStatus *d = &s->daemons[s->n_daemons++];

        d->service = bus_services[i];
        r = ask(bus, d, failure);
        if (r >= 0 && d->answers && d->service == &service_certd) {
            _cleanup_(failure_done) Failure own = {};

            (void) cert_list_read(bus, true, &s->certificates, &own);
        }
    }
    if (r >= 0)
        r = judge_daemons(s);
    if (r >= 0)
        r = judge_keys(s);
    return r < 0 ? r : judge_certificates(s);
}

/* ---- showing ---- */

static const TableColumn daemon_columns[] = {
    {"DAEMON", "Name"},
    {"STATE", "State"},
    {"SINCE", "SinceUSec"},
    {"VERSION", "Version"},
    {"PID", "MainPID", .right = true},
    {"WORKERS", "Workers", .right = true},
    {"DOES", "StatusText", .elastic = true},
};

static void add_state(Table *t, const DaemonStatus *d)
{
    _cleanup_free_ char *text = NULL;
    const char *sub = d->unit.sub_state ?: "";

    if (d->answers)
        table_add_text(t, "running");
    else if (d->problem)
        table_add_text(t, "no answer");
    else
        table_add_text(t, d->unit.state && streq(d->unit.state, "failed") ? "failed" : *sub ? sub : "stopped");
    table_set_colour(t, d->answers ? COLOUR_GREEN : COLOUR_RED);
}

/* Without a service manager, what the daemon itself says. */
static bool get_workers(const DaemonStatus *d, uint64_t *ret)
{
    json_object *told = d->description ? json_object_object_get(d->description, "Workers") : NULL;

    if (d->unit.state)
        *ret = d->unit.workers;
    else if (json_object_is_type(told, json_type_int))
        *ret = json_object_get_uint64(told);
    else
        return false;
    return d->unit.state ? d->answers && d->unit.workers > 0 : true;
}

static int make_table(const Status *s, Table **ret)
{
    _cleanup_(table_freep) Table *t = NULL;
    uint64_t workers;
    int r;

    r = table_new(&t, daemon_columns, ELEMENTSOF(daemon_columns));
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->n_daemons; i++) {
        const DaemonStatus *d = &s->daemons[i];

        table_add_text(t, d->service->name);
        add_state(t, d);
        if (d->unit.since_usec > 0)
            table_add_time(t, d->unit.since_usec);
        else
            table_add_text(t, NULL);
        table_add_text(t, d->version);
        if (d->unit.main_pid > 0)
            table_add_number(t, d->unit.main_pid);
        else
            table_add_text(t, NULL);
        if (get_workers(d, &workers))
            table_add_number(t, workers);
        else
            table_add_text(t, NULL);
        table_add_text(t, d->unit.status && *d->unit.status ? d->unit.status : NULL);
    }
    *ret = TAKE_PTR(t);
    return 0;
}

/* Numbers of what Describe() gave, those of objects in it, too. Members are the daemon's own, so text is not trusted. */
static void show_numbers(const Output *o, json_object *object, bool *first)
{
    json_object_object_foreach (object, name, value) {
        if (json_object_is_type(value, json_type_int)) {
            _cleanup_free_ char *printable = format_printable(name);

            (void) fprintf(o->file, "%s%s %" PRIu64, *first ? "" : ", ", printable ?: "", json_object_get_uint64(value));
            *first = false;
        } else if (json_object_is_type(value, json_type_object))
            show_numbers(o, value, first);
    }
}

static void show_counters(const Status *s, const Output *o)
{
    bool any = false;

    for (size_t i = 0; i < s->n_daemons; i++) {
        const DaemonStatus *d = &s->daemons[i];
        bool first = true;

        if (!d->description)
            continue;
        (void) fprintf(o->file, "%s%s%s:%s%*s", any ? "" : "\n", output_colour(o, COLOUR_BOLD), d->service->name,
                output_colour(o, COLOUR_NONE), (int) (10 - strlen(d->service->name)), "");
        show_numbers(o, d->description, &first);
        (void) fputs(first ? "nothing counted yet\n" : "\n", o->file);
        any = true;
    }
}

static void show_queue(const Status *s, const Output *o)
{
    for (size_t i = 0; i < s->n_daemons; i++) {
        json_object *d = s->daemons[i].description;

        if (d && s->daemons[i].service == &service_deliverd)
            (void) fprintf(o->file, "\n%sQueue:%s %" PRIu64 " messages; deliveries: %" PRIu64 " wait, %" PRIu64 " run\n",
                    output_colour(o, COLOUR_BOLD), output_colour(o, COLOUR_NONE), member_number(d, "Messages"),
                    member_number(d, "WaitingDeliveries"),
                    member_number(d, "ReadyDeliveries") + member_number(d, "RunningDeliveries"));
    }
}

static void show_keys(const Status *s, const Output *o)
{
    for (size_t i = 0; i < s->n_daemons; i++) {
        json_object *d = s->daemons[i].description, *encrypted = d ? json_object_object_get(d, "KeysEncrypted") : NULL;

        if (s->daemons[i].service == &service_certd && json_object_is_type(encrypted, json_type_boolean))
            (void) fprintf(o->file, "\n%sPrivate keys:%s %s\n", output_colour(o, COLOUR_BOLD), output_colour(o, COLOUR_NONE),
                    json_object_get_boolean(encrypted) ? "encrypted on disk" : "not encrypted on disk");
    }
}

static void show_warnings(const Status *s, const Output *o)
{
    for (size_t i = 0; i < json_object_array_length(s->warnings); i++) {
        _cleanup_free_ char *text = format_printable(json_object_get_string(json_object_array_get_idx(s->warnings, i)));

        (void) fprintf(o->file, "%s%swarning:%s %s\n", i == 0 ? "\n" : "", output_colour(o, COLOUR_YELLOW),
                output_colour(o, COLOUR_NONE), text ?: "");
    }
}

static int status_show(const Status *s, const Output *o)
{
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = make_table(s, &t);
    if (r >= 0)
        r = table_show(t, o);
    if (r < 0)
        return r;
    show_counters(s, o);
    show_queue(s, o);
    if (s->certificates && table_rows(s->certificates) > 0) {
        (void) fputc('\n', o->file);
        r = table_show(s->certificates, o);
    }
    show_keys(s, o);
    show_warnings(s, o);
    return r;
}

static int status_to_json(const Status *s, json_object **ret)
{
    _cleanup_json_ json_object *object = json_object_new_object(), *daemons = NULL, *certificates = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    if (!object)
        return -ENOMEM;
    r = make_table(s, &t);
    if (r >= 0)
        r = table_to_json(t, &daemons);
    if (r >= 0 && s->certificates)
        r = table_to_json(s->certificates, &certificates);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->n_daemons; i++)
        (void) json_object_object_add(json_object_array_get_idx(daemons, i), "Description",
                json_object_get(s->daemons[i].description));
    (void) json_object_object_add(object, "Daemons", TAKE_PTR(daemons));
    (void) json_object_object_add(object, "Certificates", TAKE_PTR(certificates));
    (void) json_object_object_add(object, "Warnings", json_object_get(s->warnings));
    *ret = TAKE_PTR(object);
    return 0;
}

int verb_status(Context *context, char *const *arguments)
{
    _cleanup_(status_done) Status s = {};
    const Output *o = &context->output;
    json_object *value = NULL;
    int r;

    r = status_read(&s, context->bus, &context->failure);
    if (r < 0)
        return r;
    if (o->json != OUTPUT_JSON_OFF) {
        r = status_to_json(&s, &value);
        if (r >= 0)
            r = output_value(o, value);
    } else {
        context_page(context);
        r = status_show(&s, o);
    }
    for (size_t i = 0; r >= 0 && i < s.n_daemons; i++)
        if (!s.daemons[i].answers)
            return STATUS_NOT_RUNNING;
    return r;
}
