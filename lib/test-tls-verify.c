/* SPDX-License-Identifier: Apache-2.0 */

/* PKIX verification by real handshakes in memory, in both directions; and names by the two rules. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test-certificate.h"
#include "tls-pin.h"
#include "tls-verify.h"
#include "tls.h"

#define HOST "mx.example.com"
#define DOMAIN "example.com"

/* The cast of all tests. Chains are leaf first. */
enum {
    ROOT,         /* the enabled authority of most tests */
    INTERMEDIATE, /* issued by ROOT */
    LEAF,         /* issued by INTERMEDIATE, for HOST */
    LEAF_DOMAIN,  /* … for DOMAIN */
    LEAF_OTHER,   /* … for another name */
    LEAF_SHORT,   /* … for HOST, and a name of one label */
    LEAF_EXPIRED,
    LEAF_EARLY,
    LEAF_SERVER,  /* … for servers only */
    LEAF_CLIENT,  /* … for clients only */
    LEAF_ROOT,    /* issued by ROOT itself */
    INTERMEDIATE_EXPIRED,
    LEAF_BELOW_EXPIRED,
    NOT_A_CA,
    LEAF_BELOW_NOT_A_CA,
    SELF,         /* self-signed for HOST */
    STRANGER,     /* an authority that is not enabled */
    LEAF_STRANGER,
    N_CERTIFICATES,
    NONE = -1,
};

static const struct {
    TestCertificateSpec spec;
    int issuer;
} cast[N_CERTIFICATES] = {
    [ROOT] = {{.cn = "Root", .constraints = "critical,CA:TRUE"}, NONE},
    [INTERMEDIATE] = {{.cn = "Intermediate", .constraints = "critical,CA:TRUE"}, ROOT},
    [LEAF] = {{.cn = "leaf", .san = "DNS:" HOST}, INTERMEDIATE},
    [LEAF_DOMAIN] = {{.cn = "leaf", .san = "DNS:" DOMAIN}, INTERMEDIATE},
    [LEAF_OTHER] = {{.cn = "leaf", .san = "DNS:other.example.net"}, INTERMEDIATE},
    [LEAF_SHORT] = {{.cn = "leaf", .san = "DNS:" HOST ",DNS:mx"}, INTERMEDIATE},
    [LEAF_EXPIRED] = {{.cn = "leaf", .san = "DNS:" HOST, .from_days = -9, .to_days = -2}, INTERMEDIATE},
    [LEAF_EARLY] = {{.cn = "leaf", .san = "DNS:" HOST, .from_days = 2, .to_days = 9}, INTERMEDIATE},
    [LEAF_SERVER] = {{.cn = "leaf", .san = "DNS:" HOST, .eku = "serverAuth"}, INTERMEDIATE},
    [LEAF_CLIENT] = {{.cn = "leaf", .san = "DNS:" HOST, .eku = "clientAuth"}, INTERMEDIATE},
    [LEAF_ROOT] = {{.cn = "leaf", .san = "DNS:" HOST}, ROOT},
    [INTERMEDIATE_EXPIRED] = {{.cn = "Old intermediate", .constraints = "critical,CA:TRUE", .from_days = -9, .to_days = -2}, ROOT},
    [LEAF_BELOW_EXPIRED] = {{.cn = "leaf", .san = "DNS:" HOST}, INTERMEDIATE_EXPIRED},
    [NOT_A_CA] = {{.cn = "Not a CA", .constraints = "critical,CA:FALSE"}, ROOT},
    [LEAF_BELOW_NOT_A_CA] = {{.cn = "leaf", .san = "DNS:" HOST}, NOT_A_CA},
    [SELF] = {{.cn = HOST, .san = "DNS:" HOST}, NONE},
    [STRANGER] = {{.cn = "Stranger", .constraints = "critical,CA:TRUE"}, NONE},
    [LEAF_STRANGER] = {{.cn = "leaf", .san = "DNS:" HOST}, STRANGER},
};
static TestCertificate *certificates[N_CERTIFICATES];

static int make_cast(void **state)
{
    for (int i = 0; i < N_CERTIFICATES; i++)
        certificates[i] = test_certificate_new(&cast[i].spec, cast[i].issuer == NONE ? NULL : certificates[cast[i].issuer]);
    return 0;
}

