/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of certd. All that they answer is public: certificates, names, what DNS should say. Sign() is in signer.c. */

#include "certd-bus.h"

#include <json.h>

#include "authorities-bus.h"
#include "bus-error.h"
#include "certificate-details.h"
#include "client.h"
#include "operation-bus.h"
#include "polkit-action.h"
#include "signer.h"

#define DAEMON_INTERFACE "org.postern.Daemon1"

const PeerAccess certd_peer_access[] = {
    {CERTD_PEER_INTERFACE, "Sign", ROLE_SMTPD | ROLE_DELIVERD},
    {CERTD_PEER_INTERFACE, "GetAssignment", ROLE_SMTPD | ROLE_DELIVERD},
    {CERTD_PEER_INTERFACE, "GetCertificate", ROLE_SMTPD | ROLE_DELIVERD},
    {CERTD_PEER_INTERFACE, "GetAuthorities", ROLE_SMTPD | ROLE_DELIVERD},
    {CERTD_INTERFACE, NULL, ROLE_ROOT | ROLE_SELF},
    {DAEMON_INTERFACE, NULL, ROLE_ROOT | ROLE_SELF},
    {},
};

const PeerAccess certd_program_access[] = {
    {CERTD_PEER_INTERFACE, "Sign", ROLE_PROGRAM},
    {CERTD_PEER_INTERFACE, "GetCertificate", ROLE_PROGRAM},
    {},
};

/* Certificates are shown to everybody who makes a TLS connection. */
const SystemBusAccess certd_bus_access[] = {
    {CERTD_INTERFACE, "AddIntermediates", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "AssignCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "CreateCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "CreateRequest", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "DeleteCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "DescribeAuthority", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "DescribeCertificate", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "ExportCertificate", ACTION_EXPORT_CERTIFICATE},
    {CERTD_INTERFACE, "ForbidExport", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "GetAuthorities", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "GetCertificate", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "GetRequest", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "GetTLSA", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "ImportAuthorities", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "ImportCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "InstallCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "ListAssignments", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "ListAuthorities", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "ListAuthorityLists", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "ListCertificates", SYSTEM_BUS_PUBLIC},
    {CERTD_INTERFACE, "RemoveAuthorities", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "RenameCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "UnassignCertificate", ACTION_MANAGE_CERTIFICATES},
    {CERTD_INTERFACE, "SetAuthoritiesEnabled", ACTION_MANAGE_CERTIFICATES},
    {DAEMON_INTERFACE, "Describe", SYSTEM_BUS_PUBLIC},
    {DAEMON_INTERFACE, "Reload", ACTION_MANAGE_DAEMONS},
    {},
};

static uint64_t now_realtime(Manager *m)
{
    uint64_t now = 0;

    (void) sd_event_now(m->event, CLOCK_REALTIME, &now);
    return now;
}

static int no_such_certificate(sd_bus_error *error, const char *name)
{
    if (!certificate_name_valid(name))
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "This is no name of a certificate.");
    return sd_bus_error_setf(error, BUS_ERROR_NO_SUCH_CERTIFICATE, "There is no certificate '%s'.", name);
}

/* ---- for the services and for programs ---- */

static int method_peer_get_certificate(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *manager = userdata;
    const Certificate *c;
    const char *name;
    Client client;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    if (client_from_message(&client, manager, m) < 0)
        return sd_bus_error_set(error, BUS_ERROR_ACCESS_DENIED, "Only smtpd, deliverd and programs use certificates.");
    /* Of no use to a client that cannot sign with it, and better said now than in each handshake. */
    if (certificate_name_valid(name) && !client_may_use(&client, name))
        return sd_bus_error_setf(error, BUS_ERROR_KEY_NOT_ASSIGNED, "Certificate '%s' is not assigned to %s.", name, client.name);
    c = store_find(manager->store, name);
    if (!c)
        return no_such_certificate(error, name);
    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "t", manager->generation);
    if (r < 0)
        return r;
    r = sd_bus_message_append_array(reply, 'y', c->pem, c->pem_size);
    if (r < 0)
        return r;
    if (client.service)
        manager_certificate_used(manager, client.service, c);
    return sd_bus_send(NULL, reply, NULL);
}

