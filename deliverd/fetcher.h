/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process that reads MTA-STS policies, re-executed by the manager with FETCHER_OPTION. */

#define FETCHER_OPTION "--fetcher"

int fetcher_run(void);
