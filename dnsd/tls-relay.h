/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS for the questions to forwarders (RFC 7858), since libunbound as Debian builds it has none. libunbound asks a port of this
 * host over TCP; what comes there goes to a forwarder over TLS, whose certificate has the name that is configured, or nowhere.
 * Both sides frame messages in the same way, so bytes are passed on as they are. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "dnsd-conf.h"

typedef struct TlsRelay TlsRelay;

/* Twice what libunbound opens. Connections that are not of this process are closed at once. */
#define TLS_RELAY_CONNECTIONS_MAX 64

/* Listens on a free port of 127.0.0.1. It refuses connections until it is configured. To be called before the sandbox. */
int tls_relay_new(TlsRelay **ret, sd_event *event);
TlsRelay *tls_relay_free(TlsRelay *r);
DEFINE_CLEANUP(TlsRelay, tls_relay_free);

uint16_t tls_relay_port(const TlsRelay *r);

/* From now on to the forwarders of config, which outlives the relay or the next call; without ForwardTLS=yes to nobody. Connections
 * that stand are closed. -EBADMSG: ForwardCAFile= has no certificates. On failure all stays as it was. */
int tls_relay_configure(TlsRelay *r, const DnsConfig *config);
/* From now on to nobody. */
void tls_relay_close(TlsRelay *r);
