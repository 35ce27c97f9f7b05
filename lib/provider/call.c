/* SPDX-License-Identifier: Apache-2.0 */

/* Writes and reads the few D-Bus messages that signatures are asked for with. Why not sd-bus: the module is loaded into other
 * people's servers. libsystemd would bring its own dependencies into each of them, some with constructors, for a call of one
 * method; and it ties a connection to one thread and one process. In the suite's workers it is a matter of cost. The reader
 * believes nothing: every length is checked against what is there. */

#include "call.h"

#include "cleanup.h"
#include "provider/remote-key.h"

#define ENDIAN_MARK (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B')

enum {
    MESSAGE_CALL = 1,
    MESSAGE_RETURN = 2,
    MESSAGE_ERROR = 3,
    MESSAGE_SIGNAL = 4,
};

enum {
    FIELD_PATH = 1,
    FIELD_INTERFACE = 2,
    FIELD_MEMBER = 3,
    FIELD_ERROR_NAME = 4,
    FIELD_REPLY_SERIAL = 5,
    FIELD_SIGNATURE = 8,
};

/* ---- writing ---- */

/* More than all but the message takes. */
#define CALL_OVERHEAD 1024

typedef struct Writer {
    uint8_t *data;
    size_t n;
} Writer;

static void put_padding(Writer *w, size_t alignment)
{
    while (w->n % alignment != 0)
        w->data[w->n++] = 0;
}

static void put_byte(Writer *w, uint8_t value)
{
    w->data[w->n++] = value;
}

static void put_uint16(Writer *w, uint16_t value)
{
    put_padding(w, sizeof(value));
    memcpy(w->data + w->n, &value, sizeof(value));
    w->n += sizeof(value);
}

static void put_uint32(Writer *w, uint32_t value)
{
    put_padding(w, sizeof(value));
    memcpy(w->data + w->n, &value, sizeof(value));
    w->n += sizeof(value);
}

static void put_bytes(Writer *w, const void *data, size_t size)
{
    put_uint32(w, (uint32_t) size);
    memcpy(w->data + w->n, data, size);
    w->n += size;
}

static void put_string(Writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
    put_byte(w, 0);
}

static void put_signature(Writer *w, const char *text)
{
    size_t n = strlen(text);

    put_byte(w, (uint8_t) n);
    memcpy(w->data + w->n, text, n + 1);
    w->n += n + 1;
}

static void put_field(Writer *w, uint8_t code, const char *type, const char *value)
{
    put_padding(w, 8);
    put_byte(w, code);
    put_signature(w, type);
    if (*type == 'g')
        put_signature(w, value);
    else
        put_string(w, value);
}

bool call_sign_fits(const char *name, size_t message_size)
{
    return message_size <= REMOTE_KEY_MESSAGE_MAX && strlen(name) <= CALL_OVERHEAD / 4;
}

int call_sign(uint32_t serial, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message,
        size_t message_size, uint8_t **ret, size_t *ret_size)
{
    size_t fields, body;
    uint32_t size;
    Writer w = {};

    if (!call_sign_fits(name, message_size))
        return -EMSGSIZE;
    w.data = malloc(CALL_OVERHEAD + message_size);
    if (!w.data)
        return -ENOMEM;
    put_byte(&w, ENDIAN_MARK);
    put_byte(&w, MESSAGE_CALL);
    put_byte(&w, 0); /* no flags */
    put_byte(&w, 1); /* of the protocol */
    put_uint32(&w, 0); /* size of the body, see below */
    put_uint32(&w, serial);
    put_uint32(&w, 0); /* size of the fields, see below */
    fields = w.n;
    put_field(&w, FIELD_PATH, "o", "/org/postern/Cert1");
    put_field(&w, FIELD_INTERFACE, "s", "org.postern.Cert1.Peer");
    put_field(&w, FIELD_MEMBER, "s", "Sign");
    put_field(&w, FIELD_SIGNATURE, "g", "sayqay");
    size = (uint32_t) (w.n - fields);
    memcpy(w.data + 12, &size, sizeof(size));
    put_padding(&w, 8);
    body = w.n;
    put_string(&w, name);
    put_bytes(&w, spki_sha256, 32);
    put_uint16(&w, scheme);
    put_bytes(&w, message, message_size);
    size = (uint32_t) (w.n - body);
    memcpy(w.data + 4, &size, sizeof(size));
    *ret = w.data;
    *ret_size = w.n;
    return 0;
}

/* ---- reading ---- */

#define GREETING_LINE_MAX 256

static bool begins(const uint8_t *line, size_t size, const char *text)
{
    return size >= strlen(text) && memcmp(line, text, strlen(text)) == 0;
}

ssize_t call_greeting_end(const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (;;) {
        const uint8_t *line = data + at, *end = memmem(line, size - at, "\r\n", 2);
        size_t n = end ? (size_t) (end - line) : size - at;

        if (n >= GREETING_LINE_MAX)
            return -EBADMSG;
        if (!end)
            return 0;
        at += n + 2;
        if (begins(line, n, "OK "))
            return (ssize_t) at;
        if (!begins(line, n, "DATA"))
            return -EKEYREJECTED;
    }
}

