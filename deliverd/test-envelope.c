/* SPDX-License-Identifier: Apache-2.0 */

/* Envelopes and states survive being written and read, and nothing damaged is taken for whole. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "crc32c.h"
#include "envelope.h"

#define MESSAGE "Subject: x\r\n\r\nbody\r\n"

static Envelope *example(void)
{
    Envelope *e = calloc(1, sizeof(*e));

    assert_non_null(e);
    e->arrival_usec = UINT64_C(1764000000123456);
    e->body_8bit = true;
    e->sender = strdup("alice@example.org");
    e->peer = strdup("192.0.2.1:4711");
    e->helo = strdup("client.example");
    e->protocol = strdup("ESMTPS");
    assert_int_equal(envelope_add_recipient(e, "bob@example.com"), 0);
    assert_int_equal(envelope_add_recipient(e, "\"c d\"@example.com"), 0);
    return e;
}

static int read_back(const char *text, size_t size, Envelope **ret)
{
    const uint64_t file_size = strlen(MESSAGE) + size;
    EnvelopeFooter footer;
    int r;

    if (size < ENVELOPE_FOOTER_SIZE)
        return -EBADMSG;
    r = envelope_parse_footer(text + size - ENVELOPE_FOOTER_SIZE, file_size, &footer);
    if (r < 0)
        return r;
    if (footer.size + ENVELOPE_FOOTER_SIZE != size)
        return -EBADMSG;
    return envelope_parse(text, &footer, ret);
}

static void test_crc(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); /* the check value of the algorithm's catalogues */
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_round_trip(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example(), *f = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size;

    assert_int_equal(envelope_format(e, strlen(MESSAGE), &text, &size), 0);
    assert_int_equal(read_back(text, size, &f), 0);
    assert_int_equal(f->arrival_usec, e->arrival_usec);
    assert_true(f->body_8bit);
    assert_false(f->smtputf8);
    assert_int_equal(f->tls, MESSAGE_TLS_DEFAULT);
    /* So a version that knows nothing of it reads what it can deal with, and this one what that one wrote. */
    assert_null(strstr(text, "\ntls "));
    assert_string_equal(f->sender, "alice@example.org");
    assert_string_equal(f->peer, "192.0.2.1:4711");
    assert_null(f->session);
    assert_int_equal(f->n_recipients, 2);
    assert_string_equal(f->recipients[1], "\"c d\"@example.com");
}

static void test_tls(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example();

    for (MessageTls tls = MESSAGE_TLS_DEFAULT; tls <= MESSAGE_TLS_OPTIONAL; tls++) {
        _cleanup_(envelope_freep) Envelope *f = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;

        e->tls = tls;
        assert_int_equal(envelope_format(e, strlen(MESSAGE), &text, &size), 0);
        assert_int_equal(read_back(text, size, &f), 0);
        assert_int_equal(f->tls, tls);
    }
}

/* What is not understood must not be delivered as if nothing had been asked for. */
static void test_unknown_tls(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example(), *f = NULL;
    _cleanup_free_ char *text = NULL;
    EnvelopeFooter footer = {};
    char forged[512], summed[64];
    size_t size;

    e->tls = MESSAGE_TLS_REQUIRED;
    assert_int_equal(envelope_format(e, 0, &text, &size), 0);
    assert_int_equal(envelope_parse_footer(text + size - ENVELOPE_FOOTER_SIZE, size, &footer), 0);
    (void) snprintf(forged, sizeof(forged), "%.*s", (int) footer.size, text);
    memcpy(strstr(forged, "\ntls required"), "\ntls perhaps!", 13);
    (void) snprintf(summed, sizeof(summed), "%.*s", 48, text + footer.size);
    footer.checksum = crc32c(crc32c(0, forged, footer.size), summed, 48);
    assert_int_equal(envelope_parse(forged, &footer, &f), -EBADMSG);
    memcpy(strstr(forged, "\ntls perhaps!"), "\ntls optional", 13);
    footer.checksum = crc32c(crc32c(0, forged, footer.size), summed, 48);
    assert_int_equal(envelope_parse(forged, &footer, &f), 0);
    assert_int_equal(f->tls, MESSAGE_TLS_OPTIONAL);
}

static void test_null_sender(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example(), *f = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size;

    free(e->sender);
    e->sender = strdup("");
    assert_int_equal(envelope_format(e, strlen(MESSAGE), &text, &size), 0);
    assert_int_equal(read_back(text, size, &f), 0);
    assert_string_equal(f->sender, "");
}

static void test_refused(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example();
    _cleanup_free_ char *text = NULL;
    size_t size;

    free(e->helo);
    e->helo = strdup("x\nrecipient evil@example.com");
    assert_int_equal(envelope_format(e, 0, &text, &size), -EINVAL);
    free(e->helo);
    e->helo = NULL;
    for (size_t i = e->n_recipients; i < ENVELOPE_RECIPIENTS_MAX; i++)
        assert_int_equal(envelope_add_recipient(e, "x@example.com"), 0);
    assert_int_equal(envelope_add_recipient(e, "x@example.com"), -E2BIG);
    assert_int_equal(envelope_format(e, 0, &text, &size), 0);
}

/* Every single changed byte, and every cut, is noticed. */
static void test_damage(void **state)
{
    _cleanup_(envelope_freep) Envelope *e = example(), *f = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size;

    assert_int_equal(envelope_format(e, strlen(MESSAGE), &text, &size), 0);
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 1;
        assert_int_equal(read_back(text, size, &f), -EBADMSG);
        text[i] ^= 1;
    }
    for (size_t n = 0; n < size; n++)
        assert_int_equal(read_back(text, n, &f), -EBADMSG);
    assert_null(f);
}

static void test_state(void **state)
{
    _cleanup_(envelope_state_freep) EnvelopeState *s = NULL, *t = NULL, *u = NULL;
    _cleanup_free_ char *text = NULL;
    size_t size;

    assert_int_equal(envelope_state_new(&s, 3), 0);
    s->recipients[0] = RECIPIENT_DELIVERED;
    s->recipients[2] = RECIPIENT_FAILED;
    assert_int_equal(envelope_state_set(s, "example.com", 1, 5, "first"), 0);
    assert_int_equal(envelope_state_set(s, "example.org", 2, 7, ""), 0);
    assert_int_equal(envelope_state_set(s, "example.com", 3, 1764000000123456, "TLSA lookup\nbogus"), 0);
    assert_int_equal(envelope_state_format(s, &text, &size), 0);
    assert_int_equal(envelope_state_parse(text, size, 3, &t), 0);
    assert_int_equal(t->recipients[0], RECIPIENT_DELIVERED);
    assert_int_equal(t->recipients[1], RECIPIENT_PENDING);
    assert_int_equal(t->recipients[2], RECIPIENT_FAILED);
    assert_int_equal(t->n_destinations, 2);
    assert_int_equal(envelope_state_get(t, "example.com")->attempts, 3);
    assert_int_equal(envelope_state_get(t, "example.com")->next_usec, 1764000000123456);
    assert_string_equal(envelope_state_get(t, "example.com")->reason, "TLSA lookup?bogus");
    assert_string_equal(envelope_state_get(t, "example.org")->reason, "");
    assert_null(envelope_state_get(t, "example.net"));
    assert_int_equal(envelope_state_parse(text, size, 2, &u), -EBADMSG);
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 4;
        assert_int_equal(envelope_state_parse(text, size, 3, &u), -EBADMSG);
        text[i] ^= 4;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_unknown_tls),
        cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
