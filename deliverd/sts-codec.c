/* SPDX-License-Identifier: Apache-2.0 */

/* Fetches of policies to and from D-Bus messages. Nothing gets past here that is not within the limits of sts-policy.h. */

#include "sts-codec.h"

#include <fcntl.h>

#include "address.h"
#include "bus-error.h"
#include "text.h"
#include "worker.h"

/* The fetcher keeps the time itself; what comes later than this does not come. */
#define GRACE_USEC (5 * USEC_PER_SEC)

/* ---- manager ---- */

int sts_fetch_call(sd_bus *bus, sd_bus_slot **ret_slot, const char *domain, uint64_t timeout_usec, int socket_fd,
        sd_bus_message_handler_t done, void *userdata)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(bus, &m, NULL, WORKER_PATH, FETCHER_INTERFACE, "Fetch");
    if (r >= 0)
        r = sd_bus_message_append(m, "sth", domain, timeout_usec, socket_fd);
    if (r >= 0)
        r = sd_bus_call_async(bus, ret_slot, m, done, userdata, timeout_usec + GRACE_USEC);
    return r < 0 ? r : 0;
}

static int read_policy(sd_bus_message *m, StsPolicy **ret)
{
    const char *mode, *mx[STS_MX_MAX];
    uint32_t max_age;
    size_t n = 0;
    StsMode parsed;
    int r;

    r = sd_bus_message_read(m, "su", &mode, &max_age);
    if (r < 0)
        return r;
    if (sts_mode_from_string(mode, &parsed) < 0)
        return -EBADMSG;
    r = sd_bus_message_enter_container(m, 'a', "s");
    if (r < 0)
        return r;
    for (const char *s; (r = sd_bus_message_read(m, "s", &s)) > 0; mx[n++] = s)
        if (n == STS_MX_MAX)
            return -EBADMSG;
    return r < 0 ? r : sts_policy_new(parsed, max_age, mx, n, ret);
}

int sts_fetch_read(sd_bus_message *reply, StsPolicy **ret, char **reterr_reason)
{
    const sd_bus_error *error = sd_bus_message_get_error(reply);
    char *reason;

    if (!error)
        return read_policy(reply, ret);
    if (!sd_bus_error_has_name(error, BUS_ERROR_NO_STS_POLICY))
        return -sd_bus_error_get_errno(error);
    reason = malloc(STS_REASON_MAX);
    if (!reason)
        return -ENOMEM;
    (void) text_make_printable(reason, STS_REASON_MAX, error->message ?: "", strlen(error->message ?: ""));
    *reterr_reason = reason;
    return -ENODATA;
}

/* ---- fetcher ---- */

void sts_fetch_call_done(StsFetchCall *c)
{
    free(c->domain);
    *c = (StsFetchCall) {.socket_fd = close_fd(c->socket_fd)};
}

int sts_fetch_call_read(sd_bus_message *call, StsFetchCall *ret)
{
    _cleanup_(sts_fetch_call_done) StsFetchCall c = {.socket_fd = -EBADF};
    const char *domain;
    int fd, r;

    r = sd_bus_message_read(call, "sth", &domain, &c.timeout_usec, &fd);
    if (r < 0)
        return r;
    r = domain_normalize(domain, &c.domain);
    if (r < 0)
        return r;
    c.timeout_usec = MIN(c.timeout_usec, STS_FETCH_TIMEOUT_USEC);
    c.socket_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (c.socket_fd < 0)
        return negative_errno();
    *ret = c;
    c = (StsFetchCall) {.socket_fd = -EBADF};
    return 0;
}

int sts_fetch_reply(sd_bus_message *call, const StsPolicy *policy)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_return(call, &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "su", sts_mode_to_string(policy->mode), policy->max_age);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "s");
    for (size_t i = 0; r >= 0 && i < policy->n_mx; i++)
        r = sd_bus_message_append(m, "s", policy->mx[i]);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_send(NULL, m, NULL);
}

int sts_fetch_reply_failed(sd_bus_message *call, const char *reason)
{
    char shown[STS_REASON_MAX];

    (void) text_make_printable(shown, sizeof(shown), reason, strlen(reason));
    return sd_bus_reply_method_errorf(call, BUS_ERROR_NO_STS_POLICY, "%s", shown);
}
