/* SPDX-License-Identifier: Apache-2.0 */

/* What a signature costs certd when 16 clients ask for one after the other, in proportion to the bare signature: everything that
 * is around it, the bus, the checks and the hand-over to a thread, is the difference. */

#include <stdio.h>
#include <string.h>

#include "certd-process.h"
#include "measure.h"
#include "openssl-cleanup.h"
#include "peer-client.h"

#define CLIENTS 16

/* A round is short, so that one which something else disturbs is one of many, and is within RateBurst= of certd.conf. */
#define ROUNDS 15
#define SIGNATURES_EC 2000
#define SIGNATURES_RSA 320

#define TARGET_EC 1.70
#define TARGET_RSA 1.10

/* What a server signs in TLS 1.3 with a suite of SHA-384 (RFC 8446 section 4.4.3). */
static const uint8_t message[64 + 34 + 48] =
    "                                                                TLS 1.3, server CertificateVerify";

typedef struct Load Load;

typedef struct Client {
    Load *load;
    PeerClient *peer;
} Client;

struct Load {
    sd_event *event;
    Client clients[CLIENTS];
    uint8_t key_sha256[32];
    uint16_t scheme;
    unsigned n_left, n_running;
    int error;
};

static const PeerMethod sign_method = {
    .path = "/org/postern/Cert1",
    .interface = "org.postern.Cert1.Peer",
    .member = "Sign",
};

/* ---- asking certd ---- */

static int sign_build(sd_bus_message *m, void *userdata)
{
    const Client *c = userdata;
    int r;

    r = sd_bus_message_append(m, "s", CERTD_PROCESS_CERTIFICATE);
    if (r >= 0)
        r = sd_bus_message_append_array(m, 'y', c->load->key_sha256, sizeof(c->load->key_sha256));
    if (r >= 0)
        r = sd_bus_message_append(m, "q", c->load->scheme);
    if (r >= 0)
        r = sd_bus_message_append_array(m, 'y', message, sizeof(message));
    return r;
}

static void sign_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata);

static void ask(Client *c)
{
    int r;

    if (c->load->n_left == 0)
        return;
    r = peer_client_call(c->peer, NULL, &sign_method, sign_build, sign_done, c);
    if (r < 0) {
        c->load->error = r;
        return;
    }
    c->load->n_left--;
    c->load->n_running++;
}

static void sign_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
    Client *c = userdata;

    c->load->n_running--;
    if (error) {
        fprintf(stderr, "certd did not sign: %s\n", error->message);
        c->load->error = -EIO;
    }
    ask(c);
}

/* Lets the clients ask for n signatures together. */
static int load_run(Load *l, unsigned n)
{
    l->n_left = n;
    for (unsigned i = 0; i < CLIENTS; i++)
        ask(&l->clients[i]);
    while (l->n_running > 0 && l->error == 0) {
        int r = sd_event_run(l->event, UINT64_MAX);

        if (r < 0)
            return r;
    }
    return l->error;
}

static int load_connect(Load *l)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        int r;

        l->clients[i].load = l;
        peer_client_free(l->clients[i].peer);
        r = peer_client_new(&l->clients[i].peer, l->event, "certd");
        if (r < 0)
            return r;
    }
    return load_run(l, CLIENTS); /* which connects them */
}

static void load_done(Load *l)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        peer_client_free(l->clients[i].peer);
    sd_event_unref(l->event);
}

/* ---- the bare signature ---- */

/* As libssl makes it: in a context of its own. */
static int sign_bare(EVP_PKEY *key)
{
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t signature[512];
    size_t size = sizeof(signature);
    EVP_PKEY_CTX *context;

    if (!md || EVP_DigestSignInit_ex(md, &context, "SHA2-256", NULL, NULL, key, NULL) != 1)
        return -EIO;
    if (EVP_PKEY_is_a(key, "RSA")
            && (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1
                    || EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) != 1))
        return -EIO;
    return EVP_DigestSign(md, signature, &size, message, sizeof(message)) == 1 ? 0 : -EIO;
}

/* ---- in turns ---- */

static int measure(Load *l, CertdProcess *certd, EVP_PKEY *key, unsigned n, Series *with, Series *bare)
{
    int r;

    r = certd_process_key_hash(certd, l->key_sha256);
    if (r < 0)
        return r;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start;

        r = load_connect(l);
        if (r < 0)
            return r;
        start = certd_process_cpu_nsec(certd);
        r = load_run(l, n);
        if (r < 0)
            return r;
        series_add(with, certd_process_cpu_nsec(certd) - start, n);
        start = cpu_nsec(CLOCK_PROCESS_CPUTIME_ID);
        for (unsigned i = 0; i < n && r == 0; i++)
            r = sign_bare(key);
        if (r < 0)
            return r;
        series_add(bare, cpu_nsec(CLOCK_PROCESS_CPUTIME_ID) - start, n);
    }
    return 0;
}

static int compare_ec(Load *l, CertdProcess *certd, bool *ret_within)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    Series with = {}, bare = {};
    int r;

    l->scheme = 0x0403; /* ecdsa_secp256r1_sha256 */
    r = key ? measure(l, certd, key, SIGNATURES_EC, &with, &bare) : -EIO;
    if (r < 0)
        return r;
    *ret_within = compare("ECDSA P-256 in certd, of 16 clients", &with, &bare, TARGET_EC, TARGET_EC);
    return 0;
}

static int compare_rsa(Load *l, CertdProcess *certd, bool *ret_within)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = EVP_RSA_gen(2048);
    Series with = {}, bare = {};
    int r;

    r = certd_process_replace(certd, "rsa-2048");
    if (r < 0)
        return r;
    l->scheme = 0x0804; /* rsa_pss_rsae_sha256 */
    r = key ? measure(l, certd, key, SIGNATURES_RSA, &with, &bare) : -EIO;
    if (r < 0)
        return r;
    *ret_within = compare("RSA 2048 in certd, of 16 clients", &with, &bare, TARGET_RSA, TARGET_RSA);
    return 0;
}

static int run(const char *program, bool *ret_within)
{
    _cleanup_(certd_process_freep) CertdProcess *certd = NULL;
    _cleanup_(load_done) Load load = {};
    bool ec = false, rsa = false;
    int r;

    r = certd_process_new(&certd, program);
    if (r < 0)
        return r;
    r = sd_event_new(&load.event);
    if (r < 0)
        return r;
    compare_header();
    r = compare_ec(&load, certd, &ec);
    if (r >= 0)
        r = compare_rsa(&load, certd, &rsa);
    if (r < 0)
        return r;
    *ret_within = ec && rsa;
    return 0;
}

int main(int argc, char *argv[])
{
    return certd_benchmark_main(argc, argv, run);
}
