/* SPDX-License-Identifier: Apache-2.0 */

/* Requests and results of delivery attempts to and from D-Bus messages. A dictionary of named values, so that one can be added
 * without a new signature; what is unknown is passed over, what is missing has the value of an empty request. */

#include "attempt-codec.h"

#include <fcntl.h>

#include "probe-codec.h"
#include "tls-pin.h"
#include "worker.h"

/* ---- dictionaries ---- */

static int append_string(sd_bus_message *m, const char *key, const char *value)
{
    return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

static int append_bool(sd_bus_message *m, const char *key, bool value)
{
    return sd_bus_message_append(m, "{sv}", key, "b", (int) value);
}

static int append_strv(sd_bus_message *m, const char *key, const char *const *l, size_t n)
{
    int r;

    r = sd_bus_message_open_container(m, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", key);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "s");
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = sd_bus_message_append(m, "s", l[i]);
    for (unsigned i = 0; r >= 0 && i < 3; i++)
        r = sd_bus_message_close_container(m);
    return r;
}

/* NULL-ended; nothing for NULL. */
static int append_list(sd_bus_message *m, const char *key, const char *const *l)
{
    size_t n = 0;

    while (l && l[n])
        n++;
    return l ? append_strv(m, key, l, n) : 0;
}

static int append_tlsa(sd_bus_message *m, const TlsaRecord *records, size_t n)
{
    int r;

    r = sd_bus_message_open_container(m, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", "Tlsa");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "a(yyyay)");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "(yyyay)");
    for (size_t i = 0; r >= 0 && i < n; i++) {
        r = sd_bus_message_open_container(m, 'r', "yyyay");
        if (r >= 0)
            r = sd_bus_message_append(m, "yyy", records[i].usage, records[i].selector, records[i].mtype);
        if (r >= 0)
            r = sd_bus_message_append_array(m, 'y', records[i].data, records[i].size);
        if (r >= 0)
            r = sd_bus_message_close_container(m);
    }
    for (unsigned i = 0; r >= 0 && i < 3; i++)
        r = sd_bus_message_close_container(m);
    return r;
}

/* Reads a value of one key; the message stands in front of the variant. */
typedef int (*ValueRead)(sd_bus_message *m, void *field);

typedef struct ValueKey {
    const char *key;
    ValueRead read;
    size_t offset; /* of the field; 0 for those that take the whole object */
} ValueKey;

static int read_dictionary(sd_bus_message *m, const ValueKey *keys, size_t n_keys, void *object)
{
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const char *key;
        size_t i;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
            return r;
        for (i = 0; i < n_keys; i++)
            if (streq(keys[i].key, key))
                break;
        r = i < n_keys ? keys[i].read(m, (char *) object + keys[i].offset) : sd_bus_message_skip(m, "v");
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_string(sd_bus_message *m, void *field)
{
    char **f = field;
    const char *s;
    char *copy;
    int r;

    r = sd_bus_message_read(m, "v", "s", &s);
    if (r < 0)
        return r;
    if (*f || strlen(s) > ATTEMPT_STRING_MAX)
        return -EBADMSG;
    copy = strdup(s);
    if (!copy)
        return -ENOMEM;
    *f = copy;
    return 0;
}

static int read_bool(sd_bus_message *m, void *field)
{
    int value, r;

    r = sd_bus_message_read(m, "v", "b", &value);
    if (r < 0)
        return r;
    *(bool *) field = value;
    return 0;
}

static int read_enum(sd_bus_message *m, uint32_t max, uint32_t *ret)
{
    int r = sd_bus_message_read(m, "v", "u", ret);

    return r < 0 ? r : *ret > max ? -EBADMSG : 0;
}

/* field: NULL-ended, max strings. */
static int read_strv(sd_bus_message *m, size_t max, char ***field, size_t *ret_n)
{
    size_t n = 0;
    int r;

    if (*field)
        return -EBADMSG;
    r = sd_bus_message_enter_container(m, 'v', "as");
    if (r < 0)
        return r;
    r = sd_bus_message_read_strv(m, field);
    if (r < 0)
        return r;
    while (*field && (*field)[n]) {
        if (n == max || strlen((*field)[n]) > ATTEMPT_STRING_MAX)
            return -EBADMSG;
        n++;
    }
    *ret_n = n;
    return sd_bus_message_exit_container(m);
}

static char **strv_free(char **l)
{
    for (char **p = l; p && *p; p++)
        free(*p);
    free(l);
    return NULL;
}

/* ---- the request ---- */

static int append_reference(sd_bus_message *m, const TlsReference *reference)
{
    int r;

    r = append_list(m, "Names", reference->names);
    if (r >= 0)
        r = append_string(m, "InsecureName", reference->insecure_name);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "NameRule", "u", (uint32_t) reference->rule);
    if (r >= 0)
        r = append_list(m, "Pins", reference->pins);
    if (r >= 0)
        r = append_bool(m, "PinsAndChain", reference->pins_and_chain);
    if (r >= 0)
        r = append_list(m, "Authorities", reference->authorities);
    if (r >= 0)
        r = append_bool(m, "QualifiedNames", reference->qualified);
    return r;
}

static int append_request(sd_bus_message *m, const SmtpRequest *q)
{
    int r;

    r = sd_bus_message_open_container(m, 'a', "{sv}");
    if (r >= 0)
        r = append_string(m, "Helo", q->helo);
    if (r >= 0)
        r = append_string(m, "ServerName", q->server_name);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "Tls", "u", (uint32_t) q->want);
    if (r >= 0)
        r = append_string(m, "DaneBase", q->dane_base);
    if (r >= 0)
        r = append_string(m, "StsName", q->sts_name);
    if (r >= 0)
        r = append_reference(m, &q->reference);
    if (r >= 0)
        r = append_tlsa(m, q->tlsa, q->n_tlsa);
    if (r >= 0)
        r = append_string(m, "Sender", q->sender);
    if (r >= 0)
        r = append_strv(m, "Recipients", q->recipients, q->n_recipients);
    if (r >= 0)
        r = append_bool(m, "Body8Bit", q->body_8bit);
    if (r >= 0)
        r = append_bool(m, "SmtpUtf8", q->smtputf8);
    if (r >= 0)
        r = append_bool(m, "RequireTls", q->require_tls);
    if (r >= 0)
        r = append_bool(m, "Probe", q->probe);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "MessageOffset", "t", q->message_offset);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "MessageSize", "t", q->message_size);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "TimeoutUSec", "t", q->timeout_usec);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

