/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who is next: deliveries wait for their time in a heap, then for a place in the row of their destination. Destinations take
 * turns and each has its own limits, so that one with many messages, or one that does not answer, never delays another. No timers
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
    unsigned n_recipients;
    size_t heap_index;
    ScheduleDestination *destination;
    struct ScheduleEntry *previous, *next;
    void *userdata; /* the owner's */
} ScheduleEntry;

/* Of a destination. */
typedef struct ScheduleLimits {
    unsigned running;     /* at a time */
    unsigned recipients;  /* of what is started in a period; 0: any number. What has more gets a period to itself */
    uint64_t period_usec; /* from the first start on */
} ScheduleLimits;

/* The limits of a domain as they are configured now. */
typedef void (*ScheduleGetLimits)(const char *domain, ScheduleLimits *ret, void *userdata);

int schedule_new(Schedule **ret, unsigned max_running, ScheduleGetLimits get_limits, void *userdata);
/* Entries must be gone or not be touched any more. */
Schedule *schedule_free(Schedule *s);
DEFINE_CLEANUP(Schedule, schedule_free);
/* The limits are other ones now: get_limits() is asked again for every destination that is known. */
void schedule_configure(Schedule *s, unsigned max_running);

/* e must be idle. */
int schedule_add(Schedule *s, ScheduleEntry *e, const char *domain, unsigned n_recipients, uint64_t due_usec);
/* Takes e out, whatever its state; a running one gives its place back. */
void schedule_remove(Schedule *s, ScheduleEntry *e);

/* The next entry that may start at this time, now RUNNING; NULL if there is none or no place. */
ScheduleEntry *schedule_next(Schedule *s, uint64_t now_usec);
/* When schedule_next() should be asked again if nothing else happens; UINT64_MAX: never. */
uint64_t schedule_due(const Schedule *s);

/* The destination's period does not pay for what e, which is running, has not come to do. */
void schedule_refund(Schedule *s, ScheduleEntry *e);

/* Makes what waits for this domain (NULL: for all) due at once, but for what waits for its destination's next period. Returns how
 * many. */
unsigned schedule_flush(Schedule *s, const char *domain);

unsigned schedule_count(const Schedule *s, ScheduleState state);
unsigned schedule_running_for(const Schedule *s, const char *domain);
/* In whatever state. */
unsigned schedule_count_for(const Schedule *s, const char *domain);

/* How long to wait after the attempts-th failure (from 1): min, doubling, at most max. */
uint64_t schedule_interval(unsigned attempts, uint64_t min_usec, uint64_t max_usec);