static size_t align(size_t n, size_t alignment)
{
    return (n + alignment - 1) / alignment * alignment;
}

static uint32_t uint32_at(const uint8_t *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof(value));
    return value;
}

ssize_t call_frame_size(const uint8_t header[CALL_HEADER_SIZE])
{
    uint32_t body = uint32_at(header + 4), fields = uint32_at(header + 12);

    if (header[0] != ENDIAN_MARK || header[3] != 1)
        return -EBADMSG;
    if (body > CALL_REPLY_MAX || fields > CALL_REPLY_MAX)
        return -EMSGSIZE;
    if (CALL_HEADER_SIZE + align(fields, 8) + body > CALL_REPLY_MAX)
        return -EMSGSIZE;
    return (ssize_t) (CALL_HEADER_SIZE + align(fields, 8) + body);
}

/* What is left; each get_…() says whether what it wants is there. Alignment is that of the message, which starts at data. */
typedef struct Reader {
    const uint8_t *data;
    size_t n, end;
} Reader;

static bool get_padding(Reader *r, size_t alignment)
{
    r->n = align(r->n, alignment);
    return r->n <= r->end;
}

static bool get_byte(Reader *r, uint8_t *ret)
{
    if (r->n >= r->end)
        return false;
    *ret = r->data[r->n++];
    return true;
}

static bool get_uint32(Reader *r, uint32_t *ret)
{
    if (!get_padding(r, sizeof(*ret)) || r->end - r->n < sizeof(*ret))
        return false;
    *ret = uint32_at(r->data + r->n);
    r->n += sizeof(*ret);
    return true;
}

static bool get_bytes(Reader *r, const uint8_t **ret, size_t *ret_size)
{
    uint32_t size;

    if (!get_uint32(r, &size) || r->end - r->n < size)
        return false;
    *ret = r->data + r->n;
    *ret_size = size;
    r->n += size;
    return true;
}

/* A text of size bytes and the NUL that is behind it. */
static bool get_text(Reader *r, size_t size, const char **ret)
{
    const char *text = (const char *) r->data + r->n;

    if (r->end - r->n <= size || text[size] != '\0' || memchr(text, 0, size))
        return false;
    r->n += size + 1;
    *ret = text;
    return true;
}

static bool get_string(Reader *r, const char **ret)
{
    uint32_t size;

    return get_uint32(r, &size) && get_text(r, size, ret);
}

static bool get_signature(Reader *r, const char **ret)
{
    uint8_t size;

    return get_byte(r, &size) && get_text(r, size, ret);
}

/* All fields that there are have one of these types. */
static bool get_value(Reader *r, const char *type, uint32_t *ret_number, const char **ret_text)
{
    if (streq(type, "u"))
        return get_uint32(r, ret_number);
    if (streq(type, "s") || streq(type, "o"))
        return get_string(r, ret_text);
    return streq(type, "g") && get_signature(r, ret_text);
}

static bool get_fields(Reader *r, CallReply *reply, const char **ret_signature)
{
    while (r->n < r->end) {
        const char *type, *text = NULL;
        uint32_t number = 0;
        uint8_t code;

        if (!get_padding(r, 8) || !get_byte(r, &code) || !get_signature(r, &type) || !get_value(r, type, &number, &text))
            return false;
        if (code == FIELD_REPLY_SERIAL)
            reply->serial = number;
        else if (code == FIELD_ERROR_NAME)
            reply->error_name = text;
        else if (code == FIELD_SIGNATURE && text)
            *ret_signature = text;
    }
    return true;
}

int call_reply_parse(const uint8_t *frame, size_t size, CallReply *ret)
{
    CallReply reply = {.error_text = ""};
    const char *signature = "";
    Reader r = {.data = frame, .n = CALL_HEADER_SIZE};

    if (size < CALL_HEADER_SIZE || call_frame_size(frame) != (ssize_t) size)
        return -EBADMSG;
    r.end = CALL_HEADER_SIZE + uint32_at(frame + 12);
    if (!get_fields(&r, &reply, &signature))
        return -EBADMSG;
    r.n = align(r.end, 8);
    r.end = size;
    switch (frame[1]) {
    case MESSAGE_RETURN:
        reply.error_name = NULL;
        if (!streq(signature, "ay") || !get_bytes(&r, &reply.signature, &reply.signature_size))
            return -EBADMSG;
        break;
    case MESSAGE_ERROR:
        if (!reply.error_name || (*signature == 's' && !get_string(&r, &reply.error_text)))
            return -EBADMSG;
        break;
    default:
        reply = (CallReply) {.error_text = ""};
        *ret = reply;
        return 0;
    }
    if (reply.serial == 0)
        return -EBADMSG;
    *ret = reply;
    return 0;
}
