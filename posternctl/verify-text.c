/* SPDX-License-Identifier: Apache-2.0 */

/* The steps of a delivery as lines that appear while it is tried. Nearly all of the text comes from strangers' servers and
 * certificates: it is made printable, always. */

#include "verify-text.h"

#include <stdarg.h>

#include "format.h"
#include "text.h"

/* Of the text behind it. */
#define INDENT "  "
#define LABEL_WIDTH 14
#define LINE_MAX_BYTES 1600

/* ---- members ---- */

static const char *text_of(json_object *o, const char *key)
{
    json_object *value;

    return json_object_object_get_ex(o, key, &value) && json_object_is_type(value, json_type_string)
            ? json_object_get_string(value) : NULL;
}

static bool is_true(json_object *o, const char *key)
{
    return json_object_get_boolean(json_object_object_get(o, key));
}

static json_object *list_of(json_object *o, const char *key)
{
    json_object *list;

    return json_object_object_get_ex(o, key, &list) && json_object_is_type(list, json_type_array) ? list : NULL;
}

static size_t length_of(json_object *list)
{
    return list ? json_object_array_length(list) : 0;
}

/* "a, b, c" */
static void join(json_object *list, char *buffer, size_t size)
{
    size_t used = 0;

    buffer[0] = '\0';
    for (size_t i = 0; i < length_of(list) && used < size; i++)
        used += (size_t) snprintf(buffer + used, size - used, "%s%s", i > 0 ? ", " : "",
                json_object_get_string(json_object_array_get_idx(list, i)) ?: "");
}

/* ---- lines ---- */

static void line(const Output *o, Colour colour, const char *label, const char *format, ...) _printf_(4, 5);

static void line(const Output *o, Colour colour, const char *label, const char *format, ...)
{
    char text[LINE_MAX_BYTES], printable[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, format);
    (void) vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    (void) text_make_printable(printable, sizeof(printable), text, SIZE_MAX);
    (void) fprintf(o->file, INDENT "%-*s%s%s%s\n", LABEL_WIDTH, label, colour != COLOUR_NONE ? output_colour(o, colour) : "",
            printable, colour != COLOUR_NONE ? output_colour(o, COLOUR_NONE) : "");
}

static void heading(const Output *o, const char *text)
{
    _cleanup_free_ char *printable = format_printable(text);

    (void) fprintf(o->file, "%s%s%s\n", output_colour(o, COLOUR_BOLD), printable ?: "", output_colour(o, COLOUR_NONE));
}

static Colour state_colour(const char *state)
{
    return streq(state, "secure") ? COLOUR_GREEN : streq(state, "insecure") ? COLOUR_YELLOW : COLOUR_RED;
}

/* ---- before the hosts ---- */

/* "TLS=Required (.example.com)" */
static void setting(char *buffer, size_t size, json_object *step, const char *key, const char *from_key)
{
    const char *from = text_of(step, from_key);

    (void) snprintf(buffer, size, "%s=%s (%s)", key, text_of(step, key) ?: (is_true(step, key) ? "yes" : "no"),
            from ?: "built in");
}

static void show_destination(const Output *o, json_object *step)
{
    char tls[200], dane[200], sts[200], list[LINE_MAX_BYTES];

    heading(o, text_of(step, "Domain") ?: "");
    setting(tls, sizeof(tls), step, "TLS", "TLSFrom");
    setting(dane, sizeof(dane), step, "DANE", "DANEFrom");
    setting(sts, sizeof(sts), step, "MTASTS", "MTASTSFrom");
    line(o, COLOUR_NONE, "Settings", "%s, %s, %s", tls, dane, sts);
    if (text_of(step, "Route"))
        line(o, COLOUR_NONE, "", "Route=%s (%s)", text_of(step, "Route"), text_of(step, "RouteFrom") ?: "");
    if (!is_true(step, "VerifyInsecureMX"))
        line(o, COLOUR_NONE, "", "VerifyInsecureMX=no");
    if (text_of(step, "PlaintextFallback") && !streq(text_of(step, "PlaintextFallback"), "always"))
        line(o, COLOUR_NONE, "", "PlaintextFallback=%s", text_of(step, "PlaintextFallback"));
    if (list_of(step, "PinnedCertificate")) {
        join(list_of(step, "PinnedCertificate"), list, sizeof(list));
        line(o, COLOUR_NONE, "", "PinnedCertificate=%s", list);
    }
    if (list_of(step, "TrustedAuthority")) {
        join(list_of(step, "TrustedAuthority"), list, sizeof(list));
        line(o, COLOUR_NONE, "", "TrustedAuthority=%s", list);
    }
    if (is_true(step, "RequireFQDN"))
        line(o, COLOUR_NONE, "", "RequireFQDN=yes");
}

