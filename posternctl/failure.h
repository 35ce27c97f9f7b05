/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why a command failed: one sentence for a person, one exit status for a script. Whoever finds out sets it, run() prints it. */

#include <systemd/sd-bus.h>

#include "cleanup.h"

/* Beside EXIT_SUCCESS and EXIT_FAILURE. They are API: posternctl(1) lists them. */
enum {
    STATUS_USAGE = 2,         /* the command line, or an argument that the daemon refuses */
    STATUS_NOT_RUNNING = 3,   /* nobody to ask */
    STATUS_NOT_PERMITTED = 4, /* it takes an authorization */
    STATUS_NOT_FOUND = 5,     /* no such message, certificate, record */
};

typedef struct Failure {
    int status; /* 0: nothing was set */
    char *text; /* without a line end; NULL: memory was short */
} Failure;

void failure_done(Failure *f);

/* Sets f, unless it is set already, and returns -ECANCELED, so that `return failure_set(…)` reads well. What comes from outside
 * is made printable; of its line breaks the lines stay. */
int failure_set(Failure *f, int status, const char *format, ...) _printf_(3, 4);

/* The same for what a call of service ("smtpd") ended with: r is what sd_bus_call() returned. Known errors of the bus get a
 * sentence that says what to do, those of the daemons bring their own. */
int failure_set_bus(Failure *f, const char *service, const sd_bus_error *error, int r);

/* The exit status of an error by its name; EXIT_FAILURE if it is not known. Pure. */
int failure_status(const char *error_name);
