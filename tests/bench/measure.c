/* SPDX-License-Identifier: Apache-2.0 */

/* The arithmetic and the table of the benchmarks. */

#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int measure_undisturbed(void)
{
    const struct sched_param priority = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    int here = sched_getcpu();
    cpu_set_t set;

    if (here < 0)
        return -errno;
    CPU_ZERO(&set);
    CPU_SET(here, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0 || sched_setscheduler(0, SCHED_FIFO, &priority) < 0)
        return -errno;
    return 0;
}

uint64_t cpu_nsec(clockid_t clock)
{
    struct timespec t = {};

    (void) clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

void series_add(Series *s, uint64_t nsec, unsigned n_operations)
{
    if (s->n < ROUNDS_MAX)
        s->usec[s->n++] = (double) nsec / 1000 / n_operations;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

double series_median(const Series *s)
{
    double sorted[ROUNDS_MAX];

    memcpy(sorted, s->usec, sizeof(sorted));
    qsort(sorted, s->n, sizeof(sorted[0]), compare_doubles);
    return s->n % 2 ? sorted[s->n / 2] : (sorted[s->n / 2 - 1] + sorted[s->n / 2]) / 2;
}

void compare_header(void)
{
    printf("%-44s %9s %9s %7s %7s %7s\n", "", "CPU, µs", "bare", "ratio", "target", "limit");
}

bool compare(const char *what, const Series *measured, const Series *base, double target, double limit)
{
    Series ratios = {.n = measured->n};
    double ratio;

    for (size_t i = 0; i < ratios.n; i++)
        ratios.usec[i] = measured->usec[i] / base->usec[i];
    ratio = series_median(&ratios);
    printf("%-44s %8.1f %9.1f %7.2f %7.2f %7.2f%s\n", what, series_median(measured), series_median(base), ratio, target, limit,
            ratio > limit ? "  too much" : ratio > target ? "  above the target" : "");
    fflush(stdout);
    return ratio <= limit;
}