static void show_mx(const Output *o, json_object *step)
{
    const char *state = text_of(step, "State"), *reason = text_of(step, "Reason");
    json_object *hosts = list_of(step, "Hosts");

    if (!is_true(step, "Looked"))
        line(o, COLOUR_NONE, "Mail server", "as given, without a lookup");
    else if (state)
        line(o, state_colour(state), "MX", "%s%s", state,
                is_true(step, "Implicit") ? ", there is none: the domain itself is the host" : "");
    if (text_of(step, "Alias"))
        line(o, COLOUR_NONE, "", "alias of %s", text_of(step, "Alias"));
    for (size_t i = 0; i < length_of(hosts); i++) {
        json_object *host = json_object_array_get_idx(hosts, i), *preference;

        if (json_object_object_get_ex(host, "Preference", &preference))
            line(o, COLOUR_NONE, "", "%s %s", json_object_get_string(preference), text_of(host, "Name") ?: "");
        else
            line(o, COLOUR_NONE, "", "%s", text_of(host, "Name") ?: "");
    }
    if (reason)
        line(o, COLOUR_RED, "", "%s", reason);
}

static void show_sts(const Output *o, json_object *step)
{
    const char *mode = text_of(step, "Mode") ?: "", *reason = text_of(step, "Reason");
    char hosts[LINE_MAX_BYTES], fetched[FORMAT_TIME_MAX], expires[FORMAT_TIME_MAX];

    join(list_of(step, "Hosts"), hosts, sizeof(hosts));
    if (reason)
        line(o, COLOUR_RED, "MTA-STS", "%s: %s", mode, reason);
    else
        line(o, streq(mode, "enforce") ? COLOUR_GREEN : COLOUR_NONE, "MTA-STS", "%s%s%s", mode, *hosts ? ", for " : "", hosts);
    if (text_of(step, "Id"))
        line(o, COLOUR_NONE, "", "id %s, fetched %s, expires %s", text_of(step, "Id"),
                format_time(fetched, json_object_get_uint64(json_object_object_get(step, "FetchedUSec"))),
                format_time(expires, json_object_get_uint64(json_object_object_get(step, "ExpiresUSec"))));
}

/* ---- a host ---- */

static void show_records(const Output *o, json_object *step)
{
    const char *state = text_of(step, "TLSAState");
    json_object *records = list_of(step, "TLSA");
    const char *reason = text_of(step, "TLSAReason");

    if (!state)
        return;
    line(o, state_colour(state), "TLSA", "%s, at %s%s%s%s", state, text_of(step, "TLSABase") ?: "",
            length_of(records) == 0 ? ", no records" : "", reason ? ": " : "", reason ?: "");
    for (size_t i = 0; i < length_of(records); i++) {
        json_object *r = json_object_array_get_idx(records, i);

        line(o, is_true(r, "Usable") ? COLOUR_NONE : COLOUR_YELLOW, "", "%s%s%s", text_of(r, "Record") ?: "",
                is_true(r, "Usable") ? "" : " is not usable: ", is_true(r, "Usable") ? "" : text_of(r, "Reason") ?: "");
    }
}

