/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many sd-bus connections of one server on one event source. sd_bus_attach_event() costs a turn of the loop for each message, and
 * in each turn a look at every connection; here a turn takes a message from every connection that has one. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

typedef struct BusGroup BusGroup;
typedef struct BusMember BusMember;

int bus_group_new(BusGroup **ret, sd_event *event);
/* Its members are gone by then. Not from inside of a handler of one. */
BusGroup *bus_group_free(BusGroup *g);
DEFINE_CLEANUP(BusGroup, bus_group_free);

/* As sd_event_source_set_priority(), of all its members together. Right after bus_group_new(). */
int bus_group_set_priority(BusGroup *g, int64_t priority);

/* From now on the group drives bus, which is started and attached to no event loop. fd: a second descriptor of its socket, which
 * stays open and the caller's as long as the member does. failed: the connection cannot go on, and nothing will be processed
 * any more; it may free the member. */
typedef void (*BusMemberFailed)(void *userdata);
int bus_group_add(BusGroup *g, BusMember **ret, sd_bus *bus, int fd, BusMemberFailed failed, void *userdata);

/* Before bus and fd. From inside of any handler, too. */
BusMember *bus_member_free(BusMember *m);
