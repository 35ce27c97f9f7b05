/* SPDX-License-Identifier: Apache-2.0 */

/* What would become of a message to a domain, as deliverd finds out. Steps are shown when they happen; what was not heard of
 * meanwhile is in the answer, too. */

#include "verify-text.h"
#include "verbs.h"

#include "invocation.h"

/* More than deliverd takes for all hosts. */
#define TIMEOUT_SEC 200

static const BusMethod method = {&service_deliverd, "Verify", .timeout_sec = TIMEOUT_SEC};

typedef struct Progress {
    const Output *output;
    size_t shown;
} Progress;

static int on_step(sd_bus_message *m, uint64_t call, void *userdata)
{
    _cleanup_json_ json_object *step = NULL;
    Progress *p = userdata;
    const char *text;
    uint64_t about;
    int r;

    r = sd_bus_message_read(m, "ts", &about, &text);
    if (r < 0)
        return r;
    if (about != call || p->output->json != OUTPUT_JSON_OFF)
        return 0;
    step = json_tokener_parse(text);
    if (json_object_is_type(step, json_type_object)) {
        verify_text_step(p->output, step);
        p->shown++;
    }
    return 0;
}

static int add_options(sd_bus_message *m, const Invocation *i)
{
    static const struct {
        const char *option, *key;
    } options[] = {{"level", "TLS"}, {"dane", "DANE"}, {"mx", "MX"}};
    int r;

    r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (size_t k = 0; r >= 0 && k < ELEMENTSOF(options); k++) {
        const char *value = invocation_option(i, options[k].option);

        if (value)
            r = sd_bus_message_append(m, "{sv}", options[k].key, "s", value);
    }
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int show_result(const Progress *p, json_object *result)
{
    json_object *steps = json_object_object_get(result, "Steps");

    if (p->output->json != OUTPUT_JSON_OFF)
        return output_value(p->output, json_object_get(result));
    if (json_object_is_type(steps, json_type_array))
        for (size_t i = p->shown; i < json_object_array_length(steps); i++)
            verify_text_step(p->output, json_object_array_get_idx(steps, i));
    verify_text_result(p->output, result);
    return 0;
}

int verb_verify(Context *context, char *const *arguments)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
    Progress progress = {.output = &context->output};
    const BusWatch watch = {.signal = "VerifyStep", .happened = on_step, .userdata = &progress};
    _cleanup_json_ json_object *result = NULL;
    const char *text;
    int r;

    r = bus_call_new(context->bus, &method, &m, &context->failure);
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", arguments[0]);
    if (r >= 0)
        r = add_options(m, context->invocation);
    r = bus_call_send_watching(&method, m, r, &watch, &reply, &context->failure);
    if (r >= 0)
        r = bus_reply_check(&method, sd_bus_message_read(reply, "s", &text), &context->failure);
    if (r < 0)
        return r;
    result = json_tokener_parse(text);
    if (!json_object_is_type(result, json_type_object))
        return bus_reply_check(&method, -EBADMSG, &context->failure);
    r = show_result(&progress, result);
    if (r < 0)
        return r;
    return json_object_get_boolean(json_object_object_get(result, "Deliverable")) ? EXIT_SUCCESS : EXIT_FAILURE;
}
