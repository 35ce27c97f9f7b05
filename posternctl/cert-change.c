/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of certd's store. Files and passphrases are handed over as descriptors; a private key comes back only encrypted. certd
 * decides what is good; this file must never judge a certificate. */

#include "file.h"
#include "invocation.h"
#include "key-pointer.h"
#include "passphrase.h"
#include "verbs.h"

/* RSA keys of 4096 bits take a while on a small machine. */
#define CHANGE_TIMEOUT_SEC 120

static const BusMethod create_certificate = {&service_certd, "CreateCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod create_request = {&service_certd, "CreateRequest", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod get_request = {&service_certd, "GetRequest"};
static const BusMethod get_certificate = {&service_certd, "GetCertificate"};
static const BusMethod install_certificate = {&service_certd, "InstallCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod add_intermediates = {&service_certd, "AddIntermediates", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod import_certificate = {&service_certd, "ImportCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod export_certificate = {&service_certd, "ExportCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod rename_certificate = {&service_certd, "RenameCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod delete_certificate = {&service_certd, "DeleteCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod assign_certificate = {&service_certd, "AssignCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod unassign_certificate = {&service_certd, "UnassignCertificate", .timeout_sec = CHANGE_TIMEOUT_SEC};
static const BusMethod forbid_export = {&service_certd, "ForbidExport", .timeout_sec = CHANGE_TIMEOUT_SEC};

static bool is_given(const Context *c, const char *option)
{
    return invocation_option(c->invocation, option);
}

/* ---- options as certd has them ---- */

typedef struct BusOption {
    const char *option; /* "days" */
    const char *name;   /* "Days" */
    const char *type;   /* s, u, b, as */
} BusOption;

static const BusOption create_options[] = {
    {"common-name", "CommonName", "s"},
    {"organization", "Organization", "s"},
    {"unit", "Unit", "s"},
    {"city", "City", "s"},
    {"state", "State", "s"},
    {"country", "Country", "s"},
    {"name", "Names", "as"},
    {"days", "Days", "u"},
    {"key", "Key", "s"},
    {"key-type", "KeyType", "s"},
    {"forbid-export", "ForbidExport", "b"},
    {},
};

static const BusOption install_options[] = {
    {"incomplete", "Incomplete", "b"},
    {},
};

static const BusOption import_options[] = {
    {"incomplete", "Incomplete", "b"},
    {"replace", "Replace", "b"},
    {"forbid-export", "ForbidExport", "b"},
    {},
};

static int append_number(Context *c, sd_bus_message *m, const BusOption *o, const char *value)
{
    unsigned long n;
    char *end;

    errno = 0;
    n = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || n > UINT32_MAX)
        return failure_set(&c->failure, STATUS_USAGE, "--%s= is a number, not '%s'", o->option, value);
    return sd_bus_message_append(m, "{sv}", o->name, "u", (uint32_t) n);
}

static int append_list(Context *c, sd_bus_message *m, const BusOption *o)
{
    const char *list[INVOCATION_OPTIONS_MAX + 1] = {}, *value;
    size_t n = 0, position = 0;
    int r;

    while ((value = invocation_option_next(c->invocation, o->option, &position)))
        list[n++] = value;
    r = sd_bus_message_open_container(m, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", o->name);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_append_strv(m, (char **) list);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_options(Context *c, sd_bus_message *m, const BusOption *options)
{
    int r;

    r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (const BusOption *o = options; r >= 0 && o->option; o++) {
        const char *value = invocation_option(c->invocation, o->option);

        if (!value)
            continue;
        if (streq(o->type, "as"))
            r = append_list(c, m, o);
        else if (streq(o->type, "u"))
            r = append_number(c, m, o, value);
        else if (streq(o->type, "b"))
            r = sd_bus_message_append(m, "{sv}", o->name, "b", true);
        else
            r = sd_bus_message_append(m, "{sv}", o->name, "s", value);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

/* ---- results ---- */

/* One member for programs, one sentence for people. */
static int tell(Context *c, const char *member, const char *value, const char *sentence)
{
    _cleanup_json_ json_object *object = NULL;
    const Output *o = &c->output;

    if (o->json == OUTPUT_JSON_OFF) {
        if (o->legend)
            (void) fprintf(o->file, "%s: %s\n", value, sentence);
        return 0;
    }
    object = json_object_new_object();
    if (!object || json_object_object_add(object, member, json_object_new_string(value)) < 0)
        return -ENOMEM;
    return output_value(o, TAKE_PTR(object));
}

/* A text to a file or standard output; as JSON, only to the latter. */
static int put_text(Context *c, const char *path, const char *member, const char *text)
{
    _cleanup_json_ json_object *object = NULL;

    if (path && !streq(path, "-"))
        return file_store(path, text, strlen(text), 0644, is_given(c, "force"), true, &c->failure);
    if (c->output.json == OUTPUT_JSON_OFF) {
        (void) fputs(text, c->output.file);
        return 0;
    }
    object = json_object_new_object();
    if (!object || json_object_object_add(object, member, json_object_new_string(text)) < 0)
        return -ENOMEM;
    return output_value(&c->output, TAKE_PTR(object));
}

/* A call of a name that gives a text, which is to go to path and belongs to *ret_reply. */
static int get_text(Context *c, const BusMethod *method, const char *name, const char *path, sd_bus_message **ret_reply,
        const char **ret_text)
{
    int r;

    r = path ? file_check_absent(path, is_given(c, "force"), &c->failure) : 0;
    if (r >= 0)
        r = bus_call(c->bus, method, ret_reply, &c->failure, "s", name);
    if (r >= 0)
        r = bus_reply_check(method, sd_bus_message_read(*ret_reply, "s", ret_text), &c->failure);
    return r;
}

static int get_and_put_text(Context *c, const BusMethod *method, char *const *arguments, const char *member)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *text;
    int r;

    r = get_text(c, method, arguments[0], arguments[1], &reply, &text);
    return r < 0 ? r : put_text(c, arguments[1], member, text);
}

/* ---- made here ---- */

int verb_cert_create(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    const char *name;
    int r;

    if (!arguments[0] && !is_given(context, "common-name"))
        return failure_set(&context->failure, STATUS_USAGE, "A certificate needs a name or a --common-name=");
    r = bus_call_new(context->bus, &create_certificate, &m, &context->failure);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", arguments[0] ?: "");
    if (r >= 0)
        r = append_options(context, m, create_options);
    r = bus_call_send(&create_certificate, m, r, &reply, &context->failure);
    if (r >= 0)
        r = bus_reply_check(&create_certificate, sd_bus_message_read(reply, "s", &name), &context->failure);
    return r < 0 ? r : tell(context, "Created", name, "created, self-signed");
}

int verb_cert_request(Context *context, char *const *arguments)
{
    const BusMethod *method = is_given(context, "last") ? &get_request : &create_request;

    return get_and_put_text(context, method, arguments, "Request");
}

int verb_cert_export_pem(Context *context, char *const *arguments)
{
    return get_and_put_text(context, &get_certificate, arguments, "Certificate");
}

int verb_cert_pointer(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *pointer = NULL;
    const char *pem;
    int r;

    r = get_text(context, &get_certificate, arguments[0], arguments[1], &reply, &pem);
    if (r >= 0)
        r = bus_reply_check(&get_certificate, key_pointer_from_certificate(arguments[0], pem, &pointer), &context->failure);
    return r < 0 ? r : put_text(context, arguments[1], "Pointer", pointer);
}

/* ---- from others ---- */

static int install(Context *c, const BusMethod *method, char *const *arguments, const char *sentence)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    _cleanup_close_ int file = -EBADF;
    int r;

    r = bus_call_new(c->bus, method, &m, &c->failure);
    if (r >= 0)
        r = bus_call_can_pass_files(c->bus, m, &c->failure);
    if (r >= 0)
        r = file_load(arguments[1], FILE_SIZE_MAX, &file, &c->failure);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "sh", arguments[0], file);
    if (r >= 0)
        r = append_options(c, m, install_options);
    r = bus_call_send(method, m, r, NULL, &c->failure);
    return r < 0 ? r : tell(c, "Changed", arguments[0], sentence);
}

int verb_cert_install(Context *context, char *const *arguments)
{
    return install(context, &install_certificate, arguments, "installed; services use it for their next sessions");
}

int verb_cert_add_intermediate(Context *context, char *const *arguments)
{
    return install(context, &add_intermediates, arguments, "its chain is longer; services send it in their next sessions");
}

/* ---- PKCS#12 ---- */

/* Standard input can be read for one thing only. */
static int get_passphrase(Context *c, const char *what, bool twice, const char *other_file, int *ret)
{
    const char *path = invocation_option(c->invocation, "passphrase-file");

    if (!path)
        return passphrase_ask(what, twice, ret, &c->failure);
    if (streq(path, "-") && other_file && streq(other_file, "-"))
        return failure_set(&c->failure, STATUS_USAGE, "Standard input cannot be both the file and the passphrase");
    return passphrase_from_file(path, ret, &c->failure);
}

int verb_cert_import(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    _cleanup_close_ int file = -EBADF, passphrase = -EBADF;
    const char *name;
    int r;

    r = bus_call_new(context->bus, &import_certificate, &m, &context->failure);
    if (r >= 0)
        r = bus_call_can_pass_files(context->bus, m, &context->failure);
    if (r >= 0)
        r = file_load(arguments[0], FILE_SIZE_MAX, &file, &context->failure);
    if (r >= 0)
        r = get_passphrase(context, "of the file", false, arguments[0], &passphrase);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "shh", arguments[1] ?: "", file, passphrase);
    if (r >= 0)
        r = append_options(context, m, import_options);
    r = bus_call_send(&import_certificate, m, r, &reply, &context->failure);
    if (r >= 0)
        r = bus_reply_check(&import_certificate, sd_bus_message_read(reply, "s", &name), &context->failure);
    return r < 0 ? r : tell(context, "Imported", name, "imported");
}

static int store_reply(Context *c, sd_bus_message *reply, const char *path)
{
    _cleanup_free_ char *data = malloc(FILE_SIZE_MAX);
    ssize_t n;
    int r, fd;

    if (!data)
        return -ENOMEM;
    r = bus_reply_check(&export_certificate, sd_bus_message_read(reply, "h", &fd), &c->failure);
    if (r < 0)
        return r;
    n = file_read(fd, data, FILE_SIZE_MAX); /* the descriptor is the reply's */
    if (n < 0)
        return (int) n;
    return file_store(path, data, (size_t) n, 0600, is_given(c, "force"), false, &c->failure);
}

int verb_cert_export(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    _cleanup_close_ int passphrase = -EBADF;
    int r;

    if (streq(arguments[1], "-") && context->output.terminal)
        return failure_set(&context->failure, STATUS_USAGE,
                "PKCS#12 is not text, and standard output is a terminal: name a file");
    r = file_check_absent(arguments[1], is_given(context, "force"), &context->failure);
    if (r >= 0)
        r = bus_call_new(context->bus, &export_certificate, &m, &context->failure);
    if (r >= 0)
        r = bus_call_can_pass_files(context->bus, m, &context->failure);
    if (r >= 0)
        r = get_passphrase(context, "for the file", true, NULL, &passphrase);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "sh", arguments[0], passphrase);
    r = bus_call_send(&export_certificate, m, r, &reply, &context->failure);
    return r < 0 ? r : store_reply(context, reply, arguments[1]);
}

/* ---- uses ---- */

/* One after the other: what comes before one that fails is done, and the message names the use. */
static int change_uses(Context *c, const BusMethod *method, char *const *arguments)
{
    for (char *const *use = arguments + 1; *use; use++) {
        int r = bus_call(c->bus, method, NULL, &c->failure, "ss", arguments[0], *use);

        if (r < 0)
            return r;
    }
    return 0;
}

int verb_cert_assign(Context *context, char *const *arguments)
{
    int r = change_uses(context, &assign_certificate, arguments);

    return r < 0 ? r : tell(context, "Assigned", arguments[0], "assigned; it is used for the next sessions");
}

int verb_cert_unassign(Context *context, char *const *arguments)
{
    int r = change_uses(context, &unassign_certificate, arguments);

    return r < 0 ? r : tell(context, "Unassigned", arguments[0], "not assigned any more");
}

/* ---- names and permissions ---- */

int verb_cert_rename(Context *context, char *const *arguments)
{
    int r;

    r = bus_call(context->bus, &rename_certificate, NULL, &context->failure, "ssb", arguments[0], arguments[1],
            is_given(context, "force"));
    return r < 0 ? r : tell(context, "Renamed", arguments[1], "this is its name now");
}

int verb_cert_delete(Context *context, char *const *arguments)
{
    int r;

    r = bus_call(context->bus, &delete_certificate, NULL, &context->failure, "sb", arguments[0], is_given(context, "force"));
    return r < 0 ? r : tell(context, "Deleted", arguments[0], "deleted, with its key");
}

int verb_cert_forbid_export(Context *context, char *const *arguments)
{
    int r;

    r = bus_call(context->bus, &forbid_export, NULL, &context->failure, "s", arguments[0]);
    return r < 0 ? r : tell(context, "ExportForbidden", arguments[0], "its key is not exported any more");
}
