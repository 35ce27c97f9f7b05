/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* D-Bus messages for tests of what is written into them and read from them. */

#include <systemd/sd-bus.h>

/* For cmocka, for a test or a group. */
int carrier_setup(void **state);
int carrier_teardown(void **state);

/* A message to be filled; any kind will do as a carrier. The caller's. */
sd_bus_message *carrier_new(const char *interface);

/* For messages that are to be sent: the connection, attached to a loop, and its other end, which is the caller's. Both are ready. */
sd_bus *carrier_bus(void);
sd_bus *carrier_connect(void);
