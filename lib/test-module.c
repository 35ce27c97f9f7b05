/* SPDX-License-Identifier: Apache-2.0 */

/* The module as programs meet it: loaded by a configuration file, keys from pointer files, whole TLS handshakes, and a certd that
 * refuses, is silent, restarts or is not there. certd is played by a process with the suite's own peer server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bus-error.h"
#include "key-pointer.h"
#include "openssl-cleanup.h"
#include "peer-server.h"
#include "provider/link.h"
#include "signature-scheme.h"

static char *module_path;

/* ---- keys ---- */

typedef struct TestKey {
    const char *name;      /* of the certificate, and of its files */
    const char *algorithm; /* "EC:P-256" */
    EVP_PKEY *key;
    X509 *x509;
} TestKey;

static TestKey keys[] = {
    {"p256", "EC:P-256", NULL, NULL},
    {"p384", "EC:P-384", NULL, NULL},
    {"ed25519", "ED25519", NULL, NULL},
    {"rsa", "RSA", NULL, NULL},
    {"mldsa", "ML-DSA-65", NULL, NULL}, /* no key before OpenSSL 3.5 */
    /* With these names certd does not sign. */
    {"refused", "EC:P-256", NULL, NULL},
    {"silent", "EC:P-256", NULL, NULL},
};

static TestKey *find_key(const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (streq(keys[i].name, name))
            return &keys[i];
    fail_msg("no key %s", name);
    return NULL;
}

/* Some have a digest of their own. */
static const char *digest_of(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") ? "SHA256" : NULL;
}

static X509 *certificate_new(EVP_PKEY *key)
{
    X509 *x = X509_new();

    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *) "www.example", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, digest_of(key) ? EVP_sha256() : NULL) > 0);
    return x;
}

static void key_new(TestKey *k)
{
    k->key = strncmp(k->algorithm, "EC:", 3) == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", k->algorithm + 3)
            : streq(k->algorithm, "RSA")          ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048)
                                                  : EVP_PKEY_Q_keygen(NULL, NULL, k->algorithm);
    if (!k->key && streq(k->name, "mldsa"))
        return;
    assert_non_null(k->key);
    k->x509 = certificate_new(k->key);
}

/* ---- certd ---- */

typedef struct Host {
    char directory[64];
    char socket[96];
    char configuration[96];
    OSSL_LIB_CTX *libctx;
    pid_t certd;
} Host;

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *reterr_error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const void *spki_sha256, *message;
    const SignatureScheme *scheme;
    size_t spki_size, size, signature_size;
    uint8_t signature[8192];
    EVP_PKEY_CTX *context;
    uint16_t scheme_id;
    EVP_MD_CTX *md;
    const char *name;

    assert_true(sd_bus_message_read(m, "s", &name) >= 0);
    assert_true(sd_bus_message_read_array(m, 'y', &spki_sha256, &spki_size) >= 0);
    assert_true(sd_bus_message_read(m, "q", &scheme_id) >= 0);
    assert_true(sd_bus_message_read_array(m, 'y', &message, &size) >= 0);
    assert_int_equal(spki_size, 32);
    if (streq(name, "silent"))
        return 1;
    if (streq(name, "refused"))
        return sd_bus_error_setf(reterr_error, BUS_ERROR_KEY_NOT_ASSIGNED, "Certificate '%s' is not assigned to uid 33.", name);
    scheme = signature_scheme_from_id(scheme_id);
    assert_non_null(scheme);
    md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(md, &context, scheme->digest, NULL, NULL, find_key(name)->key, NULL), 1);
    if (scheme->pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    signature_size = sizeof(signature);
    assert_int_equal(EVP_DigestSign(md, signature, &signature_size, message, size), 1);
    EVP_MD_CTX_free(md);
    assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
    assert_true(sd_bus_message_append_array(reply, 'y', signature, signature_size) >= 0);
    /* Something that nobody asked for comes first. */
    assert_true(sd_bus_emit_signal(sd_bus_message_get_bus(m), "/org/postern/Cert1", "org.postern.Cert1.Peer", "Changed", "t",
                        UINT64_C(1))
            >= 0);
    return sd_bus_send(NULL, reply, NULL);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Sign", "sayqay", "ay", method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("Changed", "t", 0),
    SD_BUS_VTABLE_END,
};
static const PeerAccess access_table[] = {{"org.postern.Cert1.Peer", NULL, ROLE_SELF}, {}};
static const PeerObject objects[] = {{"/org/postern/Cert1", "org.postern.Cert1.Peer", vtable, NULL}, {}};

