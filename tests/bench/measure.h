/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Costs as processor time, and only in proportion to each other: what is compared runs in turns, in one run, so that a slow
 * machine or one with other work to do finds the same. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Exit status of a benchmark that cannot run here, as meson understands it. */
#define BENCH_SKIPPED 77

/* Gives this process, and those that it starts, one processor, on which nothing else runs before them: what others leave in the
 * caches would be measured otherwise. -EPERM without CAP_SYS_NICE. */
int measure_undisturbed(void);

/* What a clock of processor time (CLOCK_PROCESS_CPUTIME_ID, or another process' by clock_getcpuclockid()) has counted, in ns. */
uint64_t cpu_nsec(clockid_t clock);

/* One of the two things compared: the cost of each of its operations, in µs, a value a round. */
#define ROUNDS_MAX 64
typedef struct Series {
    double usec[ROUNDS_MAX];
    size_t n;
} Series;

void series_add(Series *s, uint64_t nsec, unsigned n_operations);
double series_median(const Series *s);

/* Prints a line: what, the medians of both, and the median of the rounds' ratios. target: what it is to be; limit: above it
 * something has become worse. True if it is within. */
void compare_header(void);
bool compare(const char *what, const Series *measured, const Series *base, double target, double limit);