int attempt_call(sd_bus *bus, sd_bus_slot **ret_slot, const SmtpRequest *request, int socket_fd, int message_fd,
        sd_bus_message_handler_t done, void *userdata)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(bus, &m, NULL, WORKER_PATH, ATTEMPT_INTERFACE, "Deliver");
    if (r < 0)
        return r;
    r = append_request(m, request);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "hh", socket_fd, message_fd);
    if (r < 0)
        return r;
    return sd_bus_call_async(bus, ret_slot, m, done, userdata, UINT64_MAX);
}

static int read_want(sd_bus_message *m, void *object)
{
    uint32_t want;
    int r = read_enum(m, SMTP_TLS_DANE, &want);

    if (r >= 0)
        ((AttemptRequest *) object)->request.want = (SmtpTlsWant) want;
    return r;
}

static int read_names(sd_bus_message *m, void *object)
{
    size_t n;

    return read_strv(m, 16, &((AttemptRequest *) object)->names, &n);
}

static int read_name_rule(sd_bus_message *m, void *object)
{
    uint32_t rule;
    int r = read_enum(m, TLS_NAMES_DNS, &rule);

    if (r >= 0)
        ((AttemptRequest *) object)->request.reference.rule = (TlsNameRule) rule;
    return r;
}

static int read_pins(sd_bus_message *m, void *object)
{
    size_t n;

    return read_strv(m, TLS_PINS_MAX, &((AttemptRequest *) object)->pins, &n);
}

static int read_pins_and_chain(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.reference.pins_and_chain);
}

static int read_authorities(sd_bus_message *m, void *object)
{
    size_t n;

    return read_strv(m, TLS_PINS_MAX, &((AttemptRequest *) object)->authorities, &n);
}

static int read_qualified(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.reference.qualified);
}

static int read_recipients(sd_bus_message *m, void *object)
{
    AttemptRequest *q = object;

    return read_strv(m, SMTP_CLIENT_RECIPIENTS_MAX, &q->recipients, &q->request.n_recipients);
}

static int read_body_8bit(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.body_8bit);
}

static int read_smtputf8(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.smtputf8);
}

static int read_require_tls(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.require_tls);
}

