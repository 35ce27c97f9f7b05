/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* smtpd on the buses: org.postern.Smtp1 (what it does, for people) and org.postern.Daemon1, on the peer socket and on the system
 * bus alike. */

#include "smtpd-manager.h"

#define SMTPD_BUS_NAME "org.postern.Smtp1"
#define SMTPD_BUS_PATH "/org/postern/Smtp1"

/* listen_fd is taken over on success only. */
int smtpd_bus_serve_peers(Manager *m, int listen_fd);
int smtpd_bus_connect_system(Manager *m);

/* For DaemonControl: malloc'ed JSON of configuration and counters. userdata: Manager. */
int smtpd_bus_describe(void *userdata, char **ret_json);
