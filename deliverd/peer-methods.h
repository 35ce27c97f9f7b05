/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What smtpd calls: a file to write a message into, and the promise to keep it. */

#include <systemd/sd-bus.h>

/* OpenMessage() → s id, h fd; Commit(s id, s sender, as recipients, a{sv} options); Discard(s id). userdata: Manager. */
extern const sd_bus_vtable peer_methods_vtable[];
