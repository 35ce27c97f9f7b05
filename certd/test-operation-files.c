/* SPDX-License-Identifier: Apache-2.0 */

/* Certificates that come from outside and keys that go there: installed, imported, exported. The openssl program is the
 * authority, the maker of the files and the judge of what comes out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "operation.h"

typedef struct Place {
    char path[64]; /* with the store in "store" */
    Store *store;
    Pkcs12Reader *pkcs12;
} Place;

/* In the place; fails with what the command said. */
static void shell(const Place *p, const char *command)
{
    _cleanup_free_ char *line = NULL;

    assert_true(asprintf(&line, "cd %s && ( %s ) >.log 2>&1 || { cat %s/.log; false; }", p->path, command, p->path) > 0);
    if (system(line) != 0)
        fail_msg("%s failed", command);
}

/* root → upper → lower, as shell commands. */
#define AUTHORITY \
    "for i in root:root upper:root lower:upper; do n=${i%%:*}; by=${i#*:};" \
    " openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -subj /CN=$n -out $n.csr;" \
    " printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\nsubjectKeyIdentifier=hash\\n' >$n.ext;" \
    " printf 'authorityKeyIdentifier=keyid\\n' >>$n.ext;" \
    " if [ $n = root ]; then openssl x509 -req -in $n.csr -key $n.key -days 30 -extfile $n.ext -out $n.crt;" \
    " else openssl x509 -req -in $n.csr -CA $by.crt -CAkey $by.key -CAcreateserial -days 30 -extfile $n.ext -out $n.crt; fi;" \
    " done"

