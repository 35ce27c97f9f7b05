/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a caller hands over as a descriptor: a file, a memfd, a pipe. */

#include <stddef.h>

/* Reads fd whole into secure memory, NUL-ended (*ret is for secure_freep()): a file from its beginning, a pipe to its end, for
 * which it waits a few seconds; so this is for a thread. -EFBIG (more than max bytes), -ETIMEDOUT, -EINVAL (neither file nor
 * pipe), and those of read(2), with *reterr_reason (static). */
int read_fd(int fd, size_t max, char **ret, size_t *ret_size, const char **reterr_reason);
/* The same into ordinary memory, for what is public. */
int read_fd_public(int fd, size_t max, char **ret, size_t *ret_size, const char **reterr_reason);
