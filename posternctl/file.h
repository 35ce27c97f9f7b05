/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files that a person names on the command line; "-" is standard input or output. */

#include <sys/types.h>

#include "failure.h"

/* certd takes no larger certificates. */
#define FILE_SIZE_MAX (256 * 1024)

/* For reading. */
int file_open(const char *path, int *ret, Failure *failure);

/* Reads until size bytes are there or the end is. Returns how many; negative errno. */
ssize_t file_read(int fd, void *buffer, size_t size);

/* The whole of a file, at most max bytes, as a sealed memfd: what is sent to a daemon that waits for no pipe and cannot see
 * later changes. */
int file_load(const char *path, size_t max, int *ret, Failure *failure);

/* Whether file_store() would find something at path that it must not replace: before anything is done for its sake. */
int file_check_absent(const char *path, bool replace, Failure *failure);

/* Puts all of data in place at once, with permissions mode less the umask, or leaves what was there. Without replace it is an
 * error if there is something. To a terminal goes text only. */
int file_store(const char *path, const void *data, size_t size, mode_t mode, bool replace, bool text, Failure *failure);
