/* SPDX-License-Identifier: Apache-2.0 */

/* Trust anchors that follow their zone: what is read of libunbound's files, what is kept, and what is not believed. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "anchors.h"

#define SEED "lab. IN DS 1808 13 2 a9df05d88f2703b816fe28a8fe82b11b483f04e5e3307ad3598ab69cc1894316"
#define OTHER_SEED "lab. IN DS 1809 13 2 a9df05d88f2703b816fe28a8fe82b11b483f04e5e3307ad3598ab69cc1894316"
#define KEY(tag, state) \
    "lab.\t3600\tIN\tDNSKEY\t257 3 13 key" #tag "== ;{id = " #tag " (ksk), size = 256b} ;;state=" #state \
    " [  VALID  ] ;;count=0 ;;lastchange=1795534228 ;;Tue Nov 24 15:30:28 2026\n"
#define HEAD \
    "; autotrust trust anchor file\n;;id: lab. 1\n;;last_queried: 1795534228 ;;Tue\n;;last_success: 1795534228 ;;Tue\n" \
    ";;next_probe_time: 1795537700 ;;Tue\n;;query_failed: 0\n;;query_interval: 3600\n;;retry_time: 3600\n"

static void test_file(void **state)
{
    _cleanup_(anchor_file_freep) AnchorFile *f = NULL;

    assert_int_equal(anchor_file_parse(HEAD KEY(9, 1) KEY(8, 3) KEY(7, 2) KEY(99, 4), "lab", &f), 0);
    assert_int_equal(f->n_keys, 4);
    assert_int_equal(f->success_usec, UINT64_C(1795534228) * USEC_PER_SEC);
    assert_int_equal(f->keys[0].tag, 7);
    assert_int_equal(f->keys[0].since_usec, UINT64_C(1795534228) * USEC_PER_SEC);
    assert_string_equal(f->keys[0].record, "lab.\t3600\tIN\tDNSKEY\t257 3 13 key7== ");
    assert_true(anchor_key_trusted(&f->keys[0]));
    assert_int_equal(f->keys[1].tag, 8);
    assert_true(anchor_key_trusted(&f->keys[1]));
    assert_int_equal(f->keys[2].tag, 99);
    assert_false(anchor_key_trusted(&f->keys[2]));
    assert_int_equal(f->keys[3].tag, 9);
    assert_false(anchor_key_trusted(&f->keys[3]));
    assert_string_equal(anchor_state_to_string(f->keys[3].state), "pending");
}

static void test_file_refused(void **state)
{
    static const char *const texts[] = {
        "",
        HEAD,
        HEAD KEY(9, 1),                                    /* nothing to trust */
        "; autotrust trust anchor file\n;;REVOKED\n" KEY(9, 4), /* would count as unsigned */
        HEAD KEY(7, 2) "garbage\n",
        HEAD KEY(7, 2) KEY(9, 5),
        HEAD KEY(7, 2) KEY(9, 0),
        HEAD KEY(7, 2) KEY(70000, 2),
        HEAD "lab. 3600 IN DNSKEY 257 3 13 key== ;;state=2 ;;lastchange=1\n", /* no tag */
        HEAD "example. 3600 IN DNSKEY 257 3 13 key== ;{id = 7 (ksk)} ;;state=2 ;;lastchange=1\n",
        HEAD "lab. 3600 IN DNSKEY 257 3 13 key== ;{id = 7 (ksk)} ;;state=2 ;;lastchange=x\n",
        ";;last_success: never\n" KEY(7, 2),
        HEAD KEY(1, 2) KEY(2, 2) KEY(3, 2) KEY(4, 2) KEY(5, 2) KEY(6, 2) KEY(7, 2) KEY(8, 2) KEY(9, 2) KEY(10, 2) KEY(11, 2) KEY(12, 2)
                KEY(13, 2) KEY(14, 2) KEY(15, 2) KEY(16, 2) KEY(17, 2),
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        AnchorFile *f = NULL;

        if (anchor_file_parse(texts[i], "lab", &f) != -EBADMSG)
            fail_msg("text %zu was taken", i);
        assert_null(f);
    }
}

