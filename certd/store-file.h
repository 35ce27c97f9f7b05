/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of the store's directory, by name and suffix: read as a whole, replaced as a whole. All access goes through the
 * directory's descriptor, so that it works in the sandbox and nobody can move the store away from under certd. */

#include <stdint.h>
#include <sys/types.h>

#include "certificate.h"
#include "cleanup.h"

#define ENTRY_SUFFIX ".pem"
#define CERTIFICATE_SUFFIX ".crt"
#define KEY_SUFFIX ".key"
#define TEMPORARY_SUFFIX ".tmp"

/* Tells whether a file is the one that was read before. */
typedef struct StoreFileStamp {
    ino_t inode; /* 0: it cannot be told */
    off_t size;
    int64_t changed_nsec;
} StoreFileStamp;

bool store_file_exists(int dir_fd, const char *name, const char *suffix);
void store_file_remove(int dir_fd, const char *name, const char *suffix);

/* To be taken before the file is read: what changes it afterwards gives it another. */
StoreFileStamp store_file_stamp(int dir_fd, const char *name, const char *suffix);
bool store_file_stamp_equal(const StoreFileStamp *a, const StoreFileStamp *b);

/* Up to CERTIFICATE_PEM_MAX bytes and a NUL in secure memory, for secure_freep(). private_file: it must have mode 0600. On failure
 * *reterr_reason says which file and why, malloc'ed. */
int store_file_read(int dir_fd, const char *name, const char *suffix, bool private_file, char **ret, size_t *ret_size,
        char **reterr_reason);
/* "NAME.SUFFIX REASON", or NULL */
char *store_file_reason(const char *name, const char *suffix, const char *reason);

/* Puts data into the place of NAME.pem, and of NAME.crt and NAME.key: old or new, never a part, durable when it returns 0. scrub:
 * what is replaced holds a plain key and data does not, so it is overwritten as soon as data is durable. */
int store_file_replace(int dir_fd, const char *name, const char *data, size_t size, bool scrub);
