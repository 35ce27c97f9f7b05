/* SPDX-License-Identifier: Apache-2.0 */

/* Start, reload and end of certd. */

#include "certd-manager.h"

#include <time.h>

#include "alert.h"
#include "authorities-bus.h"
#include "catalog-ids.h"
#include "certd-bus.h"
#include "demo-certificate.h"
#include "expiry-watch.h"
#include "key-credential.h"
#include "log.h"
#include "secure-memory.h"

#define THREADS 2
#define JOBS_MAX 4096
#define PROGRAM_THREADS 1
#define PROGRAM_JOBS_MAX 256
#define OPERATIONS_MAX 16

static uint64_t now_realtime(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static int on_stop(void *userdata)
{
    Manager *m = userdata;

    daemon_notify_stopping();
    return sd_event_exit(m->event, 0);
}

/* SIGHUP, for who has no bus. */
static int on_reload(void *userdata)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    return r < 0 ? r : manager_reload(userdata, report);
}

static int control_reload(void *userdata, ConfReport *report)
{
    return manager_reload(userdata, report);
}

int manager_new(Manager **ret)
{
    _cleanup_(manager_freep) Manager *m = NULL;
    int r;

    m = calloc(1, sizeof(Manager));
    if (!m)
        return -ENOMEM;
    m->root = "";
    m->control = (DaemonControl) {.reload = control_reload, .describe = certd_bus_describe, .userdata = m};
    token_bucket_init(&m->refusals, 1, 10);
    token_bucket_init(&m->program_refusals, 1, 10);
    token_bucket_init(&m->program_drops, 1, 10);
    r = assignments_new(&m->assignments);
    if (r < 0)
        return r;
    r = daemon_event_new(&m->event, on_stop, on_reload, m);
    if (r < 0)
        return r;
    r = jobs_new(&m->jobs, m->event, THREADS, JOBS_MAX);
    if (r < 0)
        return r;
    r = jobs_new(&m->program_jobs, m->event, PROGRAM_THREADS, PROGRAM_JOBS_MAX);
    if (r < 0)
        return r;
    r = pkcs12_reader_new(&m->pkcs12, PKCS12_ITERATIONS_MAX);
    if (r < 0)
        return r;
    r = jobs_new(&m->operations, m->event, 1, OPERATIONS_MAX);
    if (r < 0)
        return r;
    r = peer_client_new(&m->alertd, m->event, "alertd");
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;
    /* What is under way ends first, and may tell its caller. */
    jobs_free(m->operations);
    system_bus_free(m->bus);
    peer_server_free(m->server);
    peer_server_free(m->programs);
    jobs_free(m->jobs);
    jobs_free(m->program_jobs);
    expiry_watch_free(m->expiry);
    peer_client_free(m->alertd);
    authorities_free(m->authorities);
    store_free(m->store);
    assignments_free(m->assignments);
    tokens_free(m->tokens);
    pkcs12_reader_free(m->pkcs12);
    certd_conf_free(m->conf);
    sd_event_unref(m->event);
    free(m);
    return NULL;
}

/* What is assigned and is not there is no error: it may be installed later. */
static void check_assignments(const Manager *m, ConfReport *report)
{
    const Assignments *a = m->assignments;

    for (size_t i = 0; i < SERVICES_MAX; i++)
        for (char **name = m->conf->services[i].certificates; name && *name; name++)
            if (!store_find(m->store, *name))
                (void) conf_report_add(report, CONF_WARNING, NULL, 0,
                        "Certificate '%s' is assigned to %s, but it is not in the store", *name, m->conf->services[i].name);
    for (size_t i = 0; i < a->n; i++)
        if (!store_find(m->store, a->items[i].certificate))
            (void) conf_report_add(report, CONF_WARNING, NULL, 0,
                    "Certificate '%s' is assigned to %s, but it is not in the store", a->items[i].certificate, a->items[i].use);
}

int manager_load_conf(Manager *m)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = conf_report_new(&report);
    if (r >= 0)
        r = certd_conf_load(&m->conf, m->root, report);
    if (report)
        daemon_log_report(report);
    if (r < 0)
        return log_error_errno(r, "Failed to read the configuration: %m");
    return 0;
}

