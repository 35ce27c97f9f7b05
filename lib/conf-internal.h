/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What conf-read.c makes and conf-apply.c uses: all assignments of all files, in the order in which they take effect. */

#include "conf.h"

struct Conf {
    ConfAssignment *assignments; /* every string is the Conf's own, but file */
    size_t n_assignments, n_allocated;
    char **files; /* the names that assignments point to; NULL-ended */
    size_t n_files;
};
