/* SPDX-License-Identifier: Apache-2.0 */

/* Calls about the lists of authorities. What is asked is answered from memory; what changes something is done by a thread, and
 * answered when it is on stable storage and the services have been told. */

#include "authorities-bus.h"

#include <fcntl.h>
#include <openssl/pem.h>

#include "bus-error.h"
#include "certd-bus.h"
#include "expiry-watch.h"
#include "log.h"
#include "openssl-cleanup.h"

#define FINGERPRINTS_MAX AUTHORITIES_LIST_MAX

void authorities_bus_news(Authorities *a, const char *problem, void *userdata)
{
    uint64_t generation = authorities_generation(a);
    Manager *m = userdata;
    sd_bus *bus = m->bus ? system_bus_get(m->bus) : NULL;

    if (problem)
        log_warning("Certificate authorities: %s", problem);
    if (m->server) {
        (void) peer_server_emit(m->server, ROLE_ANYONE, CERTD_PATH, CERTD_PEER_INTERFACE, "AuthoritiesChanged", "t", generation);
        (void) peer_server_emit(m->server, ROLE_ROOT | ROLE_SELF, CERTD_PATH, CERTD_INTERFACE, "AuthoritiesChanged", "t",
                generation);
    }
    if (bus)
        (void) sd_bus_emit_signal(bus, CERTD_PATH, CERTD_INTERFACE, "AuthoritiesChanged", "t", generation);
    expiry_watch_check(m->expiry);
}

int authorities_method_peer_get(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const Authorities *a = ((Manager *) userdata)->authorities;

    return sd_bus_reply_method_return(m, "th", authorities_generation(a), authorities_trusted_fd(a));
}

/* ---- what there is ---- */

/* With any, "" is _AUTHORITY_LIST_MAX: both. */
static int read_list_id(sd_bus_message *m, bool any, AuthorityListId *ret, sd_bus_error *error)
{
    const char *name;
    int r;

    r = sd_bus_message_read(m, "s", &name);
    if (r < 0)
        return r;
    if (any && !*name)
        *ret = _AUTHORITY_LIST_MAX;
    else if (authority_list_from_string(name, ret) < 0)
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "There are two lists of authorities: 'system' and 'custom'.");
    return 0;
}

static uint32_t count_enabled(const AuthorityList *l)
{
    uint32_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->items[i]->enabled;
    return n;
}

int authorities_method_list_lists(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const AuthoritySet *set = authorities_get(((Manager *) userdata)->authorities);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(sbuu)");
    for (AuthorityListId id = 0; r >= 0 && id < _AUTHORITY_LIST_MAX; id++) {
        const AuthoritySetList *l = &set->lists[id];

        r = sd_bus_message_append(reply, "(sbuu)", authority_list_to_string(id), l->enabled, (uint32_t) l->authorities.n,
                count_enabled(&l->authorities));
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_authority(sd_bus_message *reply, AuthorityListId id, const Authority *a)
{
    return sd_bus_message_append(reply, "(ssssttb)", authority_list_to_string(id), a->name, a->subject, a->fingerprint,
            a->not_before_usec, a->not_after_usec, a->enabled);
}

int authorities_method_list(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const AuthoritySet *set = authorities_get(((Manager *) userdata)->authorities);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    AuthorityListId wanted;
    int r;

    r = read_list_id(m, true, &wanted, error);
    if (r < 0)
        return r;
    r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(ssssttb)");
    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++) {
        const AuthorityList *l = &set->lists[id].authorities;

        for (size_t i = 0; r >= 0 && (wanted == id || wanted == _AUTHORITY_LIST_MAX) && i < l->n; i++)
            r = append_authority(reply, id, l->items[i]);
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int authorities_method_get(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const AuthoritySet *set = authorities_get(((Manager *) userdata)->authorities);
    _cleanup_free_ char *pem = NULL;
    AuthorityListId id;
    int r;

    r = read_list_id(m, false, &id, error);
    if (r >= 0)
        r = authority_set_export(set, id, &pem);
    return r < 0 ? r : sd_bus_reply_method_return(m, "s", pem);
}

/* ---- one of them ---- */

static int fingerprint_error(sd_bus_error *error, const char *typed, int r)
{
    switch (r) {
    case -EINVAL:
        return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT,
                "This is no fingerprint: it takes at least 8 hexadecimal digits of the SHA-256 of the certificate.");
    case -ENOTUNIQ:
        return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT,
                "'%s' is the beginning of more than one fingerprint; give more of it.", typed);
    default:
        return sd_bus_error_setf(error, BUS_ERROR_NO_SUCH_AUTHORITY, "There is no authority with the fingerprint '%s'.", typed);
    }
}

static X509 *parse(const Authority *a)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(a->pem, -1);

    return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

/* "RSA", "EC", "ED25519"; "" for what OpenSSL does not know. */
static const char *key_type(X509 *x, uint32_t *ret_bits)
{
    EVP_PKEY *key = X509_get0_pubkey(x);

    *ret_bits = key ? (uint32_t) EVP_PKEY_get_bits(key) : 0;
    return key ? EVP_PKEY_get0_type_name(key) ?: "" : "";
}

static int append_text(sd_bus_message *reply, const char *name, BIO *bio)
{
    _cleanup_free_ char *text = NULL;
    char *data;
    long n = bio ? BIO_get_mem_data(bio, &data) : 0;

    text = strndup(n > 0 ? data : "", (size_t) MAX(n, 0));
    return text ? sd_bus_message_append(reply, "{sv}", name, "s", text) : -ENOMEM;
}

static int append_issuer(sd_bus_message *reply, X509 *x)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

    if (!bio || X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0,
                        (XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_MSB) & ~ASN1_STRFLGS_UTF8_CONVERT) < 0)
        return -ENOMEM;
    return append_text(reply, "Issuer", bio);
}

