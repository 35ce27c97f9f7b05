/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A pager between standard output and the terminal, as systemd's tools have it: $SYSTEMD_PAGER, $PAGER, else less, else more. */

#include <sys/types.h>

#include "output.h"

/* Starts it if o wants one. From here on standard output is its. Returns its process id, 0 without one; it is never an error not
 * to have one. */
pid_t pager_open(const Output *o);
/* Ends the text and waits until the reader leaves it. */
void pager_close(pid_t pid);
