/* SPDX-License-Identifier: Apache-2.0 */

/* The facts of a probe to and from D-Bus. Both sides are of one program, so this is a structure and not a dictionary. */

#include "probe-codec.h"

/* Subject, issuer, common name, names, names left out, validity, fingerprints, certificates sent, authority, record. */
#define PEER_SIGNATURE "sssasuttssusi"
#define PROBE_SIGNATURE "isub(" PEER_SIGNATURE ")"

/* ---- worker ---- */

static int append_peer(sd_bus_message *m, const TlsPeer *p)
{
    int r;

    r = sd_bus_message_open_container(m, 'r', PEER_SIGNATURE);
    if (r >= 0)
        r = sd_bus_message_append(m, "sss", p->subject, p->issuer, p->common_name);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "s");
    for (uint32_t i = 0; r >= 0 && i < p->n_names; i++)
        r = sd_bus_message_append(m, "s", p->names[i]);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    if (r >= 0)
        r = sd_bus_message_append(m, "uttssusi", p->n_names_left_out, p->not_before_usec, p->not_after_usec, p->fingerprint,
                p->key_fingerprint, p->n_sent, p->authority, p->tlsa);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

int probe_append(sd_bus_message *m, const SmtpProbe *probe)
{
    int r;

    r = sd_bus_message_open_container(m, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", PROBE_KEY);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "(" PROBE_SIGNATURE ")");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'r', PROBE_SIGNATURE);
    if (r >= 0)
        r = sd_bus_message_append(m, "isub", probe->greeting.code, probe->greeting.text, probe->extensions,
                (int) probe->has_peer);
    if (r >= 0)
        r = append_peer(m, &probe->peer);
    for (unsigned i = 0; r >= 0 && i < 3; i++)
        r = sd_bus_message_close_container(m);
    return r;
}

/* ---- manager ---- */

/* -EBADMSG for what is longer than it can be. */
static int take(char *field, size_t size, const char *text)
{
    if (strlen(text) >= size)
        return -EBADMSG;
    (void) strcpy(field, text);
    return 0;
}

static int read_names(sd_bus_message *m, TlsPeer *p)
{
    const char *name;
    int r;

    r = sd_bus_message_enter_container(m, 'a', "s");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(m, "s", &name)) > 0) {
        if (p->n_names == TLS_PEER_NAMES_MAX)
            return -EBADMSG;
        r = take(p->names[p->n_names++], TLS_PEER_TEXT_MAX, name);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_peer(sd_bus_message *m, TlsPeer *p)
{
    const char *subject, *issuer, *common_name, *fingerprint, *key_fingerprint, *authority;
    int r;

    r = sd_bus_message_enter_container(m, 'r', PEER_SIGNATURE);
    if (r >= 0)
        r = sd_bus_message_read(m, "sss", &subject, &issuer, &common_name);
    if (r >= 0)
        r = read_names(m, p);
    if (r >= 0)
        r = sd_bus_message_read(m, "uttssusi", &p->n_names_left_out, &p->not_before_usec, &p->not_after_usec, &fingerprint,
                &key_fingerprint, &p->n_sent, &authority, &p->tlsa);
    if (r >= 0)
        r = take(p->subject, sizeof(p->subject), subject);
    if (r >= 0)
        r = take(p->issuer, sizeof(p->issuer), issuer);
    if (r >= 0)
        r = take(p->common_name, sizeof(p->common_name), common_name);
    if (r >= 0)
        r = take(p->fingerprint, sizeof(p->fingerprint), fingerprint);
    if (r >= 0)
        r = take(p->key_fingerprint, sizeof(p->key_fingerprint), key_fingerprint);
    if (r >= 0)
        r = take(p->authority, sizeof(p->authority), authority);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

int probe_read(sd_bus_message *m, SmtpProbe **ret)
{
    _cleanup_free_ SmtpProbe *p = calloc(1, sizeof(*p));
    const char *greeting;
    int r, has_peer;

    if (!p)
        return -ENOMEM;
    r = sd_bus_message_enter_container(m, 'v', "(" PROBE_SIGNATURE ")");
    if (r >= 0)
        r = sd_bus_message_enter_container(m, 'r', PROBE_SIGNATURE);
    if (r >= 0)
        r = sd_bus_message_read(m, "isub", &p->greeting.code, &greeting, &p->extensions, &has_peer);
    if (r >= 0)
        r = read_peer(m, &p->peer);
    if (r >= 0)
        r = take(p->greeting.text, sizeof(p->greeting.text), greeting);
    if (r >= 0 && p->greeting.code != 0 && (p->greeting.code < 200 || p->greeting.code > 599))
        r = -EBADMSG;
    for (unsigned i = 0; r >= 0 && i < 2; i++)
        r = sd_bus_message_exit_container(m);
    if (r < 0)
        return r;
    p->has_peer = has_peer;
    *ret = TAKE_PTR(p);
    return 0;
}
