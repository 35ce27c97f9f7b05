/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sign() of org.postern.Cert1.Peer: may this caller have this signature, and when. EC and Ed25519 keys sign at once (30 µs), the
 * others in a thread. */

#include <systemd/sd-bus.h>

/* The handshake that a client of TLS 1.2 signs holds two chains of certificates and a server's list of authorities. */
#define SIGNER_MESSAGE_MAX (64 * 1024)

/* userdata: the Manager. */
int signer_method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error);
