/* SPDX-License-Identifier: Apache-2.0 */

/* DANE verification by real handshakes in memory. Row numbers are those of the delivery matrix (RFC 7672, RFC 7671, RFC 6698). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "test-certificate.h"
#include "test-rows.h"
#include "tls.h"

#define BASE "mx.example.com"
#define RECORDS_MAX 4

/* The cast of all tests. Chains are leaf first. */
enum {
    ROOT,          /* trust anchor */
    INTERMEDIATE,  /* issued by ROOT */
    LEAF,          /* issued by INTERMEDIATE, for BASE */
    LEAF_OTHER,    /* … for another name */
    LEAF_EXPIRED,  /* … for BASE, expired */
    LEAF_CLIENT,   /* … for BASE, extended key usage clientAuth */
    LEAF_WILDCARD, /* … for *.example.com */
    LEAF_PARTIAL,  /* … for m*.example.com */
    LEAF_TWO_LABELS, /* … for *.com */
    LEAF_CN,       /* … SAN for another name, CN = BASE */
    LEAF_CN_ONLY,  /* … CN = BASE and no SAN */
    INTERMEDIATE_EXPIRED,
    LEAF_BELOW_EXPIRED, /* issued by INTERMEDIATE_EXPIRED */
    NOT_A_CA,      /* issued by ROOT */
    LEAF_BELOW_NOT_A_CA,
    ROOT_SHORT,    /* pathlen:0 */
    INTERMEDIATE_TOO_DEEP, /* issued by ROOT_SHORT */
    LEAF_TOO_DEEP,
    SELF,          /* self-signed for BASE, no CA */
    SELF_EXPIRED,  /* self-signed for another name, expired */
    STRANGER,      /* unrelated */
    N_CERTIFICATES,
    NONE = -1,
};

