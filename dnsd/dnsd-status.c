/* SPDX-License-Identifier: Apache-2.0 */

/* How dnsd is, on the bus, and the two methods that concern all of it: beginning with an empty cache, and testing DNSSEC now. */

#include <json-c/json.h>

#include "bus-error.h"
#include "dnsd-bus.h"
#include "dnsd-manager.h"
#include "log.h"

/* ---- methods ---- */

int bus_method_flush(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    int r;

    r = manager_flush(userdata);
    if (r < 0)
        return r;
    log_info("The cache was emptied");
    return sd_bus_reply_method_return(message, "");
}

void bus_tests_clear(BusTests *t)
{
    while (t->n_calls > 0)
        sd_bus_message_unref(t->calls[--t->n_calls]);
}

void bus_tests_answer(Manager *m)
{
    BusTests *t = &m->tests;

    for (size_t i = 0; i < t->n_calls; i++)
        (void) sd_bus_reply_method_return(t->calls[i], "ss", self_test_to_string(dnssec_watch_verdict(m->watch)),
                dnssec_watch_reason(m->watch)); /* who is gone need not be told */
    bus_tests_clear(t);
}

int bus_method_test(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Manager *m = userdata;
    int r;

    if (m->tests.n_calls >= BUS_TESTS_MAX)
        return sd_bus_error_set(error, BUS_ERROR_LIMIT_EXCEEDED, "Too many callers wait for a test");
    r = dnssec_watch_test(m->watch);
    if (r < 0)
        return r;
    m->tests.calls[m->tests.n_calls++] = sd_bus_message_ref(message);
    return 1;
}

/* ---- properties ---- */

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"Asked", offsetof(LookupStatistics, asked)},
    {"Shared", offsetof(LookupStatistics, shared)},
    {"Refused", offsetof(LookupStatistics, refused)},
    {"Secure", offsetof(LookupStatistics, answered[DNSSEC_SECURE])},
    {"Insecure", offsetof(LookupStatistics, answered[DNSSEC_INSECURE])},
    {"Bogus", offsetof(LookupStatistics, answered[DNSSEC_BOGUS])},
    {"Indeterminate", offsetof(LookupStatistics, answered[DNSSEC_INDETERMINATE])},
    {"Errors", offsetof(LookupStatistics, answered[DNSSEC_ERROR])},
};

static uint64_t counter_value(const Manager *m, size_t i)
{
    uint64_t v;

    memcpy(&v, (const char *) lookups_statistics(m->lookups) + counters[i].offset, sizeof(v));
    return v;
}

int bus_get_counter(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    for (size_t i = 0; i < ELEMENTSOF(counters); i++)
        if (streq(counters[i].name, property))
            return sd_bus_message_append(reply, "t", counter_value(userdata, i));
    return -ENOENT;
}

static const char *shown(const char *zone)
{
    return *zone ? zone : ".";
}

/* For each anchor: its zone, tag, state, and since when. */
typedef int (*AnchorVisit)(const char *zone, unsigned tag, const char *state, uint64_t since_usec, void *userdata);

static int visit_records(char *const *records, AnchorVisit visit, void *userdata)
{
    for (; records && *records; records++) {
        _cleanup_free_ char *zone = NULL;
        unsigned tag = 0;
        int r;

        r = dns_anchor_owner(*records, &zone);
        if (r < 0)
            return r;
        (void) anchor_record_tag(*records, &tag);
        r = visit(shown(zone), tag, "configured", 0, userdata);
        if (r < 0)
            return r;
    }
    return 0;
}

static int visit_anchors(const Manager *m, AnchorVisit visit, void *userdata)
{
    int r;

    r = visit_records(m->config->trust_anchors, visit, userdata);
    for (size_t i = 0; r >= 0 && i < anchors_zones(m->anchors); i++) {
        const AnchorZone *z = anchors_zone(m->anchors, i);
        const AnchorFile *f = z->file;

        for (size_t k = 0; r >= 0 && f && k < f->n_keys; k++)
            r = visit(shown(z->zone), f->keys[k].tag, anchor_state_to_string(f->keys[k].state), f->keys[k].since_usec, userdata);
        if (r >= 0 && !f) {
            _cleanup_(conf_strv_freep) char **records = NULL;

            r = anchor_zone_seed(z, &records);
            if (r >= 0)
                r = visit_records(records, visit, userdata);
        }
    }
    return r;
}

static int append_zone(const char *zone, unsigned tag, const char *state, uint64_t since_usec, void *userdata)
{
    return sd_bus_message_append(userdata, "s", zone);
}

static int append_key(const char *zone, unsigned tag, const char *state, uint64_t since_usec, void *userdata)
{
    return sd_bus_message_append(userdata, "(sust)", zone, tag, state, since_usec);
}

static int append_anchors(sd_bus_message *reply, const Manager *m, const char *type, AnchorVisit visit)
{
    int r;

    r = sd_bus_message_open_container(reply, 'a', type);
    if (r >= 0)
        r = visit_anchors(m, visit, reply);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_cache_size(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "t", m->config->cache_size);
}

static int get_forward_tls(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "b", m->config->forward_tls);
}

static int get_forwarders(const Manager *m, sd_bus_message *reply)
{
    char *const none[] = {NULL};

    return sd_bus_message_append_strv(reply, m->config->forward ?: (char **) none);
}

static int get_pending(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "u", lookups_pending(m->lookups));
}

static int get_self_test(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "s", self_test_to_string(dnssec_watch_verdict(m->watch)));
}

static int get_self_test_reason(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "s", dnssec_watch_reason(m->watch));
}

static int get_self_test_usec(const Manager *m, sd_bus_message *reply)
{
    return sd_bus_message_append(reply, "t", dnssec_watch_tested_usec(m->watch));
}

static int get_trust_anchor_keys(const Manager *m, sd_bus_message *reply)
{
    return append_anchors(reply, m, "(sust)", append_key);
}

static int get_trust_anchors(const Manager *m, sd_bus_message *reply)
{
    return append_anchors(reply, m, "s", append_zone);
}

static const struct {
    const char *name;
    int (*get)(const Manager *m, sd_bus_message *reply);
} properties[] = {
    {"CacheSize", get_cache_size},
    {"ForwardTLS", get_forward_tls},
    {"Forwarders", get_forwarders},
    {"Pending", get_pending},
    {"SelfTest", get_self_test},
    {"SelfTestReason", get_self_test_reason},
    {"SelfTestUSec", get_self_test_usec},
    {"TrustAnchorKeys", get_trust_anchor_keys},
    {"TrustAnchors", get_trust_anchors},
};

int bus_get_property(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error)
{
    for (size_t i = 0; i < ELEMENTSOF(properties); i++)
        if (streq(properties[i].name, property))
            return properties[i].get(userdata, reply);
    return -ENOENT;
}

int bus_describe(Manager *m, char **ret_json)
{
    json_object *object = json_object_new_object();
    char *text;

    if (!object)
        return -ENOMEM;
    (void) json_object_object_add(object, "Pending", json_object_new_int64(lookups_pending(m->lookups)));
    for (size_t i = 0; i < ELEMENTSOF(counters); i++)
        (void) json_object_object_add(object, counters[i].name, json_object_new_int64((int64_t) counter_value(m, i)));
    (void) json_object_object_add(object, "CacheSize", json_object_new_int64((int64_t) m->config->cache_size));
    (void) json_object_object_add(object, "StubZones", json_object_new_int64((int64_t) m->config->n_stubs));
    (void) json_object_object_add(object, "SelfTest",
            json_object_new_string(self_test_to_string(dnssec_watch_verdict(m->watch))));
    text = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}
