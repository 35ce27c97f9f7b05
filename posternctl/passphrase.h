/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Passphrases on their way from a person or a file to certd: through a pipe, never in an argument, in the environment or in a
 * file of ours. */

#include "failure.h"

/* certd takes no longer ones. */
#define PASSPHRASE_MAX 1024

/* What is typed into the terminal fd up to the line end, which is not part of it, with the echo off. A signal that ends or stops
 * the process finds the terminal as it was. buffer has PASSPHRASE_MAX + 1 bytes. -ENODATA at the end of input, -E2BIG, -EINTR, or
 * what the terminal fails with. */
int passphrase_read(int fd, const char *prompt, char *buffer);

/* Asks on the controlling terminal, again if it has to be typed twice without a mistake. *ret: the end of a pipe that holds it,
 * whose other end is closed. */
int passphrase_ask(const char *what, bool twice, int *ret, Failure *failure);

/* The same from a file; "-": standard input. One line end behind it is not part of it. */
int passphrase_from_file(const char *path, int *ret, Failure *failure);