static int listen_at(const Host *h)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(sa.sun_path, h->socket);
    (void) unlink(h->socket);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static void certd_start(Host *h)
{
    int fd = listen_at(h);

    h->certd = fork();
    assert_true(h->certd >= 0);
    if (h->certd == 0) {
        PeerServer *server;
        sd_event *event;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sd_event_new(&event) >= 0 && peer_server_new(&server, event, fd, "test", access_table, objects) >= 0)
            (void) sd_event_loop(event);
        _exit(1);
    }
    (void) close(fd);
}

static void certd_stop(Host *h)
{
    if (h->certd > 0) {
        (void) kill(h->certd, SIGKILL);
        assert_int_equal(waitpid(h->certd, NULL, 0), h->certd);
    }
    h->certd = 0;
}

/* ---- the program ---- */

static void write_file(const Host *h, const char *name, const char *suffix, const char *text, char path[static 128])
{
    FILE *f;

    (void) snprintf(path, 128, "%s/%s%s", h->directory, name, suffix);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static char *bio_text(BIO *bio)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t) n);

    BIO_free(bio);
    return text;
}

static void write_key_files(const Host *h, const TestKey *k)
{
    _cleanup_free_ char *certificate = NULL, *pointer = NULL;
    char path[128];
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(bio, k->x509), 1);
    certificate = bio_text(bio);
    write_file(h, k->name, ".pem", certificate, path);
    assert_int_equal(key_pointer_from_certificate(k->name, certificate, &pointer), 0);
    write_file(h, k->name, ".pointer", pointer, path);
}

static int setup(void **state)
{
    _cleanup_free_ char *text = NULL;
    Host *h = calloc(1, sizeof(*h));
    char path[128];

    strcpy(h->directory, "/tmp/test-module.XXXXXX");
    assert_non_null(mkdtemp(h->directory));
    (void) snprintf(h->socket, sizeof(h->socket), "%s/keys", h->directory);
    assert_true(asprintf(&text,
                        "openssl_conf = init\n[init]\nproviders = providers\n[providers]\ndefault = standard\npostern = postern\n"
                        "[standard]\nactivate = 1\n[postern]\nmodule = %s\nactivate = 1\nsocket = %s\n",
                        module_path, h->socket)
            > 0);
    write_file(h, "openssl", ".cnf", text, path);
    strcpy(h->configuration, path);
    h->libctx = OSSL_LIB_CTX_new();
    assert_int_equal(OSSL_LIB_CTX_load_config(h->libctx, h->configuration), 1);
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (keys[i].key)
            write_key_files(h, &keys[i]);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    Host *h = *state;
    struct dirent *entry;
    DIR *d = opendir(h->directory);

    certd_stop(h);
    OSSL_LIB_CTX_free(h->libctx);
    while ((entry = readdir(d)))
        (void) unlinkat(dirfd(d), entry->d_name, 0);
    (void) closedir(d);
    (void) rmdir(h->directory);
    free(h);
    return 0;
}

static EVP_PKEY *load(const Host *h, const char *name, const char *suffix)
{
    EVP_PKEY *key;
    char path[128];
    BIO *bio;

    (void) snprintf(path, sizeof(path), "%s/%s%s", h->directory, name, suffix);
    bio = BIO_new_file(path, "r");
    assert_non_null(bio);
    key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, h->libctx, NULL);
    BIO_free(bio);
    return key;
}

static EVP_PKEY *load_pointer(const Host *h, const char *name)
{
    EVP_PKEY *key = load(h, name, ".pointer");

    assert_non_null(key);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "postern");
    return key;
}

/* Signs something with the key and verifies it; returns whether there was a signature. */
static bool sign(const Host *h, EVP_PKEY *key, const TestKey *k)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t signature[8192];
    size_t size = sizeof(signature);
    bool done;

    ERR_clear_error();
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, digest_of(key), h->libctx, NULL, key, NULL), 1);
    done = EVP_DigestSign(md, signature, &size, (const uint8_t *) "message", 7) == 1;
    EVP_MD_CTX_free(md);
    if (!done)
        return false;
    md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit_ex(md, NULL, digest_of(key), NULL, NULL, k->key, NULL), 1);
    assert_int_equal(EVP_DigestVerify(md, signature, size, (const uint8_t *) "message", 7), 1);
    EVP_MD_CTX_free(md);
    return true;
}