/* Handshakes that a service has begun with what was its until now shall end well. A program's user has lost it at once. */
static void remember_former(Manager *m, const Assignments *now)
{
    const Assignments *before = m->assignments;
    uint64_t usec = 0;

    (void) sd_event_now(m->event, CLOCK_MONOTONIC, &usec);
    for (size_t i = 0; i < before->n; i++) {
        const Assignment *a = &before->items[i];
        FormerAssignment *f = &m->former[m->next_former];

        if (a->kind == USE_USER || assignments_permit(now, a->certificate, a->kind, 0))
            continue;
        *f = (FormerAssignment) {.kind = a->kind, .until_usec = usec + STORE_RETIRED_USEC};
        strcpy(f->certificate, a->certificate);
        m->next_former = (m->next_former + 1) % FORMER_ASSIGNMENTS_MAX;
    }
}

/* Both or neither. Returns 1 if something is different now. */
static int load_files(Manager *m, char **reterr_reason)
{
    _cleanup_(assignments_freep) Assignments *fresh = NULL;
    bool changed;
    int r;

    r = assignments_load(&fresh, m->store, reterr_reason);
    if (r < 0)
        return r;
    r = store_load(m->store, reterr_reason);
    if (r < 0)
        return r;
    changed = !assignments_equal(fresh, m->assignments);
    if (changed) {
        remember_former(m, fresh);
        assignments_free(m->assignments);
        m->assignments = TAKE_PTR(fresh);
        if (m->programs)
            peer_server_readmit(m->programs);
    }
    if (r > 0 || changed)
        m->generation = MAX(now_realtime(), m->generation + 1);
    return r > 0 || changed;
}

static int load_store(Manager *m)
{
    _cleanup_free_ char *reason = NULL;
    int r;

    r = load_files(m, &reason);
    if (r < 0) {
        const LogField fields[] = {{"POSTERN_REASON", reason ?: strerror(-r)}};

        log_event(LOG_ERR, KEY_STORE_INVALID_ID, fields, ELEMENTSOF(fields), "Failed to load the key store: %s",
                reason ?: strerror(-r));
    }
    return r;
}

/* Even if no certificate has changed: one may have been assigned. */
static void tell_changed(Manager *m)
{
    sd_bus *bus = m->bus ? system_bus_get(m->bus) : NULL;

    if (m->server) {
        (void) peer_server_emit(m->server, ROLE_ANYONE, CERTD_PATH, CERTD_PEER_INTERFACE, "Changed", "t", m->generation);
        (void) peer_server_emit(m->server, ROLE_ROOT | ROLE_SELF, CERTD_PATH, CERTD_INTERFACE, "Changed", "t", m->generation);
    }
    if (bus)
        (void) sd_bus_emit_signal(bus, CERTD_PATH, CERTD_INTERFACE, "Changed", "t", m->generation);
    expiry_watch_check(m->expiry);
}

int manager_reload_store(Manager *m)
{
    int r;

    r = load_store(m);
    if (r > 0)
        tell_changed(m);
    return r < 0 ? r : 0;
}

static int make_demonstration(Manager *m)
{
    _cleanup_free_ char *host = NULL;
    int r;

    r = demo_certificate_host(&host);
    if (r >= 0)
        r = demo_certificate_create(m->store, host);
    if (r < 0)
        return log_error_errno(r, "Failed to make the demonstration certificate: %m");
    log_notice("Made the demonstration certificate for %s, valid for %d days", host, DEMO_CERTIFICATE_DAYS);
    return load_store(m);
}

static int use_credential(Manager *m)
{
    const char *reason = "it does not fit into memory";
    char *passphrase = NULL;
    int r;

    r = key_credential_load(getenv("CREDENTIALS_DIRECTORY"), KEY_CREDENTIAL_NAME, &passphrase, &reason);
    if (r < 0)
        return log_error_errno(r, "Cannot use the credential " KEY_CREDENTIAL_NAME " for private keys: %s", reason);
    store_set_passphrase(m->store, passphrase);
    return 0;
}

