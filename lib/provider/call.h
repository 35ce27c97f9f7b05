/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One D-Bus call, Sign() of certd, and its answer, as bytes (D-Bus specification, "Authentication Protocol" and "Message
 * Protocol"): pure, no I/O. Messages are in the byte order of this machine, since certd is on it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What begins a connection to certd. A peer that is known by the uid of its socket says no more than this, all at once. */
#define CALL_GREETING "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
#define CALL_GREETING_SIZE ((ssize_t) sizeof(CALL_GREETING) - 1)

/* Looks for certd's agreement in what it has said so far: messages begin so many bytes after data. 0: it is not there yet;
 * -EKEYREJECTED: certd does not agree; -EBADMSG. */
ssize_t call_greeting_end(const uint8_t *data, size_t size);

/* Fixed part of every message. */
#define CALL_HEADER_SIZE 16
/* Of a message from certd; the longest is a signature of REMOTE_KEY_SIGNATURE_MAX. */
#define CALL_REPLY_MAX (16 * 1024)

/* Sign(name, spki_sha256, scheme, message); *ret is malloc'ed. Returns 0, -EMSGSIZE if it does not fit, -ENOMEM. */
bool call_sign_fits(const char *name, size_t message_size);
int call_sign(uint32_t serial, const char *name, const uint8_t spki_sha256[32], uint16_t scheme, const uint8_t *message,
        size_t message_size, uint8_t **ret, size_t *ret_size);

/* The size of the whole message that begins so: up to CALL_REPLY_MAX. -EBADMSG, -EMSGSIZE. */
ssize_t call_frame_size(const uint8_t header[CALL_HEADER_SIZE]);

typedef struct CallReply {
    uint32_t serial;        /* of the call; 0: no answer but something else, like a signal */
    const char *error_name; /* NULL: it is a signature */
    const char *error_text; /* "" if there is none */
    const uint8_t *signature;
    size_t signature_size;
} CallReply;

/* Parses a whole message; the results point into it. -EBADMSG. */
int call_reply_parse(const uint8_t *frame, size_t size, CallReply *ret);
