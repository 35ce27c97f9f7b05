/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MTA-STS policies for people: the handlers of Delivery1's methods about them. */

#include <systemd/sd-bus.h>

/* Policies that one ListStsPolicies() answers with. */
#define STS_LIST_MAX 100

/* userdata: the Manager. */
int sts_bus_list(sd_bus_message *m, void *userdata, sd_bus_error *error);
int sts_bus_get(sd_bus_message *m, void *userdata, sd_bus_error *error);
int sts_bus_refresh(sd_bus_message *m, void *userdata, sd_bus_error *error);
