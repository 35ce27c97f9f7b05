/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ways to the daemons: the system bus, of this host or by ssh of another; and for root, when this host has no system bus at the
 * time, the peer sockets. Connections are made when the first call needs them. All calls wait for their answer, with a deadline;
 * why one failed is in Failure. */

#include "failure.h"

typedef struct BusService {
    const char *name;      /* "smtpd" */
    const char *bus_name;  /* "org.postern.Smtp1" */
    const char *object;    /* "/org/postern/Smtp1" */
    const char *interface; /* of methods that name none */
} BusService;

extern const BusService service_smtpd, service_deliverd, service_certd, service_dnsd, service_alertd;
/* The five, in the order in which they are shown; NULL-ended. */
extern const BusService *const bus_services[];
/* The service manager, which is asked about units. */
extern const BusService service_systemd;

typedef struct BusMethod {
    const BusService *service;
    const char *member;
    const char *interface; /* NULL: the service's */
    const char *object;    /* NULL: the service's */
    unsigned timeout_sec;  /* 0: BUS_TIMEOUT_SEC */
    bool no_start;         /* the service is not started for it */
} BusMethod;

#define BUS_TIMEOUT_SEC 30

typedef struct BusConnection BusConnection;

/* host: "[USER@]HOST[:PORT]" as for systemctl, copied; NULL: this one. */
int bus_connection_new(BusConnection **ret, const char *host);
BusConnection *bus_connection_free(BusConnection *b);
DEFINE_CLEANUP(BusConnection, bus_connection_free);

/* An environment variable names the directory of the peer sockets: daemons run by hand, without units and without a bus. */
bool bus_connection_is_by_hand(const BusConnection *b);

/* A call to be filled with its arguments. Negative errno with failure set. */
int bus_call_new(BusConnection *b, const BusMethod *method, sd_bus_message **ret, Failure *failure);
/* Whether the call can carry descriptors: not to another host, whatever ssh's ends say. Sets failure if not. */
int bus_call_can_pass_files(const BusConnection *b, sd_bus_message *m, Failure *failure);
/* Sends it and waits. r: what filling it returned; negative is passed on. ret_reply may be NULL. */
int bus_call_send(const BusMethod *method, sd_bus_message *m, int r, sd_bus_message **ret_reply, Failure *failure);

/* Signals of the service to this caller alone, while it waits for the answer. call: the serial number of the call. */
typedef struct BusWatch {
    const char *signal; /* of the method's interface */
    int (*happened)(sd_bus_message *m, uint64_t call, void *userdata);
    void *userdata;
} BusWatch;

/* Sends it, waits, and hears of signals meanwhile. */
int bus_call_send_watching(const BusMethod *method, sd_bus_message *m, int r, const BusWatch *watch, sd_bus_message **ret_reply,
        Failure *failure);

/* Both, with arguments of basic types. */
int bus_call(BusConnection *b, const BusMethod *method, sd_bus_message **ret_reply, Failure *failure, const char *types, ...);

/* For replies that cannot be read: the daemon is of another version. Passes r ≥ 0 on. */
int bus_reply_check(const BusMethod *method, int r, Failure *failure);
