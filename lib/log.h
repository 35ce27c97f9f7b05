/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The journal: one structured entry a call, readable by its MESSAGE alone. Falls back to stderr where there is no
 * journal (tests, a terminal). Only daemons and their workers log; library code returns errors.
 *
 * Never: message content, credentials, key material. Strings from peers go into fields and messages only through
 * these functions, which replace control characters and cut at LOG_VALUE_MAX bytes. */

#include <stdarg.h>
#include <stddef.h>
#include <syslog.h>

#include "cleanup.h"

#define LOG_VALUE_MAX 1024

typedef struct LogField {
    const char *name;  /* "POSTERN_QUEUE_ID" */
    const char *value; /* NULL: the field is left out */
} LogField;

/* Opens what logging needs (the journal's socket), so that a sandbox without socket(2) can be entered afterwards.
 * identifier is SYSLOG_IDENTIFIER ("postern-smtpd"), static storage. */
int log_open(const char *identifier);

/* Entries of lower importance than this are dropped; LOG_INFO at start. Settable through LogControl1. */
void log_set_max_level(int priority);
int log_get_max_level(void);

/* Logs with optional fields and message id (a 32-digit hex string of lib/catalog-ids.h, or NULL). */
void log_event(int priority, const char *message_id, const LogField *fields, size_t n_fields, const char *format, ...)
        _printf_(5, 6);

/* Logs a plain message; returns -abs(error), so that `return log_error_errno(r, "…: %m")` works; %m is error. */
int log_full_errno(int priority, int error, const char *format, ...) _printf_(3, 4);

#define log_debug(...) ((void) log_full_errno(LOG_DEBUG, 0, __VA_ARGS__))
#define log_info(...) ((void) log_full_errno(LOG_INFO, 0, __VA_ARGS__))
#define log_notice(...) ((void) log_full_errno(LOG_NOTICE, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_full_errno(LOG_WARNING, 0, __VA_ARGS__))
#define log_error(...) ((void) log_full_errno(LOG_ERR, 0, __VA_ARGS__))
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...) log_full_errno(LOG_ERR, e, __VA_ARGS__)
#define log_debug_errno(e, ...) log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
