/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where a message goes while it arrives: a file in deliverd's queue that deliverd opened, which this process can write but not
 * name, and at its end the Commit that makes it deliverd's. A pool keeps a few such files ready, so that no session waits for
 * one.
 *
 * The promise to the client hangs here: done(0) of a commit means that the message is on stable storage under deliverd's
 * responsibility. Anything else means "not known to be": the client is told to try again, at worst the message exists twice. */

#include <stdint.h>
#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "peer-client.h"
#include "smtp-command.h"

typedef struct MessagePool MessagePool;
typedef struct MessageSink MessageSink;
typedef struct MessageRequest MessageRequest;

/* Keeps target messages ready. deliverd must outlive the pool. Sinks and requests must be gone before the pool is. */
int message_pool_new(MessagePool **ret, PeerClient *deliverd, unsigned target);
MessagePool *message_pool_free(MessagePool *p);
DEFINE_CLEANUP(MessagePool, message_pool_free);
void message_pool_set_target(MessagePool *p, unsigned target);

/* A message at once, if one is ready: 0; -EAGAIN if not. The sink is the caller's. */
int message_pool_take(MessagePool *p, MessageSink **ret);

/* Waits for a message. done gets a sink, now the client's, or NULL and a negative errno: -ENOSPC when deliverd takes no more,
 * else it is away; reason is for the log. Never called from inside message_pool_request(). The request dies with done. */
typedef void (*MessageRequestDone)(MessageSink *sink, int error, const char *reason, void *userdata);
int message_pool_request(MessagePool *p, MessageRequest **ret, MessageRequestDone done, void *userdata);
MessageRequest *message_request_cancel(MessageRequest *r);
DEFINE_CLEANUP(MessageRequest, message_request_cancel);

/* Throws the message away, unless it was offered for commit: then that may go on, but done is not called any more. */
MessageSink *message_sink_free(MessageSink *s);
DEFINE_CLEANUP(MessageSink, message_sink_free);

const char *message_sink_id(const MessageSink *s);
uint64_t message_sink_size(const MessageSink *s); /* bytes written so far */

/* Writes all of the pieces (into the page cache: does not wait for a disk). -ENOSPC, -EFBIG, -EDQUOT, …: the message is
 * incomplete and must not be committed. pieces is used up. */
int message_sink_write(MessageSink *s, struct iovec *pieces, size_t n);

typedef struct MessageEnvelope {
    const char *sender; /* "" for the null reverse-path */
    const char *const *recipients;
    size_t n_recipients;
    SmtpBody body;
    bool smtputf8;
    const char *tls; /* "required" (REQUIRETLS), "optional" (TLS-Required: No), NULL: the sender did not say */
    const char *peer, *helo, *session, *protocol; /* facts for logs and bounces */
} MessageEnvelope;

/* Closes the file, so that nothing of this process can write it any more, and asks deliverd to take it. The envelope must live
 * until done. error: 0, -ENOSPC (deliverd takes no more), or another negative errno; reason is for the log. */
typedef void (*MessageCommitDone)(int error, const char *reason, void *userdata);
int message_sink_commit(MessageSink *s, const MessageEnvelope *envelope, MessageCommitDone done, void *userdata);
