/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The module's way to certd: connections to the programs' socket, and the call that waits for its answer. For programs of any
 * shape: threads, processes that fork before or after the first signature, descriptors that are closed behind our back.
 *
 * A connection is made when there is something to sign, never before, and belongs to the process that made it. Up to
 * LINK_IDLE_MAX are kept: as many as the program has threads that sign at the same time. */

#include <stdint.h>

#include "cleanup.h"

#define LINK_SOCKET "/run/postern/keys"
#define LINK_IDLE_MAX 8
/* A signature, with the connection and its repetition when certd was restarted, takes no longer. */
#define LINK_DEADLINE_USEC (5 * USEC_PER_SEC)
#define LINK_REASON_MAX 256

typedef struct Link Link;

/* Does not connect. -ENAMETOOLONG if path is too long for a socket. */
int link_new(Link **ret, const char *path);
Link *link_free(Link *l);
DEFINE_CLEANUP(Link, link_free);

typedef struct LinkRequest {
    const char *name;
    const uint8_t *spki_sha256; /* 32 bytes */
    uint16_t scheme;
    const uint8_t *message;
    size_t message_size;
} LinkRequest;

/* Has certd sign; *ret_size is at most size. On failure reason is set: a text for the program's log. -EKEYREJECTED: certd
 * refused; -ETIMEDOUT: it did not answer; else it could not be reached or made no sense. From any thread. */
int link_sign(Link *l, const LinkRequest *request, uint8_t *signature, size_t size, size_t *ret_size,
        char reterr_reason[static LINK_REASON_MAX]);
