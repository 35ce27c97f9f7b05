/* SPDX-License-Identifier: Apache-2.0 */

/* Recognizes what TLS signs, byte for byte. Everything that is not exactly that is refused; nothing is guessed, skipped or
 * repaired.
 *
 * The three forms cannot be confused with each other: 64 spaces are followed by a 'T', the randoms of TLS 1.2 by curve type 3,
 * and a transcript begins with a ClientHello of version 3.3. */

#include "tls-signable.h"

#include "cleanup.h"

/* ---- reading ---- */

typedef struct Reader {
    const uint8_t *p;
    size_t n;
} Reader;

static bool read_bytes(Reader *r, size_t n, Reader *ret)
{
    if (r->n < n)
        return false;
    if (ret)
        *ret = (Reader) {r->p, n};
    r->p += n;
    r->n -= n;
    return true;
}

static bool read_number(Reader *r, size_t n_bytes, uint32_t *ret)
{
    Reader bytes;
    uint32_t v = 0;

    if (!read_bytes(r, n_bytes, &bytes))
        return false;
    for (size_t i = 0; i < n_bytes; i++)
        v = v << 8 | bytes.p[i];
    *ret = v;
    return true;
}

/* A vector of RFC 5246 section 4.3: its length in n_bytes, then its content. */
static bool read_vector(Reader *r, size_t n_bytes, Reader *ret)
{
    uint32_t n;

    return read_number(r, n_bytes, &n) && read_bytes(r, n, ret);
}

/* ---- ECDHE parameters ---- */

#define CURVE_TYPE_NAMED 3
#define POINT_UNCOMPRESSED 4

static const struct {
    uint32_t group;
    size_t size;
    bool uncompressed; /* a point with its form in front */
} groups[] = {
    {23, 65, true},  /* secp256r1 */
    {24, 97, true},  /* secp384r1 */
    {25, 133, true}, /* secp521r1 */
    {29, 32, false}, /* x25519 */
    {30, 56, false}, /* x448 */
};

static bool group_fits(uint32_t group, const Reader *point)
{
    for (size_t i = 0; i < ELEMENTSOF(groups); i++)
        if (groups[i].group == group)
            return point->n == groups[i].size && (!groups[i].uncompressed || point->p[0] == POINT_UNCOMPRESSED);
    return false;
}

static bool read_ecdhe_params(Reader *r)
{
    uint32_t type, group;
    Reader point;

    return read_number(r, 1, &type) && type == CURVE_TYPE_NAMED && read_number(r, 2, &group) && read_vector(r, 1, &point)
            && group_fits(group, &point);
}

/* ---- TLS 1.2 handshake messages ---- */

#define VERSION_TLS12 0x0303
#define RANDOM_SIZE 32
#define SESSION_ID_MAX 32

static bool hello_extensions(Reader *r)
{
    Reader extensions, data;
    uint32_t type;

    if (r->n == 0)
        return true;
    if (!read_vector(r, 2, &extensions) || r->n > 0)
        return false;
    while (extensions.n > 0)
        if (!read_number(&extensions, 2, &type) || !read_vector(&extensions, 2, &data))
            return false;
    return true;
}

static bool hello_start(Reader *r)
{
    uint32_t version;
    Reader session;

    return read_number(r, 2, &version) && version == VERSION_TLS12 && read_bytes(r, RANDOM_SIZE, NULL)
            && read_vector(r, 1, &session)
            && session.n <= SESSION_ID_MAX;
}

static bool client_hello(Reader r, TlsSignable *s)
{
    Reader suites, compression;

    return hello_start(&r) && read_vector(&r, 2, &suites) && suites.n > 0 && suites.n % 2 == 0 && read_vector(&r, 1, &compression)
            && compression.n > 0 && hello_extensions(&r);
}

static bool server_hello(Reader r, TlsSignable *s)
{
    uint32_t suite, compression;

    return hello_start(&r) && read_number(&r, 2, &suite) && read_number(&r, 1, &compression) && compression == 0
            && hello_extensions(&r);
}

static bool certificate_chain(Reader r, Reader *ret_leaf)
{
    Reader chain, certificate;

    if (!read_vector(&r, 3, &chain) || r.n > 0 || !read_vector(&chain, 3, ret_leaf) || ret_leaf->n == 0)
        return false;
    while (chain.n > 0)
        if (!read_vector(&chain, 3, &certificate) || certificate.n == 0)
            return false;
    return true;
}

static bool server_certificate(Reader r, TlsSignable *s)
{
    Reader leaf;

    return certificate_chain(r, &leaf);
}

static bool client_certificate(Reader r, TlsSignable *s)
{
    Reader leaf;

    if (!certificate_chain(r, &leaf))
        return false;
    s->leaf = leaf.p;
    s->leaf_size = leaf.n;
    return true;
}

static bool certificate_status(Reader r, TlsSignable *s)
{
    uint32_t type;
    Reader response;

    return read_number(&r, 1, &type) && type == 1 && read_vector(&r, 3, &response) && r.n == 0;
}

static bool server_key_exchange(Reader r, TlsSignable *s)
{
    uint32_t scheme;
    Reader signature;

    return read_ecdhe_params(&r) && read_number(&r, 2, &scheme) && read_vector(&r, 2, &signature) && r.n == 0;
}

