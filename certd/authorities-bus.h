/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lists of authorities on the buses: methods of org.postern.Cert1.Peer and org.postern.Cert1. userdata: the Manager. */

#include <systemd/sd-bus.h>

#include "authorities.h"

/* For authorities_new(): tells the services and people. */
void authorities_bus_news(Authorities *a, const char *problem, void *userdata);

int authorities_method_peer_get(sd_bus_message *m, void *userdata, sd_bus_error *error);

int authorities_method_list_lists(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_list(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_get(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_import(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_set_enabled(sd_bus_message *m, void *userdata, sd_bus_error *error);
int authorities_method_remove(sd_bus_message *m, void *userdata, sd_bus_error *error);
