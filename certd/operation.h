/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A change of the store that somebody asked for, from its arguments to its result: the work of the methods of org.postern.Cert1,
 * without the bus. operation_run() takes as long as making a key, deriving one from a passphrase and writing to stable storage
 * take: it is for a thread. The thread is one, so that operations follow each other; each begins with what is on disk. */

#include "cleanup.h"
#include "pkcs12.h"
#include "self-signed.h"
#include "store.h"

typedef enum OperationKind {
    OPERATION_CREATE,
    OPERATION_REQUEST,
    OPERATION_INSTALL,
    OPERATION_ADD_INTERMEDIATES,
    OPERATION_IMPORT,
    OPERATION_EXPORT,
    OPERATION_RENAME,
    OPERATION_DELETE,
    OPERATION_FORBID_EXPORT,
    OPERATION_ASSIGN,
    OPERATION_UNASSIGN,
    _OPERATION_KIND_MAX,
} OperationKind;

/* Strings are malloc'ed and the operation's; NULL: not given. */
typedef struct Operation {
    OperationKind kind;
    Store *store; /* outlives it */
    Pkcs12Reader *pkcs12; /* outlives it, too; for import */
    char *name;   /* of the certificate; "": the common name, which it is replaced by */
    char *new_name;
    char *use; /* use.h */
    bool force; /* delete what is assigned */
    char *common_name, *organization, *unit, *city, *state, *country;
    char **names;
    char *key_type;
    char *key_uri; /* of a key that is in a token; instead of key_type */
    uint32_t days;
    bool forbid_export;
    int file_fd, passphrase_fd; /* owned; negative: not given */
    int trusted_fd;             /* memfd with PEM: authorities at which a chain may end beside the host's; owned; negative: none */
    bool incomplete;            /* the chain need not end */
    bool replace;               /* what has this name */

    /* results */
    char *text;         /* PEM */
    int result_fd;      /* memfd; owned */
    const char *reason; /* of a failure; static */
} Operation;

int operation_new(Operation **ret, OperationKind kind, Store *store);
Operation *operation_free(Operation *o);
DEFINE_CLEANUP(Operation, operation_free);

/* Returns 0, or negative errno and o->reason: those of the store's functions and of what the kind's work is made of. */
int operation_run(Operation *o);