/* A listener may be called what cannot be a use: then nothing is assigned to it. */
static int method_get_assignment(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Manager *manager = userdata;
    const char *use, *name;
    Client client;
    UseKind kind;
    int r;

    r = sd_bus_message_read(m, "s", &use);
    if (r < 0)
        return r;
    if (client_from_message(&client, manager, m) < 0 || !client.service)
        return sd_bus_error_set(error, BUS_ERROR_ACCESS_DENIED, "Only smtpd and deliverd have uses.");
    if (use_parse(use, &kind, &name) < 0)
        return sd_bus_reply_method_return(m, "s", "");
    if (kind != client.service->use)
        return sd_bus_error_setf(error, BUS_ERROR_ACCESS_DENIED, "This is no use of %s.", client.name);
    return sd_bus_reply_method_return(m, "s", assignments_find(manager->assignments, use) ?: "");
}

static const sd_bus_vtable peer_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Sign", SD_BUS_ARGS("s", name, "ay", spki_sha256, "q", scheme, "ay", message),
            SD_BUS_RESULT("ay", signature), signer_method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetCertificate", SD_BUS_ARGS("s", name), SD_BUS_RESULT("t", generation, "ay", chain),
            method_peer_get_certificate, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetAssignment", SD_BUS_ARGS("s", use), SD_BUS_RESULT("s", name), method_get_assignment,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetAuthorities", SD_BUS_NO_ARGS, SD_BUS_RESULT("t", generation, "h", file),
            authorities_method_peer_get, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("Changed", SD_BUS_ARGS("t", generation), 0),
    SD_BUS_SIGNAL_WITH_ARGS("AuthoritiesChanged", SD_BUS_ARGS("t", generation), 0),
    SD_BUS_VTABLE_END,
};

/* ---- for people ---- */

/* What certd.conf permits it to, and what it is assigned to. */
static int append_services(sd_bus_message *reply, Manager *m, const Certificate *c)
{
    const Assignment *a = NULL;
    int r;

    r = sd_bus_message_open_container(reply, 'a', "s");
    if (r < 0)
        return r;
    for (size_t i = 0; i < SERVICES_MAX; i++)
        if (client_shows_service(m, &m->conf->services[i], c->name)) {
            r = sd_bus_message_append(reply, "s", m->conf->services[i].name);
            if (r < 0)
                return r;
        }
    while ((a = assignments_next(m->assignments, c->name, a))) {
        r = sd_bus_message_append(reply, "s", a->use);
        if (r < 0)
            return r;
    }
    return sd_bus_message_close_container(reply);
}

static int append_certificate(sd_bus_message *reply, Manager *m, const Certificate *c)
{
    int r;

    r = sd_bus_message_open_container(reply, 'r', "sssttas");
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "ssstt", c->name, certificate_state_to_string(certificate_state(c, now_realtime(m))),
            c->subject, c->not_before_usec, c->not_after_usec);
    if (r < 0)
        return r;
    r = append_services(reply, m, c);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_list_certificates(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *manager = userdata;
    const Certificate *c;
    int r;

    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'a', "(sssttas)");
    if (r < 0)
        return r;
    for (size_t i = 0; (c = store_get(manager->store, i)); i++) {
        r = append_certificate(reply, manager, c);
        if (r < 0)
            return r;
    }
    r = sd_bus_message_close_container(reply);
    if (r < 0)
        return r;
    return sd_bus_send(NULL, reply, NULL);
}

static int method_get_certificate(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Manager *manager = userdata;
    const Certificate *c;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    c = store_find(manager->store, name);
    if (!c)
        return no_such_certificate(error, name);
    return sd_bus_reply_method_return(m, "s", c->pem);
}

static int method_get_tlsa(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_free_ char *tlsa = NULL;
    Manager *manager = userdata;
    const Certificate *c;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    c = store_find(manager->store, name);
    if (!c)
        return no_such_certificate(error, name);
    r = certificate_tlsa(c, &tlsa);
    if (r < 0)
        return r;
    return sd_bus_reply_method_return(m, "s", tlsa);
}

static int method_get_request(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Manager *manager = userdata;
    const Certificate *c;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    c = store_find(manager->store, name);
    if (!c)
        return no_such_certificate(error, name);
    if (!c->request)
        return sd_bus_error_setf(error, BUS_ERROR_NO_REQUEST, "No request was made for certificate '%s'.", name);
    return sd_bus_reply_method_return(m, "s", c->request);
}