static int free_cast(void **state)
{
    for (int i = 0; i < N_CERTIFICATES; i++)
        certificates[i] = test_certificate_free(certificates[i]);
    return 0;
}

/* To the end, and until tickets are through. */
static void shake(SSL *client, SSL *server)
{
    char byte;

    test_certificate_handshake(client, server);
    (void) SSL_read(client, &byte, 1);
}

/* chain: END behind the last one. */
#define END (-1)

static void use_chain(SSL_CTX *ctx, const int *chain)
{
    const TestCertificate *rest[4] = {0};

    for (size_t i = 1; i < 4 && chain[i] != END; i++)
        rest[i - 1] = certificates[chain[i]];
    /* Exactly what the test says, nothing completed from anywhere. */
    (void) SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    test_certificate_use(ctx, certificates[chain[0]], rest);
}

/* NULL for no list at all; END alone: an empty one. */
static X509_STORE *make_store(const int *enabled)
{
    X509_STORE *store = enabled ? X509_STORE_new() : NULL;

    for (; enabled && *enabled != END; enabled++)
        assert_int_equal(X509_STORE_add_cert(store, certificates[*enabled]->x509), 1);
    return store;
}

typedef struct ChainRow {
    const char *name;
    int chain[4];
    const int *enabled;
    TlsVerify as_server, as_client; /* what is said of the chain when a server, or a client, shows it */
} ChainRow;

#define ENABLED(...) ((const int[]) {__VA_ARGS__ __VA_OPT__(,) END})
#define BOTH(v) TLS_VERIFY_##v, TLS_VERIFY_##v

static const ChainRow chain_rows[] = {
    {"whole chain", {LEAF, INTERMEDIATE, ROOT, END}, ENABLED(ROOT), BOTH(PKIX)},
    {"root not sent", {LEAF, INTERMEDIATE, END}, ENABLED(ROOT), BOTH(PKIX)},
    {"wrong order", {LEAF, ROOT, INTERMEDIATE, END}, ENABLED(ROOT), BOTH(PKIX)},
    {"more than needed", {LEAF, STRANGER, INTERMEDIATE, END}, ENABLED(STRANGER, ROOT), BOTH(PKIX)},
    {"an enabled intermediate is an end", {LEAF, END}, ENABLED(INTERMEDIATE), BOTH(PKIX)},
    {"… also when it is sent", {LEAF, INTERMEDIATE, END}, ENABLED(INTERMEDIATE), BOTH(PKIX)},
    {"self-signed and enabled itself", {SELF, END}, ENABLED(SELF), BOTH(PKIX)},
    {"below the root itself", {LEAF_ROOT, END}, ENABLED(ROOT), BOTH(PKIX)},
    {"for servers", {LEAF_SERVER, INTERMEDIATE, END}, ENABLED(ROOT), TLS_VERIFY_PKIX, TLS_VERIFY_WRONG_PURPOSE},
    {"for clients", {LEAF_CLIENT, INTERMEDIATE, END}, ENABLED(ROOT), TLS_VERIFY_WRONG_PURPOSE, TLS_VERIFY_PKIX},
    {"lists not known", {LEAF, INTERMEDIATE, ROOT, END}, NULL, BOTH(NO_AUTHORITIES)},
    {"nothing enabled", {LEAF, INTERMEDIATE, END}, ENABLED(), BOTH(UNTRUSTED)},
    {"nothing enabled, root sent", {LEAF, INTERMEDIATE, ROOT, END}, ENABLED(), BOTH(UNTRUSTED)},
    {"another authority", {LEAF, INTERMEDIATE, END}, ENABLED(STRANGER), BOTH(UNTRUSTED)},
    {"another authority, root sent", {LEAF_STRANGER, STRANGER, END}, ENABLED(ROOT), BOTH(UNTRUSTED)},
    {"intermediate forgotten", {LEAF, END}, ENABLED(ROOT), BOTH(CHAIN_INCOMPLETE)},
    {"self-signed", {SELF, END}, ENABLED(ROOT), BOTH(SELF_SIGNED)},
    {"expired", {LEAF_EXPIRED, INTERMEDIATE, END}, ENABLED(ROOT), BOTH(EXPIRED)},
    {"expired above", {LEAF_BELOW_EXPIRED, INTERMEDIATE_EXPIRED, END}, ENABLED(ROOT), BOTH(EXPIRED)},
    {"not yet valid", {LEAF_EARLY, INTERMEDIATE, END}, ENABLED(ROOT), BOTH(NOT_YET_VALID)},
    {"issuer is no CA", {LEAF_BELOW_NOT_A_CA, NOT_A_CA, END}, ENABLED(ROOT), BOTH(INVALID)},
};