static int read_probe_wanted(sd_bus_message *m, void *object)
{
    return read_bool(m, &((AttemptRequest *) object)->request.probe);
}

static int read_offset(sd_bus_message *m, void *object)
{
    return sd_bus_message_read(m, "v", "t", &((AttemptRequest *) object)->request.message_offset);
}

static int read_size(sd_bus_message *m, void *object)
{
    return sd_bus_message_read(m, "v", "t", &((AttemptRequest *) object)->request.message_size);
}

static int read_timeout(sd_bus_message *m, void *object)
{
    return sd_bus_message_read(m, "v", "t", &((AttemptRequest *) object)->request.timeout_usec);
}

/* One record at the end of the array; its data in a growing block, whose address is filled in when it grows no more. */
static int read_tlsa_record(sd_bus_message *m, AttemptRequest *q, size_t *used)
{
    TlsaRecord *record = &q->tlsa[q->request.n_tlsa];
    const void *data;
    uint8_t *grown;
    size_t size;
    int r;

    r = sd_bus_message_read(m, "yyy", &record->usage, &record->selector, &record->mtype);
    if (r < 0)
        return r;
    r = sd_bus_message_read_array(m, 'y', &data, &size);
    if (r < 0)
        return r;
    if (size == 0 || size > UINT16_MAX)
        return -EBADMSG;
    grown = realloc(q->tlsa_data, *used + size);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + *used, data, size);
    q->tlsa_data = grown;
    *used += size;
    record->size = size;
    q->request.n_tlsa++;
    return sd_bus_message_exit_container(m);
}