static int append_details(sd_bus_message *reply, Manager *m, const Certificate *c, const CertificateDetails *d)
{
    int r;

    r = sd_bus_message_open_container(reply, 'a', "{sv}");
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}", "Name", "s", c->name, "State", "s",
            certificate_state_to_string(certificate_state(c, now_realtime(m))), "Subject", "s", c->subject, "Issuer", "s",
            d->issuer, "SerialNumber", "s", d->serial);
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "NotBeforeUSec", "t", c->not_before_usec, "NotAfterUSec", "t",
            c->not_after_usec, "KeyType", "s", key_type_to_string(c->key_type), "KeyBits", "u", d->key_bits);
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "FingerprintSHA256", "s", d->sha256, "FingerprintSHA1", "s",
            d->sha1, "TLSA", "s", d->tlsa, "ChainLength", "u", d->chain_length, "ExportForbidden", "b", c->export_forbidden,
            "RequestPending", "b", c->self_signed && c->request);
    if (r >= 0)
        r = sd_bus_message_append(reply, "{sv}", "KeyEncrypted", "b", c->key_encrypted);
    if (r >= 0 && c->key_uri)
        r = sd_bus_message_append(reply, "{sv}", "KeyURI", "s", c->key_uri);
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}", "FullyQualified", "b", d->qualified);
    if (r >= 0 && d->authority_tlsa)
        r = sd_bus_message_append(reply, "{sv}", "AuthorityTLSA", "s", d->authority_tlsa);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(reply, "s", "Names");
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_append_strv(reply, d->names);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(reply, "s", "Services");
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'v', "as");
    if (r >= 0)
        r = append_services(reply, m, c);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_describe_certificate(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(certificate_details_done) CertificateDetails details = {};
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *manager = userdata;
    const Certificate *c;
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    c = store_find(manager->store, name);
    if (!c)
        return no_such_certificate(error, name);
    r = certificate_details(c, &details);
    if (r < 0)
        return r;
    r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = append_details(reply, manager, c, &details);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_assignments(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const Assignments *a = ((Manager *) userdata)->assignments;
    int r;

    r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(ss)");
    for (size_t i = 0; r >= 0 && i < a->n; i++)
        r = sd_bus_message_append(reply, "(ss)", a->items[i].certificate, a->items[i].use);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int property_keys_encrypted(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;

    return sd_bus_message_append(reply, "b", store_keys_encrypted(m->store));
}

static const sd_bus_vtable public_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("ListCertificates", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssttas)", certificates),
            method_list_certificates, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetCertificate", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", pem), method_get_certificate,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetTLSA", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", data), method_get_tlsa,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("DescribeCertificate", SD_BUS_ARGS("s", name), SD_BUS_RESULT("a{sv}", details),
            method_describe_certificate, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CreateCertificate", SD_BUS_ARGS("s", name, "a{sv}", options), SD_BUS_RESULT("s", created),
            operation_method_create, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CreateRequest", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", pem), operation_method_request,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetRequest", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", pem), method_get_request,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("InstallCertificate", SD_BUS_ARGS("s", name, "h", file, "a{sv}", options), SD_BUS_NO_RESULT,
            operation_method_install, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("AddIntermediates", SD_BUS_ARGS("s", name, "h", file, "a{sv}", options), SD_BUS_NO_RESULT,
            operation_method_add_intermediates, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ImportCertificate", SD_BUS_ARGS("s", name, "h", file, "h", passphrase, "a{sv}", options),
            SD_BUS_RESULT("s", imported), operation_method_import, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ExportCertificate", SD_BUS_ARGS("s", name, "h", passphrase), SD_BUS_RESULT("h", file),
            operation_method_export, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RenameCertificate", SD_BUS_ARGS("s", name, "s", new_name, "b", force), SD_BUS_NO_RESULT,
            operation_method_rename, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("DeleteCertificate", SD_BUS_ARGS("s", name, "b", force), SD_BUS_NO_RESULT, operation_method_delete,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("AssignCertificate", SD_BUS_ARGS("s", name, "s", use), SD_BUS_NO_RESULT, operation_method_assign,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("UnassignCertificate", SD_BUS_ARGS("s", name, "s", use), SD_BUS_NO_RESULT, operation_method_unassign,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListAssignments", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ss)", assignments), method_list_assignments,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ForbidExport", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT, operation_method_forbid_export,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListAuthorityLists", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sbuu)", lists), authorities_method_list_lists,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListAuthorities", SD_BUS_ARGS("s", list), SD_BUS_RESULT("a(ssssttb)", authorities),
            authorities_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("DescribeAuthority", SD_BUS_ARGS("s", fingerprint), SD_BUS_RESULT("a{sv}", details),
            authorities_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetAuthorities", SD_BUS_ARGS("s", list), SD_BUS_RESULT("s", pem), authorities_method_get,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ImportAuthorities", SD_BUS_ARGS("s", list, "h", file, "a{sv}", options),
            SD_BUS_RESULT("u", added, "u", known, "u", removed, "u", expired), authorities_method_import,
            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetAuthoritiesEnabled", SD_BUS_ARGS("s", list, "as", fingerprints, "b", enabled), SD_BUS_NO_RESULT,
            authorities_method_set_enabled, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RemoveAuthorities", SD_BUS_ARGS("as", fingerprints), SD_BUS_RESULT("u", removed),
            authorities_method_remove, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("AuthoritiesChanged", SD_BUS_ARGS("t", generation), 0),
    SD_BUS_SIGNAL_WITH_ARGS("Changed", SD_BUS_ARGS("t", generation), 0),
    SD_BUS_PROPERTY("KeysEncrypted", "b", property_keys_encrypted, 0, 0),
    SD_BUS_PROPERTY("Signatures", "t", NULL, offsetof(Manager, n_signed), 0),
    SD_BUS_PROPERTY("Refused", "t", NULL, offsetof(Manager, n_refused), 0),
    SD_BUS_PROPERTY("Slowed", "t", NULL, offsetof(Manager, n_slowed), 0),
    SD_BUS_VTABLE_END,
};

void certd_bus_objects(Manager *m)
{
    const PeerObject peer = {CERTD_PATH, CERTD_PEER_INTERFACE, peer_vtable, m};
    const PeerObject people = {CERTD_PATH, CERTD_INTERFACE, public_vtable, m};
    const PeerObject daemon = {CERTD_PATH, DAEMON_INTERFACE, daemon_vtable, &m->control};

    m->program_objects[0] = peer;
    m->peer_objects[0] = peer;
    m->peer_objects[1] = people;
    m->peer_objects[2] = daemon;
    m->bus_objects[0] = people;
    m->bus_objects[1] = daemon;
}

/* ---- Describe() ---- */

static void json_putp(json_object **o)
{
    json_object_put(*o);
}

static json_object *describe_certificate(Manager *m, const Certificate *c)
{
    json_object *o = json_object_new_object(), *services = json_object_new_array();
    const Assignment *a = NULL;

    json_object_object_add(o, "Name", json_object_new_string(c->name));
    json_object_object_add(o, "State", json_object_new_string(
            certificate_state_to_string(certificate_state(c, now_realtime(m)))));
    json_object_object_add(o, "KeyType", json_object_new_string(key_type_to_string(c->key_type)));
    json_object_object_add(o, "Subject", json_object_new_string(c->subject));
    json_object_object_add(o, "NotBeforeUSec", json_object_new_uint64(c->not_before_usec));
    json_object_object_add(o, "NotAfterUSec", json_object_new_uint64(c->not_after_usec));
    for (size_t i = 0; i < SERVICES_MAX; i++)
        if (client_shows_service(m, &m->conf->services[i], c->name))
            json_object_array_add(services, json_object_new_string(m->conf->services[i].name));
    while ((a = assignments_next(m->assignments, c->name, a)))
        json_object_array_add(services, json_object_new_string(a->use));
    json_object_object_add(o, "Services", services);
    return o;
}

int certd_bus_describe(void *userdata, char **ret_json)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *certificates = json_object_new_array();
    Manager *m = userdata;
    const Certificate *c;
    char *text;

    for (size_t i = 0; (c = store_get(m->store, i)); i++)
        json_object_array_add(certificates, describe_certificate(m, c));
    json_object_object_add(o, "Certificates", certificates);
    json_object_object_add(o, "KeysEncrypted", json_object_new_boolean(store_keys_encrypted(m->store)));
    json_object_object_add(o, "Connections", json_object_new_int64(peer_server_connections(m->server)));
    json_object_object_add(o, "ProgramConnections",
            json_object_new_int64(m->programs ? peer_server_connections(m->programs) : 0));
    json_object_object_add(o, "Signatures", json_object_new_uint64(m->n_signed));
    json_object_object_add(o, "Refused", json_object_new_uint64(m->n_refused));
    json_object_object_add(o, "Slowed", json_object_new_uint64(m->n_slowed));
    text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}