/* What POSTERN_TLS_WANTED means. */
static const char *explain_wanted(const char *wanted)
{
    static const struct {
        const char *wanted, *text;
    } texts[] = {
        {"none", "no TLS"},
        {"may", "TLS if it is offered, verified or not"},
        {"may-verify", "TLS if it is offered, verified or not"},
        {"required", "TLS, verified or not"},
        {"required-verify", "TLS, verified by an authority"},
        {"required-verify-hosted", "TLS, verified by an authority"},
        {"dane", "TLS, authenticated by a TLSA record"},
        {"sts", "TLS, verified by an authority, as the MTA-STS policy says"},
        {"requiretls", "TLS, verified, as the message says"},
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++)
        if (streq(texts[i].wanted, wanted))
            return texts[i].text;
    return "";
}

static void show_host(const Output *o, json_object *step)
{
    const char *a = text_of(step, "AState"), *aaaa = text_of(step, "AAAAState"), *wanted = text_of(step, "Wanted");
    json_object *addresses = list_of(step, "Addresses");
    char list[LINE_MAX_BYTES];

    (void) fputc('\n', o->file);
    heading(o, text_of(step, "Host") ?: "");
    join(addresses, list, sizeof(list));
    if (a && aaaa)
        line(o, COLOUR_NONE, "Addresses", "%s (A %s, AAAA %s)", *list ? list : "none", a, aaaa);
    show_records(o, step);
    if (!wanted)
        return; /* the verdict says why */
    line(o, COLOUR_NONE, "Wanted", "%s: %s", wanted, explain_wanted(wanted));
    join(list_of(step, "Names"), list, sizeof(list));
    if (text_of(step, "DANEBase") && *list)
        line(o, COLOUR_NONE, "", "for %s, %s", text_of(step, "DANEBase"), list);
    else if (text_of(step, "DANEBase"))
        line(o, COLOUR_NONE, "", "for %s", text_of(step, "DANEBase"));
    else if (*list || text_of(step, "InsecureName"))
        line(o, COLOUR_NONE, "", "for %s%s%s%s", list, *list && text_of(step, "InsecureName") ? ", " : "",
                text_of(step, "InsecureName") ?: "", text_of(step, "InsecureName") ? " (whose name is not secured)" : "");
}

/* ---- a connection ---- */

static void show_certificate(const Output *o, json_object *certificate)
{
    const uint64_t from = json_object_get_uint64(json_object_object_get(certificate, "NotBeforeUSec")),
                   until = json_object_get_uint64(json_object_object_get(certificate, "NotAfterUSec"));
    char not_before[FORMAT_TIME_MAX], not_after[FORMAT_TIME_MAX], names[LINE_MAX_BYTES];

    line(o, COLOUR_NONE, "Certificate", "%s", text_of(certificate, "Subject") ?: "");
    line(o, COLOUR_NONE, "", "issued by %s", text_of(certificate, "Issuer") ?: "");
    join(list_of(certificate, "Names"), names, sizeof(names));
    line(o, COLOUR_NONE, "", "for %s%s", *names ? names : "no name beside the subject",
            json_object_object_get(certificate, "NamesLeftOut") ? ", and more" : "");
    line(o, COLOUR_NONE, "", "valid from %s until %s", format_time(not_before, from), format_time(not_after, until));
    if (text_of(certificate, "KeyFingerprint"))
        line(o, COLOUR_NONE, "", "TLSA of its key would be 3 1 1 %s", text_of(certificate, "KeyFingerprint"));
}

static void show_verification(const Output *o, json_object *step)
{
    const char *verify = text_of(step, "Verify"), *matched = text_of(step, "MatchedTLSA"),
               *authority = text_of(step, "Authority"), *why = text_of(step, "VerifyReason");

    if (!verify)
        return;
    if (!is_true(step, "Verified")) {
        line(o, COLOUR_YELLOW, "Verified", "no, %s%s%s", verify, why && *why ? ": " : "", why ?: "");
        return;
    }
    line(o, COLOUR_GREEN, "Verified", "yes, %s%s%s%s%s", verify, matched ? ": TLSA record " : "", matched ?: "",
            authority ? ", by " : "", authority ?: "");
}