static int setup(void **state)
{
    _cleanup_free_ char *store = NULL;
    Place *p = calloc(1, sizeof(Place));

    umask(0077);
    strcpy(p->path, "/tmp/test-operation-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    assert_true(asprintf(&store, "%s/store", p->path) > 0);
    assert_int_equal(mkdir(store, 0700), 0);
    assert_int_equal(store_new(&p->store, store), 0);
    assert_int_equal(pkcs12_reader_new(&p->pkcs12, PKCS12_ITERATIONS_MAX), 0);
    shell(p, AUTHORITY);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    _cleanup_free_ char *command = NULL;
    Place *p = *state;
    int r;

    store_free(p->store);
    pkcs12_reader_free(p->pkcs12);
    assert_true(asprintf(&command, "rm -r %s", p->path) > 0);
    r = system(command);
    free(p);
    return r;
}

static const Certificate *find(Place *p, const char *name)
{
    _cleanup_free_ char *reason = NULL;

    if (store_load(p->store, &reason) < 0)
        fail_msg("%s", reason);
    return store_find(p->store, name);
}

static void put(const Place *p, const char *file, const char *text, size_t size)
{
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *f = NULL;

    assert_true(asprintf(&path, "%s/%s", p->path, file) > 0);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
}

static int open_file(const Place *p, const char *file)
{
    _cleanup_free_ char *path = NULL;
    int fd;

    assert_true(asprintf(&path, "%s/%s", p->path, file) > 0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* As a terminal gives it, with the end of its line, through a pipe. */
static int say(const char *passphrase)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_true(dprintf(fds[1], "%s\n", passphrase) > 0);
    (void) close(fds[1]);
    return fds[0];
}

static Operation *make(Place *p, OperationKind kind, const char *name, const char *file, const char *passphrase)
{
    Operation *o;

    assert_int_equal(operation_new(&o, kind, p->store), 0);
    o->pkcs12 = p->pkcs12;
    o->name = strdup(name);
    if (file)
        o->file_fd = open_file(p, file);
    if (passphrase)
        o->passphrase_fd = say(passphrase);
    return o;
}

static void run(Operation *o, int expected, const char *reason)
{
    int r = operation_run(o);

    if (r != expected)
        fail_msg("'%s': %d, not %d: %s", o->name, r, expected, o->reason);
    if (reason && !strstr(o->reason, reason))
        fail_msg("'%s': the reason is '%s', not '…%s…'", o->name, o->reason, reason);
}

static void install(Place *p, OperationKind kind, const char *file, bool incomplete, int expected, const char *reason)
{
    _cleanup_(operation_freep) Operation *o = make(p, kind, "mx", file, NULL);

    o->incomplete = incomplete;
    run(o, expected, reason);
}

/* A certificate "mx" of type, and mx.crt that lower has signed for it. */
static void make_signed(Place *p, const char *key_type)
{
    _cleanup_(operation_freep) Operation *create = make(p, OPERATION_CREATE, "mx", NULL, NULL);
    _cleanup_(operation_freep) Operation *request = make(p, OPERATION_REQUEST, "mx", NULL, NULL);

    create->common_name = strdup("mx.example.org");
    create->key_type = strdup(key_type);
    run(create, 0, NULL);
    run(request, 0, NULL);
    put(p, "mx.csr", request->text, strlen(request->text));
    shell(p, "openssl x509 -req -in mx.csr -CA lower.crt -CAkey lower.key -CAcreateserial -days 10 "
             "-copy_extensions copy -out mx.crt");
}

static void assert_served(Place *p)
{
    const Certificate *c = find(p, "mx");

    put(p, "served.pem", c->pem, c->pem_size);
    shell(p, "openssl verify -x509_strict -CAfile root.crt -untrusted served.pem -verify_hostname mx.example.org served.pem");
    /* In order: each block is verified by the next one alone. */
    shell(p, "csplit -z -f part- served.pem '/BEGIN/' '{*}' && openssl verify -partial_chain -trusted part-01 part-00 && "
             "openssl verify -partial_chain -trusted part-02 part-01");
    assert_int_equal(certificate_state(c, c->not_before_usec + 1), CERTIFICATE_SIGNED);
}

/* ---- installation ---- */

static void test_install(void **state)
{
    static const char *const types[] = {"ecdsa-p256", "ed25519", "rsa-2048"};
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(types); i++) {
        _cleanup_(operation_freep) Operation *delete = make(p, OPERATION_DELETE, "mx", NULL, NULL);

        make_signed(p, types[i]);
        shell(p, "cat root.crt upper.crt mx.crt lower.crt >all.pem");
        install(p, OPERATION_INSTALL, "all.pem", false, 0, NULL);
        assert_served(p);
        run(delete, 0, NULL);
    }
}

static void test_intermediates_later(void **state)
{
    Place *p = *state;

    make_signed(p, "ecdsa-p256");
    shell(p, "openssl x509 -in mx.crt -outform DER -out mx.der; cat root.crt upper.crt lower.crt >rest.pem");
    install(p, OPERATION_INSTALL, "mx.der", false, -ENOLINK, "does not end");
    assert_int_equal(certificate_state(find(p, "mx"), find(p, "mx")->not_before_usec), CERTIFICATE_REQUEST_PENDING);
    install(p, OPERATION_INSTALL, "mx.der", true, 0, NULL);
    install(p, OPERATION_ADD_INTERMEDIATES, "upper.crt", true, -EUNATCH, "does not belong");
    install(p, OPERATION_ADD_INTERMEDIATES, "lower.crt", true, 0, NULL);
    install(p, OPERATION_ADD_INTERMEDIATES, "upper.crt", false, -ENOLINK, "does not end");
    install(p, OPERATION_ADD_INTERMEDIATES, "rest.pem", false, 0, NULL);
    assert_served(p);
}

/* At an authority that the host does not know, but certd. */
static void test_chain_ends_at_enabled(void **state)
{
    _cleanup_(operation_freep) Operation *o = NULL;
    Place *p = *state;

    make_signed(p, "ecdsa-p256");
    shell(p, "cat mx.crt lower.crt upper.crt >chain.pem; cat lower.crt root.crt >enabled.pem");
    install(p, OPERATION_INSTALL, "chain.pem", false, -ENOLINK, "does not end");
    o = make(p, OPERATION_INSTALL, "mx", "chain.pem", NULL);
    o->trusted_fd = open_file(p, "enabled.pem");
    run(o, 0, NULL);
}

/* Each its own clear error, and the store stays as it was. */
static void test_install_refused(void **state)
{
    _cleanup_free_ char *before = NULL, *large = calloc(1, 10 << 20);
    _cleanup_(operation_freep) Operation *absent = NULL;
    Place *p = *state;

    make_signed(p, "ecdsa-p256");
    before = strdup(find(p, "mx")->pem);
    put(p, "large", large, 10 << 20);
    shell(p, "openssl req -x509 -newkey ed25519 -nodes -keyout other.key -subj /CN=other -out other.crt; printf garbage >garbage;"
             "openssl x509 -req -in mx.csr -CA lower.crt -CAkey lower.key -CAcreateserial -days 0 -out old.crt;"
             "cat old.crt lower.crt upper.crt root.crt >old.pem;"
             "head -c 300 mx.crt >half; cat mx.crt other.crt >mixed; : >empty");
    install(p, OPERATION_INSTALL, "other.crt", true, -EKEYREJECTED, "for the private key");
    install(p, OPERATION_INSTALL, "old.pem", false, -EKEYEXPIRED, "expired");
    install(p, OPERATION_INSTALL, "mx.crt", false, -ENOLINK, "does not end");
    install(p, OPERATION_INSTALL, "garbage", true, -EBADMSG, "no certificate");
    install(p, OPERATION_INSTALL, "empty", true, -EBADMSG, "no certificate");
    install(p, OPERATION_INSTALL, "half", true, -EBADMSG, "");
    install(p, OPERATION_INSTALL, "mixed", true, -EUNATCH, "does not belong");
    install(p, OPERATION_INSTALL, "large", true, -EFBIG, "too large");
    install(p, OPERATION_INSTALL, "/", true, -EINVAL, "neither of a file");
    absent = make(p, OPERATION_INSTALL, "absent", "mx.crt", NULL);
    run(absent, -ENOENT, "no such certificate");
    assert_string_equal(find(p, "mx")->pem, before);
}

/* ---- PKCS#12 ---- */

static void make_pkcs12(Place *p, const char *file, const char *options)
{
    _cleanup_free_ char *command = NULL;

    assert_true(asprintf(&command, "cat upper.crt lower.crt root.crt >ca.pem; openssl pkcs12 -export -in part.crt "
                                   "-inkey part.key -certfile ca.pem -passout pass:secret %s -out %s", options, file)
            > 0);
    shell(p, "[ -e part.crt ] || { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout part.key -subj "
             "/CN=part.example.org -out part.csr; openssl x509 -req -in part.csr -CA lower.crt -CAkey lower.key -CAcreateserial "
             "-days 10 -out part.crt; }");
    shell(p, command);
}

/* Whether this OpenSSL has RC2: on Debian 13 that is a package of its own. */
static bool has_legacy(void)
{
    return system("openssl list -providers -provider legacy >/dev/null 2>&1") == 0;
}

static void import(Place *p, const char *file, const char *passphrase, bool replace, int expected, const char *reason)
{
    _cleanup_(operation_freep) Operation *o = make(p, OPERATION_IMPORT, "", file, passphrase);

    o->replace = replace;
    run(o, expected, reason);
    if (expected == 0)
        assert_string_equal(o->name, "part.example.org");
}

static void test_import(void **state)
{
    static const char *const options[] = {
        "", "-legacy", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1", "-keypbe NONE",
    };
    Place *p = *state;

    for (size_t i = 0; i < ELEMENTSOF(options); i++) {
        _cleanup_(operation_freep) Operation *delete = make(p, OPERATION_DELETE, "part.example.org", NULL, NULL);

        if (streq(options[i], "-legacy") && !has_legacy())
            continue;
        make_pkcs12(p, "a.p12", options[i]);
        import(p, "a.p12", "secret", false, 0, NULL);
        put(p, "served.pem", find(p, "part.example.org")->pem, find(p, "part.example.org")->pem_size);
        shell(p, "cat part.crt lower.crt upper.crt root.crt | grep -v '^Bag\\|^ \\|^subject\\|^issuer' | diff - served.pem");
        import(p, "a.p12", "secret", false, -EEXIST, "there is a certificate");
        import(p, "a.p12", "secret", true, 0, NULL);
        run(delete, 0, NULL);
    }
}

static void test_import_refused(void **state)
{
    Place *p = *state;

    make_pkcs12(p, "a.p12", "");
    shell(p, "head -c 500 a.p12 >half.p12; printf '0\\003abc' >junk.p12;"
             "openssl pkcs12 -export -nokeys -in part.crt -passout pass:secret -out keyless.p12;"
             "openssl pkcs12 -export -in part.crt -inkey part.key -passout pass:secret -out short.p12");
    import(p, "a.p12", "wrong", false, -ENOKEY, "passphrase is wrong");
    import(p, "a.p12", "", false, -ENOKEY, "passphrase is wrong");
    import(p, "half.p12", "secret", false, -EBADMSG, "damaged");
    import(p, "junk.p12", "secret", false, -EBADMSG, "damaged");
    import(p, "keyless.p12", "secret", false, -ENODATA, "no private key");
    import(p, "short.p12", "secret", false, -ENOLINK, "does not end");
    import(p, "part.key", "secret", false, -EBADMSG, "damaged");
    find(p, "");
    assert_null(store_get(p->store, 0));
}

static void save(const Place *p, int fd, const char *file)
{
    char buffer[16384];
    ssize_t n = pread(fd, buffer, sizeof(buffer), 0);

    assert_true(n > 0 && n < (ssize_t) sizeof(buffer));
    put(p, file, buffer, (size_t) n);
}

static void test_export(void **state)
{
    _cleanup_(operation_freep) Operation *o = NULL, *empty = NULL, *forbid = NULL, *forbidden = NULL;
    Place *p = *state;

    make_signed(p, "ecdsa-p384");
    shell(p, "cat mx.crt lower.crt upper.crt root.crt >all.pem");
    install(p, OPERATION_INSTALL, "all.pem", false, 0, NULL);
    o = make(p, OPERATION_EXPORT, "mx", NULL, "tell no one");
    run(o, 0, NULL);
    save(p, o->result_fd, "out.p12");
    shell(p, "openssl pkcs12 -in out.p12 -passin 'pass:tell no one' -nokeys | grep -v '^Bag\\|^ \\|^subject\\|^issuer\\|^$' "
             "| diff - all.pem");
    shell(p, "openssl pkcs12 -in out.p12 -passin 'pass:tell no one' -nocerts -nodes -out out.key;"
             "openssl pkey -in store/mx.pem -pubout >a; openssl pkey -in out.key -pubout | diff - a");
    shell(p, "! openssl pkcs12 -in out.p12 -passin pass:wrong -nodes");
    empty = make(p, OPERATION_EXPORT, "mx", NULL, "");
    run(empty, -EINVAL, "without a passphrase");
    forbid = make(p, OPERATION_FORBID_EXPORT, "mx", NULL, NULL);
    run(forbid, 0, NULL);
    forbidden = make(p, OPERATION_EXPORT, "mx", NULL, "tell no one");
    run(forbidden, -EACCES, "forbidden");
    assert_true(forbidden->result_fd < 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_install),
        TEST(test_intermediates_later),
        TEST(test_chain_ends_at_enabled),
        TEST(test_install_refused),
        TEST(test_import),
        TEST(test_import_refused),
        TEST(test_export),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
