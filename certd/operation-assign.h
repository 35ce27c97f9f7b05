/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The operations that concern assignments, for operation_run(): what is assigned, and what becomes of it when the certificate is
 * called otherwise or is deleted. Errors are those of operation_run(), and
 *   -ESRCH, -EPERM: user_lookup();  -ENXIO: that is not assigned;  -EBUSY: it is, and o->force is not set. */

#include "operation.h"

int operation_assign(Operation *o);
int operation_unassign(Operation *o);
/* The assignments go along. Killed at any instant, certd finds them with the certificate under its old or its new name. */
int operation_rename(Operation *o);
/* With force: the assignments first, so that none is left for another certificate of this name. */
int operation_delete(Operation *o);