static const TlsReference host_reference = {.names = (const char *const[]) {DOMAIN, HOST, NULL}};

static TlsVerify show_as_server(const int *chain, X509_STORE *store, const TlsReference *reference)
{
    SSL_CTX *client_ctx = NULL, *server_ctx = NULL;
    SSL *client, *server;
    TlsVerify v;

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    assert_int_equal(tls_server_context_new(&server_ctx, NULL), 0);
    use_chain(server_ctx, chain);
    client = SSL_new(client_ctx);
    server = SSL_new(server_ctx);
    assert_int_equal(tls_verify_arm(client, store), 0);
    shake(client, server);
    v = tls_verify_result(client, reference);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    return v;
}

/* chain NULL: the client has no certificate. */
static TlsVerify show_as_client(const int *chain, X509_STORE *store)
{
    SSL_CTX *client_ctx = NULL, *server_ctx = NULL;
    SSL *client, *server;
    TlsVerify v;

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    assert_int_equal(tls_server_context_new(&server_ctx, NULL), 0);
    if (chain)
        use_chain(client_ctx, chain);
    use_chain(server_ctx, (const int[]) {SELF, END});
    client = SSL_new(client_ctx);
    server = SSL_new(server_ctx);
    assert_int_equal(tls_verify_ask_client(server, store), 0);
    shake(client, server);
    v = tls_verify_result(server, NULL);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    return v;
}

static void expect(const char *row, TlsVerify got, TlsVerify expected)
{
    if (got != expected)
        fail_msg("%s: %s instead of %s", row, tls_verify_to_string(got), tls_verify_to_string(expected));
}

static void test_chains(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(chain_rows); i++) {
        const ChainRow *row = &chain_rows[i];
        X509_STORE *store = make_store(row->enabled);

        print_message("row %s\n", row->name);
        expect(row->name, show_as_server(row->chain, store, &host_reference), row->as_server);
        expect(row->name, show_as_client(row->chain, store), row->as_client);
        X509_STORE_free(store);
    }
}

static void test_no_client_certificate(void **state)
{
    X509_STORE *store = make_store(ENABLED(ROOT));

    expect("no certificate", show_as_client(NULL, store), TLS_VERIFY_NO_CERTIFICATE);
    X509_STORE_free(store);
}

static void test_references(void **state)
{
    static const int leaf[] = {LEAF, INTERMEDIATE, END}, domain[] = {LEAF_DOMAIN, INTERMEDIATE, END},
                     other[] = {LEAF_OTHER, INTERMEDIATE, END}, expired[] = {LEAF_EXPIRED, INTERMEDIATE, END};
    static const char *const names[] = {DOMAIN, NULL}, *const both[] = {DOMAIN, HOST, NULL};
    const struct {
        const char *name;
        const int *chain;
        TlsReference reference;
        TlsVerify expected;
    } rows[] = {
        {"the domain", domain, {.names = names}, TLS_VERIFY_PKIX},
        {"the host, known securely", leaf, {.names = both}, TLS_VERIFY_PKIX},
        {"the host, not known securely", leaf, {.names = names, .insecure_name = HOST}, TLS_VERIFY_PKIX_MX_INSECURE},
        {"the host does not count", leaf, {.names = names}, TLS_VERIFY_NAME_MISMATCH},
        {"a secure name before an insecure one", domain, {.names = names, .insecure_name = HOST}, TLS_VERIFY_PKIX},
        {"neither", other, {.names = both, .insecure_name = "mx2.example.com"}, TLS_VERIFY_NAME_MISMATCH},
        {"no name to be had", leaf, {.names = NULL}, TLS_VERIFY_NAME_MISMATCH},
        {"what is wrong with the chain comes first", expired, {.names = names}, TLS_VERIFY_EXPIRED},
    };
    X509_STORE *store = make_store(ENABLED(ROOT));

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        expect(rows[i].name, show_as_server(rows[i].chain, store, &rows[i].reference), rows[i].expected);
    X509_STORE_free(store);
}

