/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What keys are unlocked with, as credentials of systemd.exec(5), which decrypts them and hands them to certd: the passphrase that
 * keys are encrypted with on disk, which postern-certd-key.service makes at the first start, and the PIN of tokens, which an
 * administrator puts there. */

#include "cleanup.h"

#define KEY_CREDENTIAL_NAME "postern-certd-key"
#define PIN_CREDENTIAL_NAME "postern-certd-pin"
/* What administrators know of it. */
#define KEY_CREDENTIAL_FILE "/etc/credstore.encrypted/" KEY_CREDENTIAL_NAME
/* What `openssl pkey -passin stdin` reads as well. */
#define KEY_CREDENTIAL_MAX 1000

/* directory: $CREDENTIALS_DIRECTORY, may be NULL; name: one of the two. Returns 1 and the secret in secure memory, for secure_freep(); 0 if there is
 * none. -EBADMSG if it cannot be one, and errors of reading, with *reterr_reason (static). */
int key_credential_load(const char *directory, const char *name, char **ret, const char **reterr_reason);
