/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dnsd on the bus: org.postern.Dns1.Peer for the other daemons, org.postern.Dns1 and org.postern.Daemon1 for people. */

#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "system-bus.h"

typedef struct Manager Manager;
typedef struct BusRequest BusRequest;

/* Who has asked: a connection to the peer socket, or the system bus. Its pending requests have a limit and end with it. */
typedef struct BusCaller {
    TAILQ_HEAD(BusRequests, BusRequest) requests;
    unsigned n_requests;
} BusCaller;
void bus_caller_init(BusCaller *c);
void bus_caller_clear(BusCaller *c);

/* Calls of Test() that wait for a test to end. */
#define BUS_TESTS_MAX 16
typedef struct BusTests {
    sd_bus_message *calls[BUS_TESTS_MAX];
    size_t n_calls;
} BusTests;
void bus_tests_clear(BusTests *t);
/* The test is over: answers them. */
void bus_tests_answer(Manager *m);

extern const PeerAccess bus_access[];
extern const SystemBusAccess system_bus_access[];

/* Fills the object tables, {}-ended. */
#define DNSD_OBJECTS 3
#define DNSD_SYSTEM_OBJECTS 2
void bus_objects(Manager *m, PeerObject objects[DNSD_OBJECTS + 1], PeerObject system_objects[DNSD_SYSTEM_OBJECTS + 1]);

/* Of dnsd-status.c: Flush(), Test() and all properties. */
int bus_method_flush(sd_bus_message *message, void *userdata, sd_bus_error *error);
int bus_method_test(sd_bus_message *message, void *userdata, sd_bus_error *error);
int bus_get_counter(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error);
int bus_get_property(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
        void *userdata, sd_bus_error *error);

/* The state as JSON, for Describe(). malloc'ed. */
int bus_describe(Manager *m, char **ret_json);