static int read_tlsa(sd_bus_message *m, void *object)
{
    AttemptRequest *q = object;
    size_t used = 0, offset = 0;
    int r;

    if (q->tlsa)
        return -EBADMSG;
    q->tlsa = calloc(ATTEMPT_TLSA_MAX, sizeof(*q->tlsa));
    if (!q->tlsa)
        return -ENOMEM;
    r = sd_bus_message_enter_container(m, 'v', "a(yyyay)");
    if (r >= 0)
        r = sd_bus_message_enter_container(m, 'a', "(yyyay)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'r', "yyyay")) > 0) {
        if (q->request.n_tlsa == ATTEMPT_TLSA_MAX)
            return -EBADMSG;
        r = read_tlsa_record(m, q, &used);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    for (size_t i = 0; i < q->request.n_tlsa; i++) {
        q->tlsa[i].data = q->tlsa_data + offset;
        offset += q->tlsa[i].size;
    }
    r = sd_bus_message_exit_container(m);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static const ValueKey request_keys[] = {
    {"Authorities", read_authorities},
    {"Body8Bit", read_body_8bit},
    {"DaneBase", read_string, offsetof(AttemptRequest, dane_base)},
    {"Helo", read_string, offsetof(AttemptRequest, helo)},
    {"InsecureName", read_string, offsetof(AttemptRequest, insecure_name)},
    {"MessageOffset", read_offset},
    {"MessageSize", read_size},
    {"NameRule", read_name_rule},
    {"Names", read_names},
    {"Pins", read_pins},
    {"PinsAndChain", read_pins_and_chain},
    {"Probe", read_probe_wanted},
    {"QualifiedNames", read_qualified},
    {"Recipients", read_recipients},
    {"RequireTls", read_require_tls},
    {"Sender", read_string, offsetof(AttemptRequest, sender)},
    {"ServerName", read_string, offsetof(AttemptRequest, server_name)},
    {"SmtpUtf8", read_smtputf8},
    {"StsName", read_string, offsetof(AttemptRequest, sts_name)},
    {"TimeoutUSec", read_timeout},
    {"Tls", read_want},
    {"Tlsa", read_tlsa},
};

static int duplicate_fd(int fd, int *ret)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return negative_errno();
    *ret = copy;
    return 0;
}

int attempt_request_read(sd_bus_message *call, AttemptRequest **ret)
{
    _cleanup_(attempt_request_freep) AttemptRequest *q = NULL;
    int socket_fd, message_fd, r;

    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    q->socket_fd = q->message_fd = -EBADF;
    r = read_dictionary(call, request_keys, ELEMENTSOF(request_keys), q);
    if (r < 0)
        return r;
    r = sd_bus_message_read(call, "hh", &socket_fd, &message_fd);
    if (r < 0)
        return r;
    if (!q->helo || !q->sender || q->request.n_recipients == 0)
        return -EBADMSG;
    if (q->request.want == SMTP_TLS_DANE && (!q->dane_base || q->request.n_tlsa == 0))
        return -EBADMSG;
    /* The message owns its descriptors and takes them along. */
    r = duplicate_fd(socket_fd, &q->socket_fd);
    if (r < 0)
        return r;
    r = duplicate_fd(message_fd, &q->message_fd);
    if (r < 0)
        return r;
    q->request.helo = q->helo;
    q->request.server_name = q->server_name;
    q->request.dane_base = q->dane_base;
    q->request.sts_name = q->sts_name;
    q->request.reference.names = (const char *const *) q->names;
    q->request.reference.insecure_name = q->insecure_name;
    q->request.reference.pins = (const char *const *) q->pins;
    q->request.reference.authorities = (const char *const *) q->authorities;
    q->request.tlsa = q->tlsa;
    q->request.sender = q->sender;
    q->request.recipients = (const char *const *) q->recipients;
    q->request.message_fd = q->message_fd;
    *ret = TAKE_PTR(q);
    return 0;
}

AttemptRequest *attempt_request_free(AttemptRequest *q)
{
    if (!q)
        return NULL;
    close_fdp(&q->socket_fd);
    close_fdp(&q->message_fd);
    free(q->helo);
    free(q->server_name);
    free(q->insecure_name);
    free(q->dane_base);
    free(q->sts_name);
    free(q->sender);
    (void) strv_free(q->names);
    (void) strv_free(q->pins);
    (void) strv_free(q->authorities);
    (void) strv_free(q->recipients);
    free(q->tlsa);
    free(q->tlsa_data);
    free(q);
    return NULL;
}

/* ---- the result ---- */

static int append_reply(sd_bus_message *m, const char *key, const SmtpReply *reply)
{
    return sd_bus_message_append(m, "{sv}", key, "(is)", reply->code, reply->text);
}

static int append_replies(sd_bus_message *m, const SmtpReply *replies, size_t n)
{
    int r;

    r = sd_bus_message_open_container(m, 'e', "sv");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", "Recipients");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "a(is)");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "(is)");
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = sd_bus_message_append(m, "(is)", replies[i].code, replies[i].text);
    for (unsigned i = 0; r >= 0 && i < 3; i++)
        r = sd_bus_message_close_container(m);
    return r;
}

int attempt_reply(sd_bus_message *call, const SmtpResult *result, size_t n_recipients)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &m);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sv}");
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "Stage", "u", (uint32_t) result->stage);
    if (r >= 0)
        r = append_reply(m, "Reply", &result->reply);
    if (r >= 0)
        r = append_replies(m, result->recipients, n_recipients);
    if (r >= 0)
        r = append_bool(m, "TlsOffered", result->tls_offered);
    if (r >= 0)
        r = append_bool(m, "TlsUsed", result->tls_used);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "TlsVerify", "u", (uint32_t) result->verify);
    if (r >= 0)
        r = sd_bus_message_append(m, "{sv}", "StsVerify", "u", (uint32_t) result->sts);
    if (r >= 0)
        r = append_bool(m, "TlsResumed", result->tls.resumed);
    if (r >= 0)
        r = append_string(m, "TlsVersion", result->tls.version);
    if (r >= 0)
        r = append_string(m, "TlsCipher", result->tls.cipher);
    if (r >= 0)
        r = append_string(m, "TlsGroup", result->tls.group);
    if (r >= 0)
        r = append_string(m, "TlsReason", result->tls_reason);
    if (r >= 0 && result->probe)
        r = probe_append(m, result->probe);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_send(NULL, m, NULL);
}

static int read_reply_value(sd_bus_message *m, SmtpReply *reply)
{
    const char *text;
    int code, r;

    r = sd_bus_message_read(m, "(is)", &code, &text);
    if (r <= 0)
        return r;
    if (code != 0 && (code < 200 || code > 599))
        return -EBADMSG;
    if (strlen(text) >= sizeof(reply->text))
        return -EBADMSG;
    reply->code = code;
    (void) strcpy(reply->text, text);
    return 1;
}

static int read_stage(sd_bus_message *m, void *object)
{
    uint32_t stage;
    int r = read_enum(m, SMTP_STAGE_DONE, &stage);

    if (r >= 0)
        ((AttemptResult *) object)->result.stage = (SmtpStage) stage;
    return r;
}

