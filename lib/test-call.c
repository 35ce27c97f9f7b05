/* SPDX-License-Identifier: Apache-2.0 */

/* The module's own D-Bus messages: what is written is what the specification says, answers are read, all else is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cleanup.h"
#include "provider/call.h"
#include "provider/remote-key.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MARK "l"
#define U32(n) n "\0\0\0"
#else
#define MARK "B"
#define U32(n) "\0\0\0" n
#endif

/* Header fields, each with its padding. */
#define SERIAL_1 "\5\1u\0" U32("\1")
#define SIGNATURE_AY "\10\1g\0\2ay\0"
#define SIGNATURE_S "\10\1g\0\1s\0\0"
#define SIGNATURE_S_LAST "\10\1g\0\1s\0"
#define ERROR_NAME "\4\1s\0" U32("\3") "a.b\0\0\0\0\0"

typedef struct Case {
    const char *what;
    const char *frame;
    size_t size;
    int result;
    uint32_t serial;
    const char *error_name, *error_text, *signature;
} Case;

#define FRAME(text) text, sizeof(text) - 1

static const Case cases[] = {
    {"a signature", FRAME(MARK "\2\1\1" U32("\7") U32("\x9") U32("\20") SERIAL_1 SIGNATURE_AY U32("\3") "abc"), 0, 1, NULL, "", "abc"},
    {"a refusal", FRAME(MARK "\3\1\1" U32("\7") U32("\x9") U32("\37") ERROR_NAME SERIAL_1 SIGNATURE_S_LAST "\0" U32("\2") "no\0"), 0, 1,
            "a.b", "no", NULL},
    {"a refusal without a text", FRAME(MARK "\3\1\1" U32("\0") U32("\x9") U32("\30") ERROR_NAME SERIAL_1), 0, 1, "a.b", "", NULL},
    {"a signal", FRAME(MARK "\4\1\1" U32("\0") U32("\x9") U32("\7") SIGNATURE_S), 0, 0, NULL, "", NULL},
    {"bytes that are not there", FRAME(MARK "\2\1\1" U32("\7") U32("\x9") U32("\20") SERIAL_1 SIGNATURE_AY U32("\4") "abc"), -EBADMSG},
    {"no bytes at all", FRAME(MARK "\2\1\1" U32("\0") U32("\x9") U32("\20") SERIAL_1 SIGNATURE_AY), -EBADMSG},
    {"another type", FRAME(MARK "\2\1\1" U32("\7") U32("\x9") U32("\17") SERIAL_1 SIGNATURE_S U32("\2") "ab\0"), -EBADMSG},
    {"an answer to nothing", FRAME(MARK "\2\1\1" U32("\7") U32("\x9") U32("\10") SIGNATURE_AY U32("\3") "abc"), -EBADMSG},
    {"an error without a name", FRAME(MARK "\3\1\1" U32("\0") U32("\x9") U32("\10") SERIAL_1), -EBADMSG},
    {"a text without an end", FRAME(MARK "\3\1\1" U32("\7") U32("\x9") U32("\37") ERROR_NAME SERIAL_1 SIGNATURE_S_LAST "\0" U32("\2") "nox"),
            -EBADMSG},
    {"NUL in a text", FRAME(MARK "\3\1\1" U32("\7") U32("\x9") U32("\37") ERROR_NAME SERIAL_1 SIGNATURE_S_LAST "\0" U32("\2") "n\0\0"),
            -EBADMSG},
    {"a field that is cut", FRAME(MARK "\2\1\1" U32("\0") U32("\x9") U32("\7") "\5\1u\0" "\1\0\0\0"), -EBADMSG},
    {"a field of a type that there is none of", FRAME(MARK "\2\1\1" U32("\0") U32("\x9") U32("\10") "\5\1t\0" U32("\1")), -EBADMSG},
    {"other byte order", FRAME("x\2\1\1" U32("\0") U32("\x9") U32("\10") SERIAL_1), -EBADMSG},
    {"other protocol", FRAME(MARK "\2\1\2" U32("\0") U32("\x9") U32("\10") SERIAL_1), -EBADMSG},
    {"more than it says", FRAME(MARK "\2\1\1" U32("\6") U32("\x9") U32("\20") SERIAL_1 SIGNATURE_AY U32("\3") "abc"), -EBADMSG},
    {"a header only", FRAME(MARK "\2\1\1" U32("\0") U32("\x9")), -EBADMSG},
};

