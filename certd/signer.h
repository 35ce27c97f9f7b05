/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sign() of org.postern.Cert1.Peer: may this caller have this signature, and when. EC and Ed25519 keys sign at once (30 µs), RSA keys in a thread. */

#include <systemd/sd-bus.h>

/* Requests of one connection that wait because it asks too fast. */
#define SIGNER_DELAYED_MAX 4096

/* userdata: the Manager. */
int signer_method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error);