static void show_attempt(const Output *o, json_object *step)
{
    const char *tested = text_of(step, "STSResult");
    json_object *offered, *promise;

    if (text_of(step, "Greeting"))
        line(o, COLOUR_NONE, "Greeting", "%s", text_of(step, "Greeting"));
    if (json_object_object_get_ex(step, "TLSOffered", &offered))
        line(o, json_object_get_boolean(offered) ? COLOUR_NONE : COLOUR_YELLOW, "STARTTLS", "%s",
                json_object_get_boolean(offered) ? "offered" : "not offered");
    if (is_true(step, "TLSUsed"))
        line(o, COLOUR_NONE, "TLS", "%s, %s, %s", text_of(step, "TLSVersion") ?: "", text_of(step, "TLSCipher") ?: "",
                text_of(step, "TLSGroup") ?: "");
    if (json_object_object_get(step, "Certificate"))
        show_certificate(o, json_object_object_get(step, "Certificate"));
    show_verification(o, step);
    if (tested)
        line(o, streq(tested, "passed") ? COLOUR_GREEN : COLOUR_YELLOW, "MTA-STS", "testing: %s", tested);
    if (json_object_object_get_ex(step, "RequireTLS", &promise))
        line(o, COLOUR_NONE, "REQUIRETLS", "%s", json_object_get_boolean(promise) ? "offered" : "not offered");
    if (text_of(step, "Reason"))
        line(o, COLOUR_RED, "Failed", "%s", text_of(step, "Reason"));
}

static void show_connect(const Output *o, json_object *step)
{
    const char *wanted = text_of(step, "Wanted");

    line(o, COLOUR_NONE, "Connection", "%s%s", text_of(step, "Peer") ?: "",
            wanted && streq(wanted, "none") ? ", in the clear" : "");
}

static void show_failed(const Output *o, json_object *step)
{
    line(o, COLOUR_RED, "Failed", "%s", text_of(step, "Reason") ?: "");
}

static void show_verdict(const Output *o, json_object *step)
{
    const bool good = is_true(step, "Deliverable");

    line(o, good ? COLOUR_GREEN : COLOUR_RED, "Verdict", "%s%s", good ? "would take a message " : "no message can go here: ",
            text_of(step, "Text") ?: "");
}

void verify_text_step(const Output *o, json_object *step)
{
    static const struct {
        const char *step;
        void (*show)(const Output *o, json_object *step);
    } steps[] = {
        {"Attempt", show_attempt},
        {"Connect", show_connect},
        {"Destination", show_destination},
        {"Failed", show_failed},
        {"Host", show_host},
        {"MX", show_mx},
        {"STS", show_sts},
        {"Verdict", show_verdict},
    };
    const char *name = text_of(step, "Step") ?: "";

    for (size_t i = 0; i < ELEMENTSOF(steps); i++)
        if (streq(steps[i].step, name))
            steps[i].show(o, step);
    (void) fflush(o->file);
}

void verify_text_result(const Output *o, json_object *result)
{
    static const struct {
        const char *outcome;
        Colour colour;
        const char *text;
    } outcomes[] = {
        {"delivered", COLOUR_GREEN, "would be delivered"},
        {"deferred", COLOUR_RED, "would wait, and be tried again"},
        {"returned", COLOUR_RED, "would be returned to its sender"},
        {"unknown", COLOUR_RED, "nobody can tell"},
    };
    const char *outcome = text_of(result, "Outcome") ?: "", *peer = text_of(result, "Peer"), *reason = text_of(result, "Reason");

    (void) fputc('\n', o->file);
    heading(o, "A message");
    for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
        if (streq(outcomes[i].outcome, outcome))
            line(o, outcomes[i].colour, "Outcome", "%s%s%s", outcomes[i].text, peer ? " at " : "", peer ?: "");
    if (reason)
        line(o, COLOUR_NONE, "Reason", "%s", reason);
    if (text_of(result, "LogLine"))
        line(o, COLOUR_NONE, "Log line", "%s", text_of(result, "LogLine"));
}