static void test_replies(void **state)
{
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const Case *c = &cases[i];
        CallReply reply = {};

        print_message("%s\n", c->what);
        assert_int_equal(call_reply_parse((const uint8_t *) c->frame, c->size, &reply), c->result);
        if (c->result < 0)
            continue;
        assert_int_equal(reply.serial, c->serial);
        assert_string_equal(reply.error_text, c->error_text);
        assert_true(c->error_name ? reply.error_name && streq(reply.error_name, c->error_name) : !reply.error_name);
        assert_int_equal(reply.signature_size, c->signature ? strlen(c->signature) : 0);
        if (c->signature)
            assert_memory_equal(reply.signature, c->signature, reply.signature_size);
    }
}

static void test_sizes(void **state)
{
    static const uint8_t small[CALL_HEADER_SIZE] = MARK "\2\1\1" U32("\7") U32("\x9") "\21\0\0";
    uint8_t large[CALL_HEADER_SIZE] = MARK "\2\1\1" U32("\0") U32("\x9") U32("\0");
    uint32_t size;

    if (*MARK == 'l')
        assert_int_equal(call_frame_size(small), CALL_HEADER_SIZE + 24 + 7);
    size = CALL_REPLY_MAX - CALL_HEADER_SIZE;
    memcpy(large + 4, &size, sizeof(size));
    assert_int_equal(call_frame_size(large), CALL_REPLY_MAX);
    for (size = CALL_REPLY_MAX - CALL_HEADER_SIZE + 1; size > 1; size = size < UINT32_MAX / 2 ? size * 2 : 0) {
        memcpy(large + 4, &size, sizeof(size));
        assert_int_equal(call_frame_size(large), -EMSGSIZE);
    }
    size = UINT32_MAX;
    memcpy(large + 12, &size, sizeof(size));
    assert_int_equal(call_frame_size(large), -EMSGSIZE);
}

static void test_call(void **state)
{
    uint8_t hash[32] = {0xaa}, *frame, *large = calloc(1, REMOTE_KEY_MESSAGE_MAX + 1);
    size_t size;

    assert_int_equal(call_sign(7, "mx", hash, 0x0403, (const uint8_t *) "message", 7, &frame, &size), 0);
    assert_int_equal(frame[0], *MARK);
    assert_int_equal(frame[1], 1);
    assert_non_null(memmem(frame, size, "org.postern.Cert1.Peer", 23));
    assert_non_null(memmem(frame, size, "sayqay", 7));
    assert_memory_equal(frame + size - 7, "message", 7);
    assert_int_equal(call_frame_size(frame), size);
    free(frame);

    assert_int_equal(call_sign(1, "mx", hash, 0x0403, large, REMOTE_KEY_MESSAGE_MAX + 1, &frame, &size), -EMSGSIZE);
    assert_int_equal(call_sign(1, "mx", hash, 0x0403, large, REMOTE_KEY_MESSAGE_MAX, &frame, &size), 0);
    free(frame);
    free(large);
}

static void test_greetings(void **state)
{
    static const struct {
        const char *text;
        ssize_t end;
    } greetings[] = {
        {"DATA\r\nOK 0123\r\nl\2", 15},
        {"OK 0123\r\n", 9},
        {"DATA\r\nDATA \r\nOK 0123\r\n", 22},
        {"", 0},
        {"DATA\r\nOK 0123\r", 0},
        {"REJECTED EXTERNAL\r\n", -EKEYREJECTED},
        {"DATA\r\nERROR\r\n", -EKEYREJECTED},
        {"\r\n", -EKEYREJECTED},
    };
    uint8_t line[300] = "OK ";

    for (size_t i = 0; i < ELEMENTSOF(greetings); i++)
        assert_int_equal(call_greeting_end((const uint8_t *) greetings[i].text, strlen(greetings[i].text)), greetings[i].end);
    assert_int_equal(call_greeting_end(line, 255), 0);
    assert_int_equal(call_greeting_end(line, 256), -EBADMSG);
    memcpy(line + 298, "\r\n", 2);
    assert_int_equal(call_greeting_end(line, sizeof(line)), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greetings),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