/* A token that is not there at this time is waited for: the service is started again. */
static int open_tokens(Manager *m)
{
    _cleanup_(secure_freep) char *pin = NULL;
    const char *reason = "it does not fit into memory";
    int r;

    if (!m->conf->token_module)
        return 0;
    r = key_credential_load(getenv("CREDENTIALS_DIRECTORY"), PIN_CREDENTIAL_NAME, &pin, &reason);
    if (r < 0)
        return log_error_errno(r, "Cannot use the credential " PIN_CREDENTIAL_NAME " for tokens: %s", reason);
    r = tokens_new(&m->tokens, m->conf->token_module, pin, &reason);
    if (r < 0)
        return log_error_errno(r, "Cannot use the PKCS#11 module %s ([Tokens] Module=): %s", m->conf->token_module, reason);
    store_set_tokens(m->store, m->tokens);
    return 0;
}

static int load_authorities(Manager *m, const char *path)
{
    char reason[AUTHORITY_REASON_MAX] = "";
    int r;

    r = authorities_new(&m->authorities, m->event, m->operations, path, AUTHORITIES_SYSTEM_FILE, authorities_bus_news, m);
    if (r >= 0)
        r = authorities_load(m->authorities, reason);
    if (r < 0)
        return log_error_errno(r, "Failed to load the lists of certificate authorities: %s", *reason ? reason : strerror(-r));
    r = authorities_watch(m->authorities);
    if (r < 0 && r != -ENOENT)
        log_warning_errno(r, "Changes of %s are seen when certd is reloaded, not before: %m", AUTHORITIES_SYSTEM_FILE);
    return 0;
}

int manager_open_store(Manager *m, const char *path)
{
    _cleanup_(conf_report_freep) ConfReport *report = NULL;
    int r;

    r = store_new(&m->store, path);
    if (r < 0)
        return log_error_errno(r, "Failed to open the key store %s, which must be a directory of certd alone: %m", path);
    r = use_credential(m);
    if (r >= 0)
        r = open_tokens(m);
    if (r >= 0)
        r = load_store(m);
    if (r >= 0)
        r = load_authorities(m, path);
    /* Whatever is wrong with files is for a person to put right; starting again would find the same. */
    if (r < 0)
        return r == -ENOMEM || r == -ENODEV ? r : -EBADMSG;
    if (!store_get(m->store, 0)) {
        r = make_demonstration(m);
        if (r < 0)
            return r;
    }
    r = conf_report_new(&report);
    if (r < 0)
        return r;
    check_assignments(m, report);
    daemon_log_report(report);
    if (!store_keys_encrypted(m->store))
        log_event(LOG_WARNING, KEYS_NOT_ENCRYPTED_ID, NULL, 0,
                "Private keys in %s are not encrypted, only protected by the mode of their files: %s", path,
                store_has_passphrase(m->store) ? "their files cannot be written"
                                               : "there is no credential " KEY_CREDENTIAL_NAME);
    return 0;
}

static void on_dropped(uid_t uid, const char *reason, void *userdata)
{
    const LogField fields[] = {{"POSTERN_PEER", role_to_string(role_from_uid(uid))}, {"POSTERN_REASON", reason}};

    log_event(LOG_WARNING, PEER_DROPPED_ID, fields, ELEMENTSOF(fields), "Dropped a connection of uid %u: %s", uid, reason);
}

