/* SPDX-License-Identifier: Apache-2.0 */

/* What an SMTP client was asked for: its own copy, checked so that nothing in it can end a line of the dialogue. */

#include "smtp-client-internal.h"

/* Control characters are no part of any host name or address (RFC 5321, section 4.1.2). */
static bool is_line_safe(const char *s)
{
    for (; *s; s++)
        if ((unsigned char) *s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static int copy_string(const char **ret, const char *s)
{
    char *copy;

    if (!s)
        return 0;
    if (!is_line_safe(s))
        return -EINVAL;
    copy = strdup(s);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static int copy_strings(const char *const **ret, const char *const *l, size_t n)
{
    const char **copy;

    copy = calloc(n + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    for (size_t i = 0; i < n; i++) {
        int r = copy_string(&copy[i], l[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static size_t count(const char *const *l)
{
    size_t n = 0;

    while (l && l[n])
        n++;
    return n;
}

static int copy_list(const char *const **ret, const char *const *l)
{
    return l ? copy_strings(ret, l, count(l)) : 0;
}

static int copy_reference(TlsReference *ret, const TlsReference *reference)
{
    int r;

    r = copy_strings(&ret->names, reference->names, count(reference->names));
    if (r >= 0)
        r = copy_string(&ret->insecure_name, reference->insecure_name);
    if (r >= 0)
        r = copy_list(&ret->pins, reference->pins);
    if (r >= 0)
        r = copy_list(&ret->authorities, reference->authorities);
    return r;
}

static void free_strings(const char *const *l)
{
    for (const char *const *p = l; p && *p; p++)
        free((char *) *p);
    free((void *) l);
}

static int copy_tlsa(SmtpClient *c, const TlsaRecord *records, size_t n)
{
    size_t total = 0, offset = 0;
    TlsaRecord *copy;

    for (size_t i = 0; i < n; i++)
        total += records[i].size;
    copy = calloc(MAX(n, (size_t) 1), sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    c->request.tlsa = copy;
    c->tlsa_data = malloc(MAX(total, (size_t) 1));
    if (!c->tlsa_data)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        copy[i] = records[i];
        copy[i].data = memcpy(c->tlsa_data + offset, records[i].data, records[i].size);
        offset += records[i].size;
    }
    c->request.n_tlsa = n;
    return 0;
}

int smtp_client_set_authorities(SmtpClient *c, X509_STORE *authorities)
{
    if (authorities && X509_STORE_up_ref(authorities) != 1)
        return -ENOMEM;
    X509_STORE_free(c->request.authorities);
    c->request.authorities = authorities;
    return 0;
}

int smtp_client_copy_request(SmtpClient *c, const SmtpRequest *q)
{
    int r;

    if (q->n_recipients == 0 || q->n_recipients > SMTP_CLIENT_RECIPIENTS_MAX || q->n_tlsa > RESOLVE_RECORDS_MAX)
        return -EINVAL;
    if (q->want != SMTP_TLS_NO && !q->tls)
        return -EINVAL;
    if (q->require_tls && q->want < SMTP_TLS_VERIFY)
        return -EINVAL;
    if (q->want == SMTP_TLS_DANE && (!q->dane_base || q->n_tlsa == 0))
        return -EINVAL;

    c->request = *q;
    c->request.helo = c->request.server_name = c->request.dane_base = c->request.sts_name = c->request.sender = NULL;
    c->request.recipients = NULL;
    c->request.reference = (TlsReference) {
        .rule = q->reference.rule,
        .pins_and_chain = q->reference.pins_and_chain,
        .qualified = q->reference.qualified,
    };
    c->request.tlsa = NULL;
    c->request.authorities = NULL;
    r = smtp_client_set_authorities(c, q->authorities);
    if (r >= 0)
        r = copy_string(&c->request.helo, q->helo);
    if (r >= 0)
        r = copy_string(&c->request.server_name, q->server_name);
    if (r >= 0)
        r = copy_string(&c->request.dane_base, q->dane_base);
    if (r >= 0)
        r = copy_string(&c->request.sts_name, q->sts_name);
    if (r >= 0)
        r = copy_string(&c->request.sender, q->sender);
    if (r >= 0)
        r = copy_reference(&c->request.reference, &q->reference);
    if (r >= 0)
        r = copy_strings(&c->request.recipients, q->recipients, q->n_recipients);
    if (r >= 0)
        r = copy_tlsa(c, q->tlsa, q->n_tlsa);
    if (r >= 0 && q->timeout_usec > 0) {
        r = sd_event_now(c->event, CLOCK_MONOTONIC, &c->deadline);
        c->deadline += q->timeout_usec;
    }
    return r < 0 ? r : 0;
}

void smtp_client_free_request(SmtpClient *c)
{
    free((char *) c->request.helo);
    free((char *) c->request.server_name);
    free((char *) c->request.dane_base);
    free((char *) c->request.sts_name);
    free((char *) c->request.sender);
    free_strings(c->request.reference.names);
    free((char *) c->request.reference.insecure_name);
    free_strings(c->request.reference.pins);
    free_strings(c->request.reference.authorities);
    X509_STORE_free(c->request.authorities);
    free_strings(c->request.recipients);
    free((void *) c->request.tlsa);
    free(c->tlsa_data);
}

void smtp_client_set_timeout(SmtpClient *c, uint64_t usec)
{
    uint64_t now = 0;

    /* Behind the final dot there is nothing to give up any more, only a reply to miss. */
    if (c->deadline > 0 && c->step != STEP_FINAL && sd_event_now(c->event, CLOCK_MONOTONIC, &now) >= 0)
        usec = MIN(usec, c->deadline > now ? c->deadline - now : 1);
    stream_set_timeout(c->stream, usec);
}
