/* SPDX-License-Identifier: Apache-2.0 */

/* certd's certificates, looked at. All of it is public. */

#include "cert.h"

#include "conf.h"
#include "details.h"
#include "dns-name.h"
#include "format.h"
#include "invocation.h"
#include "table.h"
#include "verbs.h"

static const BusMethod list_certificates = {&service_certd, "ListCertificates"};
static const BusMethod describe_certificate = {&service_certd, "DescribeCertificate"};

Colour certificate_colour(const char *state)
{
    static const struct {
        const char *state;
        Colour colour;
    } colours[] = {
        {"signed", COLOUR_GREEN},
        {"demonstration", COLOUR_YELLOW},
        {"request-pending", COLOUR_YELLOW},
        {"not-yet-valid", COLOUR_RED},
        {"expired", COLOUR_RED},
    };

    for (size_t i = 0; i < ELEMENTSOF(colours); i++)
        if (streq(colours[i].state, state))
            return colours[i].colour;
    return COLOUR_NONE;
}

static uint64_t now_usec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* ---- list ---- */

static const TableColumn list_columns[] = {
    {"NAME", "Name"},
    {"STATE", "State"},
    {"EXPIRES", "NotAfterUSec"},
    {"USED BY", "Services"},
    {"SUBJECT", "Subject", .elastic = true},
};

static int read_certificate(sd_bus_message *m, Table *t)
{
    _cleanup_(conf_strv_freep) char **services = NULL;
    uint64_t not_before_usec, not_after_usec;
    const char *name, *state, *subject;
    char distance[FORMAT_SPAN_MAX];
    int r;

    r = sd_bus_message_read(m, "ssstt", &name, &state, &subject, &not_before_usec, &not_after_usec);
    if (r < 0)
        return r;
    r = sd_bus_message_read_strv(m, &services);
    if (r < 0)
        return r;
    table_add_text(t, name);
    table_add_text(t, state);
    table_set_colour(t, certificate_colour(state));
    table_add_shown(t, format_distance(distance, not_after_usec, now_usec()), json_object_new_uint64(not_after_usec));
    table_add_list(t, services);
    table_add_text(t, subject);
    return 0;
}

static int read_certificates(sd_bus_message *m, Table *t)
{
    int r;

    r = sd_bus_message_enter_container(m, 'a', "(sssttas)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'r', "sssttas")) > 0) {
        r = read_certificate(m, t);
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r;
}

int cert_list_read(BusConnection *bus, bool no_start, Table **ret, Failure *failure)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    BusMethod method = list_certificates;
    int r;

    method.no_start = no_start;
    r = table_new(&t, list_columns, ELEMENTSOF(list_columns));
    if (r >= 0)
        r = bus_call(bus, &method, &reply, failure, "");
    if (r >= 0)
        r = bus_reply_check(&method, read_certificates(reply, t), failure);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

int verb_cert_list(Context *context, char *const *arguments)
{
    _cleanup_(table_freep) Table *t = NULL;
    const Output *o = &context->output;
    size_t n;
    int r;

    r = cert_list_read(context->bus, false, &t, &context->failure);
    if (r < 0)
        return r;
    context_page(context);
    n = table_rows(t);
    r = table_show(t, o);
    if (r >= 0)
        output_sum(o, n, "certificate", "certificates");
    return r;
}

/* ---- show ---- */

/* Members as certd calls them, in the order in which they are shown. */
static const TableColumn show_columns[] = {
    {"Name", "Name"},
    {"State", "State"},
    {"Used by", "Services"},
    {"Subject", "Subject"},
    {"Names", "Names"},
    {"Fully qualified", "FullyQualified"},
    {"Issuer", "Issuer"},
    {"Serial number", "SerialNumber"},
    {"Not before", "NotBeforeUSec"},
    {"Not after", "NotAfterUSec"},
    {"Key type", "KeyType"},
    {"Key bits", "KeyBits"},
    {"Key", "KeyURI"},
    {"Chain length", "ChainLength"},
    {"Request pending", "RequestPending"},
    {"Key encrypted", "KeyEncrypted"},
    {"Export forbidden", "ExportForbidden"},
    {"SHA-256", "FingerprintSHA256"},
    {"SHA-1", "FingerprintSHA1"},
    {"TLSA", "TLSA"},
    {"TLSA of authority", "AuthorityTLSA"},
};

static Colour colour_of(const char *member, const char *text)
{
    if (streq(member, "FullyQualified"))
        return streq(text, "no") ? COLOUR_YELLOW : COLOUR_NONE;
    return streq(member, "State") ? certificate_colour(text) : COLOUR_NONE;
}

/* Others see it, and cannot verify the host by it. */
static void warn_about_names(const Table *t)
{
    _cleanup_json_ json_object *all = NULL;

    if (table_to_json(t, &all) < 0)
        return;
    for (size_t i = 0; i < json_object_array_length(all); i++) {
        json_object *c = json_object_array_get_idx(all, i);
        json_object *qualified = json_object_object_get(c, "FullyQualified");

        if (json_object_is_type(qualified, json_type_boolean) && !json_object_get_boolean(qualified))
            (void) fprintf(stderr, "posternctl: The names of certificate '%s' are not fully qualified (such as mx.example.com), "
                    "so no server elsewhere can be verified by it\n",
                    json_object_get_string(json_object_object_get(c, "Name")));
    }
}

int verb_cert_show(Context *context, char *const *arguments)
{
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = details_fetch(context, &describe_certificate, arguments, &t, show_columns, ELEMENTSOF(show_columns), colour_of);
    if (r < 0)
        return r;
    if (context->output.json == OUTPUT_JSON_OFF)
        warn_about_names(t);
    return details_show(context, t, arguments);
}

/* ---- TLSA records ---- */

static const TableColumn tlsa_columns[] = {
    {"OWNER", "Owner"},
    {"TYPE", "Type"},
    {"DATA", "Data"},
};

static int parse_port(const char *text, unsigned *ret)
{
    unsigned long port;
    char *end;

    errno = 0;
    port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || port < 1 || port > UINT16_MAX)
        return -EINVAL;
    *ret = (unsigned) port;
    return 0;
}