/* The first error on the queue, as programs log it. */
static void assert_error(const char *reason, const char *data)
{
    const char *found;
    unsigned long error;
    int flags;

    error = ERR_peek_error_data(&found, &flags);
    assert_string_equal(ERR_reason_error_string(error), reason);
    print_message("%s: %s\n", reason, found);
    assert_non_null(strstr(found, data));
}

/* ---- tests ---- */

static void use_files(SSL_CTX *context, const Host *h, const char *name, const char *suffix)
{
    char path[128];

    (void) snprintf(path, sizeof(path), "%s/%s.pem", h->directory, name);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(context, path), 1);
    (void) snprintf(path, sizeof(path), "%s/%s%s", h->directory, name, suffix);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_check_private_key(context), 1);
}

/* Both sides in one process, the way servers that know no async job do it. */
static bool handshake(SSL_CTX *server_context, SSL_CTX *client_context)
{
    SSL *server = SSL_new(server_context), *client = SSL_new(client_context);
    int s = 0, c = 0;
    BIO *a, *b;

    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (unsigned i = 0; i < 10 && (s != 1 || c != 1); i++) {
        c = SSL_do_handshake(client);
        s = SSL_do_handshake(server);
    }
    SSL_free(server);
    SSL_free(client);
    return s == 1 && c == 1;
}

static void test_handshakes(void **state)
{
    static const struct {
        const char *name, *sigalgs; /* sigalgs: of the side that verifies */
        int version;
        bool at_client;
    } cases[] = {
        {"p256", NULL, TLS1_3_VERSION, false},
        {"p256", NULL, TLS1_2_VERSION, false},
        {"p256", NULL, TLS1_3_VERSION, true},
        {"p256", NULL, TLS1_2_VERSION, true},
        {"p384", NULL, TLS1_3_VERSION, false},
        {"p384", NULL, TLS1_2_VERSION, false},
        {"ed25519", NULL, TLS1_3_VERSION, false},
        {"ed25519", NULL, TLS1_2_VERSION, false},
        {"ed25519", NULL, TLS1_3_VERSION, true},
        {"rsa", NULL, TLS1_3_VERSION, false},
        {"rsa", NULL, TLS1_2_VERSION, false},
        {"rsa", "RSA+SHA256", TLS1_2_VERSION, false},
        {"rsa", "RSA+SHA512", TLS1_2_VERSION, false},
        {"rsa", NULL, TLS1_3_VERSION, true},
        {"mldsa", NULL, TLS1_3_VERSION, false},
        {"mldsa", NULL, TLS1_3_VERSION, true},
    };
    Host *h = *state;

    certd_start(h);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        if (!find_key(cases[i].name)->key)
            continue;

        SSL_CTX *server = SSL_CTX_new_ex(h->libctx, NULL, TLS_server_method());
        SSL_CTX *client = SSL_CTX_new_ex(h->libctx, NULL, TLS_client_method());

        print_message("%s, TLS %s, %s\n", cases[i].name, cases[i].version == TLS1_3_VERSION ? "1.3" : "1.2",
                cases[i].at_client ? "client" : "server");
        SSL_CTX_set_min_proto_version(server, cases[i].version);
        SSL_CTX_set_max_proto_version(server, cases[i].version);
        use_files(server, h, cases[i].at_client ? "p384" : cases[i].name, ".pointer");
        if (cases[i].at_client) {
            use_files(client, h, cases[i].name, ".pointer");
            SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
            X509_STORE_add_cert(SSL_CTX_get_cert_store(server), find_key(cases[i].name)->x509);
        } else {
            SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
            X509_STORE_add_cert(SSL_CTX_get_cert_store(client), find_key(cases[i].name)->x509);
        }
        if (cases[i].sigalgs)
            assert_int_equal(SSL_CTX_set1_sigalgs_list(client, cases[i].sigalgs), 1);
        assert_true(handshake(server, client));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

/* The program's other keys are read and used as before, by themselves and beside one of ours. */
static void test_other_keys(void **state)
{
    Host *h = *state;

    certd_start(h);
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        if (!keys[i].key)
            continue;

        SSL_CTX *server = SSL_CTX_new_ex(h->libctx, NULL, TLS_server_method());
        SSL_CTX *client = SSL_CTX_new_ex(h->libctx, NULL, TLS_client_method());
        _cleanup_free_ char *text = NULL;
        BIO *bio = BIO_new(BIO_s_mem());
        EVP_PKEY *key;
        char path[128];

        assert_int_equal(PEM_write_bio_PrivateKey(bio, keys[i].key, NULL, NULL, 0, NULL, NULL), 1);
        text = bio_text(bio);
        write_file(h, keys[i].name, ".key", text, path);
        key = load(h, keys[i].name, ".key");
        assert_non_null(key);
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "default");
        assert_true(sign(h, key, &keys[i]));
        EVP_PKEY_free(key);

        for (int version = EVP_PKEY_is_a(keys[i].key, "ML-DSA-65") ? TLS1_3_VERSION : TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            SSL_CTX_set_max_proto_version(server, version);
            use_files(server, h, "rsa", ".pointer");
            use_files(server, h, keys[i].name, ".key");
            X509_STORE_add_cert(SSL_CTX_get_cert_store(client), keys[i].x509);
            SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
            assert_true(handshake(server, client));
        }
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

static void test_pointer_files(void **state)
{
    static const char POINTER[] = "pointer", CERTIFICATE[] = "certificate";
    static const struct {
        const char *what, *parts[2];
        bool good;
    } cases[] = {
        {"behind a certificate", {CERTIFICATE, POINTER}, true},
        {"before a certificate", {POINTER, CERTIFICATE}, true},
        {"behind text", {"This is the key:\n\n", POINTER}, true},
        {"nothing", {}, false},
        {"a certificate", {CERTIFICATE}, false},
        {"another label", {"-----BEGIN POSTERN KEYS-----\nMAA=\n-----END POSTERN KEYS-----\n"}, false},
        {"no pointer", {"-----BEGIN POSTERN KEY-----\nMAA=\n-----END POSTERN KEY-----\n"}, false},
    };
    _cleanup_free_ char *pointer = NULL, *certificate = NULL;
    Host *h = *state;
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(bio, keys[0].x509), 1);
    certificate = bio_text(bio);
    assert_int_equal(key_pointer_from_certificate("p256", certificate, &pointer), 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char path[128], text[4096] = "";
        EVP_PKEY *key;

        print_message("%s\n", cases[i].what);
        for (size_t j = 0; j < ELEMENTSOF(cases[i].parts); j++) {
            const char *part = cases[i].parts[j] ?: "";

            strcat(text, part == POINTER ? pointer : part == CERTIFICATE ? certificate : part);
        }
        write_file(h, "case", ".pem", text, path);
        key = load(h, "case", ".pem");
        assert_true(!!key == cases[i].good);
        assert_true(!key || EVP_PKEY_eq(key, keys[0].key) == 1);
        EVP_PKEY_free(key);
    }
}