static int read_reply(sd_bus_message *m, void *object)
{
    int r;

    r = sd_bus_message_enter_container(m, 'v', "(is)");
    if (r < 0)
        return r;
    r = read_reply_value(m, &((AttemptResult *) object)->result.reply);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_replies(sd_bus_message *m, void *object)
{
    AttemptResult *a = object;
    SmtpReply reply;
    size_t n = 0;
    int r;

    r = sd_bus_message_enter_container(m, 'v', "a(is)");
    if (r >= 0)
        r = sd_bus_message_enter_container(m, 'a', "(is)");
    if (r < 0)
        return r;
    while ((r = read_reply_value(m, &reply)) > 0) {
        if (n == a->n_recipients)
            return -EBADMSG;
        a->recipients[n++] = reply;
    }
    if (r < 0)
        return r;
    if (n != a->n_recipients)
        return -EBADMSG;
    r = sd_bus_message_exit_container(m);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_verify(sd_bus_message *m, void *field)
{
    uint32_t verify;
    int r = read_enum(m, _TLS_VERIFY_MAX - 1, &verify);

    if (r >= 0)
        *(TlsVerify *) field = (TlsVerify) verify;
    return r;
}

static int read_reason(sd_bus_message *m, void *object)
{
    return read_string(m, &((AttemptResult *) object)->reason);
}

static int read_probe(sd_bus_message *m, void *object)
{
    AttemptResult *a = object;

    return a->probe ? -EBADMSG : probe_read(m, &a->probe);
}

static const ValueKey result_keys[] = {
    {PROBE_KEY, read_probe},
    {"Recipients", read_replies},
    {"Reply", read_reply},
    {"Stage", read_stage},
    {"StsVerify", read_verify, offsetof(AttemptResult, result.sts)},
    {"TlsCipher", read_string, offsetof(AttemptResult, cipher)},
    {"TlsGroup", read_string, offsetof(AttemptResult, group)},
    {"TlsOffered", read_bool, offsetof(AttemptResult, result.tls_offered)},
    {"TlsReason", read_reason},
    {"TlsResumed", read_bool, offsetof(AttemptResult, result.tls.resumed)},
    {"TlsUsed", read_bool, offsetof(AttemptResult, result.tls_used)},
    {"TlsVerify", read_verify, offsetof(AttemptResult, result.verify)},
    {"TlsVersion", read_string, offsetof(AttemptResult, version)},
};

/* Done means that somebody has it: a worker that says so without such a recipient is not believed. */
static bool is_plausible(const AttemptResult *a)
{
    if ((a->result.verify != TLS_VERIFY_NONE || a->result.sts != TLS_VERIFY_NONE) && !a->result.tls_used)
        return false;
    if (a->result.stage != SMTP_STAGE_DONE)
        return true;
    for (size_t i = 0; i < a->n_recipients; i++)
        if (a->recipients[i].code / 100 == 2)
            return true;
    return false;
}

int attempt_result_read(sd_bus_message *reply, size_t n_recipients, AttemptResult **ret)
{
    _cleanup_(attempt_result_freep) AttemptResult *a = NULL;
    int r;

    r = sd_bus_message_get_errno(reply);
    if (r > 0)
        return -r;
    if (n_recipients > SMTP_CLIENT_RECIPIENTS_MAX)
        return -E2BIG;
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->n_recipients = n_recipients;
    a->recipients = calloc(MAX(n_recipients, (size_t) 1), sizeof(*a->recipients));
    if (!a->recipients)
        return -ENOMEM;
    r = read_dictionary(reply, result_keys, ELEMENTSOF(result_keys), a);
    if (r < 0)
        return r;
    if (!is_plausible(a))
        return -EBADMSG;
    a->result.recipients = a->recipients;
    a->result.tls.version = a->version ? a->version : "";
    a->result.tls.cipher = a->cipher ? a->cipher : "";
    a->result.tls.group = a->group ? a->group : "";
    a->result.tls_reason = a->reason ? a->reason : "";
    a->result.probe = a->probe;
    *ret = TAKE_PTR(a);
    return 0;
}

AttemptResult *attempt_result_free(AttemptResult *a)
{
    if (!a)
        return NULL;
    free(a->recipients);
    free(a->version);
    free(a->cipher);
    free(a->group);
    free(a->reason);
    free(a->probe);
    free(a);
    return NULL;
}
