/* SPDX-License-Identifier: Apache-2.0 */

/* What is known of MTA-STS policies, and "fetch it now". To whom mail goes is private. */

#include "sts-bus.h"

#include "address.h"
#include "bus-error.h"
#include "deliverd-manager.h"
#include "sts.h"

typedef struct List {
    sd_bus_message *reply;
    unsigned n;
    int error;
} List;

static bool list_each(const StsInfo *info, void *userdata)
{
    List *l = userdata;

    l->error = sd_bus_message_append(l->reply, "(ssstts)", info->domain, sts_mode_to_string(info->cached->policy->mode),
            info->cached->id, info->cached->fetched_usec, info->expires_usec, info->failure);
    return l->error >= 0 && ++l->n < STS_LIST_MAX;
}

int sts_bus_list(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    Manager *manager = userdata;
    const char *after;
    List list = {};
    int r;

    r = sd_bus_message_read(m, "s", &after);
    if (r < 0)
        return r;
    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'a', "(ssstts)");
    if (r < 0)
        return r;
    list.reply = reply;
    sts_foreach(manager->sts, after, list_each, &list);
    if (list.error < 0)
        return list.error;
    r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* Negative with error set, if it is none. */
static int read_domain(sd_bus_message *m, char **ret, sd_bus_error *error)
{
    const char *text;
    int r;

    r = sd_bus_message_read(m, "s", &text);
    if (r < 0)
        return r;
    r = domain_normalize(text, ret);
    return r < 0 && r != -ENOMEM ? sd_bus_error_set(error, BUS_ERROR_INVALID_ARGUMENT, "This is no domain.") : r;
}

static int append_policy(sd_bus_message *reply, const StsInfo *info)
{
    const StsCached *c = info->cached;
    int r;

    r = sd_bus_message_append(reply, "ssutt", sts_mode_to_string(c->policy->mode), c->id, c->policy->max_age, c->fetched_usec,
            info->expires_usec);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "s");
    for (size_t i = 0; r >= 0 && i < c->policy->n_mx; i++)
        r = sd_bus_message_append(reply, "s", c->policy->mx[i]);
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_message_append(reply, "ts", c->failed_usec, info->failure);
}

int sts_bus_get(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *domain = NULL;
    Manager *manager = userdata;
    StsInfo info;
    int r;

    r = read_domain(m, &domain, error);
    if (r < 0)
        return r;
    if (!sts_find(manager->sts, domain, &info))
        return sd_bus_error_setf(error, BUS_ERROR_NO_STS_POLICY,
                "No MTA-STS policy of %s is known; one is looked for when mail is delivered, or by \"posternctl sts refresh\".",
                domain);
    r = sd_bus_message_new_method_return(m, &reply);
    if (r < 0)
        return r;
    r = append_policy(reply, &info);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- fetch it now ---- */

static void on_refreshed(const char *reason, void *userdata)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = userdata;

    if (reason)
        (void) sd_bus_reply_method_errorf(m, BUS_ERROR_NO_STS_POLICY, "The policy could not be fetched: %s", reason);
    else
        (void) sd_bus_reply_method_return(m, NULL);
}

int sts_bus_refresh(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_free_ char *domain = NULL;
    Manager *manager = userdata;
    int r;

    r = read_domain(m, &domain, error);
    if (r < 0)
        return r;
    if (manager->stopping)
        return sd_bus_error_set(error, BUS_ERROR_UNAVAILABLE, "deliverd is stopping.");
    r = sts_refresh(manager->sts, domain, on_refreshed, m);
    if (r < 0)
        return r;
    sd_bus_message_ref(m);
    return 1;
}