static void test_nothing_private(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");
    BIGNUM *private_part = NULL;
    OSSL_PARAM *params = NULL;
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(EVP_PKEY_get_bn_param(key, "priv", &private_part), 0);
    assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 0);
    assert_int_not_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void test_refused(void **state)
{
    Host *h = *state;
    EVP_PKEY *refused = load_pointer(h, "refused"), *other = load_pointer(h, "p256");

    certd_start(h);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(sign(h, refused, find_key("refused")));
        assert_error("postern-certd refused to sign", "Certificate 'refused' is not assigned to uid 33.");
        assert_true(sign(h, other, find_key("p256")));
    }
    EVP_PKEY_free(refused);
    EVP_PKEY_free(other);
}

/* A user to whom nothing is assigned. */
static void test_closed_at_once(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");
    int fd = listen_at(h);

    h->certd = fork();
    if (h->certd == 0)
        for (;;)
            (void) close(accept(fd, NULL, NULL));
    (void) close(fd);
    assert_false(sign(h, key, find_key("p256")));
    assert_error("postern-certd refused to sign", "is a certificate assigned to the user of uid");
    EVP_PKEY_free(key);
}

static void test_silent(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "silent"), *other = load_pointer(h, "p256");

    certd_start(h);
    assert_false(sign(h, key, find_key("silent")));
    assert_error("postern-certd did not answer", "no answer within 5 s");
    /* Its late answer is not taken for that of the next call. */
    assert_true(sign(h, other, find_key("p256")));
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void test_not_there_and_back(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");

    assert_false(sign(h, key, find_key("p256")));
    assert_error("postern-certd cannot be reached", "chroot");
    for (unsigned i = 0; i < 3; i++) {
        certd_start(h);
        assert_true(sign(h, key, find_key("p256")));
        certd_stop(h);
        assert_false(sign(h, key, find_key("p256")));
        assert_error("postern-certd cannot be reached", "Connection refused");
    }
    EVP_PKEY_free(key);
}

