/* SPDX-License-Identifier: Apache-2.0 */

/* Asks the bus and polkit about the senders of calls. Whatever goes wrong is a refusal: it must never let a call through that
 * nobody has authorized, and never wait. */

#include "bus-authorizer.h"

#include <sys/queue.h>

#include "bus-error.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
/* CheckAuthorizationFlags */
#define POLKIT_ALLOW_USER_INTERACTION 1u

typedef struct Question {
    TAILQ_ENTRY(Question) entry;
    BusAuthorizer *owner;
    sd_bus_message *call;
    sd_bus_slot *slot; /* of what the bus or polkit is asked */
    const char *action;
    uint32_t uid;
    bool of_polkit;
} Question;

struct BusAuthorizer {
    sd_bus *bus;
    BusAuthorized authorized;
    void *userdata;
    TAILQ_HEAD(, Question) questions;
};

static Question *question_free(Question *q)
{
    if (!q)
        return NULL;
    if (q->owner)
        TAILQ_REMOVE(&q->owner->questions, q, entry);
    sd_bus_slot_unref(q->slot);
    sd_bus_message_unref(q->call);
    free(q);
    return NULL;
}
DEFINE_CLEANUP(Question, question_free);

int bus_authorizer_new(BusAuthorizer **ret, sd_bus *bus, BusAuthorized authorized, void *userdata)
{
    BusAuthorizer *a = calloc(1, sizeof(BusAuthorizer));

    if (!a)
        return -ENOMEM;
    *a = (BusAuthorizer) {.bus = bus, .authorized = authorized, .userdata = userdata};
    TAILQ_INIT(&a->questions);
    *ret = a;
    return 0;
}

BusAuthorizer *bus_authorizer_free(BusAuthorizer *a)
{
    Question *q;

    if (!a)
        return NULL;
    while ((q = TAILQ_FIRST(&a->questions)))
        question_free(q);
    free(a);
    return NULL;
}

/* The question ends with its verdict. */
static int question_decide(Question *q, const sd_bus_error *refusal)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = sd_bus_message_ref(q->call);
    BusAuthorizer *a = q->owner;

    question_free(q);
    a->authorized(call, refusal, a->userdata);
    return 1;
}

/* ---- polkit ---- */

/* Of what it says, and of what happens when it says nothing. */
static int polkit_refusal(const Question *q, sd_bus_message *answer, sd_bus_error *ret_refusal)
{
    const sd_bus_error *error = sd_bus_message_get_error(answer);
    const char *member = sd_bus_message_get_member(q->call);
    int authorized, challenge;

    if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN)
                         || sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER)))
        return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED,
                "Only root may call %s: there is no polkit that could authorize uid %u for %s.", member, q->uid, q->action);
    if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT)))
        return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED,
                "Only root may call %s: polkit did not say in time whether uid %u is authorized for %s.", member, q->uid, q->action);
    if (error)
        return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED,
                "Only root may call %s: polkit cannot say whether uid %u is authorized for %s: %s", member, q->uid, q->action,
                error->message ?: error->name);
    if (sd_bus_message_enter_container(answer, 'r', "bba{ss}") <= 0 || sd_bus_message_read(answer, "bb", &authorized, &challenge) <= 0)
        return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED, "The answer of polkit about %s makes no sense.", q->action);
    if (authorized)
        return 0;
    if (challenge)
        return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                "%s needs interactive authorization (%s).", member, q->action);
    return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED, "polkit does not authorize uid %u for %s, which %s needs.",
            q->uid, q->action, member);
}

static int on_polkit(sd_bus_message *answer, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error refusal = SD_BUS_ERROR_NULL;
    Question *q = userdata;

    (void) polkit_refusal(q, answer, &refusal);
    return question_decide(q, sd_bus_error_is_set(&refusal) ? &refusal : NULL);
}

