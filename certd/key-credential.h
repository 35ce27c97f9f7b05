/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The passphrase that keys are encrypted with on disk, as a credential of systemd.exec(5): postern-certd-key.service makes it at
 * the first start, systemd decrypts it and hands it to certd. */

#include "cleanup.h"

#define KEY_CREDENTIAL_NAME "postern-certd-key"
/* What administrators know of it. */
#define KEY_CREDENTIAL_FILE "/etc/credstore.encrypted/" KEY_CREDENTIAL_NAME
/* What `openssl pkey -passin stdin` reads as well. */
#define KEY_CREDENTIAL_MAX 1000

/* directory: $CREDENTIALS_DIRECTORY, may be NULL. Returns 1 and the passphrase in secure memory, for secure_freep(); 0 if there is
 * none. -EBADMSG if it cannot be one, and errors of reading, with *reterr_reason (static). */
int key_credential_load(const char *directory, char **ret, const char **reterr_reason);