static char *pin_of(int who, bool key)
{
    X509 *x = certificates[who]->x509;
    uint8_t digest[32];
    char text[3 * sizeof(digest)] = "";
    unsigned char *der = NULL;
    char *pin = NULL;
    unsigned size;

    if (key) {
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

        assert_int_equal(EVP_Digest(der, (size_t) n, digest, &size, EVP_sha256(), NULL), 1);
        OPENSSL_free(der);
    } else
        assert_int_equal(X509_digest(x, EVP_sha256(), digest, &size), 1);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void) sprintf(text + strlen(text), "%s%02X", i > 0 ? ":" : "", digest[i]);
    assert_int_equal(tls_pin_parse(text, key ? "spki-sha256:" : "cert-sha256:", &pin), 0);
    return pin;
}

/* What an administrator wants of certificates beside what the level says. */
static void test_pins_and_authorities(void **state)
{
    static const int leaf[] = {LEAF, INTERMEDIATE, END}, other[] = {LEAF_OTHER, INTERMEDIATE, END},
                     expired[] = {LEAF_EXPIRED, INTERMEDIATE, END}, unqualified[] = {LEAF_SHORT, INTERMEDIATE, END}, self[] = {SELF, END};
    _cleanup_free_ char *of_leaf = pin_of(LEAF, false), *of_leaf_key = pin_of(LEAF, true), *of_self = pin_of(SELF, false),
                        *of_expired = pin_of(LEAF_EXPIRED, true), *of_root = pin_of(ROOT, false),
                        *of_intermediate = pin_of(INTERMEDIATE, false), *of_other = pin_of(STRANGER, false),
                        *of_other_leaf = pin_of(LEAF_OTHER, false);
    const char *const names[] = {HOST, NULL}, *const leaf_pin[] = {of_self, of_leaf, NULL}, *const key_pin[] = {of_leaf_key, NULL},
               *const self_pin[] = {of_self, NULL}, *const expired_pin[] = {of_expired, NULL}, *const root[] = {of_other, of_root, NULL},
               *const intermediate[] = {of_intermediate, NULL}, *const another[] = {of_other, NULL},
               *const issuer_pin[] = {of_intermediate, of_root, NULL}, *const other_pin[] = {of_other_leaf, NULL};
    const struct {
        const char *name;
        const int *chain;
        TlsReference reference;
        TlsVerify expected;
    } rows[] = {
        {"pinned certificate", leaf, {.names = names, .pins = leaf_pin}, TLS_VERIFY_PINNED},
        {"pinned key", leaf, {.names = names, .pins = key_pin}, TLS_VERIFY_PINNED},
        {"a pin is enough for a self-signed one", self, {.pins = self_pin}, TLS_VERIFY_PINNED},
        {"a pin is enough for an expired one", expired, {.names = names, .pins = expired_pin}, TLS_VERIFY_PINNED},
        {"a pin is enough for another name", other, {.names = names, .pins = other_pin}, TLS_VERIFY_PINNED},
        {"a good one that is not pinned", leaf, {.names = names, .pins = self_pin}, TLS_VERIFY_PIN_MISMATCH},
        {"a pin is of the leaf, not of issuers", leaf, {.names = names, .pins = issuer_pin}, TLS_VERIFY_PIN_MISMATCH},
        {"pin and chain", leaf, {.names = names, .pins = leaf_pin, .pins_and_chain = true}, TLS_VERIFY_PKIX},
        {"pin and chain, expired", expired, {.names = names, .pins = expired_pin, .pins_and_chain = true}, TLS_VERIFY_EXPIRED},
        {"pin and chain, another name", other, {.names = names, .pins = other_pin, .pins_and_chain = true}, TLS_VERIFY_NAME_MISMATCH},
        {"through the root", leaf, {.names = names, .authorities = root}, TLS_VERIFY_PKIX},
        {"through an intermediate", leaf, {.names = names, .authorities = intermediate}, TLS_VERIFY_PKIX},
        {"through none of them", leaf, {.names = names, .authorities = another}, TLS_VERIFY_OTHER_AUTHORITY},
        {"through one, another name", other, {.names = names, .authorities = root}, TLS_VERIFY_NAME_MISMATCH},
        {"a short name", unqualified, {.names = names}, TLS_VERIFY_PKIX},
        {"a short name, and only full ones are wanted", unqualified, {.names = names, .qualified = true}, TLS_VERIFY_UNQUALIFIED_NAME},
        {"full names only", leaf, {.names = names, .qualified = true}, TLS_VERIFY_PKIX},
        {"an authority that is not enabled does not help", self, {.names = names, .authorities = self_pin}, TLS_VERIFY_SELF_SIGNED},
    };
    X509_STORE *store = make_store(ENABLED(ROOT));

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        expect(rows[i].name, show_as_server(rows[i].chain, store, &rows[i].reference), rows[i].expected);
    X509_STORE_free(store);
    /* Nor does a pin need authorities at all. */
    expect("no authorities", show_as_server(leaf, NULL, &rows[0].reference), TLS_VERIFY_PINNED);
}

