/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What deliverd's Verify() tells, as text. The objects are described in postern-deliverd(8); what is missing is passed over, as a
 * daemon may be of another version. */

#include "output.h"

/* A step, when it happens. */
void verify_text_step(const Output *o, json_object *step);
/* The end. */
void verify_text_result(const Output *o, json_object *result);