static int append_hex(sd_bus_message *reply, const char *name, const uint8_t *bytes, size_t n)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());

    for (size_t i = 0; bio && i < n; i++)
        (void) BIO_printf(bio, "%s%02X", i > 0 ? ":" : "", bytes[i]);
    return append_text(reply, name, bio);
}

static int append_from_certificate(sd_bus_message *reply, X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    uint8_t sha1[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const char *type;
    uint32_t bits;
    int r;

    type = key_type(x, &bits);
    (void) X509_digest(x, EVP_sha1(), sha1, &n);
    r = append_issuer(reply, x);
    if (r >= 0)
        r = append_hex(reply, "SerialNumber", ASN1_STRING_get0_data(serial), (size_t) ASN1_STRING_length(serial));
    if (r >= 0)
        r = append_hex(reply, "FingerprintSHA1", sha1, n);
    return r < 0 ? r : sd_bus_message_append(reply, "{sv}{sv}", "KeyType", "s", type, "KeyBits", "u", bits);
}

/* The lists that it is in, or those where it is enabled. */
static int append_lists(sd_bus_message *reply, const char *name, const AuthoritySet *set, const char *fingerprint, bool enabled)
{
    char *names[_AUTHORITY_LIST_MAX + 1] = {};
    size_t n = 0;
    int r;

    for (AuthorityListId id = 0; id < _AUTHORITY_LIST_MAX; id++) {
        const Authority *a = authority_list_find(&set->lists[id].authorities, fingerprint);

        if (a && (!enabled || (a->enabled && set->lists[id].enabled)))
            names[n++] = (char *) authority_list_to_string(id);
    }
    r = sd_bus_message_open_container(reply, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(reply, "s", name);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_append_strv(reply, names);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static const Authority *find(const AuthoritySet *set, const char *fingerprint)
{
    const Authority *a = NULL;

    for (AuthorityListId id = 0; !a && id < _AUTHORITY_LIST_MAX; id++)
        a = authority_list_find(&set->lists[id].authorities, fingerprint);
    return a;
}

static int append_details(sd_bus_message *reply, const AuthoritySet *set, const Authority *a)
{
    _cleanup_(x509_freep) X509 *x = parse(a);
    int r;

    r = sd_bus_message_open_container(reply, 'a', "{sv}");
    if (r >= 0)
        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}", "Name", "s", a->name, "Subject", "s", a->subject,
                "NotBeforeUSec", "t", a->not_before_usec, "NotAfterUSec", "t", a->not_after_usec,
                "FingerprintSHA256", "s", a->fingerprint);
    if (r >= 0)
        r = append_lists(reply, "Lists", set, a->fingerprint, false);
    if (r >= 0)
        r = append_lists(reply, "TrustedBy", set, a->fingerprint, true);
    if (r >= 0 && x)
        r = append_from_certificate(reply, x);
    if (r >= 0)
        r = sd_bus_message_append(reply, "{sv}", "Certificate", "s", a->pem);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

int authorities_method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const AuthoritySet *set = authorities_get(((Manager *) userdata)->authorities);
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
    const char *typed;
    int r;

    r = sd_bus_message_read(m, "s", &typed);
    if (r < 0)
        return r;
    r = authority_set_resolve(set, _AUTHORITY_LIST_MAX, typed, fingerprint);
    if (r < 0)
        return fingerprint_error(error, typed, r);
    r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = append_details(reply, set, find(set, fingerprint));
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- changes ---- */

static const struct {
    int error;
    const char *name;
} errors[] = {
    {-E2BIG, BUS_ERROR_LIMIT_EXCEEDED},
    {-EBADMSG, BUS_ERROR_CERTIFICATE_INVALID},
    {-EFBIG, BUS_ERROR_TOO_LARGE},
    {-EINVAL, BUS_ERROR_INVALID_ARGUMENT},
    {-ENODATA, BUS_ERROR_CERTIFICATE_INVALID},
    {-ENOENT, BUS_ERROR_NO_SUCH_AUTHORITY},
    {-ENOSPC, BUS_ERROR_NO_SPACE},
    {-ENOTUNIQ, BUS_ERROR_INVALID_ARGUMENT},
    {-EROFS, BUS_ERROR_NOT_SUPPORTED},
    {-ETIMEDOUT, BUS_ERROR_UNAVAILABLE},
};

static int change_error(sd_bus_error *error, const AuthoritiesChange *c, int r)
{
    if (r == -ENOMEM)
        return r;
    for (size_t i = 0; i < ELEMENTSOF(errors); i++)
        if (errors[i].error == r)
            return sd_bus_error_setf(error, errors[i].name, "List of authorities '%s': %s.", authority_list_to_string(c->list),
                    c->reason);
    return sd_bus_error_set_errnof(error, r, "List of authorities '%s': %s: %m", authority_list_to_string(c->list), c->reason);
}

static void change_done(Authorities *a, AuthoritiesChange *change, int result, void *userdata)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(authorities_change_freep) AuthoritiesChange *c = change;
    _cleanup_(peer_pending_freep) PeerPending *pending = userdata;
    sd_bus_message *call = peer_pending_call(pending);

    if (result < 0)
        (void) sd_bus_reply_method_errno(call, change_error(&error, c, result), &error);
    else if (c->kind == AUTHORITIES_IMPORT)
        (void) sd_bus_reply_method_return(call, "uuuu", c->n_added, c->n_known, c->n_removed, c->n_expired);
    else if (c->kind == AUTHORITIES_REMOVE)
        (void) sd_bus_reply_method_return(call, "u", c->n_removed);
    else
        (void) sd_bus_reply_method_return(call, NULL);
}

/* Takes the change over. */
static int submit(Manager *manager, sd_bus_message *m, AuthoritiesChange **change, size_t size, sd_bus_error *error)
{
    _cleanup_(peer_pending_freep) PeerPending *pending = NULL;
    int r;

    r = peer_pending_new(&pending, manager->server, m, size, error);
    if (r < 0)
        return r;
    r = authorities_submit(manager->authorities, *change, change_done, pending);
    if (r < 0)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many changes of certificates are under way.");
    (void) TAKE_PTR(*change);
    (void) TAKE_PTR(pending);
    return 1;
}

static int read_fingerprints(sd_bus_message *m, AuthoritiesChange *c, size_t *ret_size, sd_bus_error *error)
{
    size_t n = 0, size = 0;
    int r;

    r = sd_bus_message_read_strv(m, &c->fingerprints);
    if (r < 0)
        return r;
    for (char **f = c->fingerprints; f && *f; f++, n++)
        size += strlen(*f) + sizeof(char *);
    if (n > FINGERPRINTS_MAX)
        return sd_bus_error_setf(error, BUS_ERROR_LIMIT_EXCEEDED, "There are more than %d fingerprints.", FINGERPRINTS_MAX);
    *ret_size = size;
    return 0;
}

int authorities_method_set_enabled(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(authorities_change_freep) AuthoritiesChange *c = NULL;
    size_t size = 0;
    int r, enabled;

    r = authorities_change_new(&c, AUTHORITIES_DISABLE);
    if (r >= 0)
        r = read_list_id(m, false, &c->list, error);
    if (r >= 0)
        r = read_fingerprints(m, c, &size, error);
    if (r >= 0)
        r = sd_bus_message_read(m, "b", &enabled);
    if (r < 0)
        return r;
    c->kind = enabled ? AUTHORITIES_ENABLE : AUTHORITIES_DISABLE;
    return submit(userdata, m, &c, size, error);
}

int authorities_method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(authorities_change_freep) AuthoritiesChange *c = NULL;
    size_t size = 0;
    int r;

    r = authorities_change_new(&c, AUTHORITIES_REMOVE);
    if (r < 0)
        return r;
    c->list = AUTHORITY_LIST_CUSTOM;
    r = read_fingerprints(m, c, &size, error);
    return r < 0 ? r : submit(userdata, m, &c, size, error);
}

/* One option is known: Replace b. */
static int read_import_options(sd_bus_message *m, AuthoritiesChange *c, sd_bus_error *error)
{
    int r, b;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const char *name;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
            return r;
        if (!streq(name, "Replace"))
            return sd_bus_error_setf(error, BUS_ERROR_INVALID_ARGUMENT, "There is no option '%s'.", name);
        if (sd_bus_message_read(m, "v", "b", &b) < 0)
            return sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "Option 'Replace' is not of type 'b'.");
        c->replace = b;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

int authorities_method_import(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(authorities_change_freep) AuthoritiesChange *c = NULL;
    int r, fd;

    r = authorities_change_new(&c, AUTHORITIES_IMPORT);
    if (r >= 0)
        r = read_list_id(m, false, &c->list, error);
    if (r >= 0)
        r = sd_bus_message_read(m, "h", &fd);
    if (r < 0)
        return r;
    /* The message's descriptor is its own: one that stays when it goes. */
    c->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (c->file_fd < 0)
        return negative_errno();
    r = read_import_options(m, c, error);
    return r < 0 ? r : submit(userdata, m, &c, 0, error);
}