static void test_names(void **state)
{
    const struct {
        const char *cn, *san, *name;
        bool any, hosted;
    } rows[] = {
        {"x", "DNS:mx.example.com", "mx.example.com", true, true},
        {"x", "DNS:MX.Example.COM", "mx.example.com", true, true},
        {"x", "DNS:other.example.com,DNS:mx.example.com", "mx.example.com", true, true},
        {"x", "DNS:mx.example.com", "example.com", false, false},
        {"x", "DNS:example.com", "mx.example.com", false, false},
        {"x", "DNS:.example.com", "mx.example.com", false, false},
        /* The common name. */
        {"mx.example.com", NULL, "mx.example.com", true, true},
        {"mx.example.com", "DNS:other.example.net", "mx.example.com", true, false},
        {"mx.example.com", "email:postmaster@example.com", "mx.example.com", true, true},
        {"other.example.net", NULL, "mx.example.com", false, false},
        {"*.example.com", NULL, "mx.example.com", true, true},
        {"*.example.com", "DNS:other.example.net", "mx.example.com", true, false},
        /* A wildcard is one whole left-most label. */
        {"x", "DNS:*.example.com", "mx.example.com", true, true},
        {"x", "DNS:*.example.com", "a.mx.example.com", false, false},
        {"x", "DNS:*.example.com", "example.com", false, false},
        {"x", "DNS:m*.example.com", "mx.example.com", false, false},
        {"x", "DNS:*x.example.com", "mx.example.com", false, false},
        {"x", "DNS:mx.*.com", "mx.example.com", false, false},
        {"x", "DNS:*.com", "example.com", false, false},
        {"x", "DNS:*", "example", false, false},
        {"x", "DNS:*.*.example.com", "a.mx.example.com", false, false},
        /* No domain at all. */
        {"x", "DNS:mx.example.com", "", false, false},
        {"x", "DNS:mx.example.com", ".example.com", false, false},
        {"x", "IP:192.0.2.1", "192.0.2.1", false, false},
        {"x", "URI:https://mx.example.com", "mx.example.com", false, false},
        /* A-labels are labels like others. */
        {"x", "DNS:xn--mller-kva.example", "xn--mller-kva.example", true, true},
        {"x", "DNS:*.xn--mller-kva.example", "mx.xn--mller-kva.example", true, true},
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_(test_certificate_freep) TestCertificate *c =
                test_certificate_new(&(TestCertificateSpec) {.cn = rows[i].cn, .san = rows[i].san}, NULL);

        print_message("CN %s, SAN %s, name %s\n", rows[i].cn, rows[i].san ?: "-", rows[i].name);
        assert_int_equal(tls_name_matches(c->x509, rows[i].name, TLS_NAMES_ANY), rows[i].any);
        assert_int_equal(tls_name_matches(c->x509, rows[i].name, TLS_NAMES_HOSTED), rows[i].hosted);
        /* Without the common name nothing is left where there is no DNS name. */
        assert_int_equal(tls_name_matches(c->x509, rows[i].name, TLS_NAMES_DNS), rows[i].hosted && rows[i].san && strstr(rows[i].san, "DNS:"));
    }
}

