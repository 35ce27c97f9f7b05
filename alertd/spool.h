/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The alerts that alertd still has to mail: one file for each, JSON, in its spool directory. A file is replaced as a whole
 * (written beside, fsync, rename, fsync of the directory), so after a crash an alert is there as it was last stored. Writing is
 * done by a thread; in the order of the calls. */

#include <systemd/sd-event.h>

#include "alert.h"

#define SPOOL_ID_SIZE 17 /* 16 hexadecimal digits and NUL */
#define SPOOL_ORIGIN_MAX 16
#define SPOOL_RECIPIENTS_MAX 64
#define SPOOL_ITEMS_MAX 1000

typedef struct SpoolItem {
    char id[SPOOL_ID_SIZE];
    AlertSeverity severity;
    AlertType type;
    char *key, *summary, *body;
    char *origin;                   /* the role that raised it */
    uint64_t first_usec, last_usec; /* CLOCK_REALTIME, as all times here: they must hold after a restart */
    unsigned count;                 /* alerts it stands for */
    char **recipients;              /* to whom it is still to be mailed, NULL-ended */
    bool held;                      /* not to be mailed before due_usec: more of the same are being counted */
    uint64_t due_usec;
    uint64_t interval_usec;         /* that ends at due_usec (suppress.h) */
    unsigned attempts;              /* failed ones so far */
} SpoolItem;

SpoolItem *spool_item_free(SpoolItem *i);
DEFINE_CLEANUP(SpoolItem, spool_item_free);
/* JSON text of a file and back. -EBADMSG: not one of ours, or cut. Pure. */
int spool_item_format(const SpoolItem *i, char **ret);
int spool_item_parse(const char *text, size_t size, SpoolItem **ret);

typedef struct Spool Spool;

/* directory exists; it is opened here and nothing outside of it is touched later. Leftovers of interrupted writes are removed. */
int spool_new(Spool **ret, sd_event *event, const char *directory);
Spool *spool_free(Spool *s); /* waits for writing to end */
DEFINE_CLEANUP(Spool, spool_free);

/* Every readable item, now the callee's. A file that cannot be read is left where it is and counted in *ret_broken. */
typedef void (*SpoolEach)(SpoolItem *item, void *userdata);
int spool_scan(Spool *s, SpoolEach each, void *userdata, unsigned *ret_broken);

/* Gives item, a new one, its id. */
int spool_assign_id(Spool *s, SpoolItem *item);

/* Stores the item, new or again. done (may be NULL) is called when it is durable, or with the error (-ENOSPC …). item is
 * copied. */
typedef void (*SpoolDone)(int result, void *userdata);
int spool_store(Spool *s, const SpoolItem *item, SpoolDone done, void *userdata);
/* Forgets it; not waited for: an alert that comes back after a crash is mailed twice, which is better than never. */
void spool_remove(Spool *s, const char *id);
