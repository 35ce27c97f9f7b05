/* SPDX-License-Identifier: Apache-2.0 */

/* See test-certd.h. What the real one refuses is tested with the real one, in certd/. */

#include "test-certd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus-error.h"
#include "openssl-cleanup.h"

#define CERTD_PATH "/org/postern/Cert1"
#define CERTD_PEER_INTERFACE "org.postern.Cert1.Peer"
#define ECDSA_SECP256R1_SHA256 0x0403

static const PeerAccess access_table[] = {
    {CERTD_PEER_INTERFACE, NULL, ROLE_SELF},
    {},
};

static int reply_certificate(TestCertd *c, sd_bus_message *m)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    long size;

    assert_int_equal(PEM_write_bio_X509(bio, c->certificate->x509), 1);
    size = BIO_get_mem_data(bio, &pem);
    assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
    assert_true(sd_bus_message_append(reply, "t", UINT64_C(1)) >= 0);
    assert_true(sd_bus_message_append_array(reply, 'y', pem, (size_t) size) >= 0);
    return sd_bus_send(NULL, reply, NULL);
}

static int method_get_certificate(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    TestCertd *c = userdata;
    const char *name;

    c->n_asked++;
    assert_true(sd_bus_message_read(m, "s", &name) > 0);
    if (!streq(name, c->name))
        return sd_bus_error_set(error, BUS_ERROR_NO_SUCH_CERTIFICATE, "There is no such certificate");
    if (c->not_assigned)
        return sd_bus_error_set(error, BUS_ERROR_KEY_NOT_ASSIGNED, "It is not assigned");
    if (!c->hold)
        return reply_certificate(c, m);
    assert_null(c->held);
    c->held = sd_bus_message_ref(m);
    return 1;
}

static int method_get_assignment(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const char *use;

    assert_true(sd_bus_message_read(m, "s", &use) > 0);
    assert_string_equal(use, "delivery");
    return sd_bus_reply_method_return(m, "s", ((TestCertd *) userdata)->assigned ?: "");
}

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_(evp_md_ctx_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const void *hash, *message;
    size_t hash_size, size, signature_size;
    TestCertd *c = userdata;
    uint8_t signature[256];
    const char *name;
    uint16_t scheme;

    assert_true(sd_bus_message_read(m, "s", &name) > 0);
    assert_true(sd_bus_message_read_array(m, 'y', &hash, &hash_size) > 0);
    assert_true(sd_bus_message_read(m, "q", &scheme) > 0);
    assert_true(sd_bus_message_read_array(m, 'y', &message, &size) > 0);
    assert_string_equal(name, c->name);
    assert_int_equal(scheme, ECDSA_SECP256R1_SHA256);
    if (c->fail_signs > 0) {
        c->fail_signs--;
        return sd_bus_error_set(error, c->fail_error, "No signature");
    }
    signature_size = sizeof(signature);
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, c->certificate->key), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &signature_size, message, size), 1);
    c->n_signed++;
    assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
    assert_true(sd_bus_message_append_array(reply, 'y', signature, signature_size) >= 0);
    return sd_bus_send(NULL, reply, NULL);
}

static int method_get_authorities(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    _cleanup_close_ int fd = memfd_create("authorities", MFD_CLOEXEC);
    _cleanup_(bio_freep) BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);
    TestCertd *c = userdata;

    c->n_authorities++;
    if (c->no_authorities)
        return sd_bus_error_set(error, BUS_ERROR_ACCESS_DENIED, "Not for you");
    if (c->authority)
        assert_int_equal(PEM_write_bio_X509(bio, c->authority->x509), 1);
    return sd_bus_reply_method_return(m, "th", (uint64_t) c->n_authorities, fd);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("GetAuthorities", NULL, "th", method_get_authorities, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetCertificate", "s", "tay", method_get_certificate, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetAssignment", "s", "s", method_get_assignment, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Sign", "sayqay", "ay", method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("AuthoritiesChanged", "t", 0),
    SD_BUS_SIGNAL("Changed", "t", 0),
    SD_BUS_VTABLE_END,
};

TestCertd *test_certd_new(sd_event *event, const char *name, const TestCertificate *certificate)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TestCertd *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    *c = (TestCertd) {.name = name, .certificate = certificate, .directory = "/tmp/test-certd-XXXXXX"};
    c->objects[0] = (PeerObject) {CERTD_PATH, CERTD_PEER_INTERFACE, vtable, c};
    assert_non_null(mkdtemp(c->directory));
    assert_int_equal(setenv("POSTERN_RUNTIME_DIR", c->directory, 1), 0);
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/certd", c->directory);
    assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(peer_server_new(&c->server, event, fd, "certd", access_table, c->objects), 0);
    (void) TAKE_FD(fd);
    return c;
}

TestCertd *test_certd_free(TestCertd *c)
{
    char path[sizeof(c->directory) + sizeof("/certd")];

    if (!c)
        return NULL;
    sd_bus_message_unref(c->held);
    peer_server_free(c->server);
    (void) snprintf(path, sizeof(path), "%s/certd", c->directory);
    (void) unlink(path);
    (void) rmdir(c->directory);
    free(c);
    return NULL;
}

void test_certd_answer(TestCertd *c)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = TAKE_PTR(c->held);

    assert_true(reply_certificate(c, m) >= 0);
}

void test_certd_changed(TestCertd *c)
{
    assert_true(peer_server_emit(c->server, ROLE_SELF, CERTD_PATH, CERTD_PEER_INTERFACE, "Changed", "t", UINT64_C(2)) >= 0);
}

void test_certd_authorities_changed(TestCertd *c, sd_event *event)
{
    const unsigned before = c->n_authorities;

    assert_true(peer_server_emit(c->server, ROLE_SELF, CERTD_PATH, CERTD_PEER_INTERFACE, "AuthoritiesChanged", "t", UINT64_C(2)) >= 0);
    while (c->n_authorities == before)
        assert_int_not_equal(sd_event_run(event, 10 * USEC_PER_SEC), 0);
}