/* Each result has a name of its own, and a failure has words. */
static void test_strings(void **state)
{
    for (TlsVerify v = 0; v < _TLS_VERIFY_MAX; v++) {
        assert_non_null(tls_verify_to_string(v));
        assert_int_equal(v != TLS_VERIFY_NONE && !tls_verify_succeeded(v), *tls_verify_explain(v) != '\0');
        for (TlsVerify other = 0; other < v; other++)
            assert_string_not_equal(tls_verify_to_string(v), tls_verify_to_string(other));
    }
    assert_null(tls_verify_to_string(_TLS_VERIFY_MAX));
}

/* Whatever OpenSSL may say: only X509_V_OK is success. */
static void test_errors(void **state)
{
    for (long error = 0; error < 200; error++)
        for (size_t sent = 0; sent < 3; sent++)
            assert_int_equal(tls_verify_succeeded(tls_verify_from_error(error, sent)), error == X509_V_OK);
    assert_int_equal(tls_verify_from_error(X509_V_ERR_CA_MD_TOO_WEAK, 2), TLS_VERIFY_TOO_WEAK);
}

/* A list that has changed counts for the next session; and there is no ticket that would carry an old result into it. */
static void test_no_resumption(void **state)
{
    static const struct {
        bool ask_first, ask_then, resumed;
    } rows[] = {
        {false, false, true}, /* so that the others show something */
        {true, true, false},
        {false, true, false},
        {true, false, false},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (size_t k = 0; k < ELEMENTSOF(versions) * ELEMENTSOF(rows); k++) {
        const int version = versions[k / ELEMENTSOF(rows)];
        const size_t i = k % ELEMENTSOF(rows);
        X509_STORE *before = make_store(ENABLED(ROOT)), *after = make_store(ENABLED(STRANGER));
        SSL_CTX *client_ctx = NULL, *server_ctx = NULL;
        SSL_SESSION *session;
        SSL *client, *server;

        assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
        assert_int_equal(tls_server_context_new(&server_ctx, NULL), 0);
        assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, version), 1);
        (void) SSL_CTX_clear_options(client_ctx, SSL_OP_NO_TICKET);
        use_chain(client_ctx, (const int[]) {LEAF, INTERMEDIATE, END});
        use_chain(server_ctx, (const int[]) {SELF, END});

        client = SSL_new(client_ctx);
        server = SSL_new(server_ctx);
        if (rows[i].ask_first)
            assert_int_equal(tls_verify_ask_client(server, before), 0);
        shake(client, server);
        if (rows[i].ask_first)
            expect("first", tls_verify_result(server, NULL), TLS_VERIFY_PKIX);
        session = SSL_get1_session(client);
        /* As if it was closed well; a session that was not is not taken up again. */
        (void) SSL_shutdown(client);
        SSL_free(client);
        SSL_free(server);

        client = SSL_new(client_ctx);
        server = SSL_new(server_ctx);
        assert_int_equal(SSL_set_session(client, session), 1);
        if (rows[i].ask_then)
            assert_int_equal(tls_verify_ask_client(server, after), 0);
        shake(client, server);
        assert_int_equal(SSL_session_reused(server), rows[i].resumed);
        if (rows[i].ask_then)
            expect("then", tls_verify_result(server, NULL), TLS_VERIFY_UNTRUSTED);
        SSL_free(client);
        SSL_free(server);
        SSL_SESSION_free(session);
        SSL_CTX_free(client_ctx);
        SSL_CTX_free(server_ctx);
        X509_STORE_free(before);
        X509_STORE_free(after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_no_client_certificate),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_pins_and_authorities),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_no_resumption),
    };

    return cmocka_run_group_tests(tests, make_cast, free_cast);
}
