/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configuration: one INI file and its drop-ins, parsed through a table.
 *
 * NAME.conf is read from /etc/postern, then NAME.conf.d/ (files ending in .conf) from /etc/postern, /run/postern,
 * /usr/local/lib/postern and /usr/lib/postern: all sorted by base name, of equal names the first directory wins, a link to
 * /dev/null masks. Later assignments win; lists accumulate, an empty assignment resets them. inih parses; it cuts lines at about
 * 200 bytes silently, so longer lines are refused here before it sees them. Indentation means nothing, there are no continuation
 * lines, and a comment ('#' or ';') has a line of its own: " ;" within a line is refused.
 *
 * Nothing here logs. Every complaint goes into a ConfReport with file, line and what to do; the caller prints it. A load
 * that has errors returns -EBADMSG and its target must be thrown away: all or nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* Longest accepted line in bytes, and most assignments in all files together. */
#define CONF_LINE_MAX 190
#define CONF_ASSIGNMENTS_MAX 4096

typedef struct Conf Conf;
typedef struct ConfReport ConfReport;

/* Where an assignment stands; file and line are of the source, for messages. */
typedef struct ConfAssignment {
    const char *file;
    unsigned line;
    const char *section; /* "Listener" of [Listener public] */
    const char *name;    /* "public", or NULL in a plain [Section] */
    const char *key;
    const char *value;
} ConfAssignment;

/* Parses value into *field (the address computed from the key's offset). On failure returns negative errno and may set
 * *ret_reason to a malloc'ed sentence that says what is expected. An empty value resets to the default of zero/NULL. */
typedef int (*ConfParse)(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);

typedef struct ConfKey {
    const char *section;
    const char *key;
    ConfParse parse;
    size_t offset;     /* in the object of the section */
    const void *ltype; /* for the parser: an enum's names, limits */
} ConfKey;

/* Gives the object that a section's keys write into; NULL with *ret_reason set refuses the section. Called at the start of each
 * run of assignments of one section, with name NULL for plain ones: a section that several files speak of comes several times, so
 * it finds what it made before. The pointer is not used after the next call. Absent callback: target itself, sections have no
 * names. */
typedef void *(*ConfSection)(void *target, const char *section, const char *name, char **ret_reason);

/* Reads and merges the files. root: prefix of all directories, "" for the host (tests use another). Complaints about syntax go
 * to report. The main file may be missing (defaults hold). Returns 0, -EBADMSG when report has errors, or another errno. */
int conf_read(Conf **ret, const char *root, const char *name, ConfReport *report);

/* The same from a snapshot made by conf_snapshot(); fd stays the caller's. */
int conf_read_snapshot(Conf **ret, int fd, ConfReport *report);
Conf *conf_free(Conf *c);
DEFINE_CLEANUP(Conf, conf_free);

/* Applies all assignments to target through keys. An unknown key or section is a warning that names the nearest known one; a
 * wrong value is an error. Returns as conf_read(). */
int conf_apply(const Conf *c, const ConfKey *keys, size_t n_keys, ConfSection section, void *target, ConfReport *report);

/* A sealed memfd with the effective assignments as INI text, to hand a validated configuration to a sandboxed worker. */
int conf_snapshot(const Conf *c);

/* The parsers. field types behind the arrow. */
int conf_parse_string(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);   /* char *            */
int conf_parse_strv(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);     /* char **, NULL-ended; space separated, accumulates */
int conf_parse_bool(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);     /* bool              */
int conf_parse_unsigned(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason); /* unsigned; ltype ConfRange or NULL */
int conf_parse_size(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);     /* uint64_t bytes; K M G to base 1024; ltype ConfRange */
int conf_parse_usec(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);     /* uint64_t µs; "5min 30s", plain number = seconds; ltype ConfRange in µs */
int conf_parse_enum(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);     /* int-sized enum; ltype ConfEnum[], {NULL} ended */
int conf_parse_certificate(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason); /* char *, the name of one of certd's */
int conf_parse_domain(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);   /* char *, lower-case A-label form (libidn2) */
int conf_parse_domains(const ConfAssignment *a, void *field, const void *ltype, char **ret_reason);  /* char **, as strv, each a domain, or ".suffix" for domain_matches() */

/* For lists of something else, as strv: word() makes an element, malloc'ed, of each word, or says why not. */
typedef int (*ConfWord)(const char *word, char **ret, char **ret_reason);
int conf_parse_list(const ConfAssignment *a, char ***field, ConfWord word, char **ret_reason);

typedef struct ConfRange {
    uint64_t min, max;
} ConfRange;

typedef struct ConfEnum {
    const char *name; /* compared without case */
    int value;
} ConfEnum;

char **conf_strv_free(char **l);
DEFINE_CLEANUP(char *, conf_strv_free);

/* Complaints, in the order they were found. */
typedef enum ConfSeverity {
    CONF_WARNING,
    CONF_ERROR,
} ConfSeverity;

int conf_report_new(ConfReport **ret);
ConfReport *conf_report_free(ConfReport *r);
DEFINE_CLEANUP(ConfReport, conf_report_free);
/* file may be NULL, line 0. For checks of a daemon that concern several keys. */
int conf_report_add(ConfReport *r, ConfSeverity severity, const char *file, unsigned line, const char *format, ...) _printf_(5,
        6);
bool conf_report_has_errors(const ConfReport *r);
size_t conf_report_size(const ConfReport *r);
/* "/etc/postern/smtpd.conf:12: …" of complaint i; storage is the report's. */
const char *conf_report_get(const ConfReport *r, size_t i, ConfSeverity *ret_severity);
/* All complaints as one text, a line each, for an error reply or the terminal; malloc'ed. */
int conf_report_text(const ConfReport *r, char **ret);