static bool certificate_request(Reader r, TlsSignable *s)
{
    Reader types, schemes, authorities;

    return read_vector(&r, 1, &types) && types.n > 0 && read_vector(&r, 2, &schemes) && schemes.n > 0 && schemes.n % 2 == 0
            && read_vector(&r, 2, &authorities) && r.n == 0;
}

static bool server_hello_done(Reader r, TlsSignable *s)
{
    return r.n == 0;
}

static bool client_key_exchange(Reader r, TlsSignable *s)
{
    Reader point;

    return read_vector(&r, 1, &point) && point.n > 0 && r.n == 0;
}

/* The messages before a client's CertificateVerify, in their order (RFC 5246 section 7.3, RFC 6066 section 8). */
static const struct {
    uint32_t type;
    bool optional;
    bool (*well_formed)(Reader body, TlsSignable *s);
    const char *reason;
} transcript[] = {
    {1, false, client_hello, "it has no well-formed TLS 1.2 ClientHello"},
    {2, false, server_hello, "it has no well-formed TLS 1.2 ServerHello"},
    {11, false, server_certificate, "it has no well-formed server Certificate"},
    {22, true, certificate_status, "its CertificateStatus is malformed"},
    {12, false, server_key_exchange, "it has no well-formed ECDHE ServerKeyExchange"},
    {13, false, certificate_request, "it has no well-formed CertificateRequest"},
    {14, false, server_hello_done, "it has no ServerHelloDone"},
    {11, false, client_certificate, "it has no well-formed client Certificate"},
    {16, false, client_key_exchange, "it has no well-formed ECDHE ClientKeyExchange"},
};

static int check_transcript(Reader r, TlsSignable *s, const char **reterr_reason)
{
    for (size_t i = 0; i < ELEMENTSOF(transcript); i++) {
        uint32_t type;
        Reader body, next = r;

        if (read_number(&next, 1, &type) && type == transcript[i].type && read_vector(&next, 3, &body)
                && transcript[i].well_formed(body, s)) {
            r = next;
            continue;
        }
        if (transcript[i].optional && r.n > 0 && r.p[0] != transcript[i].type)
            continue;
        *reterr_reason = transcript[i].reason;
        return -EBADMSG;
    }
    if (r.n > 0) {
        *reterr_reason = "something follows its ClientKeyExchange";
        return -EBADMSG;
    }
    return 0;
}

/* ---- the three forms ---- */

#define PADDING_SIZE 64

static int check_tls13(TlsSide side, Reader r, const char **reterr_reason)
{
    /* With the zero byte that ends the C string. */
    static const char contexts[][sizeof("TLS 1.3, server CertificateVerify")] = {
        [TLS_SIDE_SERVER] = "TLS 1.3, server CertificateVerify",
        [TLS_SIDE_CLIENT] = "TLS 1.3, client CertificateVerify",
    };
    Reader context;

    if (!read_bytes(&r, sizeof(contexts[side]), &context) || memcmp(context.p, contexts[side], context.n) != 0) {
        *reterr_reason = side == TLS_SIDE_SERVER ? "its context is not \"TLS 1.3, server CertificateVerify\""
                                                 : "its context is not \"TLS 1.3, client CertificateVerify\"";
        return -EBADMSG;
    }
    if (r.n != 32 && r.n != 48) {
        *reterr_reason = "its transcript hash is neither of 32 nor of 48 bytes";
        return -EBADMSG;
    }
    return 0;
}

static int check_server_key_exchange(Reader r, const char **reterr_reason)
{
    if (!read_bytes(&r, 2 * RANDOM_SIZE, NULL) || !read_ecdhe_params(&r)) {
        *reterr_reason = "it has neither the form of TLS 1.3 nor two randoms and ECDHE parameters";
        return -EBADMSG;
    }
    if (r.n > 0) {
        *reterr_reason = "something follows its ECDHE parameters";
        return -EBADMSG;
    }
    return 0;
}

static bool is_tls13(const Reader *r)
{
    static const uint8_t padding[PADDING_SIZE + 1] = "                                                                ";

    return r->n >= PADDING_SIZE && memcmp(r->p, padding, PADDING_SIZE) == 0;
}

/* Said plainly, as it is what a program that misuses a key would send first. */
static bool is_digest(size_t size)
{
    return size == 20 || size == 28 || size == 32 || size == 48 || size == 64;
}

int tls_signable(TlsSide side, const uint8_t *message, size_t size, TlsSignable *ret, const char **reterr_reason)
{
    TlsSignable s = {.version = TLS_SIGNED_1_2};
    Reader r = {message, size};
    int k;

    if (is_digest(size)) {
        *reterr_reason = "it has the size of a bare digest";
        return -EBADMSG;
    }
    if (is_tls13(&r)) {
        s.version = TLS_SIGNED_1_3;
        (void) read_bytes(&r, PADDING_SIZE, NULL);
        k = check_tls13(side, r, reterr_reason);
    } else
        k = side == TLS_SIDE_SERVER ? check_server_key_exchange(r, reterr_reason) : check_transcript(r, &s, reterr_reason);
    if (k < 0)
        return k;
    *ret = s;
    return 0;
}