/* Of connections that anybody may make without end. */
static void on_program_dropped(uid_t uid, const char *reason, void *userdata)
{
    Manager *m = userdata;
    uint64_t now = 0;

    (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
    if (token_bucket_try(&m->program_drops, now))
        on_dropped(uid, reason, m);
}

static RoleMask program_roles(uid_t uid, void *userdata)
{
    const Manager *m = userdata;

    return assignments_user(m->assignments, uid) ? ROLE_PROGRAM : 0;
}

static int serve_programs(Manager *m)
{
    const PeerAdmission admission = {
        .roles = program_roles,
        .userdata = m,
        .connections_max = PROGRAMS_CONNECTIONS_MAX,
        .connections_per_uid_max = PROGRAMS_CONNECTIONS_PER_UID_MAX,
        .priority = PROGRAMS_PRIORITY,
    };
    _cleanup_close_ int fd = -EBADF;
    int r;

    fd = daemon_take_fd("programs");
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    r = peer_server_new(&m->programs, m->event, fd, "certd", certd_program_access, m->program_objects);
    if (r < 0)
        return r;
    (void) TAKE_FD(fd);
    peer_server_set_dropped(m->programs, on_program_dropped, m);
    return peer_server_set_admission(m->programs, &admission);
}

int manager_serve(Manager *m)
{
    _cleanup_close_ int fd = -EBADF;
    int r;

    fd = daemon_take_fd("peer");
    if (fd < 0)
        return log_error_errno(fd, "There is no peer socket; certd is started by postern-certd.socket: %m");
    certd_bus_objects(m);
    r = peer_server_new(&m->server, m->event, fd, "certd", certd_peer_access, m->peer_objects);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the peer socket: %m");
    (void) TAKE_FD(fd);
    peer_server_set_dropped(m->server, on_dropped, m);
    r = serve_programs(m);
    if (r < 0)
        return log_error_errno(r, "Failed to serve the programs' socket: %m");
    r = system_bus_new(&m->bus, m->event, "org.postern.Cert1", "postern-certd", m->bus_objects, certd_bus_access);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the system bus: %m");
    r = expiry_watch_new(&m->expiry, m);
    if (r < 0)
        return log_error_errno(r, "Failed to prepare the watch over the expiry of certificates: %m");
    expiry_watch_check(m->expiry);
    return 0;
}

static int reload(Manager *m, ConfReport *report)
{
    _cleanup_(certd_conf_freep) CertdConf *conf = NULL;
    _cleanup_free_ char *reason = NULL;
    int r;

    r = certd_conf_load(&conf, m->root, report);
    if (r < 0)
        return r;
    r = load_files(m, &reason);
    if (r < 0) {
        (void) conf_report_add(report, CONF_ERROR, NULL, 0, "Key store: %s", reason ?: strerror(-r));
        return r;
    }
    if (!streq(conf->token_module ?: "", m->conf->token_module ?: ""))
        (void) conf_report_add(report, CONF_WARNING, NULL, 0, "[Tokens] Module= has changed: it takes effect when certd is restarted");
    certd_conf_free(m->conf);
    m->conf = TAKE_PTR(conf);
    memset(m->demonstrated, 0, sizeof(m->demonstrated));
    check_assignments(m, report);
    return 0;
}

int manager_reload(Manager *m, ConfReport *report)
{
    int r;

    daemon_notify_reloading();
    r = reload(m, report);
    daemon_log_report(report);
    if (r >= 0) {
        log_info("Reloaded the configuration and the key store");
        tell_changed(m);
        (void) authorities_reload(m->authorities);
    }
    daemon_notify_ready("Signing");
    return r;
}

void manager_certificate_used(Manager *m, const ServiceConf *service, const Certificate *c)
{
    const LogField fields[] = {{"POSTERN_PEER", service->name}, {"POSTERN_CERTIFICATE", c->name}};
    size_t i = (size_t) (service - m->conf->services);
    _cleanup_free_ char *summary = NULL, *tlsa = NULL, *body = NULL;

    if (m->demonstrated[i] || !certificate_is_demonstration(c))
        return;
    m->demonstrated[i] = true;
    log_event(LOG_WARNING, DEMO_CERTIFICATE_ID, fields, ELEMENTSOF(fields), "%s uses the demonstration certificate",
            service->name);
    if (asprintf(&summary, "%s uses the demonstration certificate", service->name) < 0 || certificate_tlsa(c, &tlsa) < 0
            || asprintf(&body,
                       "The self-signed certificate \"%s\" (%s), made at the first start, is in use by %s. Mail flows, encrypted, but no peer can "
                       "verify who this host is.\n\n"
                       "Install a certificate of an authority and give it to %s:\n\n    posternctl cert assign NAME %s\n\n"
                       "or publish this TLSA record in a zone that is signed:\n\n    _25._tcp.NAME-OF-THIS-HOST. IN TLSA %s\n",
                       c->name, c->subject, service->name, service->name, service->use == USE_LISTENER ? "listener:public" : "delivery", tlsa)
                    < 0)
        return;
    alert_raise(m->alertd, ALERT_INFO, ALERT_CERTIFICATE, summary, summary, body);
}