/* Restarted between two signatures: the connection that was kept is dead. */
static void test_restart(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");

    for (unsigned i = 0; i < 5; i++) {
        certd_start(h);
        assert_true(sign(h, key, find_key("p256")));
        assert_true(sign(h, key, find_key("p256")));
        certd_stop(h);
    }
    EVP_PKEY_free(key);
}

/* The descriptors of sockets, up to n; returns how many there are. */
static size_t open_sockets(int *fds, size_t n)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t found = 0;

    while ((entry = readdir(d))) {
        int fd = atoi(entry->d_name);
        struct stat st;

        if (entry->d_name[0] != '.' && fstat(fd, &st) >= 0 && S_ISSOCK(st.st_mode) && found < n)
            fds[found++] = fd;
    }
    (void) closedir(d);
    return found;
}

static void assert_child(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Servers that fork, with and without a signature before. */
static void test_fork(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");

    certd_start(h);
    for (unsigned i = 0; i < 3; i++) {
        pid_t children[4];

        for (size_t j = 0; j < ELEMENTSOF(children); j++) {
            children[j] = fork();
            if (children[j] == 0) {
                for (unsigned n = 0; n < 20; n++)
                    if (!sign(h, key, find_key("p256")))
                        _exit(1);
                _exit(0);
            }
        }
        for (unsigned n = 0; n < 20; n++)
            assert_true(sign(h, key, find_key("p256")));
        for (size_t j = 0; j < ELEMENTSOF(children); j++)
            assert_child(children[j]);
    }
    EVP_PKEY_free(key);
}

/* Servers that become daemons: what has the descriptor's number now is left alone. */
static void test_closed_behind_our_back(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");
    int before[16], after[16], pair[2];
    size_t n_before = open_sockets(before, ELEMENTSOF(before));

    certd_start(h);
    assert_true(sign(h, key, find_key("p256")));
    assert_int_equal(open_sockets(after, ELEMENTSOF(after)), n_before + 1);
    for (size_t i = 0; i < n_before + 1; i++) {
        bool is_old = false;

        for (size_t j = 0; j < n_before; j++)
            is_old = is_old || before[j] == after[i];
        if (is_old)
            continue;
        assert_true(fcntl(after[i], F_GETFD) & FD_CLOEXEC);
        /* Another socket is the hardest case. */
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(dup3(pair[0], after[i], O_CLOEXEC), after[i]);
        assert_true(sign(h, key, find_key("p256")));
        assert_int_equal(write(after[i], "x", 1), 1);
        (void) close(after[i]);
        (void) close(pair[0]);
        (void) close(pair[1]);
    }
    EVP_PKEY_free(key);
}

typedef struct Thread {
    pthread_t thread;
    const Host *host;
    EVP_PKEY *key;
    unsigned n_signed;
} Thread;

static void *thread_run(void *data)
{
    Thread *t = data;

    for (unsigned i = 0; i < 20; i++)
        t->n_signed += sign(t->host, t->key, find_key("p256"));
    return NULL;
}

static void test_threads(void **state)
{
    Host *h = *state;
    EVP_PKEY *key = load_pointer(h, "p256");
    Thread threads[12];
    int fds[64];
    size_t n_before = open_sockets(fds, ELEMENTSOF(fds));

    certd_start(h);
    for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
        threads[i] = (Thread) {.host = h, .key = key};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, thread_run, &threads[i]), 0);
    }
    for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].n_signed, 20);
    }
    assert_true(open_sockets(fds, ELEMENTSOF(fds)) <= n_before + LINK_IDLE_MAX);
    EVP_PKEY_free(key);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pointer_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_behind_our_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    int r;

    if (argc != 2) {
        (void) fprintf(stderr, "Usage: %s postern.so\n", argv[0]);
        return 2;
    }
    /* OpenSSL looks for relative ones in its own directory. */
    module_path = realpath(argv[1], NULL);
    if (!module_path) {
        perror(argv[1]);
        return 1;
    }
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        key_new(&keys[i]);
    r = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        EVP_PKEY_free(keys[i].key);
        X509_free(keys[i].x509);
    }
    free(module_path);
    return r;
}