static const struct {
    TestCertificateSpec spec;
    int issuer;
} cast[N_CERTIFICATES] = {
    [ROOT] = {{.cn = "Root", .constraints = "critical,CA:TRUE"}, NONE},
    [INTERMEDIATE] = {{.cn = "Intermediate", .constraints = "critical,CA:TRUE"}, ROOT},
    [LEAF] = {{.cn = "leaf", .san = "DNS:" BASE, .eku = "serverAuth"}, INTERMEDIATE},
    [LEAF_OTHER] = {{.cn = "leaf", .san = "DNS:other.example.net"}, INTERMEDIATE},
    [LEAF_EXPIRED] = {{.cn = "leaf", .san = "DNS:" BASE, .from_days = -9, .to_days = -2}, INTERMEDIATE},
    [LEAF_CLIENT] = {{.cn = "leaf", .san = "DNS:" BASE, .eku = "clientAuth"}, INTERMEDIATE},
    [LEAF_WILDCARD] = {{.cn = "leaf", .san = "DNS:*.example.com"}, INTERMEDIATE},
    [LEAF_PARTIAL] = {{.cn = "leaf", .san = "DNS:m*.example.com"}, INTERMEDIATE},
    [LEAF_TWO_LABELS] = {{.cn = "leaf", .san = "DNS:*.com"}, INTERMEDIATE},
    [LEAF_CN] = {{.cn = BASE, .san = "DNS:other.example.net"}, INTERMEDIATE},
    [LEAF_CN_ONLY] = {{.cn = BASE}, INTERMEDIATE},
    [INTERMEDIATE_EXPIRED] = {{.cn = "Intermediate", .constraints = "critical,CA:TRUE", .from_days = -9, .to_days = -2}, ROOT},
    [LEAF_BELOW_EXPIRED] = {{.cn = "leaf", .san = "DNS:" BASE}, INTERMEDIATE_EXPIRED},
    [NOT_A_CA] = {{.cn = "Not a CA", .constraints = "critical,CA:FALSE"}, ROOT},
    [LEAF_BELOW_NOT_A_CA] = {{.cn = "leaf", .san = "DNS:" BASE}, NOT_A_CA},
    [ROOT_SHORT] = {{.cn = "Short root", .constraints = "critical,CA:TRUE,pathlen:0"}, NONE},
    [INTERMEDIATE_TOO_DEEP] = {{.cn = "Too deep", .constraints = "critical,CA:TRUE"}, ROOT_SHORT},
    [LEAF_TOO_DEEP] = {{.cn = "leaf", .san = "DNS:" BASE}, INTERMEDIATE_TOO_DEEP},
    [SELF] = {{.cn = BASE, .san = "DNS:" BASE}, NONE},
    [SELF_EXPIRED] = {{.cn = "old", .from_days = -9, .to_days = -2}, NONE},
    [STRANGER] = {{.cn = "Stranger", .constraints = "critical,CA:TRUE"}, NONE},
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

/* One TLSA record: usage selector mtype of a certificate, or of other data. */
typedef struct Rr {
    uint8_t usage, selector, mtype;
    int of; /* index into the cast */
} Rr;

typedef struct Handshake {
    const char *row; /* see test-rows.h */
    int chain[4];    /* what the server sends, 0-terminated behind the leaf: ROOT is sent as SEND_ROOT */
    Rr records[RECORDS_MAX];
    size_t n_records;
    const char *name; /* an additional reference name */
    bool pass;
} Handshake;

#define SEND_ROOT 1000

/* Data for a record in buffer; returns its size. */
static size_t tlsa_data(const Rr *rr, uint8_t **ret)
{
    X509 *x = certificates[rr->of]->x509;
    unsigned char *der = NULL;
    uint8_t *data;
    int size;

    size = rr->selector == 0 ? i2d_X509(x, &der) : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    assert_true(size > 0);
    data = malloc((size_t) MAX(size, SHA512_DIGEST_LENGTH));
    assert_non_null(data);
    if (rr->mtype == 1) {
        (void) SHA256(der, (size_t) size, data);
        size = SHA256_DIGEST_LENGTH;
    } else if (rr->mtype == 2) {
        (void) SHA512(der, (size_t) size, data);
        size = SHA512_DIGEST_LENGTH;
    } else
        memcpy(data, der, (size_t) size);
    OPENSSL_free(der);
    *ret = data;
    return (size_t) size;
}

static SSL_CTX *server_context(const int *chain)
{
    const TestCertificate *rest[4] = {0};
    SSL_CTX *ctx = NULL;
    size_t n = 0;

    for (size_t i = 1; i < 4 && chain[i] != 0; i++)
        rest[n++] = certificates[chain[i] == SEND_ROOT ? ROOT : chain[i]];
    assert_int_equal(tls_server_context_new(&ctx, NULL), 0);
    /* Exactly what the test says, nothing completed from anywhere. */
    (void) SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    test_certificate_use(ctx, certificates[chain[0] == SEND_ROOT ? ROOT : chain[0]], rest);
    return ctx;
}

static TlsVerify verify(const Handshake *h)
{
    const char *const names[] = {h->name, NULL};
    TlsaRecord records[RECORDS_MAX];
    uint8_t *data[RECORDS_MAX];
    SSL_CTX *client_ctx = NULL, *server_ctx;
    SSL *client, *server;
    TlsVerify v;

    for (size_t i = 0; i < h->n_records; i++) {
        records[i] = (TlsaRecord){h->records[i].usage, h->records[i].selector, h->records[i].mtype};
        records[i].size = tlsa_data(&h->records[i], &data[i]);
        records[i].data = data[i];
    }
    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    server_ctx = server_context(h->chain);
    client = SSL_new(client_ctx);
    server = SSL_new(server_ctx);
    assert_int_equal(tls_dane_arm(client, BASE, names, records, h->n_records), 0);
    test_certificate_handshake(client, server);
    v = tls_dane_result(client);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    for (size_t i = 0; i < h->n_records; i++)
        free(data[i]);
    return v;
}

#define CHAIN {LEAF, INTERMEDIATE, SEND_ROOT}
#define RECORDS(...) .records = {__VA_ARGS__}, .n_records = sizeof((Rr[]){__VA_ARGS__}) / sizeof(Rr)

static const Handshake handshakes[] = {
    {"31 SHA-512 mismatch beats SHA-256 match", CHAIN, RECORDS({3, 1, 2, STRANGER}, {3, 1, 1, LEAF}), .pass = false},
    {"31 other order", CHAIN, RECORDS({3, 1, 1, LEAF}, {3, 1, 2, STRANGER}), .pass = false},
    {"32 agility is per selector", CHAIN, RECORDS({3, 0, 2, STRANGER}, {3, 1, 1, LEAF}), .pass = true},
    {"32 agility is per usage", CHAIN, RECORDS({2, 1, 2, STRANGER}, {3, 1, 1, LEAF}), .pass = true},
    {"32 full data is exempt", CHAIN, RECORDS({3, 1, 2, STRANGER}, {3, 1, 0, LEAF}), .pass = true},
    {"33 one mismatch, one match", CHAIN, RECORDS({3, 1, 1, STRANGER}, {3, 1, 1, LEAF}), .pass = true},
    {"33 all mismatch", CHAIN, RECORDS({3, 1, 1, STRANGER}, {3, 0, 1, ROOT}), .pass = false},
    {"34 usage 3 mismatch, usage 2 match", CHAIN, RECORDS({3, 1, 1, STRANGER}, {2, 0, 1, ROOT}), .pass = true},
    {"35 usage 3 ignores expiry and name", {SELF_EXPIRED}, RECORDS({3, 1, 1, SELF_EXPIRED}), .pass = true},
    {"35 also by certificate", {SELF_EXPIRED}, RECORDS({3, 0, 2, SELF_EXPIRED}), .pass = true},
    {"35 also below a CA", {LEAF_EXPIRED, INTERMEDIATE}, RECORDS({3, 1, 1, LEAF_EXPIRED}), .pass = true},
    {"35 full certificate", CHAIN, RECORDS({3, 0, 0, LEAF}), .pass = true},
    {"36 usage 3 matching an issuer only", CHAIN, RECORDS({3, 1, 1, INTERMEDIATE}), .pass = false},
    {"37 anchor in the chain", CHAIN, RECORDS({2, 0, 1, ROOT}), .pass = true},
    {"37 anchor's key in the chain", CHAIN, RECORDS({2, 1, 2, ROOT}), .pass = true},
    {"37 intermediate as anchor", {LEAF, INTERMEDIATE}, RECORDS({2, 1, 1, INTERMEDIATE}), .pass = true},
    {"38 wrong name", {LEAF_OTHER, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = false},
    {"39 hashed anchor absent from the chain", {LEAF, INTERMEDIATE}, RECORDS({2, 0, 1, ROOT}), .pass = false},
    {"40 whole anchor absent from the chain", {LEAF, INTERMEDIATE}, RECORDS({2, 0, 0, ROOT}), .pass = true},
    {"40 bare key of the anchor, absent", {LEAF, INTERMEDIATE}, RECORDS({2, 1, 0, ROOT}), .pass = true},
    {"40 wrong bare key", {LEAF, INTERMEDIATE}, RECORDS({2, 1, 0, STRANGER}), .pass = false},
    {"41 usage 2 matching the leaf only", {LEAF}, RECORDS({2, 0, 1, LEAF}), .pass = false},
    {"41 the leaf in full", {LEAF}, RECORDS({2, 0, 0, LEAF}), .pass = false},
    {"41 self-signed leaf, hashed", {SELF}, RECORDS({2, 0, 1, SELF}), .pass = false},
    {"41 2 1 0 of a self-signed leaf", {SELF}, RECORDS({2, 1, 0, SELF}), .pass = true},
    {"42 expired leaf", {LEAF_EXPIRED, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 0, 1, ROOT}), .pass = false},
    {"42 expired intermediate", {LEAF_BELOW_EXPIRED, INTERMEDIATE_EXPIRED, SEND_ROOT}, RECORDS({2, 0, 1, ROOT}), .pass = false},
    {"42 issuer is no CA", {LEAF_BELOW_NOT_A_CA, NOT_A_CA, SEND_ROOT}, RECORDS({2, 0, 1, ROOT}), .pass = false},
    {"42 path too long", {LEAF_TOO_DEEP, INTERMEDIATE_TOO_DEEP, ROOT_SHORT}, RECORDS({2, 0, 1, ROOT_SHORT}), .pass = false},
    {"42 wrong extended key usage", {LEAF_CLIENT, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 0, 1, ROOT}), .pass = false},
    {"43 additional name", {LEAF_OTHER, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .name = "other.example.net", .pass = true},
    {"44 SAN present, CN ignored", {LEAF_CN, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = false},
    {"44 no SAN, CN counts", {LEAF_CN_ONLY, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = true},
    {"44 wildcard label", {LEAF_WILDCARD, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = true},
    {"44 partial wildcard", {LEAF_PARTIAL, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = false},
    {"44 wildcard for two labels", {LEAF_TWO_LABELS, INTERMEDIATE, SEND_ROOT}, RECORDS({2, 1, 1, ROOT}), .pass = false},
};

static void run_handshakes(unsigned row)
{
    size_t n = 0;

    for (size_t i = 0; i < ELEMENTSOF(handshakes); i++) {
        TlsVerify v;

        if (!test_row_is(handshakes[i].row, row))
            continue;
        n++;
        v = verify(&handshakes[i]);
        if (tls_verify_succeeded(v) != handshakes[i].pass)
            fail_msg("row %s: %s", handshakes[i].row, tls_verify_to_string(v));
        if (handshakes[i].pass)
            assert_int_equal(v, TLS_VERIFY_DANE);
    }
    assert_true(n > 0);
}

TEST_ROW(dane, 31, agility, run_handshakes)
TEST_ROW(dane, 32, agility_is_per_usage_and_selector, run_handshakes)
TEST_ROW(dane, 33, one_match_is_enough, run_handshakes)
TEST_ROW(dane, 34, usages_beside_each_other, run_handshakes)
TEST_ROW(dane, 35, end_entity_alone_counts, run_handshakes)
TEST_ROW(dane, 36, end_entity_is_no_issuer, run_handshakes)
TEST_ROW(dane, 37, anchor_in_chain, run_handshakes)
TEST_ROW(dane, 38, wrong_name, run_handshakes)
TEST_ROW(dane, 39, hashed_anchor_absent, run_handshakes)
TEST_ROW(dane, 40, whole_anchor_absent, run_handshakes)
TEST_ROW(dane, 41, anchor_matches_leaf_only, run_handshakes)
TEST_ROW(dane, 42, chain_against_the_rules, run_handshakes)
TEST_ROW(dane, 43, further_names, run_handshakes)
TEST_ROW(dane, 44, alternative_names_and_wildcards, run_handshakes)

/* What a server sees of the next ClientHello. */
typedef struct Hello {
    bool certificate_type, ticket, psk;
} Hello;

static bool has_extension(SSL *ssl, unsigned type)
{
    const unsigned char *data;
    size_t size;

    return SSL_client_hello_get0_ext(ssl, type, &data, &size) == 1;
}

static int on_hello(SSL *ssl, int *alert, void *userdata)
{
    *(Hello *) userdata = (Hello) {
        .certificate_type = has_extension(ssl, 20), /* RFC 7250 */
        .ticket = has_extension(ssl, TLSEXT_TYPE_session_ticket),
        .psk = has_extension(ssl, TLSEXT_TYPE_psk),
    };
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* One handshake with the record of LEAF; returns SNI as the server got it, to be freed. */
static char *greet(SSL_CTX *client_ctx, SSL_CTX *server_ctx, Hello *ret)
{
    const Rr rr = {3, 1, 1, LEAF};
    _cleanup_free_ uint8_t *data = NULL;
    TlsaRecord record = {rr.usage, rr.selector, rr.mtype};
    SSL *client = SSL_new(client_ctx), *server = SSL_new(server_ctx);
    char *name;

    record.size = tlsa_data(&rr, &data);
    record.data = data;
    assert_int_equal(tls_dane_arm(client, BASE, NULL, &record, 1), 0);
    SSL_CTX_set_client_hello_cb(server_ctx, on_hello, ret);
    test_certificate_handshake(client, server);
    assert_int_equal(tls_dane_result(client), TLS_VERIFY_DANE);
    assert_false(SSL_session_reused(client));
    name = strdup(SSL_get_servername(server, TLSEXT_NAMETYPE_host_name));
    SSL_free(client);
    SSL_free(server);
    return name;
}

/* Raw public keys are never asked for, so that no usage 2 can lose its chain (RFC 7671, section 5.2). SNI is the base domain. */
static void test_dane_45_46_hello(void **state)
{
    SSL_CTX *client_ctx = NULL, *server_ctx = server_context((const int[]){LEAF, INTERMEDIATE, SEND_ROOT, 0});
    Hello hello = {.certificate_type = true};
    _cleanup_free_ char *name = NULL;

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    name = greet(client_ctx, server_ctx, &hello);
    assert_string_equal(name, BASE);
    assert_false(hello.certificate_type);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
}

/* The second of two connections with the same host and context begins anew: what the first one's records proved is not carried
 * over to another decision. */
static void test_dane_49_combined_4_nothing_carried_over(void **state)
{
    SSL_CTX *client_ctx = NULL, *server_ctx = server_context((const int[]){LEAF, INTERMEDIATE, SEND_ROOT, 0});

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        Hello hello = {.ticket = true, .psk = true};

        free(greet(client_ctx, server_ctx, &hello));
        assert_false(hello.ticket);
        assert_false(hello.psk);
    }
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
}

static void test_dane_28_usable(void **state)
{
    static const uint8_t digest[64];
    static const struct {
        const char *row;
        TlsaRecord record;
        bool usable;
    } table[] = {
        {"3 1 1", {3, 1, 1, digest, 32}, true},
        {"3 0 2", {3, 0, 2, digest, 64}, true},
        {"2 0 1", {2, 0, 1, digest, 32}, true},
        {"PKIX-TA", {0, 1, 1, digest, 32}, false},
        {"PKIX-EE", {1, 1, 1, digest, 32}, false},
        {"usage 4", {4, 1, 1, digest, 32}, false},
        {"usage 255", {255, 1, 1, digest, 32}, false},
        {"selector 2", {3, 2, 1, digest, 32}, false},
        {"matching type 3", {3, 1, 3, digest, 32}, false},
        {"short SHA-256", {3, 1, 1, digest, 31}, false},
        {"long SHA-256", {3, 1, 1, digest, 33}, false},
        {"SHA-256 as SHA-512", {3, 1, 2, digest, 32}, false},
        {"no data", {3, 1, 1, digest, 0}, false},
        {"full data, nothing", {3, 1, 0, digest, 0}, false},
        {"full key, not DER", {3, 1, 0, digest, 64}, false},
        {"full certificate, not DER", {2, 0, 0, digest, 64}, false},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (tlsa_usable(&table[i].record) != table[i].usable)
            fail_msg("row 28, %s", table[i].row);
}

static void test_dane_28_usable_der(void **state)
{
    for (uint8_t selector = 0; selector <= 1; selector++) {
        Rr rr = {3, selector, 0, LEAF};
        _cleanup_free_ uint8_t *data = NULL;
        TlsaRecord r = {3, selector, 0};

        r.size = tlsa_data(&rr, &data);
        r.data = data;
        assert_true(tlsa_usable(&r));
        r.selector = !selector;
        assert_false(tlsa_usable(&r));
        r.selector = selector;
        r.size--;
        assert_false(tlsa_usable(&r));
    }
}

static void test_arm_needs_a_record(void **state)
{
    static const uint8_t digest[32];
    TlsaRecord r = {1, 1, 1, digest, 32};
    SSL_CTX *ctx = NULL;
    SSL *ssl;

    assert_int_equal(tls_client_context_new(&ctx, NULL), 0);
    ssl = SSL_new(ctx);
    assert_int_equal(tls_dane_arm(ssl, BASE, NULL, &r, 1), -EINVAL);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

/* Without DANE nobody is authenticated, however fine the certificate. */
static void test_not_armed(void **state)
{
    SSL_CTX *client_ctx = NULL, *server_ctx = server_context((const int[]){SELF, 0, 0, 0});
    SSL *client, *server;

    assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
    client = SSL_new(client_ctx);
    server = SSL_new(server_ctx);
    test_certificate_handshake(client, server);
    assert_false(tls_verify_succeeded(tls_dane_result(client)));
    SSL_set_verify_result(client, X509_V_OK);
    assert_int_equal(tls_dane_result(client), TLS_VERIFY_TLSA_MISMATCH);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
}

static void test_facts(void **state)
{
    static const struct {
        int max_version;
        const char *version;
    } table[] = {{TLS1_3_VERSION, "TLSv1.3"}, {TLS1_2_VERSION, "TLSv1.2"}};

    for (size_t i = 0; i < ELEMENTSOF(table); i++) {
        SSL_CTX *client_ctx = NULL, *server_ctx = server_context((const int[]){SELF, 0, 0, 0});
        SSL *client, *server;
        TlsFacts facts;

        assert_int_equal(tls_client_context_new(&client_ctx, NULL), 0);
        assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, table[i].max_version), 1);
        client = SSL_new(client_ctx);
        server = SSL_new(server_ctx);
        test_certificate_handshake(client, server);
        tls_facts(client, &facts);
        assert_string_equal(facts.version, table[i].version);
        assert_non_null(strstr(facts.cipher, "AES"));
        assert_non_null(strstr(facts.group, "25519"));
        assert_false(facts.resumed);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_ctx);
        SSL_CTX_free(server_ctx);
    }
}

/* Nor what is older than TLS 1.2. */
static void test_dane_50_nothing_anonymous(void **state)
{
    SSL_CTX *contexts[2] = {0};

    assert_int_equal(tls_client_context_new(&contexts[0], NULL), 0);
    assert_int_equal(tls_server_context_new(&contexts[1], NULL), 0);
    for (size_t i = 0; i < ELEMENTSOF(contexts); i++) {
        STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(contexts[i]);

        assert_true(sk_SSL_CIPHER_num(ciphers) > 0);
        for (int k = 0; k < sk_SSL_CIPHER_num(ciphers); k++) {
            const SSL_CIPHER *c = sk_SSL_CIPHER_value(ciphers, k);

            assert_true(SSL_CIPHER_get_auth_nid(c) != NID_auth_null);
            assert_true(SSL_CIPHER_get_kx_nid(c) == NID_kx_ecdhe || SSL_CIPHER_get_kx_nid(c) == NID_kx_any);
        }
        assert_int_equal(SSL_CTX_get_min_proto_version(contexts[i]), TLS1_2_VERSION);
        SSL_CTX_free(contexts[i]);
    }
    assert_string_equal(tls_level_to_string(TLS_LEVEL_REQUIRED), "Required");
    assert_string_equal(dane_level_to_string(DANE_MANDATORY), "Mandatory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dane_31_agility),
        cmocka_unit_test(test_dane_32_agility_is_per_usage_and_selector),
        cmocka_unit_test(test_dane_33_one_match_is_enough),
        cmocka_unit_test(test_dane_34_usages_beside_each_other),
        cmocka_unit_test(test_dane_35_end_entity_alone_counts),
        cmocka_unit_test(test_dane_36_end_entity_is_no_issuer),
        cmocka_unit_test(test_dane_37_anchor_in_chain),
        cmocka_unit_test(test_dane_38_wrong_name),
        cmocka_unit_test(test_dane_39_hashed_anchor_absent),
        cmocka_unit_test(test_dane_40_whole_anchor_absent),
        cmocka_unit_test(test_dane_41_anchor_matches_leaf_only),
        cmocka_unit_test(test_dane_42_chain_against_the_rules),
        cmocka_unit_test(test_dane_43_further_names),
        cmocka_unit_test(test_dane_44_alternative_names_and_wildcards),
        cmocka_unit_test(test_dane_45_46_hello),
        cmocka_unit_test(test_dane_49_combined_4_nothing_carried_over),
        cmocka_unit_test(test_dane_28_usable),
        cmocka_unit_test(test_dane_28_usable_der),
        cmocka_unit_test(test_arm_needs_a_record),
        cmocka_unit_test(test_not_armed),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_dane_50_nothing_anonymous),
    };

    return cmocka_run_group_tests(tests, make_cast, free_cast);
}
