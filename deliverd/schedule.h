/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is next: deliveries wait for their time in a heap, then for a place in the row of their destination. Destinations take
 * turns and each has its own limit, so that one with many messages, or one that does not answer, never delays another. No timers
 * and no clock here: the manager asks when something is due. Times are CLOCK_REALTIME in microseconds, since they outlive
 * restarts. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

typedef struct Schedule Schedule;
typedef struct ScheduleDestination ScheduleDestination;

typedef enum ScheduleState {
    SCHEDULE_IDLE,    /* not in the schedule */
    SCHEDULE_WAITING, /* until due_usec */
    SCHEDULE_READY,   /* for a place */
    SCHEDULE_RUNNING, /* holds a place */
} ScheduleState;

/* Embedded in what is scheduled; zero at first, then the schedule's alone. */
typedef struct ScheduleEntry {
    ScheduleState state;
    uint64_t due_usec;
    size_t heap_index;
    ScheduleDestination *destination;
    struct ScheduleEntry *previous, *next;
    void *userdata; /* the owner's */
} ScheduleEntry;

int schedule_new(Schedule **ret, unsigned max_running);
/* Entries must be gone or not be touched any more. */
Schedule *schedule_free(Schedule *s);
DEFINE_CLEANUP(Schedule, schedule_free);
void schedule_set_max_running(Schedule *s, unsigned max_running);

/* e must be idle. max_running is the destination's limit from now on. */
int schedule_add(Schedule *s, ScheduleEntry *e, const char *domain, unsigned max_running, uint64_t due_usec);
/* Takes e out, whatever its state; a running one gives its place back. */
void schedule_remove(Schedule *s, ScheduleEntry *e);

/* The next entry that may start at this time, now RUNNING; NULL if there is none or no place. */
ScheduleEntry *schedule_next(Schedule *s, uint64_t now_usec);
/* When schedule_next() should be asked again if nothing else happens; UINT64_MAX: never. */
uint64_t schedule_due(const Schedule *s);

/* Makes what waits for this domain (NULL: for all) due at once. Returns how many. */
unsigned schedule_flush(Schedule *s, const char *domain);

unsigned schedule_count(const Schedule *s, ScheduleState state);
unsigned schedule_running_for(const Schedule *s, const char *domain);
/* In whatever state. */
unsigned schedule_count_for(const Schedule *s, const char *domain);

/* How long to wait after the attempts-th failure (from 1): min, doubling, at most max. */
uint64_t schedule_interval(unsigned attempts, uint64_t min_usec, uint64_t max_usec);
