/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a queue file says behind the message: the envelope as text lines, then one footer line of fixed length. And the state file
 * beside it. Pure: bytes in, structures out.
 *
 *     Postern-Envelope: 1
 *     arrival 1764000000000000
 *     body 8BITMIME
 *     smtputf8 yes
 *     tls required
 *     peer [192.0.2.1]:4711
 *     helo client.example
 *     session 0123abcd
 *     protocol ESMTPS
 *     sender alice@example.org
 *     recipient bob@example.com
 *     Postern-Footer: 1 00000000000000001234 00000345 1a2b3c4d
 *
 * The footer: offset of the envelope (= size of the message), its size, CRC-32C of the envelope and of the footer up to the
 * checksum. A message may well end in such lines; what makes a file committed is its mode, which only deliverd can change. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "message-tls.h"

#define ENVELOPE_RECIPIENTS_MAX 1000
#define ENVELOPE_FOOTER_SIZE 57
/* Envelope text never grows beyond this: recipients and lines are limited. */
#define ENVELOPE_TEXT_MAX (1024 * 1024)
/* Longest peer, helo, session and protocol that is kept. */
#define ENVELOPE_VALUE_MAX 512

typedef struct Envelope {
    uint64_t arrival_usec; /* CLOCK_REALTIME */
    char *sender;          /* "" is the null reverse-path */
    char **recipients;     /* n_recipients ≥ 1, in the order of RCPT */
    size_t n_recipients;
    bool body_8bit;
    bool smtputf8;
    MessageTls tls;
    char *peer, *helo, *session, *protocol; /* for logs; NULL when not known */
} Envelope;

Envelope *envelope_free(Envelope *e);
DEFINE_CLEANUP(Envelope, envelope_free);

/* Copies a recipient. -E2BIG beyond ENVELOPE_RECIPIENTS_MAX. */
int envelope_add_recipient(Envelope *e, const char *address);

/* Envelope and footer for a message of message_size bytes. -EINVAL if a value holds a control character. */
int envelope_format(const Envelope *e, uint64_t message_size, char **ret, size_t *ret_size);

/* Reads the footer of a file of file_size bytes: its last ENVELOPE_FOOTER_SIZE bytes. -EBADMSG. */
typedef struct EnvelopeFooter {
    uint64_t offset; /* of the envelope: the message is [0, offset) */
    uint32_t size;   /* of the envelope, without the footer */
    uint32_t checksum;
} EnvelopeFooter;
int envelope_parse_footer(const char *footer, uint64_t file_size, EnvelopeFooter *ret);
/* text: the f->size bytes before the footer. -EBADMSG if it was damaged. */
int envelope_parse(const char *text, const EnvelopeFooter *f, Envelope **ret);

/* ID.state: what became of each recipient so far, and when each destination is tried again.
 *
 *     Postern-State: 1
 *     recipient 0 delivered
 *     recipient 3 failed
 *     destination example.com 4 1764000600000000 TLSA lookup bogus
 *     end 1a2b3c4d
 */
typedef enum RecipientStatus {
    RECIPIENT_PENDING,
    RECIPIENT_DELIVERED,
    RECIPIENT_FAILED, /* bounced, or dropped where nobody could be told */
} RecipientStatus;
const char *recipient_status_to_string(RecipientStatus s);

typedef struct DestinationState {
    char *domain;
    unsigned attempts;
    uint64_t next_usec; /* CLOCK_REALTIME */
    char *reason;       /* of the last deferral, for people */
} DestinationState;

typedef struct EnvelopeState {
    RecipientStatus *recipients;
    size_t n_recipients;
    DestinationState *destinations;
    size_t n_destinations; /* ≤ n_recipients */
} EnvelopeState;

EnvelopeState *envelope_state_free(EnvelopeState *s);
DEFINE_CLEANUP(EnvelopeState, envelope_state_free);
int envelope_state_new(EnvelopeState **ret, size_t n_recipients);
/* Sets or replaces a destination's line. Copies. reason: control characters are replaced, cut at ENVELOPE_VALUE_MAX. */
int envelope_state_set(EnvelopeState *s, const char *domain, unsigned attempts, uint64_t next_usec, const char *reason);
const DestinationState *envelope_state_get(const EnvelopeState *s, const char *domain);

int envelope_state_format(const EnvelopeState *s, char **ret, size_t *ret_size);
/* -EBADMSG for a damaged text or one that is not about n_recipients. */
int envelope_state_parse(const char *text, size_t size, size_t n_recipients, EnvelopeState **ret);
