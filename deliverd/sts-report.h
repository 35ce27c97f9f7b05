/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tells people what became of an MTA-STS policy: the journal, and alertd where one that protects mail could not be renewed (RFC
 * 8461, section 10.2). Nothing here changes anything. */

#include "deliverd-manager.h"
#include "sts.h"

void report_sts(Manager *m, const StsNews *news);
