/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The methods of org.postern.Cert1 that change something: arguments into an Operation, its result into an answer. userdata: the
 * Manager. */

#include <systemd/sd-bus.h>

int operation_method_create(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_request(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_install(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_add_intermediates(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_import(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_export(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_rename(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_assign(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_unassign(sd_bus_message *m, void *userdata, sd_bus_error *error);
int operation_method_forbid_export(sd_bus_message *m, void *userdata, sd_bus_error *error);