static int polkit_message(const Question *q, bool interactive, sd_bus_message **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    r = sd_bus_message_new_method_call(q->owner->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
    if (r < 0)
        return r;
    /* The connection, which is nobody else's later; not a process, whose id may be. */
    r = sd_bus_message_append(m, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s", sd_bus_message_get_sender(q->call), q->action,
            0, interactive ? POLKIT_ALLOW_USER_INTERACTION : 0, "");
    if (r < 0)
        return r;
    *ret = TAKE_PTR(m);
    return 0;
}

static bool has_room_for_question(const BusAuthorizer *a, uint32_t uid)
{
    unsigned n = 0, n_own = 0;
    const Question *q;

    TAILQ_FOREACH(q, &a->questions, entry)
        if (q->of_polkit) {
            n++;
            n_own += q->uid == uid;
        }
    return n < BUS_AUTHORIZER_QUESTIONS_MAX && n_own < BUS_AUTHORIZER_QUESTIONS_PER_UID_MAX;
}

static int question_ask_polkit(Question *q, sd_bus_error *ret_refusal)
{
    const bool interactive = sd_bus_message_get_allow_interactive_authorization(q->call) > 0;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r;

    if (!has_room_for_question(q->owner, q->uid))
        return sd_bus_error_set(ret_refusal, BUS_ERROR_LIMIT_EXCEEDED, "Too many calls wait for polkit at the same time.");
    r = polkit_message(q, interactive, &m);
    if (r < 0)
        return r;
    q->slot = sd_bus_slot_unref(q->slot);
    r = sd_bus_call_async(q->owner->bus, &q->slot, m, on_polkit, q,
            interactive ? BUS_AUTHORIZER_INTERACTIVE_TIMEOUT_USEC : BUS_AUTHORIZER_TIMEOUT_USEC);
    if (r < 0)
        return r;
    q->of_polkit = true;
    return 0;
}

/* ---- the bus ---- */

static int refuse_all_but_root(const Question *q, sd_bus_error *ret_refusal)
{
    return sd_bus_error_setf(ret_refusal, SD_BUS_ERROR_ACCESS_DENIED, "Only root may call %s, not uid %u.",
            sd_bus_message_get_member(q->call), q->uid);
}

/* The bus has said whose call it is. */
static int on_uid(sd_bus_message *answer, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error refusal = SD_BUS_ERROR_NULL;
    Question *q = userdata;
    int r;

    if (sd_bus_message_is_method_error(answer, NULL) || sd_bus_message_read(answer, "u", &q->uid) <= 0)
        r = sd_bus_error_setf(&refusal, SD_BUS_ERROR_ACCESS_DENIED, "The system bus did not say who calls %s.",
                sd_bus_message_get_member(q->call));
    else if (q->uid == 0)
        return question_decide(q, NULL);
    else
        r = q->action ? question_ask_polkit(q, &refusal) : refuse_all_but_root(q, &refusal);
    if (r >= 0)
        return 1;
    if (!sd_bus_error_is_set(&refusal))
        (void) sd_bus_error_set_errno(&refusal, r);
    return question_decide(q, &refusal);
}

static bool has_room_for_call(const BusAuthorizer *a, const char *sender)
{
    unsigned n = 0, n_own = 0;
    const Question *q;

    TAILQ_FOREACH(q, &a->questions, entry)
        if (!q->of_polkit) {
            n++;
            n_own += streq(sd_bus_message_get_sender(q->call), sender);
        }
    return n < BUS_AUTHORIZER_CALLS_MAX && n_own < BUS_AUTHORIZER_CALLS_PER_SENDER_MAX;
}

int bus_authorizer_ask(BusAuthorizer *a, sd_bus_message *call, const char *action, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    _cleanup_(question_freep) Question *q = NULL;
    const char *sender = sd_bus_message_get_sender(call);
    int r;

    if (!sender)
        return sd_bus_error_set(reterr_error, SD_BUS_ERROR_ACCESS_DENIED, "The call has no sender.");
    if (!has_room_for_call(a, sender))
        return sd_bus_error_set(reterr_error, BUS_ERROR_LIMIT_EXCEEDED, "Too many calls at the same time.");
    r = sd_bus_message_new_method_call(a->bus, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
            "GetConnectionUnixUser");
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", sender);
    if (r < 0)
        return r;
    q = calloc(1, sizeof(Question));
    if (!q)
        return -ENOMEM;
    r = sd_bus_call_async(a->bus, &q->slot, m, on_uid, q, BUS_AUTHORIZER_TIMEOUT_USEC);
    if (r < 0)
        return r;
    q->call = sd_bus_message_ref(call);
    q->action = action;
    q->owner = a;
    TAILQ_INSERT_TAIL(&a->questions, q, entry);
    (void) TAKE_PTR(q);
    return 0;
}