/* For zone files: fully qualified. */
static int add_record(Table *t, unsigned port, const char *host, const char *data)
{
    _cleanup_free_ char *name = NULL, *owner = NULL;
    int r;

    r = dns_name_normalize(host, &name);
    if (r < 0)
        return r;
    if (asprintf(&owner, "_%u._tcp.%s.", port, name) < 0) {
        owner = NULL;
        return -ENOMEM;
    }
    table_add_text(t, owner);
    table_add_text(t, "TLSA");
    table_add_text(t, data);
    return 0;
}

/* No headings, no alignment: it is to be pasted. */
static int show_records(const Table *t, const Output *o)
{
    _cleanup_json_ json_object *records = NULL;
    int r;

    r = table_to_json(t, &records);
    if (r < 0)
        return r;
    if (o->json != OUTPUT_JSON_OFF)
        return output_value(o, TAKE_PTR(records));
    for (size_t i = 0; i < json_object_array_length(records); i++) {
        json_object *record = json_object_array_get_idx(records, i);

        (void) fprintf(o->file, "%s IN TLSA %s\n", json_object_get_string(json_object_object_get(record, "Owner")),
                json_object_get_string(json_object_object_get(record, "Data")));
    }
    return 0;
}

/* By usage: 3, the key of the certificate itself; 2, that of the authority. As members of DescribeCertificate(). */
static const TableColumn tlsa_usages[] = {
    {"3", "TLSA"},
    {"2", "AuthorityTLSA"},
};

static int read_tlsa(Context *c, const char *name, json_object **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    int r;

    r = table_new(&t, tlsa_usages, ELEMENTSOF(tlsa_usages));
    if (r >= 0)
        r = bus_call(c->bus, &describe_certificate, &reply, &c->failure, "s", name);
    if (r >= 0)
        r = bus_reply_check(&describe_certificate, details_read(reply, t, tlsa_usages, ELEMENTSOF(tlsa_usages), NULL, NULL),
                &c->failure);
    return r < 0 ? r : table_to_json(t, ret);
}

/* The record's data for a usage, out of what read_tlsa() gave. */
static int find_tlsa(Context *c, const char *name, json_object *all, const char *usage, const char **ret)
{
    json_object *data;

    for (size_t i = 0; i < ELEMENTSOF(tlsa_usages); i++) {
        if (!streq(tlsa_usages[i].heading, usage))
            continue;
        data = json_object_object_get(json_object_array_get_idx(all, 0), tlsa_usages[i].member);
        if (!json_object_is_type(data, json_type_string))
            return failure_set(&c->failure, EXIT_FAILURE, "The certificate that signed '%s' is not in its chain, where others have to "
                    "find it: add it (cert add-intermediate), or publish --usage=3", name);
        *ret = json_object_get_string(data);
        return 0;
    }
    return failure_set(&c->failure, STATUS_USAGE, "--usage= is 3 (this certificate) or 2 (the authority that signed it), not '%s'",
            usage);
}

static int add_hosts(Context *c, Table *t, unsigned port, const char *data)
{
    size_t position = 0;
    const char *host;
    int r = 0;

    while (r >= 0 && (host = invocation_option_next(c->invocation, "host", &position))) {
        r = add_record(t, port, host, data);
        if (r == -EINVAL)
            return failure_set(&c->failure, STATUS_USAGE, "'%s' is no domain name", host);
    }
    return r;
}

int verb_cert_tlsa(Context *context, char *const *arguments)
{
    const char *port_text = invocation_option(context->invocation, "port"), *usage, *data = NULL;
    _cleanup_json_ json_object *all = NULL;
    _cleanup_(table_freep) Table *t = NULL;
    size_t position = 0;
    unsigned port = 25;
    int r;

    if (port_text && parse_port(port_text, &port) < 0)
        return failure_set(&context->failure, STATUS_USAGE, "--port= is a number from 1 to 65535, not '%s'", port_text);
    if (!invocation_option(context->invocation, "host"))
        return failure_set(&context->failure, STATUS_USAGE,
                "Which mail server? Give its name in the MX record: --host=mx.example.com");
    r = table_new(&t, tlsa_columns, ELEMENTSOF(tlsa_columns));
    if (r >= 0)
        r = read_tlsa(context, arguments[0], &all);
    usage = invocation_option_next(context->invocation, "usage", &position) ?: "3";
    while (r >= 0 && usage) {
        r = find_tlsa(context, arguments[0], all, usage, &data);
        if (r >= 0)
            r = add_hosts(context, t, port, data);
        usage = invocation_option_next(context->invocation, "usage", &position);
    }
    return r < 0 ? r : show_records(t, &context->output);
}
