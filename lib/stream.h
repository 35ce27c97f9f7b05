/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection on the event loop: bytes in, bytes out, TLS when started. Used by both SMTP sides. It never blocks and never grows
 * without a limit: input is read into one fixed buffer (reading stops while it is full or paused), output is refused beyond
 * STREAM_OUTPUT_MAX.
 *
 * TLS handshakes whose private key is in certd pause (SSL_ERROR_WANT_ASYNC) and go on when the signature is there;
 * lib/provider/remote-key.h. Memory of an idle connection matters (10,000 of them): buffers are allocated when there is something
 * to hold, SSL_MODE_RELEASE_BUFFERS is set. */

#include <openssl/ssl.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

#define STREAM_INPUT_MAX 16384
#define STREAM_OUTPUT_MAX (256 * 1024)

typedef struct Stream Stream;

typedef enum StreamEvent {
    STREAM_READABLE,  /* new input is in the buffer: take it with stream_peek()/stream_consume() */
    STREAM_DRAINED,   /* all output is written */
    STREAM_CONNECTED, /* a connecting socket is connected (only after stream_new_connecting) */
    STREAM_SECURED,   /* the TLS handshake is done */
    STREAM_CLOSED,    /* the peer closed (error 0, or -ECONNRESET …), the TLS handshake failed (-EPROTO: stream_tls_error()), or the
                       * timeout passed (-ETIMEDOUT). Input that was read before is still in the buffer; a last word may be written before stream_finish()
                       * after 0 and -ETIMEDOUT. Nothing follows. */
} StreamEvent;

/* The handler may free the stream; it is not touched afterwards. */
typedef void (*StreamHandler)(Stream *s, StreamEvent event, int error, void *userdata);

/* fd: a connected non-blocking socket, the stream's own on success only. */
int stream_new(Stream **ret, sd_event *event, int fd, StreamHandler handler, void *userdata);
/* fd: a non-blocking socket whose connect() is in progress. */
int stream_new_connecting(Stream **ret, sd_event *event, int fd, StreamHandler handler, void *userdata);
Stream *stream_free(Stream *s); /* safe in mid-handshake: a paused signing job is cancelled and run to its end first */
DEFINE_CLEANUP(Stream, stream_free);

/* Unread input; valid until the next call on s. */
size_t stream_peek(Stream *s, const char **ret);
void stream_consume(Stream *s, size_t n);
/* Finds "\n" in the unread input. Returns length up to and with it, 0 if there is none, -EMSGSIZE when max bytes hold none. */
ssize_t stream_find_line(Stream *s, size_t max);
/* While paused nothing is read, so the peer is held by TCP; STREAM_READABLE comes again after resuming if input is there. */
void stream_pause(Stream *s, bool paused);

/* Queues output and writes what the socket takes at the end of this loop iteration. -ENOBUFS beyond STREAM_OUTPUT_MAX. */
int stream_write(Stream *s, const void *data, size_t n);
int stream_printf(Stream *s, const char *format, ...) _printf_(2, 3);
size_t stream_output_pending(const Stream *s);

/* Starts TLS on what comes next. Refuses with -EPROTO if unread input is there (RFC 3207 section 4.2: command injection; the
 * caller ends the session). ssl is taken over on success; accept: as server. Output queued before goes out in the clear first. */
int stream_start_tls(Stream *s, SSL *ssl, bool accept);
SSL *stream_ssl(const Stream *s); /* NULL in the clear */
/* Why the handshake failed, in the words of OpenSSL or of the alert received, for logs. "" if it did not. */
const char *stream_tls_error(const Stream *s);

/* One deadline; STREAM_CLOSED with -ETIMEDOUT when it passes. Set anew at each protocol step. 0: none. */
void stream_set_timeout(Stream *s, uint64_t usec);

/* Writes out what is queued, sends close_notify, then closes; the stream frees itself. Handler is not called any more; 10 s at
 * most. */
void stream_finish(Stream *s);