static void test_tag(void **state)
{
    static const struct {
        const char *record;
        int result;
        unsigned tag;
    } cases[] = {
        {SEED, 0, 1808},
        /* The root's key of 2017. */
        {". 172800 IN DNSKEY 257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4"
         "+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+"
         "eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=", 0,
            20326},
        {"lab. IN DNSKEY 257 3 13 not-base64", -EBADMSG, 0},
        {"lab. IN DNSKEY 257 3", -EBADMSG, 0},
        {"lab. IN DS tag 13 2 ab", -EBADMSG, 0},
        {"lab. IN A 192.0.2.1", -EBADMSG, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        unsigned tag = 0;

        assert_int_equal(anchor_record_tag(cases[i].record, &tag), cases[i].result);
        assert_int_equal(tag, cases[i].tag);
    }
}

/* ---- directories ---- */
typedef struct Fixture {
    char state[40], work[40];
    char file[64], copy[64];
    DnsConfig config;
    char *seed[3];
    ConfReport *report;
    Anchors *anchors;
    unsigned n_changed;
} Fixture;

static int setup(void **state)
{
    static Fixture f;

    f = (Fixture) {.state = "/tmp/test-anchors-state-XXXXXX", .work = "/tmp/test-anchors-work-XXXXXX"};
    if (!mkdtemp(f.state) || !mkdtemp(f.work))
        return -1;
    (void) snprintf(f.file, sizeof(f.file), "%s/zone-lab.anchors", f.state);
    (void) snprintf(f.copy, sizeof(f.copy), "%s/zone-lab.anchors", f.work);
    f.seed[0] = (char *) SEED;
    f.config = (DnsConfig) {.file_anchors = f.seed, .trust_anchor_update = true, .trust_anchor_hold_down_usec = USEC_PER_SEC};
    *state = &f;
    return conf_report_new(&f.report);
}

static int teardown(void **state)
{
    Fixture *f = *state;

    anchors_free(f->anchors);
    conf_report_free(f->report);
    (void) chmod(f->state, 0700);
    (void) unlink(f->file);
    (void) unlink(f->copy);
    return rmdir(f->state) < 0 || rmdir(f->work) < 0 ? -errno : 0;
}

static void put(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void open_anchors(Fixture *f)
{
    f->anchors = anchors_free(f->anchors);
    assert_int_equal(anchors_new(&f->anchors, &f->config, f->state, f->work, f->report), 0);
}

static void on_changed(const char *zone, const AnchorFile *old, const AnchorFile *new, void *userdata)
{
    Fixture *f = userdata;

    assert_string_equal(zone, "lab");
    f->n_changed++;
}

/* A probe that leaves text (NULL: does not come to it). Returns whether trust changed. */
static bool probe(Fixture *f, const char *text, bool expect_damaged)
{
    const char *damaged = NULL;
    ResolverTrust trust;
    bool changed = false;

    assert_int_equal(anchors_begin(f->anchors, &trust), 0);
    assert_null(trust.anchors);
    assert_string_equal(trust.followed_files[0], f->copy);
    assert_null(trust.followed_files[1]);
    assert_string_equal(trust.followed_zones[0], "lab");
    if (text)
        put(f->copy, text);
    assert_int_equal(anchors_take(f->anchors, on_changed, f, &changed, &damaged), 0);
    assert_int_equal(damaged != NULL, expect_damaged);
    return changed;
}

static void assert_trusted(const Fixture *f, size_t n, const char *part)
{
    char *const *trusted = anchors_trusted(f->anchors);
    size_t found = 0;

    while (trusted[found])
        found++;
    assert_int_equal(found, n);
    assert_non_null(strstr(trusted[n - 1], part));
}

static void test_rollover(void **state)
{
    Fixture *f = *state;

    /* From the seed, */
    open_anchors(f);
    assert_trusted(f, 1, "IN DS 1808");
    assert_false(probe(f, NULL, false));
    assert_int_equal(f->n_changed, 0);
    /* to the key it names, */
    assert_true(probe(f, HEAD KEY(7, 2), false));
    assert_trusted(f, 1, "key7==");
    /* and one that is only told about, */
    assert_false(probe(f, HEAD KEY(7, 2) KEY(9, 1), false));
    assert_trusted(f, 1, "key7==");
    /* also after a restart, */
    open_anchors(f);
    assert_trusted(f, 1, "key7==");
    assert_int_equal(anchors_zone(f->anchors, 0)->file->n_keys, 2);
    /* until it is trusted, and the first one is not. */
    assert_true(probe(f, HEAD KEY(7, 2) KEY(9, 2), false));
    assert_trusted(f, 2, "key9==");
    /* In which order does not matter. */
    assert_false(probe(f, HEAD KEY(9, 2) KEY(7, 2), false));
    assert_true(probe(f, HEAD KEY(7, 4) KEY(9, 2), false));
    assert_trusted(f, 1, "key9==");
    assert_int_equal(f->n_changed, 4);
    open_anchors(f);
    assert_trusted(f, 1, "key9==");
    assert_int_equal(conf_report_size(f->report), 0);
}

static void test_bad_probe_is_not_taken(void **state)
{
    Fixture *f = *state;

    open_anchors(f);
    assert_true(probe(f, HEAD KEY(7, 2), false));
    assert_false(probe(f, "", true));
    assert_false(probe(f, HEAD KEY(7, 4), true));
    assert_false(probe(f, HEAD KEY(9, 2) "garbage", true));
    assert_trusted(f, 1, "key7==");
    open_anchors(f);
    assert_trusted(f, 1, "key7==");
}

static void test_damaged_state(void **state)
{
    static const char *const texts[] = {"", "garbage\n", HEAD, "; seed: " SEED "\n" HEAD KEY(9, 1)};
    Fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        put(f->file, texts[i]);
        open_anchors(f);
        assert_trusted(f, 1, "IN DS 1808");
        assert_int_equal(conf_report_size(f->report), i + 1);
        assert_non_null(strstr(conf_report_get(f->report, i, NULL), "TrustAnchorFile="));
    }
    /* It mends itself. */
    assert_true(probe(f, HEAD KEY(7, 2), false));
    open_anchors(f);
    assert_trusted(f, 1, "key7==");
}

static void test_new_seed_begins_anew(void **state)
{
    Fixture *f = *state;

    open_anchors(f);
    assert_true(probe(f, HEAD KEY(7, 2), false));
    f->seed[0] = (char *) OTHER_SEED;
    open_anchors(f);
    assert_trusted(f, 1, "IN DS 1809");
    f->seed[1] = (char *) SEED;
    open_anchors(f);
    assert_trusted(f, 2, "IN DS 1808");
    f->seed[0] = (char *) SEED;
    f->seed[1] = NULL;
    open_anchors(f);
    assert_trusted(f, 1, "key7==");
    assert_int_equal(conf_report_size(f->report), 0);
}

static void test_not_followed(void **state)
{
    Fixture *f = *state;
    ResolverTrust trust;

    put(f->file, "; seed: " SEED "\n" HEAD KEY(7, 2));
    f->config.trust_anchor_update = false;
    open_anchors(f);
    assert_false(anchors_followed(f->anchors));
    assert_trusted(f, 1, "IN DS 1808");
    assert_int_equal(anchors_begin(f->anchors, &trust), 0);
    assert_null(trust.followed_files);
    assert_non_null(trust.anchors[0]);
}

/* libunbound must not be given files that it could not write. */
static void test_no_room(void **state)
{
    Fixture *f = *state;
    ResolverTrust trust;

    open_anchors(f);
    (void) unlink(f->copy);
    assert_int_equal(rmdir(f->work), 0);
    assert_int_equal(anchors_begin(f->anchors, &trust), -ENOENT);
    assert_null(trust.followed_files);
    assert_non_null(trust.anchors[0]);
    assert_int_equal(mkdir(f->work, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refused),
        cmocka_unit_test(test_tag),
        cmocka_unit_test_setup_teardown(test_rollover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_probe_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_seed_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
